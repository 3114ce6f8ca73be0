"""How the OS tells about changes: inotify(7), what watchdog has for other systems, or not at all.

A backend calls `deliver` from a thread of its own with whatever it got; the owner hands that to
`read`, which says what it means. Everything else is called by the owner only.
"""

from __future__ import annotations

import itertools
import logging
import os
import sys
import threading
from collections.abc import Callable
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Protocol

from devlaunch.core.filters import is_below
from devlaunch.hiding import hide_thread

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver

Deliver = Callable[[Any], None]


class Signal(Enum):
    """What an event asks for."""

    EXAMINE = auto()
    """Look at the entry with this path."""
    EXAMINE_NEW = auto()
    """Look at the entry with this path, which was only created so far."""
    RECHECK = auto()
    """Look at the directory with this path, which may be another or gone."""
    REFRESH_ALL = auto()
    """Events were lost: look everywhere."""


class Backend(Protocol):
    """Where events come from."""

    def watch(self, path: str) -> str | None:
        """Report the entries of this directory; again when another one has taken its place.

        Returns the path under which the same directory was watched until now: it is not any more.
        Raises OSError, with ENOSPC or EMFILE for a limit of the OS.
        """

    def unwatch(self, path: str) -> None:
        """Stop reporting this directory."""

    def read(self, raw: Any) -> tuple[Signal, str] | None:
        """What was delivered means this; None for nothing. Call it once for each delivery."""

    def close(self) -> None:
        """End the backend's thread and free what the OS holds."""


class NoEvents:
    """The backend of polling: somebody else looks from time to time."""

    def watch(self, path: str) -> str | None:  # noqa: ARG002
        """Do nothing."""
        return None

    def unwatch(self, path: str) -> None:
        """Do nothing."""

    def read(self, raw: Any) -> tuple[Signal, str] | None:  # noqa: ARG002
        """Drop what an earlier backend delivered last."""
        return None

    def close(self) -> None:
        """Do nothing."""


def system_backend(deliver: Deliver) -> Backend:
    """The backend of this platform. Raises OSError when the OS refuses it."""
    if sys.platform == "linux":
        return Inotify(deliver)
    return Observer(deliver)


