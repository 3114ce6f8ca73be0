"""How the OS tells about changes: inotify(7), ReadDirectoryChangesW, what watchdog has, or not.

A backend calls `deliver` from a thread of its own with whatever it got; the owner hands that to
`read`, which says what it means. Everything else is called by the owner only.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Protocol

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


class Backend(Protocol):
    """Where events come from."""

    tells_closing: bool
    """Whether an event of a file comes when it was closed, so that all of it is there."""

    def watch(self, path: str, *, whole: bool) -> str | None:
        """Report the entries of this directory; again when another one has taken its place.

        `whole`: its tree is to be watched too, directory by directory.

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

    tells_closing = False

    def watch(self, path: str, *, whole: bool) -> str | None:  # noqa: ARG002
        """Do nothing."""
        return None

    def unwatch(self, path: str) -> None:
        """Do nothing."""

    def read(self, raw: Any) -> tuple[Signal, str] | None:  # noqa: ARG002
        """Drop what an earlier backend delivered last."""
        return None

    def close(self) -> None:
        """Do nothing."""


class Observer:
    """watchdog's observer for this platform: recursive where the OS is (FSEvents).

    Events from directories that are not in the picture are dropped by `Tree.examine`.
    """

    tells_closing = False

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

    def watch(self, path: str, *, whole: bool) -> str | None:  # noqa: ARG002
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
