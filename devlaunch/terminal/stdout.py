"""Stdin, stdout and stderr, and what is asked for on stdout: help texts, versions, reports."""

from __future__ import annotations

import os
import sys

from devlaunch.errors import DevlaunchError
from devlaunch.system.seam import here
from devlaunch.system.spare import reason_of

_STANDARD = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def open_standard() -> None:
    """Open what is closed of stdin, stdout and stderr (as by `<&-`) on the null device.

    Else the next sockets of ours would get their numbers, which the app takes for its own.
    """
    for fd, (name, mode) in enumerate(_STANDARD):
        try:
            os.fstat(fd)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(null, True)
            if null != fd:  # Windows' pythonw has these numbers in use, with nothing behind them
                os.dup2(null, fd)
                os.close(null)
        if getattr(sys, name) is None:
            setattr(sys, name, open(fd, mode, closefd=False))  # noqa: SIM115


def print_text(text: str) -> None:
    """Write `text` as it is. A reader that has gone (`… --help | head -1`) is no error.

    Raises DevlaunchError when it cannot be written.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # Python would complain at its end of what is still in the buffer.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
        if not here.has_no_reader(error):
            raise DevlaunchError(f"cannot write to stdout: {reason_of(error)}") from None
