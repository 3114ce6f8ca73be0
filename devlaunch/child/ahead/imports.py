"""Sees each import of the program first: notes it for the next standby, and serves the stash.

A *root* is an import that the user's code, or ours, asks for. What a library imports for itself
comes with the root. Each is noted with the context in which it was asked for.
"""

from __future__ import annotations

import os
import sys
from _imp import acquire_lock, release_lock
from _thread import get_ident
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import FrameType, ModuleType
from typing import Any

from .. import NAME, hide
from ..debugging import traits
from ..modules import is_users, namespace_of
from .contexts import Conditions, Context, places
from .stash import Stash

hide(__name__)

Refuse = Callable[[str, dict[str, str]], None]

_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


class Imports:
    """A meta path finder. Install it right before the user's code runs.

    `refuse` is called with a reason, and with roots that must not be imported ahead again, when
    what is in the stash is not what an import would bring now; when it is too late for that it
    returns, and what is left of the stash is not used.
    """

    def __init__(self, conditions: Conditions, stash: Stash | None, refuse: Refuse) -> None:
        self._conditions = conditions
        self._stash = stash or Stash()
        self._refuse = refuse
        self._is_recording = True
        self._contexts: list[Context] = []
        self._asked: dict[str, int] = {}
        self._roots: set[str] = set()
        self._debuggers: set[int] = set()

    def install(self) -> None:
        """See imports from now on."""
        sys.meta_path.insert(0, self)
        self._contexts.append(self._conditions.now([]))

    @contextmanager
    def of_debugger(self) -> Iterator[None]:
        """What this thread imports meanwhile comes with the debugger, not with the program."""
        self._debuggers.add(get_ident())
        try:
            yield
        finally:
            self._debuggers.discard(get_ident())

    def record(self) -> dict[str, Any]:
        """The roots of the program's start, for a standby: those until the first call.

        That is a moment after the app serves: its first requests import, too. From any thread.
        """
        # The finder stays: taking it out of the list would trip an import in another thread.
        self._is_recording = False
        asked = [
            (name, number)
            for name, number in self._asked.copy().items()
            if name in sys.modules and _is_installed(sys.modules[name])
        ]
        last = len(self._contexts) - 1  # what came in the last one comes in it again
        return {
            "contexts": [list(each) for each in self._contexts],
            "roots": [each for each in asked if each[0] in self._roots],
            "others": {
                name: number for name, number in asked if name not in self._roots and number < last
            },
        }

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        """Leave finding to the others, but for what is in the stash."""
        frame = sys._getframe(1)
        caller = frame.f_back
        if caller is None or caller.f_code.co_name != "_find_and_load_unlocked":
            return None  # importlib.util.find_spec or reload: they want a spec, not the module
        module = self._stash.find(name)
        if module is not None:
            return _Restorer.spec(self, name, module)
        if self._is_recording:
            self._note([name], is_root=is_root(frame))
        return None

    def restore(self, name: str, frame: FrameType) -> bool:
        """Have the module `name` of the stash, which `frame` imports, be in sys.modules.

        Returns whether it is: not if the stash has had to be given up.
        """
        # It is held while finders are asked, too, so that threads cannot meet in the stash.
        acquire_lock()
        try:
            group = self._stash.group(name)
            if group is None:  # another thread has done it
                return name in sys.modules
            names = self._stash.coming_with(name)
            if self._is_recording:
                self._note([name], is_root=is_root(frame))
                self._note(names, is_root=False)
            if not self._hold(name, names, frame):
                self._stash.give_up()
                return False
            effects = self._stash.restore(names)
        finally:
            release_lock()
        for effect in effects:
            effect.apply()
        if any(logger.isEnabledFor(level) for logger, level in group.logged):
            self._refuse(f"{group.root} logs when imported", {group.root: "logs when imported"})
        return True

    def _hold(self, name: str, names: list[str], frame: FrameType) -> bool:
        """Whether `name` and what comes with it are what an import would bring now; else refuse."""
        now = self._conditions.now(self._hooks())
        for each in (name, *filter(_may_differ, names)):
            recorded = self._stash.contexts[each]
            if recorded != now and not _is_ours(names, frame):
                self._refuse(_difference(recorded, now), _volatile(recorded, now))
                return False
        changed = self._stash.changed_for(names)
        if changed is not None:
            reason = f"{changed} was changed by the app"
            self._refuse(reason, dict.fromkeys(self._stash.needing_directly(changed), reason))
        return changed is None

    def _note(self, names: list[str], *, is_root: bool) -> None:
        if not is_root and get_ident() in self._debuggers:
            return
        context = self._conditions.now(self._hooks())
        if context != self._contexts[-1]:
            self._contexts.append(context)
        number = len(self._contexts) - 1
        for name in names:
            if name not in self._asked and not name.startswith(traits.MODULES):
                self._asked[name] = number
                if is_root:
                    self._roots.add(name)

    def _hooks(self) -> list[str]:
        if sys.meta_path and sys.meta_path[0] is self:
            return []
        before = sys.meta_path[: sys.meta_path.index(self)] if self in sys.meta_path else []
        names = [type(each).__module__ for each in before]
        return [name for name in names if not name.startswith(f"{NAME}.")]


