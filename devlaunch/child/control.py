"""The child's end of the control channel: one JSON object on a line, both ways.

The thread here must go on while a debugger holds every thread of the user's: it is invisible to
debuggers, runs no code of theirs (no import, no `getattr` on their objects), and waits for no lock
that they may hold. What it needs is bound at import, before anything can be monkey-patched.
"""

from __future__ import annotations

import os
from _thread import allocate_lock
from collections.abc import Callable
from json import dumps, loads
from os import getppid
from time import monotonic
from typing import Any

from . import hide
from .descriptors import Descriptor, Waiting, inherited
from .threads import HiddenThread

hide(__name__)

Message = dict[str, Any]

POLL_INTERVAL = 0.25
"""Seconds between two looks at what has been imported."""


class Control:
    """Owns the inherited socket `fd`. `send` may be called from any thread.

    When the program has closed it, nothing is heard or told any more, and the process lives on.
    """

    def __init__(self, fd: int) -> None:
        self._channel: Descriptor | None = inherited(fd)
        self._waiting: Waiting | None = None
        self._launcher = getppid()
        self._is_launcher_gone = False
        self._received = b""
        self._lock = allocate_lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def receive(self) -> Message | None:
        """The next message; waits for it. None when the launcher is gone."""
        while b"\n" not in self._received:
            try:
                data = self._channel.read() if self._channel else b""
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
        return b"\n" in self._received or self._channel is None or self._channel.is_readable()

    def is_closed(self) -> bool:
        """Whether the program has closed the channel, or this is a fork of it."""
        return self._channel is None or not self._channel.is_ours()

    def send(self, kind: str, **fields: object) -> None:
        """Tell the launcher; if it is gone, nobody is left to tell."""
        data = dumps({"type": kind, **fields}).encode() + b"\n"
        with self._lock:
            if self._channel is not None and self._channel.is_ours():
                try:
                    self._channel.write(data)
                except OSError:
                    pass

    def note(self, text: str) -> None:
        """One line for the terminal."""
        self.send("note", text=text)

    def serve(
        self,
        handle: Callable[[Message | None], None],
        tick: Callable[[], None],
        deadline: Callable[[], float | None],
    ) -> None:
        """Start the thread: messages go to `handle` (None: the launcher is gone, once).

        `tick` is called every `POLL_INTERVAL`, and when `deadline()` (monotonic seconds) has come.
        """
        assert self._channel is not None
        channel, self._waiting = self._channel, Waiting(self._channel)
        waiting = self._waiting

        def step() -> float:
            waiting.settle()
            self._hear(channel, waiting, handle)
            tick()
            due = deadline()
            timeout = POLL_INTERVAL if due is None else min(POLL_INTERVAL, due - monotonic())
            return waiting.units(max(0.0, timeout))

        HiddenThread(step, waiting.wait, waiting.wake).start()

    def _hear(
        self, channel: Descriptor, waiting: Waiting, handle: Callable[[Message | None], None]
    ) -> None:
        if self._is_launcher_gone:
            return
        message: Message | None = {}
        if channel.is_ours():
            while message is not None and self.has_message():
                message = self.receive()
                handle(message)
        elif getppid() != self._launcher:
            message = None
            handle(message)
        if message is None:
            self._is_launcher_gone = True
            waiting.forget(channel)

    def _forget(self) -> None:
        """In a forked process: it is not the launcher's child, and must not keep the channel."""
        self._lock = allocate_lock()
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._waiting is not None:
            self._waiting.close()
