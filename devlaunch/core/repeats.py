"""Keep what the app itself writes as it runs from restarting it for ever.

The app's processes say which files they open for writing (`child/modules`), so that a person's save
is never taken for theirs. What they write restarts the app once, since it may have read what was
there before; what the next start writes again does not. What others write while the app starts (a
compiler that it runs) looks like a person's save: that ends only after many starts in a row.

Pure: times are `time.monotonic()` seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

OWN = 1
"""So many restarts in a row come of a file that the app itself writes."""
INSISTED = 3
"""The same for one that --watch names."""
SHARED = 10
"""The same for one that others write as well: the same app under another devlaunch, which ours
restarts in turn. For a person that is a generated file, saved whenever the app runs again."""
UNKNOWN = 100
"""The same for one that somebody writes in each start: nobody saves so often, and so regularly."""
PROGRAM_START = 2.0
"""Seconds that a program takes to start: it counts as serving before it does anything."""


@dataclass(frozen=True, slots=True)
class _Repeat:
    """A file that was written in `count` generations in a row, last in that of `start`."""

    count: int
    start: float
    is_own: bool


class Repeats:
    """In how many generations in a row each file was written.

    `serves_at_once`: the target is a program. Each start is told by `started`, then by `served`, or
    `ended`, or both.
    """

    def __init__(self, *, serves_at_once: bool = False) -> None:
        self.found: list[str] = []
        """Files that have turned out to be the app's; for their reader to clear."""
        self._is_program = serves_at_once
        self._started = self._begin = self._end = math.inf
        self._repeats: dict[tuple[str, bool], _Repeat] = {}
        """By path, and whether the app or somebody else writes it."""

    def started(self, now: float, since: float) -> None:
        """A child is about to be spawned, because of what changed at `since`.

        What is written between the two may come of the end of the last child.
        """
        if self._end <= now:  # what the last one has not written, though it came so far
            last = self._started
            self._repeats = {k: known for k, known in self._repeats.items() if known.start == last}
        self._started = now
        self._begin, self._end = since, math.inf

    def served(self, now: float) -> None:
        """The app runs."""
        self._end = min(self._end, now + (PROGRAM_START if self._is_program else 0.0))

    def ended(self, now: float) -> None:
        """The child has ended, or cannot run the app."""
        self._end = min(self._end, now)

    def allow(self, path: str, written: float, *, is_apps: bool, is_insisted: bool) -> bool:
        """Whether a file that counts, and was written then, restarts the app.

        `is_apps`: the app has opened it for writing. `is_insisted`: --watch asks for it.
        """
        if is_apps:
            limit = INSISTED if is_insisted else OWN
        elif self.is_own(path):
            limit = SHARED
        elif self._begin <= written <= self._end:
            limit = UNKNOWN
        else:
            return True
        known = self._repeats.get((path, is_apps), _Repeat(0, math.inf, is_own=False))
        count = known.count + (known.start != self._started)
        is_over = count > limit
        if is_over and not known.is_own:
            self.found.append(path)
        self._repeats[path, is_apps] = _Repeat(count, self._started, known.is_own or is_over)
        return not is_over

    def is_own(self, path: str) -> bool:
        """Whether the file is written in each start, as far as is known."""
        both = (self._repeats.get((path, is_apps)) for is_apps in (True, False))
        return any(known.is_own for known in both if known)
