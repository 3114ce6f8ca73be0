"""Run a command on a real terminal: type keys, read the screen."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Self

import pytest
from support.wait import wait_until

if sys.platform != "win32":
    import termios

# The new session's leader makes the terminal its controlling one, then becomes the command.
_LEADER = """\
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""


class Pty:
    """A command as session leader on its own terminal. `screen` is all that was printed so far."""

    def __init__(
        self, argv: Sequence[str], *, cwd: str | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        if sys.platform == "win32":
            pytest.skip("POSIX: a pty")
        self._master, slave = os.openpty()
        self.slave_name = os.ttyname(slave)
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _LEADER, *argv],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=cwd,
            env=env,
            start_new_session=True,
        )
        os.close(slave)
        self.screen = ""
        self._closing = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        return self.process.pid

    def press(self, keys: str) -> None:
        """Type; `\\x03` is Ctrl-C, `\\x1a` Ctrl-Z, `\\x1c` Ctrl-backslash."""
        os.write(self._master, keys.encode())

    def wait_for(self, text: str, *, timeout: float = 10.0, after: int = 0) -> int:
        """Until the text is on the screen behind the offset `after`; the offset behind it."""

        def seen() -> int:
            return self.screen.find(text, after) + 1

        found = wait_until(seen, timeout, lambda: f"{text!r} on the screen:\n{self.screen}")
        return found - 1 + len(text)

    def modes(self) -> list[object]:
        """The terminal's modes, as termios.tcgetattr."""
        return termios.tcgetattr(self._master)

    def wait_ended(self, timeout: float = 10.0) -> int:
        """The command's status, as of Popen."""
        return self.process.wait(timeout)

    def hang_up(self) -> None:
        """Close the terminal as a terminal emulator does: SIGHUP to the session leader."""
        self._closing = True
        self._reader.join()  # a read under way would keep the master open
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    def close(self) -> None:
        """End the command if it has not ended."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.hang_up()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # EIO when the last process has closed the terminal
            while not self._closing:
                if select.select([self._master], [], [], 0.02)[0]:
                    self.screen += os.read(self._master, 65536).decode(errors="replace")
