"""What DAP messages are made of, and the order in which they leave. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from devlaunch.dap.endpoint import Endpoint
from devlaunch.dap.events import ClosePeer, SendMessage
from devlaunch.events import LogLine, Message

CAPABILITIES: Message = {
    # What debugpy's adapter answers (debugpy/adapter/clients.py) ...
    **dict.fromkeys(
        (
            *("supportsClipboardContext", "supportsCompletionsRequest"),
            *("supportsConditionalBreakpoints", "supportsConfigurationDoneRequest"),
            *("supportsDebuggerProperties", "supportsDelayedStackTraceLoading"),
            *("supportsEvaluateForHovers", "supportsExceptionInfoRequest"),
            *("supportsExceptionOptions", "supportsFunctionBreakpoints"),
            *("supportsGotoTargetsRequest", "supportsHitConditionalBreakpoints"),
            *("supportsLogPoints", "supportsModulesRequest", "supportsSetExpression"),
            *("supportsSetVariable", "supportsStepInTargetsRequest"),
            *("supportsTerminateDebuggee", "supportsTerminateRequest"),
            "supportsValueFormattingOptions",
            # ... and what devlaunch can do besides.
            "supportsRestartRequest",
        ),
        True,
    ),
    "exceptionBreakpointFilters": [
        {"filter": name, "label": label, "default": name == "uncaught", "description": text}
        for name, label, text in (
            ("raised", "Raised Exceptions", "Break whenever any exception is raised."),
            (
                *("uncaught", "Uncaught Exceptions"),
                "Break when the process is exiting due to unhandled exception.",
            ),
            (
                *("userUnhandled", "User Uncaught Exceptions"),
                "Break when exception escapes into library code.",
            ),
        )
    ],
}


def arguments_of(request: Message) -> dict[str, Any]:
    """The request's arguments; an empty object when there are none, or they are no object."""
    arguments = request.get("arguments")
    return arguments if isinstance(arguments, dict) else {}


def body_of(message: Message) -> dict[str, Any]:
    """The body of a response or event; an empty object when it has none."""
    body = message.get("body")
    return body if isinstance(body, dict) else {}


@dataclass(frozen=True, slots=True)
class AdmitPeer:
    """The peer has shown what it is: it may send as much as this at once, and take its time."""

    peer: int
    max_content: int


@dataclass(slots=True)
class Outbox:
    """What comes of an event: actions, in the order in which they have to be carried out."""

    now: float = 0.0
    """When the event has happened, in monotonic seconds."""
    _actions: list[object] = field(default_factory=list)

    def connect(self, peer: int) -> Endpoint:
        """Our end of a connection that somebody has made."""
        return Endpoint(
            lambda message: self.add(SendMessage(peer, message)),
            lambda: self.add(ClosePeer(peer)),
        )

    def has_passed(self, deadline: float | None) -> bool:
        """Whether there is such a deadline, and it was before the event."""
        return deadline is not None and deadline <= self.now

    def log(self, text: str, *, verbose: bool = False) -> None:
        """One line for the terminal."""
        self.add(LogLine(text, verbose))

    def add(self, action: object) -> None:
        """Any other action, or event for the supervisor."""
        self._actions.append(action)

    def take(self) -> list[object]:
        """Hand over what has been collected."""
        actions, self._actions = self._actions, []
        return actions
