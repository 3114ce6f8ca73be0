"""Make one batch of the paths that a save, or a checkout of hundreds of files, touches.

Pure: the caller says what time it is (`time.monotonic()` seconds) and when to look again.
"""

from __future__ import annotations

from collections.abc import Iterable

WRITTEN_FILE = 0.004
"""Quiet time after which a single file that was closed, or moved into place, is a batch: it is
complete, and a second file that is saved with it comes sooner, or while the app still stops."""
ONE_FILE = 0.025
"""The same while the file is gone or empty, which is how some editors begin to save it, and where
nothing tells that it was closed."""
SEVERAL_FILES = 0.100
"""Quiet time for more: the pauses of a checkout or a formatter between files are shorter."""
LONGEST = 2.0
"""A batch is due this long after its first path, however much goes on being touched."""


class Debounce:
    """Collects paths until they have been quiet for a while.

    After `touch`, call `take` when `deadline` has passed; it returns an empty set until then.
    """

    def __init__(self) -> None:
        self._paths: set[str] = set()
        self._is_written = False
        self._first = 0.0
        self._last = 0.0

    def touch(self, paths: Iterable[str], now: float, *, written: bool = False) -> None:
        """Add paths to the batch; nothing happens when there are none.

        `written` says that what they name is complete as far as anyone can tell.
        """
        added = set(paths)
        if not added:
            return
        if not self._paths:
            self._first = now
        self._paths |= added
        self._last = now
        self._is_written = written

    @property
    def deadline(self) -> float | None:
        """When the batch is due; None while there is nothing to wait for."""
        if not self._paths:
            return None
        quiet = SEVERAL_FILES
        if len(self._paths) == 1:
            quiet = WRITTEN_FILE if self._is_written else ONE_FILE
        return min(self._last + quiet, self._first + LONGEST)

    def take(self, now: float) -> frozenset[str]:
        """The batch when it is due, which ends it; else an empty set."""
        due = self.deadline
        if due is None or now < due:
            return frozenset()
        batch, self._paths = frozenset(self._paths), set()
        return batch
