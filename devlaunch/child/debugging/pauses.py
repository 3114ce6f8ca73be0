"""What the debugger holds this process for, which the launcher has to know at once.

Told from where a thread is held (`PyDB.do_wait_suspend`): looking at the states of threads would
take a Pause that has not come about for one. A save must not end a program that is being looked at;
but it has to mend one that cannot go on: the stop for an exception that ends the program is no
pause.
"""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Any

from .. import hide
from ..tracebacks import ends_program

hide(__name__)

STATE_RUN = 1
"""`pydevd_constants.STATE_RUN`."""

STEP_LIMIT = 2.0
"""Seconds without another stop after which a step has run off into code that is not the user's."""

_UNCAUGHT: frozenset[object] = frozenset({"UNHANDLED", True})
"""How `do_wait_suspend` is told that: `exception_type` of debugpy, `is_unhandled_exception`."""


class Pauses:
    """Knows when the debugger holds threads of this process, and can let them go.

    `report` is called with whether it does, on changes only, from the thread that is held. During
    a step it goes on to be paused, unless the step does not stop again within `STEP_LIMIT`.
    `end` is called with an exception that ends the program, before the debugger shows its frames,
    and with whether that is all that it holds. It returns whether there is anything to show.
    """

    def __init__(
        self,
        report: Callable[[bool], None],
        end: Callable[[BaseException, TracebackType, bool], bool],
    ) -> None:
        self._report = report
        self._end = end
        self._held: dict[int, Any] = {}
        self._is_paused = self._reports = False
        self._lock = allocate_lock()
        self._step_until = float("inf")

    def watch(self, debugger: Any, *, reports: bool) -> None:
        """Look at what this PyDB does from now on; `reports`: the launcher sees no pause itself."""
        wait = debugger.do_wait_suspend
        self._reports = reports

        def do_wait_suspend(
            thread: Any, frame: Any, event: str, arg: Any, *args: Any, **kwargs: Any
        ) -> Any:
            is_alone = not self._held
            self._held[id(thread)] = thread  # first: from now on it can be let go
            try:
                if event == "exception" and _UNCAUGHT.intersection((*args, *kwargs.values())):
                    _, error, tb = arg
                    if ends_program(error, tb) and not self._end(error, tb, is_alone):
                        _let_run(thread)
                        return None
                self._stopped()
                return wait(thread, frame, event, arg, *args, **kwargs)
            finally:
                self._resumed(thread)

        debugger.do_wait_suspend = do_wait_suspend

    def release(self) -> None:
        """Let all threads run on, as the IDE's Resume does. From any thread."""
        for thread in list(self._held.values()):
            _let_run(thread)

    def tick(self, now: float) -> None:
        """See whether a step has run off."""
        if now >= self._step_until:
            with self._lock:
                self._set(bool(self._held))

    def _stopped(self) -> None:
        with self._lock:
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
            if self._reports:
                self._report(is_paused)


def _let_run(thread: Any) -> None:
    info = thread.additional_info
    info.pydev_step_cmd = -1
    info.pydev_step_stop = None
    info.pydev_state = STATE_RUN
