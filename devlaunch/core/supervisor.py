"""The life of the app's process: what to do about changes, exits, signals and the debugger.

Theory of operation. At most one child exists. Each event meets exactly one entry of `TABLE`, which
names what happens; a pair that is missing is a defect and raises `StateError`. A state is a frozen
dataclass that carries all that is known while it lasts. What is wanted (`Stopping.then`: another
generation, or the end) is kept apart from what is (the child still runs). Time is an argument;
`deadline` tells the owner when to hand in `DeadlineReached`.

Stopping climbs a ladder, one rung at each deadline: ask (control channel, or SIGTERM to a program
that is no server), SIGTERM to the session, SIGKILL to the session and to all that carries the mark.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from devlaunch.config import WhilePaused
from devlaunch.core.states import (
    Broken,
    Cause,
    Ended,
    Idle,
    Paused,
    PostMortem,
    Rung,
    Serving,
    Starting,
    State,
    Stopping,
    Then,
)
from devlaunch.errors import EX_USAGE, StateError
from devlaunch.events import (
    AskToStop,
    ChildExited,
    ChildFailed,
    ChildRefused,
    ChildServing,
    DeadlineReached,
    DebuggeePaused,
    DebuggeeResumed,
    Exit,
    Failure,
    FilesChanged,
    KillSession,
    Launched,
    ReleaseDebuggee,
    Report,
    RestartRequested,
    SpawnChild,
    StopRequested,
    TerminateSession,
    What,
    WhilePausedChosen,
)

TERM_WAIT = 0.3
"""Seconds between SIGTERM to the session and SIGKILL."""

SAME_SIGNAL = 0.005
OTHER_SIGNAL = 0.5
"""Seconds in which another wish to end belongs to the first one: timeout(1) signals a process and
then its group, process managers follow the terminal's Ctrl-C with a SIGTERM of their own."""

Actions = list[object]


_Handler = Callable[["Supervisor", Any, Any, float], State]


