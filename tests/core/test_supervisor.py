"""Every (state, event) pair of the supervisor, and the scenarios that pairs add up to."""

from __future__ import annotations

from dataclasses import replace

import pytest

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
from devlaunch.core.supervisor import TABLE, TERM_WAIT, Supervisor
from devlaunch.errors import StateError
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

GRACE = 2.0
NOW = 100.0
FAILURE = Failure("NameError: name 'x' is not defined", file="/p/app.py", line=3)
USAGE = replace(FAILURE, is_usage=True)
FIRST = Cause((), 90.0)
SAVED = FilesChanged(("/p/app.py",))
CAUSE = Cause(("/p/app.py",), NOW)
SIGINT = 2

STARTING = Starting(FIRST)
AGAIN = Starting(FIRST, is_again=True)
SERVING = Serving()
PAUSED = Paused(SERVING)
PENDING = Paused(SERVING, Cause(("/p/a.py",), 95.0))
RESTARTING = Stopping(Then.RESTART, Cause(("/p/a.py",), 95.0), deadline=101.0)
ENDING = Stopping(Then.END, FIRST, deadline=101.0, signal=SIGINT)
VOID = Stopping(Then.RESTART, FIRST, NOW + GRACE, asked=NOW, has_served=False)
HELD = replace(RESTARTING, deadline=None)
TOLD = Serving(FAILURE, is_told=True)
SHOWN = PostMortem(TOLD)
UNCAUGHT = ChildFailed(3, FAILURE, is_held=True)
RELOAD_WHILE_PAUSED = WhilePausedChosen(WhilePaused.RESTART)


def supervisor(state: State, *, generation: int = 3, **options: object) -> Supervisor:
    made = Supervisor(
        **{"grace": GRACE, "while_paused": WhilePaused.WAIT, "reload": True, **options}
    )  # type: ignore[arg-type]
    made.state = state
    made.generation = generation
    return made


def state_after(state: State, event: object) -> State:
    made = supervisor(state)
    made.handle(event, NOW)
    return made.state


def asked(signal: int | None = None) -> AskToStop:
    return AskToStop(3, signal)


reloading = Report(What.RELOADING, paths=("/p/app.py",))
broken = Report(What.BROKEN, failure=FAILURE)
stopping = Report(What.STOPPING)
stopping_by_ctrl_c = Report(What.STOPPING, status=-SIGINT)

