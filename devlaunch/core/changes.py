"""Decide what touched files mean: only content that the app may have seen otherwise counts.

By digest, not by time. A change that comes before the report which names its file is remembered,
and counted when the report arrives: a save during a start is not lost.

Pure: digests of contents and times (`time.monotonic()` seconds) are passed in. A digest of None
means that the file is gone or cannot be read.

The order that the shell keeps:

1. `FilesTouched`: drop the paths that are not `interesting`, debounce the rest.
2. A batch is due: digest its paths and hand them to `touched`; what it returns has changed.
3. `generation_started` just before each child is spawned.
4. The child reports imported files: hand them to `imported` (a symlinked file or directory: both
   the path as imported and the real path), digest what it asks for and hand that to `record`.
5. `generation_served`, or `generation_failed`, whose result has changed; `generation_ended`.

Until a generation can be relied on to have said what it imported, which one that hangs never does,
what the last one imported counts, and so does what it was started for; and any source, until the
first report of all.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from devlaunch.core.filters import SOURCE_SUFFIXES, Filters, is_dropping, is_source
from devlaunch.core.paths import basename, dirname
from devlaunch.core.repeats import Repeats

REPORT_DELAY = 0.5
"""The longest that a report of the child may be under way before it is handled here."""
REPORT_LAG = 2.0
"""The longest that an import of a serving app may go unreported (it looks every 0.25 s)."""

WRITING = 2.0
"""Seconds between the app's word that it opens a file for writing and what that comes to."""
CLOCK_TICK = 0.02
"""The kernel stamps files with a clock that lags so far behind at most: 10 ms, on Windows 16."""

Digest = str | None


@dataclass(frozen=True, slots=True)
class _Known:
    """The last content seen of a file, when that was, and when it was written."""

    digest: Digest
    since: float
    written: float


@dataclass(frozen=True, slots=True)
class Imported:
    """What a report of imported files means."""

    to_digest: tuple[str, ...] = ()
    """Files of unknown content: digest them and call `Changes.record` for each."""
    changed: tuple[str, ...] = ()
    """Files that changed when the app may just have read the content from before."""


