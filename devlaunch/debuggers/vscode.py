"""VS Code's terminals: where to write down that a debug adapter listens, so that it attaches.

Its Python debugger watches the directory of the file that `VSCODE_DEBUGPY_ADAPTER_ENDPOINTS` names,
and attaches to the port in each file that is created there (registerNoConfigDebug in
vscode-python-debugger). debugpy's own adapter writes the same for `DEBUGPY_ADAPTER_ENDPOINTS`.
"""

from __future__ import annotations

import contextlib
import json
import os
import time

from devlaunch.config import Config
from devlaunch.debuggers.keeper import KeeperDebugging
from devlaunch.events import LogLine
from devlaunch.system.loop import Loop
from devlaunch.system.spare import reason_of

VARIABLE = "VSCODE_DEBUGPY_ADAPTER_ENDPOINTS"

SETTLE = 0.5
"""Seconds between the removal of a stale file and a new one: VS Code gathers events for 75 ms, and
takes a removal and a creation among them for a change, which nobody listens to."""


class EndpointsFile:
    """The file for one run, written when `due` is called after `deadline` (monotonic seconds)."""

    def __init__(self, path: str, host: str, port: int, now: float) -> None:
        self._path = path
        self._text = json.dumps({"client": {"host": host, "port": port}})
        self.deadline: float | None = now
        if os.path.lexists(path):
            # Of a run that was killed, or of another one in this workspace: ours is the newest.
            with contextlib.suppress(OSError):
                os.unlink(path)
            self.deadline = now + SETTLE

    def due(self, now: float) -> str | None:
        """Write the file if it is time for that; returns why it could not be written."""
        if self.deadline is None or now < self.deadline:
            return None
        self.deadline = None
        try:
            # In one write, and not by way of another name: each file that appears is attached to.
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                os.write(fd, self._text.encode())
            finally:
                os.close(fd)
        except OSError as error:
            return f"VS Code cannot be told of the debug address: {reason_of(error)}: {self._path}"
        return None

    def remove(self) -> None:
        """Remove it, unless another run has written its own there."""
        self.deadline = None
        with contextlib.suppress(OSError, ValueError):
            with open(self._path, encoding="utf-8") as file:
                is_ours = file.read() == self._text
            if is_ours:
                os.unlink(self._path)


class ListeningDebugging(KeeperDebugging):
    """A keeper that listens, and in a terminal of VS Code is attached to without more ado."""

    def __init__(self, config: Config, loop: Loop, debugpy_dir: str | None) -> None:
        super().__init__(config, loop, debugpy_dir)
        path = os.environ.get(VARIABLE)
        self._file = EndpointsFile(path, *self.endpoint, time.monotonic()) if path else None

    @property
    def deadline(self) -> float | None:
        """When to call `due`."""
        due = [super().deadline, self._file.deadline if self._file else None]
        return min((each for each in due if each is not None), default=None)

    def due(self, now: float) -> None:
        """Do what its time has come for."""
        if self._file and (error := self._file.due(now)):
            self._loop.post(LogLine(error, verbose=True))
        super().due(now)

    def close(self, status: int) -> None:
        """As of KeeperDebugging."""
        if self._file:
            self._file.remove()
        super().close(status)
