"""Paths of each system, for tests of what is pure: they run on every one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Native = Callable[[str], str]


def windows(path: str) -> str:
    """`/root/a` as Windows may have it; what is relative stays as it is."""
    return "C:" + path.replace("/", "\\") if path.startswith("/") else path


FLAVOURS = [pytest.param(str, id="posix"), pytest.param(windows, id="windows")]
