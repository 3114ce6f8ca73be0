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
from devlaunch.events import DebuggerReady, LogLine
from devlaunch.loop import Loop


class FallingBack:
    """`Debugging` by PyCharm, and once it has not answered a child, by a keeper that listens."""

    def __init__(
        self, loop: Loop, first: PycharmDebugging, make_second: Callable[[], KeeperDebugging]
    ) -> None:
        self._loop = loop
        self._first: PycharmDebugging | None = first
        self._second: KeeperDebugging | None = None
        self._make_second = make_second
        self._child = (0, 0)
        self.rows = first.rows

    @property
    def deadline(self) -> float | None:
        """When to call `due`."""
        return self._second.deadline if self._second else None

    def due(self, now: float) -> None:
        """Do what its time has come for."""
        if self._second:
            self._second.due(now)

    def start_message(self) -> Message | None:
        """As the way of now has it."""
        way = self._first or self._second
        return way.start_message() if way else None

    def spawned(self, generation: int, pid: int) -> None:
        """The child that was given the last `start_message` has been started."""
        self._child = generation, pid
        if way := self._first or self._second:
            way.spawned(generation, pid)

    def tell(self, event: object) -> None:
        """Hand an event on, and change the way when PyCharm has not answered."""
        if self._first and isinstance(event, DebuggerReady) and not event.connected:
            self._first = None
            self._listen()
        elif way := self._first or self._second:
            way.tell(event)

    def close(self, status: int) -> None:
        """The run has ended with this status (as in Popen.returncode)."""
        if self._second:
            self._second.close(status)

    def _listen(self) -> None:
        try:
            self._second = second = self._make_second()
        except DevlaunchError as error:
            self._loop.post(LogLine(f"{error.message}: {error.hint}"))
            return
        for label, value, remark in second.rows:
            self._loop.post(LogLine(f"{label}  {value}  {remark}"))
        second.start_message()  # this child was started without its debugger
        second.spawned(*self._child)
