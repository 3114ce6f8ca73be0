"""When there is a standby: a process that has done ahead of time what the next generation needs.

Theory of operation. There is at most one. It is wanted from the moment in which the app serves (or,
once it has served, is broken), but must slow nothing down: the policy waits until the machine has
work to spare, asks the generation what it imported, and has the standby started. The next
generation is the standby, promoted, at whatever moment it is needed, between two imports too; then
all begins anew.

At the `deadline` the owner hands in `StandbyDue`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from devlaunch.config import StandbyLevel
from devlaunch.core.machine import Machine, table
from devlaunch.events import ChildRefused, LogLine, StopRequested

# --- what it is told ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AppStarted:
    """A generation has been spawned, or the standby was promoted to it."""

    by_promotion: bool


@dataclass(frozen=True, slots=True)
class AppServed:
    """The generation answers, or its program runs."""


@dataclass(frozen=True, slots=True)
class AppBroke:
    """There is no generation any more, and a change starts the next one."""


@dataclass(frozen=True, slots=True)
class ImportsKnown:
    """The generation has said what it imported, or there is none to ask."""


@dataclass(frozen=True, slots=True)
class StandbyWarmed:
    """The standby has imported all. A spoiled one must not be promoted."""

    is_spoiled: bool = False


@dataclass(frozen=True, slots=True)
class StandbyLost:
    """The standby has ended by itself, was killed by others, or could not be started."""


@dataclass(frozen=True, slots=True)
class StandbyDue:
    """The policy's deadline has come. `idle`: cores without work since it was set, if known."""

    idle: float | None


@dataclass(frozen=True, slots=True)
class DebuggerChanged:
    """A standby would now be given another debugger, or none, than the present one was."""


# --- the policy -----------------------------------------------------------------------------------


CALM = 0.3
"""Seconds between two looks at how busy the machine is; the first that long after the app serves:
what it still has to load for its first requests goes first."""

IDLE = 0.6
"""Cores without work for which the machine counts as calm: a standby takes one."""

LONGEST_WAIT = 2.0
"""Seconds after which a standby is started on a busy machine as well."""

ANSWER_LIMIT = 1.0
"""Seconds for the generation to say what it imported, else what the one before it said is used."""

WARM_LIMIT = 60.0
"""Seconds after which a standby hangs in an import that was made without the app."""

MOST_LOST = 5
"""Standbys that end by themselves, or are of no use to the debugger any more, before the app has to
serve again for the next one."""

MOST_SPOILED = 10
"""Standbys of a run that found an import which is not safe."""

MOST_REFUSED = 5
"""Promotions in a row that came to nothing."""


@dataclass(frozen=True, slots=True)
class AskForImports:
    """Ask the generation what it has imported; the answer is `ImportsKnown`."""


@dataclass(frozen=True, slots=True)
class SpawnStandby:
    """Start a standby; with `imports` it is told what the last generations imported."""

    imports: bool


@dataclass(frozen=True, slots=True)
class KillStandby:
    """End the standby and all that it may have started."""


@dataclass(frozen=True, slots=True)
class Off:
    """There is none, and will be none: not asked for, or the run ends."""


@dataclass(frozen=True, slots=True)
class Unwanted:
    """There is none: the app starts, or has never served."""


@dataclass(frozen=True, slots=True)
class Settling:
    """There is none yet: the machine may be busy. `since`: when it was wanted first."""

    since: float
    deadline: float


@dataclass(frozen=True, slots=True)
class Asking:
    """There is none yet: the generation was asked what it imported."""

    deadline: float


@dataclass(frozen=True, slots=True)
class Warming:
    """It imports."""

    deadline: float


@dataclass(frozen=True, slots=True)
class Ready:
    """It waits."""


Towards = Unwanted | Settling | Asking
"""There is none yet."""
There = Warming | Ready
State = Off | Towards | There


