"""The life of the app's process: what to do about changes, exits, signals and the debugger.

Theory of operation. At most one child exists. Each event meets exactly one entry of `TABLE`, which
names what happens. A state is a frozen dataclass that carries all that is known while it lasts.
What is wanted (`Stopping.then`: another generation, or the end) is kept apart from what is (the
child still runs). At the `deadline` the owner hands in `DeadlineReached`.

Stopping climbs a ladder, one rung at each deadline: ask (control channel, or SIGTERM to a program
that is no server), SIGTERM to the session, SIGKILL to the session and to all that carries the mark.
"""

from __future__ import annotations

from dataclasses import replace

from devlaunch.config import WhilePaused
from devlaunch.core.machine import Machine, table
from devlaunch.core.states import (
    Alive,
    Broken,
    Cause,
    Ended,
    Held,
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
from devlaunch.errors import EX_USAGE
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

Change = FilesChanged | RestartRequested


class Supervisor(Machine[State]):
    """Turns events into actions; see the module's theory of operation.

    `grace` is in seconds. With `reload` false the end of the child is the end of the launcher.
    """

    def __init__(self, *, grace: float, while_paused: WhilePaused, reload: bool) -> None:
        super().__init__(TABLE, Idle())
        self.generation = 0
        self.while_paused = while_paused
        """What a change does while the debugger holds the app."""
        self._grace = grace
        self._reload = reload
        self._has_served = False
        self._unserved: tuple[str, ...] = ()

    # --- starting -------------------------------------------------------------------------------

    def _start(self, cause: Cause) -> Starting:
        self.generation += 1
        # Files whose change never reached a serving child may still have stale bytecode about.
        self._unserved = tuple(dict.fromkeys((*self._unserved, *cause.paths)))
        self._do(SpawnChild(self.generation, self._unserved))
        return Starting(cause)

    def _launched(self, state: Idle, event: Launched) -> State:
        return self._start(self._cause())

    def _start_again(self, state: Broken, event: Change) -> State:
        return self._start(self._reloading(_paths(event)))

    def _served(self, state: Starting | Held, event: ChildServing) -> State:
        before = _alive(state)
        if isinstance(before, Starting):
            what = What.RELOADED if self._has_served or before.cause.paths else What.READY
            self._has_served = True
            self._unserved = ()
            if before.is_again:
                self._do(Report(What.REPLACED))
            else:
                elapsed = self._now - before.cause.since
                self._do(Report(what, paths=before.cause.paths, elapsed=elapsed))
        return Serving() if isinstance(state, Starting) else replace(state, before=Serving())

    # --- the child cannot run the app -----------------------------------------------------------

    def _note_failure(self, state: Alive | Paused, event: ChildFailed) -> State:
        before = _with_failure(_alive(state), event.failure)
        if not event.is_held:
            return replace(state, before=before) if isinstance(state, Paused) else before
        self._do(Report(What.BROKEN, failure=before.failure, is_last=not self._reload))
        shown, pending = PostMortem(replace(before, is_told=True)), _pending(state)
        return self._let_end(pending.paths) if pending else shown

    def _note_failure_again(self, state: PostMortem, event: ChildFailed) -> State:
        return replace(state, before=_with_failure(state.before, event.failure))

    def _mend(self, state: PostMortem, event: Change) -> State:
        return self._let_end(_paths(event))

    def _let_end(self, paths: tuple[str, ...]) -> Stopping:
        self._do(ReleaseDebuggee())  # to its end, for which it need not be asked
        cause = self._reloading(paths)
        return Stopping(Then.RESTART, cause, self._in_time(), asked=self._now, had_failed=True)

    def _let_go(self, state: PostMortem, event: DebuggeeResumed) -> State:
        return state.before

    # --- the child ended by itself --------------------------------------------------------------

    def _crashed(self, state: Alive | Held, event: ChildExited) -> State:
        before, status = _alive(state), event.status
        failure = before.failure
        is_usage = failure is not None and failure.is_usage and self.generation == 1
        is_last = is_usage or not self._reload
        if not before.is_told:
            what = What.BROKEN if failure else What.EXITED
            self._do(Report(what, failure=failure, status=status, is_last=is_last))
        if is_last:
            return self._end(EX_USAGE if is_usage else status)
        pending = _pending(state)
        return self._start(pending) if pending else Broken()

    # --- a standby that was promoted, and must not go on --------------------------------------

    def _refused(self, state: Alive | Held, event: ChildRefused) -> State:
        before, pending = _alive(state), _pending(state)
        if isinstance(before, Starting):
            if pending:
                return self._start(before.cause.plus(pending.paths))
            return replace(self._start(before.cause), is_again=before.is_again)
        if pending:
            return self._start(pending)
        return replace(self._start(self._cause()), is_again=True)

    def _refused_while_stopping(self, state: Stopping, event: ChildRefused) -> State:
        return self._gone(state, ChildExited(event.generation, 0))

    # --- changes, restarts ----------------------------------------------------------------------

    def _cause(self, paths: tuple[str, ...] = ()) -> Cause:
        return Cause(paths, self._now)

    def _reloading(self, paths: tuple[str, ...]) -> Cause:
        self._do(Report(What.RELOADING, paths=paths))
        return self._cause(paths)

    def _restart(self, state: Alive, event: Change) -> State:
        cause = self._cause(_paths(event))
        if isinstance(state, Starting) and state.cause.paths:
            cause = state.cause.plus(cause.paths)  # their save is not served yet
        self._do(Report(What.RELOADING, paths=cause.paths))
        stopping = self._stop(Then.RESTART, cause)
        has_served, had_failed = isinstance(state, Serving), state.failure is not None
        return replace(stopping, has_served=has_served, had_failed=had_failed)

    def _changed_while_paused(self, state: Paused, event: FilesChanged) -> State:
        if self.while_paused is WhilePaused.RESTART:
            return self._restart_paused(state, event)
        self._do(Report(What.WAITING_WHILE_PAUSED, paths=event.paths))
        pending = state.pending or self._cause()
        return replace(state, pending=pending.plus(event.paths))

    def _restart_paused(self, state: Paused, event: Change) -> State:
        self._do(ReleaseDebuggee())
        pending = state.pending.paths if state.pending else ()
        return self._restart(state.before, FilesChanged((*pending, *_paths(event))))

    def _paused(self, state: Alive, event: DebuggeePaused) -> State:
        return Paused(before=state)

    def _resumed(self, state: Paused, event: DebuggeeResumed) -> State:
        if state.pending is None:
            return state.before
        return self._restart(state.before, FilesChanged(state.pending.paths))

    def _changed_while_stopping(self, state: Stopping, event: FilesChanged) -> State:
        state = replace(state, cause=state.cause.plus(event.paths))
        if self.while_paused is WhilePaused.RESTART:
            return self._restart_stopping(state, event)
        return state

    def _restart_stopping(self, state: Stopping, event: Change) -> State:
        if state.deadline is not None:
            return state
        self._do(ReleaseDebuggee())
        return replace(state, deadline=self._in_time())

    def _choose(self, state: State, event: WhilePausedChosen) -> State:
        self.while_paused = event.value
        if event.value is WhilePaused.RESTART:
            match state:  # what waits for continue need not wait any more
                case Paused(pending=Cause()):
                    return self._restart_paused(state, RestartRequested())
                case Stopping(deadline=None):
                    return self._restart_stopping(state, RestartRequested())
        return state

    # --- stopping -------------------------------------------------------------------------------

    def _in_time(self) -> float:
        return self._now + self._grace

    def _stop(self, then: Then, cause: Cause, signal: int | None = None) -> Stopping:
        self._do(AskToStop(self.generation, signal))
        return Stopping(then, cause, self._in_time(), asked=self._now, signal=signal)

    def _stop_for_good(self, cause: Cause, event: StopRequested) -> Stopping:
        self._do(Report(What.STOPPING, status=-event.signal if event.signal else None))
        return self._stop(Then.END, cause, event.signal)

    def _finish(self, state: Alive | Held, event: StopRequested) -> State:
        if isinstance(state, Held):
            self._do(ReleaseDebuggee())
        stopping = self._stop_for_good(self._cause(), event)
        return replace(stopping, had_failed=_alive(state).failure is not None)

    def _finish_stopping(self, state: Stopping, event: StopRequested) -> State:
        if state.then is Then.END:
            if event.signal is None:
                return state  # editors say it in more than one way, none of them impatient
            repeat = SAME_SIGNAL if event.signal == state.signal else OTHER_SIGNAL
            return self._kill(state) if self._now - state.asked >= repeat else state
        if state.deadline is None:
            self._do(ReleaseDebuggee())
        stopping = self._stop_for_good(state.cause, event)
        return replace(stopping, was_restart=True, had_failed=state.had_failed)

    def _finish_without_child(self, state: Idle | Broken, event: StopRequested) -> State:
        return self._end_without_answer(event.signal)

    def _climb(self, state: Stopping, event: DeadlineReached) -> State:
        if state.rung is not Rung.ASKED:
            return self._kill(state)
        if state.then is Then.RESTART:
            self._do(Report(What.OVERDUE, elapsed=self._grace))
        self._do(TerminateSession(self.generation))
        return replace(state, rung=Rung.TERMINATED, deadline=self._now + TERM_WAIT)

    def _kill(self, state: Stopping) -> State:
        self._do(KillSession(self.generation))
        return replace(state, rung=Rung.KILLED, deadline=self._now + 1.0)

    def _gone(self, state: Stopping, event: ChildExited) -> State:
        if state.then is Then.RESTART:
            return self._start(state.cause)
        was_ours = state.rung is not Rung.ASKED or (state.was_restart and event.status < 0)
        if state.had_failed or (state.signal and was_ours):
            return self._end_without_answer(state.signal)
        return self._end(event.status)

    def _paused_in_shutdown(self, state: Stopping, event: DebuggeePaused) -> State:
        is_to_restart = self.while_paused is WhilePaused.RESTART and not state.has_served
        if state.then is Then.END or is_to_restart:
            self._do(ReleaseDebuggee())
            return state
        return replace(state, deadline=None)  # a breakpoint is sacred: shutdown hooks' too

    def _failed_in_shutdown(self, state: Stopping, event: ChildFailed) -> State:
        if not event.is_held:
            return state
        self._do(ReleaseDebuggee())
        return replace(state, deadline=state.deadline or self._in_time())

    def _resumed_in_shutdown(self, state: Stopping, event: DebuggeeResumed) -> State:
        return replace(state, deadline=state.deadline or self._in_time())

    def _end_without_answer(self, signal: int | None) -> Ended:
        """As no status of the app's comes of the wish to end: it had failed, or we ended it."""
        return self._end(-signal if signal else 0)

    def _end(self, status: int) -> Ended:
        self._do(Exit(status))
        return Ended()


def _alive(state: Alive | Held) -> Alive:
    return state.before if isinstance(state, Held) else state


def _pending(state: Alive | Held) -> Cause | None:
    return state.pending if isinstance(state, Paused) else None


def _with_failure(state: Alive, failure: Failure) -> Alive:
    return replace(state, failure=failure, is_told=state.is_told and state.failure == failure)


def _paths(event: Change) -> tuple[str, ...]:
    return event.paths if isinstance(event, FilesChanged) else ()


_S = Supervisor
TABLE = table(
    {
        (Idle, Launched): _S._launched,
        (Idle, Change): _S._stay,
        (Idle | Broken, StopRequested): _S._finish_without_child,
        (Broken, Change): _S._start_again,
        (Broken, DebuggeePaused | DebuggeeResumed): _S._stay,
        (Alive | Held, ChildExited): _S._crashed,
        (Alive | Held, ChildRefused): _S._refused,
        (Alive | Held, StopRequested): _S._finish,
        (Starting | Held, ChildServing): _S._served,
        (Alive | Paused, ChildFailed): _S._note_failure,
        (Alive, Change): _S._restart,
        (Alive, DebuggeePaused): _S._paused,
        (Alive, DebuggeeResumed): _S._stay,
        (Held, DebuggeePaused): _S._stay,
        (Paused, FilesChanged): _S._changed_while_paused,
        (Paused, RestartRequested): _S._restart_paused,
        (Paused, DebuggeeResumed): _S._resumed,
        (PostMortem, ChildFailed): _S._note_failure_again,
        (PostMortem, Change): _S._mend,
        (PostMortem, DebuggeeResumed): _S._let_go,
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
        (Idle | Alive | Held | Stopping | Broken, WhilePausedChosen): _S._choose,
    }
)
