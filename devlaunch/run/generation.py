"""One run of the app: the child process of a generation and the control channel to it."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

from devlaunch.config import Config, TargetKind
from devlaunch.events import (
    ChildFailed,
    ChildrenChanged,
    ChildServing,
    DebuggeePaused,
    DebuggeeResumed,
    Failure,
)
from devlaunch.run.descendants import Datagrams, Descendants
from devlaunch.system import process
from devlaunch.system.channel import ControlChannel, Message
from devlaunch.system.loop import Loop
from devlaunch.system.spare import working_directory
from devlaunch.watching.entries import found_identity

if TYPE_CHECKING:
    from devlaunch.run.first_child import FirstChild

Deliver = Callable[[Message], None]

HUNG_UP: Message = {"type": "hung-up"}
"""What a generation delivers when its control channel has ended."""

LOOK = 0.1
ENDING = 1.0
"""Seconds between two looks at a child that has hung up, and those that it may take to end."""

LOOK_SECONDS = 0.02
"""Between two looks at whom a generation has left behind, whose end no signal tells."""


class Spawner:
    """Spawns the processes of a program, each with a mark of its own."""

    def __init__(
        self,
        config: Config,
        command: Sequence[str],
        loop: Loop,
        *,
        run_id: str,
        socket_fd: int | None = None,
        first: FirstChild | None = None,
        serials: Iterator[int] | None = None,
        datagrams: Datagrams | None = None,
    ) -> None:
        """`first` is spawned already; `serials` are for the marks `<run id>.<serial>` of the run.

        The processes of a generation are heard by `datagrams`.
        """
        self.config = config
        self.loop = loop
        self.datagrams = datagrams
        self.directory = working_directory()
        """Where children are started."""
        self.ended: list[str] = []
        """The marks of generations that have."""
        self._first = first
        self._command = command
        self._run_id = run_id
        self.instructions = _instructions(config, socket_fd)
        """The part of the start message that is the same for each generation."""
        self._inherited = [] if socket_fd is None else [socket_fd]
        self._serials = serials or count(1)

    def place(self) -> tuple[int, int] | None:
        """Which directory that is at present; None: it has been removed."""
        return found_identity(self.directory)

    def spawn(self, env: Mapping[str, str]) -> Generation:
        """A process that waits to be told what to do. Raises DevlaunchError."""
        if self._first:
            first, self._first = self._first, None
            return Generation(self, first.child, first.channel, first.mark)
        mark = f"{self._run_id}.{next(self._serials)}"
        child, channel = process.spawn_controlled(
            self._command,
            run_id=mark,
            isolate=self.config.isolate,
            env=env,
            # By its name: it may have been removed and made again, and then ours is a dead one.
            cwd=self.directory,
            pass_fds=self._inherited,
        )
        return Generation(self, child, channel, mark)

    def sweep(self) -> None:
        """End whom the reaping of generations overlooked, in the midst of an exec."""
        for mark in self.ended:
            process.sweep(mark, looks=1)
        self.ended.clear()


class Generation:
    """`warm` it or not, `start` it; when `poll` gives a status, `finish` it and forget it.

    Whom it leaves behind has the grace of the app to end.
    """

    def __init__(
        self, spawner: Spawner, child: process.Child, sock: socket.socket, mark: str
    ) -> None:
        self.mark = mark
        self.overdue: list[str] = []
        """Whom it left behind, and who did not end when asked."""
        self.number = 0
        """0 as long as it is a standby."""
        self.was_told_to_stop = False
        self._spawner = spawner
        self._config = spawner.config
        self._child = child
        self._channel = ControlChannel(spawner.loop, sock, self._said, self._hung_up)
        child.when_ended(lambda: spawner.loop.post(ChildrenChanged()))
        self._deliver: Deliver | None = None
        self._descendants: Descendants | None = None
        self._image = child.image()
        self._has_spoken = False
        self._has_ended = False
        self._hung_up_at = 0.0
        self._next_look: float | None = None
        self._next_poll: float | None = None
        self._patient_until: float | None = None

    def warm(self, message: Message, deliver: Deliver) -> None:
        """Make it a standby; `deliver` gets what it says."""
        self._deliver = deliver
        self._channel.send({"type": "warm", **message})

    def start(self, number: int, message: Message, deliver: Deliver) -> None:
        """Have it run the app as generation `number`, by this and what is the same for each.

        `deliver` gets what it says from now on, on its control channel or as `Descendants` do, and
        `hung-up` when its channel has ended, `alive` when that was not its end (`by_exec`: another
        program has taken its place, as reloaders do that start their process anew).
        """
        self.number = number
        self._deliver = deliver
        self._descendants = Descendants(
            self._child, self._config.target, self._spawner.directory, deliver
        )
        if self._spawner.datagrams:
            self._spawner.datagrams.listeners[self.mark] = self._descendants.hear
        self._channel.send({"type": "start", **self._spawner.instructions, **message})

    def _said(self, message: Message) -> None:
        if not self._has_spoken:
            # Not before: an interpreter may have been started by a script that ends in an exec.
            # Nor when it has hung up since: its program may have ended in one.
            image = self._child.image()
            if self._channel.is_quiet():
                self._image, self._has_spoken = image, True
        self._read_datagrams()
        if self._deliver:
            self._deliver(message)

    def _hung_up(self) -> None:
        self._said(HUNG_UP)
        if self.number:
            self._hung_up_at = self._next_look = time.monotonic()

    def _read_datagrams(self) -> None:
        """Take in what its processes have said, since they said it before this."""
        if self.number and self._spawner.datagrams:
            self._spawner.datagrams.read()

    @property
    def deadline(self) -> float | None:
        """When to call `due`, in monotonic seconds, and then `poll`."""
        below = self._descendants.deadline if self._descendants else None
        each = (self._next_look, self._next_poll, below)
        return min((due for due in each if due is not None), default=None)

    def due(self, now: float) -> None:
        """Look at the child, if it has hung up, and at its processes."""
        if self._next_look is not None and self._next_look <= now:
            self._next_look = None if self.has_ended else self._look(now)
        if self._descendants:
            self._descendants.due(now, self.was_replaced)

    def _look(self, now: float) -> float | None:
        """Find out whether it lives on without its channel; returns when to look again."""
        by_exec = self.was_replaced()
        if not by_exec and now - self._hung_up_at < ENDING:
            return now + LOOK
        if self._deliver:
            self._deliver({"type": "alive", "by_exec": by_exec})
        return None

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

    def ask_to_stop(self, signum: int | None) -> None:
        """Ask it to end: a server by its channel, other programs by SIGTERM, or by that signal."""
        if signum is not None and signum != signal.SIGTERM:
            # As from a terminal: to the whole foreground group.
            self.signal_session(signum)
        elif signum is not None:
            self.signal(signum)
        elif self._is_server and self.is_heard:
            self._child.look()
            self._channel.send({"type": "stop", "grace": self._config.grace})
        else:
            if not self._is_server:
                self._channel.send({"type": "ending", "grace": self._config.grace})
            self.signal(signal.SIGTERM)

    @property
    def _is_server(self) -> bool:
        return self._config.target.kind is TargetKind.APP

    def was_interrupted(self, status: int) -> bool:
        """Whether it has ended so by the terminal's Ctrl-C, which it shares with nobody."""
        # A server that nobody told to stop ends well at a Ctrl-C only.
        ended_well = self._is_server and status == 0 and not self.was_told_to_stop
        return status == -signal.SIGINT or ended_well

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

    def kill(self) -> set[int]:
        """SIGKILL to the session and to whatever carries its mark; returns who survived that."""
        return self._child.kill()

    def begin_to_kill(self) -> None:
        """As `kill`, but do not wait: `poll` gives the status soon, `finish` finds the rest."""
        self._child.signal_session(process.SIGKILL)

    def served(self) -> None:
        """The app runs."""
        if self._descendants:
            self._descendants.served()

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
        self._next_poll = None
        if self.number and (left := self._child.dismiss()):
            now = time.monotonic()
            self._patient_until = self._patient_until or now + self._config.grace
            if now < self._patient_until:
                self._next_poll = now + LOOK_SECONDS
                return None
            self.overdue = left
        self._has_ended = True
        return status

    def finish(self) -> set[int]:
        """Deliver its last messages, end what it left behind, reap; returns who survived that."""
        self._read_datagrams()
        self._channel.close()
        if self.number:
            self._spawner.ended.append(self.mark)
            if self._spawner.datagrams:
                self._spawner.datagrams.listeners.pop(self.mark, None)
        self._child.reap()
        return self._child.survivors


def _instructions(config: Config, socket_fd: int | None) -> Message:
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
