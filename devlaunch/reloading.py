"""From what the OS reports to what has changed: watcher, debounce and contents put together."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from devlaunch.config import Config, TargetKind
from devlaunch.contents import (
    changed_at,
    digest,
    discard_bytecode,
    is_filled,
    with_realpaths,
)
from devlaunch.core.changes import Changes
from devlaunch.core.debounce import Debounce
from devlaunch.core.filters import Filters
from devlaunch.events import Failure, FilesTouched, WatchReady
from devlaunch.watch import Watcher

Changed = tuple[str, ...]
"""Paths whose change restarts the app; empty for none."""


class Reloading:
    """Lives in the loop's thread; the watcher's threads only post `FilesTouched` to it."""

    def __init__(self, config: Config, post: Callable[[object], None]) -> None:
        watch = (*config.watch, *([config.env_file] if config.env_file else ()))
        filters = Filters(os.path.realpath(config.app_dir), watch, config.ignore)
        self._changes = Changes(filters)
        self._debounce = Debounce()
        script = [config.target.name] if config.target.kind is TargetKind.SCRIPT else []
        self._watcher = Watcher(
            post=post,
            filters=filters,
            extra=[os.path.realpath(path) for path in script],
            poll=config.poll,
        )

    def start(self) -> None:
        """Watch; what was saved since this object was made, before the first child, counts."""
        self._watcher.start()

    def stop(self) -> None:
        """Stop watching."""
        self._watcher.stop()

    @property
    def deadline(self) -> float | None:
        """When to call `due`."""
        return self._debounce.deadline

    def ready(self, event: WatchReady) -> Changed:
        """The first scan is done, and knows what the files of --watch held."""
        known = self._changes
        return tuple(path for path, data, when in event.contents if known.record(path, data, when))

    def touched(self, event: FilesTouched, now: float) -> None:
        """The OS reported paths."""
        discard_bytecode(event.paths)
        paths = list(filter(self._changes.interesting, event.paths))
        self._debounce.touch(paths, now, written=len(paths) == 1 and is_filled(paths[0]))

    def due(self, now: float) -> Changed:
        """What has changed, once the files have been quiet for a moment."""
        batch = self._debounce.take(now)
        # What is gone was removed when its directory was written.
        times = {p: changed_at(p) or changed_at(os.path.dirname(p)) for p in batch}
        written = {path: when for path, when in times.items() if when is not None}
        return self._changes.touched({path: digest(path) for path in batch}, now, written)

    def imported(self, files: Sequence[str], now: float) -> Changed:
        """The child has imported these files; some may have been saved since it read them."""
        paths = with_realpaths(files)
        self._watcher.add_directories({os.path.dirname(path) for path in paths})
        report = self._changes.imported(paths, now)
        late = (
            path
            for path in report.to_digest
            if self._changes.record(path, digest(path), changed_at(path))
        )
        return (*report.changed, *late)

    def generation_started(self, now: float) -> None:
        """A child is about to be spawned."""
        self._watcher.stop_watching_for_module()
        self._changes.generation_started(now)

    def generation_served(self) -> None:
        """The app runs."""
        self._changes.generation_served(time.monotonic())

    def generation_silent(self) -> None:
        """The app runs, and does not say any more what it imports."""
        self._changes.generation_silent()

    def generation_failed(self, failure: Failure | None) -> Changed:
        """The app is broken; returns what changed while it started, which may be why."""
        now = time.monotonic()
        if failure is None or failure.missing_module is None:
            return self._changes.generation_failed(now)
        search_path = with_realpaths(failure.search_path)
        self._watcher.watch_for_module(search_path, failure.missing_module)
        return self._changes.generation_failed(now, failure.missing_module, search_path)
