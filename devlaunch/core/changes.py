"""Decide what touched files mean: only content that the app may have seen otherwise counts.

Pure: digests of contents and times (`time.monotonic()` seconds) are passed in. A digest of None
means that the file is gone or cannot be read.

The order that the shell keeps:

1. `FilesTouched`: drop the paths that are not `interesting`, debounce the rest.
2. A batch is due: digest its paths and hand them to `touched`; what it returns has changed.
3. `generation_started` just before each child is spawned.
4. The child reports imported files: hand them to `imported` (a symlinked file or directory: both
   the path as imported and the real path), digest what it asks for and hand that to `record`.
5. `generation_served`, or `generation_failed`, whose result has changed.
"""

from __future__ import annotations

import math
import posixpath
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from devlaunch.core.filters import SOURCE_SUFFIXES, Filters, is_dropping, is_source

REPORT_DELAY = 0.5
"""The longest that a report of the child may be under way before it is handled here."""
REPORT_LAG = 2.0
"""The longest that an import of a serving app may go unreported (it looks every 0.25 s)."""
GENERATED_AFTER = 3
"""A file that changes in so many failing starts in a row is written by the app itself each time."""
STARTS_CHANGED = 30
"""The same for starts that a change of an imported file ends: most of them are people's."""

Digest = str | None


@dataclass(frozen=True, slots=True)
class _Known:
    """The last content seen of a file, and when it was seen to have changed."""

    digest: Digest
    since: float


@dataclass(frozen=True, slots=True)
class Imported:
    """What a report of imported files means."""

    to_digest: tuple[str, ...] = ()
    """Files of unknown content: digest them and call `Changes.record` for each."""
    changed: tuple[str, ...] = ()
    """Files that changed when the app may just have read the content from before."""


