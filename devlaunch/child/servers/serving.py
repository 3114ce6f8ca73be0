"""Chooses the server for an app and runs it on the inherited socket.

The launcher binds and listens, each generation accepts, so that connections wait in the backlog
during a reload. *Ready* and *reloaded* are said when the server has begun to accept on a socket
that listens. At an accept after which there can be none the child says so, ends its server in its
own way, hooks included, and is broken. uvloop accepts in C, unseen here, and logs that itself.
"""

from __future__ import annotations

import errno
import importlib
import importlib.util
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .. import hide
from ..descriptors import inherited_socket
from ..pasting import command
from ..tracebacks import Usage
from . import AUTO, declared
from .ending import Running
from .requests import OpenRequests

hide(__name__)

REQUESTS_SHARE = 0.75
"""The part of the grace that open requests get; the rest is for the shutdown hooks."""

ASKING = 0.1
"""Seconds that an accepted connection gets to say what it wants. Some browsers open spare ones."""


_LOST = frozenset({errno.EBADF, errno.ENOTSOCK, errno.EINVAL, errno.EOPNOTSUPP})
"""What accept(2) says when it will never succeed again. asyncio logs that over and over, or gives
up; socketserver says nothing. Requests would wait for ever."""


@dataclass(frozen=True)
class Service:
    """What the `run` of a server's module gets."""

    app: Any
    interface: str
    """asgi, asgi2 or wsgi."""
    name: str
    """The target, `module:attr`."""
    socket: socket.socket
    grace: float
    verbose: bool
    requests: OpenRequests
    serving: Callable[[Callable[[float], None]], None]
    """To be called once it answers, with what begins to shut it down: the control thread calls
    that, with the grace in seconds, of which requests get `REQUESTS_SHARE`."""
    fail: Callable[[dict[str, Any]], None]
    """To be called when the app refuses to start, before SystemExit."""


def serve(
    app: Any,
    interface: str,
    name: str,
    *,
    start: dict[str, Any],
    serving: Callable[[Running, str, str], None],
    fail: Callable[[dict[str, Any]], None],
) -> None:
    """Run `app` until it is stopped, and end the process then if the launcher asked for the stop.

    Raises Usage when the server cannot do that.
    """
    requests = OpenRequests()
    running = Running(requests)
    kind = "wsgi" if interface == "wsgi" else "asgi"
    server = choose(start["server"], kind, name)
    module = importlib.import_module(f".{server}", __package__)
    grace = float(start["grace"])

    def lost(error: OSError) -> None:
        summary = f"{name} can be reached no more: {error.strerror or error}"
        hint = f"spare descriptor {start['socket_fd']}, on which it is served"
        fail({"summary": summary, "hint": hint})
        running.stop(grace)

    def begin(stop: Callable[[float], None]) -> None:
        running.begin(stop)
        listener.look()
        if not listener.is_lost:
            serving(running, kind, server)

    with Listener(_inherited(start["socket_fd"], name), lost) as listener:
        module.run(
            Service(
                app=app,
                interface=interface,
                name=name,
                socket=listener,
                grace=grace,
                verbose=bool(start["verbose"]),
                requests=requests,
                serving=begin,
                fail=fail,
            )
        )
    if listener.is_lost:
        sys.exit(1)
    running.end()


def _inherited(fd: int, name: str) -> socket.socket:
    try:
        return inherited_socket(fd)
    except OSError as error:
        raise Usage(
            f"{name} has closed the socket on which it is to be served: {error.strerror}",
            f"spare descriptor {fd} in os.closerange() and the like",
        ) from None


def choose(server: str, interface: str, name: str) -> str:
    """The name of the server to use. Raises Usage when it does not fit or is not installed."""
    servers = declared()
    fitting = {each: turns[interface] for each, turns in servers.items() if interface in turns}
    if server == AUTO:
        tried = sorted((turn, each) for each, turn in fitting.items() if turn is not None)
        server = next((each for _, each in tried if _is_installed(each)), tried[0][1])
    if server not in fitting:
        kinds = " and ".join(servers[server]).upper()
        raise Usage(
            f"{name} is an {interface.upper()} app, and {server} serves {kinds} apps only",
            f"choose --server {' or '.join(fitting)}",
        )
    if not _is_installed(server):
        raise Usage(
            f"{server} is not installed for {sys.executable}",
            command(sys.executable, "-m", "pip", "install", server),
        )
    return server


def _is_installed(server: str) -> bool:
    return importlib.util.find_spec(server) is not None


class Listener(socket.socket):
    """The socket of an app: calls `lost`, once, at an accept after which there can be none."""

    def __init__(self, sock: socket.socket, lost: Callable[[OSError], None]) -> None:
        """Takes the descriptor of `sock` over."""
        super().__init__(sock.family, sock.type, sock.proto, fileno=sock.detach())
        self._lost = lost
        self.is_lost = False

    def accept(self) -> tuple[socket.socket, Any]:
        """As the base. Raises OSError."""
        try:
            return super().accept()
        except OSError as error:
            self._look(error)
            raise

    def look(self) -> None:
        """The same for a socket that does not listen, before there is anybody to let in."""
        try:
            if not self.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                raise OSError(errno.EINVAL, "it does not listen")
        except OSError as error:
            self._look(error)

    def _look(self, error: OSError) -> None:
        if error.errno in _LOST and not self.is_lost:
            self.is_lost = True
            self._lost(error)
