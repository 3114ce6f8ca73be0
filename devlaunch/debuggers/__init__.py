"""How the children of a run come to be debugged: one module for each way."""

from __future__ import annotations

from functools import partial
from typing import Protocol

from devlaunch.adapter.link import Link
from devlaunch.config import Config
from devlaunch.control import Message
from devlaunch.core.detection import Detection, Way, way
from devlaunch.debuggers import pycharm
from devlaunch.debuggers.falling_back import FallingBack
from devlaunch.debuggers.keeper import Adapter, KeeperDebugging
from devlaunch.debuggers.linked import LinkedDebugging
from devlaunch.debuggers.vscode import ListeningDebugging
from devlaunch.guardian import Guardian
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


def is_wanted(config: Config, detection: Detection) -> bool:
    """Whether children are to be debugged."""
    return way(config, detection) is not Way.NONE


def choose(
    config: Config,
    loop: Loop,
    *,
    detection: Detection,
    guardian: Guardian,
    debugpy_dir: str | None,
    link: Link | None = None,
) -> Debugging | None:
    """The way for this run; None when nothing is to be debugged. Raises DevlaunchError.

    `detection` is the debugger that devlaunch itself runs under, `link` leads to the debug adapter
    that has started it.
    """
    if link:
        return LinkedDebugging(config, loop, debugpy_dir, link)
    match way(config, detection):
        case Way.SETTRACE if config.pycharm_server:
            return pycharm.by_settrace(loop, config.pycharm_server)
        case Way.JOIN:
            return KeeperDebugging(config, loop, debugpy_dir, Adapter.of(detection, guardian))
        case Way.LISTEN:
            return ListeningDebugging(config, loop, debugpy_dir)
        case (Way.PYCHARM | Way.PYCHARM_ELSE_LISTEN) as chosen:
            first = pycharm.under_ide(loop, detection)
            second = partial(KeeperDebugging, config, loop, debugpy_dir)
            return first if chosen is Way.PYCHARM else FallingBack(loop, first, second)
    return None
