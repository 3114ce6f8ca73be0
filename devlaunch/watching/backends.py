"""How the OS tells about changes: inotify(7), ReadDirectoryChangesW, what watchdog has, or not.

A backend calls `deliver` from a thread of its own with whatever it got; the owner hands that to
`read`, which says what it means. Everything else is called by the owner only.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from devlaunch.core.paths import is_below
from devlaunch.system.hiding import hide_thread

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


class Backend:
    """Where events come from. This one has none, as polling needs none.

    Its thread waits while `capacity` deliveries are not yet read: then the bounded queue of the OS
    fills, and its overflow asks for a rescan.
    """

    tells_closing = False
    """Whether an event of a file comes when it was closed, so that all of it is there."""

    def __init__(self, deliver: Deliver = lambda _: None, capacity: int = 4096) -> None:
        self._deliver = deliver
        self._capacity = capacity
        self._slots = threading.Semaphore(capacity)
        self._is_closed = False

    def watch(self, path: str, *, whole: bool) -> str | None:  # noqa: ARG002
        """Report the entries of this directory; again when another one has taken its place.

        `whole`: its tree is to be watched too, directory by directory.

        Returns the path under which the same directory was watched until now: it is not any more.
        Raises OSError, with ENOSPC or EMFILE for a limit of the OS.
        """
        return None

    def unwatch(self, path: str) -> None:
        """Stop reporting this directory; what it reports nevertheless is dropped by its reader."""

    def read(self, raw: Any) -> tuple[Signal, str] | None:
        """What was delivered means this; None for nothing. Call it once for each delivery."""
        self._slots.release()
        return self._meaning(raw)

    def close(self) -> None:
        """End the backend's thread and free what the OS holds."""
        self._is_closed = True
        self._slots.release(self._capacity)

    def _meaning(self, raw: Any) -> tuple[Signal, str] | None:  # noqa: ARG002
        return None  # it was delivered by the backend before

    def _pass_on(self, raw: Any) -> None:
        if not self._is_closed:
            self._slots.acquire()
            self._deliver(raw)


class Observer(Backend):
    """watchdog's observer for this platform: recursive where the OS is (FSEvents).

    Events from directories that are not in the picture are dropped by `Tree.examine`.
    """

    def __init__(self, deliver: Deliver) -> None:
        super().__init__(deliver)
        from watchdog.events import FileSystemEvent, FileSystemEventHandler
        from watchdog.observers import Observer as SystemObserver

        pass_on = self._pass_on

        class Handler(FileSystemEventHandler):
            def on_any_event(self, event: FileSystemEvent) -> None:
                if event.event_type in ("opened", "closed_no_write"):
                    return
                pass_on(os.fsdecode(event.src_path))
                if event.dest_path:
                    pass_on(os.fsdecode(event.dest_path))

        self._handler = Handler()
        self._roots: list[str] = []
        self._observer: BaseObserver = SystemObserver()
        hide_thread(self._observer)
        self._observer.start()

    def watch(self, path: str, *, whole: bool) -> str | None:  # noqa: ARG002
        """Watch the tree, unless one that holds it is; see `Backend.watch`."""
        if not any(is_below(path, root) for root in self._roots):
            self._observer.schedule(self._handler, path, recursive=True)
            self._roots.append(path)
        return None

    def _meaning(self, raw: Any) -> tuple[Signal, str] | None:
        path: str = raw
        return Signal.EXAMINE, path

    def close(self) -> None:
        """Stop the observer; see `Backend.close`."""
        super().close()
        self._observer.stop()
        self._observer.join()
