"""The standard library's WSGI server, with a thread for each request."""

from __future__ import annotations

import socket
import socketserver
from typing import Any
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler, WSGIServer

from .. import hide
from .serving import Service
from .threaded import ThreadedServer

hide(__name__)

SERVES = {"wsgi": 2}

_LONGEST_LINE = 65536


def run(service: Service) -> None:
    """Serve until stopped."""
    ThreadedServer(_Server(service), service).run()


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    """Serves on a socket that listens already."""

    daemon_threads = True

    def __init__(self, service: Service) -> None:
        super().__init__(("", 0), _Handler, bind_and_activate=False)
        self.socket.close()
        self.service = service
        self.socket = service.socket
        address = service.socket.getsockname()
        is_inet = isinstance(address, tuple)
        self.server_address = address
        self.server_name, self.server_port = address[:2] if is_inet else ("localhost", 80)
        self.setup_environ()
        self.set_app(service.app)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept; a client on a Unix socket has no address."""
        connection, address = self.socket.accept()
        return connection, address or ("<local>", 0)


class _Handler(WSGIRequestHandler):
    """As the base, and says that requests are handled by several threads."""

    server: _Server

    def handle(self) -> None:
        """Answer one request (PEP 3333, `wsgi.multithread` true)."""
        self.raw_requestline = self.rfile.readline(_LONGEST_LINE + 1)
        if len(self.raw_requestline) > _LONGEST_LINE:
            self.requestline = self.request_version = self.command = ""
            self.send_error(414)
            return
        if not self.parse_request():
            return
        path = self.path.partition("?")[0]
        wfile: Any = self.wfile
        handler = ServerHandler(self.rfile, wfile, self.get_stderr(), self.get_environ())
        handler.request_handler = self  # type: ignore[attr-defined]
        with self.server.service.requests.track(f"{self.command} {path}", self.connection):
            handler.run(self.server.service.app)
