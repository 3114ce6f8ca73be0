"""What an import leaves behind outside of sys.modules, and we can undo and do again."""

from __future__ import annotations

import atexit
import os
import sys
import warnings
from collections.abc import Callable, Iterable
from operator import itemgetter
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, NamedTuple

from .. import hide
from ..debugging.traits import MODULES
from ..modules import namespace_of
from .contexts import at, difference, set_environment

hide(__name__)


class ExitHandlers:
    """Notes what is registered with atexit, which tells nobody."""

    def __init__(self) -> None:
        self.registered: list[tuple[Callable[..., object], tuple[Any, ...], dict[str, Any]]] = []
        self._original = atexit.register
        self._is_noting = False

    def install(self) -> None:
        """Note it from now on."""
        self._is_noting = True
        atexit.register = self._register  # type: ignore[assignment]

    def remove(self) -> None:
        """Leave it; some modules may keep this function."""
        self._is_noting = False
        atexit.register = self._original

    def _register(self, function: Callable[..., object], /, *args: Any, **options: Any) -> object:
        if self._is_noting:
            self.registered.append((function, args, options))
        return self._original(function, *args, **options)


exit_handlers = ExitHandlers()


class State(NamedTuple):
    """What imports may change, and we can undo and do again."""

    env: dict[Any, Any]
    """As it lies behind os.environ, in the encoding of the system."""
    lists: tuple[list[Any], ...]
    loggers: dict[str, Any]
    exits: list[Any]
    random: Any

    @classmethod
    def now(cls) -> State:
        """As it is."""
        env = getattr(os.environ, "_data", os.environ)
        getstate = at("random", "getstate")
        state = getstate() if getstate else None
        lists = tuple(each.copy() for each in _lists())
        return cls(dict(env), lists, dict(_loggers()), exit_handlers.registered.copy(), state)

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
        for function, _, _ in exit_handlers.registered[len(self.exits) :]:
            atexit.unregister(function)
        if self.random is not None:
            sys.modules["random"].setstate(self.random)


class Effect:
    """What changed between two states."""

    def __init__(self, before: State, after: State) -> None:
        self._env = _changes(before.env, after.env)
        self._added = [_added(*each) for each in zip(before.lists, after.lists, strict=True)]
        self._words = _words_drawn(before.random, after.random)
        self._exits = after.exits[len(before.exits) :]
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
        for function, args, options in self._exits:
            atexit.register(function, *args, **options)
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
    changed = difference(before, after).items()
    return {decode(name): None if value is None else decode(value) for name, value in changed}


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
    manager = at("logging", "Logger", "manager")
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
        self._get = (
            itemgetter(*names)
            if names and not any(self._namespace is each for each in _OTHERWISE)
            else None
        )
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
            maker = now if issubclass(type(now), (*_CALLABLES, MethodType)) else type(now)
            by = str(maker.__module__)
            if now is not value and not by.startswith(_WRAPPERS):
                return name
        return None


_CALLABLES = (FunctionType, BuiltinFunctionType, type)
_CONSTANTS = (str, int, float, bytes, type(None))
_OTHERWISE = (vars(sys), vars(atexit))
_WRAPPERS = (*MODULES, f"{__package__}.safety")
"""How the modules of functions begin that only look on."""
_HOOKS = ("hook", "showwarning")
"""Set for everybody, at any time, and looked up when they are needed."""


def take_logged() -> list[tuple[Any, int]]:
    """Which loggers were asked since the last call whether a level is enabled, and which."""
    found = []
    for logger in list(_loggers().values()):
        levels = getattr(logger, "_cache", {})
        found += [(logger, level) for level in levels]
        levels.clear()
    return found
