"""The real debugpy adapter with a plain DAP client, which follows no child processes by itself."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from typing import Any, Self

from support.dap import DapClient, RequestFailed
from support.windows_processes import start_on_socket


def start_adapter(python: str, **options: Any) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """`python -m debugpy.adapter` on stdio, as an editor starts it, and our end of that.

    Over a port the first client can be too early, and is then the only one ever served.
    """
    words = [python, "-m", "debugpy.adapter"]
    if sys.platform == "win32":
        return start_on_socket(words, stderr=subprocess.DEVNULL, **options)
    ours, theirs = socket.socketpair()
    with theirs:
        stdio = {"stdin": theirs, "stdout": theirs, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(words, **stdio, **options), ours


class Adapter:
    """`python -m debugpy.adapter`, and one client connected to it."""

    def __init__(self, python: str, env: dict[str, str]) -> None:
        self._process, ours = start_adapter(python, env=env, start_new_session=True)
        self.client = DapClient(sock=ours, timeout=20)
        self._pending = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.client.close()
        if self._process.poll() is None:
            if sys.platform == "win32":
                self._process.kill()
            else:
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)

    def launch(self, **arguments: Any) -> None:
        """Start a program as an editor does, up to `configurationDone`."""
        self._send("launch", console="internalConsole", redirectOutput=False, **arguments)
        self.configure()

    def send_attach(self, **arguments: Any) -> None:
        """Ask to attach; `configure` goes on once the debuggee is there."""
        self._send("attach", **arguments)

    def configure(self) -> None:
        """Answer `initialized`, and wait until the program runs."""
        self.client.wait_event("initialized")
        self.client.request("setExceptionBreakpoints", filters=[])
        self.client.request("configurationDone")
        response = self.client.wait_response(self._pending)
        if not response["success"]:
            raise RequestFailed(response)

    def finish(self) -> None:
        """End the session with its program."""
        self.client.request("disconnect", terminateDebuggee=True)
        self.client.sock.shutdown(socket.SHUT_WR)  # the adapter ends with its stdin
        self.client.wait_closed(timeout=20)

    def _send(self, command: str, **arguments: Any) -> None:
        self.client.request(
            "initialize", adapterID="debugpy", clientID="test", linesStartAt1=True,
            columnsStartAt1=True, pathFormat="path",
        )  # fmt: skip
        self._pending = self.client.send_request(command, **arguments)