class _Restorer:
    """Loads a module from the stash; for all other questions it is the module's own loader."""

    def __init__(self, imports: Imports, module: Any, spec: ModuleSpec, *, is_own: bool) -> None:
        self._imports = imports
        self._module = module
        self._spec = spec
        self._loader = spec.loader
        self._is_own = is_own
        self._is_given_up = False

    @classmethod
    def spec(cls, imports: Imports, name: str, module: object) -> ModuleSpec:
        """The module's own spec, until it is loaded with this loader."""
        # With any other, a thread that finds the module in sys.modules would load it once more.
        own = namespace_of(module).get("__spec__")
        is_own = isinstance(own, ModuleSpec) and own.name == name
        spec: Any = own if is_own else ModuleSpec(name, None)
        spec.loader = cls(imports, module, spec, is_own=is_own)
        return spec  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> Any:
        """The module, so that no thread ever sees another; None if it would be written to."""
        self._is_given_up = not self._imports.restore(spec.name, sys._getframe(1))
        if self._is_given_up:
            return self._loader and self._loader.create_module(spec)
        return self._module if self._is_own else None

    def exec_module(self, module: ModuleType) -> None:
        """The import system returns what is in sys.modules."""
        self._spec.loader = self._loader
        if not self._is_given_up:
            sys.modules[self._spec.name] = self._module
        elif self._loader:
            if module.__loader__ is self:
                module.__loader__ = self._loader
            self._loader.exec_module(module)


def is_root(frame: FrameType | None) -> bool:
    """Whether an import that is under way in `frame` was asked for by the user's code or ours.

    The innermost module whose top level is being run tells; where there is none, as in a thread,
    no library is being imported.
    """
    while frame is not None:
        code = frame.f_code
        file = code.co_filename
        is_ours = file.startswith(f"<frozen {NAME}")
        if not is_ours and traits.is_own_file(file):
            return False  # a debugger evaluates something
        if code.co_name == "<module>":
            if is_ours or frame.f_globals.get("__name__") == "__main__":  # `-m`: a library's
                return True
            if not file.startswith("<"):
                return file.startswith(_OURS) or is_users(os.path.abspath(file))
        frame = frame.f_back
    return True


def _is_ours(names: list[str], frame: FrameType | None) -> bool:
    """Whether modules are for us or the debugger, and the same in every environment."""
    while frame is not None:
        if is_users(frame.f_code.co_filename):
            return False
        frame = frame.f_back
    return not any(map(_may_differ, names))


def _may_differ(name: str) -> bool:
    """Whether a module may be another one in another environment: those of Python are not."""
    return name.partition(".")[0] not in sys.stdlib_module_names


def _is_installed(module: object) -> bool:
    """Whether a module is an installed package's or Python's own."""
    spec = namespace_of(module).get("__spec__")
    return spec is not None and not is_users_spec(spec)


def is_users_spec(spec: ModuleSpec) -> bool:
    """Whether what a spec loads is the user's, or a namespace package with a part that is."""
    origin = spec.origin
    if isinstance(origin, str) and os.path.isabs(origin):
        return is_users(origin)
    return any(
        is_users(os.path.join(os.path.abspath(place), ""))
        for place in spec.submodule_search_locations or ()
    )


def _difference(recorded: Context, now: Context) -> str:
    for what, old, new in zip(Context._fields, recorded, now, strict=True):
        if old != new:
            if what == "state":
                return ", ".join(now.state) or f"no longer: {', '.join(recorded.state)}"
            if what == "env":
                return f"the environment has changed: {', '.join(_variables(recorded, now))}"
            return f"sys.{what} has changed" if what in ("path", "argv") else f"{what} has changed"
    return ""


def _variables(recorded: Context, now: Context) -> list[str]:
    old, new = recorded.env, now.env
    as_it_was = object()
    return sorted(n for n in {**old, **new} if old.get(n, as_it_was) != new.get(n, as_it_was))


def _volatile(recorded: Context, now: Context) -> dict[str, str]:
    """What may have another value at each start: not what is set earlier or later than it was."""
    both = recorded.env.keys() & now.env.keys()
    names = [f"${name}" for name in _variables(recorded, now) if name in both]
    for (what, old), new in zip(places(recorded).items(), places(now).values(), strict=True):
        if not ({*old} <= {*new} or {*old} >= {*new}):
            names.append(what)
    return dict.fromkeys(names, "has another value at each start")
