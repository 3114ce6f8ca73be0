"""Child processes behind one seam: what is the same for POSIX and Windows, and which one it is.

A child is a session of its own (or a group, or neither); it and all that it starts carry the
run's mark in their environment. Ending a child means ending all of them.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from devlaunch.config import Isolation
from devlaunch.core.invocation import Running
from devlaunch.errors import EX_CANNOT_EXECUTE, EX_FAILURE, EX_NOT_FOUND, DevlaunchError
from devlaunch.system.hiding import plain_processes
from devlaunch.system.spare import posix_errno, reason_of, shortage, shortages, socket_pair

if sys.platform == "win32":
    from devlaunch.system import _windows as _platform
else:
    from devlaunch.system import _posix as _platform

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CHILD_MAIN = os.path.join(_ROOT, "child", "__main__.py")

REPORTS = "DEVLAUNCH_REPORTS"
"""The environment variable that tells the processes of an app where to say what they run."""

MARK = "DEVLAUNCH_RUN"
"""The environment variable that every process of a run inherits (`_posix_table.MARK`)."""

SIGKILL = 9
"""The signal, which the signal module of Windows does not name."""

KEEP = "DEVLAUNCH_KEEP"
"""The one that spares a helper at a restart (`_posix_table.KEEP`)."""


class Child(Protocol):
    """A child process and all that it starts."""

    pid: int
    takes_signals: bool
    """Else `signal` knows SIGKILL only, and all others are asked for over the control channel."""
    survivors: set[int]
    """Who lived on after `kill` or `reap`: another user's process, or one stuck in the kernel."""

    def poll(self) -> int | None:
        """None while the main process runs, then its status: -n for signal n. Does not reap."""

    def when_ended(self, call: Callable[[], object]) -> None:
        """Call, from any thread, once `poll` gives a status, where no SIGCHLD says so."""

    def stopped(self) -> bool:
        """Whether Ctrl-Z has stopped it since this was asked last. Ask at SIGCHLD.

        Only a child with isolate=group hears the keyboard instead of the launcher.
        """

    def look(self) -> None:
        """Note who descends from the child now.

        Call it before the child is asked to stop by other means than a signal: its children in
        sessions of their own, without the mark, cannot be found once it is gone.
        """

    def image(self) -> object | None:
        """What tells the program that its main process runs from another one.

        exec(3) changes it. None in the midst of one, at the end of the process, and where it is
        not known.
        """

    def signal(self, sig: int) -> None:
        """Signal the main process; SIGCONT follows a signal that asks it to end."""

    def signal_session(self, sig: int) -> None:
        """Signal its whole session, group, or (isolate=none) itself and its descendants."""

    def dismiss(self) -> list[str]:
        """After the main process's end: ask whom it has left behind to end, each once.

        Returns who lives, as `sleep (pid 12)`.
        """

    def kill(self) -> set[int]:
        """SIGKILL to everything of it, wherever it went; returns `survivors`. Takes up to 2 s."""

    def reap(self) -> int:
        """End what is left, then free the process id; returns the status. After it, forget it.

        When there is time again `sweep` its mark: who was just starting may have been overlooked.
        """

    def pythons(self) -> dict[int, Running]:
        """The Python processes below the child that have run for a second, where that is known.

        Empty when there is a devlaunch among them: it watches its own.
        """

    def watcher(self, ran: Mapping[int, Collection[str]]) -> tuple[int, int] | None:
        """A process below, and one above it that watches a directory where it runs files.

        `ran` has these directories of each. None as well where it is not known, or polls.
        """


def new_run_id() -> str:
    """A name for this run that no other one has."""
    return os.urandom(8).hex()  # `secrets` would load OpenSSL


def reports_address(run_id: str) -> str:
    """Where the processes of a run report to: a socket's file, alone in its directory; or empty."""
    return _platform.reports_address(run_id)


def mark_environment(env: Mapping[str, str], run_id: str) -> dict[str, str]:
    """The environment for a child; a nested run's mark is `outer/inner`, both find it.

    Who is to be kept is for the app to say, of its helpers: it is none itself.
    """
    outer = env.get(MARK)
    rest = {name: value for name, value in env.items() if name != KEEP}
    return {**rest, MARK: f"{outer}/{run_id}" if outer else run_id}


