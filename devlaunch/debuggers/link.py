"""The way back from a launcher to the `devlaunch adapter` that has started it, and its end here.

`DEVLAUNCH_ADAPTER` names a file that only this user can read, with the address and a secret, and
that is read once: a terminal shows what it runs, arguments and environments are inherited, and
neither the secret nor the variable may get as far as the app.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import socket
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TextIO, cast

from devlaunch.dap.framing import encode
from devlaunch.dap.proxy import FAILED
from devlaunch.errors import DevlaunchError
from devlaunch.events import Message
from devlaunch.target.options import ADAPTER, BY_KEY, camel
from devlaunch.terminal.console import Console

HELLO = "devlaunchHello"
"""The launcher's first event, with the secret."""

_FLAG = re.compile(r"(?<!\S)--([a-z-]+)")

TIMEOUT = 5.0
"""Seconds for a connection on this machine."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a launcher is told: where the adapter listens, and how to run."""

    host: str
    port: int
    secret: str = field(repr=False)
    own_console: bool
    """Our own lines go to the adapter, as the editor's console is all there is."""
    no_debug: bool

    def write(self) -> str:
        """Write it to a new file, and return its path."""
        fd, path = tempfile.mkstemp(prefix="devlaunch-adapter-")
        with open(fd, "w", encoding="utf-8") as file:
            json.dump(asdict(self), file)
        return path


class Link:
    """A launcher's connection to its adapter. The keeper takes the socket over by `hand_over`."""

    def __init__(self, sock: socket.socket, invitation: Invitation) -> None:
        self.no_debug = invitation.no_debug
        self.shows_lines = invitation.own_console
        """Whether the editor sees devlaunch's own lines."""
        self._sock: socket.socket | None = sock
        self._send: Callable[[bytes], None] = sock.sendall
        self.send(HELLO, {"secret": invitation.secret})
        if self.no_debug:  # else each child's debugger says so
            process = {"systemProcessId": os.getpid(), "isLocalProcess": True}
            body = {"name": "devlaunch", **process, "startMethod": "launch"}
            self.send("process", body)

    def console(self, verbosity: int) -> Console:
        """Where devlaunch's own lines go."""
        return Console(cast(TextIO, _Events(self)) if self.shows_lines else None, verbosity)

    def hand_over(self) -> socket.socket:
        """Give the socket away; `carry` says how to send from now on."""
        assert self._sock is not None
        sock, self._sock = self._sock, None
        return sock

    def carry(self, send: Callable[[bytes], None]) -> None:
        """Send by this function."""
        self._send = send

    def fail(self, error: DevlaunchError) -> None:
        """Tell the adapter that there will be no run, or no more of it."""
        self.send(FAILED, {"message": in_attributes(readable(error))})

    def send(self, event: str, body: Message) -> None:
        """Send an event; one that cannot be sent is lost, as the adapter has gone."""
        with contextlib.suppress(OSError):
            self._send(encode({"seq": 0, "type": "event", "event": event, "body": body}))

    def close(self) -> None:
        """Close the socket, unless it was given away."""
        if self._sock is not None:
            self._sock.close()


def readable(error: DevlaunchError) -> str:
    """An error for a dialog: what failed, and what to do next."""
    return f"{error.message}\n{error.hint}" if error.hint else error.message


def in_attributes(text: str) -> str:
    """The text with the attributes of a launch in the place of the options that it names."""

    def attribute(flag: re.Match[str]) -> str:
        option = BY_KEY.get(flag[1])
        return camel(option.key) if option and option.is_attribute else flag[0]

    return _FLAG.sub(attribute, text)


def find_adapter() -> Link | None:
    """Connect to the adapter that has started this process; None when there is none.

    Removes the variable from the environment. Raises DevlaunchError when it cannot be reached.
    """
    path = os.environ.pop(ADAPTER, "")
    if not path:
        return None
    try:
        with open(path, encoding="utf-8") as file:
            invitation = Invitation(**json.load(file))
        os.unlink(path)
        sock = socket.create_connection((invitation.host, invitation.port), TIMEOUT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Link(sock, invitation)
    except FileNotFoundError:
        raise DevlaunchError(
            "this command line was for one run, which an editor has started",
            hint=f"start it from the editor again; outside of one, unset {ADAPTER}",
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise DevlaunchError(
            f"the debug adapter that has started this cannot be reached: {error}",
            hint=f"outside of an editor, unset {ADAPTER}",
        ) from None


class _Events(io.TextIOBase):
    """A stream whose text arrives in the editor's debug console."""

    def __init__(self, link: Link) -> None:
        self._link = link

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """What the console may write."""
        return "utf-8"

    def write(self, text: str) -> int:
        """Send it."""
        self._link.send("output", {"category": "console", "output": text})
        return len(text)
