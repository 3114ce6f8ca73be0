"""werkzeug's development server, as `flask run` uses it."""

from __future__ import annotations

import socket

from werkzeug.serving import WSGIRequestHandler, make_server

from .. import hide
from .serving import Service
from .threaded import ThreadedServer

hide(__name__)

SERVES = {"wsgi": 1}


def run(service: Service) -> None:
    """Serve until stopped."""
    address = service.socket.getsockname()
    is_unix = service.socket.family == getattr(socket, "AF_UNIX", None)
    host, port = (f"unix://{address}", 0) if is_unix else address[:2]

    class Handler(WSGIRequestHandler):
        def run_wsgi(self) -> None:
            path = self.path.partition("?")[0]
            with service.requests.track(f"{self.command} {path}", self.connection):
                super().run_wsgi()

    server = make_server(
        host,
        port,
        service.app,
        threaded=True,
        request_handler=Handler,
        fd=service.socket.fileno(),
    )
    server.socket.close()  # a duplicate
    server.socket = service.socket
    ThreadedServer(server, service).run()
