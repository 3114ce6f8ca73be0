"""From what the OS reports to what has changed for a program: debounce and digests."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from devlaunch.config import Config, TargetKind
from devlaunch.core.changes import Changes
from devlaunch.core.debounce import LONGEST, Debounce
from devlaunch.core.filters import Filters
from devlaunch.events import FilesChanged, FilesTouched, LogLine, Report, WatchReady
from devlaunch.system.spare import working_directory
from devlaunch.target.envfile import EnvFile
from devlaunch.watching.disk import (
    changed_at,
    digest,
    discard_bytecode,
    found_identity,
    is_filled,
    is_withheld,
    with_realpaths,
)
from devlaunch.watching.watcher import Watcher

MOST_EXPLAINED = 100
"""Files of which it is said, between two starts, why their saves do nothing."""
WROTE = "wrote:"
"""As in `child/modules`."""


def asked_for(config: Config) -> tuple[Filters, list[str]]:
    """What a program asks for, and its script, whatever that is called: for `Watcher.watch_for`."""
    watch = (*config.watch, *([config.env_file] if config.env_file else ()))
    root = os.path.realpath(config.app_dir)
    filters = Filters(root, watch, config.ignore, explains=config.verbosity > 0)
    is_script = config.target.kind is TargetKind.SCRIPT
    return filters, [os.path.realpath(config.target.name)] if is_script else []


class Reloading:
    """A program's view of what is touched. Lives in the loop's thread.

    `post` takes `FilesChanged`, unless `env_file` is all that changed and is broken, and lines for
    people; `named` says how they are told of paths. `since` (`time.monotonic()`) is when the run
    began.
    """

    def __init__(
        self,
        config: Config,
        watcher: Watcher,
        env_file: EnvFile,
        *,
        post: Callable[[object], None],
        named: Callable[[Sequence[str]], str],
        since: float,
    ) -> None:
        filters, script = asked_for(config)
        watcher.watch_for(filters, script)
        self._filters = filters
        self._watcher = watcher
        self._env_file = env_file
        self._explains = config.verbosity > 0
        self._explained: set[tuple[str, str]] = set()
        self._post = post
        self._named = named
        is_program = config.target.kind is not TargetKind.APP
        self._changes = Changes(filters, serves_at_once=is_program, since=since)
        places = (working_directory(), filters.root)
        self._places = {path: found_identity(path) for path in places}
        self._debounce = Debounce()
        self._withheld_since = math.inf
        self._unexplained = Debounce()

    @property
    def deadline(self) -> float | None:
        """When to call `due`."""
        each = (self._debounce.deadline, self._unexplained.deadline)
        return min((due for due in each if due is not None), default=None)

    def heard(self, event: FilesTouched | WatchReady, now: float) -> None:
        """Something from the watcher."""
        if isinstance(event, WatchReady):
            self._ready(event)
        else:
            self._touched(event, now)

    def _ready(self, event: WatchReady) -> None:
        """The first scan is done: it knows what the files of --watch held."""
        known = self._changes
        changed = (path for path, data, when in event.contents if known.record(path, data, when))
        self._restart_for(changed)

    def _touched(self, event: FilesTouched, now: float) -> None:
        """The OS reported paths."""
        discard_bytecode(event.paths)
        interesting = self._changes.interesting
        paths = [path for path in event.paths if path in self._places or interesting(path)]
        if self._explains:
            self._unexplained.touch(event.paths.difference(with_realpaths(paths)), now)
        is_written = event.are_closed and len(paths) == 1 and is_filled(paths[0])
        self._debounce.touch(paths, now, written=is_written)

    def due(self, now: float) -> None:
        """See what has changed, once the files have been quiet for a moment."""
        batch = self._debounce.take(now)
        # What is gone was removed when its directory was written.
        times = {p: changed_at(p) or changed_at(os.path.dirname(p)) for p in batch}
        written = {path: when for path, when in times.items() if when is not None}
        digests = {path: digest(path) for path in batch.difference(self._places)}
        if self._waits_for(digests, now):
            self._debounce.touch(batch, now)
            return
        changed = self._restart_for(
            (
                *self._changes.touched(digests, now, written),
                *self._changes.replaced(self._replaced(now) if batch else {}, now),
            )
        )
        quiet = batch | self._unexplained.take(now)
        self._explain(quiet.difference(with_realpaths(changed)))

    def _waits_for(self, digests: Mapping[str, str | None], now: float) -> bool:
        """Whether one of these files cannot be read yet, which is not to be taken for gone."""
        if not digests:
            return False  # nothing is due: how long the others have been waited for goes on
        if not any(found is None and is_withheld(path) for path, found in digests.items()):
            self._withheld_since = math.inf
            return False
        self._withheld_since = min(self._withheld_since, now)
        return now < self._withheld_since + LONGEST

    def imported(self, files: Sequence[str], now: float) -> None:
        """The app runs these files; some may have been saved since it read them.

        Those with `WROTE` before the name it opens for writing.
        """
        written = {path.removeprefix(WROTE) for path in files if path.startswith(WROTE)}
        self._changes.app_writes(with_realpaths(written), now)
        paths = with_realpaths([path for path in files if not path.startswith(WROTE)])
        self._filters.learn_executed(paths)
        self._watcher.add_directories({os.path.dirname(path) for path in paths})
        report = self._changes.imported(paths, now)
        late = (
            path
            for path in report.to_digest
            if self._changes.record(path, digest(path), changed_at(path))
        )
        self._restart_for((*report.changed, *late))

    def generation_started(self, now: float) -> None:
        """A child is about to be spawned."""
        self._replaced(now)
        self._watcher.look_after(self._places)
        self._changes.generation_started(now)
        self._explained.clear()

    def generation_served(self) -> None:
        """The app runs."""
        self._changes.generation_served(time.monotonic())

    def count_all_sources(self) -> None:
        """What this generation runs is not reported: any source counts, also if it has changed."""
        self._restart_for(self._changes.count_all_sources(time.monotonic()))

    def generation_ended(self, report: Report) -> None:
        """The child has ended; when that is a failure, what changed lately may be why."""
        now, failure = time.monotonic(), report.failure
        if not (report.status or failure):
            self._changes.generation_ended(now)
            return
        if failure is None or failure.missing_module is None:
            self._restart_for(self._changes.generation_failed(now))
            return
        search_path = with_realpaths(failure.search_path)
        name = failure.missing_module
        self._watcher.watch_for_module(search_path, name)
        self._restart_for(self._changes.generation_failed(now, name, search_path))

    def _replaced(self, now: float) -> dict[str, float]:
        """Where other directories lie than at the last look, or start; when they were written."""
        before = self._places
        self._places = {path: found_identity(path) for path in before}
        others = (path for path, found in self._places.items() if found not in (None, before[path]))
        return {path: changed_at(path) or now for path in others}

    def _explain(self, paths: Iterable[str]) -> None:
        """Say why their saves do nothing, to those who asked for more; once in a generation."""
        reasons: dict[str, list[str]] = {}
        for path in sorted(paths) if self._explains else ():
            if len(self._explained) >= MOST_EXPLAINED:
                break
            why = self._changes.why_not(path)
            if why and (path, why) not in self._explained and os.path.isfile(path):
                self._explained.add((path, why))
                reasons.setdefault(why, []).append(path)
        for why, those in reasons.items():
            self._post(LogLine(f"{self._named(those)}: {why}", verbose=True))

    def _restart_for(self, changed: Iterable[str]) -> tuple[str, ...]:
        """Post what of this restarts the app, and return it; say what does not."""
        restarting = tuple(changed)
        for path, is_insisted in self._changes.written_by_app():
            again = "--ignore it" if is_insisted else "--watch to insist"
            text = f"written by the app itself; ignored ({again})"
            self._post(LogLine(f"{self._named([path])}: {text}"))
        if restarting and self._env_file.accepts(restarting):
            self._post(FilesChanged(restarting))
        return restarting
