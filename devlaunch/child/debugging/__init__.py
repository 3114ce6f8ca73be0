"""How a child comes to its debugger: one module for each `kind` of the launcher's request.

`traits` is what we know of pydevd, of which both are made, `patches` what we change in it, `pauses`
what it holds. Nothing of a debugger is imported where none is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from .. import hide, worded

if TYPE_CHECKING:
    from .pauses import Pauses

hide(__name__)

Request = dict[str, Any]


class NotConnected(Exception):
    """There is no debugger; with what helps. The app runs on without it."""

    def __init__(self, summary: str, hint: str = "") -> None:
        super().__init__(summary)
        self.hint = hint


class Debugger(Protocol):
    """What a module for a kind of debugger has. Whatever `prepare` and `connect` raise is told."""

    def prepare(self, request: Request) -> None:
        """Do as much as is possible in a standby."""

    def connect(self, request: Request, pauses: Pauses) -> None:
        """Have this process debugged, and `pauses` watch. Returns when user code may run.

        Called in the main thread before user code, or in a hidden thread while it runs.
        """

    def execute(self, function: Callable[[], None]) -> None:
        """Call what runs user code, so that an exception which leaves it counts as uncaught."""


def debugger_for(request: Request) -> Debugger:
    """The module for the kind that is asked for."""
    if request.get("kind") == "pycharm":
        from . import pycharm

        return pycharm
    from . import debugpy

    return debugpy


def attempt(function: Callable[..., None], *args: object) -> tuple[str | None, str]:
    """Call one of a debugger's; returns what went wrong, if anything, and what helps."""
    try:
        function(*args)
    except NotConnected as error:
        return str(error), error.hint
    except Exception as error:
        return worded(error), ""
    return None, ""
