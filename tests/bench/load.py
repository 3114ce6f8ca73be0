"""Requests over several kept-alive connections; prints how many were answered in a second.

    python load.py PORT CONNECTIONS SECONDS

A process of its own: what reads for the IDEs must not slow it.
"""

from __future__ import annotations

import selectors
import socket
import sys
import time

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def answers(received: bytes) -> bool:
    """Whether this is a whole answer; ours come with a length."""
    head, found, body = received.partition(b"\r\n\r\n")
    if not found:
        return False
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return len(body) >= int(lengths[0].split(b":")[1])


def main(port: int, connections: int, seconds: float) -> None:
    selector = selectors.DefaultSelector()
    received: dict[socket.socket, bytes] = {}
    for _ in range(connections):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        received[sock] = b""
        selector.register(sock, selectors.EVENT_READ)
        sock.sendall(REQUEST)
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        for key, _ in selector.select(1.0):
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            data = sock.recv(65536)
            assert data, "the server has closed a connection"
            received[sock] += data
            if answers(received[sock]):
                received[sock] = b""
                count += 1
                sock.sendall(REQUEST)
    print(count / (time.perf_counter() - began))
    for sock in received:
        sock.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
