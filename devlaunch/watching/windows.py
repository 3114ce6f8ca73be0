"""ReadDirectoryChangesW: the backend of Windows, and which of its drives report no changes.

watchdog's own for Windows hands out what happened only after a second without events (7.1), so
never while files go on changing, and does not say that the kernel's buffer ran over. Nothing tells
that a file was closed: a single one is waited for as long as one that is empty. `os.replace`
(MoveFileEx) replaces no file that is open at all: so one is read once it is quiet, and in one go.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import struct
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from devlaunch.core.paths import is_below
from devlaunch.system._windows import FILE_SHARE_ALL, OPEN_EXISTING
from devlaunch.system.hiding import hide_thread
from devlaunch.watching.backends import Backend, Deliver, Signal
from devlaunch.watching.disk import real_path

assert sys.platform == "win32"  # tells mypy what this file is for

import _winapi  # noqa: E402

_BUFFER = 1 << 16
"""The most that a server takes for a directory of its own."""
_FILTER = 0x01 | 0x02 | 0x04 | 0x08 | 0x10
"""Names of files and of directories, attributes, sizes, times of the last write.

To wine a time that is set, and nothing else of the file, is an attribute.
"""
_BACKUP_SEMANTICS_OVERLAPPED = 0x42000000
_LIST_DIRECTORY = 1
_INFINITE = 0xFFFFFFFF
_INVALID_HANDLE = ctypes.c_void_p(-1)
_MODIFIED = 3
_RECORD = struct.Struct("<LLL")
_NO_EVENTS = frozenset({1, 8, 14, 50, 1450, 1816})
"""ERROR_INVALID_FUNCTION and NOT_SUPPORTED of file systems that have none, and what has run out."""
_SHORT_NAME = re.compile(r"~\d")
_REMOTE = 4


class _Overlapped(ctypes.Structure):
    _fields_ = (
        ("Internal", ctypes.c_void_p),
        ("InternalHigh", ctypes.c_void_p),
        ("Offset", ctypes.c_uint64),
        ("Event", ctypes.c_void_p),
    )


class _Open:
    """A directory that is open. The kernel writes into it until it has said that it is done."""

    def __init__(self, path: str, *, whole: bool) -> None:
        self.path = path
        self.whole = whole
        self.is_closed = False
        self.handle = 0
        self.buffer = ctypes.create_string_buffer(_BUFFER)
        self.overlapped = _Overlapped()


class DirectoryChanges(Backend):
    """One completion port, one handle for each tree.

    A handle on a directory keeps others from renaming those above it, so what lies in a tree that
    is watched gets none. wine watches only what is new in a tree: `whole_trees` (None for what the
    system can do) says whether each directory needs a handle of its own.
    """

    def __init__(
        self, deliver: Deliver, capacity: int = 4096, whole_trees: bool | None = None
    ) -> None:
        super().__init__(deliver, capacity)
        self._whole_trees = not _is_wine() if whole_trees is None else whole_trees
        self._kernel: Any = ctypes.WinDLL("kernel32", use_last_error=True)
        self._kernel.CreateIoCompletionPort.restype = ctypes.c_void_p
        self._port = ctypes.c_void_p(
            self._check(self._kernel.CreateIoCompletionPort(_INVALID_HANDLE, None, None, 0))
        )
        self._watched: set[str] = set()
        self._open: dict[str, _Open] = {}
        self._lock = threading.Lock()
        self._asked: dict[int, _Open] = {}
        self._thread = threading.Thread(target=self._run, name="devlaunch-changes", daemon=True)
        hide_thread(self._thread)
        self._thread.start()

    def watch(self, path: str, *, whole: bool) -> str | None:
        """Watch the directory, with its tree where that is asked for; see `Backend.watch`."""
        covered = any(o.whole and o.path != path and is_below(path, o.path) for o in self._opened())
        opened = None if covered else self._begin(path, whole=whole and self._whole_trees)
        self._end(path)
        if opened is not None:
            self._open[path] = opened
        self._watched.add(path)
        return None

    def unwatch(self, path: str) -> None:
        """Stop watching, but for the tree while something of it is watched."""
        self._watched.discard(path)
        for opened in self._opened():
            if is_below(path, opened.path) and opened.path not in self._watched:
                left = (each for each in self._watched if is_below(each, opened.path))
                if not (opened.whole and any(left)):
                    self._end(opened.path)

    def _meaning(self, raw: Any) -> tuple[Signal, str] | None:
        """Of a path, or of what is no longer watched, or of None for events lost."""
        if isinstance(raw, str):
            return Signal.EXAMINE, raw
        if isinstance(raw, _Open) and self._open.get(raw.path) is raw:
            self._end(raw.path)
        return Signal.REFRESH_ALL, ""

    def close(self) -> None:
        """Close the handles, and wait until the kernel has let go of all buffers."""
        super().close()
        for opened in self._opened():
            self._end(opened.path)
        self._kernel.PostQueuedCompletionStatus(self._port, 0, None, None)
        self._thread.join()
        self._kernel.CloseHandle(self._port)

    def _opened(self) -> tuple[_Open, ...]:
        return tuple(self._open.values())

    def _begin(self, path: str, *, whole: bool) -> _Open:
        """Open a directory and ask for its changes. Raises OSError."""
        opened = _Open(path, whole=whole)
        opened.handle = _winapi.CreateFile(
            *(path, _LIST_DIRECTORY, FILE_SHARE_ALL, 0),
            *(OPEN_EXISTING, _BACKUP_SEMANTICS_OVERLAPPED, 0),
        )
        try:
            handle = ctypes.c_void_p(opened.handle)
            self._check(self._kernel.CreateIoCompletionPort(handle, self._port, None, 0))
            self._ask(opened)
        except OSError as error:
            _winapi.CloseHandle(opened.handle)
            if error.winerror in _NO_EVENTS:
                raise OSError(errno.ENOTSUP, error.strerror) from error
            raise
        return opened

    def _end(self, path: str) -> None:
        if opened := self._open.pop(path, None):
            with self._lock:
                opened.is_closed = True
                _winapi.CloseHandle(opened.handle)

    def _ask(self, opened: _Open) -> None:
        """Have the kernel tell the next changes. Raises OSError."""
        self._asked[ctypes.addressof(opened.overlapped)] = opened
        try:
            self._check(
                self._kernel.ReadDirectoryChangesW(
                    *(ctypes.c_void_p(opened.handle), opened.buffer, _BUFFER, opened.whole),
                    *(_FILTER, None, ctypes.byref(opened.overlapped), None),
                )
            )
        except OSError:
            del self._asked[ctypes.addressof(opened.overlapped)]
            raise

    def _run(self) -> None:
        size, key, address = ctypes.c_uint32(), ctypes.c_void_p(), ctypes.c_void_p()
        places = [ctypes.byref(place) for place in (size, key, address)]
        while not self._is_closed or self._asked:
            is_good = self._kernel.GetQueuedCompletionStatus(self._port, *places, _INFINITE)
            if (opened := self._asked.pop(address.value or 0, None)) is None:
                continue
            data = ctypes.string_at(opened.buffer, size.value) if is_good else b""
            with self._lock:
                if opened.is_closed:
                    continue
                try:
                    self._ask(opened)
                except OSError:
                    is_good = False
            if not data or not is_good:
                self._pass_on(None if is_good else opened)
            for path in dict.fromkeys(self._paths(opened.path, data)):
                self._pass_on(path)

    def _paths(self, directory: str, data: bytes) -> Iterator[str]:
        """What FILE_NOTIFY_INFORMATION names, as far as it lies in watched directories."""
        for action, name in parse(data):
            path = os.path.join(directory, name)
            if _SHORT_NAME.search(name):
                path = real_path(path)
            is_known = path in self._watched
            # That an entry of a directory has changed is told by itself.
            if action != _MODIFIED if is_known else os.path.dirname(path) in self._watched:
                yield path

    @staticmethod
    def _check(result: Any) -> Any:
        if not result:
            raise ctypes.WinError(ctypes.get_last_error())
        return result


def parse(data: bytes) -> Iterator[tuple[int, str]]:
    """The actions and names of the FILE_NOTIFY_INFORMATION records."""
    at, following = 0, 1 if data else 0
    while following:
        following, action, size = _RECORD.unpack_from(data, at)
        name = data[at + _RECORD.size : at + _RECORD.size + size]
        yield action, name.decode("utf-16-le", "surrogatepass")
        at += following


def network_drives(roots: Iterable[str]) -> dict[str, str]:
    r"""The drives and shares of these paths that other machines write to, `\\wsl$` too."""
    drives = {os.path.splitdrive(root)[0] + "\\" for root in roots}
    return {drive: "network drive" for drive in drives if _is_remote(drive)}


def _is_remote(drive: str) -> bool:
    if drive.startswith("\\\\") and not drive.startswith("\\\\?\\"):
        return True  # a share, though nobody may answer for it just now
    return bool(ctypes.WinDLL("kernel32").GetDriveTypeW(drive) == _REMOTE)


def _is_wine() -> bool:
    return hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")
