"""Run the real devlaunch as a user would, and prove that nothing of it is left."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from support.marks import assert_nothing_left
from support.wait import wait_until

ASGI_APP = """\
VERSION = {version!r}


def handler():
    result = VERSION
    return result


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({{"type": message["type"] + ".complete"}})
            if message["type"] == "lifespan.shutdown":
                return
    body = handler().encode()
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": body}})
"""
HANDLER_LINE = 5
MODULE_LINE = 1

WSGI = """\
VERSION = {version!r}

def handler(path):
    result = VERSION
    return result

def app(environ, start_response):
    start_response("200 OK", [])
    answer = handler(environ["PATH_INFO"])
    return [str(answer).encode()]
"""
"""The one that starts fastest, on `--server wsgiref`; its module line is 1, too."""
WSGI_HANDLER_LINE = 4


def asgi_app(version: str) -> str:
    """The source of a small app that answers with `version`."""
    return ASGI_APP.format(version=version)


def save(path: Path, text: str) -> None:
    """Write as most editors do: a new file beside it, renamed over it."""
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}~")
    beside.write_text(text)

    def replaced() -> bool:
        with contextlib.suppress(PermissionError):  # on Windows while somebody reads it
            beside.replace(path)
            return True
        return False

    wait_until(replaced, 5, f"{path.name} replaced")


def environment(**extra: str) -> dict[str, str]:
    """What users have: bytecode is written, no colour is forced, nothing of us or an IDE is set."""
    ours = ("DEVLAUNCH_", "PYTHON", "VIRTUAL_ENV", "VSCODE_", "DEBUGPY_", "PYDEVD_", "PYCHARM_")
    env = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    return env | {"PYTHONUNBUFFERED": "1"} | extra


class Launch:
    """A running `devlaunch`; `text` is all it has printed (stdout and stderr) so far."""

    def __init__(
        self,
        *args: str,
        cwd: Path,
        python: str = sys.executable,
        env: Mapping[str, str] = {},
        command: tuple[str, ...] = ("-m", "devlaunch"),
        port: int | None = None,
        **options: Any,
    ) -> None:
        self.run_id = f"test-{uuid.uuid4().hex}"
        self.cwd = cwd
        self.port = port
        """Of a program that serves itself; else the URL is the one that is printed."""
        self.process = subprocess.Popen(
            [python, *command, *args],
            cwd=cwd,
            env=environment(DEVLAUNCH_RUN=self.run_id, **env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            **{"stdin": subprocess.DEVNULL, **options},
        )
        self.text = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as pipe:
            while data := os.read(pipe.fileno(), 65536):
                self.text += data.decode(errors="replace")

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_for(self, pattern: str, *, timeout: float = 20.0, after: int = 0) -> re.Match[str]:
        """The first match of the pattern in what was printed after the offset `after`.

        `ready in` and `reloaded in` stand for what is said of a program, too: "(re)started in".
        """
        pattern = pattern.replace("ready in", "(?:ready|started) in")
        pattern = pattern.replace("reloaded in", "(?:reloaded|restarted) in")
        return wait_until(
            lambda: re.compile(pattern, re.MULTILINE).search(self.text, after),
            timeout,
            lambda: f"{pattern!r} in:\n{self.text}",
        )

    @property
    def url(self) -> str:
        if self.port is not None:
            return f"http://127.0.0.1:{self.port}"
        return self.wait_for(r"http://[^\s]+:\d+").group(0)

    @property
    def debug_port(self) -> int:
        return int(self.wait_for(r"debug\S*\s+\S*?:(\d+)").group(1))

    def get(self, path: str = "/", timeout: float = 20.0) -> str:
        """The body of a GET; raises as urllib does."""
        with urllib.request.urlopen(self.url + path, timeout=timeout) as response:
            return response.read().decode()

    def wait_served(self, body: str, timeout: float = 20.0) -> None:
        """Until a GET is answered with `body`."""

        def served() -> bool:
            with contextlib.suppress(urllib.error.URLError, OSError):
                return self.get(timeout=timeout) == body
            return False

        wait_until(served, timeout, lambda: f"{body!r} served; printed:\n{self.text}")

    def save(self, text: str, name: str = "app.py") -> None:
        save(self.cwd / name, text)

    def wait_ended(self, timeout: float = 10.0) -> int:
        """The exit status."""
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"did not end within {timeout} s:\n{self.text}") from None
        self._reader.join(5)
        return status

    def close(self, sig: int = signal.SIGTERM) -> None:
        """End it, and prove that nothing is left."""
        if self.process.poll() is None:
            self.process.send_signal(sig)
        try:
            self.wait_ended()
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            assert_nothing_left(self.run_id)
            self._reader.join(5)


class Closable(Protocol):
    """A Launch, or a TerminalLaunch."""

    text: str

    def close(self) -> None: ...


L = TypeVar("L", bound=Closable)


@contextlib.contextmanager
def ending(launch: L) -> Iterator[L]:
    """End the launch, and prove that it is gone, at the end of the block."""
    try:
        yield launch
    except BaseException:
        print(launch.text)
        raise
    finally:
        launch.close()


def launched(*args: str, cwd: Path, **options: object) -> contextlib.AbstractContextManager[Launch]:
    """A Launch that is ended, and proven gone, at the end of the block."""
    return ending(Launch(*args, cwd=cwd, **options))  # type: ignore[arg-type]


def free_port() -> int:
    """A TCP port that was free a moment ago.

    It lies below those that the system gives to whoever asks for any (32768 on Linux): each of the
    other tests' connections takes one of these, and could take this one.
    """
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port