# (state, event, the state after, the actions)
CASES = [
    (Idle(), Launched(), Starting(Cause((), NOW)), [SpawnChild(4)]),
    (Idle(), StopRequested(SIGINT), Ended(), [Exit(-SIGINT)]),
    (Idle(), StopRequested(), Ended(), [Exit(0)]),
    (Idle(), SAVED, Idle(), []),
    (Idle(), RestartRequested(), Idle(), []),
    # starting
    (STARTING, ChildServing(3), SERVING, [Report(What.READY, elapsed=10.0)]),
    (STARTING, ChildFailed(3, FAILURE), Starting(FIRST, FAILURE), []),
    (STARTING, UNCAUGHT, PostMortem(Starting(FIRST, FAILURE, is_told=True)), [broken]),
    (STARTING, ChildExited(3, -9), Broken(), [Report(What.EXITED, status=-9)]),
    (
        Starting(FIRST, FAILURE),
        ChildExited(3, 1),
        Broken(),
        [Report(What.BROKEN, failure=FAILURE, status=1)],
    ),
    (
        Starting(FIRST, USAGE),
        ChildExited(3, 1),
        Broken(),
        [Report(What.BROKEN, failure=USAGE, status=1)],
    ),
    (
        STARTING,
        SAVED,
        replace(VOID, cause=CAUSE),
        [reloading, asked()],
    ),
    (
        Starting(Cause(("/p/a.py",), 90.0)),
        SAVED,
        replace(VOID, cause=Cause(("/p/a.py", "/p/app.py"), 90.0)),
        [Report(What.RELOADING, paths=("/p/a.py", "/p/app.py")), asked()],
    ),
    (
        STARTING,
        RestartRequested(),
        replace(VOID, cause=Cause((), NOW)),
        [Report(What.RELOADING), asked()],
    ),
    (
        STARTING,
        StopRequested(SIGINT),
        Stopping(Then.END, Cause((), NOW), NOW + GRACE, asked=NOW, signal=SIGINT),
        [stopping_by_ctrl_c, asked(SIGINT)],
    ),
    (STARTING, ChildRefused(3), STARTING, [SpawnChild(4)]),
    (AGAIN, ChildServing(3), SERVING, [Report(What.REPLACED)]),
    (AGAIN, ChildRefused(3), AGAIN, [SpawnChild(4)]),
    (STARTING, DebuggeePaused(), Paused(STARTING), []),
    (STARTING, DebuggeeResumed(), STARTING, []),
    # serving
    (SERVING, ChildFailed(3, FAILURE), Serving(FAILURE), []),
    (SERVING, UNCAUGHT, SHOWN, [broken]),
    (TOLD, ChildFailed(3, FAILURE), TOLD, []),
    (TOLD, ChildFailed(3, USAGE), Serving(USAGE), []),
    (TOLD, ChildExited(3, 1), Broken(), []),
    (SERVING, ChildExited(3, 0), Broken(), [Report(What.EXITED, status=0)]),
    (
        Serving(FAILURE),
        ChildExited(3, 1),
        Broken(),
        [Report(What.BROKEN, failure=FAILURE, status=1)],
    ),
    (
        SERVING,
        ChildRefused(3),
        Starting(Cause((), NOW), is_again=True),
        [SpawnChild(4)],
    ),
    (SERVING, SAVED, Stopping(Then.RESTART, CAUSE, NOW + GRACE, asked=NOW), [reloading, asked()]),
    (
        SERVING,
        RestartRequested(),
        Stopping(Then.RESTART, Cause((), NOW), NOW + GRACE, asked=NOW),
        [Report(What.RELOADING), asked()],
    ),
    (
        SERVING,
        StopRequested(),
        Stopping(Then.END, Cause((), NOW), NOW + GRACE, asked=NOW),
        [stopping, asked()],
    ),
    (SERVING, DebuggeePaused(), PAUSED, []),
    (SERVING, DebuggeeResumed(), SERVING, []),
    # paused
    (PAUSED, ChildServing(3), PAUSED, []),
    (Paused(STARTING), ChildServing(3), PAUSED, [Report(What.READY, elapsed=10.0)]),
    (PAUSED, ChildFailed(3, FAILURE), Paused(Serving(FAILURE)), []),
    (PAUSED, UNCAUGHT, SHOWN, [broken]),  # the pause was that stop
    (
        PENDING,
        UNCAUGHT,
        replace(
            RESTARTING,
            cause=Cause(("/p/a.py",), NOW),
            deadline=NOW + GRACE,
            asked=NOW,
            had_failed=True,
        ),
        [broken, ReleaseDebuggee(), Report(What.RELOADING, paths=("/p/a.py",))],
    ),
    (PAUSED, ChildExited(3, -9), Broken(), [Report(What.EXITED, status=-9)]),
    (
        PENDING,
        ChildExited(3, -9),
        Starting(Cause(("/p/a.py",), 95.0)),
        [Report(What.EXITED, status=-9), SpawnChild(4, ("/p/a.py",))],
    ),
    (Paused(STARTING), ChildRefused(3), STARTING, [SpawnChild(4)]),
    (
        PAUSED,
        ChildRefused(3),
        Starting(Cause((), NOW), is_again=True),
        [SpawnChild(4)],
    ),
    (
        PENDING,
        ChildRefused(3),
        Starting(Cause(("/p/a.py",), 95.0)),
        [SpawnChild(4, ("/p/a.py",))],
    ),
    (
        Paused(STARTING, Cause(("/p/a.py",), 95.0)),
        ChildRefused(3),
        Starting(Cause(("/p/a.py",), 90.0)),
        [SpawnChild(4, ("/p/a.py",))],
    ),
    (
        PAUSED,
        SAVED,
        Paused(SERVING, CAUSE),
        [Report(What.WAITING_WHILE_PAUSED, paths=("/p/app.py",))],
    ),
    (
        PENDING,
        SAVED,
        Paused(SERVING, Cause(("/p/a.py", "/p/app.py"), 95.0)),
        [Report(What.WAITING_WHILE_PAUSED, paths=("/p/app.py",))],
    ),
    (
        PENDING,
        RestartRequested(),
        Stopping(Then.RESTART, Cause(("/p/a.py",), NOW), NOW + GRACE, asked=NOW),
        [ReleaseDebuggee(), Report(What.RELOADING, paths=("/p/a.py",)), asked()],
    ),
    (
        PAUSED,
        StopRequested(SIGINT),
        Stopping(Then.END, Cause((), NOW), NOW + GRACE, asked=NOW, signal=SIGINT),
        [ReleaseDebuggee(), stopping_by_ctrl_c, asked(SIGINT)],
    ),
    (PAUSED, DebuggeePaused(), PAUSED, []),
    (PAUSED, DebuggeeResumed(), SERVING, []),
    (
        PENDING,
        DebuggeeResumed(),
        Stopping(Then.RESTART, Cause(("/p/a.py",), NOW), NOW + GRACE, asked=NOW),
        [Report(What.RELOADING, paths=("/p/a.py",)), asked()],
    ),
    # broken, with its frames on show
    (SHOWN, ChildServing(3), PostMortem(SERVING), []),
    (SHOWN, ChildFailed(3, FAILURE), SHOWN, []),
    (SHOWN, ChildExited(3, 1), Broken(), []),
    (SHOWN, ChildRefused(3), Starting(Cause((), NOW), is_again=True), [SpawnChild(4)]),
    (
        SHOWN,
        SAVED,
        Stopping(Then.RESTART, CAUSE, NOW + GRACE, asked=NOW, had_failed=True),
        [ReleaseDebuggee(), reloading],
    ),
    (
        SHOWN,
        RestartRequested(),
        Stopping(Then.RESTART, Cause((), NOW), NOW + GRACE, asked=NOW, had_failed=True),
        [ReleaseDebuggee(), Report(What.RELOADING)],
    ),
    (
        SHOWN,
        StopRequested(SIGINT),
        replace(ENDING, cause=Cause((), NOW), deadline=NOW + GRACE, asked=NOW, had_failed=True),
        [ReleaseDebuggee(), stopping_by_ctrl_c, asked(SIGINT)],
    ),
    (SHOWN, DebuggeePaused(), SHOWN, []),
    (SHOWN, DebuggeeResumed(), TOLD, []),
    # stopping
    (RESTARTING, ChildServing(3), RESTARTING, []),
    (RESTARTING, ChildFailed(3, FAILURE), RESTARTING, []),
    (RESTARTING, UNCAUGHT, RESTARTING, [ReleaseDebuggee()]),
    (HELD, UNCAUGHT, replace(HELD, deadline=NOW + GRACE), [ReleaseDebuggee()]),
    (
        RESTARTING,
        ChildExited(3, 0),
        Starting(Cause(("/p/a.py",), 95.0)),
        [SpawnChild(4, ("/p/a.py",))],
    ),
    (ENDING, ChildExited(3, 0), Ended(), [Exit(0)]),
    (ENDING, ChildExited(3, -15), Ended(), [Exit(-15)]),
    (replace(ENDING, was_restart=True), ChildExited(3, -15), Ended(), [Exit(-SIGINT)]),
    (replace(ENDING, was_restart=True), ChildExited(3, 1), Ended(), [Exit(1)]),
    (replace(ENDING, had_failed=True), ChildExited(3, 1), Ended(), [Exit(-SIGINT)]),
    (replace(ENDING, signal=None, had_failed=True), ChildExited(3, 1), Ended(), [Exit(0)]),
    (replace(ENDING, rung=Rung.KILLED), ChildExited(3, -9), Ended(), [Exit(-SIGINT)]),
    (replace(ENDING, signal=None, rung=Rung.KILLED), ChildExited(3, -9), Ended(), [Exit(-9)]),
    (
        RESTARTING,
        ChildRefused(3),
        Starting(Cause(("/p/a.py",), 95.0)),
        [SpawnChild(4, ("/p/a.py",))],
    ),
    (ENDING, ChildRefused(3), Ended(), [Exit(0)]),
    (
        RESTARTING,
        SAVED,
        replace(RESTARTING, cause=Cause(("/p/a.py", "/p/app.py"), 95.0)),
        [],
    ),
    (RESTARTING, RestartRequested(), RESTARTING, []),
    (
        HELD,
        RestartRequested(),
        replace(RESTARTING, deadline=NOW + GRACE),
        [ReleaseDebuggee()],
    ),
    (
        RESTARTING,
        StopRequested(SIGINT),
        replace(ENDING, cause=RESTARTING.cause, deadline=NOW + GRACE, asked=NOW, was_restart=True),
        [stopping_by_ctrl_c, asked(SIGINT)],
    ),
    (
        HELD,
        StopRequested(),
        Stopping(Then.END, HELD.cause, NOW + GRACE, asked=NOW, was_restart=True),
        [ReleaseDebuggee(), stopping, asked()],
    ),
    (
        ENDING,
        StopRequested(SIGINT),
        replace(ENDING, rung=Rung.KILLED, deadline=NOW + 1.0),
        [KillSession(3)],
    ),
    (ENDING, StopRequested(), ENDING, []),
    (RESTARTING, DebuggeePaused(), HELD, []),
    (ENDING, DebuggeePaused(), ENDING, [ReleaseDebuggee()]),
    (HELD, DebuggeeResumed(), replace(RESTARTING, deadline=NOW + GRACE), []),
    (RESTARTING, DebuggeeResumed(), RESTARTING, []),
    (
        RESTARTING,
        DeadlineReached(),
        replace(RESTARTING, rung=Rung.TERMINATED, deadline=NOW + TERM_WAIT),
        [Report(What.OVERDUE, elapsed=GRACE), TerminateSession(3)],
    ),
    (
        replace(RESTARTING, rung=Rung.TERMINATED),
        DeadlineReached(),
        replace(RESTARTING, rung=Rung.KILLED, deadline=NOW + 1.0),
        [KillSession(3)],
    ),
    # broken
    (Broken(), SAVED, Starting(CAUSE), [reloading, SpawnChild(4, ("/p/app.py",))]),
    (
        Broken(),
        RestartRequested(),
        Starting(Cause((), NOW)),
        [Report(What.RELOADING), SpawnChild(4)],
    ),
    (Broken(), StopRequested(SIGINT), Ended(), [Exit(-SIGINT)]),
    (Broken(), DebuggeePaused(), Broken(), []),
    (Broken(), DebuggeeResumed(), Broken(), []),
    # the IDE chooses what a change does while paused
    (Idle(), RELOAD_WHILE_PAUSED, Idle(), []),
    (STARTING, RELOAD_WHILE_PAUSED, STARTING, []),
    (SERVING, RELOAD_WHILE_PAUSED, SERVING, []),
    (PAUSED, RELOAD_WHILE_PAUSED, PAUSED, []),
    (PENDING, WhilePausedChosen(WhilePaused.WAIT), PENDING, []),
    (SHOWN, RELOAD_WHILE_PAUSED, SHOWN, []),
    (
        PENDING,
        RELOAD_WHILE_PAUSED,
        Stopping(Then.RESTART, Cause(("/p/a.py",), NOW), NOW + GRACE, asked=NOW),
        [ReleaseDebuggee(), Report(What.RELOADING, paths=("/p/a.py",)), asked()],
    ),
    (RESTARTING, RELOAD_WHILE_PAUSED, RESTARTING, []),
    (HELD, RELOAD_WHILE_PAUSED, replace(HELD, deadline=NOW + GRACE), [ReleaseDebuggee()]),
    (Broken(), RELOAD_WHILE_PAUSED, Broken(), []),
]


