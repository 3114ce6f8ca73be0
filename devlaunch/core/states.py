"""The states of the app's process: what is known of it, and what is wanted. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum, IntEnum, auto

from devlaunch.events import Failure


class Then(Enum):
    """What is wanted once the child is gone."""

    RESTART = auto()
    END = auto()


class Rung(IntEnum):
    """How insistently the child has been told to stop."""

    ASKED = 0
    TERMINATED = 1
    KILLED = 2


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a generation is (to be) started: the files that changed, and when that was seen."""

    paths: tuple[str, ...]
    since: float

    def plus(self, paths: Iterable[str]) -> Cause:
        """The same cause with more files; the clock keeps running from the first."""
        return replace(self, paths=tuple(dict.fromkeys((*self.paths, *paths))))


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing has been started yet."""


@dataclass(frozen=True, slots=True)
class Starting:
    """The child loads the app. `is_again`: it has run before, in a child that refused."""

    cause: Cause
    failure: Failure | None = None
    is_told: bool = False
    """People have read of the failure."""
    is_again: bool = False


@dataclass(frozen=True, slots=True)
class Serving:
    """The child answers, or its program runs."""

    failure: Failure | None = None
    is_told: bool = False


Alive = Starting | Serving


@dataclass(frozen=True, slots=True)
class Paused:
    """The debugger holds the app; `pending` is the change that waits for continue."""

    before: Alive
    pending: Cause | None = None


@dataclass(frozen=True, slots=True)
class PostMortem:
    """Broken, with its frames on show: the debugger holds what an exception is about to end."""

    before: Alive


Held = Paused | PostMortem


@dataclass(frozen=True, slots=True)
class Stopping:
    """The child was told to stop; without a `deadline` the debugger holds it in its shutdown."""

    then: Then
    cause: Cause
    deadline: float | None
    asked: float = 0.0
    """When the stop was asked for; anew when it became the end of all."""
    rung: Rung = Rung.ASKED
    signal: int | None = None
    has_served: bool = True
    """Without, a stop of the debugger is in no shutdown hook, but in a start that is void."""
    was_restart: bool = False
    """It has been asked to stop for a restart before the end of all was asked for."""
    had_failed: bool = False
    """It was broken before it was asked to stop, so that its status is no answer to that."""


@dataclass(frozen=True, slots=True)
class Broken:
    """No child: the last one could not run the app, crashed or ended. A change starts the next."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The launcher ends; nothing is handled any more."""


State = Idle | Alive | Held | Stopping | Broken | Ended
