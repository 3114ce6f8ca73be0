"""One run of the app: the child process of a generation and the control channel to it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from devlaunch import process
from devlaunch.config import Config
from devlaunch.control import ControlChannel, Message
from devlaunch.events import ChildFailed, ChildServing, DebuggeePaused, DebuggeeResumed, Failure
from devlaunch.loop import Loop

CHILD_MAIN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "child", "__main__.py")


class Generation:
    """Start with `start`; when `poll` gives a status, `finish` it and forget it."""

    def __init__(self, number: int, child: process.Child, channel: ControlChannel) -> None:
        self.number = number
        self._child = child
        self._channel = channel
        self._has_ended = False
        self.was_told_to_stop = False

    @classmethod
    def start(
        cls,
        number: int,
        *,
        loop: Loop,
        deliver: Callable[[Message], None],
        command: Sequence[str],
        env: Mapping[str, str],
        run_id: str,
        config: Config,
        message: Message,
        socket_fd: int | None,
    ) -> Generation:
        """Spawn the child and send it `message`. Raises DevlaunchError when it cannot start."""
        ours, theirs = process.control_channel()
        with theirs:
            fds = [theirs.fileno()] + ([] if socket_fd is None else [socket_fd])
            try:
                child = process.spawn(
                    [*command, CHILD_MAIN, str(theirs.fileno())],
                    run_id=f"{run_id}.{number}",
                    isolate=config.isolate,
                    env=env,
                    pass_fds=fds,
                )
            except BaseException:
                ours.close()
                raise
        channel = ControlChannel(loop, ours, deliver)
        channel.send({"type": "start", **message})
        return cls(number, child, channel)

    @property
    def pid(self) -> int:
        """The process id of the child."""
        return self._child.pid

    def send(self, message: Message) -> None:
        """Send a message on the control channel."""
        self._channel.send(message)

    def ask_to_stop(self, grace: float) -> None:
        """Ask the server in the child to shut down within `grace` seconds."""
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
