"""Pipes for the adapter's loop: its own stdin and stdout, and the output of a launcher.

Select(2) knows pipes on POSIX only, so threads carry the bytes of stdin and stdout to a socket
which the loop treats as any connection; on Windows a launcher's output takes the same way.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import socket
import stat
import sys
import threading
from collections.abc import Callable

from devlaunch.errors import UsageError
from devlaunch.system.spare import socket_pair

_SIZE = 64 * 1024


class Stdio:
    """Stdin and stdout as one connected socket, `socket`.

    After it has been made nothing else can read from the one or write to the other: what is printed
    by mistake goes to stderr. Raises UsageError when one of them is closed.
    """

    def __init__(self) -> None:
        if _is_null(0) or _is_null(1):
            raise UsageError(
                "stdin and stdout have to be open: an editor speaks with the adapter there",
                hint="--listen HOST:PORT serves on TCP",
            )
        reader, writer = os.dup(0), os.dup(1)
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        os.dup2(2, 1)
        self.socket, self._inner = socket_pair()
        _start(pump_to_socket, reader, self._inner)
        self._writing = _start(_pump_from_socket, self._inner, writer)

    def finish(self, timeout: float) -> None:
        """Wait until all has been written, so many seconds; `socket` must have been closed."""
        self._writing.join(timeout)


def _is_null(fd: int) -> bool:
    """Whether it is the null device, as after `open_standard`: no editor is at its other end."""
    return stat.S_ISCHR(os.fstat(fd).st_mode) and not os.isatty(fd)


def _start(target: Callable[..., None], *args: object) -> threading.Thread:
    thread = threading.Thread(target=target, args=args, daemon=True)
    thread.start()
    return thread


def pump_to_socket(fd: int, sock: socket.socket) -> None:
    """Carry bytes from a descriptor to a socket until either ends."""
    with contextlib.suppress(OSError):
        while data := os.read(fd, _SIZE):
            sock.sendall(data)
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR)


def _pump_from_socket(sock: socket.socket, fd: int) -> None:
    with contextlib.suppress(OSError):
        while data := sock.recv(_SIZE):
            while data:
                data = data[os.write(fd, data) :]
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


class OutputPipe:
    """The read end of a launcher's stdout or stderr. Never blocks."""

    def __init__(self, fd: int, category: str) -> None:
        self.category = category
        self.is_open = True
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._socket: socket.socket | None = None
        self._fd = fd
        if sys.platform == "win32":
            self._socket, inner = socket_pair()
            self._socket.setblocking(False)
            _start(pump_to_socket, fd, inner)
        else:
            os.set_blocking(fd, False)

    def fileno(self) -> int:
        """For the loop."""
        return self._socket.fileno() if self._socket else self._fd

    def read(self) -> str:
        """What has come since; `is_open` tells whether more can come."""
        text = ""
        while self.is_open:
            try:
                data = self._socket.recv(_SIZE) if self._socket else os.read(self._fd, _SIZE)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            text += self._decoder.decode(data, final=not data)
            self.is_open = bool(data)
            if len(text) > _SIZE:
                break
        return text

    def close(self) -> None:
        """Read no more."""
        self.is_open = False
        if self._socket:
            self._socket.close()
        else:
            os.close(self._fd)
