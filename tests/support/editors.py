"""Real editors: those on PATH, else installed by apt-get where that is possible (root, Debian)."""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

PACKAGES = {"nvim": "neovim", "emacs": "emacs-nox"}


@functools.cache
def editor(name: str) -> str:
    """The executable; skips the test, and says why, when there is none to be had."""
    if found := shutil.which(name):
        return found
    if os.geteuid() or not shutil.which("apt-get"):
        pytest.skip(f"{name} is not installed, and only root on Debian can install it here")
    # One worker installs, the others wait for it.
    with (Path(tempfile.gettempdir()) / "devlaunch-tests-apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if found := shutil.which(name):
            return found
        print(f"installing {PACKAGES[name]} by apt-get, for the tests of its template")
        problem = _install(PACKAGES[name])
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed, and apt-get cannot install it: {problem}")
    return found


def _install(package: str) -> str:
    """The end of what apt-get says when it fails."""
    install = [
        "-o",
        "DPkg::Lock::Timeout=120",
        "install",
        "--yes",
        "--quiet=2",
        "--no-install-recommends",
        package,
    ]
    for arguments in (["update", "--quiet=2"], install):
        try:
            done = subprocess.run(
                ["apt-get", *arguments],
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                capture_output=True, text=True, timeout=300, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return "it takes longer than 300 s"
    return done.stderr.strip()[-300:] if done.returncode else ""
