"""Commands that people are told to run: quoted, so that they can be pasted into a shell."""

from __future__ import annotations

import os

from . import hide

hide(__name__)


def command(*words: str) -> str:
    """The words as a shell of this system takes them."""
    if os.name == "nt":
        import subprocess

        return subprocess.list2cmdline(words)
    import shlex

    return shlex.join(words)
