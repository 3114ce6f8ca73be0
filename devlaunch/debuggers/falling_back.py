"""PyCharm without "Attach to subprocess", and `--debug-attach`: ask the IDE, else let it attach.

With that setting off PyCharm leaves any further connection unanswered (`RemoteDebugger` accepts
one). Others that speak its protocol may answer, so the first child tries.
"""

from __future__ import annotations

from collections.abc import Callable

from devlaunch.control import Message
from devlaunch.debuggers.keeper import KeeperDebugging
from devlaunch.debuggers.pycharm import PycharmDebugging
from devlaunch.errors import DevlaunchError
from devlaunch.events import DebuggerReady, LogLine, RestartRequested
from devlaunch.loop import Loop


class FallingBack:
    """`Debugging` by PyCharm, and once it has not answered a child, by a keeper that listens."""

    def __init__(
        self, loop: Loop, first: PycharmDebugging, make_second: Callable[[], KeeperDebugging]
    ) -> None:
        self._loop = loop
        self._way: PycharmDebugging | KeeperDebugging | None = first
        self._make_second = make_second
        self.rows = [(label, name, "if it takes another process") for label, name, _ in first.rows]

    @property
    def deadline(self) -> float | None:
        """When to call `due`."""
        return self._way.deadline if self._way else None

    def due(self, now: float) -> None:
        """Do what its time has come for."""
        if self._way:
            self._way.due(now)

    def start_message(self) -> Message | None:
        """As the way of now has it."""
        return self._way.start_message() if self._way else None

    def spawned(self, generation: int, pid: int) -> None:
        """The child that was given the last `start_message` has been started."""
        if self._way:
            self._way.spawned(generation, pid)

    def standby_message(self) -> Message | None:
        """As the way of now has it."""
        return self._way.standby_message() if self._way else None

    def standby_spawned(self, pid: int) -> None:
        """A standby that was given the last `standby_message` has been started."""
        if self._way:
            self._way.standby_spawned(pid)

    def standby_gone(self, pid: int) -> None:
        """That standby has been killed, or has ended; it may have been started for another way."""
        if self._way:
            self._way.standby_gone(pid)

    def tell(self, event: object) -> None:
        """Hand an event on, and change the way when PyCharm has not answered."""
        is_refusal = isinstance(event, DebuggerReady) and not event.connected
        if is_refusal and isinstance(self._way, PycharmDebugging):
            self._listen()
        elif self._way:
            self._way.tell(event)

    def close(self, status: int) -> None:
        """The run has ended with this status (as in Popen.returncode)."""
        if self._way:
            self._way.close(status)

    def _listen(self) -> None:
        try:
            self._way = self._make_second()
        except DevlaunchError as error:
            self._way = None
            self._loop.post(LogLine(f"{error.message}: {error.hint}"))
            return
        for label, value, remark in self._way.rows:
            self._loop.post(LogLine(f"{label}  {value}  {remark}"))
        # This child may have PyCharm's pydevd loaded, and has not waited for a client to attach.
        self._loop.post(RestartRequested())
