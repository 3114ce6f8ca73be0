"""What ASGI servers do when the app refuses to start."""

from __future__ import annotations

import sys
from typing import Any

from .. import hide
from ..requests import TrackedASGI
from ..tracebacks import describe, print_once

hide(__name__)


def startup_failure(tracked: TrackedASGI, name: str) -> dict[str, Any]:
    """Print why the app refused to start, once, and return what to tell the launcher."""
    error = tracked.startup_error
    if error is not None:
        print_once(error)
        return describe(error)
    message = (tracked.startup_message or "").strip()
    if message:
        print(message, file=sys.stderr)  # noqa: T201
    last = message.splitlines()[-1] if message else f"{name} refused to start"
    return {"summary": last, "file": None, "line": None, "hint": "", "is_usage": False}
