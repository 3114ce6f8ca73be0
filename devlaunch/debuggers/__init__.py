"""How the children of a run come to be debugged: one module for each way."""

from __future__ import annotations

from typing import Protocol

from devlaunch.adapter.link import Link
from devlaunch.config import Config
from devlaunch.control import Message
from devlaunch.core.detection import DebuggerKind, Detection
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
    """Whether children are to be debugged.

    Without a word about it they are when devlaunch runs under debugpy: who debugs devlaunch means
    the app, and debugpy's subProcess is about the processes that the app starts. PyCharm's setting
    "Attach to subprocess" is the IDE's for all it runs, and is heeded.
    """
    if config.pycharm_server:
        return True
    if config.debug_attach is not None:
        return config.debug_attach
    return _can_join(detection) or (detection.kind in _PYDEVDS and detection.follows_children)


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
    if config.pycharm_server:
        return pycharm.by_settrace(loop, config.pycharm_server)
    if is_wanted(config, detection):
        return _with_debugger(config, loop, detection, guardian, debugpy_dir)
    return None


def _with_debugger(
    config: Config,
    loop: Loop,
    detection: Detection,
    guardian: Guardian,
    debugpy_dir: str | None,
) -> Debugging:
    if detection.kind in _PYDEVDS:
        way = pycharm.under_ide(loop, detection)
        if detection.follows_children:
            return way
        return FallingBack(loop, way, lambda: KeeperDebugging(config, loop, debugpy_dir))
    if _can_join(detection):
        return KeeperDebugging(config, loop, debugpy_dir, Adapter.of(detection, guardian))
    return ListeningDebugging(config, loop, debugpy_dir)


_PYDEVDS = (DebuggerKind.PYCHARM, DebuggerKind.PYDEV)


def _can_join(detection: Detection) -> bool:
    return detection.kind is DebuggerKind.DEBUGPY and detection.has_adapter
