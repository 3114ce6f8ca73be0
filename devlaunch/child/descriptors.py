"""Descriptors of ours in the program's process. It may close them: it does not know of them."""

from __future__ import annotations

import os
import select
import socket
import sys
from json import loads
from math import ceil
from os import fstat, read, write
from typing import Any

from . import hide

hide(__name__)

# Bound at import, before anything can be monkey-patched.
_close = os.close
_poll: Any = getattr(select, "poll", None)
_select = select.select
_POLLIN = getattr(select, "POLLIN", 0)

_CHUNK = 65536


class Descriptor:
    """One that may be closed by the program (`os.closerange`), and its number another file's then.

    It is only a number, so that nothing but `close` closes it, as a socket object does at its end.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._identity = self._look()

    def is_ours(self) -> bool:
        """Whether the number still stands for what it did."""
        return self._look() == self._identity

    def read(self) -> bytes:
        """Wait for data; empty at the end. Raises OSError."""
        return read(self.fd, _CHUNK)

    def write(self, data: bytes) -> None:
        """Write all of it. Raises OSError."""
        while data:
            data = data[write(self.fd, data) :]

    def is_readable(self) -> bool:
        """Whether `read` would return at once. Raises OSError."""
        poll = _poll()  # select(2) takes no descriptor above 1023
        poll.register(self.fd, _POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        """Close it if it is ours."""
        if self.is_ours():
            _close(self.fd)

    def _look(self) -> tuple[int, int] | None:
        try:
            found = fstat(self.fd)
        except OSError:
            return None
        return found.st_dev, found.st_ino


class _Handle(Descriptor):
    """A socket on Windows: no file descriptor, and none that a program closes unknowingly."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        super().__init__(sock.fileno())

    def read(self) -> bytes:
        return self._socket.recv(_CHUNK)

    def write(self, data: bytes) -> None:
        self._socket.sendall(data)

    def is_readable(self) -> bool:
        return bool(_select([self.fd], [], [], 0.0)[0])

    def _look(self) -> None:
        return None


_shared: dict[int, bytes] = {}


def receive(fd: int, pipe: int | None) -> None:
    """Make sure of the inherited sockets, of which `fd` is one. Raises OSError.

    On Windows a socket is duplicated for a process (WSADuplicateSocket), and what that returned is
    read from the handle `pipe`; it can be used once.
    """
    if sys.platform == "win32":
        import msvcrt

        with open(msvcrt.open_osfhandle(pipe or 0, os.O_RDONLY), "rb") as file:
            shared = loads(file.read())
        _shared.update({int(number): bytes.fromhex(data) for number, data in shared.items()})
    else:
        fstat(fd)


def inherited_socket(fd: int) -> socket.socket:
    """The socket that was handed to this process as `fd`, not inherited further. Raises OSError."""
    if sys.platform == "win32":
        return socket.fromshare(_shared.pop(fd))
    sock = socket.socket(fileno=fd)
    sock.set_inheritable(False)
    return sock


def inherited(fd: int) -> Descriptor:
    """The socket that was handed to this process: not inherited further, and it blocks."""
    if sys.platform == "win32":
        sock = inherited_socket(fd)
        sock.setblocking(True)
        return _Handle(sock)
    os.set_inheritable(fd, False)
    os.set_blocking(fd, True)
    return Descriptor(fd)


if sys.platform == "win32":
    from functools import partial

    class Waiting:
        """Waits for one descriptor. Nothing wakes it: there is no fork."""

        def __init__(self, descriptor: Descriptor) -> None:
            self._watched = [descriptor.fd]
            self.wait = partial(_select, self._watched, [], [])
            """Return after so many of `units`, or earlier. A function in C."""

        units = staticmethod(float)
        """What `wait` takes, of seconds."""

        def settle(self) -> None:
            """To be called before waiting again."""

        def forget(self, _: Descriptor) -> None:
            """Wait for it no longer: for another, of which nothing comes."""
            self._nothing = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._watched[:] = [self._nothing.fileno()]

        wake = close = settle

else:

    class Waiting:
        """Waits for one descriptor, and can be woken from another thread."""

        def __init__(self, descriptor: Descriptor) -> None:
            self._bell, self._button = map(Descriptor, os.pipe())
            os.set_blocking(self._bell.fd, False)
            self._watched = [descriptor, self._bell]
            self._poll = _poll()
            for each in self._watched:
                self._poll.register(each.fd, _POLLIN)
            self.wait = self._poll.poll
            """Return after so many of `units`, or earlier. A function in C."""

        @staticmethod
        def units(seconds: float) -> int:
            """What `wait` takes, of seconds: milliseconds."""
            return ceil(1000 * seconds)

        def wake(self) -> None:
            """Have `wait` return now, or at once when it is called next."""
            if self._bell.is_ours() and self._button.is_ours():
                self._button.write(b"\0")

        def settle(self) -> None:
            """To be called before waiting again."""
            for each in [each for each in self._watched if not each.is_ours()]:
                self.forget(each)
            if self._bell in self._watched:
                try:
                    self._bell.read()
                except BlockingIOError:  # nobody has woken it
                    pass

        def forget(self, descriptor: Descriptor) -> None:
            """Wait for it no longer."""
            if descriptor in self._watched:
                self._watched.remove(descriptor)
                self._poll.unregister(descriptor.fd)

        def close(self) -> None:
            """Give its descriptors back."""
            self._bell.close()
            self._button.close()
