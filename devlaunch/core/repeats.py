"""Tell what the app itself writes as it starts from what people save.

Nobody can see who wrote a file. But what a start writes comes with every start, and a person's save
does not. So the first time it restarts the app, and when the next start brings it again it was the
app's. The more speaks for a person, the more starts in a row it takes.

Pure: times are `time.monotonic()` seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

ALONE = 1
"""So many restarts in a row come of a file that only starts write, and nothing else with it."""
SEVERAL = 3
"""The same when a person may be at work: other files change with it, it comes at another moment of
the start, --watch names it, or it is a program, which is saved as soon as it prints something."""
PERSONS = 600
"""The same for a file that changes while the app runs: there always at the same moment. A tool that
saves a file whenever the app runs again looks alike, and a save that is lost is worse."""
PROGRAM_START = 2.0
"""Seconds that a program takes to start: it counts as serving before it does anything."""
SOON = 10.0
"""Seconds after which a start takes so long that a person may well have saved meanwhile."""
SAME_MOMENT = 1.0
"""Seconds between the moments of two starts at which the same is written."""
LATEST = 60.0
"""What is written so many seconds after the beginning of a start has nothing to do with it."""


@dataclass(frozen=True, slots=True)
class _Repeat:
    """A file that was written in `count` starts in a row, last in `start`, `offset` s after it."""

    count: int
    start: float
    offset: float
    is_own: bool


class Repeats:
    """In how many starts in a row each file was written.

    `serves_at_once`: the target is a program. Each start is told by `started`, then by `served`, or
    `ended`, or both.
    """

    def __init__(self, *, serves_at_once: bool = False) -> None:
        self.found: list[str] = []
        """Files that have turned out to be the app's; for their reader to clear."""
        self.is_paused = False
        """The debugger holds the app, so that what is written now it does not write."""
        self._is_program = serves_at_once
        self._started = self._previous = self._begin = self._end = math.inf
        self._early: dict[str, _Repeat] = {}
        """What is written while the app starts …"""
        self._late: dict[str, _Repeat] = {}
        """… and once it runs, always at the same moment."""
        self._changed: dict[str, float] = {}
        self._edited: set[str] = set()

    def started(self, now: float, since: float) -> None:
        """A child is about to be spawned, because of what changed at `since`.

        What is written between the two may come of the end of the last child.
        """
        if self._end <= now:
            self._drop(self._early, math.inf)
        self._drop(self._late, now - self._started)
        self._previous, self._started = self._started, now
        self._begin, self._end = since, math.inf

    def served(self, now: float) -> None:
        """The app runs."""
        self._end = min(self._end, now + (PROGRAM_START if self._is_program else 0.0))

    def ended(self, now: float) -> None:
        """The child has ended, or cannot run the app."""
        self._end = min(self._end, now)

    def saw(self, path: str, written: float) -> None:
        """A file has changed, whether that counts or not."""
        if self._begin <= written <= self._end:
            self._changed[path] = self._started

    def allow(
        self, path: str, written: float, *, is_insisted: bool = False, is_decided: bool = False
    ) -> bool:
        """Whether a file that counts, and was written then, restarts the app.

        `is_insisted`: --watch asks for it. `is_decided`: something else restarts the app already.
        """
        offset = written - self._started
        if self._begin <= written <= self._end and offset <= SOON and not self.is_paused:
            limit = self._limit(path, offset, is_insisted=is_insisted)
            return self._count(self._early, path, offset, limit)
        if is_decided:
            return True  # it may be what the app does as it stops
        self._edited.add(path)
        if written < self._begin or offset > LATEST or self.is_paused:
            return True
        known = self._late.get(path)
        if known and not _is_same_moment(known.offset, offset):
            del self._late[path]
        return self._count(self._late, path, offset, PERSONS)

    def is_own(self, path: str) -> bool:
        """Whether the app itself writes the file, as far as anyone can tell."""
        return any(path in table and table[path].is_own for table in (self._early, self._late))

    def _limit(self, path: str, offset: float, *, is_insisted: bool) -> int:
        known = self._early.get(path)
        if path in self._edited:
            return PERSONS
        if is_insisted or self._is_program or self._is_one_of_several(path):
            return SEVERAL
        return ALONE if known is None or _is_same_moment(known.offset, offset) else SEVERAL

    def _is_one_of_several(self, path: str) -> bool:
        return any(
            start in (self._started, self._previous)
            for other, start in self._changed.items()
            if other != path and not (other in self._early and self._early[other].is_own)
        )

    def _count(self, table: dict[str, _Repeat], path: str, offset: float, limit: int) -> bool:
        known = table.get(path)
        if known is None or known.start != self._started:
            count = known.count + 1 if known else 1
            was_own = known is not None and known.is_own
            known = _Repeat(count, self._started, offset, was_own or count > limit)
            table[path] = known
            if known.is_own and not was_own:
                self.found.append(path)
        return not known.is_own

    def _drop(self, table: dict[str, _Repeat], lived: float) -> None:
        """Forget what the start that is over has not written, though it came so far."""
        for path, known in list(table.items()):
            if known.start != self._started and lived > known.offset + SAME_MOMENT:
                del table[path]


def _is_same_moment(one: float, other: float) -> bool:
    return abs(one - other) <= SAME_MOMENT