class Supervisor:
    """Turns events into actions; see the module's theory of operation.

    `grace` is in seconds. With `reload` false the end of the child is the end of the launcher.
    """

    def __init__(self, *, grace: float, while_paused: WhilePaused, reload: bool) -> None:
        self.state: State = Idle()
        self.generation = 0
        self._grace = grace
        self._while_paused = while_paused
        self._reload = reload
        self._has_served = False
        self._unserved: tuple[str, ...] = ()
        self._actions: Actions = []

    @property
    def deadline(self) -> float | None:
        """When `DeadlineReached` is due, in the time that `handle` is given; None for never."""
        return self.state.deadline if isinstance(self.state, Stopping) else None

    @property
    def while_paused(self) -> WhilePaused:
        """What a change does while the debugger holds the app."""
        return self._while_paused

    def handle(self, event: object, now: float) -> Actions:
        """Take an event, return the actions to carry out in order. StateError for a defect."""
        handler = TABLE.get((type(self.state), type(event)))
        if handler is None:
            raise StateError(f"{type(self.state).__name__} has no entry for {event!r}")
        self._actions = []
        self.state = handler(self, self.state, event, now)
        return self._actions

    def _do(self, action: object) -> None:
        self._actions.append(action)

    # --- starting -------------------------------------------------------------------------------

    def _start(self, cause: Cause) -> Starting:
        self.generation += 1
        # Files whose change never reached a serving child may still have stale bytecode about.
        self._unserved = tuple(dict.fromkeys((*self._unserved, *cause.paths)))
        self._do(SpawnChild(self.generation, self._unserved))
        return Starting(cause)

    def _launched(self, state: Idle, event: Launched, now: float) -> State:
        return self._start(Cause((), now))

    def _start_again(
        self, state: Broken, event: FilesChanged | RestartRequested, now: float
    ) -> State:
        cause = Cause(_paths(event), now)
        self._do(Report(What.RELOADING, paths=cause.paths))
        return self._start(cause)

    def _served(self, state: Starting, event: ChildServing, now: float) -> State:
        self._report_served(state, now)
        return Serving()

    def _served_while_paused(
        self, state: Paused | PostMortem, event: ChildServing, now: float
    ) -> State:
        if isinstance(state.before, Starting):
            self._report_served(state.before, now)
        return replace(state, before=Serving())

    def _report_served(self, state: Starting, now: float) -> None:
        what = What.RELOADED if self._has_served or state.cause.paths else What.READY
        self._has_served = True
        self._unserved = ()
        if state.is_again:
            self._do(Report(What.REPLACED))
        else:
            self._do(Report(what, paths=state.cause.paths, elapsed=now - state.cause.since))

    # --- the child cannot run the app -----------------------------------------------------------

    def _note_failure(self, state: Starting | Serving, event: ChildFailed, now: float) -> State:
        state = _with_failure(state, event.failure)
        return self._show(state) if event.is_held else state

    def _note_failure_while_paused(self, state: Paused, event: ChildFailed, now: float) -> State:
        before = _with_failure(state.before, event.failure)
        if not event.is_held:
            return replace(state, before=before)
        shown = self._show(before)
        return self._mend(shown, FilesChanged(state.pending.paths), now) if state.pending else shown

    def _note_failure_again(self, state: PostMortem, event: ChildFailed, now: float) -> State:
        return replace(state, before=_with_failure(state.before, event.failure))

    def _show(self, before: Starting | Serving) -> PostMortem:
        self._do(Report(What.BROKEN, failure=before.failure, is_last=not self._reload))
        return PostMortem(replace(before, is_told=True))

    def _mend(self, state: PostMortem, event: FilesChanged | RestartRequested, now: float) -> State:
        self._do(ReleaseDebuggee())  # to its end, for which it need not be asked
        cause = Cause(_paths(event), now)
        self._do(Report(What.RELOADING, paths=cause.paths))
        deadline = now + self._grace
        return Stopping(Then.RESTART, cause, deadline, asked=now, had_failed=True)

    def _let_go(self, state: PostMortem, event: DebuggeeResumed, now: float) -> State:
        return state.before

    # --- the child ended by itself --------------------------------------------------------------

    def _crashed(self, state: Starting | Serving, event: ChildExited, now: float) -> State:
        failure, status = state.failure, event.status
        is_usage = failure is not None and failure.is_usage and self.generation == 1
        is_last = is_usage or not self._reload
        if not state.is_told:
            what = What.BROKEN if failure else What.EXITED
            self._do(Report(what, failure=failure, status=status, is_last=is_last))
        if is_last:
            return self._end(EX_USAGE if is_usage else status)
        return Broken()

    def _ended_while_shown(self, state: PostMortem, event: ChildExited, now: float) -> State:
        return self._crashed(state.before, event, now)

    def _crashed_while_paused(self, state: Paused, event: ChildExited, now: float) -> State:
        after = self._crashed(state.before, event, now)
        if state.pending and isinstance(after, Broken):
            return self._start(state.pending)
        return after

    # --- a standby that was promoted, and must not go on --------------------------------------

    def _refused(self, state: Starting | Serving, event: ChildRefused, now: float) -> State:
        if isinstance(state, Starting):
            return replace(self._start(state.cause), is_again=state.is_again)
        return replace(self._start(Cause((), now)), is_again=True)

    def _refused_while_shown(self, state: PostMortem, event: ChildRefused, now: float) -> State:
        return self._refused(state.before, event, now)

    def _refused_while_paused(self, state: Paused, event: ChildRefused, now: float) -> State:
        if state.pending is None:
            return self._refused(state.before, event, now)
        if isinstance(state.before, Starting):
            return self._start(state.before.cause.plus(state.pending.paths))
        return self._start(state.pending)

    def _refused_while_stopping(self, state: Stopping, event: ChildRefused, now: float) -> State:
        return self._gone(state, ChildExited(event.generation, 0), now)

    # --- changes, restarts ----------------------------------------------------------------------

    def _restart(
        self, state: Starting | Serving, event: FilesChanged | RestartRequested, now: float
    ) -> State:
        cause = Cause(_paths(event), now)
        if isinstance(state, Starting) and state.cause.paths:
            cause = state.cause.plus(cause.paths)  # their save is not served yet
        self._do(Report(What.RELOADING, paths=cause.paths))
        stopping = self._stop(Then.RESTART, cause, now)
        has_served, had_failed = isinstance(state, Serving), state.failure is not None
        return replace(stopping, has_served=has_served, had_failed=had_failed)

    def _changed_while_paused(self, state: Paused, event: FilesChanged, now: float) -> State:
        if self._while_paused is WhilePaused.RESTART:
            return self._restart_paused(state, event, now)
        self._do(Report(What.WAITING_WHILE_PAUSED, paths=event.paths))
        pending = state.pending or Cause((), now)
        return replace(state, pending=pending.plus(event.paths))

    def _restart_paused(
        self, state: Paused, event: FilesChanged | RestartRequested, now: float
    ) -> State:
        self._do(ReleaseDebuggee())
        pending = state.pending.paths if state.pending else ()
        return self._restart(state.before, FilesChanged((*pending, *_paths(event))), now)

    def _paused(self, state: Starting | Serving, event: DebuggeePaused, now: float) -> State:
        return Paused(before=state)

    def _resumed(self, state: Paused, event: DebuggeeResumed, now: float) -> State:
        if state.pending is None:
            return state.before
        return self._restart(state.before, FilesChanged(state.pending.paths), now)

    def _changed_while_stopping(self, state: Stopping, event: FilesChanged, now: float) -> State:
        state = replace(state, cause=state.cause.plus(event.paths))
        if self._while_paused is WhilePaused.RESTART:
            return self._restart_stopping(state, event, now)
        return state

    def _restart_stopping(
        self, state: Stopping, event: FilesChanged | RestartRequested, now: float
    ) -> State:
        if state.deadline is not None:
            return state
        self._do(ReleaseDebuggee())
        return replace(state, deadline=now + self._grace)

    def _choose(self, state: State, event: WhilePausedChosen, now: float) -> State:
        self._while_paused = event.value
        if event.value is WhilePaused.RESTART:
            match state:  # what waits for continue need not wait any more
                case Paused(pending=Cause()):
                    return self._restart_paused(state, RestartRequested(), now)
                case Stopping(deadline=None):
                    return self._restart_stopping(state, RestartRequested(), now)
        return state

    # --- stopping -------------------------------------------------------------------------------

    def _stop(self, then: Then, cause: Cause, now: float, signal: int | None = None) -> Stopping:
        self._do(AskToStop(self.generation, signal))
        return Stopping(then, cause, deadline=now + self._grace, asked=now, signal=signal)

    def _stop_for_good(self, cause: Cause, event: StopRequested, now: float) -> Stopping:
        self._do(Report(What.STOPPING, status=-event.signal if event.signal else None))
        return self._stop(Then.END, cause, now, event.signal)

    def _finish(self, state: Starting | Serving, event: StopRequested, now: float) -> State:
        stopping = self._stop_for_good(Cause((), now), event, now)
        return replace(stopping, had_failed=state.failure is not None)

    def _finish_paused(self, state: Paused | PostMortem, event: StopRequested, now: float) -> State:
        self._do(ReleaseDebuggee())
        return self._finish(state.before, event, now)

    def _finish_stopping(self, state: Stopping, event: StopRequested, now: float) -> State:
        if state.then is Then.END:
            if event.signal is None:
                return state  # editors say it in more than one way, none of them impatient
            repeat = SAME_SIGNAL if event.signal == state.signal else OTHER_SIGNAL
            return self._kill(state, now) if now - state.asked >= repeat else state
        if state.deadline is None:
            self._do(ReleaseDebuggee())
        stopping = self._stop_for_good(state.cause, event, now)
        return replace(stopping, was_restart=True, had_failed=state.had_failed)

    def _finish_without_child(
        self, state: Idle | Broken, event: StopRequested, now: float
    ) -> State:
        return self._end_without_answer(event.signal)

    def _climb(self, state: Stopping, event: DeadlineReached, now: float) -> State:
        if state.rung is not Rung.ASKED:
            return self._kill(state, now)
        if state.then is Then.RESTART:
            self._do(Report(What.OVERDUE, elapsed=self._grace))
        self._do(TerminateSession(self.generation))
        return replace(state, rung=Rung.TERMINATED, deadline=now + TERM_WAIT)

    def _kill(self, state: Stopping, now: float) -> State:
        self._do(KillSession(self.generation))
        return replace(state, rung=Rung.KILLED, deadline=now + 1.0)

    def _gone(self, state: Stopping, event: ChildExited, now: float) -> State:
        if state.then is Then.RESTART:
            return self._start(state.cause)
        was_ours = state.rung is not Rung.ASKED or (state.was_restart and event.status < 0)
        if state.had_failed or (state.signal and was_ours):
            return self._end_without_answer(state.signal)
        return self._end(event.status)

    def _paused_in_shutdown(self, state: Stopping, event: DebuggeePaused, now: float) -> State:
        is_to_restart = self._while_paused is WhilePaused.RESTART and not state.has_served
        if state.then is Then.END or is_to_restart:
            self._do(ReleaseDebuggee())
            return state
        return replace(state, deadline=None)  # a breakpoint is sacred: shutdown hooks' too

    def _failed_in_shutdown(self, state: Stopping, event: ChildFailed, now: float) -> State:
        if not event.is_held:
            return state
        self._do(ReleaseDebuggee())
        return replace(state, deadline=state.deadline or now + self._grace)

    def _resumed_in_shutdown(self, state: Stopping, event: DebuggeeResumed, now: float) -> State:
        return replace(state, deadline=state.deadline or now + self._grace)

    def _end_without_answer(self, signal: int | None) -> Ended:
        """As no status of the app's comes of the wish to end: it had failed, or we ended it."""
        return self._end(-signal if signal else 0)

    def _end(self, status: int) -> Ended:
        self._do(Exit(status))
        return Ended()

    # --- nothing to do --------------------------------------------------------------------------

    def _stay(self, state: State, event: object, now: float) -> State:
        return state


