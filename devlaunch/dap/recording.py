"""What the IDE has asked for, kept so that every new debuggee can be given the same. Pure.

Breakpoint ids: the IDE is given ids of ours, one for each place (source and position, or function
name), which stay the same over all generations; a debuggee's own ids are translated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from devlaunch.core.paths import fold, slashed
from devlaunch.dap.acceptance import complete, takeable
from devlaunch.events import Message

Key = tuple[str, str]
"""Command and source: a later request with the same key replaces the earlier one."""

Place = tuple[str, str, object, int]
"""Command, source, position in it, and which one of several at the same position."""

PENDING = "The app is not running; the breakpoint is set as soon as it starts."


def is_recorded(command: str) -> bool:
    """Whether a request describes what every debuggee should do, rather than asks one of them."""
    return (command.startswith("set") and command.endswith("Breakpoints")) or command in {
        "setDebuggerProperty",
        "setPydevdSourceMap",
    }


@dataclass(slots=True)
class Recording:
    """The settings of one IDE session."""

    _requests: dict[Key, Message] = field(default_factory=dict)
    _ids: dict[Place, int] = field(default_factory=dict)
    _next_id: Iterator[int] = field(default_factory=lambda: count(1))
    _shown: dict[int, object] = field(default_factory=dict)
    """By our id: what the IDE was last told about the breakpoint."""

    def record(self, command: str, arguments: Message) -> None:
        """Keep what pydevd can take of a request of `is_recorded`, no `refusal`.

        A file without breakpoints is not worth replaying.
        """
        key = (command, _source_key(arguments))
        accepted = takeable(command, arguments)
        if accepted is None or (command == "setBreakpoints" and not _wanted(accepted)):
            self._requests.pop(key, None)
        else:
            self._requests[key] = accepted

    def forget(self, command: str, arguments: Message) -> None:
        """The debuggee has refused a request that was recorded, and the IDE is told so."""
        key = (command, _source_key(arguments))
        if self._requests.get(key) == takeable(command, arguments):
            self._requests.pop(key, None)

    def requests(self) -> list[tuple[str, Message]]:
        """Commands and arguments to replay, in the order in which they first came."""
        return [(command, arguments) for (command, _), arguments in self._requests.items()]

    def pending(self, command: str, arguments: Message) -> Message:
        """The body of the response when there is no debuggee to ask."""
        if command == "setExceptionBreakpoints" or not command.endswith("Breakpoints"):
            return {}
        source = {"source": arguments["source"]} if "source" in arguments else {}
        breakpoints: list[Message] = []
        accepted = takeable(command, arguments) or {}
        for identity, wanted in zip(
            self._places(command, accepted), _wanted(accepted), strict=True
        ):
            line = {"line": wanted["line"]} if "line" in wanted else {}
            breakpoint_: Message = {"id": identity, "verified": False, "message": PENDING}
            breakpoints.append({**breakpoint_, **line, **source})
            self._shown[identity] = _state(breakpoints[-1])
        return {"breakpoints": complete(command, arguments, breakpoints)}

    def translate(
        self, command: str, arguments: Message, body: Message, ids: dict[int, int]
    ) -> tuple[Message, list[Message]]:
        """A debuggee's answer to the request `command`, for the IDE.

        Returns the body with our ids, and those of its breakpoints that are not as the IDE was last
        told. `ids` is that debuggee's map from its ids to ours, and is extended.
        """
        given = body.get("breakpoints")
        if not isinstance(given, list):
            return body, []
        breakpoints: list[Message] = []
        changed: list[Message] = []
        accepted = takeable(command, arguments) or {}
        for identity, breakpoint_ in zip(self._places(command, accepted), given, strict=False):
            if isinstance(breakpoint_.get("id"), int):
                ids[breakpoint_["id"]] = identity
            translated = {**breakpoint_, "id": identity}
            breakpoints.append(translated)
            if self._note(translated):
                changed.append(translated)
        return {**body, "breakpoints": complete(command, arguments, breakpoints)}, changed

    def translate_event(self, body: Message, ids: dict[int, int]) -> Message | None:
        """The body of a debuggee's `breakpoint` event, for the IDE; None: not one it knows."""
        breakpoint_ = body.get("breakpoint")
        if not isinstance(breakpoint_, dict) or breakpoint_.get("id") not in ids:
            return None
        translated = {**breakpoint_, "id": ids[breakpoint_["id"]]}
        self._note(translated)
        return {**body, "breakpoint": translated}

    def _note(self, breakpoint_: Message) -> bool:
        """Whether this is news for the IDE."""
        state = _state(breakpoint_)
        is_news = self._shown.get(breakpoint_["id"]) != state
        self._shown[breakpoint_["id"]] = state
        return is_news

    def _places(self, command: str, arguments: Message) -> list[int]:
        """Our id for each breakpoint that the request wants."""
        source = _source_key(arguments)
        identities = []
        seen: dict[object, int] = {}
        for wanted in _wanted(arguments):
            position = (wanted.get("name"), wanted.get("line"), wanted.get("column"))
            nth = seen[repr(position)] = seen.get(repr(position), 0) + 1
            place = (command, source, repr(position), nth)
            if place not in self._ids:
                self._ids[place] = next(self._next_id)
            identities.append(self._ids[place])
        return identities


def _wanted(arguments: Message) -> list[dict[str, Any]]:
    breakpoints = arguments.get("breakpoints")
    if not isinstance(breakpoints, list):
        return []
    return [item for item in breakpoints if isinstance(item, dict)]


def _source_key(arguments: Message) -> str:
    source = arguments.get("source")
    if not isinstance(source, dict):
        return ""
    path = str(source.get("path") or "")
    # VS Code has drives in lower case, and others as they are.
    spelled = fold(slashed(path, path), path)
    return spelled or str((source.get("sourceReference"), source.get("name")))


def _state(breakpoint_: Message) -> object:
    return tuple(breakpoint_.get(name) for name in ("verified", "line", "column", "message"))
