"""Runs a server's coroutine in an event loop that can share its listener with other processes.

Only on Windows is there something to do: a socket can belong to one completion port only, and
asyncio's Proactor would register each listener with its own. So this one is not registered; where a
non-blocking accept finds nobody a thread waits by select(). uvicorn's `--reload` takes the selector
loop instead, without subprocesses and with 512 sockets at most. A policy that the app has set is
used (psycopg needs the selector loop). Under wine, on a busy machine: 390 to 430 connections a
second from eight clients (260 to 470 by the selector loop, 200 to 710 by AcceptEx), one at a time
in 3 to 13 ms (5 to 10, and 6); with 700 open ones all are answered.
"""

from __future__ import annotations

import asyncio
import errno
import select
import socket
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any

from .. import hide
from ..threads import HiddenThread
from .serving import ASKING, Listener

hide(__name__)

_select = select.select  # before anything can be monkey-patched

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENOBUFS, errno.ENOMEM})
_LONGEST = 3600.0
"""Seconds of one wait: it takes some limit, of no meaning here."""
_RETRY = 1.0
"""Seconds until the next attempt when the system has no more sockets (`ACCEPT_RETRY_DELAY`)."""


if sys.platform == "win32":

    class _Doorman:
        """A thread that waits until there are connections, by what leaves no trace at a socket.

        It waits in a function in C, as a `HiddenThread` has to: no debugger shows or holds it.
        """

        def __init__(self, listener: socket.socket) -> None:
            # One of its own: the loop may close the other at any time.
            self._listener = socket.fromfd(listener.fileno(), listener.family, listener.type)
            self._bell, self._button = socket.socketpair()
            self._bell.setblocking(False)
            # A second ring would wait for the first one's ACK, up to 200 ms: it is TCP here.
            self._button.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._watched = [self._bell]
            self._call: Callable[[], object] | None = None
            wait = partial(_select, self._watched, [], [])
            self._thread = HiddenThread(self._step, wait, self._ring)
            self._thread.start()

        def ask(self, call: Callable[[], object]) -> None:
            """Call, from the thread, once there may be one. Not again before that."""
            self._call = call
            self._ring()

        def dismiss(self) -> None:
            """End the thread; what was asked for may be called or not."""
            self._thread.stop()
            for each in (self._listener, self._bell, self._button):
                each.close()

        def _ring(self) -> None:
            self._button.send(b"\0")

        def _step(self) -> float:
            with suppress(BlockingIOError):
                self._bell.recv(64)
            if self._listener in self._watched:
                self._watched.remove(self._listener)
                call, self._call = self._call, None
                if call is not None:
                    with suppress(RuntimeError):  # the loop has been closed
                        call()
            elif self._call is not None:
                self._watched.append(self._listener)
            return _LONGEST

    class _Proactor(asyncio.IocpProactor):
        """Accepts without AcceptEx where the listener is shared.

        A socket can belong to one completion port only, also after that and its process are gone
        (WinError 87): the next generation could not accept.
        """

        _doorman: _Doorman | None = None
        _is_leaving = False

        def accept(self, listener: socket.socket) -> Any:
            """A future of a connection and its address."""
            if not isinstance(listener, Listener):
                return super().accept(listener)
            loop = asyncio.get_running_loop()
            future = loop.create_future()
            if not self._is_leaving:
                self._doorman = self._doorman or _Doorman(listener)
                self._attempt(listener, future, loop)
            return future

        def leave(self) -> None:
            """Accept no more on the shared listener; what was asked for stays open."""
            self._is_leaving = True
            if self._doorman is not None:
                self._doorman.dismiss()
                self._doorman = None

        def close(self) -> None:
            self.leave()
            super().close()

        def _attempt(
            self,
            listener: Listener,
            future: asyncio.Future[Any],
            loop: asyncio.AbstractEventLoop,
        ) -> None:
            if future.done() or self._doorman is None:
                return
            again = partial(self._attempt, listener, future, loop)
            try:
                connection, address = listener.accept()
            except (BlockingIOError, ConnectionError):  # or another process was faster
                self._doorman.ask(partial(loop.call_soon_threadsafe, again))
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    future.set_exception(error)
                    return
                message = "the system has no socket for a connection"
                loop.call_exception_handler({"message": message, "exception": error})
                loop.call_later(_RETRY, again)
            else:
                connection.setblocking(False)
                future.set_result((connection, address))

    class _Loop(asyncio.ProactorEventLoop):
        """The loop that Python takes by itself, with subprocesses and any number of sockets."""

        def __init__(self) -> None:
            self.proactor = _Proactor()
            super().__init__(self.proactor)

    def _new_loop() -> asyncio.AbstractEventLoop:
        """The loop that the app has asked for by a policy, if it has."""
        loop = asyncio.new_event_loop()
        if type(loop) is not asyncio.ProactorEventLoop:
            return loop
        loop.close()
        return _Loop()

    def run(main: Coroutine[Any, Any, None]) -> None:
        """As asyncio.run."""
        if sys.version_info >= (3, 11):
            with asyncio.Runner(loop_factory=_new_loop) as runner:
                runner.run(main)
        else:

            class Policy(asyncio.DefaultEventLoopPolicy):
                def new_event_loop(self) -> asyncio.AbstractEventLoop:
                    return _Loop()

            asyncio.set_event_loop_policy(Policy())
            asyncio.run(main)

    def leave(listener: int) -> None:
        """Have the running loop accept no more on the listener."""
        loop = asyncio.get_running_loop()
        if isinstance(loop, _Loop):
            loop.proactor.leave()
        else:
            loop.remove_reader(listener)

else:
    run = asyncio.run

    def leave(listener: int) -> None:
        """Have the running loop accept no more on the listener."""
        asyncio.get_running_loop().remove_reader(listener)


async def stop_accepting(listener: int, is_expecting: Callable[[], bool]) -> None:
    """Have the running loop leave the listening socket, and wait while `is_expecting` requests.

    Before a server closes, so that no connection is reset. What waits in the backlog is for the
    next generation; what has been accepted has to be answered, and servers close connections on
    which no request has arrived yet.
    """
    loop = asyncio.get_running_loop()
    leave(listener)
    for _ in range(4):  # a connection is the server's own some turns after it was accepted
        await asyncio.sleep(0)
    deadline = loop.time() + ASKING
    while is_expecting() and loop.time() < deadline:
        await asyncio.sleep(0.002)