if sys.platform == "linux":
    from watchdog.observers.inotify_c import (
        CallbackId,
        InotifyConstants,
        InotifyEvent,
        InotifyFD,
        Mask,
        WatchDescriptor,
    )

    _EVENTS = Mask(
        InotifyConstants.IN_CLOSE_WRITE
        | InotifyConstants.IN_MOVED_TO
        | InotifyConstants.IN_MOVED_FROM
        | InotifyConstants.IN_CREATE
        | InotifyConstants.IN_DELETE
        | InotifyConstants.IN_DELETE_SELF
        | InotifyConstants.IN_MOVE_SELF
        | InotifyConstants.IN_ONLYDIR
    )
    """Never IN_OPEN or IN_ACCESS: each import in the tree would be an event."""

    class _Callback:
        """Carries events out of the InotifyFD's thread."""

        def __init__(self, deliver: Callable[[InotifyEvent | None], None]) -> None:
            self._deliver = deliver

        def on_event(self, event: InotifyEvent) -> None:
            self._deliver(event)

        def on_watch_deleted(self, wd: WatchDescriptor) -> None:
            # IN_DELETE_SELF, or our own unwatch, has said so; only an unmount has not.
            self._deliver(InotifyEvent(wd, InotifyConstants.IN_DELETE_SELF, cookie=0, name=b""))

        def on_queue_overflow(self) -> None:
            self._deliver(None)

    class Inotify:
        """One inotify instance, one watch for each directory.

        The thread that reads from the kernel waits while `capacity` deliveries are not yet read:
        then the kernel's bounded queue fills, and its overflow asks for a rescan.
        """

        def __init__(self, deliver: Deliver, capacity: int = 4096) -> None:
            # Its warnings of an overflow are no news for the user: we act on it.
            logger = logging.getLogger("watchdog.observers.inotify_c")
            logger.addHandler(logging.NullHandler())
            logger.propagate = False
            self._deliver = deliver
            self._capacity = capacity
            self._slots = threading.Semaphore(capacity)
            self._is_closed = False
            self._callback = _Callback(self._pass_on)
            self._ids = itertools.count()
            self._watches: dict[str, WatchDescriptor] = {}
            self._paths: dict[WatchDescriptor, tuple[str, CallbackId]] = {}
            self._inotify = InotifyFD()
            self._inotify.name = "devlaunch-inotify"
            hide_thread(self._inotify)
            self._inotify.start()

        def watch(self, path: str) -> str | None:
            """Watch the directory; see `Backend.watch`."""
            # An id of its own each time: InotifyFD warns when it knows the id of a watch already,
            # and the kernel gives a directory that moved the watch that it had.
            number = CallbackId(next(self._ids))
            wd = self._inotify.add_callback(os.fsencode(path), _EVENTS, self._callback, number)
            if wd < 0:  # InotifyFD keeps quiet about EACCES
                self._inotify.remove_callbacks([(wd, number)])
                raise PermissionError(f"cannot watch {path}")
            replaced = self._watches.get(path)
            shared = self._paths.get(wd)
            self._watches[path] = wd
            self._paths[wd] = (path, number)
            if shared is not None:
                self._inotify.remove_callbacks([(wd, shared[1])])
            if replaced is not None and replaced != wd:
                self._forget(replaced, path)
            return shared[0] if shared is not None and shared[0] != path else None

        def unwatch(self, path: str) -> None:
            """Stop watching; see `Backend.unwatch`."""
            wd = self._watches.pop(path, None)
            if wd is not None:
                self._forget(wd, path)

        def read(self, raw: Any) -> tuple[Signal, str] | None:
            """Translate an event; see `Backend.read`."""
            self._slots.release()
            if raw is None:
                return Signal.REFRESH_ALL, ""
            event: InotifyEvent = raw
            if event.wd not in self._paths:
                return None
            directory, _ = self._paths[event.wd]
            if event.is_delete_self or event.is_move_self:
                return Signal.RECHECK, directory
            path = os.path.join(directory, os.fsdecode(event.name))
            return (Signal.EXAMINE_NEW if event.is_create else Signal.EXAMINE), path

        def close(self) -> None:
            """Close the instance; see `Backend.close`."""
            self._is_closed = True
            self._slots.release(self._capacity)
            self._inotify.stop()
            self._inotify.join()

        def _forget(self, wd: WatchDescriptor, path: str) -> None:
            known = self._paths.get(wd)
            if known is not None and known[0] == path:
                del self._paths[wd]
                self._inotify.remove_callbacks([(wd, known[1])])

        def _pass_on(self, event: InotifyEvent | None) -> None:
            if self._is_closed:
                return
            self._slots.acquire()
            self._deliver(event)


class Observer:
    """watchdog's observer for this platform: recursive where the OS is (FSEvents, Windows).

    Events from directories that are not in the picture are dropped by `Tree.examine`.
    """

    def __init__(self, deliver: Deliver) -> None:
        from watchdog.events import FileSystemEvent, FileSystemEventHandler
        from watchdog.observers import Observer as SystemObserver

        class Handler(FileSystemEventHandler):
            def on_any_event(self, event: FileSystemEvent) -> None:
                if event.event_type in ("opened", "closed_no_write"):
                    return
                deliver(os.fsdecode(event.src_path))
                if event.dest_path:
                    deliver(os.fsdecode(event.dest_path))

        self._handler = Handler()
        self._roots: list[str] = []
        self._observer: BaseObserver = SystemObserver()
        hide_thread(self._observer)
        self._observer.start()

    def watch(self, path: str) -> str | None:
        """Watch the tree, unless one that holds it is; see `Backend.watch`."""
        if not any(is_below(path, root) for root in self._roots):
            self._observer.schedule(self._handler, path, recursive=True)
            self._roots.append(path)
        return None

    def unwatch(self, path: str) -> None:
        """Do nothing: what is no longer in the picture is dropped there."""

    def read(self, raw: Any) -> tuple[Signal, str] | None:
        """Take a path; see `Backend.read`."""
        path: str = raw
        return Signal.EXAMINE, path

    def close(self) -> None:
        """Stop the observer; see `Backend.close`."""
        self._observer.stop()
        self._observer.join()
