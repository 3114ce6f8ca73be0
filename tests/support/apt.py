"""Debian's packages, for what needs more than Python."""

from __future__ import annotations

import os
import shutil
import subprocess


def can_install() -> bool:
    """Whether apt-get is here and this is root."""
    return not os.geteuid() and shutil.which("apt-get") is not None


def install(*packages: str) -> str:
    """Install these; returns the end of what apt-get says when it fails, otherwise nothing."""
    words = ("-o", "DPkg::Lock::Timeout=120", "install", "--yes", "--quiet=2")
    for arguments in (("update", "--quiet=2"), (*words, "--no-install-recommends", *packages)):
        try:
            done = subprocess.run(
                ["apt-get", *arguments],
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return "it takes longer than 600 s"
    return done.stderr.strip()[-300:] if done.returncode else ""
