"""Wait for a condition, never for a fixed time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(
    predicate: Callable[[], T], timeout: float = 10.0, what: str | Callable[[], str] = ""
) -> T:
    """Poll `predicate` until it returns something true, and return that.

    Raises AssertionError with `what` (a text, or a function that makes it) after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        result = predicate()
        if result:
            return result
        if time.monotonic() > deadline:
            text = what() if callable(what) else what
            raise AssertionError(f"not within {timeout} s: {text or predicate}")
        time.sleep(0.005)
