"""What an import leaves behind outside of sys.modules.

Some of it can be taken back and done again later (`Effect`); the rest makes an import unsafe for
a standby (`Safety`).
"""

from __future__ import annotations

import builtins
import gc
import os
import signal
import sys
import warnings
from _thread import get_ident
from collections.abc import Iterable
from operator import itemgetter
from types import BuiltinFunctionType, FunctionType
from typing import Any, NamedTuple

from . import hide
from .contexts import set_environment

hide(__name__)

_SIGNALS = sorted(signal.valid_signals())
_FD_DIRECTORIES = ("/proc/self/fd", "/dev/fd")


class State(NamedTuple):
    """What imports may change, and we can undo and do again."""

    env: dict[Any, Any]
    """As it lies behind os.environ, in the encoding of the system."""
    lists: tuple[list[Any], ...]
    loggers: dict[str, Any]
    random: Any

    @classmethod
    def now(cls) -> State:
        """As it is."""
        env = getattr(os.environ, "_data", os.environ)
        getstate = _at("random", "getstate")
        state = getstate() if getstate else None
        return cls(dict(env), tuple(each.copy() for each in _lists()), dict(_loggers()), state)

    def restore(self) -> None:
        """Make it so again."""
        set_environment(_changes(State.now().env, self.env))
        for live, before in zip(_lists(), self.lists, strict=True):
            if live != before:
                live[:] = before
                _tell_filters_changed()
        loggers = _loggers()
        loggers.clear()
        loggers.update(self.loggers)
        if self.random is not None:
            sys.modules["random"].setstate(self.random)


class Effect:
    """What changed between two states."""

    def __init__(self, before: State, after: State) -> None:
        self._env = _changes(before.env, after.env)
        self._added = [_added(*each) for each in zip(before.lists, after.lists, strict=True)]
        self._words = _words_drawn(before.random, after.random)
        logging: Any = sys.modules.get("logging")
        self.loggers = [
            (name, logger)
            for name, logger in after.loggers.items()
            if before.loggers.get(name) is not logger and isinstance(logger, logging.Logger)
        ]
        """They need the logging module to be there."""

    @property
    def is_complete(self) -> bool:
        """Whether it can be done again."""
        return None not in self._added and self._words is not None

    def apply(self) -> None:
        """Do it again."""
        set_environment(self._env)
        for live, added in zip(_lists(), self._added, strict=True):
            first, last = added or ([], [])
            for each in reversed(first):
                if each in live:
                    live.remove(each)
                live.insert(0, each)
            live.extend(each for each in last if each not in live)
            if first or last:
                _tell_filters_changed()
        if self._words:
            sys.modules["random"].getrandbits(32 * self._words)
        for name, logger in self.loggers:
            _register(name, logger)


class Ledger:
    """Which module has had which effects, in order."""

    def __init__(self) -> None:
        self._last = State.now()
        self._count = 0
        self._entries: dict[str, list[tuple[int, Effect]]] = {}

    def skip(self) -> None:
        """What has happened since the last call is nobody's."""
        self._last = State.now()

    def charge(self, module: str) -> bool:
        """What has happened since the last call is this module's; whether it can be done again."""
        before, self._last = self._last, State.now()
        if before == self._last:
            return True
        self._count += 1
        effect = Effect(before, self._last)
        self._entries.setdefault(module, []).append((self._count, effect))
        return effect.is_complete

    def take(self, modules: Iterable[str]) -> list[Effect]:
        """The effects of these modules, in order; each only once."""
        entries = [entry for name in modules for entry in self._entries.pop(name, ())]
        return [effect for _, effect in sorted(entries, key=itemgetter(0))]


def _changes(before: dict[Any, Any], after: dict[Any, Any]) -> dict[str, str | None]:
    decode = getattr(os.environ, "decodevalue", str)
    changed = {k: decode(v) for k, v in after.items() if before.get(k) != v}
    gone = dict.fromkeys(before.keys() - after.keys(), None)
    return {decode(name): value for name, value in {**gone, **changed}.items()}


