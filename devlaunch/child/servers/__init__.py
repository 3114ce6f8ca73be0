"""Chooses the server for an app and runs it on the inherited socket. One module for each server."""

from __future__ import annotations

import importlib
import importlib.util
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .. import hide
from ..descriptors import inherited_socket
from ..requests import OpenRequests
from ..tracebacks import Usage
from .ending import Running
from .listener import Listener

hide(__name__)

_SERVES = {
    "uvicorn": ("asgi", "wsgi"),
    "hypercorn": ("asgi", "wsgi"),
    "werkzeug": ("wsgi",),
    "wsgiref": ("wsgi",),
}

REQUESTS_SHARE = 0.75
"""The part of the grace that open requests get; the rest is for the shutdown hooks."""

ASKING = 0.1
"""Seconds that an accepted connection gets to say what it wants. Some browsers open spare ones."""


@dataclass(frozen=True)
class Service:
    """What a server module gets: `run(service)` returns when the server has ended."""

    app: Any
    interface: str
    """asgi, asgi2 or wsgi."""
    name: str
    """The target, `module:attr`."""
    socket: socket.socket
    grace: float
    verbose: bool
    requests: OpenRequests
    serving: Callable[[Any], None]
    """To be called with the running server (`bootstrap.Stoppable`) once it answers."""
    fail: Callable[[dict[str, Any]], None]
    """To be called when the app refuses to start, before SystemExit."""


def serve(
    app: Any,
    interface: str,
    name: str,
    *,
    start: dict[str, Any],
    serving: Callable[[Any, str | None, str | None], None],
    fail: Callable[[dict[str, Any]], None],
) -> None:
    """Run `app` until it is stopped, and end the process then if the launcher asked for the stop.

    Raises Usage when the server cannot do that.
    """
    running = Running()
    kind = "wsgi" if interface == "wsgi" else "asgi"
    server = choose(start["server"], kind, name)
    module = importlib.import_module(f".{server}", __name__)
    grace = float(start["grace"])

    def lost(error: OSError) -> None:
        summary = f"{name} can be reached no more: {error.strerror or error}"
        hint = f"spare descriptor {start['socket_fd']}, on which it is served"
        fail({"summary": summary, "hint": hint, "file": None, "line": None, "is_usage": False})
        running.stop(grace)

    def begin(actual: Any) -> None:
        running.begin(actual)
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
                requests=OpenRequests(),
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
    if server == "auto":
        if interface == "asgi":
            server = "uvicorn"
        else:
            server = "werkzeug" if _is_installed("werkzeug") else "wsgiref"
    if interface not in _SERVES[server]:
        raise Usage(
            f"{name} is an ASGI app, and {server} serves WSGI apps only",
            "choose --server uvicorn or hypercorn",
        )
    if not _is_installed(server):
        raise Usage(
            f"{server} is not installed for {sys.executable}",
            f"{sys.executable} -m pip install {server}",
        )
    return server


def _is_installed(server: str) -> bool:
    return importlib.util.find_spec(server) is not None
