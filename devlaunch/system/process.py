"""Starting a child, and what else there is to do with processes; `seam` has the contracts."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Collection, Mapping, Sequence

from devlaunch.config import Isolation
from devlaunch.errors import EX_CANNOT_EXECUTE, EX_FAILURE, EX_NOT_FOUND, DevlaunchError
from devlaunch.system.hiding import plain_processes
from devlaunch.system.seam import Child, System, here
from devlaunch.system.spare import reason_of, shortage, shortages, socket_pair
from devlaunch.system.terms import KEEP, MARK

__all__ = ["Child"]

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CHILD_MAIN = os.path.join(_ROOT, "child", "__main__.py")

REPORTS = "DEVLAUNCH_REPORTS"
"""The environment variable that tells the processes of an app where to say what they run."""

reports_address = here.reports_address
reap_orphans = here.reap_orphans
sweep = here.sweep


def new_run_id() -> str:
    """A name for this run that no other one has."""
    return os.urandom(8).hex()  # `secrets` would load OpenSSL


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
            return here.spawn(
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
    number, reason = here.posix_errno(error), reason_of(error)
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
        hint=here.WHY_NOT_EXECUTED.get(number or 0, "").format(program),
        exit_status=EX_CANNOT_EXECUTE,
    )


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
    On Windows the number is a handle, by which the child knows what it is handed.
    """
    address = reports_address(run_id.partition(".")[0])
    with shortages():
        ours, theirs = socket_pair()
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


def listening_process(host: str, port: int, system: System = here) -> str | None:
    """Who listens on a TCP port, as `python3 (pid 1234)`; None when it cannot be known."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return None
    asked = {
        socket.inet_pton(family, str(address[0]).partition("%")[0]) for family, *_, address in found
    }
    # A wildcard is all zeros.
    is_any = not all(map(any, asked))
    return system.listening_process(lambda a: is_any or not any(a) or a in asked, port)


def exit_code(status: int) -> int:
    """The exit status that reports a child's status as a shell does: 128+n for signal n.

    Windows has 32 bits, which `sys.exit` takes as a signed number.
    """
    if status >= 1 << 31:
        return status - (1 << 32)
    return 128 - status if status < 0 else status
