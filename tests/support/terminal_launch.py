"""Run the real devlaunch on a real terminal: as its only command, or as a job of a shell."""

from __future__ import annotations

import contextlib
import shlex
import signal
import subprocess
import sys
import termios
import uuid
from collections.abc import Mapping
from pathlib import Path

from support.launch import Launch, ending, environment
from support.marks import assert_nothing_left, marked
from support.pty import Pty

SHELL = ("bash", "--norc", "--noprofile", "-i")
PROMPT = "ready> "


class TerminalLaunch(Launch):
    """A Launch whose `text` is the screen. With `shell`, `process` and `pid` are the shell's."""

    def __init__(
        self,
        *args: str,
        cwd: Path,
        python: str = sys.executable,
        env: Mapping[str, str] = {},
        shell: bool = False,
        command: tuple[str, ...] = ("-m", "devlaunch"),
    ) -> None:
        self.run_id = f"test-{uuid.uuid4().hex}"
        self.cwd, self.port = cwd, None
        words = [python, *command, *args]
        variables = {"DEVLAUNCH_RUN": self.run_id, "TERM": "xterm", "PS1": PROMPT, **env}
        # As at people's terminals: one write for each line.
        variables["PYTHONUNBUFFERED"] = ""
        self.pty = Pty(SHELL if shell else words, cwd=str(cwd), env=environment(**variables))
        self.process = self.pty.process
        self.shell = shell
        if shell:
            self.wait_for(PROMPT)
            self.press(shlex.join(words) + "\n")

    @property
    def text(self) -> str:  # type: ignore[override]
        return self.pty.screen

    def press(self, keys: str) -> None:
        """Type; `\\x03` is Ctrl-C, `\\x1a` Ctrl-Z."""
        self.pty.press(keys)

    def answer(self, keys: str, pattern: str) -> None:
        """Type, and wait for what is printed then."""
        at = len(self.text)
        self.press(keys)
        self.wait_for(pattern, after=at)

    def echoes(self) -> bool:
        """Whether the terminal is in the mode in which a shell leaves it to a command."""
        modes = self.pty.modes()
        return all(modes[3] & flag for flag in (termios.ECHO, termios.ICANON, termios.ISIG))

    def members(self) -> list[int]:
        """The living processes of the run, without the shell (and the guardian: it has no mark)."""
        return [pid for pid in marked(self.run_id) if not (self.shell and pid == self.pid)]

    def wait_ended(self, timeout: float = 10.0) -> int:
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"did not end within {timeout} s:\n{self.text}") from None

    def close(self, sig: int = signal.SIGHUP) -> None:
        if self.process.poll() is None:
            self.process.send_signal(sig)
        try:
            self.wait_ended()
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.pty.close()
            assert_nothing_left(self.run_id)


def on_terminal(
    *args: str, cwd: Path, **options: object
) -> contextlib.AbstractContextManager[TerminalLaunch]:
    """A TerminalLaunch that is ended, and proven gone, at the end of the block."""
    return ending(TerminalLaunch(*args, cwd=cwd, **options))  # type: ignore[arg-type]
