"""One run of the app: the child process of a generation and the control channel to it."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import count
from typing import Any, Protocol

from devlaunch.config import Config, Isolation
from devlaunch.core.invocation import Running
from devlaunch.events import (
    ChildFailed,
    ChildrenChanged,
    ChildServing,
    DebuggeePaused,
    DebuggeeResumed,
    Failure,
)
from devlaunch.system import process
from devlaunch.system.channel import ControlChannel, Message
from devlaunch.system.loop import Loop
from devlaunch.system.spare import working_directory
from devlaunch.watching.disk import found_identity

Deliver = Callable[[Message], None]

HUNG_UP: Message = {"type": "hung-up"}
"""What a generation delivers when its control channel has ended."""

LOOK = 0.1
ENDING = 1.0
"""Seconds between two looks at a child that has hung up, and those that it may take to end."""

LOOK_SECONDS = 0.02
"""Between two looks at whom a generation has left behind, whose end no signal tells."""


class Spawner:
    """Spawns the processes of a run, each with a mark of its own."""

    def __init__(
        self,
        loop: Loop,
        command: Sequence[str],
        *,
        run_id: str,
        isolate: Isolation,
        grace: float = 0.0,
        socket_fd: int | None = None,
        first: tuple[process.Child, socket.socket] | None = None,
    ) -> None:
        """`first` is a process that was spawned already, with the mark `<run id>.0`.

        Whom a generation leaves behind has `grace` seconds to end.
        """
        self._loop = loop
        self._first = first
        self._command = command
        self._run_id = run_id
        self._isolate = isolate
        self._grace = grace
        self._directory = working_directory()
        self._inherited = [] if socket_fd is None else [socket_fd]
        self._serial = count(1)

    def directory(self) -> tuple[int, int] | None:
        """Which directory children are started in; None: it has been removed."""
        return found_identity(self._directory)

    def spawn(self, env: Mapping[str, str]) -> Generation:
        """A process that waits to be told what to do. Raises DevlaunchError."""
        if self._first:
            (child, channel), self._first = self._first, None
            return Generation(child, self._loop, channel, f"{self._run_id}.0", self._grace)
        mark = f"{self._run_id}.{next(self._serial)}"
        child, channel = process.spawn_controlled(
            self._command,
            run_id=mark,
            isolate=self._isolate,
            env=env,
            # By its name: it may have been removed and made again, and then ours is a dead one.
            cwd=self._directory,
            pass_fds=self._inherited,
        )
        return Generation(child, self._loop, channel, mark, self._grace)


class Generation:
    """`warm` it or not, `start` it; when `poll` gives a status, `finish` it and forget it."""

    def __init__(
        self,
        child: process.Child,
        loop: Loop,
        sock: socket.socket,
        mark: str = "",
        grace: float = 0.0,
    ) -> None:
        self.mark = mark
        self.deadline: float | None = None
        """When to `poll` again, in monotonic seconds: its end is known, that of others is not."""
        self.overdue: list[str] = []
        """Whom it left behind, and who did not end when asked."""
        self.number = 0
        """0 as long as it is a standby."""
        self.was_told_to_stop = False
        self._child = child
        self._channel = ControlChannel(loop, sock, self._said, lambda: self._said(HUNG_UP))
        child.when_ended(lambda: loop.post(ChildrenChanged()))
        self._deliver: Deliver | None = None
        self._image = child.image()
        self._has_spoken = False
        self._has_ended = False
        self._grace = grace
        self._patient_until: float | None = None

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
        if not self._has_spoken:
            # Not before: an interpreter may have been started by a script that ends in an exec.
            # Nor when it has hung up since: its program may have ended in one.
            image = self._child.image()
            if self._channel.is_quiet():
                self._image, self._has_spoken = image, True
        if self._deliver:
            self._deliver(message)

    @property
    def pid(self) -> int:
        """The process id of the child."""
        return self._child.pid

    @property
    def is_heard(self) -> bool:
        """Whether its control channel is open."""
        return self._channel.is_open

    @property
    def has_ended(self) -> bool:
        """Whether its main process is known to have ended; others may live."""
        return self._patient_until is not None or self._has_ended

    def was_replaced(self) -> bool:
        """Whether exec(3) has put another program in its place."""
        image = self._child.image()
        return image is not None and image != self._image

    def send(self, message: Message) -> None:
        """Send a message on the control channel."""
        self._channel.send(message)

    def ask_to_stop(self, grace: float) -> None:
        """Ask the server in the child to shut down within `grace` seconds."""
        if self.is_heard:
            self._child.look()
            self._channel.send({"type": "stop", "grace": grace})
        else:
            self.signal(signal.SIGTERM)

    def signal(self, signum: int) -> None:
        """Signal the main process."""
        if self._child.takes_signals:
            self._child.signal(signum)
        else:
            self._channel.send({"type": "signal", "signal": int(signum)})

    def signal_session(self, signum: int) -> None:
        """Signal all processes of the child's session."""
        if self._child.takes_signals:
            self._child.signal_session(signum)
        else:
            self.signal(signum)

    def terminate(self) -> None:
        """SIGTERM to the session, a stopped one included."""
        self.signal_session(signal.SIGTERM)

    def kill(self) -> set[int]:
        """SIGKILL to the session and to whatever carries its mark; returns who survived that."""
        return self._child.kill()

    def begin_to_kill(self) -> None:
        """As `kill`, but do not wait: `poll` gives the status soon, `finish` finds the rest."""
        self._child.signal_session(process.SIGKILL)

    def pythons(self) -> dict[int, Running]:
        """The Python processes below; see `process.Child.pythons`."""
        return {} if self._has_ended else self._child.pythons()

    def watcher(self, ran: Mapping[int, Collection[str]]) -> tuple[int, int] | None:
        """Who watches what another one below runs; see `process.Child.watcher`."""
        return None if self._has_ended else self._child.watcher(ran)

    def was_stopped(self) -> bool:
        """Whether the terminal's Ctrl-Z has stopped it since this was asked last."""
        return not self._has_ended and self._child.stopped()

    def poll(self) -> int | None:
        """The status once it has ended, the main process and whom that left behind; only once.

        These are asked to end, and waited for: the next generation may need what they hold.
        """
        status = None if self._has_ended else self._child.poll()
        if status is None:
            return None
        self.deadline = None
        if self.number and (left := self._child.dismiss()):
            now = time.monotonic()
            self._patient_until = self._patient_until or now + self._grace
            if now < self._patient_until:
                self.deadline = now + LOOK_SECONDS
                return None
            self.overdue = left
        self._has_ended = True
        return status

    def finish(self) -> set[int]:
        """Deliver its last messages, end what it left behind, reap; returns who survived that."""
        self._channel.close()
        self._child.reap()
        return self._child.survivors


