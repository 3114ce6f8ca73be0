"""What is read from the disk about one directory entry."""

from __future__ import annotations

import os
import stat
import time
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from devlaunch.core.filters import GITIGNORE_BEGINS
from devlaunch.core.paths import is_below
from devlaunch.watching.contents import changed_ns, open_shared

_MOST_GITIGNORE = 1 << 20
_MOST_SPELLINGS = 8
_JUNCTION = getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", None)
"""What marks a directory that leads elsewhere, where the system has such."""


class Stamp(NamedTuple):
    """What of a file differs after a save, even one of the same size and a restored mtime.

    On Windows, where the ctime is that of its making, only when that replaced the file.
    """

    mtime_ns: int
    size: int
    inode: int
    ctime_ns: int

    @property
    def fingerprint(self) -> int:
        """One number for all of it, of 8 bytes: what is kept of 100,000 files has to be little."""
        return hash(tuple(self)) & 0xFFFF_FFFF_FFFF_FFFF

    @property
    def changed_ns(self) -> int:
        """See `contents.changed_ns`."""
        return changed_ns(self.mtime_ns, self.ctime_ns, now_ns=time.time_ns())


class Child(NamedTuple):
    """The directory that is watched because of an entry: its own, or where a link leads."""

    path: str
    recursive: bool


@dataclass(slots=True)
class Directory:
    """A watched directory. `files` holds the files worth reporting only.

    They are packed while nobody looks at them; who has looked calls `pack` in the end.
    """

    path: str
    identity: tuple[int, int]
    recursive: bool
    holders: set[str]
    opened: list[Directory]
    """Where this directory puts itself when its files are looked at."""
    children: dict[str, Child] = field(default_factory=dict)
    _files: dict[str, int] | None = None
    _names: str = ""
    _fingerprints: array[int] | None = None

    @property
    def files(self) -> dict[str, int]:
        """Fingerprints (`Stamp.fingerprint`) by name; to be changed in place."""
        if self._files is None:
            names = self._names.split("\0") if self._fingerprints else ()
            self._files = dict(zip(names, self._fingerprints or (), strict=True))
            self.opened.append(self)
        return self._files

    def pack(self) -> None:
        """Keep the files in a tenth of the memory, until they are looked at again."""
        if self._files is not None:
            self._names = "\0".join(self._files)
            self._fingerprints = array("Q", self._files.values()) if self._files else None
            self._files = None


def identity_of(path: str) -> tuple[int, int]:
    """What tells a file from all others, whatever path leads there. Raises OSError."""
    status = os.stat(path)
    return status.st_dev, status.st_ino


def found_identity(path: str) -> tuple[int, int] | None:
    """The same; None when there is nothing."""
    try:
        return identity_of(path)
    except OSError:
        return None


def has_identity(path: str, identity: tuple[int, int]) -> bool:
    """Whether the path leads to that file."""
    return found_identity(path) == identity


def spellings(path: str, links: Mapping[str, str]) -> list[str]:
    """The real path, and those through symbolic links (to where they lead) that lead there."""
    found = [path]
    for spelling in found:
        for link, target in links.items():
            if not is_below(spelling, target) or is_below(link, target):
                continue
            other = link + spelling[len(target) :]
            if other not in found and len(found) < _MOST_SPELLINGS:
                found.append(other)
    return found


def nearest_directory(path: str) -> str:
    """The lowest directory above `path` that exists."""
    while not os.path.isdir(path := os.path.dirname(path)):
        pass
    return path


def read_gitignore(directory: str) -> str | None:
    """What git ignores in a directory: its .gitignore, after its repository's info/exclude.

    None when there is neither.
    """
    texts = [_text_of(os.path.join(directory, n)) for n in (".git/info/exclude", ".gitignore")]
    if texts[0] is None:
        return texts[1]
    return "\n".join((texts[0], GITIGNORE_BEGINS, texts[1] or ""))


def _text_of(path: str) -> str | None:
    try:
        with open(path, errors="replace", opener=open_shared) as file:
            return file.read(_MOST_GITIGNORE)
    except OSError:
        return None


def kind_of(entry: os.DirEntry[str] | os.stat_result) -> tuple[bool, bool]:
    """Whether the entry is a directory, and whether it is a symbolic link or a junction."""
    try:
        if isinstance(entry, os.DirEntry):
            if _JUNCTION is None:
                return entry.is_dir(follow_symlinks=False), entry.is_symlink()
            entry = entry.stat(follow_symlinks=False)
    except OSError:
        return False, False
    is_link = stat.S_ISLNK(entry.st_mode) or getattr(entry, "st_reparse_tag", 0) == _JUNCTION
    return stat.S_ISDIR(entry.st_mode) and not is_link, is_link


def mode_of(path: str) -> int | None:
    """The `st_mode` of a real path; None when there is nothing."""
    try:
        return os.lstat(path).st_mode
    except OSError:
        return None


def size_of(path: str) -> int:
    """The size of a file in bytes; 0 when there is none."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def stamp_of(path: str) -> Stamp | None:
    """The stamp of what the path leads to; None when it leads nowhere."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return Stamp(status.st_mtime_ns, status.st_size, status.st_ino, status.st_ctime_ns)
