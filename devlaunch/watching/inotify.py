"""inotify(7): the backend of Linux.

By watchdog's C binding, `observers.inotify_c`, without its observers. That is private, so watchdog
is kept below 8: run the tests of this room with a new one before the ceiling is raised. Our own by
ctypes would be as long as this module, and other systems need watchdog all the same.
"""

from __future__ import annotations

import itertools
import logging
import os
import sys
from typing import Any

from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    Mask,
    WatchDescriptor,
)

from devlaunch.system.hiding import hide_thread
from devlaunch.watching.backends import Backend, Deliver, Signal

assert sys.platform == "linux"  # tells mypy what this file is for

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


class Inotify(Backend):
    """One inotify instance, one watch for each directory."""

    tells_closing = True

    def __init__(self, deliver: Deliver, capacity: int = 4096) -> None:
        # Its warnings of an overflow are no news for the user: we act on it.
        logger = logging.getLogger("watchdog.observers.inotify_c")
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
        super().__init__(deliver, capacity)
        self._ids = itertools.count()
        self._watches: dict[str, WatchDescriptor] = {}
        self._paths: dict[WatchDescriptor, tuple[str, CallbackId]] = {}
        self._inotify = InotifyFD()
        self._inotify.name = "devlaunch-inotify"
        hide_thread(self._inotify)
        self._inotify.start()

    def watch(self, path: str, *, whole: bool) -> str | None:  # noqa: ARG002
        """Watch the directory; see `Backend.watch`."""
        # An id of its own each time: InotifyFD warns when it knows the id of a watch already,
        # and the kernel gives a directory that moved the watch that it had.
        number = CallbackId(next(self._ids))
        wd = self._inotify.add_callback(os.fsencode(path), _EVENTS, self, number)
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

    def _meaning(self, raw: Any) -> tuple[Signal, str] | None:
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
        super().close()
        self._inotify.stop()
        self._inotify.join()

    # --- what the InotifyFD calls in its thread -------------------------------------------------

    def on_event(self, event: InotifyEvent) -> None:
        """Something happened in a directory."""
        self._pass_on(event)

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        """IN_DELETE_SELF, or our own unwatch, has said so; only an unmount has not."""
        self._pass_on(InotifyEvent(wd, InotifyConstants.IN_DELETE_SELF, cookie=0, name=b""))

    def on_queue_overflow(self) -> None:
        """Events were lost."""
        self._pass_on(None)

    # --- the owner's ----------------------------------------------------------------------------

    def _forget(self, wd: WatchDescriptor, path: str) -> None:
        known = self._paths.get(wd)
        if known is not None and known[0] == path:
            del self._paths[wd]
            self._inotify.remove_callbacks([(wd, known[1])])
