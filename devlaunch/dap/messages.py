"""Making DAP messages, and the order in which they leave. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from devlaunch.events import ClosePeer, LogLine, Message, SendMessage

CAPABILITIES: Message = {
    # What debugpy's adapter answers (debugpy/adapter/clients.py) ...
    "supportsCompletionsRequest": True,
    "supportsConditionalBreakpoints": True,
    "supportsConfigurationDoneRequest": True,
    "supportsDebuggerProperties": True,
    "supportsDelayedStackTraceLoading": True,
    "supportsEvaluateForHovers": True,
    "supportsExceptionInfoRequest": True,
    "supportsExceptionOptions": True,
    "supportsFunctionBreakpoints": True,
    "supportsHitConditionalBreakpoints": True,
    "supportsLogPoints": True,
    "supportsModulesRequest": True,
    "supportsSetExpression": True,
    "supportsSetVariable": True,
    "supportsValueFormattingOptions": True,
    "supportsTerminateDebuggee": True,
    "supportsTerminateRequest": True,
    "supportsGotoTargetsRequest": True,
    "supportsClipboardContext": True,
    "supportsStepInTargetsRequest": True,
    "exceptionBreakpointFilters": [
        {
            "filter": "raised",
            "label": "Raised Exceptions",
            "default": False,
            "description": "Break whenever any exception is raised.",
        },
        {
            "filter": "uncaught",
            "label": "Uncaught Exceptions",
            "default": True,
            "description": "Break when the process is exiting due to unhandled exception.",
        },
        {
            "filter": "userUnhandled",
            "label": "User Uncaught Exceptions",
            "default": False,
            "description": "Break when exception escapes into library code.",
        },
    ],
    # ... and what devlaunch can do besides.
    "supportsRestartRequest": True,
}


def arguments_of(request: Message) -> dict[str, Any]:
    """The request's arguments; an empty object when there are none, or they are no object."""
    arguments = request.get("arguments")
    return arguments if isinstance(arguments, dict) else {}


def body_of(message: Message) -> dict[str, Any]:
    """The body of a response or event; an empty object when it has none."""
    body = message.get("body")
    return body if isinstance(body, dict) else {}


def make_event(name: str, body: Message) -> Message:
    """A DAP event."""
    return {"type": "event", "event": name, "body": body}


def make_request(command: str, arguments: Message) -> Message:
    """A DAP request."""
    return {"type": "request", "command": command, "arguments": arguments}


def make_response(request: Message, body: Message | None = None) -> Message:
    """The response that says success."""
    message = {
        "type": "response",
        "request_seq": request["seq"],
        "command": request["command"],
        "success": True,
    }
    return message if body is None else {**message, "body": body}


def make_failure(request: Message, text: str) -> Message:
    """The response that says failure, and why."""
    return {
        "type": "response",
        "request_seq": request["seq"],
        "command": request["command"],
        "success": False,
        "message": text,
    }


@dataclass(frozen=True, slots=True)
class AdmitPeer:
    """The peer has shown what it is: it may send as much as this at once, and take its time."""

    peer: int
    max_content: int


@dataclass(slots=True)
class Outbox:
    """The actions of the current event, in the order in which they have to be carried out.

    Messages get their `seq` here, so that their order on the wire is the order of the numbers, and
    so that the keeper knows the number by which a request will be answered.
    """

    _actions: list[object] = field(default_factory=list)
    _sent: dict[int, int] = field(default_factory=dict)
    """How many messages each open peer was sent."""

    def open(self, peer: int) -> None:
        """The peer has connected."""
        self._sent[peer] = 0

    def is_open(self, peer: int) -> bool:
        """Whether the peer can be sent anything."""
        return peer in self._sent

    def send(self, peer: int, message: Message) -> int:
        """Send, and return the `seq` of the message; nothing is sent to a peer that has gone."""
        if peer not in self._sent:
            return 0
        self._sent[peer] += 1
        self._actions.append(SendMessage(peer, {**message, "seq": self._sent[peer]}))
        return self._sent[peer]

    def admit(self, peer: int, max_content: int) -> None:
        """The peer is no stranger any more."""
        self._actions.append(AdmitPeer(peer, max_content))

    def close(self, peer: int) -> None:
        """Close a peer, if it is open, after what was sent to it."""
        if self._sent.pop(peer, None) is not None:
            self._actions.append(ClosePeer(peer))

    def forget(self, peer: int) -> None:
        """The peer has gone by itself."""
        self._sent.pop(peer, None)

    def log(self, text: str, *, verbose: bool = False) -> None:
        """One line for the terminal."""
        self._actions.append(LogLine(text, verbose))

    def add(self, action: object) -> None:
        """Any other action, or event for the supervisor."""
        self._actions.append(action)

    def take(self) -> list[object]:
        """Hand over what has been collected."""
        actions, self._actions = self._actions, []
        return actions