def _added(before: list[Any], after: list[Any]) -> tuple[list[Any], list[Any]] | None:
    """What was put in front (moved there, if it was in) and what at the end; None: neither."""
    for count in range(len(after) + 1):
        first = after[:count]
        kept = [each for each in before if each not in first]
        if after[count : count + len(kept)] == kept:
            return first, after[count + len(kept) :]
    return None


_TWIST = 624
"""The words of a Mersenne Twister's state, after which it makes new ones."""


def _words_drawn(before: Any, after: Any) -> int | None:
    """How many words of 32 bits were drawn from it; None: that cannot be told."""
    if before is None or before == after:
        return 0
    twin = sys.modules["random"].Random()
    drawn = after[1][-1] - before[1][-1]
    for count in (drawn, drawn + _TWIST, drawn + 2 * _TWIST):
        if count > 0:
            twin.setstate(before)
            twin.getrandbits(32 * count)
            if twin.getstate() == after:
                return int(count)
    return None


def _lists() -> tuple[list[Any], ...]:
    """What imports put something into: at the front or at the end."""
    filters: Any = warnings.filters
    return filters, sys.meta_path, sys.path_hooks


def _tell_filters_changed() -> None:
    with warnings.catch_warnings():  # which says so at both ends
        pass


def _loggers() -> dict[str, Any]:
    manager = _at("logging", "Logger", "manager")
    return manager.loggerDict if manager is not None else {}


def _register(name: str, logger: Any) -> None:
    """Make `logger`, which the manager does not know any more, what `getLogger(name)` returns.

    The user's code may have asked for the name meanwhile, and set it up: then both share its state.
    """
    logging: Any = sys.modules["logging"]
    manager = logging.Logger.manager
    is_new = not isinstance(manager.loggerDict.get(name), logging.Logger)
    known = logging.getLogger(name)
    for handler in logger.handlers:
        known.addHandler(handler)
    if logger.level:
        known.setLevel(logger.level)
    known.propagate = known.propagate and logger.propagate
    if type(known) is type(logger) or known.__class__.__module__ != "logging":
        try:
            logger.__class__ = type(known)
        except TypeError:  # of another layout
            return
    logger.__dict__ = known.__dict__
    if is_new:
        manager.loggerDict[name] = logger


class Face:
    """What a module is for those that import it: its functions, classes and constants."""

    def __init__(self, module: object) -> None:
        self._namespace = namespace_of(module)
        name = str(self._namespace.get("__name__"))
        is_stdlib = name.partition(".")[0] in sys.stdlib_module_names
        kinds = _CALLABLES if is_stdlib else (*_CALLABLES, *_CONSTANTS)
        names = [
            name
            for name, value in list(self._namespace.items())
            if issubclass(type(value), kinds) and name[:1] != "_" and not name.endswith(_HOOKS)
        ]
        self._values = {name: self._namespace[name] for name in names}
        self._get = itemgetter(*names) if names and self._namespace is not vars(sys) else None
        self._known = self._get(self._namespace) if self._get else None

    def change(self) -> str | None:
        """An attribute that is another one now; None: none is."""
        try:
            if self._get is None or self._get(self._namespace) == self._known:
                return None
        except KeyError:
            pass
        for name, value in self._values.items():
            now = self._namespace.get(name)
            by = str(getattr(now, "__module__", "")) if issubclass(type(now), _CALLABLES) else ""
            if now is not value and not by.startswith(("pydev", "_pydev", "debugpy")):
                return name
        return None


_CALLABLES = (FunctionType, BuiltinFunctionType, type)
_CONSTANTS = (str, int, float, bytes, type(None))
_HOOKS = ("hook", "showwarning")
"""Set for everybody, at any time, and looked up when they are needed."""


class Safety:
    """Looks at what no import may change in a standby."""

    def __init__(self) -> None:
        take_logged()
        take_warned()
        self._before = _look()

    def violation(self) -> str | None:
        """What was changed since the last look, in words; None: nothing."""
        before, self._before = self._before, _look()
        for what, value in self._before.items():
            if what in _MAY_SHRINK:
                if value - before[what]:
                    return what
            elif value != before[what] and before[what] is not _UNKNOWN:
                return what
        return None