@pytest.mark.parametrize(("state", "event", "after", "actions"), CASES)
def test_transition(state: State, event: object, after: State, actions: list[object]) -> None:
    made = supervisor(state)
    assert made.handle(event, NOW) == actions
    assert made.state == after


def test_every_entry_of_the_table_has_a_case() -> None:
    covered = {(type(state), type(event)) for state, event, _, _ in CASES}
    assert covered == set(TABLE)


STATES = [Idle(), STARTING, SERVING, PAUSED, SHOWN, RESTARTING, Broken(), Ended()]
EVENTS = [
    Launched(),
    ChildServing(3),
    ChildFailed(3, FAILURE),
    ChildExited(3, 0),
    ChildRefused(3),
    SAVED,
    RestartRequested(),
    StopRequested(),
    DebuggeePaused(),
    DebuggeeResumed(),
    DeadlineReached(),
    RELOAD_WHILE_PAUSED,
]


@pytest.mark.parametrize("state", STATES, ids=lambda state: type(state).__name__)
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_a_pair_that_is_missing_is_an_error(state: State, event: object) -> None:
    if (type(state), type(event)) in TABLE:
        supervisor(state).handle(event, NOW)
    else:
        with pytest.raises(StateError, match=type(state).__name__):
            supervisor(state).handle(event, NOW)


