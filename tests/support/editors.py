"""Real editors: those on PATH, else installed by apt-get where that is possible (root, Debian)."""

from __future__ import annotations

import functools
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from support import apt

if sys.platform != "win32":
    import fcntl

PACKAGES = {"nvim": "neovim", "emacs": "emacs-nox"}


@functools.cache
def editor(name: str) -> str:
    """The executable; skips the test, and says why, when there is none to be had."""
    if found := shutil.which(name):
        return found
    if sys.platform == "win32" or not apt.can_install():
        pytest.skip(f"{name} is not installed, and only root on Debian can install it here")
    # One worker installs, the others wait for it.
    with (Path(tempfile.gettempdir()) / "devlaunch-tests-apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if found := shutil.which(name):
            return found
        print(f"installing {PACKAGES[name]} by apt-get, for the tests of its template")
        problem = apt.install(PACKAGES[name])
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed, and apt-get cannot install it: {problem}")
    return found
