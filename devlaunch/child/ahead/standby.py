"""A child before it is one: imports what the last generation did, and waits to be told to start.

None of the user's code runs here. What comes of an import that is not safe to be made ahead of time
(it starts a thread, opens a file, needs a module of the user's …) is not used: the launcher is told
which it was and starts another standby that leaves it to the app.
"""

from __future__ import annotations

import builtins
import importlib
import os
import sys
from _thread import get_ident
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from importlib.util import resolve_name
from time import monotonic, time_ns
from types import ModuleType
from typing import Any

from .. import hide, modules
from ..control import Control, Message
from ..modules import namespace_of
from .contexts import Conditions, Context, places
from .effects import exit_handlers
from .imports import is_users_spec
from .safety import Safety, take_warned
from .stash import Stash

hide(__name__)

TITLE = "devl-standby"
"""What ps(1) and top(1) show (15 characters at most, as of prctl(2) PR_SET_NAME)."""

RECENT = 0.5
"""Seconds for which a look at the disk holds: it was made while the last child was stopping."""

_TITLE_FILE = "/proc/self/comm"


class Standby:
    """One process's time as a standby."""

    def __init__(self, control: Control, warm: Message) -> None:
        self._control = control
        self._warm = warm
        self._began = time_ns()
        self.conditions = Conditions()
        record = warm["record"] or {"contexts": (), "roots": (), "others": {}}
        self.contexts = [Context(*each) for each in record["contexts"]]
        self.stash = Stash([root for root, _ in record["roots"]])
        self._unsafe: dict[str, str] = {}
        self._checked: tuple[float, str | None] = (-RECENT, None)
        self._files: dict[str, str] = {}
        self._guard = _Guard(self, record["others"], frozenset(warm["avoid"]))
        self._base = self.conditions.here()
        entries = {entry for context in self.contexts for entry in context.path}
        self._places = {place: _state(place) for place in map(os.path.abspath, entries)}

    def run(self) -> Message | None:
        """Returns the `start` message; None when the launcher is gone."""
        title = _set_title(TITLE)
        if self.contexts:
            self._import_all()
            for root, needed in self.stash.needing(self._guard.culprits).items():
                why = f"needs {needed}, which {self._guard.culprits[needed]}"
                self._unsafe.setdefault(root, why)
        self.stash.put_away()
        files = {name: _file(module) for name, module in self.stash.modules.items()}
        self._files = {path: name for name, path in files.items() if os.path.isabs(path)}
        self._control.send(
            "warm", modules=len(self.stash.modules), memory=memory(), unsafe=self._unsafe
        )
        self._introduce_files()
        start = self._control.receive()
        while start and start["type"] == "check":
            self._checked = monotonic(), self._outdated()
            start = self._control.receive()
        _set_title(title)
        del sys.modules[f"{__package__}.safety"]  # as in any other child
        return start

    def unfit(self) -> str | None:
        """Why this must not become a child, after all; None when it may."""
        if self._unsafe:
            return f"{next(iter(self._unsafe))} {next(iter(self._unsafe.values()))}"
        checked, reason = self._checked
        return reason if monotonic() - checked < RECENT else self._outdated()

    def stopped_by(self, breakpoints: list[str]) -> str | None:
        """Why these breakpoints, in files that are not the user's, need a cold start; or None."""
        if not breakpoints:
            return None
        for path, name in self._files.items():
            if os.path.realpath(path) in breakpoints:
                return f"there is a breakpoint in {name}"
        return None

    def _introduce_files(self) -> None:
        """Have pydevd resolve paths that it will meet while the app is imported: 60 us each."""
        utils: Any = sys.modules.get("pydevd_file_utils")
        for path in self._files if utils else ():
            if self._control.has_message():
                break
            utils.get_abs_path_real_path_and_base_from_file(path)

    # --- importing ------------------------------------------------------------------------------

    def _import_all(self) -> None:
        self._guard.install()
        muted = [each for each in (sys.stdout, sys.stderr) if _mute(each, self._guard.is_silent)]
        try:
            for root, number in self._warm["record"]["roots"]:
                if self._control.has_message() or memory() > self._warm["memory"]:
                    break
                if root not in sys.modules and not self._is_left(root, number):
                    self._import(root, number)
        finally:
            for stream in muted:
                del stream.write
            self._guard.remove()
            self.conditions.enter(self._base)

    def _is_left(self, root: str, number: int) -> bool:
        unsafe = self._warm["unsafe"]
        parts = root.split(".")
        return not self.can_make(self.contexts[number]) or any(
            ".".join(parts[: count + 1]) in unsafe for count in range(len(parts))
        )

    def can_make(self, context: Context) -> bool:
        """Whether an import here can be made in that context."""
        unsafe, first = self._warm["unsafe"], places(self.contexts[0])
        return (
            not context.state
            and os.path.isdir(context.cwd)
            and not any(f"${name}" in unsafe for name in context.env)
            and not any(
                what in unsafe and first[what] != at for what, at in places(context).items()
            )
        )

    def _import(self, root: str, number: int) -> None:
        self.conditions.enter(self.contexts[number])
        self._guard.begin(root, number)
        try:
            importlib.import_module(root)
        except BaseException as error:
            self._guard.complain(f"{type(error).__name__} when imported alone")
        self._guard.end()
        reason = self.stash.add(root)
        if reason is not None:
            self._guard.complain(reason, root)
        for name in take_warned():
            self._guard.complain("warns when imported", name)
        if self._guard.complaint is not None:
            self._unsafe[root] = self._guard.complaint

    # --- whether it still holds -----------------------------------------------------------------

    def _outdated(self) -> str | None:
        return self._shadowed() or self._changed()

    def _changed(self) -> str | None:
        """Look at each file that was imported: in place, by an installer, by a link to a cache."""
        directories = {os.path.dirname(path): name for path, name in self._files.items()}
        for paths, what in ((self._files, ""), (directories, "something beside ")):
            # The next generation waits for this: no call but the system's.
            stat, began = os.stat, self._began
            for path, name in paths.items():
                try:
                    status = stat(path)
                    is_newer = status.st_ctime_ns > began or status.st_mtime_ns > began
                except OSError:
                    is_newer = True
                if is_newer:
                    return f"{what}{name} has changed on the disk"
        return None

    def _shadowed(self) -> str | None:
        """Look for what has been added to the directories in which modules are searched for."""
        tops = {name.partition(".")[0] for name in self.stash.modules}
        for place, before in self._places.items():
            if _state(place) == before:
                continue
            if not modules.is_users(os.path.join(place, "")):
                return f"{place} has changed"
            names = os.listdir(place) if os.path.isdir(place) else []
            for name in tops.intersection(name.partition(".")[0] for name in names):
                return f"{place} has a {name} of its own"
        return None


