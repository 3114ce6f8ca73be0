"""The conditions in which a module is imported, as far as user code changes them before it."""

from __future__ import annotations

import builtins
import os
import sys
from typing import Any, NamedTuple

from .. import hide
from ..debugging import traits

hide(__name__)


class Context(NamedTuple):
    """What was different from the start of the process, and where names were looked for."""

    env: dict[str, str | None]
    """Variables that were set, or (None) removed."""
    path: list[str]
    argv: list[str]
    cwd: str
    state: list[str]
    """What cannot be made again in another process, in words; mostly empty."""


class Conditions:
    """Knows the environment that the process began with, and what has become of it."""

    def __init__(self) -> None:
        self._base = dict(os.environ)
        self._import = builtins.__import__
        self._path_hooks = list(sys.path_hooks)
        self._raw: Any = None
        self._last = Context({}, [], [], "", [])

    def now(self, hooks: list[str]) -> Context:
        """The present context; the same object as before when nothing has changed.

        `hooks` are import hooks that see an import before we do.
        """
        # The comparison of what is behind os.environ costs 2 µs, a copy 30.
        data = getattr(os.environ, "_data", os.environ)
        raw = (dict(data), list(sys.path), list(sys.argv), cwd(), self._state(hooks))
        if raw != self._raw:
            self._raw = raw
            paths = [
                each for each in sys.path if isinstance(each, str) and traits.VENDORED not in each
            ]
            self._last = Context(self.changes(), paths, list(sys.argv), raw[3], raw[4])
        return self._last

    def here(self) -> Context:
        """The conditions of this moment, for `enter` to come back to; not to be compared."""
        return Context(self.changes(), list(sys.path), list(sys.argv), cwd(), [])

    def changes(self) -> dict[str, str | None]:
        """How the environment differs from the one at the beginning."""
        changed = difference(self._base, dict(os.environ))
        return {k: v for k, v in changed.items() if not k.startswith(traits.VARIABLES)}

    def enter(self, context: Context) -> None:
        """Make this process's context that one; its `state` cannot be made."""
        set_environment({name: self._base.get(name) for name in self.changes()} | context.env)
        sys.path[:], sys.argv[:] = context.path, context.argv
        if cwd() != context.cwd:
            os.chdir(context.cwd)

    def _state(self, hooks: list[str]) -> list[str]:
        found = [f"{name} hooks imports" for name in hooks]
        if builtins.__import__ is not self._import:
            module = str(getattr(builtins.__import__, "__module__", ""))
            if not module.startswith(traits.MODULES):
                found.append(f"{module or 'something'} replaces __import__")
        if sys.path_hooks != self._path_hooks:
            found.append("sys.path_hooks has changed")
        found += [f"{library} has patched the standard library" for library in patchers()]
        if start_method() is not None:
            found.append("the multiprocessing start method is set")
        return found


def places(context: Context) -> dict[str, list[str]]:
    """Where the program was and looked, by the names that people know."""
    return {
        "sys.path": context.path,
        "sys.argv": context.argv,
        "the working directory": [context.cwd],
    }


_PATCHERS = (
    ("gevent", "gevent.monkey", "saved"),
    ("eventlet", "eventlet.patcher", "already_patched"),
)


def patchers() -> list[str]:
    """The libraries that have patched the standard library."""
    return [library for library, *place in _PATCHERS if at(*place)]


def start_method() -> object:
    """What multiprocessing was told to start processes by; None: nothing."""
    return at("multiprocessing.context", "_default_context", "_actual_context")


def difference(before: dict[Any, Any], after: dict[Any, Any]) -> dict[Any, Any]:
    """What was set in an environment, or (None) removed from it."""
    changed = {name: value for name, value in after.items() if before.get(name) != value}
    return {**changed, **dict.fromkeys(before.keys() - after.keys())}


def set_environment(changes: dict[str, str | None]) -> None:
    """Set variables, or (None) remove them."""
    for name, value in changes.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def cwd() -> str:
    """The working directory; empty when it was removed."""
    try:
        return os.getcwd()
    except OSError:
        return ""


def at(module: str, *attributes: str) -> Any:
    """An attribute of a module, if that is there: it may be in the midst of its own import."""
    value: Any = sys.modules.get(module)
    for attribute in attributes:
        value = getattr(value, attribute, None)
    return value
