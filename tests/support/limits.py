"""Limits of this process, for a while."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

import pytest

if sys.platform != "win32":
    import resource


@contextlib.contextmanager
def no_descriptors() -> Iterator[None]:
    """No file can be opened in here."""
    if sys.platform == "win32":
        pytest.skip("POSIX: a limit of descriptors")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