def test_the_first_generation_is_ready_and_later_ones_are_reloaded() -> None:
    made = supervisor(Idle(), generation=0)
    assert made.handle(Launched(), 0.0) == [SpawnChild(1)]
    assert made.handle(ChildServing(1), 0.4) == [Report(What.READY, elapsed=0.4)]
    made.handle(SAVED, 5.0)
    assert made.handle(ChildExited(1, 0), 5.1) == [SpawnChild(2, ("/p/app.py",))]
    assert made.handle(ChildServing(2), 5.3) == [
        Report(What.RELOADED, paths=("/p/app.py",), elapsed=pytest.approx(0.3))
    ]


def test_files_changed_before_a_generation_served_stay_suspect_until_one_serves() -> None:
    made = supervisor(SERVING)
    made.handle(SAVED, 0.0)
    made.handle(ChildExited(3, 0), 0.1)
    made.handle(ChildFailed(4, FAILURE), 0.2)
    made.handle(ChildExited(4, 1), 0.3)
    actions = made.handle(FilesChanged(("/p/other.py",)), 0.4)
    assert actions[-1] == SpawnChild(5, ("/p/app.py", "/p/other.py"))
    made.handle(ChildServing(5), 0.5)
    made.handle(FilesChanged(("/p/third.py",)), 0.6)
    assert made.handle(ChildExited(5, 0), 0.7) == [SpawnChild(6, ("/p/third.py",))]