class StandbyPolicy(Machine[State]):
    """Turns events into actions; see the module's theory of operation."""

    def __init__(self, level: StandbyLevel) -> None:
        super().__init__(TABLE, Off() if level is StandbyLevel.OFF else Unwanted())
        self.imports = level is StandbyLevel.FULL
        """Whether standbys import ahead of time: no longer, when that keeps going wrong."""
        self._has_served = False
        self._is_on_trial = False
        self._lost = 0
        self._spoiled = 0
        self._refused = 0

    # --- towards one ----------------------------------------------------------------------------

    def _app_served(self, state: Unwanted, event: AppServed) -> State:
        self._has_served = True
        self._lost = 0
        return self._settle()

    def _app_broke(self, state: Unwanted, event: AppBroke) -> State:
        return self._settle() if self._has_served else state

    def _settle(self) -> State:
        now = self._now
        return Settling(now, now + CALM) if self._lost < MOST_LOST else Unwanted()

    def _look_at_machine(self, state: Settling, event: StandbyDue) -> State:
        is_calm = event.idle is None or event.idle >= IDLE
        if not is_calm and self._now - state.since < LONGEST_WAIT:
            return replace(state, deadline=self._now + CALM)
        if not self.imports:
            return self._spawn(state, event)
        self._do(AskForImports())
        return Asking(self._now + ANSWER_LIMIT)

    def _spawn(self, state: Settling | Asking, event: StandbyDue | ImportsKnown) -> State:
        self._do(SpawnStandby(self.imports))
        return Warming(self._now + WARM_LIMIT)

    def _warmed(self, state: Warming, event: StandbyWarmed) -> State:
        if not event.is_spoiled:
            return Ready()
        self._spoiled += 1
        self._do(KillStandby())
        if self._spoiled >= MOST_SPOILED:
            self._give_up(f"{self._spoiled} times an import was not safe")
        return self._settle()

    # --- away from it ---------------------------------------------------------------------------

    def _app_started(self, state: Towards | There, event: AppStarted) -> State:
        if isinstance(state, There) and not event.by_promotion:
            self._do(KillStandby())
        if self._is_on_trial:
            self._refused = 0
        self._is_on_trial = event.by_promotion
        return Unwanted()

    def _refuse(self, state: Towards | There, event: ChildRefused) -> State:
        self._is_on_trial = False
        self._refused += 1
        if self._refused >= MOST_REFUSED:
            self._give_up(f"{self._refused} reloads in a row were cold in spite of it")
        if isinstance(state, There):
            self._do(KillStandby())  # it was started with what the refused one knew
        return Unwanted()

    def _give_up(self, reason: str) -> None:
        if self.imports:
            self.imports = False
            text = f"standby: nothing is imported ahead any more: {reason}"
            self._do(LogLine(text, verbose=True))

    def _replace(self, state: There, event: DebuggerChanged | StandbyDue) -> State:
        self._do(KillStandby())
        return self._lose(state, event)

    def _lose(self, state: There, event: StandbyLost | DebuggerChanged | StandbyDue) -> State:
        self._lost += 1
        return self._settle()

    def _end(self, state: Towards | There, event: StopRequested) -> State:
        if isinstance(state, There):
            self._do(KillStandby())
        return Off()


_P = StandbyPolicy
TABLE = table(
    {
        (Off, AppStarted | AppServed | AppBroke | ChildRefused | StopRequested): _P._stay,
        (Off | Unwanted | Settling | There, ImportsKnown): _P._stay,
        (Unwanted, AppServed): _P._app_served,
        (Unwanted, AppBroke): _P._app_broke,
        (Settling | Asking | There, AppBroke): _P._stay,
        (Settling, StandbyDue): _P._look_at_machine,
        (Asking, ImportsKnown | StandbyDue): _P._spawn,
        (Warming, StandbyWarmed): _P._warmed,
        (Warming, StandbyDue): _P._replace,
        (There, DebuggerChanged): _P._replace,
        (There, StandbyLost): _P._lose,
        (Towards | There, AppStarted): _P._app_started,
        (Towards | There, ChildRefused): _P._refuse,
        (Towards | There, StopRequested): _P._end,
    }
)
