"""Make one batch of the paths that a save, or a checkout of hundreds of files, touches.

Pure: the caller says what time it is (`time.monotonic()` seconds) and when to look again.
"""

from __future__ import annotations

from collections.abc import Iterable

ONE_FILE = 0.025
"""Quiet time after which a single touched file is a batch: an editor's write is over by then."""
SEVERAL_FILES = 0.100
"""Quiet time for more: the pauses of a checkout or a formatter between files are shorter."""
LONGEST = 2.0
"""A batch is due this long after its first path, however much goes on being touched."""


class Debounce:
    """Collects paths until they have been quiet for a while.

    After `touch`, call `take` when `deadline` has passed; it returns an empty set until then.
    """

    def __init__(
        self,
        *,
        one_file: float = ONE_FILE,
        several_files: float = SEVERAL_FILES,
        longest: float = LONGEST,
    ) -> None:
        self._one_file = one_file
        self._several_files = several_files
        self._longest = longest
        self._paths: set[str] = set()
        self._first = 0.0
        self._last = 0.0

    def touch(self, paths: Iterable[str], now: float) -> None:
        """Add paths to the batch; nothing happens when there are none."""
        added = set(paths)
        if not added:
            return
        if not self._paths:
            self._first = now
        self._paths |= added
        self._last = now

    @property
    def deadline(self) -> float | None:
        """When the batch is due; None while there is nothing to wait for."""
        if not self._paths:
            return None
        quiet = self._one_file if len(self._paths) == 1 else self._several_files
        return min(self._last + quiet, self._first + self._longest)

    def take(self, now: float) -> frozenset[str]:
        """The batch when it is due, which ends it; else an empty set."""
        due = self.deadline
        if due is None or now < due:
            return frozenset()
        batch = frozenset(self._paths)
        self._paths.clear()
        return batch