def spawn(
    argv: Sequence[str],
    *,
    run_id: str,
    isolate: Isolation = Isolation.SESSION,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    pass_fds: Collection[int] = (),
) -> Child:
    """Start a child that inherits stdin, stdout, stderr and `pass_fds`, and nothing else.

    `run_id` is the mark to put in its environment: the run's own id, or `<run id>.<serial number>`
    so that the end of one generation leaves the others alone.

    Raises DevlaunchError with exit status 127 when there is no such program, 126 when it cannot
    be executed (as a shell does; POSIX XCU 2.8.2).
    """
    marked = mark_environment(os.environ if env is None else env, run_id)
    try:
        with plain_processes():
            return _platform.spawn(
                argv, env=marked, cwd=cwd, isolate=isolate, mark=run_id, pass_fds=pass_fds
            )
    except OSError as error:
        if short := shortage(error):
            raise short from None
        path = os.path.join(cwd or "", argv[0]) if os.path.dirname(argv[0]) else argv[0]
        import shutil

        found = shutil.which(path, path=marked.get("PATH"))
        raise _cannot_start(argv[0], cwd, error, found is not None) from None


def _cannot_start(program: str, cwd: str | None, error: OSError, found: bool) -> DevlaunchError:
    number, reason = posix_errno(error), reason_of(error)
    if cwd is not None and not os.access(cwd, os.X_OK):
        return DevlaunchError(
            f"cannot run in the directory {cwd!r}: {reason}",
            hint="create it, or choose another one",
            exit_status=EX_FAILURE,
        )
    if number in (errno.ENOENT, errno.ENOTDIR) and not found:
        return DevlaunchError(
            f"no such program: {program!r}",
            hint="check the spelling, and that it is installed and on PATH",
            exit_status=EX_NOT_FOUND,
        )
    return DevlaunchError(
        f"cannot execute {program!r}: {reason}",
        hint=_platform.WHY_NOT_EXECUTED.get(number or 0, "").format(program),
        exit_status=EX_CANNOT_EXECUTE,
    )


def control_channel() -> tuple[socket.socket, socket.socket]:
    """Connected sockets: the launcher's end, which does not block, and the child's.

    Give the child's `fileno()` to `spawn` in `pass_fds` and in the arguments, then close it here.
    On Windows the number is a handle, by which the child knows what it is handed (`spawn`).
    """
    ours, theirs = socket_pair()
    ours.setblocking(False)
    return ours, theirs


def spawn_controlled(
    command: Sequence[str],
    *,
    run_id: str,
    isolate: Isolation,
    env: Mapping[str, str],
    cwd: str | None = None,
    pass_fds: Collection[int] = (),
) -> tuple[Child, socket.socket]:
    """Start devlaunch's part of a child by an interpreter's `command`; it waits for its messages.

    Returns the child and the launcher's end of its control channel. Raises as `spawn`.
    """
    address = reports_address(run_id.partition(".")[0])
    with shortages():
        ours, theirs = control_channel()
    with theirs:
        try:
            child = spawn(
                [*command, CHILD_MAIN, str(theirs.fileno())],
                run_id=run_id,
                isolate=isolate,
                env={**env, REPORTS: address} if address else env,
                cwd=cwd,
                pass_fds=[theirs.fileno(), *pass_fds],
            )
        except BaseException:
            ours.close()
            raise
    return child, ours


def sweep(run_id: str, within: float = 2.0, *, looks: int = 2, grace: float = 0.0) -> set[int]:
    """Kill what carries the run's mark until nothing does; returns who still lives after that.

    `within` is seconds, `looks` how often nothing has to be found. With `grace` all are asked to
    end first, and have so many seconds. The caller itself is spared.
    """
    return _platform.sweep(run_id, within, looks, grace)


def reap_orphans(keep: Collection[int]) -> None:
    """At SIGCHLD, as process 1 of a container: reap all ended children except `keep`.

    Does nothing elsewhere: there the system's init reaps orphans.
    """
    _platform.reap_orphans(keep)


def listening_process(host: str, port: int) -> str | None:
    """Who listens on a TCP port, as `python3 (pid 1234)`; None when it cannot be known."""
    return _platform.listening_process(host, port)


def exit_code(status: int) -> int:
    """The exit status that reports a child's status as a shell does: 128+n for signal n.

    Windows has 32 bits, which `sys.exit` takes as a signed number.
    """
    if status >= 1 << 31:
        return status - (1 << 32)
    return 128 - status if status < 0 else status
