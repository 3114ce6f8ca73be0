"""What machines with a table have in common: each event in each state meets exactly one entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import UnionType
from typing import Any, Generic, TypeVar

from devlaunch.errors import StateError

S = TypeVar("S")
Kinds = type | UnionType
Handler = Callable[[Any, Any, Any], Any]
"""A method of the machine: it is given the state and the event, and returns the state after."""


class Machine(Generic[S]):
    """A state, and the table that says what each event means in it.

    A pair that the table does not have is a defect. Time is an argument; `deadline` tells the owner
    when to hand in the event for it. A state may have a `deadline`.
    """

    def __init__(self, table: Mapping[tuple[type, type], Handler], state: S) -> None:
        self.state = state
        self._table = table
        self._actions: list[object] = []
        self._now = 0.0

    @property
    def deadline(self) -> float | None:
        """When time matters next, in that which `handle` is given; None for never."""
        due: float | None = getattr(self.state, "deadline", None)
        return due

    def handle(self, event: object, now: float) -> list[object]:
        """Take an event, return the actions to carry out in order. StateError for a defect."""
        handler = self._table.get((type(self.state), type(event)))
        if handler is None:
            raise StateError(f"{type(self.state).__name__} has no entry for {event!r}")
        self._now, self._actions = now, []
        self.state = handler(self, self.state, event)
        return self._actions

    def _do(self, action: object) -> None:
        self._actions.append(action)

    def _stay(self, state: S, event: object) -> S:
        return state


def table(rows: Mapping[tuple[Kinds, Kinds], Handler]) -> dict[tuple[type, type], Handler]:
    """The entries of rows of which each is for some states and some events.

    Raises ValueError for a pair that is in two of them.
    """
    found: dict[tuple[type, type], Handler] = {}
    for (states, events), handler in rows.items():
        pairs = [(state, event) for state in _kinds(states) for event in _kinds(events)]
        if twice := found.keys() & pairs:
            raise ValueError(f"more than one entry: {twice}")
        found.update(dict.fromkeys(pairs, handler))
    return found


def _kinds(kinds: Kinds) -> tuple[type, ...]:
    return kinds.__args__ if isinstance(kinds, UnionType) else (kinds,)
