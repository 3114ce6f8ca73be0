"""Every (state, event) pair of the standby's policy, and the scenarios that pairs add up to."""

from __future__ import annotations

import pytest

from devlaunch.config import StandbyLevel
from devlaunch.core import standby as core
from devlaunch.core.standby import (
    ANSWER_LIMIT,
    CALM,
    IDLE,
    LONGEST_WAIT,
    MOST_LOST,
    MOST_REFUSED,
    MOST_SPOILED,
    TABLE,
    WARM_LIMIT,
    AppBroke,
    AppServed,
    AppStarted,
    AskForImports,
    Asking,
    DebuggerChanged,
    ImportsKnown,
    KillStandby,
    Off,
    Ready,
    Settling,
    SpawnStandby,
    StandbyDue,
    StandbyLost,
    StandbyPolicy,
    StandbyWarmed,
    Unwanted,
    Warming,
)
from devlaunch.errors import StateError
from devlaunch.events import ChildRefused, LogLine, StopRequested

NOW = 100.0
SETTLING = Settling(NOW - CALM, NOW)
ASKING = Asking(NOW + 0.5)
WARMING = Warming(NOW + 9)
READY = Ready()
ANEW = Settling(NOW, NOW + CALM)
COLD, PROMOTED = AppStarted(by_promotion=False), AppStarted(by_promotion=True)
IDLE_MACHINE, BUSY_MACHINE = StandbyDue(2.0), StandbyDue(IDLE / 2)


def policy(state: core.State, level: StandbyLevel = StandbyLevel.FULL) -> StandbyPolicy:
    """One that has seen the app serve."""
    made = StandbyPolicy(level)
    made.handle(AppStarted(by_promotion=False), NOW - 9)
    made.handle(AppServed(), NOW - 9)
    made.state = state
    return made


# (state, event, the state after, the actions)
CASES = [
    (Off(), COLD, Off(), []),
    (Off(), AppServed(), Off(), []),
    (Off(), AppBroke(), Off(), []),
    (Off(), ChildRefused(3), Off(), []),
    (Off(), ImportsKnown(), Off(), []),
    (Off(), StopRequested(), Off(), []),
    # the app starts
    (Unwanted(), COLD, Unwanted(), []),
    (Unwanted(), AppServed(), ANEW, []),
    (Unwanted(), AppBroke(), ANEW, []),
    (Unwanted(), ChildRefused(3), Unwanted(), []),
    (Unwanted(), ImportsKnown(), Unwanted(), []),
    (Unwanted(), StopRequested(), Off(), []),
    # the machine may be busy
    (SETTLING, COLD, Unwanted(), []),
    (SETTLING, AppBroke(), SETTLING, []),
    (SETTLING, ChildRefused(3), Unwanted(), []),
    (SETTLING, ImportsKnown(), SETTLING, []),
    (SETTLING, IDLE_MACHINE, Asking(NOW + ANSWER_LIMIT), [AskForImports()]),
    (SETTLING, StandbyDue(None), Asking(NOW + ANSWER_LIMIT), [AskForImports()]),
    (SETTLING, BUSY_MACHINE, Settling(NOW - CALM, NOW + CALM), []),
    (
        Settling(NOW - LONGEST_WAIT, NOW),
        BUSY_MACHINE,
        Asking(NOW + ANSWER_LIMIT),
        [AskForImports()],
    ),
    (SETTLING, StopRequested(), Off(), []),
    # it is known what to import, or will not be
    (ASKING, COLD, Unwanted(), []),
    (ASKING, AppBroke(), ASKING, []),
    (ASKING, ChildRefused(3), Unwanted(), []),
    (ASKING, ImportsKnown(), Warming(NOW + WARM_LIMIT), [SpawnStandby(imports=True)]),
    (ASKING, IDLE_MACHINE, Warming(NOW + WARM_LIMIT), [SpawnStandby(imports=True)]),
    (ASKING, StopRequested(), Off(), []),
    # there is one
    (WARMING, PROMOTED, Unwanted(), []),
    (WARMING, COLD, Unwanted(), [KillStandby()]),
    (WARMING, AppBroke(), WARMING, []),
    (WARMING, ChildRefused(3), Unwanted(), [KillStandby()]),
    (WARMING, ImportsKnown(), WARMING, []),
    (WARMING, DebuggerChanged(), ANEW, [KillStandby()]),
    (WARMING, StandbyWarmed(), READY, []),
    (WARMING, StandbyWarmed(is_spoiled=True), ANEW, [KillStandby()]),
    (WARMING, StandbyLost(), ANEW, []),
    (WARMING, IDLE_MACHINE, ANEW, [KillStandby()]),
    (WARMING, StopRequested(), Off(), [KillStandby()]),
    # it is ready
    (READY, PROMOTED, Unwanted(), []),
    (READY, COLD, Unwanted(), [KillStandby()]),
    (READY, AppBroke(), READY, []),
    (READY, ChildRefused(3), Unwanted(), [KillStandby()]),
    (READY, ImportsKnown(), READY, []),
    (READY, DebuggerChanged(), ANEW, [KillStandby()]),
    (READY, StandbyLost(), ANEW, []),
    (READY, StopRequested(), Off(), [KillStandby()]),
]