def _with_failure(state: Starting | Serving, failure: Failure) -> Starting | Serving:
    return replace(state, failure=failure, is_told=state.is_told and state.failure == failure)


def _paths(event: FilesChanged | RestartRequested) -> tuple[str, ...]:
    return event.paths if isinstance(event, FilesChanged) else ()


_S = Supervisor
TABLE: dict[tuple[type, type], _Handler] = {
    (Idle, Launched): _S._launched,
    (Idle, StopRequested): _S._finish_without_child,
    (Idle, FilesChanged): _S._stay,
    (Idle, RestartRequested): _S._stay,
    (Idle, WhilePausedChosen): _S._choose,
    (Starting, ChildServing): _S._served,
    (Starting, ChildFailed): _S._note_failure,
    (Starting, ChildExited): _S._crashed,
    (Starting, ChildRefused): _S._refused,
    (Starting, FilesChanged): _S._restart,
    (Starting, RestartRequested): _S._restart,
    (Starting, StopRequested): _S._finish,
    (Starting, DebuggeePaused): _S._paused,
    (Starting, DebuggeeResumed): _S._stay,
    (Starting, WhilePausedChosen): _S._choose,
    (Serving, ChildFailed): _S._note_failure,
    (Serving, ChildExited): _S._crashed,
    (Serving, ChildRefused): _S._refused,
    (Serving, FilesChanged): _S._restart,
    (Serving, RestartRequested): _S._restart,
    (Serving, StopRequested): _S._finish,
    (Serving, DebuggeePaused): _S._paused,
    (Serving, DebuggeeResumed): _S._stay,
    (Serving, WhilePausedChosen): _S._choose,
    (Paused, ChildServing): _S._served_while_paused,
    (Paused, ChildFailed): _S._note_failure_while_paused,
    (Paused, ChildExited): _S._crashed_while_paused,
    (Paused, ChildRefused): _S._refused_while_paused,
    (Paused, FilesChanged): _S._changed_while_paused,
    (Paused, RestartRequested): _S._restart_paused,
    (Paused, StopRequested): _S._finish_paused,
    (Paused, DebuggeePaused): _S._stay,
    (Paused, DebuggeeResumed): _S._resumed,
    (Paused, WhilePausedChosen): _S._choose,
    (PostMortem, ChildServing): _S._served_while_paused,
    (PostMortem, ChildFailed): _S._note_failure_again,
    (PostMortem, ChildExited): _S._ended_while_shown,
    (PostMortem, ChildRefused): _S._refused_while_shown,
    (PostMortem, FilesChanged): _S._mend,
    (PostMortem, RestartRequested): _S._mend,
    (PostMortem, StopRequested): _S._finish_paused,
    (PostMortem, DebuggeePaused): _S._stay,
    (PostMortem, DebuggeeResumed): _S._let_go,
    (PostMortem, WhilePausedChosen): _S._choose,
    (Stopping, ChildServing): _S._stay,
    (Stopping, ChildFailed): _S._failed_in_shutdown,
    (Stopping, ChildExited): _S._gone,
    (Stopping, ChildRefused): _S._refused_while_stopping,
    (Stopping, FilesChanged): _S._changed_while_stopping,
    (Stopping, RestartRequested): _S._restart_stopping,
    (Stopping, StopRequested): _S._finish_stopping,
    (Stopping, DebuggeePaused): _S._paused_in_shutdown,
    (Stopping, DebuggeeResumed): _S._resumed_in_shutdown,
    (Stopping, DeadlineReached): _S._climb,
    (Stopping, WhilePausedChosen): _S._choose,
    (Broken, FilesChanged): _S._start_again,
    (Broken, RestartRequested): _S._start_again,
    (Broken, StopRequested): _S._finish_without_child,
    (Broken, DebuggeePaused): _S._stay,
    (Broken, DebuggeeResumed): _S._stay,
    (Broken, WhilePausedChosen): _S._choose,
}
