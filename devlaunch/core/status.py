"""What an editor's status bar shows of a run: its state, made of the supervisor's. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from devlaunch.config import WhilePaused
from devlaunch.core.states import (
    Broken,
    Cause,
    Ended,
    Idle,
    Paused,
    PostMortem,
    Serving,
    Starting,
    State,
    Stopping,
    Then,
)
from devlaunch.core.supervisor import Supervisor
from devlaunch.events import Message, Report, What


@dataclass(frozen=True, slots=True)
class StatusChanged:
    """The status is now this one."""

    state: str
    """starting | serving | reloading | broken | paused | stopping | stopped.

    stopped: the program ended by itself, and starts again at a change; or all is over.
    """
    generation: int
    seconds: float | None
    """What the last start or reload took."""
    pending: tuple[str, ...]
    """While paused: the files whose change waits for continue."""
    url: str | None
    while_paused: WhilePaused

    @property
    def body(self) -> Message:
        """The body of the event `devlaunchState`."""
        return {
            "state": self.state,
            "generation": self.generation,
            "seconds": self.seconds,
            "pending": list(self.pending),
            "url": self.url,
            "whilePaused": str(self.while_paused),
        }


class Status:
    """The status as it was last told. `url` is the app's, if devlaunch has bound its socket."""

    def __init__(self, url: str | None) -> None:
        self._url = url
        self._seconds: float | None = None
        self._ended_well = False
        self._told: StatusChanged | None = None

    def after(self, supervisor: Supervisor, actions: Iterable[object]) -> StatusChanged | None:
        """The status after the supervisor has decided on these actions; None: as before."""
        for action in actions:
            if isinstance(action, Report):
                self._take(action)
        status = StatusChanged(
            self._word(supervisor.state, supervisor.generation),
            supervisor.generation,
            self._seconds,
            _pending(supervisor.state),
            self._url,
            supervisor.while_paused,
        )
        if status == self._told:
            return None
        self._told = status
        return status

    def _take(self, report: Report) -> None:
        if report.elapsed is not None:
            self._seconds = report.elapsed
        self._ended_well = report.what is What.EXITED and not report.status

    def _word(self, state: State, generation: int) -> str:
        if isinstance(state, Stopping):
            if state.then is Then.END:
                return "stopping"
            return "paused" if state.deadline is None else "reloading"
        words: dict[type[State], str] = {
            Idle: "starting",
            Starting: "starting" if generation == 1 else "reloading",
            Serving: "serving",
            Paused: "paused",
            PostMortem: "broken",
            Broken: "stopped" if self._ended_well else "broken",
            Ended: "stopped",
        }
        return words[type(state)]


def _pending(state: State) -> tuple[str, ...]:
    match state:
        case Paused(pending=Cause(paths=paths)):
            return paths
        case Stopping(then=Then.RESTART, deadline=None, cause=Cause(paths=paths)):
            return paths
    return ()
