"""Paths of POSIX and of Windows, as the pure parts take them: absolute and normalized.

Which of both one is it says itself: only on POSIX does it begin with a slash, so that the same
tests run with both kinds everywhere. Whoever tells a path to the pure parts resolves it first
(`os.path.realpath`): then it has the case that the disk has, an upper-case drive, long names, no
junction and no drive of `subst`, and a file one path, so that paths are compared as they are. To
fold each instead would need a second string to show, and be wrong in directories that tell case
apart. Case may differ only in what a person or an IDE wrote (patterns, an editor's name of a
source), and `fold` is for that.
"""

from __future__ import annotations

import ntpath
import posixpath
import re

_VERBATIM = re.compile(r"^\\\\\?\\(?:(?=[a-z]:)|UNC(\\))", re.IGNORECASE)


def separator(path: str) -> str:
    """What parts this path."""
    return "/" if path.startswith("/") else "\\"


def dirname(path: str) -> str:
    """The directory that holds it; of the topmost directory itself."""
    return posixpath.dirname(path) if path.startswith("/") else ntpath.dirname(path)


def basename(path: str) -> str:
    """The last part."""
    return posixpath.basename(path) if path.startswith("/") else ntpath.basename(path)


def resolve(path: str, directory: str) -> str:
    """A path that may be relative to the directory, with either slash on Windows."""
    module = posixpath if directory.startswith("/") else ntpath
    return str(module.normpath(module.join(directory, path)))


def is_below(path: str, directory: str) -> bool:
    """Whether `path` is `directory` or lies in its tree."""
    mark = separator(directory)
    return path == directory or path.startswith(directory.rstrip(mark) + mark)


def below(path: str, directory: str) -> str:
    """The path relative to a directory above, parted by slashes; itself when that is none."""
    if not is_below(path, directory):
        return path
    mark = separator(directory)
    return path[len(directory.rstrip(mark)) + 1 :].replace(mark, "/")


def slashed(text: str, like: str) -> str:
    """What a person wrote, parted by slashes; on Windows, where `like` is from, it need not be."""
    return plain(text).replace(separator(like), "/")


def fold(text: str, like: str) -> str:
    """What stands for all spellings that are the same name on the system that `like` is from."""
    return text if like.startswith("/") else text.lower()


def plain(path: str) -> str:
    r"""Without the `\\?\` of Windows before a drive or a server: it is another path to Python."""
    return _VERBATIM.sub(lambda match: 2 * (match[1] or ""), path)
