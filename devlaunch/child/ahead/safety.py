"""What an import must not do in a standby, since it cannot be undone and done again."""

from __future__ import annotations

import builtins
import gc
import os
import signal
import sys
import warnings
from _thread import get_ident
from typing import Any

from .. import hide
from ..debugging.traits import is_own_thread
from ..modules import namespace_of
from .contexts import at, patchers, start_method
from .effects import take_logged

hide(__name__)

_SIGNALS = sorted(signal.valid_signals())
_FD_DIRECTORIES = ("/proc/self/fd", "/dev/fd")


class Safety:
    """Looks at what no import may change in a standby."""

    def __init__(self) -> None:
        take_logged()
        take_warned()
        self._before = _look()

    def install(self) -> None:
        """See what the system does not tell afterwards."""
        if sys.platform == "win32":
            _made.install()

    def remove(self) -> None:
        """Leave everything as it was."""
        if sys.platform == "win32":
            _made.remove()

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
    everything = at("_locale", "LC_ALL")
    manager = at("logging", "Logger", "manager")
    return {
        "starts a thread": _threads(),
        "opens a file or socket": _open_files(),
        "sets a signal handler": tuple(map(signal.getsignal, _SIGNALS)),
        "sets the locale": (
            _UNKNOWN if everything is None else _call(at("_locale", "setlocale"), everything)
        ),
        "sets up logging": (
            (tuple(manager.root.handlers), manager.root.level, manager.disable)
            if manager
            else _UNKNOWN
        ),
        "sets the multiprocessing start method": start_method(),
        "sets the event loop policy": at("asyncio.events", "_event_loop_policy"),
        "sets the socket timeout": _call(at("_socket", "getdefaulttimeout")),
        "replaces a stream": (sys.stdin, sys.stdout, sys.stderr),
        "sets a hook": (
            sys.excepthook,
            sys.displayhook,
            sys.unraisablehook,
            sys.breakpointhook,
            at("threading", "excepthook"),
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
        "patches the standard library": patchers(),
    }


def take_warned() -> list[str]:
    """The modules to which warnings were ascribed since the last call, shown or not."""
    # The interpreter makes one before it looks at the filters.
    modules = list(sys.modules.items())
    return [name for name, each in modules if namespace_of(each).pop(_REGISTRY, None) is not None]


_REGISTRY = "__warningregistry__"


def _call(function: Any, *args: object) -> object:
    return function(*args) if function is not None else _UNKNOWN


def _threads() -> frozenset[int]:
    """Threads of Python, but the debugger's."""
    known = at("threading", "_active") or {}
    return frozenset(
        ident
        for ident in sys._current_frames()
        if ident != get_ident() and not is_own_thread(known.get(ident))
    )


def _is_open(fd: int) -> bool:
    """Not the one with which the directory was listed."""
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


if sys.platform == "win32":
    import _winapi
    import socket
    from weakref import WeakKeyDictionary

    _MAKERS: tuple[tuple[Any, str], ...] = (
        (socket.socket, "__init__"),
        (_winapi, "CreateProcess"),
    )
    _FREE = 16
    """So many free numbers in a row, and no file is open beyond: it would have got the lowest."""

    class _Made:
        """Sockets and processes as they are made: no descriptors, and on no list, on Windows."""

        def __init__(self) -> None:
            self._sockets: WeakKeyDictionary[socket.socket, str] = WeakKeyDictionary()
            self._count = 0
            self.processes = 0

        def install(self) -> None:
            self._kept = [getattr(*each) for each in _MAKERS]
            make_socket, make_process = self._kept

            def init(sock: socket.socket, *args: Any, **options: Any) -> None:
                make_socket(sock, *args, **options)
                self._count += 1
                self._sockets[sock] = f"socket {self._count}"

            def create(*args: Any) -> Any:
                self.processes += 1
                return make_process(*args)

            self._put(init, create)

        def remove(self) -> None:
            self._put(*self._kept)

        def _put(self, *functions: Any) -> None:
            for (owner, name), function in zip(_MAKERS, functions, strict=True):
                setattr(owner, name, function)

        def open_sockets(self) -> list[str]:
            return [name for sock, name in list(self._sockets.items()) if sock.fileno() != -1]

    _made = _Made()

    def _open_files() -> frozenset[str]:
        found, number, free = _made.open_sockets(), 0, 0
        while free < _FREE:
            free += 1
            if _is_open(number):
                found.append(str(number))
                free = 0
            number += 1
        return frozenset(found)

    def _processes() -> int:
        return _made.processes

else:

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
