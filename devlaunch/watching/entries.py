"""What is read from the disk about one directory entry."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import NamedTuple

_MOST_GITIGNORE = 1 << 20


class Stamp(NamedTuple):
    """What of a file differs after a save, even one of the same size and a restored mtime."""

    mtime_ns: int
    size: int
    inode: int
    ctime_ns: int


class Child(NamedTuple):
    """The directory that is watched because of an entry: its own, or where a link leads."""

    path: str
    recursive: bool


@dataclass
class Directory:
    """A watched directory. `files` holds the files worth reporting only."""

    path: str
    identity: tuple[int, int]
    recursive: bool
    holders: set[str]
    files: dict[str, Stamp] = field(default_factory=dict)
    children: dict[str, Child] = field(default_factory=dict)


def nearest_directory(path: str) -> str:
    """The lowest directory above `path` that exists."""
    while not os.path.isdir(path := os.path.dirname(path)):
        pass
    return path


def read_gitignore(directory: str) -> str | None:
    """What git ignores in a directory: its .gitignore, after its repository's info/exclude.

    None when there is neither.
    """
    texts = []
    for name in (".git/info/exclude", ".gitignore"):
        try:
            with open(os.path.join(directory, name), errors="replace") as file:
                texts.append(file.read(_MOST_GITIGNORE))
        except OSError:
            continue
    return "\n".join(texts) if texts else None


def kind_of(entry: os.DirEntry[str] | os.stat_result) -> tuple[bool, bool]:
    """Whether the entry is a directory, and whether it is a symbolic link."""
    if isinstance(entry, os.stat_result):
        return stat.S_ISDIR(entry.st_mode), stat.S_ISLNK(entry.st_mode)
    try:
        return entry.is_dir(follow_symlinks=False), entry.is_symlink()
    except OSError:
        return False, False


def mode_of(path: str) -> int | None:
    """The `st_mode` of a real path; None when there is nothing."""
    try:
        return os.lstat(path).st_mode
    except OSError:
        return None


def stamp_of(path: str) -> Stamp | None:
    """The stamp of what the path leads to; None when it leads nowhere."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return Stamp(status.st_mtime_ns, status.st_size, status.st_ino, status.st_ctime_ns)
