"""Watch the app's files: directory by directory, never an ignored tree, by polling if need be.

One thread owns the picture of the tree (`watching.tree.Tree`). Calls from the loop's thread and
events of the OS are put in its inbox; what it finds goes out through `post`. It posts paths that
were touched, whatever that means: `core.changes` decides.
"""

from __future__ import annotations

import errno
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

from devlaunch.core.debounce import LONGEST
from devlaunch.core.filters import AnyOf, Filters
from devlaunch.events import FilesTouched, WatchDegraded, WatchReady
from devlaunch.system.hiding import hide_thread
from devlaunch.system.spare import shortage
from devlaunch.target.values import DEFAULT_POLL
from devlaunch.watching.backends import (
    Backend,
    Deliver,
    NoEvents,
    Observer,
    Signal,
)
from devlaunch.watching.contents import changed_at, digest
from devlaunch.watching.entries import found_identity, has_identity, read_gitignore, size_of
from devlaunch.watching.mounts import MOUNTINFO, parse_mountinfo, silent_mount
from devlaunch.watching.tree import Tree

_POLL_SHARE = 4
"""Between two polls at least this many times the duration of the last one passes."""
_SETTLE = 0.1
"""After a poll that found something the next one is so soon, to see whether more comes."""
_RETRY = 0.5
_GLANCE = 1.0
"""Seconds between two looks for what no event tells."""
_SLICE = 0.02
"""Seconds of scanning after which events and calls have their turn."""
_BATCH = 1000
_JOIN = 1.0
"""Seconds that the end of everything waits for a thread that may hang in the file system."""
_CLOCK_GRAIN_NS = 20_000_000
"""The kernel stamps files with a clock that lags up to a tick behind."""
_MOST_CONTENTS = 2000
_MOST_BYTES = 1 << 20
_LIMITS = {
    errno.ENOSPC: "max_user_watches=524288",
    errno.EMFILE: "max_user_instances=1024",
    errno.ENFILE: "max_user_instances=1024",
}


def system_backend(deliver: Deliver) -> Backend:
    """The backend of this platform. Raises OSError when the OS refuses it."""
    if sys.platform == "linux":
        # Late: loading watchdog takes a while, and the first child would wait for it.
        from devlaunch.watching.inotify import Inotify

        return Inotify(deliver)
    if sys.platform == "win32":
        from devlaunch.watching.windows import DirectoryChanges

        return DirectoryChanges(deliver)
    return Observer(deliver)


def system_mounts(roots: Iterable[str]) -> dict[str, str]:
    """The types of file systems by where they are mounted, as far as these paths need them."""
    if sys.platform == "win32":
        from devlaunch.watching.windows import network_drives

        return network_drives(roots)
    try:
        with open(MOUNTINFO, errors="surrogateescape") as file:
            return parse_mountinfo(file.read())
    except OSError:
        return {}


