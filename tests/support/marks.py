"""Who carries a run's mark: read from /proc, independent of the code under test."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path


def _environments() -> Iterator[tuple[int, list[str]]]:
    """The living processes, and `NAME=value` of each variable of theirs."""
    for entry in Path("/proc").iterdir():
        try:
            environment = (entry / "environ").read_bytes().decode(errors="replace").split("\0")
            state = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[0]
        except OSError:
            continue
        if entry.name.isdigit() and state not in "ZX":
            yield int(entry.name), environment


if sys.platform == "win32":
    from support.windows_processes import environments as _environments


def marked(run_id: str) -> list[int]:
    """The living processes of the run, nested ones included; not this process."""
    found = []
    for pid, environment in _environments():
        marks = [v.partition("=")[2] for v in environment if v.startswith("DEVLAUNCH_RUN=")]
        runs = {part.partition(".")[0] for mark in marks for part in mark.split("/")}
        if (run_id in runs or run_id in marks) and pid != os.getpid():
            found.append(pid)
    return sorted(found)


def standbys(run_id: str) -> list[int]:
    """Those of the run that wait to be the app, by the name that ps(1) shows."""
    found = []
    for pid in marked(run_id):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text().strip() == "devl-standby":
                found.append(pid)
    return found


def guards(guardian: int) -> list[int]:
    """The guardian with this id, and its heir, once there is one: no descendant of anybody."""
    name = Path(f"/proc/{guardian}/cmdline").read_bytes()
    found = [guardian]
    for entry in Path("/proc").iterdir() if name.startswith(b"_posix_guardian ") else ():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and (entry / "cmdline").read_bytes() == name:
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
                if int(parent) != guardian:  # what forks the heir, and is gone at once
                    found.append(int(entry.name))
    return list(dict.fromkeys(found))


def describe(pids: list[int]) -> str:
    """`pid command line` of each."""
    lines = []
    for pid in pids:
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            command = "(gone)"
        lines.append(f"{pid} {command[:200]}")
    return "\n".join(lines)


def open_files(pid: int) -> list[str]:
    """What the process has open: paths, and kinds without their numbers, sorted."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(os.readlink(entry).partition(":[")[0])
        except FileNotFoundError:
            continue
    return sorted(found)


def assert_nothing_left(run_id: str, within: float = 3.0) -> None:
    """Nothing of the run lives `within` seconds from now, and a moment later neither."""
    deadline = time.monotonic() + within
    calm = 0
    while calm < 3:
        left = marked(run_id)
        calm = 0 if left else calm + 1
        assert not left or time.monotonic() < deadline, f"left after {within} s:\n{describe(left)}"
        time.sleep(0.01)
