"""The guardian's processes: what runs while the launcher lives, and after it is gone.

See `guardian` for the launcher's side. There are two, so that the launcher and the guardian may be
killed at once: the *heir* is a fork that the guardian tells all it is told, by a pipe. When that
pipe ends the guardian is gone, and the heir reads the lifeline in its place: a goodbye, if the
launcher lives and has another guardian by then, or the end.

It imports next to nothing, so that it starts at once and stays small: no typing, no dataclasses, no
subprocess.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

from devlaunch.system import _posix_table as table

assert sys.platform != "win32"  # tells mypy what this file is for

POLITE_SECONDS = 1.0
"""How long the children may take for their shutdown hooks."""
KILL_SECONDS = 1.8
QUIET_LOOKS = 7
LOOK_SECONDS = 0.05
"""7 looks in 0.3 s: a process between fork and exec shows no mark for a moment."""


def main() -> None:
    """Guard until the lifeline ends; arguments: its file descriptor and the run's id."""
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP):
        signal.signal(sig, signal.SIG_IGN)
    lifeline, run_id = int(sys.argv[1]), sys.argv[2]
    _rename(f"_posix_guardian {run_id}".encode())
    family = table.Family(run_id)
    children: set[int] = set()
    is_done: bool | None = None
    while is_done is None:
        will, heir = os.pipe()
        is_heir = _fork_away()
        os.close(heir if is_heir else will)
        if is_heir:
            is_done = _listen(will, family, children) or _listen(lifeline, family, children)
        else:
            os.set_blocking(heir, False)
            is_done = _listen(lifeline, family, children, heir)
            if is_done is None:
                os.close(heir)
    if not is_done:
        _end(family, children)
        _remove_socket(run_id)
        if not is_heir:
            _tell(heir, b"bye\n")


def _remove_socket(run_id: str) -> None:
    address = table.reports_address(run_id)
    try:
        os.unlink(address)
        os.rmdir(os.path.dirname(address))
    except OSError:
        pass  # there was none


def _fork_away() -> bool:
    """Fork a process that descends from nobody who lives, and return whether we are it.

    Who kills the launcher with all that descends from it, as IDEs do, does not find it.
    """
    between = os.fork()
    if between:
        os.waitpid(between, 0)
        return False
    os.setsid()
    if os.fork():
        os._exit(0)
    return True


def _rename(name: bytes) -> None:
    """Write over our command line, so that `pkill -f devlaunch` or `pkill python` finds us not.

    Where the last byte is none of NUL, proc_pid_cmdline(5) shows what comes before the first one.
    """
    try:
        start, end = map(int, table.stat_fields(os.getpid())[45:47])
        with open("/proc/self/mem", "r+b", buffering=0) as memory:
            memory.seek(start)
            memory.write(name.ljust(end - start - 1, b"\0") + b".")
        with open("/proc/self/comm", "wb", buffering=0) as file:
            file.write(b"devl-guardian")
    except (OSError, ValueError):
        pass  # another system, or it is not allowed


def _listen(
    lifeline: int, family: table.Family, children: set[int], heir: int | None = None
) -> bool | None:
    """Take the launcher's messages until the pipe ends; returns whether it said goodbye.

    None: before that, somebody has killed the heir.
    """
    pending = b""
    while True:
        if heir is not None and not pending and _has_lost(heir, lifeline):
            return None
        data = os.read(lifeline, 4096)
        if not data:
            return False
        if heir is not None:
            _tell(heir, data)
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            word, _, pid = line.partition(b" ")
            if word == b"bye":
                return True
            if word == b"joined":
                _pass_on_to(int(pid))
            elif word == b"adopt":
                family.adopt(int(pid))
                children.add(int(pid))
            else:
                family.forget(int(pid))
                children.discard(int(pid))


def _has_lost(heir: int, lifeline: int) -> bool:
    """Wait for news; returns whether nobody reads what the heir is told."""
    news = select.poll()
    news.register(lifeline, select.POLLIN)
    news.register(heir, 0)
    return heir in dict(news.poll())


def _tell(heir: int, data: bytes) -> None:
    try:
        os.write(heir, data)
    except OSError:
        pass  # it was killed just now, or is stopped: the marks are left


def _pass_on_to(launcher: int) -> None:
    """The IDE's debugger takes us for a debuggee, and ends those by SIGTERM: end the launcher."""

    def pass_on(signum: int, _: object) -> None:
        # A dead launcher is not our parent any more; its end of the lifeline is closed then.
        if os.getppid() == launcher:
            try:
                os.kill(launcher, signum)
            except ProcessLookupError:
                pass  # it has ended just now

    signal.signal(signal.SIGTERM, pass_on)


def _end(family: table.Family, children: set[int]) -> None:
    """Ask the children, so that their shutdown hooks run; then end everything for certain."""
    deadline = time.monotonic() + POLITE_SECONDS
    while family.ask(children) & children and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS / 5)
    while family.ask() and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS / 5)
    family.end(KILL_SECONDS, quiet=QUIET_LOOKS, pause=LOOK_SECONDS)
