"""The launcher's end of a child's control channel: one JSON object on a line, both ways.

User code may write to a descriptor that it does not own, so what comes is checked here, and only
here, for being what a child says.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

from devlaunch.core.shapes import Shape, fault, is_deep
from devlaunch.errors import ProtocolError
from devlaunch.events import LogLine
from devlaunch.system.loop import Loop

Message = dict[str, Any]

MAX_LINE = 16 * 1024 * 1024
"""Bytes; the longest is said by a program of many thousand modules."""

_MAYBE = str | None

SHAPES: dict[str, Shape] = {
    "serving": {"interface": _MAYBE, "server": _MAYBE},
    "failed": {
        "summary": str,
        "file": _MAYBE,
        "line": int | None,
        "hint": _MAYBE,
        "missing_module": _MAYBE,
        "search_path": (type(None), [str]),
        "is_usage": bool | None,
        "is_held": bool | None,
    },
    "modules": {"files": [str]},
    "silent": {},
    "paused": {"paused": bool},
    "debugger": {"error": _MAYBE, "hint": _MAYBE},
    "note": {"text": str},
    "open": {"requests": [str]},
    "held": {"threads": [str]},
    "restart": {"reason": str},
    "imports": {"record": {"contexts": [list], "roots": [list]}, "avoid": [str]},
    "refused": {"reason": str, "unsafe": dict},
    "warm": {"modules": int, "memory": int, "unsafe": dict},
}
"""By type of message: its fields."""

ONCE = {"serving", "warm"}


class ControlChannel:
    """Owns a connected stream socket; what the child says goes to `deliver` in the loop's thread.

    Anything else is dropped, and the first time a line says so. `hung_up` is called when the child
    has closed it, which may be the beginning of its end.
    """

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        deliver: Callable[[Message], None],
        hung_up: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._deliver = deliver
        self._hung_up = hung_up
        self._received = bytearray()
        self._unsent = b""
        self.is_open = True
        self._said: set[str] = set()
        self._has_complained = False
        sock.setblocking(False)
        loop.watch(sock, readable=self._read)

    def send(self, message: Message) -> None:
        """Queue a message; a child that is gone is no error, its exit is reported elsewhere."""
        if self.is_open:
            self._unsent += json.dumps(message).encode() + b"\n"
            self._write()

    def is_quiet(self) -> bool:
        """Whether the child has its end open, and all that it has said was delivered."""
        try:
            self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def close(self) -> None:
        """Deliver what the child had still sent, then close. Idempotent."""
        self._hung_up = lambda: None
        self._read()
        self._close()

    def _close(self) -> None:
        if self.is_open:
            self.is_open = False
            self._loop.unwatch(self._sock)
            self._sock.close()

    def _read(self) -> None:
        while self.is_open:
            try:
                data = self._sock.recv(65536)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._close()
                self._hung_up()
                return
            self._received += data
            if b"\n" in data:
                *lines, self._received = self._received.split(b"\n")
                for line in lines:
                    self._take(line)
            elif len(self._received) > MAX_LINE:
                self._complain(f"a line of more than {MAX_LINE} bytes")
                self._received.clear()

    def _take(self, line: bytes | bytearray) -> None:
        try:
            message = parse(line)
            kind = message["type"]
            if kind in self._said & ONCE:
                raise ProtocolError(f"{kind!r} for the second time")
        except ProtocolError as error:
            self._complain(str(error))
        else:
            self._said.add(kind)
            self._deliver(message)

    def _complain(self, what: str) -> None:
        if not self._has_complained:
            self._has_complained = True
            text = "the app has written to a descriptor of devlaunch's own, which is ignored"
            self._loop.post(LogLine(f"{text}: {what}"))

    def _write(self) -> None:
        try:
            self._unsent = self._unsent[self._sock.send(self._unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            self._unsent = b""  # the child is gone
        self._loop.watch(
            self._sock, readable=self._read, writable=self._write if self._unsent else None
        )


def parse(line: bytes | bytearray) -> Message:
    """What a child says by this line. Raises ProtocolError when no child says such a thing."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        message = None
    kind = message.get("type") if isinstance(message, dict) else None
    shape = SHAPES.get(kind) if isinstance(kind, str) else None
    if shape is None:
        raise ProtocolError(f"{bytes(line[:40])!r}")
    if why := fault(message, shape, ""):
        raise ProtocolError(f"{kind!r} whose {why}")
    if is_deep(message, line):
        raise ProtocolError(f"{kind!r} that is nested too deep")
    result: Message = message
    return result
