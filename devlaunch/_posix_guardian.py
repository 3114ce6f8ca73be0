"""The guardian's process: what runs while the launcher lives, and after it is gone.

See `guardian` for the launcher's side. It imports next to nothing, so that it starts at once and
stays small: no typing, no dataclasses, no subprocess.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from devlaunch import _posix_table as table

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
    family = table.Family(run_id)
    children: set[int] = set()
    if not _listen(lifeline, family, children):
        _end(family, children)
        address = table.reports_address(run_id)
        try:
            os.unlink(address)
            os.rmdir(os.path.dirname(address))
        except OSError:
            pass  # there was none


def _listen(lifeline: int, family: table.Family, children: set[int]) -> bool:
    """Take the launcher's messages until the pipe ends; returns whether it said goodbye."""
    pending = b""
    while data := os.read(lifeline, 4096):
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
    return False


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
    members = family.look()
    for pid in children & members:
        family.send(pid, signal.SIGTERM)
        family.send(pid, signal.SIGCONT)
    while family.look() & children and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS / 5)
    family.end(KILL_SECONDS, quiet=QUIET_LOOKS, pause=LOOK_SECONDS)
