"""One run of the app: the child process of a generation and the control channel to it."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

from devlaunch import process
from devlaunch.config import Config, Isolation
from devlaunch.control import ControlChannel, Message
from devlaunch.events import ChildFailed, ChildServing, DebuggeePaused, DebuggeeResumed, Failure
from devlaunch.loop import Loop

Deliver = Callable[[Message], None]


class Spawner:
    """Spawns the processes of a run, each with a mark of its own."""

    def __init__(
        self,
        loop: Loop,
        command: Sequence[str],
        *,
        run_id: str,
        isolate: Isolation,
        socket_fd: int | None = None,
        first: tuple[process.Child, socket.socket] | None = None,
    ) -> None:
        """`first` is a process that was spawned already, with the mark `<run id>.0`."""
        self._loop = loop
        self._first = first
        self._command = command
        self._run_id = run_id
        self._isolate = isolate
        self._inherited = [] if socket_fd is None else [socket_fd]
        self._serial = count(1)

    def spawn(self, env: Mapping[str, str]) -> Generation:
        """A process that waits to be told what to do. Raises DevlaunchError."""
        if self._first:
            (child, channel), self._first = self._first, None
            return Generation(child, self._loop, channel, f"{self._run_id}.0")
        mark = f"{self._run_id}.{next(self._serial)}"
        child, channel = process.spawn_controlled(
            self._command,
            run_id=mark,
            isolate=self._isolate,
            env=env,
            pass_fds=self._inherited,
        )
        return Generation(child, self._loop, channel, mark)


class Generation:
    """`warm` it or not, `start` it; when `poll` gives a status, `finish` it and forget it."""

    def __init__(
        self, child: process.Child, loop: Loop, sock: socket.socket, mark: str = ""
    ) -> None:
        self.mark = mark
        self.number = 0
        """0 as long as it is a standby."""
        self.was_told_to_stop = False
        self._child = child
        self._channel = ControlChannel(loop, sock, self._said)
        self._deliver: Deliver | None = None
        self._has_ended = False

    def warm(self, message: Message, deliver: Deliver) -> None:
        """Make it a standby; `deliver` gets what it says."""
        self._deliver = deliver
        self._channel.send({"type": "warm", **message})

    def start(self, number: int, message: Message, deliver: Deliver) -> None:
        """Have it run the app as generation `number`; `deliver` gets what it says from now on."""
        self.number = number
        self._deliver = deliver
        self._channel.send({"type": "start", **message})

    def _said(self, message: Message) -> None:
        if self._deliver:
            self._deliver(message)

    @property
    def pid(self) -> int:
        """The process id of the child."""
        return self._child.pid

    def send(self, message: Message) -> None:
        """Send a message on the control channel."""
        self._channel.send(message)

    @property
    def is_silent(self) -> bool:
        """Whether the app has closed the control channel: it says and hears nothing any more."""
        return not (self._channel.is_open or self._has_ended)

    def ask_to_stop(self, grace: float) -> None:
        """Ask the server in the child to shut down within `grace` seconds."""
        if self.is_silent:
            self._child.signal(signal.SIGTERM)
            return
        self._child.look()
        self._channel.send({"type": "stop", "grace": grace})

    def signal(self, signum: int) -> None:
        """Signal the main process."""
        self._child.signal(signum)

    def signal_session(self, signum: int) -> None:
        """Signal all processes of the child's session."""
        self._child.signal_session(signum)

    def terminate(self) -> None:
        """SIGTERM to the session, a stopped one included."""
        self._child.signal_session(signal.SIGTERM)

    def kill(self) -> set[int]:
        """SIGKILL to the session and to whatever carries its mark; returns who survived that."""
        return self._child.kill()

    def begin_to_kill(self) -> None:
        """As `kill`, but do not wait: `poll` gives the status soon, `finish` finds the rest."""
        if sys.platform == "win32":
            self.kill()
        else:
            self._child.signal_session(signal.SIGKILL)

    def was_stopped(self) -> bool:
        """Whether the terminal's Ctrl-Z has stopped it since this was asked last."""
        return not self._has_ended and self._child.stopped()

    def poll(self) -> int | None:
        """The status once the main process has ended; only the first time."""
        if self._has_ended:
            return None
        status = self._child.poll()
        self._has_ended = status is not None
        return status

    def finish(self) -> set[int]:
        """Deliver its last messages, end what it left behind, reap; returns who survived that."""
        self._channel.close()
        self._child.reap()
        return self._child.survivors


def instructions(config: Config, socket_fd: int | None) -> Message:
    """The part of the start message that is the same for each generation."""
    target = config.target
    return {
        "target": {"kind": target.kind, "name": target.name, "args": list(target.args)},
        "factory": config.factory,
        "app_dir": config.app_dir,
        "server": config.server,
        "socket_fd": socket_fd,
        "grace": config.grace,
        "verbose": config.verbosity > 0,
    }


def to_event(generation: int, message: Message) -> object | None:
    """The supervisor's event that a control message stands for, if any."""
    match message.get("type"):
        case "serving":
            return ChildServing(generation)
        case "failed":
            return ChildFailed(generation, _failure(message))
        case "paused":
            return DebuggeePaused() if message.get("paused") else DebuggeeResumed()
        case _:
            return None


def _failure(message: Mapping[str, Any]) -> Failure:
    return Failure(
        summary=str(message.get("summary") or "the app could not be run"),
        file=message.get("file"),
        line=message.get("line"),
        hint=str(message.get("hint") or ""),
        missing_module=message.get("missing_module"),
        search_path=tuple(message.get("search_path") or ()),
        is_usage=bool(message.get("is_usage")),
    )
