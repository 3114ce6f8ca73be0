"""The fast client that looks for the new version: the same for all peers."""

from __future__ import annotations

import contextlib
import socket
import time

from support.wait import wait_until

BETWEEN = 0.0015
"""Seconds from one attempt to the next."""


def get(port: int, path: str = "/", until: bytes | None = None, timeout: float = 60.0) -> bytes:
    """The whole answer, up to `until` when that is in it; empty when there is none.

    A connection that nobody accepts is waited for: whoever listens will.
    """
    with contextlib.suppress(OSError), socket.socket() as sock:
        sock.settimeout(timeout)
        sock.connect(("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path.encode())
        received = b""
        while data := sock.recv(65536):
            received += data
            if until is not None and until in received:
                break
        return received
    return b""


def wait_served(port: int, token: bytes, timeout: float = 60.0) -> float:
    """Until GET / is answered with the token; returns the time of `time.perf_counter`."""
    deadline = time.monotonic() + timeout
    while token not in get(port, until=token, timeout=max(0.1, deadline - time.monotonic())):
        if time.monotonic() > deadline:
            raise AssertionError(f"{token!r} was not served within {timeout:g} s")
        time.sleep(BETWEEN)
    return time.perf_counter()


def pid_of(port: int) -> int:
    """The process that serves one of our apps."""

    def ask() -> int:
        body = get(port, "/pid", timeout=10).rpartition(b"\r\n\r\n")[2]
        # Without a length, it comes in chunks.
        return int(body.split()[1] if b"\r\n" in body else body or b"0")

    return wait_until(ask, 20, "the app's process")
