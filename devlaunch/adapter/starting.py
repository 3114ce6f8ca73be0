"""A launcher that a session has started: its process and output, or its place in a terminal."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from functools import partial

from devlaunch.adapter.plan import Plan
from devlaunch.adapter.stdio import OutputPipe
from devlaunch.dap.proxy import Proxy
from devlaunch.debuggers.link import Invitation
from devlaunch.system import process
from devlaunch.system.loop import Loop
from devlaunch.target.options import ADAPTER

DRAIN_TIMEOUT = 0.5
"""Seconds for output to arrive after the launcher has ended: a process that it let go may hold the
pipes open for ever."""

STOP_TIMEOUT = 15.0
"""Seconds, besides its own grace, for a launcher that nobody listens to any more."""

_TAIL = 4000


class Run:
    """One launcher, of which `proxy` is told; `is_over` when it will be told no more."""

    def __init__(self, loop: Loop, plan: Plan, proxy: Proxy) -> None:
        self._loop = loop
        self._plan = plan
        self._proxy: Proxy | None = proxy
        """Who is told of it; None: nobody any more."""
        self._invitation = ""
        self._popen: subprocess.Popen[bytes] | None = None
        self._pipes: list[OutputPipe] = []
        self._tail = ""
        self._status: int | None = None
        self._was_connected = False
        self._is_held = False
        self.is_over = False
        self.deadline: float | None = None
        """When to call `due`, in monotonic seconds."""

    def start(self, invitation: Invitation) -> None:
        """Start it, or have the proxy ask the editor for a terminal.

        Raises OSError, and ValueError for what no process can be given.
        """
        self._invitation = invitation.write()
        variables = {**self._plan.env, ADAPTER: self._invitation}
        if self._plan.terminal:
            assert self._proxy is not None
            arguments = {
                "kind": self._plan.terminal,
                "title": self._plan.title,
                "cwd": self._plan.cwd,
                "args": self._plan.argv,
                "env": variables,
            }
            self._proxy.terminal_wanted(arguments)
        else:
            self._spawn(variables)

    def _spawn(self, variables: Mapping[str, str | None]) -> None:
        # Python writes to a pipe in blocks (output would come late), on Windows in its code page.
        ours = {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "UTF-8"}
        merged = {**ours, **os.environ, **variables}
        pipes = [os.pipe(), os.pipe()]
        readers, (stdout, stderr) = zip(*pipes, strict=True)
        try:
            self._popen = subprocess.Popen(
                self._plan.argv,
                cwd=self._plan.cwd,
                env={name: value for name, value in merged.items() if value is not None},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                # With a reader in the launcher too the pipes do not break when we are killed: the
                # app's shutdown hooks may still print.
                pass_fds=() if sys.platform == "win32" else readers,
                # What ends our group must not keep the launcher from stopping politely.
                start_new_session=True,
            )
        except (OSError, ValueError):
            for fd in (*readers, stdout, stderr):
                os.close(fd)
            raise
        for (reader, writer), category in zip(pipes, ("stdout", "stderr"), strict=True):
            os.close(writer)
            pipe = OutputPipe(reader, category)
            self._pipes.append(pipe)
        self.resume()
        threading.Thread(target=self._wait, args=(self._popen,), daemon=True).start()

    def _wait(self, popen: subprocess.Popen[bytes]) -> None:
        self._loop.post(partial(self.ended, popen.wait()))

    # --- what happens ---------------------------------------------------------------------------

    def connected(self) -> None:
        """It has shown the secret."""
        self._was_connected = True
        if self._proxy:
            self._proxy.keeper_connected()

    def disconnected(self) -> None:
        """Its connection has ended, or was closed by us: it ends now."""
        if self._popen is None:
            self._finish(None)
        elif self._status is None:
            self.deadline = time.monotonic() + self._plan.grace + STOP_TIMEOUT

    def leave(self) -> None:
        """Nobody waits for it, or is told of it, any more.

        One that has connected sees the end of its connection.
        """
        self._proxy = None
        self.resume()
        if self._popen is not None and self._status is None and not self._was_connected:
            self._popen.terminate()
        self.disconnected()

    def hold(self) -> None:
        """Read no output until `resume`: whoever writes has to wait."""
        self._is_held = True
        if self._status is not None:
            self.deadline = None
        for pipe in self._pipes:
            self._loop.unwatch(pipe)

    def resume(self) -> None:
        """Read output as it comes."""
        self._is_held = False
        if self._status is not None:
            self.deadline = time.monotonic() + DRAIN_TIMEOUT
        for pipe in self._pipes:
            self._loop.watch(pipe, readable=partial(self._read, pipe))

    def ended(self, status: int) -> None:
        """Its process has ended."""
        self._status = process.exit_code(status)
        self.deadline = None if self._is_held else time.monotonic() + DRAIN_TIMEOUT
        self.drain()

    def drain(self) -> None:
        """Hand in the output that has come: before what its keeper has said since."""
        for pipe in list(self._pipes):
            if not self._is_held:
                self._read(pipe)
        self._finish_if_drained()

    def due(self, now: float) -> None:
        """Its deadline may have passed."""
        if self.deadline is None or now < self.deadline:
            return
        self.deadline = None
        if self._status is not None:
            self._finish(self._status)
        elif self._popen is not None:
            self._popen.kill()

    def _read(self, pipe: OutputPipe) -> None:
        text = pipe.read()
        if text:
            self._tail = (self._tail + text)[-_TAIL:]
            if self._proxy:
                self._proxy.output_read(pipe.category, text)
        if not pipe.is_open and pipe in self._pipes:
            self._pipes.remove(pipe)
            self._loop.unwatch(pipe)
            pipe.close()
            self._finish_if_drained()

    def _finish_if_drained(self) -> None:
        if self._status is not None and not self._pipes:
            self._finish(self._status)

    def _finish(self, status: int | None) -> None:
        if self.is_over:
            return
        self.is_over = True
        self.deadline = None
        for pipe in self._pipes:
            self._loop.unwatch(pipe)
            pipe.close()
        self._pipes.clear()
        with contextlib.suppress(OSError):
            os.unlink(self._invitation)
        if self._proxy and not self._was_connected and status is not None:
            why = self._tail.strip() or f"it ended with status {status}"
            self._proxy.start_failed(f"devlaunch could not start: {why}")
        elif self._proxy:
            self._proxy.launcher_gone(status)
