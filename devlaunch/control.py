"""The launcher's end of a child's control channel: one JSON object on a line, both ways."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

from devlaunch.loop import Loop

Message = dict[str, Any]


class ControlChannel:
    """Owns a connected stream socket; whole messages are handed to `deliver` in the loop's thread.

    What is no JSON object is dropped: user code may have written to a descriptor it does not own.
    """

    def __init__(self, loop: Loop, sock: socket.socket, deliver: Callable[[Message], None]) -> None:
        self._loop = loop
        self._sock = sock
        self._deliver = deliver
        self._received = b""
        self._unsent = b""
        self._open = True
        sock.setblocking(False)
        loop.watch(sock, readable=self._read)

    @property
    def is_open(self) -> bool:
        """Whether anybody is at the other end: a process may close it and live on."""
        return self._open

    def send(self, message: Message) -> None:
        """Queue a message; a child that is gone is no error, its exit is reported elsewhere."""
        if self._open:
            self._unsent += json.dumps(message).encode() + b"\n"
            self._write()

    def close(self) -> None:
        """Deliver what the child had still sent, then close. Idempotent."""
        if not self._open:
            return
        self._read()
        self._close()

    def _close(self) -> None:
        if self._open:
            self._open = False
            self._loop.unwatch(self._sock)
            self._sock.close()

    def _read(self) -> None:
        while self._open:
            try:
                data = self._sock.recv(65536)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._close()
                return
            *lines, self._received = (self._received + data).split(b"\n")
            for line in lines:
                self._parse(line)

    def _parse(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            return
        if isinstance(message, dict):
            self._deliver(message)

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
