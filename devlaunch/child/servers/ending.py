"""Ends the process of an app that was told to stop, without taking its modules apart.

CPython frees every object of every module at its end: 30 ms for a small app, 190 ms with pandas, in
which the next child waits. Whatever of this others could notice is done here in the same order
(`Py_FinalizeEx`): threads, exit handlers, buffered output. Where more than that could be noticed,
the interpreter ends in its own way.
"""

from __future__ import annotations

import atexit
import gc
import io
import itertools
import os
import sys
import threading
from _thread import allocate_lock
from types import CoroutineType
from typing import Any

from .. import hide

hide(__name__)

_BUFFERING = frozenset({io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom, io.BufferedRWPair})
_NOTABLE = frozenset({*_BUFFERING, CoroutineType})
_PLAIN = frozenset({*_BUFFERING, io.BufferedReader, io.FileIO, io.BytesIO, io.StringIO})
_HARMLESS = (
    *("asyncio", "subprocess", "multiprocessing", "threading", "concurrent", "socket", "ssl"),
    *("_asyncio", "pydevd", "_pydev", "debugpy"),
)
"""Packages whose `__del__` does nothing but warn, or give back what the system takes back."""


class Running:
    """The server, as the control thread knows it (`bootstrap.Stoppable`), until it has ended."""

    def __init__(self) -> None:
        self._server: Any = None
        self._is_asked = False
        # Else the control thread could be the one that frees the app, and what runs then.
        self._lock = allocate_lock()

    def begin(self, server: Any) -> None:
        """The server answers from now on."""
        self._server = server

    def stop(self, grace: float) -> None:
        """Begin to shut down."""
        self._is_asked = True
        with self._lock:
            if self._server:
                self._server.stop(grace)

    def open_requests(self) -> list[str]:
        """What has not been answered yet."""
        with self._lock:
            return self._server.open_requests() if self._server else []

    def cut(self) -> None:
        """Wait for open requests no longer."""
        with self._lock:
            if self._server:
                self._server.cut()

    def end(self) -> None:
        """The server has ended: forget it, so that the app is freed at the interpreter's end.

        If a stop was asked for and nobody could tell, the process ends here and now, with status 0.
        Only in the main thread.
        """
        with self._lock:
            self._server = None
        if self._is_asked and not _shows_its_end():
            threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001
            atexit._run_exitfuncs()  # noqa: SLF001
            if _is_plain(gc.get_objects()) and _flush_standard():
                os._exit(0)


def _shows_its_end() -> bool:
    """Whether this interpreter was told to report what it meets at its end, or is another one."""
    return bool(
        sys.implementation.name != "cpython"
        or sys.flags.dev_mode
        or sys.flags.verbose
        or sys.warnoptions
        or gc.get_debug()
    )


def _is_plain(alive: list[object]) -> bool:
    """Whether the end of all these objects shows nothing but that files are flushed: they are."""
    # There are hundreds of thousands, and a debugger looks at each call of a function.
    types = list(map(type, alive))
    kinds = {kind for kind in set(types) if hasattr(kind, "__del__")}
    task = getattr(sys.modules.get("_asyncio"), "Task", CoroutineType)
    if gc.get_freeze_count() or any(map(_finalizes, kinds - _PLAIN - {CoroutineType, task})):
        return False
    # By index: to touch each object once more takes as long as all the rest.
    found = itertools.compress(itertools.count(), map(_NOTABLE.__contains__, types))
    notable = [alive[index] for index in found]
    # A debugger keeps some alive that have long ended, in the frames of tracebacks. The `finally`
    # clauses of one that is suspended are still to run.
    if any(each.cr_frame is not None for each in notable if type(each) is CoroutineType):
        return False
    streams = [each for each in notable if type(each) is not CoroutineType]
    # Text first, which then lies in the buffer of its binary stream.
    for stream in sorted(streams, key=lambda stream: type(stream) is not io.TextIOWrapper):
        _flush(stream)
    return True


def _finalizes(kind: type) -> bool:
    """Whether the end of an object of this type may write something, such as a zip's directory."""
    module = kind.__dict__.get("__module__")
    return not (isinstance(module, str) and module.startswith(_HARMLESS))


def _flush(stream: Any) -> None:
    try:
        stream.flush()
    except (OSError, ValueError):  # closed, only for reading, or nobody reads it: as at any end
        pass


def _flush_standard() -> bool:
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except Exception:
            return False  # the interpreter's own end says so, and sets the status
    return True
