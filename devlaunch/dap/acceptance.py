"""What pydevd can take of what DAP allows. Pure.

An exception in the handling of a request ends pydevd's reader, and with it the debugger (`_on_run`
of ReaderThread in pydevd_comm.py): the IDE hears nothing, and a process that waits to be configured
waits for ever. So such a request is answered here, and never sent, nor recorded.
"""

from __future__ import annotations

from devlaunch.core.shapes import Shape, fault
from devlaunch.events import Message

UNSUPPORTED = {
    *("breakpointLocations", "dataBreakpointInfo", "setDataBreakpoints"),
    *("setInstructionBreakpoints", "disassemble", "readMemory", "writeMemory"),
    *("stepBack", "reverseContinue", "restartFrame", "terminateThreads"),
    *("loadedSources", "cancel"),
}
"""Requests of DAP that pydevd never answers; it prints a line into the app's output instead."""

_NONE = type(None)
_MAYBE_TEXT = str | None

_CONDITIONS: dict[str, Shape] = {"condition": _MAYBE_TEXT, "hitCondition": _MAYBE_TEXT}

_BREAKPOINTS: dict[str, Shape] = {
    "setBreakpoints": {"line": int, "logMessage": _MAYBE_TEXT, **_CONDITIONS},
    "setFunctionBreakpoints": {"name": str, **_CONDITIONS},
}
"""By command: one of its breakpoints."""

_ARGUMENTS: dict[str, Shape] = {
    **{name: {"threadId": int} for name in ("next", "stepIn", "stepOut", "stackTrace")},
    "exceptionInfo": {"threadId": int},
    "attach": {
        "pathMappings": (_NONE, [{"localRoot": _MAYBE_TEXT, "remoteRoot": _MAYBE_TEXT}]),
        "rules": (_NONE, [dict]),
    },
    "setBreakpoints": {"source": dict, "breakpoints": list | None},
    "setFunctionBreakpoints": {"breakpoints": list | None},
    "setExceptionBreakpoints": {
        "filters": [str],
        "exceptionOptions": (
            _NONE,
            [{"breakMode": str, "path": (_NONE, [{"names": [str]}])}],
        ),
    },
}
"""By command: its arguments. One that is not here is as DAP has it, or harms nobody."""

_NO_FILE = "debugpy sets breakpoints in files only, and this source has no 'path'"


def refusal(command: str, arguments: Message) -> str:
    """Why pydevd can make nothing of this request, a sentence; empty when it can."""
    if command in UNSUPPORTED:
        return f"debugpy does not support the request {command!r}."
    shape = _ARGUMENTS.get(command)
    text = fault(arguments, shape, "") if shape is not None else ""
    return f"debugpy cannot take the arguments of {command!r}: {text}." if text else ""


def takeable(command: str, arguments: Message) -> Message | None:
    """What of the arguments pydevd can take, without some breakpoints; None: nothing at all.

    Of a request that is no `refusal`.
    """
    if command == "setBreakpoints" and not _path(arguments):
        return None
    faults = _faults(command, arguments)
    if not faults:
        return arguments
    wanted = arguments["breakpoints"]
    return {**arguments, "breakpoints": [b for n, b in enumerate(wanted) if n not in faults]}


def complete(command: str, arguments: Message, breakpoints: list[Message]) -> list[Message]:
    """The answer to the IDE: `breakpoints` were taken, those that could not be are added."""
    answer = list(breakpoints)
    for index, text in sorted(_faults(command, arguments).items()):
        answer.insert(index, {"verified": False, "message": text})
    return answer


def _faults(command: str, arguments: Message) -> dict[int, str]:
    """By its place in the list: what is wrong with a breakpoint."""
    shape = _BREAKPOINTS.get(command)
    if shape is None:
        return {}
    no_file = _NO_FILE if command == "setBreakpoints" and not _path(arguments) else ""
    wanted = enumerate(arguments.get("breakpoints") or [])
    faults = {index: no_file or fault(each, shape, "") for index, each in wanted}
    return {index: text for index, text in faults.items() if text}


def _path(arguments: Message) -> str:
    path = arguments["source"].get("path")
    return path if isinstance(path, str) else ""
