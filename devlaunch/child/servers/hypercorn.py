"""hypercorn on asyncio: ASGI and WSGI."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from typing import Any

import hypercorn.asyncio
import hypercorn.config

from .. import hide
from . import loops
from .requests import TrackedASGI
from .serving import REQUESTS_SHARE, Service

hide(__name__)

SERVES = {"asgi": None, "wsgi": None}


def run(service: Service) -> None:
    """Serve until stopped, or until SIGINT or SIGTERM."""
    server = _Server(service)
    try:
        loops.run(server.serve())
    except KeyboardInterrupt:
        return
    except Exception:
        if server.started or server.tracked is None or not server.tracked.has_refused:
            raise
        service.fail(server.tracked.print_failure(service.name))
        sys.exit(1)


class _Server:
    """hypercorn's `serve`, its socket, and its end."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._stop_asked = asyncio.Event()
        self._config = hypercorn.config.Config()
        sockets = hypercorn.config.Sockets([], [service.socket], [])  # without TLS
        self._config.create_sockets = lambda: sockets  # type: ignore[method-assign]
        self._config.graceful_timeout = REQUESTS_SHARE * service.grace
        self.started = False
        self.tracked: TrackedASGI | None = None
        if service.interface != "wsgi":
            two_step = service.interface == "asgi2"
            self.tracked = TrackedASGI(service.app, service.requests, two_step=two_step)

    async def serve(self) -> None:
        loop, stop = asyncio.get_running_loop(), self._stop_asked
        for signum in (signal.SIGINT, signal.SIGTERM):
            try:
                loop.add_signal_handler(signum, stop.set)
            except NotImplementedError:  # Windows
                signal.signal(signum, lambda *_: stop.set())
        if not self._service.verbose:
            logging.getLogger("hypercorn.error").addFilter(
                lambda record: record.levelno > logging.INFO
            )
        app: Any = self._service.app if self.tracked is None else self.tracked
        await hypercorn.asyncio.serve(
            app,
            self._config,
            shutdown_trigger=self._wait,
            mode="wsgi" if self.tracked is None else "asgi",
        )

    async def _wait(self) -> None:
        loop = asyncio.get_running_loop()

        def stop(grace: float) -> None:
            self._config.graceful_timeout = REQUESTS_SHARE * grace
            loop.call_soon_threadsafe(self._stop_asked.set)

        # hypercorn waits for the trigger once its sockets are being served.
        self.started = True
        self._service.serving(stop)
        await self._stop_asked.wait()
        await loops.stop_accepting(self._service.socket.fileno(), _has_connections)


def _has_connections() -> bool:
    """Whether there are connections; hypercorn does not tell which of them are new."""
    names = (getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks())
    return any("_server_callback" in name for name in names)
