"""uvicorn: ASGI, and WSGI by its own middleware."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from functools import partial
from typing import Any

import uvicorn
import uvicorn.config
import uvicorn.logging

from .. import hide
from . import loops
from .requests import TrackedASGI
from .serving import REQUESTS_SHARE, Service

hide(__name__)

SERVES = {"asgi": 1, "wsgi": None}

_TURN = 0.001
_TURNS = 50
"""How often, and after how many seconds each, we look whether all requests have been answered;
then uvicorn does, every 0.1 s."""


def run(service: Service) -> None:
    """Serve until stopped; SIGINT and SIGTERM act as in uvicorn's own command."""
    tracked = _tracked(service)
    config = uvicorn.Config(
        tracked,
        interface="asgi3",
        log_config=None,
        ws="none" if service.interface == "wsgi" else "auto",
        lifespan="off" if service.interface == "wsgi" else "auto",
    )
    _configure_logging(verbose=service.verbose)
    config.timeout_graceful_shutdown = _limit(service.grace)  # type: ignore[assignment]
    server = _Server(config, service)
    try:
        if sys.platform == "win32":
            loops.run(server.serve(sockets=[service.socket]))
        else:
            server.run(sockets=[service.socket])
    except KeyboardInterrupt:
        return  # as uvicorn.run
    except SystemExit:
        if server.started:
            raise
    if not server.started:
        service.fail(tracked.print_failure(service.name))
        sys.exit(1)


class _Server(uvicorn.Server):
    """Says when it serves, and wakes up to stop."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self._stop_asked = asyncio.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets=sockets)
        loop = asyncio.get_running_loop()

        def stop(grace: float) -> None:
            self.config.timeout_graceful_shutdown = _limit(grace)  # type: ignore[assignment]
            loop.call_soon_threadsafe(self._stop_asked.set)

        if self.started:
            self._service.serving(stop)

    async def main_loop(self) -> None:
        """As uvicorn's, but a stop does not wait for its next tick."""
        ticking = asyncio.ensure_future(super().main_loop())
        stopping = asyncio.ensure_future(self._stop_asked.wait())
        await asyncio.wait({ticking, stopping}, return_when=asyncio.FIRST_COMPLETED)
        self.should_exit = True
        stopping.cancel()
        if ticking.done():
            ticking.result()
        else:
            ticking.cancel()

    async def shutdown(self, sockets: Any = None) -> None:
        """As uvicorn's, but new connections are answered; no 0.1 s when requests are short."""
        await loops.stop_accepting(self._service.socket.fileno(), self._is_expecting)
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        for _ in range(_TURNS):  # transports report their end a turn of the loop later
            if not self._is_busy():
                break
            await asyncio.sleep(_TURN)
        if self._is_busy():
            await super().shutdown(sockets=sockets)
        elif not self.force_exit:
            await self.lifespan.shutdown()

    def _is_busy(self) -> bool:
        return bool(self.server_state.connections or self.server_state.tasks)

    def _is_expecting(self) -> bool:
        """Whether there is a connection whose first request has not arrived."""
        connections = self.server_state.connections
        return any(getattr(each, "cycle", each) is None for each in connections)


def _limit(grace: float) -> float:
    # uvicorn sleeps 0.1 s before it begins to count.
    return max(0.0, REQUESTS_SHARE * grace - 0.1 - _TURNS * _TURN)


def _tracked(service: Service) -> TrackedASGI:
    app = service.app
    if service.interface == "wsgi":
        from uvicorn.middleware.wsgi import WSGIMiddleware  # type: ignore[attr-defined]

        app = WSGIMiddleware(app)
    return TrackedASGI(app, service.requests, two_step=service.interface == "asgi2")


def _is_news(record: logging.LogRecord, *, verbose: bool) -> bool:
    """Whether the launcher's own lines have not said it: warnings and tracebacks, that is."""
    if record.levelno <= logging.INFO:
        return verbose
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, asyncio.CancelledError):
        return False  # an open request that a stop has ended
    return not str(record.msg).startswith(("Cancel %s", "Application startup failed"))


def _configure_logging(*, verbose: bool) -> None:
    """Handlers and levels as uvicorn has them, where the app has not set others at its import.

    Not by logging.config.dictConfig, as uvicorn does before it imports the app: that would close
    the handlers that the app has made.
    """
    formats = {
        name: each["fmt"] for name, each in uvicorn.config.LOGGING_CONFIG["formatters"].items()
    }
    color = False if os.environ.get("NO_COLOR") else None
    default = logging.StreamHandler(sys.stderr)
    default.setFormatter(uvicorn.logging.DefaultFormatter(formats["default"], use_colors=color))
    access = logging.StreamHandler(sys.stdout)
    access.setFormatter(uvicorn.logging.AccessFormatter(formats["access"], use_colors=color))
    for name, handler in (("uvicorn", default), ("uvicorn.access", access)):
        logger = logging.getLogger(name)
        if not logger.handlers:
            logger.addHandler(handler)
            logger.propagate = False
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").addFilter(partial(_is_news, verbose=verbose))