_UNKNOWN = object()
_MAY_SHRINK = ("starts a thread", "opens a file or socket")


def _look() -> dict[str, Any]:
    everything = _at("_locale", "LC_ALL")
    manager = _at("logging", "Logger", "manager")
    return {
        "starts a thread": _threads(),
        "opens a file or socket": _open_files(),
        "sets a signal handler": _signal_handlers(),
        "sets the locale": (
            _UNKNOWN if everything is None else _call(_at("_locale", "setlocale"), everything)
        ),
        "sets up logging": (
            (tuple(manager.root.handlers), manager.root.level, manager.disable)
            if manager
            else _UNKNOWN
        ),
        "sets the multiprocessing start method": _at(
            "multiprocessing.context", "_default_context", "_actual_context"
        ),
        "sets the event loop policy": _at("asyncio.events", "_event_loop_policy"),
        "sets the socket timeout": _call(_at("_socket", "getdefaulttimeout")),
        "replaces a stream": (sys.stdin, sys.stdout, sys.stderr),
        "sets a hook": (
            sys.excepthook,
            sys.displayhook,
            sys.unraisablehook,
            sys.breakpointhook,
            _at("threading", "excepthook"),
            warnings.showwarning,
            tuple(gc.callbacks),
        ),
        "changes builtins": vars(builtins).copy(),
        "changes the garbage collection": (gc.isenabled(), gc.get_threshold()),
        "switches bytecode off": sys.dont_write_bytecode,
        "starts a process": _processes(),
        "sets a timer": sys.platform != "win32" and any(signal.getitimer(signal.ITIMER_REAL)),
        "changes sys.path": tuple(sys.path),
        "changes sys.argv": tuple(sys.argv),
        "changes the working directory": os.getcwd(),
        "sets the recursion limit": sys.getrecursionlimit(),
        "patches the standard library": tuple(
            bool(_at(module, attribute))
            for module, attribute in (
                ("gevent.monkey", "saved"),
                ("eventlet.patcher", "already_patched"),
            )
        ),
    }


def namespace_of(module: object) -> dict[str, Any]:
    """The attributes of a module, without running code of its own."""
    try:
        namespace = object.__getattribute__(module, "__dict__")
    except AttributeError:
        return {}
    return namespace if isinstance(namespace, dict) else {}  # typing.io is a class


def take_logged() -> list[tuple[Any, int]]:
    """Which loggers were asked since the last call whether a level is enabled, and which."""
    found = []
    for logger in list(_loggers().values()):
        levels = getattr(logger, "_cache", {})
        found += [(logger, level) for level in levels]
        levels.clear()
    return found


def take_warned() -> list[str]:
    """The modules to which warnings were ascribed since the last call, shown or not."""
    # The interpreter makes one before it looks at the filters.
    modules = list(sys.modules.items())
    return [name for name, each in modules if namespace_of(each).pop(_REGISTRY, None) is not None]


_REGISTRY = "__warningregistry__"


def _at(module: str, *attributes: str) -> Any:
    """An attribute of a module, if that is there: it may be in the midst of its own import."""
    value: Any = sys.modules.get(module)
    for attribute in attributes:
        value = getattr(value, attribute, None)
    return value


def _call(function: Any, *args: object) -> object:
    return function(*args) if function is not None else _UNKNOWN


def _threads() -> frozenset[int]:
    """Threads of Python, but the debugger's."""
    known = _at("threading", "_active") or {}
    return frozenset(
        ident
        for ident in sys._current_frames()  # noqa: SLF001
        if ident != get_ident() and not getattr(known.get(ident), "is_pydev_daemon_thread", False)
    )


def _open_files() -> frozenset[str]:
    for directory in _FD_DIRECTORIES:
        try:
            names = os.listdir(directory)
        except OSError:
            continue
        return frozenset(name for name in names if _is_open(int(name)))
    return frozenset()


def _processes() -> str:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return file.read()
    except OSError:
        return ""


def _is_open(fd: int) -> bool:
    """Not the one with which the directory was listed."""
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _signal_handlers() -> tuple[object, ...]:
    return tuple(map(signal.getsignal, _SIGNALS))
