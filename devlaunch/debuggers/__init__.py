"""How the children of a run come to be debugged: one module for each way."""

from __future__ import annotations

from typing import Protocol

from devlaunch.config import Config
from devlaunch.control import Message
from devlaunch.debuggers.keeper import KeeperDebugging
from devlaunch.loop import Loop


class Debugging(Protocol):
    """One way to bring each child under a debugger. Lives in the loop's thread.

    What it has for the launcher is posted to the loop: `TellChild`, `DebuggeePaused`, `LogLine`,
    `StopRequested` and so on.
    """

    rows: list[tuple[str, str, str]]
    """For the banner: label, value, remark."""

    @property
    def deadline(self) -> float | None:
        """When to call `due`, in monotonic seconds."""

    def due(self, now: float) -> None:
        """Hand in the deadline if it has passed."""

    def start_message(self) -> Message | None:
        """The `debug` part of the start message of a child that is started now; None: without."""

    def spawned(self, generation: int, pid: int) -> None:
        """The child that was given the last `start_message` has been started."""

    def tell(self, event: object) -> None:
        """`ChildGone`, `DebuggerReady`, `ReleaseRequested`, `ConsoleNote`."""

    def close(self, status: int) -> None:
        """The run has ended with this status (as in Popen.returncode)."""


def choose(config: Config, loop: Loop, debugpy_dir: str | None) -> Debugging | None:
    """The way for this run; None when nothing is to be debugged. Raises DevlaunchError."""
    if not config.debug_attach:
        return None
    return KeeperDebugging(config, loop, debugpy_dir)