def test_a_usage_failure_ends_the_first_generation_with_status_2() -> None:
    made = supervisor(Starting(FIRST, USAGE), generation=1)
    assert made.handle(ChildExited(1, 1), NOW) == [
        Report(What.BROKEN, failure=USAGE, status=1, is_last=True),
        Exit(2),
    ]


@pytest.mark.parametrize("status", [0, 3, -9])
def test_without_reload_the_childs_end_is_the_end(status: int) -> None:
    made = supervisor(SERVING, reload=False)
    assert made.handle(ChildExited(3, status), NOW) == [
        Report(What.EXITED, status=status, is_last=True),
        Exit(status),
    ]


def test_while_paused_restart_releases_and_restarts() -> None:
    made = supervisor(PAUSED, while_paused=WhilePaused.RESTART)
    assert made.handle(SAVED, NOW) == [ReleaseDebuggee(), reloading, asked()]
    assert made.state == Stopping(Then.RESTART, CAUSE, NOW + GRACE, asked=NOW)


@pytest.mark.parametrize("state", STATES[:-1])
def test_what_was_chosen_holds_from_then_on(state: State) -> None:
    made = supervisor(state)
    made.handle(RELOAD_WHILE_PAUSED, NOW)
    assert made.while_paused is WhilePaused.RESTART
    made.state = PAUSED
    assert ReleaseDebuggee() in made.handle(SAVED, NOW)


