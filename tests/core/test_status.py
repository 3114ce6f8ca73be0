"""The status that editors show: what it is in each state of the supervisor, and when it is told."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

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
from devlaunch.core.status import Status, StatusChanged
from devlaunch.core.supervisor import Supervisor
from devlaunch.events import Report, What, WhilePausedChosen

URL = "http://127.0.0.1:8000"
CAUSE = Cause(("/p/app.py",), 90.0)
STOPPING = Stopping(Then.RESTART, CAUSE, deadline=101.0)
CASES = [
    (Idle(), 0, "starting", ()),
    (Starting(Cause((), 90.0)), 1, "starting", ()),
    (Starting(CAUSE), 2, "reloading", ()),
    (Serving(), 1, "serving", ()),
    (Paused(Serving()), 1, "paused", ()),
    (Paused(Starting(CAUSE), CAUSE), 2, "paused", ("/p/app.py",)),
    (PostMortem(Serving()), 1, "broken", ()),
    (STOPPING, 1, "reloading", ()),
    (replace(STOPPING, deadline=None), 1, "paused", ("/p/app.py",)),
    (replace(STOPPING, then=Then.END), 1, "stopping", ()),
    (Broken(), 1, "broken", ()),
    (Ended(), 1, "stopped", ()),
]


def supervisor(state: State, generation: int = 1) -> Supervisor:
    made = Supervisor(grace=2.0, while_paused=WhilePaused.WAIT, reload=True)
    made.state, made.generation = state, generation
    return made


@pytest.mark.parametrize(("state", "generation", "word", "pending"), CASES)
def test_the_status_of_a_state(
    state: State, generation: int, word: str, pending: tuple[str, ...]
) -> None:
    expected = StatusChanged(word, generation, None, pending, URL, WhilePaused.WAIT)
    assert Status(URL).after(supervisor(state, generation), []) == expected


def test_every_state_has_one() -> None:
    assert {type(state) for state, *_ in CASES} == set(get_args(State))


def test_it_is_told_when_it_changes() -> None:
    status, made = Status(None), supervisor(Serving())
    first = status.after(made, [Report(What.READY, elapsed=0.5)])
    assert first is not None
    assert first.body == {
        "state": "serving",
        "generation": 1,
        "seconds": 0.5,
        "pending": [],
        "url": None,
        "whilePaused": "wait",
    }
    assert status.after(made, [Report(What.REPLACED)]) is None
    actions = made.handle(WhilePausedChosen(WhilePaused.RESTART), 100.0)
    second = status.after(made, actions)
    assert second == replace(first, while_paused=WhilePaused.RESTART)


@pytest.mark.parametrize(
    ("report", "word"),
    [
        (Report(What.EXITED, status=0), "stopped"),
        (Report(What.EXITED, status=1), "broken"),
        (Report(What.BROKEN, status=0), "broken"),
    ],
)
def test_a_program_that_ended_by_itself_is_not_broken(report: Report, word: str) -> None:
    status = Status(None)
    shown = status.after(supervisor(Broken()), [report])
    assert shown is not None
    assert shown.state == word
    again = status.after(supervisor(Starting(CAUSE), 2), [Report(What.RELOADING)])
    assert again is not None
    assert again.state == "reloading"
