"""Whether a debugger that talks to its IDE by itself holds this process; else the launcher knows.

The launcher has to know at once, so that a save does not end a program that is being looked at.
"""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Callable
from time import monotonic
from typing import Any

from . import hide

hide(__name__)

STATE_RUN = 1
"""`pydevd_constants.STATE_RUN`."""

STEP_LIMIT = 2.0
"""Seconds without another stop after which a step has run off into code that is not the user's."""


class Pauses:
    """Knows when the debugger holds threads of this process, and can let them go.

    `report` is called with whether it does, on changes only, from the thread that is held. During
    a step it goes on to be paused, unless the step does not stop again within `STEP_LIMIT`.
    """

    def __init__(self, report: Callable[[bool], None]) -> None:
        self._report = report
        self._held: dict[int, Any] = {}
        self._is_paused = False
        self._lock = allocate_lock()
        self._step_until = float("inf")

    def watch(self, debugger: Any) -> None:
        """Look at what this PyDB does from now on."""
        wait = debugger.do_wait_suspend

        def do_wait_suspend(thread: Any, *args: Any, **kwargs: Any) -> Any:
            self._stopped(thread)
            try:
                return wait(thread, *args, **kwargs)
            finally:
                self._resumed(thread)

        debugger.do_wait_suspend = do_wait_suspend

    def release(self) -> None:
        """Let all threads run on, as the IDE's Resume does. From any thread."""
        for thread in list(self._held.values()):
            info = thread.additional_info
            info.pydev_step_cmd = -1
            info.pydev_step_stop = None
            info.pydev_state = STATE_RUN

    def tick(self, now: float) -> None:
        """See whether a step has run off."""
        if now >= self._step_until:
            with self._lock:
                self._set(bool(self._held))

    def _stopped(self, thread: Any) -> None:
        with self._lock:
            self._held[id(thread)] = thread
            self._set(True)

    def _resumed(self, thread: Any) -> None:
        is_step = getattr(thread.additional_info, "pydev_step_cmd", -1) != -1
        with self._lock:
            self._held.pop(id(thread), None)
            if self._held:
                return
            if is_step:
                self._step_until = monotonic() + STEP_LIMIT
            else:
                self._set(False)

    def _set(self, is_paused: bool) -> None:
        self._step_until = float("inf")
        if self._is_paused != is_paused:
            self._is_paused = is_paused
            self._report(is_paused)
