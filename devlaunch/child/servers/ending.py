"""Ends the process of an app that was told to stop, without taking its modules apart.

CPython frees every object of every module at its end: 30 ms for a small app, 190 ms with pandas, in
which the next child waits. Whatever of this others could notice is done here in the same order
(`Py_FinalizeEx`): threads, exit handlers, buffered output. Where more than that could be noticed
(an open archive, a pool of processes, an object with a `__del__` of its own, SQLite's write-ahead
log), the interpreter ends in its own way. None of our threads may hold the app then: daemon threads
are stopped where they are, and what their frames refer to never comes to its end.
"""

from __future__ import annotations

import atexit
import gc
import io
import itertools
import os
import sys
import threading
import weakref
from _thread import allocate_lock
from collections.abc import Callable
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any

from .. import NAME, hide
from ..debugging.traits import MODULES
from .requests import OpenRequests

hide(__name__)

_BUFFERING = frozenset({io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom, io.BufferedRWPair})
_PLAIN = frozenset({*_BUFFERING, io.BufferedReader, io.FileIO, io.BytesIO, io.StringIO})
_HARMLESS = (
    *("asyncio", "subprocess", "multiprocessing", "threading", "concurrent", "socket", "ssl"),
    *("_asyncio", "sqlite3", *MODULES, NAME),
)
"""Packages whose `__del__` does nothing but warn, or give back what the system takes back."""
_SUSPENDING = {GeneratorType: "gi_frame", CoroutineType: "cr_frame", AsyncGeneratorType: "ag_frame"}
"""What has a frame until it has ended."""
_FROZEN = gc.get_freeze_count()
"""Objects that no look finds: CPython 3.12's own, before the app has any."""


class Running:
    """The server, as the control thread knows it, until it has ended."""

    def __init__(self, requests: OpenRequests) -> None:
        self._requests = requests
        self._stop: Callable[[float], None] | None = None
        self._is_asked = False
        self._survey: _Survey | None = None
        # Else the control thread could be the one that frees the app, and what runs then.
        self._lock = allocate_lock()

    def begin(self, stop: Callable[[float], None]) -> None:
        """The server answers from now on."""
        self._stop = stop

    def survey(self) -> None:
        """The app serves and has nothing to do: look at what would have to be looked at later."""
        with self._lock:  # an end in the midst of it would find all objects in this thread's hands
            if self._stop:
                self._survey = _survey()

    def stop(self, grace: float) -> None:
        """Begin to shut down, which may take `grace` seconds."""
        self._is_asked = True
        with self._lock:
            if self._stop:
                self._stop(grace)

    def open_requests(self) -> list[str]:
        """What has not been answered yet."""
        with self._lock:
            return self._requests.names() if self._stop else []

    def cut(self) -> None:
        """Wait for open requests no longer."""
        with self._lock:
            if self._stop:
                self._requests.cut()

    def end(self) -> None:
        """The server has ended: forget it, so that the app is freed at the interpreter's end.

        If a stop was asked for and nobody could tell, the process ends here and now, with status 0.
        Only in the main thread.
        """
        with self._lock:
            self._stop = None
        if self._is_asked and not _shows_its_end():
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
            notable = self._survey.now() if self._survey else None
            if notable is None:
                notable = _notable(gc.get_objects())
            if _is_plain(notable) and not _has_log() and _flush_standard():
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


class _Survey:
    """What could be noticed at the end and was alive at this moment.

    As long as no collection has made older objects of the younger ones, what has come since is
    among the young: the end, in which the next child waits, has to look at hundreds, and not at
    hundreds of thousands.
    """

    def __init__(self) -> None:
        self._collections = _collections_of_the_young()
        self._seen = [weakref.ref(each) for each in _notable(gc.get_objects())]

    def now(self) -> list[Any] | None:
        """What of it is alive, and what has come since; None when that is not known any more."""
        young = gc.get_objects(0) + gc.get_objects(1)
        if self._collections != _collections_of_the_young():
            return None
        return [each for ref in self._seen if (each := ref()) is not None] + _notable(young)


def _survey() -> _Survey | None:
    """None where it can be of no use."""
    # Since 3.14 collections are made bit by bit; without the GIL there are no generations.
    if sys.version_info >= (3, 14) or not getattr(sys, "_is_gil_enabled", lambda: True)():
        return None
    try:
        return _Survey()
    except TypeError:  # what has no weak references
        return None


def _collections_of_the_young() -> list[int]:
    return [generation["collections"] for generation in gc.get_stats()[1:]]


def _notable(alive: list[Any]) -> list[Any]:
    """Those whose end may be noticed: streams, coroutines, and what runs code of its own then."""
    # A debugger looks at each call of a function, and to touch each object takes long: once.
    types = list(map(type, alive))
    kinds = {kind for kind in set(types) if kind in _BUFFERING or _finalizes(kind)}
    return [alive[i] for i in itertools.compress(itertools.count(), map(kinds.__contains__, types))]


def _is_plain(notable: list[Any]) -> bool:
    """Whether the end of all these objects shows nothing but that files are flushed: they are."""
    if gc.get_freeze_count() != _FROZEN:
        return False
    streams = []
    for each in notable:
        if type(each) in _BUFFERING:
            streams.append(each)
        # A debugger keeps coroutines alive that have long ended, in the frames of tracebacks, and
        # `requests` a context that was left. The `finally` clauses of one that is suspended are
        # still to run.
        elif (frame := _SUSPENDING.get(type(each))) is None or getattr(each, frame) is not None:
            return False
    # Text first, which then lies in the buffer of its binary stream.
    for stream in sorted(streams, key=lambda stream: type(stream) is not io.TextIOWrapper):
        _flush(stream)
    return True


def _finalizes(kind: type) -> bool:
    """Whether the end of an object of this type may write something, such as a zip's directory."""
    if not hasattr(kind, "__del__") or kind in _PLAIN:
        return False
    module = getattr(kind, "__module__", None)
    return not (isinstance(module, str) and module.startswith(_HARMLESS))


def _has_log() -> bool:
    """Whether a SQLite database with a write-ahead log is open.

    The last connection to it writes the log into the database when it is closed, and who copies the
    database then misses nothing (https://www.sqlite.org/wal.html, "The WAL File").
    """
    try:
        fds = os.listdir("/proc/self/fd")
    except OSError:  # another system than Linux does not tell
        return "_sqlite3" in sys.modules
    for fd in fds:
        try:
            if os.readlink(f"/proc/self/fd/{fd}").endswith("-wal"):
                return True
        except OSError:  # that of the listing itself
            pass
    return False


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
