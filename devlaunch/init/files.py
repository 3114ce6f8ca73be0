"""Files of the project: read whole, written whole or not at all."""

from __future__ import annotations

import contextlib
import difflib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from devlaunch.errors import DevlaunchError
from devlaunch.system.spare import reason_of


@dataclass(frozen=True, slots=True)
class Change:
    """A file with what is in it (None: there is none) and what is to be."""

    path: str
    """Absolute."""
    name: str
    """As people see it, from the project's directory."""
    before: str | None
    after: str
    where: str = ""
    """Says that the file is its owner's to edit, and what of `after` goes where in it."""

    @property
    def kind(self) -> str:
        """`new`, `change`, `same`, or `there`."""
        if self.before is None:
            return "new"
        if self.where:
            return "there"
        return "same" if self.before == self.after else "change"

    def diff(self) -> Iterator[str]:
        """The lines of a unified diff."""
        yield from difflib.unified_diff(
            (self.before or "").splitlines(),
            self.after.splitlines(),
            "/dev/null" if self.before is None else self.name,
            self.name,
            lineterm="",
        )


def read(path: str, name: str) -> str | None:
    """The text, with its line ends as they are; None without a file. Raises DevlaunchError."""
    try:
        with open(path, "rb") as file:
            data = file.read()
        return data.decode()
    except FileNotFoundError:
        # What Windows says, too, of a file in the place of the directory.
        if not os.path.isfile(os.path.dirname(path)):
            return None
        raise DevlaunchError(f"{name}: not a directory", hint="nothing was written") from None
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DevlaunchError(
            f"{name}:{line}: is not UTF-8 text", hint="nothing was written; save it as UTF-8 first"
        ) from None
    except OSError as error:
        raise DevlaunchError(f"{name}: {reason_of(error)}", hint="nothing was written") from None


def write(change: Change) -> None:
    """Write the file in one step, with the mode of the one that it replaces.

    A symbolic link stays one: what it leads to is written. Raises DevlaunchError when the file has
    changed since it was read, or cannot be written.
    """
    if read(change.path, change.name) != change.before:
        raise DevlaunchError(
            f"{change.name}: it was changed meanwhile", hint="run devlaunch init once more"
        )
    path = os.path.realpath(change.path)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        _replace(path, change.after.encode())
    except OSError as error:
        raise DevlaunchError(f"{change.name}: cannot be written: {reason_of(error)}") from None


def _replace(path: str, data: bytes) -> None:
    directory, name = os.path.split(path)
    beside = os.path.join(directory, f".{name}.{os.getpid()}.tmp")
    file = open(beside, "xb")  # noqa: SIM115
    try:
        with file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileNotFoundError):
            shutil.copymode(path, beside)
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise
