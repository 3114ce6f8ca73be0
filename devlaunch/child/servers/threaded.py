"""The accept loop and the end of servers with one thread for each request."""

from __future__ import annotations

import contextlib
import selectors
import socket
import socketserver
import threading
from collections.abc import Iterator
from time import monotonic, sleep
from typing import Any

from .. import hide
from .serving import ASKING, REQUESTS_SHARE, Service

hide(__name__)

_POLL = 0.01


class ThreadedServer:
    """Runs a socketserver in the main thread; a stop wakes it at once, without polling."""

    def __init__(self, server: socketserver.TCPServer, service: Service) -> None:
        self._server = server
        self._service = service
        self._threads: dict[threading.Thread, socket.socket] = {}
        self._note_connections()
        self._woken, self._wake = socket.socketpair()
        self._grace = service.grace

    def run(self) -> None:
        """Serve until stopped or interrupted; then wait for open requests."""
        with self._woken, self._wake:
            try:
                self._service.serving(self._stop)
                for _ in self._connections():
                    self._server._handle_request_noblock()  # type: ignore[attr-defined]
            except KeyboardInterrupt:
                self._service.requests.cut()
            finally:
                self._server.server_close()
                self._service.socket.close()
            self._wait_for_requests()

    def _stop(self, grace: float) -> None:
        """From the control thread."""
        self._grace = grace
        with contextlib.suppress(OSError):  # it has ended by itself meanwhile
            self._wake.send(b"\0")

    def _note_connections(self) -> None:
        server: Any = self._server
        silent = self._service.requests.silent
        accept, end = server.get_request, server.shutdown_request

        def get_request() -> tuple[socket.socket, object]:
            connection, address = accept()
            silent.add(connection)
            return connection, address

        def shutdown_request(connection: socket.socket) -> None:
            silent.discard(connection)
            end(connection)

        def process_request(connection: socket.socket, address: object) -> None:
            for ended in [thread for thread in self._threads if not thread.is_alive()]:
                del self._threads[ended]
            thread = threading.Thread(
                target=server.process_request_thread, args=(connection, address), daemon=True
            )
            thread.start()
            self._threads[thread] = connection

        server.get_request, server.shutdown_request = get_request, shutdown_request
        server.process_request = process_request

    def _connections(self) -> Iterator[None]:
        with selectors.DefaultSelector() as selector:
            selector.register(self._server.fileno(), selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._woken:
                        return
                    yield

    def _wait_for_requests(self) -> None:
        requests, now = self._service.requests, monotonic()
        until = now + REQUESTS_SHARE * self._grace
        # The threads are daemons, and end with the process.
        while not requests.is_cut and (
            (requests.silent and monotonic() < now + ASKING)
            or (requests.open and monotonic() < until)
        ):
            sleep(_POLL)
        # A thread that is alive when the interpreter ends keeps the app's objects from their ends.
        idle = {thread: each for thread, each in self._threads.items() if each not in requests.open}
        for connection in idle.values():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RD)
        for thread in idle:
            thread.join(max(0.0, until - monotonic()))
