"""A small blocking DAP client, for tests against the keeper with the real debugpy behind it.

    with DapClient("127.0.0.1", port) as ide:
        ide.attach(breakpoints={"app.py": [3]}, exceptions=["uncaught"])
        stopped = ide.wait_event("stopped")
        frames = ide.request("stackTrace", threadId=stopped["threadId"])["stackFrames"]
        ide.continue_()

Nothing is read in the background: each call reads until it has what it waits for. `messages` holds
everything received so far, in order.
"""

from __future__ import annotations

import itertools
import json
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any, Self

Body = dict[str, Any]


class RequestFailed(AssertionError):
    """The adapter answered with `success: false`; `response` is the whole message."""

    def __init__(self, response: Body) -> None:
        super().__init__(f"{response.get('command')}: {response.get('message')}")
        self.response = response


class DapClient:
    """One DAP connection as an IDE would hold it. Timeouts are seconds and raise AssertionError."""

    def __init__(
        self,
        host: str = "",
        port: int = 0,
        timeout: float = 10.0,
        *,
        sock: socket.socket | None = None,
    ) -> None:
        self.timeout = timeout
        self.messages: list[Body] = []
        self.closed = False
        """The other side has closed the connection."""
        self.reverse: Callable[[Body], bool | Body] = lambda request: True
        """Answers requests from the adapter (`startDebugging`): whether they succeed, or a body."""
        self.sock = sock or socket.create_connection((host, port), timeout)
        self._is_tcp = self.sock.family != getattr(socket, "AF_UNIX", None)
        if self._is_tcp:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._seq = itertools.count(1)
        self._buffer = b""
        self._responses: dict[int, Body] = {}
        self._seen: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop the connection without a word."""
        self.sock.close()

    # --- requests and events ---------------------------------------------------------------------

    def send_request(self, command: str, /, **arguments: Any) -> int:
        """Send a request and return its seq, for `wait_response`."""
        seq = next(self._seq)
        message = {"seq": seq, "type": "request", "command": command, "arguments": arguments}
        self._send(message)
        return seq

    def wait_response(self, seq: int, timeout: float | None = None) -> Body:
        """The whole response to request `seq`, also when it says failure."""
        self._read_until(lambda: seq in self._responses, timeout, f"response to request {seq}")
        return self._responses[seq]

    def request(self, command: str, **arguments: Any) -> Body:
        """Send a request and return the body of its response; raises RequestFailed."""
        response = self.wait_response(self.send_request(command, **arguments))
        if not response["success"]:
            raise RequestFailed(response)
        return response.get("body") or {}

    def wait_event(
        self,
        name: str,
        predicate: Callable[[Body], object] | None = None,
        timeout: float | None = None,
    ) -> Body:
        """The body of the next event `name` for which `predicate(body)` holds.

        Each call goes on after the event of that name that the call before returned.
        """
        return self._wait_for("event", "event", name, "body", predicate, timeout)

    def wait_request(self, command: str) -> Body:
        """The arguments of the next request `command` from the adapter."""
        return self._wait_for("request", "command", command, "arguments")

    def wait_closed(self, timeout: float | None = None) -> None:
        """Wait until the other side closes the connection."""
        self._read_until(lambda: self.closed, timeout, "end of the connection")

    def events(self, name: str) -> list[Body]:
        """The bodies of all events `name` received so far."""
        return [m.get("body") or {} for m in self.messages if m.get("event") == name]

    def wait_until(
        self, done: Callable[[], object], what: str, timeout: float | None = None
    ) -> None:
        """Read until `done()`."""
        self._read_until(lambda: bool(done()), timeout, what)

    def drain(self, seconds: float = 0.0) -> None:
        """Read what arrives within `seconds`; the way to show that something does *not* come."""
        try:
            self._read_until(lambda: self.closed, seconds, "")
        except AssertionError:
            pass

    # --- what an IDE does ------------------------------------------------------------------------

    def attach(
        self,
        *,
        breakpoints: dict[str, Iterable[int | Body]] | None = None,
        functions: Iterable[str | Body] = (),
        exceptions: Iterable[str] = (),
        initialize: Body | None = None,
        **arguments: Any,
    ) -> Body:
        """The whole handshake, as VS Code does it; `arguments` go to `attach`.

        Returns the capabilities. Raises RequestFailed when the attach is refused.
        """
        return self._start("attach", breakpoints, functions, exceptions, initialize, arguments)

    def launch(
        self,
        *,
        breakpoints: dict[str, Iterable[int | Body]] | None = None,
        exceptions: Iterable[str] = (),
        initialize: Body | None = None,
        **arguments: Any,
    ) -> Body:
        """As `attach`, by `launch`."""
        return self._start("launch", breakpoints, (), exceptions, initialize, arguments)

    def _start(
        self,
        command: str,
        breakpoints: dict[str, Iterable[int | Body]] | None,
        functions: Iterable[str | Body],
        exceptions: Iterable[str],
        initialize: Body | None,
        arguments: Body,
    ) -> Body:
        capabilities = self.request(
            "initialize",
            **{
                "adapterID": "debugpy",
                "clientID": "test",
                "clientName": "test client",
                "linesStartAt1": True,
                "columnsStartAt1": True,
                "pathFormat": "path",
                "supportsVariableType": True,
                **(initialize or {}),
            },
        )
        attach = self.send_request(command, **arguments)
        self._read_until(
            lambda: attach in self._responses or self.has_event("initialized"), None, "initialized"
        )
        if attach not in self._responses:
            for path, lines in (breakpoints or {}).items():
                self.set_breakpoints(path, lines)
            names = [{"name": f} if isinstance(f, str) else f for f in functions]
            self.request("setFunctionBreakpoints", breakpoints=names)
            self.request("setExceptionBreakpoints", filters=list(exceptions))
            self.request("configurationDone")
        response = self.wait_response(attach)
        if not response["success"]:
            raise RequestFailed(response)
        return capabilities

    def has_event(self, name: str) -> bool:
        """Whether an event `name` was received, at any time."""
        return any(message.get("event") == name for message in self.messages)

    def set_breakpoints(self, path: str, lines: Iterable[int | Body]) -> list[Body]:
        """Set all breakpoints of a file: line numbers, or SourceBreakpoint objects."""
        wanted = [{"line": line} if isinstance(line, int) else line for line in lines]
        body = self.request("setBreakpoints", source={"path": str(path)}, breakpoints=wanted)
        result: list[Body] = body["breakpoints"]
        return result

    def stop_lines(self, stopped: Body) -> list[tuple[str, int]]:
        """(function, line) of each frame of the thread that `stopped` names, innermost first."""
        frames = self.request("stackTrace", threadId=stopped["threadId"])["stackFrames"]
        return [(frame["name"], frame["line"]) for frame in frames]

    def continue_(self, thread: int = 1) -> None:
        """Let all threads run on."""
        self.request("continue", threadId=thread)

    def top_frame(self, stopped: Body) -> Body:
        """The innermost frame of the thread that `stopped` names."""
        frame: Body = self.request("stackTrace", threadId=stopped["threadId"])["stackFrames"][0]
        return frame

    def evaluate(self, stopped: Body, expression: str) -> str:
        """The value in the innermost frame, as text."""
        frame = self.top_frame(stopped)["id"]
        body = self.request("evaluate", expression=expression, frameId=frame, context="watch")
        return str(body["result"])

    # --- the wire --------------------------------------------------------------------------------

    def _send(self, message: Body) -> None:
        body = json.dumps(message).encode()
        self.sock.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))

    def _wait_for(
        self,
        kind: str,
        key: str,
        name: str,
        content: str,
        predicate: Callable[[Body], object] | None = None,
        timeout: float | None = None,
    ) -> Body:
        found: list[Body] = []

        def look() -> bool:
            for index in range(self._seen.get(name, 0), len(self.messages)):
                message = self.messages[index]
                if message["type"] == kind and message[key] == name:
                    body = message.get(content) or {}
                    if predicate is None or predicate(body):
                        self._seen[name] = index + 1
                        found.append(body)
                        return True
            return False

        self._read_until(look, timeout, f"{kind} {name!r}")
        return found[0]

    def _read_until(self, done: Callable[[], bool], timeout: float | None, what: str) -> None:
        limit = self.timeout if timeout is None else timeout
        deadline = time.monotonic() + limit
        while not done():
            left = deadline - time.monotonic()
            if left <= 0 or self.closed:
                why = "the connection was closed" if self.closed else f"not within {limit} s"
                raise AssertionError(f"no {what}: {why}; last messages: {self.messages[-8:]}")
            self._receive(left)

    def _receive(self, timeout: float) -> None:
        self.sock.settimeout(timeout)
        try:
            data = self.sock.recv(65536)
        except TimeoutError:
            return
        except ConnectionError:
            data = b""
        if not data:
            self.closed = True
            return
        if self._is_tcp and hasattr(socket, "TCP_QUICKACK"):
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            length = int(self._buffer[:end].split(b":")[1])
            if len(self._buffer) < end + 4 + length:
                return
            body = self._buffer[end + 4 : end + 4 + length]
            self._buffer = self._buffer[end + 4 + length :]
            self._dispatch(json.loads(body))

    def _dispatch(self, message: Body) -> None:
        self.messages.append(message)
        if message["type"] == "response":
            assert message["request_seq"] not in self._responses, f"answered twice: {message}"
            self._responses[message["request_seq"]] = message
        elif message["type"] == "request":
            answer = self.reverse(message)
            response = {
                "seq": next(self._seq),
                "type": "response",
                "request_seq": message["seq"],
                "command": message["command"],
                "success": answer is not False,
            }
            self._send({**response, "body": answer} if isinstance(answer, dict) else response)
