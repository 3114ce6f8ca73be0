"""An editor that starts the real `devlaunch adapter`: on stdio, or connected to one on TCP."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from support.dap import Body, DapClient
from support.launch import environment, save
from support.marks import assert_nothing_left

if sys.platform == "win32":
    from support.windows_processes import Console as Pty
    from support.windows_processes import start_on_socket
else:
    from support.pty import Pty

COMMAND = (sys.executable, "-m", "devlaunch", "adapter")


class Pipes:
    """The pipes of a process, with what DapClient needs of a socket."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._in, self._out = process.stdin, process.stdout
        self._timeout = 0.0

    family = getattr(socket, "AF_UNIX", None)
    """Without TCP's options."""

    def settimeout(self, timeout: float) -> None:
        self._timeout = timeout

    def sendall(self, data: bytes) -> None:
        self._in.write(data)
        self._in.flush()

    def recv(self, size: int) -> bytes:
        if not select.select([self._out], [], [], self._timeout)[0]:
            raise TimeoutError
        return os.read(self._out.fileno(), size)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._in.close()


class Editor:
    """`ide` is its client. Ends, and proves that nothing is left, with `close`."""

    def __init__(
        self, cwd: Path, env: Mapping[str, str] = {}, timeout: float = 20.0, *args: str
    ) -> None:
        self.run_id = f"test-{uuid.uuid4().hex}"
        self.cwd = cwd
        self.env = environment(DEVLAUNCH_RUN=self.run_id, **env)
        self.timeout = timeout
        self.terminals: list[Pty] = []
        self.errors = ""
        """What the adapter has written to stderr, after `close`."""
        options: Any = {"cwd": cwd, "env": self.env, "stderr": subprocess.PIPE}
        sock: Any
        if sys.platform == "win32":
            self.process, sock = start_on_socket([*COMMAND, *args], **options)
        else:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            self.process = subprocess.Popen([*COMMAND, *args], **pipes, **options)
            sock = Pipes(self.process)
        self.ide: DapClient = DapClient(sock=sock, timeout=timeout)
        self.ide.reverse = self.answer

    def answer(self, request: Body) -> bool | Body:
        """Carry out a reverse request: runInTerminal on a real pty."""
        if request["command"] != "runInTerminal":
            return True
        arguments = request["arguments"]
        env = {**self.env, **arguments["env"]}
        pty = Pty(
            arguments["args"],
            cwd=arguments["cwd"],
            env={name: value for name, value in env.items() if value is not None},
        )
        self.terminals.append(pty)
        return {"processId": pty.pid}

    def output(self, *categories: str) -> str:
        """What the debug console shows; of these categories, or all."""
        events = self.ide.events("output")
        return "".join(e["output"] for e in events if not categories or e["category"] in categories)

    def wait_output(self, text: str, timeout: float | None = None) -> None:
        """Until the debug console shows the text."""
        self.ide.wait_until(lambda: text in self.output(), f"{text!r} in the output", timeout)

    def save(self, text: str, name: str = "app.py") -> None:
        save(self.cwd / name, text)

    def wait_ended(self, timeout: float = 10.0) -> int:
        return self.process.wait(timeout)

    def close(self) -> None:
        """The editor goes away without a word."""
        if self.process.stderr is None or self.process.stderr.closed:
            return
        self.ide.close()
        try:
            self.wait_ended()
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            for pty in self.terminals:
                pty.close()
            assert self.process.stdout is not None
            self.process.stdout.close()
            assert self.process.stderr is not None
            self.errors = self.process.stderr.read().decode()
            self.process.stderr.close()
            assert_nothing_left(self.run_id)


@contextlib.contextmanager
def editing(cwd: Path, *args: str, **options: Any) -> Iterator[Editor]:
    """An Editor that is ended, and whose run is proven gone, at the end of the block."""
    editor = Editor(cwd, *args, **options)
    try:
        yield editor
        editor.close()
    except BaseException:
        print(editor.output())
        with contextlib.suppress(subprocess.TimeoutExpired, AssertionError):
            editor.close()
        print(editor.errors)
        raise
    assert editor.errors == ""