class _Repeats:
    """In how many starts in a row each file was changed.

    What the app itself writes at each start must not restart it for ever.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._starts: dict[str, tuple[int, float]] = {}

    def allow(self, path: str, start: float) -> bool:
        count, last = self._starts.get(path, (0, -math.inf))
        if start != last:
            count += 1
            self._starts[path] = (count, start)
        return count <= self._limit

    def forget(self, path: str) -> None:
        self._starts.pop(path, None)

    def clear(self) -> None:
        self._starts.clear()


class Changes:
    """The contents known, and which of them the running generation imported."""

    def __init__(self, filters: Filters) -> None:
        self._filters = filters
        self._known: dict[str, _Known] = {}
        self._imported: set[str] = set()
        self._started = self._reported = math.inf
        self._start_ended = math.inf
        self._cutoffs: dict[str, float] = {}
        self._starting = False
        self._broken = False
        self._silent = False
        self._missing: tuple[frozenset[str], frozenset[str]] | None = None
        self._failing = _Repeats(GENERATED_AFTER)
        self._restarted = _Repeats(STARTS_CHANGED)

    def interesting(self, path: str) -> bool:
        """Whether it is worth digesting a touched file."""
        if (
            path in self._imported
            or self._filters.is_watched(path)
            or self._is_missing_module(path)
        ):
            return True
        return is_source(path) and not is_dropping(path) and not self._filters.is_excluded(path)

    def touched(
        self, digests: Mapping[str, Digest], now: float, written: Mapping[str, float] = {}
    ) -> tuple[str, ...]:
        """Take in the contents of touched files; returns those whose change counts, sorted.

        `written` says when (their ctime), where that is known.
        """
        changed = []
        for path, digest in sorted(digests.items()):
            known = self._known.get(path)
            if known is not None and known.digest == digest:
                continue
            counts = self._counts(path)
            if known is None and digest is None and not counts:
                continue
            self._known[path] = _Known(digest, now)
            if counts and self._restarts(path, written.get(path, now)):
                changed.append(path)
        return tuple(changed)

    def imported(self, paths: Iterable[str], now: float) -> Imported:
        """Take in which files the app has newly imported."""
        cutoff = self._unreported_since(now)
        unknown, changed = [], []
        for path in sorted(set(paths) - self._imported):
            if self._filters.is_excluded(path):
                continue
            self._imported.add(path)
            known = self._known.get(path)
            if known is None:
                unknown.append(path)
                self._cutoffs[path] = cutoff
            elif known.since > cutoff and self._restarts(path, known.since):
                changed.append(path)
        self._reported = now
        return Imported(tuple(unknown), tuple(changed))

    def record(self, path: str, digest: Digest, changed_at: float | None) -> bool:
        """Take in what a file holds that nothing was known about; a known content stays.

        `changed_at` is when the file was last written (its ctime). Returns whether that is so late
        that the app may have read the content from before, so that it counts as a change.
        """
        cutoff = self._cutoffs.pop(path, self._started)
        if path in self._known:
            return False
        since = -math.inf if changed_at is None else changed_at
        self._known[path] = _Known(digest, since)
        return since > cutoff and self._counts(path) and self._restarts(path, since)

    def generation_started(self, now: float) -> None:
        """A child is about to be spawned: nothing is imported, everything before now is read."""
        self._imported.clear()
        self._cutoffs.clear()
        self._started = self._reported = now
        self._start_ended = math.inf
        self._starting = True
        self._broken = self._silent = False

    def generation_served(self, now: float) -> None:
        """The app runs, or a program is about to."""
        self._start_ended = now
        self._starting = False
        self._missing = None
        # Not those of failing starts: a program "serves" before it does anything.
        self._restarted.clear()

    def generation_silent(self) -> None:
        """What the app imports is not known any more: from now on any source file counts."""
        self._silent = True

    def generation_failed(
        self, now: float, missing_module: str | None = None, search_path: Iterable[str] = ()
    ) -> tuple[str, ...]:
        """The app cannot run: from now on any source file counts, and so does the missing module.

        Returns the sources that changed while the child started, or shortly before it ended, which
        may be why.
        """
        cutoff = self._started if self._starting else max(self._started, now - REPORT_LAG)
        self._start_ended = now
        self._missing = None
        if missing_module:
            names = frozenset(missing_module.split("."))
            self._missing = (names, frozenset(search_path))
        self._broken = True
        self._starting = False
        return tuple(
            path
            for path, known in sorted(self._known.items())
            if known.since > cutoff and self._counts(path) and self._restarts(path, known.since)
        )

    def _counts(self, path: str) -> bool:
        if path in self._imported or self._filters.is_watched(path):
            return True
        if self._broken or self._silent:
            return is_source(path) or self._is_missing_module(path)
        return False

    def _restarts(self, path: str, written: float) -> bool:
        """Whether a change that counts restarts the app: not for ever what it may write itself."""
        if self._started <= written <= self._start_ended:
            repeats = self._failing if self._broken else self._restarted
            return repeats.allow(path, self._started)
        self._failing.forget(path)
        self._restarted.forget(path)
        return True

    def _is_missing_module(self, path: str) -> bool:
        if self._missing is None:
            return False
        names, search_path = self._missing
        return posixpath.dirname(path) in search_path and is_module_entry(
            posixpath.basename(path), names
        )

    def _unreported_since(self, now: float) -> float:
        """The time after which a newly reported file may have been imported."""
        since = self._reported - REPORT_DELAY
        if not self._starting:
            since = max(since, now - REPORT_LAG)
        return max(since, self._started)


def is_module_entry(name: str, modules: Collection[str]) -> bool:
    """Whether a directory entry of this name may make one of the modules importable.

    Besides the module's own file or directory these are what installers write: `.dist-info`, `.pth`
    and `.egg-link` entries (a distribution is often not called like its modules).
    """
    if name.endswith((".pth", ".egg-link", ".dist-info")):
        return True
    stem, _, suffix = name.partition(".")
    return stem in modules and (not suffix or name.endswith(SOURCE_SUFFIXES))
