"""The guardian: a process that outlives the launcher just long enough to clean up after it.

It reads the *lifeline*, a pipe whose only write end the launcher holds. While the launcher lives
it is told which children there are; when the launcher is gone without a goodbye, however that
came about, the pipe ends, and the guardian ends the children and all that carries the run's mark.
It must be hard to end itself: own session, no terminal, deaf to the signals that people send, no
name of ours in its command line, and an heir. It is a process, and no part of the app's, since
nothing in a process runs while C code holds its interpreter lock. The kernel has nothing better:
the signal of PR_SET_PDEATHSIG is SIGKILL, which leaves no shutdown hook, or one that such an app
is deaf to; a PID namespace or a control group needs privileges, and changes what the app sees.

This is the launcher's side; the process runs `_posix_guardian`. On Windows the kernel does the
same for a job object whose last handle is closed, and there is no such process.
"""

from __future__ import annotations

import os
import subprocess

from devlaunch.system.hiding import pydb
from devlaunch.system.seam import here

MOST_RESTARTS = 100
"""One that cannot even start must not be started for ever."""


class Guardian:
    """The launcher's side, and the process's start, without waiting until that is up.

    Before the first child's. Raises OSError.
    """

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._children: set[int] = set()
        self._lifeline = -1
        self._restarts = 0
        self._popen: subprocess.Popen[bytes] | None = None
        self._stands_for_debuggee = False
        self._spared: set[str] = set()
        self._spawn()

    @property
    def pid(self) -> int | None:
        """The guardian's process id; None on Windows and after `close`."""
        return self._popen.pid if self._popen else None

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._popen is not None and self._popen.poll() is None

    def adopt(self, pid: int) -> None:
        """A child has been started. It was guarded by its mark already; now it is asked first."""
        self._children.add(pid)
        self._spare()
        self._tell(f"adopt {pid}")

    def forget(self, pid: int) -> None:
        """A child has been reaped: its id may become another process's."""
        self._children.discard(pid)
        self._tell(f"forget {pid}")

    def stand_for_debuggee(self) -> None:
        """From now on SIGTERM to the guardian means that the IDE's debugger ends its session."""
        self._stands_for_debuggee = True
        self._tell(f"joined {os.getpid()}")

    def ensure(self) -> bool:
        """At SIGCHLD: start another one if it was killed; returns whether that was so.

        Raises OSError when that cannot be done: its heir guards then.
        """
        if self._popen is None or self.alive or self._restarts >= MOST_RESTARTS:
            return False
        self._restarts += 1
        heirs = self._lifeline
        self._spawn()
        _write(heirs, "bye")
        os.close(heirs)
        for pid in self._children:
            self._tell(f"adopt {pid}")
        if self._stands_for_debuggee:
            self._tell(f"joined {os.getpid()}")
        return True

    def close(self) -> None:
        """Say goodbye and wait for its end: all children are gone, there is nothing to do."""
        if self._popen is None:
            return
        self._tell("bye")
        os.close(self._lifeline)
        try:
            self._popen.wait(1.0)
        except subprocess.TimeoutExpired:
            self._popen.kill()  # stopped by somebody
            self._popen.wait()
        self._popen = None
        self._spare()

    def _spawn(self) -> None:
        if started := here.guard(self._run_id):
            self._popen, self._lifeline = started
            self._spare()

    def _spare(self) -> None:
        """Keep pydevd from killing us and the children when an IDE ends the debugged launcher.

        It does so with all descendants (`_terminate_child_processes_linux_and_mac`), whose ids it
        compares as text. The guardian ends them in its stead, politely first.
        """
        spared = getattr(pydb(), "dont_terminate_child_pids", None)
        if spared is not None:
            spared -= self._spared
            self._spared = {str(pid) for pid in (self.pid, *self._children) if pid}
            spared |= self._spared

    def _tell(self, line: str) -> None:
        if self._popen is not None:
            _write(self._lifeline, line)


def _write(lifeline: int, line: str) -> None:
    try:
        os.write(lifeline, f"{line}\n".encode())
    except (BrokenPipeError, BlockingIOError):
        pass  # it was killed, `ensure` tells the next one; or it is stopped, the mark is left
