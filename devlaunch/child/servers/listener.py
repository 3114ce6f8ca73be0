"""The socket that an app is served on: it says so when nobody can be let in by it any more.

The launcher binds and listens, each generation accepts, so that connections wait in the backlog
during a reload. *Ready* and *reloaded* are said when the server has begun to accept on a socket
that listens. At an accept after which there can be none the child says so, ends its server in its
own way, hooks included, and is broken. uvloop accepts in C, unseen here, and logs that itself.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any

from .. import hide

hide(__name__)

_LOST = frozenset({errno.EBADF, errno.ENOTSOCK, errno.EINVAL, errno.EOPNOTSUPP})
"""What accept(2) says when it will never succeed again. asyncio logs that over and over, or gives
up; socketserver says nothing. Requests would wait for ever."""


class Listener(socket.socket):
    """Calls `lost`, once, at an accept after which there can be none."""

    def __init__(self, sock: socket.socket, lost: Callable[[OSError], None]) -> None:
        """Takes the descriptor of `sock` over."""
        super().__init__(sock.family, sock.type, sock.proto, fileno=sock.detach())
        self._lost = lost
        self.is_lost = False

    def accept(self) -> tuple[socket.socket, Any]:
        """As the base. Raises OSError."""
        try:
            return super().accept()
        except OSError as error:
            self._look(error)
            raise

    def look(self) -> None:
        """The same for a socket that does not listen, before there is anybody to let in."""
        try:
            if not self.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                raise OSError(errno.EINVAL, "it does not listen")
        except OSError as error:
            self._look(error)

    def _look(self, error: OSError) -> None:
        if error.errno in _LOST and not self.is_lost:
            self.is_lost = True
            self._lost(error)