class Changes:
    """The contents known, and which of them the running generation imported.

    `serves_at_once`: the target is a program, which says that it serves before it imports anything.
    `since` is when the run began: what was saved then the first child reads, if it lives so long.
    """

    def __init__(
        self, filters: Filters, *, serves_at_once: bool = False, since: float = math.inf
    ) -> None:
        self._filters = filters
        self._since = since
        self._is_program = serves_at_once
        self._known: dict[str, _Known] = {}
        self._imported: set[str] = set()
        self._expected: set[str] = set()
        self._worked_on: set[str] = set()
        self._causes: dict[str, float] = {}
        self._started = self._reported = math.inf
        self._cutoffs: dict[str, float] = {}
        self._starting = False
        self._is_silent = True
        self._broken = False
        self._is_blind = False
        self._missing: tuple[frozenset[str], frozenset[str]] | None = None
        self._repeats = Repeats(serves_at_once=serves_at_once)
        self._app_writes: dict[str, float] = {}

    def interesting(self, path: str) -> bool:
        """Whether it is worth digesting a touched file."""
        return (
            self._is_imported(path)
            or self._filters.is_watched(path)
            or self._is_missing_module(path)
            or (self._is_source(path) and not self._filters.is_excluded(path))
        )

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
            when = written.get(path, now)
            is_read = known is None and self._since <= when < self._started
            self._known[path] = _Known(digest, when if is_read else now, when)
            if counts and (self._broken or not is_read):
                changed.append(path)
        return self._restarting(changed, now)

    def replaced(self, directories: Mapping[str, float], now: float) -> tuple[str, ...]:
        """Others lie where these were, in which the app works: it counts, whatever is in them.

        The times are when something was written there last.
        """
        self._known |= {path: _Known(None, now, when) for path, when in directories.items()}
        return self._restarting(directories, now)

    def app_writes(self, paths: Iterable[str], now: float) -> None:
        """The app itself opens these files for writing."""
        self._app_writes.update(dict.fromkeys(paths, now))

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
            elif known.since > cutoff:
                changed.append(path)
        self._reported = now
        if self._imported or self._is_program:  # which may run nothing of the user's itself
            self._is_silent = False
        if not self._starting:
            self._has_said()
        return Imported(tuple(unknown), self._restarting(changed, now))

    def record(self, path: str, digest: Digest, changed_at: float | None) -> bool:
        """Take in what a file holds that nothing was known about; a known content stays.

        `changed_at` is when the file was last written (its ctime). Returns whether that is so late
        that the app may have read the content from before, so that it counts as a change.
        """
        cutoff = self._cutoffs.pop(path, self._started)
        if path in self._known:
            return False
        since = -math.inf if changed_at is None else changed_at
        self._known[path] = _Known(digest, since, since)
        is_late = since > cutoff - CLOCK_TICK and self._counts(path)
        return is_late and bool(self._restarting([path], since))

    def generation_started(self, now: float) -> None:
        """A child is about to be spawned: nothing is imported, everything before now is read."""
        expected = self._imported | self._expected
        self._worked_on = expected & self._causes.keys()
        self._expected = expected | self._causes.keys()
        self._repeats.started(now, min(self._causes.values(), default=now))
        self._imported.clear()
        self._causes.clear()
        self._cutoffs.clear()
        if self._started < now:
            self._since = math.inf
        self._started = self._reported = now
        self._starting = True
        self._broken = self._is_blind = False

    def generation_served(self, now: float) -> None:
        """The app runs, or a program is about to."""
        self._repeats.served(now)
        self._starting = False
        self._missing = None
        if not self._is_program:
            self._has_said()

    def generation_failed(
        self, now: float, missing_module: str | None = None, search_path: Iterable[str] = ()
    ) -> tuple[str, ...]:
        """The app cannot run: from now on any source file counts, and so does the missing module.

        Returns the sources that changed while the child started, or shortly before it ended, which
        may be why.
        """
        cutoff = self._started if self._starting else max(self._started, now - REPORT_LAG)
        if self._is_silent:
            cutoff = min(cutoff, self._since)
        self._missing = None
        if missing_module:
            names = frozenset(missing_module.split("."))
            self._missing = (names, frozenset(search_path))
        self._broken = True
        self.generation_ended(now)
        return self._late(cutoff, now)

    def generation_ended(self, now: float) -> None:
        """The child has ended; without a failure, nothing else counts than before."""
        self._repeats.ended(now)
        self._starting = False

    def written_by_app(self) -> tuple[tuple[str, bool], ...]:
        """What has turned out to be written by the app itself, and whether --watch names it.

        Each file once, as long as each start writes it.
        """
        found, self._repeats.found = self._repeats.found, []
        return tuple((path, self._filters.is_watched(path)) for path in found)

    def why_not(self, path: str) -> str:
        """Why a file that was touched restarts nothing; empty while that is not known."""
        if self._starting or is_dropping(path):
            return ""
        if self._counts(path):
            own = "written by the app itself"
            return own if self._repeats.is_own(path) else "content unchanged"
        ignored = self._filters.why_ignored(path)
        return f"ignored {ignored}" if ignored else "not imported by the app; --watch it"

    def _is_imported(self, path: str) -> bool:
        """As far as anyone can tell."""
        return path in self._imported or path in self._expected

    def _has_said(self) -> None:
        """What it imported is reported now, but for what failed in an import that it survived."""
        self._expected &= self._worked_on

    def count_all_sources(self, now: float) -> tuple[str, ...]:
        """What this generation runs is not reported, or no more: any source file counts.

        Returns the sources that have changed since it was started.
        """
        self._is_blind = True
        return self._late(self._started, now)

    def _late(self, cutoff: float, now: float) -> tuple[str, ...]:
        late = [path for path, known in self._known.items() if known.since > cutoff]
        return self._restarting(sorted(filter(self._counts, late)), now)

    def _counts(self, path: str) -> bool:
        if self._is_imported(path) or self._filters.is_watched(path):
            return True
        if (self._broken or self._is_silent or self._is_blind) and self._is_source(path):
            return True
        return self._broken and self._is_missing_module(path)

    def _is_source(self, path: str) -> bool:
        """Whether it is one of the project's; there is more in what is ignored."""
        return is_source(path) and not self._filters.ignores(dirname(path))

    def _restarting(self, changed: Iterable[str], now: float) -> tuple[str, ...]:
        """What of that restarts the app: not for ever what it writes itself."""
        is_decided, restarting = bool(self._causes), []
        for path in changed:
            written = self._known[path].written
            is_allowed = self._repeats.allow(
                path,
                written,
                is_apps=abs(written - self._app_writes.get(path, -math.inf)) <= WRITING,
                is_insisted=self._filters.is_watched(path),
            )
            if is_allowed or is_decided:
                restarting.append(path)
                self._causes.setdefault(path, now)
        return tuple(restarting)

    def _is_missing_module(self, path: str) -> bool:
        if self._missing is None:
            return False
        names, search_path = self._missing
        return dirname(path) in search_path and is_module_entry(basename(path), names)

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
