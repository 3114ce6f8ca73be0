"""The processes that devlaunch itself starts, as the roster of debuggees knows them. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from devlaunch.dap.debuggee import Debuggee


@dataclass(slots=True, kw_only=True)
class Process:
    """A process that has been started, and its connection once that is known."""

    pid: int
    debuggee: Debuggee | None = None
    was_seen: bool = False

    def is_at(self, debuggee: Debuggee) -> bool:
        """Whether that connection comes from this process, and not from one that it has started."""
        # In a virtual environment on Windows, python.exe starts the real interpreter.
        is_below_stub = not self.was_seen and debuggee.ppid == self.pid
        return debuggee.pid == self.pid or is_below_stub

    def connect(self, debuggee: Debuggee) -> None:
        """Take a connection that `is_at` this process."""
        self.debuggee, self.was_seen = debuggee, True


@dataclass(slots=True, kw_only=True)
class ChildProcess(Process):
    """The current generation."""

    generation: int
    is_debugging: bool
    """It has been told to connect."""
    is_ready: bool = True
    """Its threads are traced, or it runs nothing before its debugger is configured."""
    waits_no_more: bool = False
    """It has said so: its debugger is configured, or it runs without."""
    is_heard: bool = True
    """It can be told to connect."""


@dataclass(slots=True, kw_only=True)
class StandbyProcess(Process):
    """What may become the next generation."""

    is_gone: bool = False
    """It was killed; what it has sent before that may still arrive."""

    @property
    def is_lost(self) -> bool:
        """Whether it lives on without its connection."""
        return self.was_seen and self.debuggee is None and not self.is_gone
