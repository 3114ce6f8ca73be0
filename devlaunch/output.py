"""What is asked for on stdout: help texts, versions, the schema, the doctor's report."""

from __future__ import annotations

import os
import sys


def print_text(text: str) -> None:
    """Write `text` as it is. A reader that has gone (`… --help | head -1`) is no error."""
    if sys.stdout is None:  # closed, as by `>&-`
        return
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python would complain at its end of what is still in the buffer.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
