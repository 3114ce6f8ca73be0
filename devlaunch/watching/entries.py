"""What is kept of a directory and its entries."""

from __future__ import annotations

import os
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from devlaunch.core.paths import is_below

_MOST_SPELLINGS = 8


def fingerprint(status: os.stat_result) -> int:
    """What of a file differs after a save, even one of the same size and a restored mtime.

    On Windows, where the ctime is that of its making, only when that replaced the file. One number
    of 8 bytes: what is kept of 100,000 files has to be little.
    """
    all_of_it = (status.st_mtime_ns, status.st_size, status.st_ino, status.st_ctime_ns)
    return hash(all_of_it) & 0xFFFF_FFFF_FFFF_FFFF


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
        """Fingerprints by name; to be changed in place."""
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
