"""The launcher's side of a child, for tests: start a real one and speak its protocol.

    with Child(app="app:app", directory=tmp_path) as child:
        child.wait_for("serving")
        assert child.get("/").text == "hello"
        child.send("stop", grace=2.0)
        assert child.wait() == 0

`Pydevd` is the other side of its debugger: what the keeper does, in the least that works.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from support.wait import wait_until

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
        warm: dict[str, Any] | None = None,
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
        self._start = {
            "target": {"kind": kind, "name": name, "args": list(args)},
            "factory": False,
            "app_dir": str(directory),
            "server": "auto",
            "socket_fd": self.listener.fileno() if self.listener else None,
            "grace": 2.0,
            "changed": [],
            "debug": None,
            "verbose": False,
            "record": True,
            **start,
        }
        if warm is None:
            self.start()
        else:
            target = self._start["target"]
            least = {"target": target, "debug": None, "record": None, "avoid": [], "unsafe": {}}
            self.send("warm", **least | {"memory": 1 << 40} | warm)

    def start(self, **fields: Any) -> None:
        """Have it run the target; a standby does not until this is called."""
        self.send("start", **self._start | fields)

    def recorded(self) -> dict[str, Any]:
        """What it has imported, as `warm` for a standby."""
        self.send("imports")
        message = self.wait_for("imports")
        return {"record": message["record"], "avoid": message["avoid"]}

    def recorded_when(self, is_due: Callable[[], bool]) -> dict[str, Any]:
        """The same, of a program that has come so far."""
        wait_until(is_due, what=lambda: f"{self.messages}\n{self.stdout}\n{self.stderr}")
        return self.recorded()

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
                is_over = self.process.poll() is not None or any(
                    each["type"] in ("failed", "refused") for each in self.messages
                )
                left = deadline - time.monotonic()
                assert self._arrived.wait(min(left, 0.5) if is_over else left), (
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


ANSWER = """
def app(environ, start_response):
    value = globals()[environ["PATH_INFO"].strip("/") or "value"]
    body = str(value() if callable(value) else value).encode()
    start_response("200 OK", [])
    return [body]
"""
"""An app that answers with the global that is asked for, by default `value`."""


class Project:
    """An app, and packages that count as installed; started cold, or as a standby."""

    def __init__(
        self,
        directory: Path,
        code: str,
        packages: dict[str, str] | None = None,
        *,
        target: dict[str, Any] | None = None,
        env: dict[str, str] | None = None,
        server: str = "wsgiref",
        **start: Any,
    ) -> None:
        self.directory = directory
        self.packages = directory / "site-packages"
        self.target = target or {"app": "app:app"}
        self.env = {"PYTHONPATH": str(self.packages), **(env or {})}
        self.recorded: dict[str, Any] = {}
        self.unsafe: dict[str, str] = {}
        self._start = {"server": server, **start}
        self.write_app(code)
        for name, text in (packages or {}).items():
            self.write(f"site-packages/{name}", text)

    def write(self, name: str, text: str) -> None:
        """Write a file of the project."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def write_app(self, code: str) -> None:
        """Write the app's module, or the program."""
        self.write("app.py", code + ANSWER if "app" in self.target else code)

    def child(self, **more: Any) -> Child:
        """Start it."""
        return Child(directory=self.directory, env=self.env, **self.target, **self._start, **more)

    def run(self) -> str:
        """Start it cold, note what it imports; its answer, or what the program printed."""
        with self.child() as child:
            return self._finish(child)

    @property
    def roots(self) -> list[str]:
        """What the last one has imported."""
        return [name for name, _ in self.recorded["record"]["roots"]]

    def standby(self, **more: Any) -> Child:
        """Start a standby for what the last one has imported."""
        return self.child(warm=self.recorded | {"unsafe": dict(self.unsafe)} | more)

    def spoil(self) -> dict[str, str]:
        """What a standby finds to be unsafe; the next one leaves it to the app."""
        with self.standby() as child:
            found: dict[str, str] = child.wait_for("warm")["unsafe"]
        self.unsafe |= found
        return found

    def promote(self, child: Child | None = None) -> str:
        """Have a standby, by default a new one, become the child: as `run`."""
        if child is None:
            with self.standby() as child:
                return self.promote(child)
        warm = child.wait_for("warm")
        assert not warm["unsafe"], warm["unsafe"]
        assert warm["modules"]
        child.start()
        return self._finish(child)

    def refusal(self, child: Child | None = None) -> str:
        """Why a standby does not become the child; notes what is unsafe."""
        if child is None:
            with self.standby() as child:
                return self.refusal(child)
        child.wait_for("warm")
        child.start()
        message = child.wait_for("refused")
        assert child.wait() == 0
        self.unsafe |= message["unsafe"]
        return str(message["reason"])

    def _finish(self, child: Child) -> str:
        child.wait_for("serving")
        if "app" in self.target:
            self.recorded = child.recorded()
            return child.get("/").text
        self.recorded = child.recorded_when(lambda: "end" in child.stdout)
        return child.stdout


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
            with contextlib.suppress(OSError):
                self.hang_up()
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
        self.begin(**attach)
        for path, lines in (breakpoints or {}).items():
            points = [{"line": line} for line in lines]
            self.request("setBreakpoints", source={"path": path}, breakpoints=points)
        self.request("setExceptionBreakpoints", filters=list(exceptions))
        self.request("configurationDone")

    def begin(self, **attach: Any) -> None:
        """Take the child's connection and attach; it waits to be configured."""
        self._socket, _ = self._server.accept()
        self._socket.settimeout(None)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        answer = self.request("pydevdAuthorize", debugServerAccessToken=None)
        assert answer["clientAccessToken"] == TOKEN
        self.request("initialize", clientID="test", adapterID="python", pathFormat="path")
        self.request("attach", **{"justMyCode": True, **attach})

    def hang_up(self) -> None:
        """Close the connection."""
        assert self._socket is not None
        self._socket.shutdown(socket.SHUT_RDWR)

    def request(self, command: str, **arguments: Any) -> dict[str, Any]:
        """The body of the response."""
        response = self.ask(command, **arguments)
        assert response["success"], response
        found: dict[str, Any] = response.get("body") or {}
        return found

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """The response."""
        assert self._socket is not None
        self._seq += 1
        seq = self._seq
        message = {"seq": seq, "type": "request", "command": command, "arguments": arguments}
        body = json.dumps(message).encode()
        self._socket.sendall(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        return self._next(lambda m: m["type"] == "response" and m["request_seq"] == seq)

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