class Watcher:
    """Posts `FilesTouched`, once `WatchReady`, and `WatchDegraded` when it has to poll.

    `poll` is None for events of the OS, else seconds. `since` is a time (`time.monotonic()`, None
    for now): what changed later is reported. `backend` and `mounts` are how the OS is reached.

    Paths posted are real paths; where a symbolic link led there, the path through it as well.
    """

    def __init__(
        self,
        *,
        post: Callable[[object], None],
        poll: float | None = None,
        since: float | None = None,
        backend: Callable[[Deliver], Backend] = system_backend,
        mounts: Callable[[Iterable[str]], dict[str, str]] = system_mounts,
    ) -> None:
        self._post = post
        self._filters = AnyOf()
        self._extra: list[str] = []
        self._interval = poll
        self._make_backend = backend
        self._mounts = mounts
        self._backend: Backend = NoEvents()
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        age_ns = 0 if since is None else int((time.monotonic() - since) * 1e9)
        since_ns = time.time_ns() - age_ns - _CLOCK_GRAIN_NS
        self._tree = Tree(self._filters, self._watch, self._unwatch, since_ns)
        self._is_stopping = False
        self._is_ready = False
        self._has_failed = False
        self._next_poll: float | None = None
        self._next_glance = 0.0
        self._places: dict[str, tuple[int, int] | None] = {}
        self._missing: dict[object, tuple[Sequence[str], Sequence[str]]] = {}
        self._found = 0
        self._burst_end = 0.0
        self._thread = threading.Thread(target=self._run, name="devlaunch-watch", daemon=True)
        hide_thread(self._thread)

    def watch_for(self, filters: Filters, extra: Iterable[str] = ()) -> None:
        """Watch for one more program. Before `start`.

        `filters` say where to begin, what to enter and what to report, and are told what lies on
        the disk. `extra` are more directories, or files, which are reported whatever their names.
        """
        self._filters.programs.append(filters)
        self._extra += extra

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def add_directories(self, directories: Iterable[str]) -> None:
        """Watch these directories too, without their trees. Known ones cost nothing."""
        self._call(self._add, tuple(directories), recursive=False)

    def look_after(self, places: Mapping[str, tuple[int, int] | None]) -> None:
        """Report these paths when other directories than those come to lie there (None: none)."""
        self._call(self._places.update, places)

    def watch_for_module(self, who: object, search_path: Sequence[str], name: str) -> None:
        """Report when something appears in these directories that may provide the module.

        Until the next call of the same `who`, which may name no directory.
        """
        self._call(self._look_for, who, tuple(search_path), name.split("."))

    def stop(self) -> None:
        """End the threads and free the OS watches. Safe to call twice, or without `start`."""
        self._is_stopping = True
        self._call(lambda: None)
        if self._thread.ident is not None:
            self._thread.join(_JOIN)
        else:
            self._backend.close()

    # --- the owner thread -----------------------------------------------------------------------

    def _call(self, function: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        """Have the owner thread call this. The one way in, from any thread."""
        self._inbox.put(partial(function, *args, **kwargs))

    def _run(self) -> None:
        try:
            self._attempt(self._prepare)
            self._attempt(self._add, (*self._filters.roots, *self._extra), recursive=True)
            while not self._is_stopping:
                self._attempt(self._turn)
        finally:
            self._backend.close()

    def _prepare(self) -> None:
        for root in self._filters.app_dirs:
            _learn_from_above(self._filters, root)
        if self._interval is None:
            mount = silent_mount(self._mounts(self._filters.roots), self._filters)
            if mount is not None:
                self._degrade(f"{mount[0]} is a file system ({mount[1]}) that reports no changes")
        if self._interval is None:
            try:
                self._backend = self._make_backend(partial(self._call, self._handle))
            except OSError as error:
                self._degrade(_limit_reason(error))

    def _turn(self) -> None:
        self._scan()
        self._flush()
        self._receive(self._timeout())

    def _attempt(self, function: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        """Call this; should it fail for a reason unknown, say so and go on by polling."""
        try:
            function(*args, **kwargs)
        except Exception as error:
            if self._has_failed:
                time.sleep(_RETRY)  # the same again, most likely
                return
            self._has_failed = True
            self._degrade(f"watching failed ({type(error).__name__}: {error})")
            self._tree.refresh_all()

    def _timeout(self) -> float:
        """How long there is nothing to do but wait."""
        if self._tree.busy:
            return 0.0
        now = time.monotonic()
        if self._interval is not None:
            return max(0.0, min(self._next_poll or now, self._next_glance) - now)
        return _RETRY if self._tree.lost else max(0.0, self._next_glance - now)

    def _receive(self, timeout: float | None) -> None:
        """Make the calls in the inbox; wait for the first, or until it is time to look."""
        try:
            if timeout == 0.0:
                self._inbox.get_nowait()()
            else:
                self._inbox.get(timeout=timeout)()
            for _ in range(_BATCH):
                self._inbox.get_nowait()()
        except queue.Empty:
            pass
        if self._tree.lost and not self._tree.busy:
            self._tree.retry()
        if time.monotonic() >= self._next_glance:
            self._next_glance = time.monotonic() + _GLANCE
            if self._interval is None:
                self._check_tops()
            self._check_places()
        if self._next_poll is not None and time.monotonic() >= self._next_poll:
            self._next_poll = None
            self._tree.refresh_all()

    def _check_tops(self) -> None:
        """Look whether tops are the directories that they were.

        No event tells that one goes while somebody works in it, or that one above it does.
        """
        for path in self._tree.tops:
            directory = self._tree.directories.get(path)
            if directory is None or os.path.dirname(path) in self._tree.directories:
                continue
            if not has_identity(path, directory.identity):
                self._tree.recheck(path)

    def _check_places(self) -> None:
        """Look whether another directory lies at one of the places, whatever is in it."""
        for path, known in self._places.items():
            found = found_identity(path)
            if found != known:
                self._places[path] = found
                if found:
                    self._tree.touched.add(path)

    def _scan(self) -> None:
        began = time.monotonic()
        while self._tree.busy and time.monotonic() - began < _SLICE:
            self._tree.step()
        self._tree.pack()
        if self._tree.busy:
            return
        if self._interval is not None and self._next_poll is None:
            now = time.monotonic()
            pause = _SETTLE if self._is_burst(now) else self._interval
            self._next_poll = now + max(pause, _POLL_SHARE * (now - began))
        if not self._is_ready:
            self._is_ready = True
            self._post(WatchReady(len(self._tree.directories), self._contents()))

    def _is_burst(self, now: float) -> bool:
        """After a poll: whether more may be about to come, so that what was found is held back.

        Else a checkout that takes longer than the interval would be many batches.
        """
        found = len(self._tree.touched)
        if found and not self._found:
            self._burst_end = now + LONGEST
        self._found = found if found > self._found and now < self._burst_end else 0
        return self._found > 0

    def _flush(self) -> None:
        if self._tree.touched and not self._found:
            touched = frozenset(self._tree.touched)
            self._post(FilesTouched(touched, self._backend.tells_closing))
            self._tree.touched.clear()

    def _add(self, paths: Iterable[str], *, recursive: bool) -> None:
        for path in paths:
            self._tree.add(path, recursive=recursive)

    def _look_for(self, who: object, search_path: Sequence[str], modules: Sequence[str]) -> None:
        self._missing[who] = (search_path, modules)
        paths, names = zip(*self._missing.values(), strict=True)
        self._tree.look_for(chain(*paths), chain(*names))

    def _handle(self, raw: Any) -> None:
        match self._backend.read(raw):
            case (Signal.EXAMINE, path):
                self._tree.examine(path)
            case (Signal.EXAMINE_NEW, path):
                self._tree.examine(path, is_new=True)
            case (Signal.RECHECK, path):
                self._tree.recheck(path)
            case (Signal.REFRESH_ALL, _):
                self._tree.refresh_all(rewatch=True)

    def _watch(self, path: str, whole: bool) -> str | None:
        try:
            return self._backend.watch(path, whole=whole)
        except OSError as error:
            if error.errno not in (*_LIMITS, errno.ENOTSUP):
                raise
            self._degrade(_limit_reason(error))
            return None

    def _unwatch(self, path: str) -> None:
        self._backend.unwatch(path)

    def _degrade(self, why: str) -> None:
        """Go on by polling. What changes while the backend ends is found by the first poll."""
        backend, self._backend = self._backend, NoEvents()
        self._interval = DEFAULT_POLL
        self._next_poll = time.monotonic() + DEFAULT_POLL
        self._post(WatchDegraded(f"files are looked at every {DEFAULT_POLL} s: {why}"))
        backend.close()

    def _contents(self) -> tuple[tuple[str, str | None, float | None], ...]:
        """Read what --watch names, so that a save that changes nothing is known as such."""
        contents: list[tuple[str, str | None, float | None]] = []
        for directory in tuple(self._tree.directories.values()) if self._filters.watches else ():
            for name in directory.files:
                path = os.path.join(directory.path, name)
                if self._filters.is_watched(path) and size_of(path) <= _MOST_BYTES:
                    contents.append((path, digest(path), changed_at(path)))
                if len(contents) == _MOST_CONTENTS:
                    return tuple(contents)
            directory.pack()
        return tuple(contents)


def _can_open() -> bool:
    """Whether descriptors are left, so that those of inotify are what is not."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return False
    return True


def _limit_reason(error: OSError) -> str:
    if error.errno in (errno.EMFILE, errno.ENFILE) and not _can_open():
        found = shortage(error)
        return f"{found.message}; {found.hint}" if found else str(error)
    what = "open files" if error.errno == errno.ENFILE else "watches"
    setting = _LIMITS.get(error.errno or 0)
    if setting is None:
        return f"the system refuses file events ({error.strerror or error})"
    return (
        f"the system's limit of file {what} is reached;"
        f" raise it with `sudo sysctl fs.inotify.{setting}`"
    )


def _learn_from_above(filters: Filters, root: str) -> None:
    """Tell what the .gitignore files between the root and the top of its repository say."""
    above = [root]
    while not os.path.exists(os.path.join(above[-1], ".git")):
        parent = os.path.dirname(above[-1])
        if parent == above[-1]:
            return  # in no repository, so nothing above is meant for us
        above.append(parent)
    for directory in above:
        filters.learn_gitignore(directory, read_gitignore(directory))
