"""Processes that the benchmark starts: marked in their environment, measured, and ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from support.wait import wait_until

MARK = "BENCH_RUN"
"""The environment variable that all processes of one peer inherit."""
QUIET = 0.1
"""The part of one processor's time that counts as none, of a process."""


def new_mark() -> str:
    return uuid.uuid4().hex


def marked(*marks: str) -> list[int]:
    """The living processes that carry one of the marks."""
    wanted = {f"{MARK}={mark}".encode() for mark in marks}
    return sorted(
        pid for pid, environ in _environments() if not wanted.isdisjoint(environ.split(b"\0"))
    )


def _environments() -> Iterator[tuple[int, bytes]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                state = (entry / "stat").read_bytes().rpartition(b")")[2].split()[0]
                if state not in b"ZX":
                    yield int(entry.name), (entry / "environ").read_bytes()


def command_line(pid: int) -> str:
    """What the process was started with; empty when it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def cpu_seconds(pid: int) -> float:
    """What all living threads of the process have used, to the microsecond; 0 when it is gone."""
    total = 0
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                total += int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
    return total / 1e9


def memory(pid: int) -> tuple[int, int]:
    """Bytes: resident (RSS), and with the part of what is shared (PSS)."""
    fields = {}
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
            name, value, *_ = line.split()
            fields[name] = int(value) * 1024
    return fields.get("Rss:", 0), fields.get("Pss:", 0)


def wait_calm(marks: Iterable[str], at_least: float = 1.5, at_most: float = 20.0) -> bool:
    """Until no process with these marks uses CPU, so that none disturbs what comes next.

    Each by itself: a dozen of them that wait for a debugger's next word come to a tenth together.

    Takes `at_least` so many seconds; returns false when there was no calm in `at_most`.
    """
    window = 0.25
    began, calm = time.monotonic(), 0
    before: dict[int, float] = {}
    while calm < 3 or time.monotonic() - began < at_least:
        if time.monotonic() - began > at_most:
            return False
        now = {pid: cpu_seconds(pid) for pid in marked(*marks)}
        used = [seconds - before.get(pid, 0.0) for pid, seconds in now.items()]
        calm = calm + 1 if max(used, default=0.0) < QUIET * window else 0
        before = now
        time.sleep(window)
    return True


def end(process: subprocess.Popen[bytes], mark: str) -> int:
    """End a process as a user would, then all that it left; returns how many those were."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
    return end_marked(mark) if process.poll() is not None else end_marked(mark, process)


def end_marked(mark: str, process: subprocess.Popen[bytes] | None = None) -> int:
    """End what carries the mark, a moment after it had the chance to end by itself."""
    with contextlib.suppress(AssertionError):
        wait_until(lambda: not marked(mark), 2.0)
    left = marked(mark)
    while found := marked(mark):
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if process is not None:
            process.wait(10)
        time.sleep(0.01)
    return len(left)