class _Guard:
    """A finder and an `__import__` that know which module needs which, and keep user code out.

    `others` says of modules that came with a root in the number of which context that was.
    """

    def __init__(self, standby: Standby, others: dict[str, int], avoid: frozenset[str]) -> None:
        self._standby = standby
        self._others = others
        self._number = 0
        self._stash = standby.stash
        self._needs = standby.stash.needs
        self._ledger = standby.stash.ledger
        self._safety = Safety()
        self._avoid = avoid
        self._import: Callable[..., Any] = builtins.__import__
        self._running: list[str] = []
        self._thread = get_ident()
        self.complaint: str | None = None
        """Why the import of the present root is not safe."""
        self.culprits: dict[str, str] = {}
        """The modules that did what is not safe, and what it was."""

    def install(self) -> None:
        """Watch all imports."""
        sys.meta_path.insert(0, self)
        builtins.__import__ = self._note_import
        exit_handlers.install()
        self._safety.install()

    def remove(self) -> None:
        """Leave everything as it was."""
        sys.meta_path.remove(self)
        builtins.__import__ = self._import
        exit_handlers.remove()
        self._safety.remove()

    def begin(self, module: str, number: int | None = None) -> None:
        """The code of a module begins to run; or of a root, in the context of that number."""
        if number is None:
            self._account()
        else:
            self.complaint = None
            self._enter(number)
        self._running.append(module)

    def end(self) -> None:
        """The code of the module that began last has run."""
        self._account()
        self._running.pop()

    def within(self, module: str, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function where the app imported a module, if that was before what is imported now.

        That is so when what it came with is left to the app.
        """
        number, now = self._others.get(module, self._number), self._number
        if number >= now:
            return function(*args)
        context, here = self._standby.contexts[number], self._standby.conditions.here()
        if not self._standby.can_make(context):
            self.complain(f"needs {module}, which cannot be imported ahead")
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)
        self._stash.contexts.setdefault(module, context)
        self._account()
        self._standby.conditions.enter(context)
        self._enter(number)
        try:
            return function(*args)
        finally:
            self._account()
            self._standby.conditions.enter(here)
            self._enter(now)

    def _enter(self, number: int) -> None:
        """The context is this one now, and that is nobody's doing."""
        self._number = number
        self._ledger.skip()
        self._safety.violation()

    def _account(self) -> None:
        """What has happened since the last call is the doing of the module that runs."""
        arrivals = self._stash.arrivals(self._standby.contexts[self._number])
        self._needs.setdefault(self._running[-1], set()).update(arrivals)
        if not self._ledger.charge(self._running[-1]):
            self.complain("rearranges warnings filters, or seeds random numbers")
        reason = self._safety.violation()
        if reason is not None:
            self.complain(reason)

    def is_silent(self) -> bool:
        """Whether nothing is being imported; what an import prints belongs to the app's output."""
        if self._running:
            self.complain("prints when imported")
        return not self._running

    def complain(self, reason: str, culprit: str | None = None) -> None:
        """The present import is not safe; the first reason counts."""
        culprit = culprit or self._running[-1]
        self.culprits.setdefault(culprit, reason)
        self.complaint = self.complaint or reason

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """As the other finders, but a module of the user's is not found."""
        if get_ident() != self._thread:  # the debugger's
            return None
        self._needs.setdefault(self._running[-1], set()).add(name)
        return self.within(name, self._search, name, path, target)  # type: ignore[no-any-return]

    def _search(self, name: str, path: Any, target: Any) -> ModuleSpec | None:
        for finder in sys.meta_path:
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find else None
            if spec is not None:
                return self._checked(name, spec)
        return None

    def _checked(self, name: str, spec: ModuleSpec) -> ModuleSpec:
        if is_users_spec(spec):
            self.complain(f"imports {name}, which is yours")
        elif self._avoid and os.path.realpath(str(spec.origin)) in self._avoid:
            self.complain(f"imports {name}, which has a breakpoint")
        else:
            if hasattr(spec.loader, "create_module"):
                loader: Any = _Observed(self, spec.loader)
                spec.loader = loader
            return spec
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    def _note_import(
        self,
        name: str,
        globals: Any = None,  # noqa: A002
        locals: Any = None,  # noqa: A002
        fromlist: Any = (),
        level: int = 0,
    ) -> Any:
        module = self._import(name, globals, locals, fromlist, level)
        base = _absolute(name, globals, level)
        if self._running and get_ident() == self._thread:
            # Not by whose function it is in: that of another module may be called.
            needs = self._needs.setdefault(self._running[-1], set())
            needs.add(base)
            if fromlist and "*" in fromlist:
                fromlist = namespace_of(module).get("__all__", ())
            needs.update(f"{base}.{each}" for each in fromlist or ())
        return module


class _Observed:
    """A module's own loader, which says when its code begins and ends to run."""

    def __init__(self, guard: _Guard, loader: Any) -> None:
        self._guard = guard
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Extension modules of the older kind run their code in here."""
        return self._observe(spec.name, self._loader.create_module, spec)  # type: ignore[no-any-return]

    def exec_module(self, module: ModuleType) -> None:
        """The module is to see its own loader."""
        spec = module.__spec__
        if spec is not None:
            spec.loader = self._loader
        if module.__loader__ is self:
            module.__loader__ = self._loader
        self._observe(module.__name__, self._loader.exec_module, module)

    def _observe(self, module: str, function: Callable[[Any], Any], argument: object) -> Any:
        return self._guard.within(module, self._run, module, function, argument)

    def _run(self, module: str, function: Callable[[Any], Any], argument: object) -> Any:
        self._guard.begin(module)
        try:
            return function(argument)
        finally:
            self._guard.end()


def _absolute(name: str, namespace: dict[str, Any], level: int) -> str:
    if level == 0:
        return name
    own = str(namespace["__name__"])
    parent = own if "__path__" in namespace else own.rpartition(".")[0]
    return resolve_name("." * level + name, namespace.get("__package__") or parent)


def memory() -> int:
    """Bytes of memory that this process has resident; 0 where that is not known."""
    if sys.platform == "win32":
        return 0
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def _set_title(title: str) -> str:
    """Name this process; returns its name before."""
    try:
        with open(_TITLE_FILE, "r+") as file:
            before = file.read().strip()
            file.write(title)
    except (OSError, ValueError):
        return ""
    return before


def _mute(stream: Any, may_write: Callable[[], bool]) -> bool:
    """Keep a text stream from being written to; some keep its `write` for later."""

    def write(text: str) -> int:
        return type(stream).write(stream, text) if may_write() else len(text)

    try:
        stream.write = write
    except AttributeError:
        return False
    return True


def _file(module: object) -> str:
    """Where a module came from: a file, or an archive; empty where that is unknown."""
    spec = namespace_of(module).get("__spec__")
    path = getattr(getattr(spec, "loader", None), "archive", getattr(spec, "origin", None))
    return path if isinstance(path, str) else ""


def _state(path: str) -> tuple[int, ...]:
    try:
        status = os.stat(path)
    except OSError:
        return ()
    return status.st_ino, status.st_mtime_ns, status.st_ctime_ns
