"""The child's end of the control channel: one JSON object on a line, both ways.

The thread here must go on while a debugger holds every thread of the user's: it is invisible to
debuggers, runs no code of theirs (no import, no `getattr` on their objects), and waits for no lock
that they may hold. What it needs is bound at import, before anything can be monkey-patched.
"""

from __future__ import annotations

import os
import select
import socket
import threading
from _thread import allocate_lock
from collections.abc import Callable
from json import dumps, loads
from time import monotonic
from typing import Any

from . import hide

hide(__name__)

Message = dict[str, Any]

POLL_INTERVAL = 0.25
"""Seconds between two looks at what has been imported."""

_select = select.select


def start_hidden_thread(name: str, target: Callable[[], object]) -> None:
    """A daemon thread that pydevd neither traces nor suspends (FACTS: `pydev_do_not_trace`)."""
    thread = threading.Thread(target=target, name=name, daemon=True)
    thread.pydev_do_not_trace = True  # type: ignore[attr-defined]
    thread.is_pydev_daemon_thread = True  # type: ignore[attr-defined]
    thread.start()


class Control:
    """Owns the inherited socket `fd`. `send` may be called from any thread."""

    def __init__(self, fd: int) -> None:
        self._socket: socket.socket | None = socket.socket(fileno=fd)
        self._socket.set_inheritable(False)
        self._socket.setblocking(True)
        self._received = b""
        self._lock = allocate_lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def receive(self) -> Message | None:
        """The next message; waits for it. None when the launcher is gone."""
        while b"\n" not in self._received:
            try:
                data = self._socket.recv(65536) if self._socket else b""
            except OSError:
                data = b""
            if not data:
                return None
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        message: Message = loads(line)
        return message

    def has_message(self) -> bool:
        """Whether `receive` would return at once."""
        return self._is_readable(0.0)

    def send(self, kind: str, **fields: object) -> None:
        """Tell the launcher; if it is gone, nobody is left to tell."""
        data = dumps({"type": kind, **fields}).encode() + b"\n"
        with self._lock:
            if self._socket is not None:
                try:
                    self._socket.sendall(data)
                except OSError:
                    pass

    def serve(
        self,
        handle: Callable[[Message | None], None],
        tick: Callable[[], None],
        deadline: Callable[[], float | None],
    ) -> None:
        """Start the thread: messages go to `handle` (None: the launcher is gone, once).

        `tick` is called every `POLL_INTERVAL`, and when `deadline()` (monotonic seconds) has come.
        """
        start_hidden_thread("devlaunch-control", lambda: self._run(handle, tick, deadline))

    def _run(
        self,
        handle: Callable[[Message | None], None],
        tick: Callable[[], None],
        deadline: Callable[[], float | None],
    ) -> None:
        open_end = True
        while True:
            due = deadline()
            timeout = POLL_INTERVAL if due is None else min(POLL_INTERVAL, due - monotonic())
            if open_end and self._is_readable(max(0.0, timeout)):
                message = self.receive()
                open_end = message is not None
                handle(message)
            elif not open_end:
                _select([], [], [], max(0.0, timeout))
            tick()

    def _is_readable(self, timeout: float) -> bool:
        if b"\n" in self._received or self._socket is None:
            return True
        return bool(_select([self._socket], [], [], timeout)[0])

    def _forget(self) -> None:
        """In a forked process: it is not the launcher's child, and must not keep the channel."""
        self._lock = allocate_lock()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
