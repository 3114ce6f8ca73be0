"""Threads of ours in the program's process: neither `threading` nor a debugger shows them."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from _thread import allocate_lock, get_ident, get_native_id, start_new_thread
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import getpid
from threading import local
from time import monotonic, sleep
from typing import Any

from . import hide, rename
from .debugging.traits import THREADS

hide(__name__)

# Bound at import: gevent and eventlet patch all of these, and so does pydevd.
_start_new_thread = start_new_thread
_exists = os.path.exists
_listdir = os.listdir
_known = threading._active  # type: ignore[attr-defined]
_consume = deque[object](maxlen=0).extend

_COUNTS_LATE = (3, 13) <= sys.version_info < (3, 13, 10) or sys.version_info[:3] == (3, 14, 0)
"""Whether a fork is warned of for threads that are started after it (python/cpython#137109)."""

END_LIMIT = 1.0
"""Seconds that a fork waits for the thread: it may be telling a launcher that is stopped."""


def start_hidden_thread(target: Callable[[], object]) -> None:
    """A daemon thread that `threading` does not know. Where pydevd is, see `known_to_pydevd`."""
    _start_new_thread(_bootstrap, (target,))


def _bootstrap(target: Callable[[], object]) -> None:
    target()


def _hide_from_pydevd(function: Any) -> None:
    """Have pydevd let alone a thread whose first frame is this function's.

    By base name and function, so does the thread that `threading` has not set up yet
    (`_get_bootstrap_frame`, `fix_top_level_trace_and_get_trace_func`).
    """
    assert function.__name__ == "_bootstrap"
    rename(function.__code__, f"<frozen {__name__}>/threading.py")


_hide_from_pydevd(_bootstrap)


@contextmanager
def known_to_pydevd() -> Iterator[None]:
    """Have this thread, if it is a hidden one, count as pydevd's own: not traced, held or shown.

    On its start pydevd takes in every thread that has a frame. Those of its own it hides from
    `threading.enumerate`.
    """
    thread = threading.current_thread()  # makes one for a hidden thread
    if not isinstance(thread, threading._DummyThread):
        yield
        return
    # What takes it away again with the thread (3.13) fails aloud when the interpreter ends first.
    vars(getattr(threading, "_thread_local_info", local())).pop("_track_dummy_thread_ref", None)
    _known[get_ident()] = thread
    pydevd: Any = sys.modules.get("_pydevd_bundle.pydevd_daemon_thread")
    if hasattr(pydevd, "mark_as_pydevd_daemon_thread"):  # not in 2019
        pydevd.mark_as_pydevd_daemon_thread(threading.Thread())  # it hides such from now on
    vars(thread).update(THREADS)
    try:
        yield
    finally:
        _known.pop(get_ident(), None)


class HiddenThread:
    """Calls `step`, then `wait` with what that returned, over and over.

    `wait` is a function in C: a thread that waits in one has no frame, and so is not among
    `sys._current_frames()`, of which pydevd makes the threads that it traces and shows when it
    comes (`set_trace_to_threads`). While the program forks there is no such thread.
    """

    def __init__(
        self, step: Callable[[], float], wait: Callable[[Any], object], wake: Callable[[], None]
    ) -> None:
        """`wake` has `wait` return at once."""
        self._step = step
        self._wait = wait
        self._wake = wake
        self._run: _Run | None = None
        self._forks: list[None] = []
        self._late = _Late()

    def start(self) -> None:
        """Raises RuntimeError where the system allows no more threads."""
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self.stop, after_in_parent=self._begin_again, after_in_child=self._forget
            )
        self._begin(as_pydevds="pydevd" in sys.modules)

    def _begin(self, *, as_pydevds: bool = False) -> None:
        run = _Run(self._step, as_pydevds=as_pydevds)
        # Several threads may fork at a time; there is no switch from here to the second line.
        if not self._forks and (self._run is None or self._run.has_ended):
            self._run = run
            run.start(self._wait)

    def stop(self) -> None:
        """End it, for a fork or for good; waits until it is gone."""
        self._forks.append(None)
        self._late.forget()
        run, self._run = self._run, None
        if run is not None and not run.end(self._wake):
            self._run = run

    def _begin_again(self) -> None:
        self._forks.pop()
        if not self._forks:
            if _COUNTS_LATE and _is_alone():
                self._late.expect()
            self._begin()

    def _forget(self) -> None:
        self._run = None  # and `_forks` is never empty again


class _Late:
    """A filter for the warning that CPython gives of our thread after the fork being done now."""

    def __init__(self) -> None:
        self._filters: list[object] = []
        self._filter = ("ignore", self, DeprecationWarning, None, 0)

    def expect(self) -> None:
        """Put it in place."""
        self._filters = warnings.filters  # type: ignore[assignment]
        self._filters.insert(0, self._filter)

    def forget(self) -> None:
        """Take it away: the warning has come, or it never does (`preexec_fn`)."""
        if self._filter in self._filters:
            self._filters.remove(self._filter)

    def match(self, text: str) -> bool:
        """Whether it is that one; the filter has done its work then."""
        is_it = text.startswith(f"This process (pid={getpid()}) is multi-threaded, ")
        if is_it:
            self.forget()
        return is_it


def _is_alone() -> bool:
    """Whether this process has one thread; False where the system does not say."""
    try:
        return len(_listdir("/proc/self/task")) == 1
    except OSError:
        return False


class _Run:
    """One thread of the operating system: an iterator over how long to wait.

    `as_pydevds`: pydevd is there, and is to take it for one of its own, which it hides, too. A raw
    one may be in a step just as pydevd sets the tracing of all threads.
    """

    def __init__(self, step: Callable[[], float], *, as_pydevds: bool) -> None:
        self.has_ended = False
        self._step = step
        self._as_pydevds = as_pydevds
        self._is_ending = False
        self._alive = allocate_lock()
        self._alive.acquire()
        self._native_id = 0

    def start(self, wait: Callable[[Any], object]) -> None:
        """Raises RuntimeError."""
        if self._as_pydevds:
            # With GEVENT_SUPPORT it has a copy of `threading`, in which it hides its threads.
            saved = sys.modules.get("_pydev_bundle._pydev_saved_modules")
            make = getattr(saved, "threading", threading).Thread
            thread = make(target=_consume, args=(map(wait, self),), daemon=True)
            vars(thread).update(THREADS)
            thread.start()
        else:
            _start_new_thread(_consume, (map(wait, self),))

    def end(self, wake: Callable[[], None]) -> bool:
        """Returns when it is gone; False if it does not come to its end in time."""
        limit = monotonic() + END_LIMIT
        self._is_ending = True
        wake()
        if not self._alive.acquire(timeout=END_LIMIT):
            self._is_ending = False
            return False
        # Only Linux tells; CPython counts there before it warns of a fork.
        task = f"/proc/self/task/{self._native_id}"
        while _exists(task) and monotonic() < limit:
            sleep(0)
        return True

    def __iter__(self) -> _Run:
        return self

    def _bootstrap(self) -> float:
        self._native_id = get_native_id()
        is_over = True
        try:
            if not self._is_ending:
                if not self._as_pydevds:
                    _known.pop(get_ident(), None)  # what pydevd made of us if it came during a step
                timeout = self._step()
                is_over = self._is_ending
                if not is_over:
                    return timeout
        finally:
            if is_over:
                self.has_ended = True
                self._alive.release()
        raise StopIteration

    __next__ = _bootstrap


_hide_from_pydevd(_Run._bootstrap)