@pytest.mark.parametrize(("state", "event", "after", "actions"), CASES)
def test_transition(
    state: core.State, event: object, after: core.State, actions: list[object]
) -> None:
    made = policy(state)
    assert made.handle(event, NOW) == actions
    assert made.state == after


def test_every_entry_of_the_table_has_a_case() -> None:
    covered = {(type(state), type(event)) for state, event, _, _ in CASES}
    assert covered == set(TABLE)


STATES = [Off(), Unwanted(), SETTLING, ASKING, WARMING, READY]
EVENTS = {type(event): event for _, event, _, _ in CASES}.values()


@pytest.mark.parametrize("state", STATES, ids=lambda state: type(state).__name__)
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_a_pair_that_is_missing_is_an_error(state: core.State, event: object) -> None:
    if (type(state), type(event)) in TABLE:
        policy(state).handle(event, NOW)
    else:
        with pytest.raises(StateError, match=type(state).__name__):
            policy(state).handle(event, NOW)


def test_there_is_none_before_the_app_has_ever_served() -> None:
    made = StandbyPolicy(StandbyLevel.FULL)
    made.handle(COLD, 0.0)
    assert made.handle(AppBroke(), 1.0) == []
    assert made.state == Unwanted()
    assert made.deadline is None


def test_a_broken_app_that_has_served_gets_one_for_the_save_that_mends_it() -> None:
    made = policy(READY)
    made.handle(PROMOTED, NOW)
    made.handle(AppBroke(), NOW)
    assert made.state == ANEW


def test_the_debugger_level_asks_nobody() -> None:
    made = policy(SETTLING, StandbyLevel.DEBUGGER)
    assert made.handle(IDLE_MACHINE, NOW) == [SpawnStandby(imports=False)]
    assert made.state == Warming(NOW + WARM_LIMIT)
    assert not made.imports


def test_off_stays_off() -> None:
    made = StandbyPolicy(StandbyLevel.OFF)
    assert not made.imports
    for event in (COLD, AppServed(), AppBroke()):
        assert made.handle(event, NOW) == []
    assert made.deadline is None


def test_a_busy_machine_is_looked_at_again_and_again_but_not_for_ever() -> None:
    made = policy(Unwanted())
    made.handle(AppServed(), 0.0)
    looks = 0
    while not made.handle(BUSY_MACHINE, made.deadline or 0.0):
        looks += 1
    assert looks == pytest.approx(LONGEST_WAIT / CALM, abs=1)


def serve_and_spawn(made: StandbyPolicy) -> None:
    made.handle(AppServed(), NOW)
    made.handle(IDLE_MACHINE, NOW)
    made.handle(ImportsKnown(), NOW)


def lose_until_given_up(made: StandbyPolicy, state: core.State) -> int:
    lost = 0
    while made.state != Unwanted():
        made.state = state
        made.handle(StandbyLost(), NOW)
        lost += 1
    return lost


def test_one_that_keeps_dying_is_given_up_until_the_app_has_served_again() -> None:
    made = policy(WARMING)
    assert lose_until_given_up(made, READY) == MOST_LOST
    assert made.handle(AppBroke(), NOW) == []
    assert made.state == Unwanted()
    made.handle(COLD, NOW)
    made.handle(AppServed(), NOW)
    assert lose_until_given_up(made, WARMING) == MOST_LOST


@pytest.mark.parametrize("event", [IDLE_MACHINE, DebuggerChanged()])
def test_one_that_hangs_or_never_suits_the_debugger_counts_as_lost(event: object) -> None:
    made = policy(WARMING)
    for _ in range(MOST_LOST):
        made.state = WARMING
        assert made.handle(event, NOW) == [KillStandby()]
    assert made.state == Unwanted()


def test_imports_that_keep_spoiling_it_are_left_to_the_app() -> None:
    made = policy(WARMING)
    said = []
    for _ in range(MOST_SPOILED + 1):
        assert bool(said) is not made.imports
        made.state = WARMING
        actions = made.handle(StandbyWarmed(is_spoiled=True), NOW)
        said += [each for each in actions if isinstance(each, LogLine)]
    assert len(said) == 1
    assert not made.imports
    made.state = SETTLING
    assert made.handle(IDLE_MACHINE, NOW) == [SpawnStandby(imports=False)]


def promote(made: StandbyPolicy, *, refused: bool) -> list[object]:
    serve_and_spawn(made)
    made.handle(PROMOTED, NOW)
    actions = made.handle(ChildRefused(3), NOW) if refused else []
    if refused:
        made.handle(COLD, NOW)
    return actions


def test_promotions_that_keep_coming_to_nothing_are_not_tried_for_ever() -> None:
    made = policy(Unwanted())
    for count in range(1, MOST_REFUSED + 1):
        assert made.imports
        said = [isinstance(each, LogLine) for each in promote(made, refused=True)]
        assert said == [True] * (count == MOST_REFUSED)
    assert not made.imports


def test_a_promotion_that_goes_well_makes_up_for_those_before() -> None:
    made = policy(Unwanted())
    for _ in range(MOST_REFUSED - 1):
        promote(made, refused=True)
    promote(made, refused=False)
    for _ in range(MOST_REFUSED - 1):
        promote(made, refused=True)
    assert made.imports
