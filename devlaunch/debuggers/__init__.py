"""How the children of a run come to be debugged: one module for each way.

Begin with `Debugging`, what a way has to do, and `choose`. `snapshot` looks at the debugger that
devlaunch itself runs under, `core.detection` judges it. In `keeper` an IDE comes to us or we join
the IDE's own adapter, `linked` is that of `devlaunch adapter` (by its `link`), `vscode` that of a
terminal of VS Code; in `pycharm` there is no keeper. `run`, and the front for what they look at,
import this room.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

from devlaunch.config import Config
from devlaunch.core.detection import Detection, Way, way

if TYPE_CHECKING:
    from devlaunch.debuggers.link import Link
    from devlaunch.system.channel import Message
    from devlaunch.system.guardian import Guardian
    from devlaunch.system.loop import Loop


class Debugging(Protocol):
    """One way to bring each child under a debugger. Lives in the loop's thread.

    What it has for the launcher is posted to the loop: `TellChild`, `DebuggeePaused`, `LogLine`,
    `StopRequested`, `ReplaceDebugging` and so on.
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

    def standby_message(self) -> Message | None:
        """The `debug` part of the message to a standby; None: it loads nothing of a debugger.

        When it is no longer what the present standby was given, that one is of no use.
        """

    def tell(self, event: object) -> None:
        """`ChildGone`, `ChildUnheard`, `DebuggerReady`, `ReleaseRequested`, `ConsoleNote`.

        `StatusChanged` of `core.status`; `StandbySpawned`, of one that was given the last
        `standby_message`, and `StandbyGone`.
        """

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
    chosen = way(config, detection)
    if link is None and chosen is Way.NONE:
        return None
    # Late: without a debugger the app would wait for all of this.
    from devlaunch.debuggers import pycharm
    from devlaunch.debuggers.keeper import IdeAdapter, KeeperDebugging
    from devlaunch.debuggers.linked import LinkedDebugging
    from devlaunch.debuggers.vscode import ListeningDebugging

    if link:
        return LinkedDebugging(config, loop, debugpy_dir, link)
    if chosen is Way.SETTRACE and config.pycharm_server:
        return pycharm.by_settrace(loop, config.pycharm_server)
    if chosen is Way.JOIN:
        return KeeperDebugging(config, loop, debugpy_dir, IdeAdapter.of(detection, guardian))
    if chosen is Way.LISTEN:
        return ListeningDebugging(config, loop, debugpy_dir)
    return pycharm.under_ide(loop, detection, partial(KeeperDebugging, config, loop, debugpy_dir))