@pytest.mark.parametrize("state", [RESTARTING, VOID])
@pytest.mark.parametrize("while_paused", WhilePaused)
def test_while_paused_restart_holds_in_a_start_that_is_void(
    state: Stopping, while_paused: WhilePaused
) -> None:
    made = supervisor(state, while_paused=while_paused)
    is_let_go = state is VOID and while_paused is WhilePaused.RESTART
    assert made.handle(DebuggeePaused(), NOW) == ([ReleaseDebuggee()] if is_let_go else [])
    assert (made.deadline is None) != is_let_go


def test_without_reload_broken_code_is_shown_before_the_end() -> None:
    made = supervisor(SERVING, reload=False)
    assert made.handle(UNCAUGHT, NOW) == [replace(broken, is_last=True)]
    made.handle(DebuggeeResumed(), NOW)
    assert made.handle(ChildExited(3, 1), NOW) == [Exit(1)]


def test_the_deadline_is_that_of_stopping_only() -> None:
    assert supervisor(SERVING).deadline is None
    assert supervisor(RESTARTING).deadline == 101.0
    assert supervisor(HELD).deadline is None


def test_while_paused_restart_also_ends_a_pause_in_a_shutdown_hook() -> None:
    made = supervisor(HELD, while_paused=WhilePaused.RESTART)
    assert made.handle(SAVED, NOW) == [ReleaseDebuggee()]
    assert made.deadline == NOW + GRACE


@pytest.mark.parametrize(
    ("signal", "later", "kills"),
    [
        (SIGINT, 0.001, False),  # timeout(1) signals the process, then its group
        (SIGINT, 0.1, True),  # nobody presses Ctrl-C twice by mistake
        (15, 0.1, False),  # a process manager adds its own signal to the terminal's
        (15, 0.6, True),
        (None, 0.6, False),  # nvim-dap hangs up after its `terminate`
    ],
)
def test_a_second_wish_to_end_is_immediate_unless_it_belongs_to_the_first(
    signal: int | None, later: float, kills: bool
) -> None:
    made = supervisor(SERVING)
    made.handle(StopRequested(SIGINT), NOW)
    actions = made.handle(StopRequested(signal), NOW + later)
    assert actions == ([KillSession(3)] if kills else [])


@pytest.mark.parametrize("signal", [SIGINT, None])
@pytest.mark.parametrize(
    "state",
    [
        SHOWN,
        TOLD,
        Starting(FIRST, FAILURE),
        Paused(TOLD),
        state_after(SHOWN, SAVED),
        state_after(TOLD, SAVED),
        Broken(),
    ],
)
def test_the_end_of_what_is_broken_has_the_status_of_the_wish(
    state: State, signal: int | None
) -> None:
    """Wherever it is on its way: the app's own says why it is broken."""
    made = supervisor(state)
    actions = made.handle(StopRequested(signal), NOW)
    if made.state != Ended():
        actions = made.handle(ChildExited(3, 1), NOW)
    assert actions[-1] == Exit(-signal if signal else 0)


def test_a_save_during_a_second_try_is_a_reload_of_its_own() -> None:
    made = supervisor(AGAIN)
    made.handle(SAVED, NOW)
    assert made.handle(ChildExited(3, 0), NOW) == [SpawnChild(4, ("/p/app.py",))]
    assert made.handle(ChildServing(4), NOW) == [
        Report(What.RELOADED, paths=("/p/app.py",), elapsed=0.0)
    ]
