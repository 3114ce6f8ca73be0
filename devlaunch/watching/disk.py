"""What the disk says about a file: what it is, what it holds, when it was written."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import stat
import sys
import time
from collections.abc import Callable, Iterable

from devlaunch.core.filters import Gitignore
from devlaunch.core.paths import plain

try:
    from _blake2 import blake2b  # `hashlib` would load OpenSSL: some MB, and time at the start
except ImportError:
    from hashlib import blake2b

open_shared: Callable[[str, int], int] | None = None
"""The `opener` of `open` for a person's files: what reads one is not to be in an editor's way."""
CTIME_IS_BIRTH = False
"""Whether `st_ctime` is when a file was made, and no change of its status."""
_JUNCTION = getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", None)
"""What marks a directory that leads elsewhere, where the system has such."""
if sys.platform == "win32":
    from devlaunch.system import _windows

    open_shared = _windows.open_shared
    CTIME_IS_BIRTH = True

MOST_READ = 4 << 20
"""Bytes of a file that may be read in the loop's thread, which has Ctrl-C to answer as well."""
COARSE_TIME = 2.0
"""Seconds between two times that a file system without fractions can tell apart (FAT)."""
_MOST_GITIGNORE = 1 << 20


# --- what it is -----------------------------------------------------------------------------------


def status_of(path: str, *, follow: bool = True) -> os.stat_result | None:
    """The status of what the path leads to, or without `follow` of itself; None for nothing."""
    try:
        return os.stat(path, follow_symlinks=follow)
    except OSError:
        return None


def identity_of(path: str) -> tuple[int, int]:
    """What tells a file from all others, whatever path leads there. Raises OSError."""
    status = os.stat(path)
    return status.st_dev, status.st_ino


def found_identity(path: str) -> tuple[int, int] | None:
    """The same; None when there is nothing."""
    status = status_of(path)
    return (status.st_dev, status.st_ino) if status else None


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


def is_filled(path: str) -> bool:
    """Whether there is a regular file, and something in it."""
    status = status_of(path)
    return status is not None and stat.S_ISREG(status.st_mode) and status.st_size > 0


def real_path(path: str) -> str:
    r"""Where the path leads, as `os.path.realpath` says it.

    That leaves `\\?\` before a path of Windows which comes or goes as it is looked at.
    """
    return plain(os.path.realpath(path))


def with_realpaths(paths: Iterable[str]) -> list[str]:
    """The paths and where their symbolic links lead: a save may be seen under either name."""
    return list(dict.fromkeys(each for path in paths for each in (path, real_path(path))))


def nearest_directory(path: str) -> str:
    """The lowest directory above `path` that exists."""
    while not os.path.isdir(path := os.path.dirname(path)):
        pass
    return path


# --- what it holds --------------------------------------------------------------------------------


def digest(path: str) -> str | None:
    """A digest of a file's content, or of the names in a directory; None for what has neither.

    Of a large file it is one of its status: rewritten alike it counts as changed.
    """
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            names = sorted(map(os.fsencode, os.listdir(path)))
            return _digest(b"\0".join(names))
        # A FIFO of that name would block the launcher for ever.
        if not stat.S_ISREG(status.st_mode):
            return None
        if status.st_size > MOST_READ:
            return f"{status.st_size} {status.st_mtime_ns} {status.st_ino} {status.st_ctime_ns}"
        with open(path, "rb", opener=open_shared) as file:
            return _digest(file.read())
    except OSError:
        return None


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=16).hexdigest()


def is_withheld(path: str) -> bool:
    """Whether a program, as it saves or searches the file, keeps all others from reading it."""
    if sys.platform == "win32":
        try:
            os.close(_windows.open_shared(path, os.O_RDONLY))
        except OSError as error:
            return _windows.is_sharing_violation(error)
    return False


def read_gitignore(directory: str) -> Gitignore:
    """What git ignores in a directory."""
    names = ".gitignore", ".git/info/exclude"
    text, exclude = (_text_of(os.path.join(directory, name)) for name in names)
    return text, exclude


def _text_of(path: str) -> str | None:
    try:
        with open(path, errors="replace", opener=open_shared) as file:
            return file.read(_MOST_GITIGNORE)
    except OSError:
        return None


# --- when it was written --------------------------------------------------------------------------


def changed_at(path: str) -> float | None:
    """When content or status changed last, as `time.monotonic()` seconds."""
    status = status_of(path)
    if status is None:
        return None
    return as_monotonic(written_ns(status), wall=time.time(), monotonic=time.monotonic())


def written_ns(status: os.stat_result) -> int:
    """The same, as far as the times of the file tell now: see `changed_ns`."""
    return changed_ns(status.st_mtime_ns, status.st_ctime_ns, now_ns=time.time_ns())


def changed_ns(
    mtime_ns: int, ctime_ns: int, *, now_ns: int, ctime_is_birth: bool = CTIME_IS_BIRTH
) -> int:
    """When content or status changed last, as far as the two times of a file tell.

    The ctime does, but where that is when the file was made, also as a copy that has the mtime of
    its original: an edit is later. A time to come (`touch -d`) is that of no edit, but for the next
    two seconds: Windows rounds up on FAT.
    """
    is_edit = ctime_is_birth and ctime_ns < mtime_ns <= now_ns + COARSE_TIME * 1e9
    return min(mtime_ns, now_ns) if is_edit else ctime_ns


def as_monotonic(time_ns: int, *, wall: float, monotonic: float) -> float:
    """A file's time as `time.monotonic()` seconds; `wall` and `monotonic` are the clocks now.

    Never earlier than it was: a file system that counts in seconds may say up to two too early. And
    never later than now: a clock was set back, or a server's is ahead.
    """
    changed = time_ns / 1e9
    if time_ns % 1_000_000_000 == 0:
        changed += COARSE_TIME
    return monotonic - max(0.0, wall - changed)


def discard_bytecode(paths: Iterable[str]) -> None:
    """Remove what any interpreter has cached of these sources.

    A .pyc counts as valid for a source of the same size and whole-second mtime (PEP 552), also when
    the running app has not imported the module yet.
    """
    stems: dict[str, set[str]] = {}
    for path in paths:
        if path.endswith(".py"):
            directory = os.path.dirname(importlib.util.cache_from_source(path))
            stem = os.path.basename(path).removesuffix(".py")
            stems.setdefault(directory, set()).add(stem)
    for directory, changed in stems.items():
        try:
            cached = os.listdir(directory)
        except OSError:
            continue
        for name in cached:
            if name.endswith(".pyc") and name.partition(".")[0] in changed:
                with contextlib.suppress(OSError):  # gone by now, or not for us to change
                    os.unlink(os.path.join(directory, name))
