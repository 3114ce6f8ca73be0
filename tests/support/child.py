"""The launcher's side of a child, for tests: start a real one and speak its protocol.

    with Child(app="app:app", directory=tmp_path) as child:
        child.wait_for("serving")
        assert child.get("/").text == "hello"
        child.send("stop", grace=2.0)
        assert child.wait() == 0

`Pydevd` is the other side of its debugger: what the keeper does, in the least that works.
"""

from __future__ import annotations

import http.client
import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Self

import devlaunch

MAIN = Path(devlaunch.__file__).parent / "child" / "__main__.py"
TOKEN = "b4ck"


class Child:
    """A real child process. Ends it on exit, by its pid."""

    def __init__(
        self,
        *,
        directory: Path,
        app: str | None = None,
        script: str | None = None,
        module: str | None = None,
        command: str | None = None,
        args: tuple[str, ...] = (),
        python: str = sys.executable,
        options: tuple[str, ...] = (),
        env: dict[str, str] | None = None,
        listener: socket.socket | None = None,
        **start: Any,
    ) -> None:
        kinds = {"app": app, "script": script, "module": module, "command": command}
        (kind, name), *more = [(kind, name) for kind, name in kinds.items() if name]
        assert not more
        self.listener = listener
        if kind == "app" and listener is None:
            self.listener = socket.create_server(("127.0.0.1", 0))
        self._control, theirs = socket.socketpair()
        fds = [theirs.fileno(), *([self.listener.fileno()] if self.listener else [])]
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "PYTHON"))}
        self.process = subprocess.Popen(
            [python, *options, str(MAIN), str(theirs.fileno())],
            cwd=directory,
            env={**environ, "PYTHONDONTWRITEBYTECODE": "1", **(env or {})},
            pass_fds=fds,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        theirs.close()
        self.messages: list[dict[str, Any]] = []
        self._output: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
        self._arrived = threading.Condition()
        self._threads = [threading.Thread(target=self._read_control)] + [
            threading.Thread(target=self._read_output, args=(name,)) for name in self._output
        ]
        for thread in self._threads:
            thread.start()
        self.send(
            "start",
            **{
                "target": {"kind": kind, "name": name, "args": list(args)},
                "factory": False,
                "app_dir": str(directory),
                "server": "auto",
                "socket_fd": self.listener.fileno() if self.listener else None,
                "grace": 2.0,
                "changed": [],
                "debug": None,
                "verbose": False,
                **start,
            },
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._control.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._control.close()
        if self.listener is not None:
            self.listener.close()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()

    def send(self, kind: str, **fields: Any) -> None:
        self._control.sendall(json.dumps({"type": kind, **fields}).encode() + b"\n")

    def hang_up(self) -> None:
        """Be a launcher that died."""
        self._control.shutdown(socket.SHUT_WR)

    def wait_for(self, kind: str, timeout: float = 15.0) -> dict[str, Any]:
        """The first message of that type."""
        deadline = time.monotonic() + timeout
        with self._arrived:
            while True:
                for message in self.messages:
                    if message["type"] == kind:
                        return message
                assert self._arrived.wait(deadline - time.monotonic()), (
                    f"no {kind!r} from the child: {self.messages}\n{self.stderr}"
                )

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == kind]

    @property
    def files(self) -> set[str]:
        """All files of the `modules` messages."""
        return {file for message in self.all("modules") for file in message["files"]}

    def wait(self, timeout: float = 15.0) -> int:
        """The exit status; by then all output has been read."""
        status = self.process.wait(timeout)
        for thread in self._threads:
            thread.join(timeout)
        return status

    @property
    def stdout(self) -> str:
        return b"".join(self._output["stdout"]).decode()

    @property
    def stderr(self) -> str:
        return b"".join(self._output["stderr"]).decode()

    def get(self, path: str, timeout: float = 10.0) -> Response:
        """One HTTP request to the app."""
        assert self.listener is not None
        address = self.listener.getsockname()
        connection = http.client.HTTPConnection("localhost", timeout=timeout)
        connection.sock = socket.socket(self.listener.family)
        connection.sock.settimeout(timeout)
        connection.sock.connect(address)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return Response(response.status, response.read().decode())
        finally:
            connection.close()

    def stream(self, path: str) -> socket.socket:
        """Ask for `path` and read only the first line of the body."""
        assert self.listener is not None
        sock = socket.socket(self.listener.family)
        sock.settimeout(10)
        sock.connect(self.listener.getsockname())
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        data = b""
        while b"\r\n\r\n" not in data or b"tick" not in data:
            more = sock.recv(4096)
            assert more, data
            data += more
        return sock

    def _read_control(self) -> None:
        with self._control.makefile("rb") as lines:
            try:
                for line in lines:
                    with self._arrived:
                        self.messages.append(json.loads(line))
                        self._arrived.notify_all()
            except OSError:
                pass

    def _read_output(self, name: str) -> None:
        pipe = getattr(self.process, name)
        while data := os.read(pipe.fileno(), 65536):
            self._output[name].append(data)


class Response:
    def __init__(self, status: int, text: str) -> None:
        self.status = status
        self.text = text


class Pydevd:
    """Listens for a child's pydevd and configures it; `debug` is the request for the child."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(15)
        host, port = self._server.getsockname()
        self.debug = {"host": host, "port": port, "token": TOKEN, "wait": True, "debugpy": None}
        self._socket: socket.socket | None = None
        self._seq = 0
        self._received: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._kept: list[dict[str, Any]] = []
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._socket is not None:
            self._socket.shutdown(socket.SHUT_RDWR)
            if self._thread is not None:
                self._thread.join()
            self._socket.close()
        self._server.close()

    def accept(
        self,
        breakpoints: dict[str, list[int]] | None = None,
        exceptions: tuple[str, ...] = (),
        **attach: Any,
    ) -> None:
        """Take the child's connection and carry out the whole configuration."""
        self._socket, _ = self._server.accept()
        self._socket.settimeout(None)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        answer = self.request("pydevdAuthorize", debugServerAccessToken=None)
        assert answer["clientAccessToken"] == TOKEN
        self.request("initialize", clientID="test", adapterID="python", pathFormat="path")
        self.request("attach", **{"justMyCode": True, **attach})
        for path, lines in (breakpoints or {}).items():
            points = [{"line": line} for line in lines]
            self.request("setBreakpoints", source={"path": path}, breakpoints=points)
        self.request("setExceptionBreakpoints", filters=list(exceptions))
        self.request("configurationDone")

    def request(self, command: str, **arguments: Any) -> dict[str, Any]:
        """The body of the response."""
        assert self._socket is not None
        self._seq += 1
        seq = self._seq
        message = {"seq": seq, "type": "request", "command": command, "arguments": arguments}
        body = json.dumps(message).encode()
        self._socket.sendall(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        response = self._next(lambda m: m["type"] == "response" and m["request_seq"] == seq)
        assert response["success"], response
        found: dict[str, Any] = response.get("body") or {}
        return found

    def event(self, name: str, timeout: float = 15.0) -> dict[str, Any]:
        """The body of the next event of that name."""
        message = self._next(lambda m: m["type"] == "event" and m["event"] == name, timeout)
        body: dict[str, Any] = message["body"]
        return body

    def stopped(self) -> tuple[str, list[dict[str, Any]]]:
        """Wait for the next stop; its reason and the frames of the thread."""
        body = self.event("stopped")
        self.thread_id = body["threadId"]
        stack = self.request("stackTrace", threadId=self.thread_id)
        return body["reason"], stack["stackFrames"]

    def go(self, command: str = "continue") -> None:
        self.request(command, threadId=self.thread_id)

    def _next(self, wanted: Any, timeout: float = 15.0) -> dict[str, Any]:
        for message in self._kept:
            if wanted(message):
                self._kept.remove(message)
                return message
        deadline = time.monotonic() + timeout
        while True:
            try:
                message = self._received.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"not received; had {self._kept}") from None
            if wanted(message):
                return message
            self._kept.append(message)

    def _read(self) -> None:
        assert self._socket is not None
        with self._socket.makefile("rb") as stream:
            try:
                while header := stream.readline():
                    if header.lower().startswith(b"content-length:"):
                        length = int(header.partition(b":")[2])
                        while stream.readline().strip():
                            pass
                        self._received.put(json.loads(stream.read(length)))
            except OSError:
                pass