class Unheard(Protocol):
    """What `HungUp` calls."""

    def __call__(self, *, by_exec: bool) -> None:
        """The app lives on."""


class HungUp:
    """Finds out about a child whose control channel has ended, unless that was its end.

    `report` is called then, from `due`; `by_exec`: another program has taken its place, as
    reloaders do that start their process anew.
    """

    def __init__(self, report: Unheard) -> None:
        self.deadline: float | None = None
        """When to call `due`, in monotonic seconds."""
        self._report = report
        self._generation: Generation | None = None
        self._since = 0.0

    def began(self, generation: Generation | None, now: float) -> None:
        """The generation has hung up."""
        self._generation, self._since, self.deadline = generation, now, now

    def ended(self) -> None:
        """Its process has ended."""
        self._generation = self.deadline = None

    def due(self, now: float) -> None:
        """Look at it."""
        generation = self._generation
        if generation is None or self.deadline is None or now < self.deadline:
            return
        if generation.has_ended:
            self.ended()
            return
        by_exec = generation.was_replaced()
        if by_exec or now - self._since >= ENDING:
            self.ended()
            self._report(by_exec=by_exec)
        else:
            self.deadline = now + LOOK


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
            is_held = message.get("is_held") is True
            return ChildFailed(generation, _failure(message), is_held)
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
