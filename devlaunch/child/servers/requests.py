"""The requests that are open, so that a stop can name, and end, those that would not finish."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .. import hide
from ..tracebacks import describe, print_once

if TYPE_CHECKING:
    import asyncio

hide(__name__)

Scope = dict[str, Any]
Send = Callable[..., Awaitable[Any]]
Receive = Send


class OpenRequests:
    """What is open, in the order in which it came.

    Written by the servers' threads, read by the control thread: each access is one operation of a
    dict, which is atomic.
    """

    def __init__(self) -> None:
        self.open: dict[object, tuple[str, asyncio.Task[Any] | None]] = {}
        """By request, or by a threaded server's connection: `GET /path` or `WebSocket /path`, and
        the task of an asyncio server."""
        self.silent: set[object] = set()
        """Connections to a threaded server on which no request has arrived yet."""
        self.is_cut = False
        """Whether they are waited for no longer."""

    def names(self) -> list[str]:
        """`GET /path` and `WebSocket /path`, oldest first."""
        return [name for name, _ in list(self.open.values())]

    @contextmanager
    def track(self, name: str, connection: object) -> Iterator[None]:
        """A request that a thread handles."""
        self.open[connection] = name, None
        self.silent.discard(connection)
        try:
            yield
        finally:
            del self.open[connection]

    def cut(self) -> None:
        """Wait for them no longer: cancel what asyncio servers still run. From any thread."""
        self.is_cut = True
        for _, task in list(self.open.values()):
            try:
                if task is not None:
                    task.get_loop().call_soon_threadsafe(task.cancel)
            except RuntimeError:  # the loop has closed meanwhile
                pass


class TrackedASGI:
    """The app as the server sees it (ASGI 3), whatever its own form is.

    After a failed start the server gets no text, so that it prints none: `print_failure` does, once
    and without the server's frames.
    """

    def __init__(self, app: Callable[..., Any], requests: OpenRequests, *, two_step: bool) -> None:
        def two_steps(scope: Scope, receive: Receive, send: Send) -> Any:
            return app(scope)(receive, send)

        from asyncio import current_task

        self._app: Callable[..., Any] = two_steps if two_step else app
        self._open = requests.open
        self._close = requests.open.__delitem__
        self._task = current_task
        self._error: BaseException | None = None
        self._message = ""
        self.has_refused = False
        """Whether the app has said, in its lifespan, that it does not start."""

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Hand the app's own coroutine to the server, which drops it when it is done with it.

        Watching that, rather than awaiting it here, leaves no frame of ours between server and app.
        And a debugger looks at each call: there is none of a function of ours in here.
        """
        if scope["type"] == "lifespan":
            return self._lifespan(scope, receive, send)
        awaitable = self._app(scope, receive, send)
        method = "WebSocket" if scope["type"] == "websocket" else scope.get("method", "?")
        try:
            key = weakref.ref(awaitable, self._close)
        except TypeError:
            return awaitable
        self._open[key] = f"{method} {scope.get('path', '')}", self._task()
        return awaitable

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_quietly(message: dict[str, Any]) -> None:
            if message["type"] == "lifespan.startup.failed":
                self.has_refused = True
                self._message = str(message.get("message", "")).strip()
                self._error = sys.exc_info()[1]  # what the app is handling as it says so
                message = {"type": message["type"], "message": ""}
            await send(message)

        await self._app(scope, receive, send_quietly)

    def print_failure(self, name: str) -> dict[str, Any]:
        """Print why the app has refused to start, and return what to tell the launcher."""
        if self._error is not None:
            print_once(self._error)
            return describe(self._error)
        if self._message:
            print(self._message, file=sys.stderr)  # noqa: T201
        summary = (self._message or f"{name} refused to start").splitlines()[-1]
        return {"summary": summary}
