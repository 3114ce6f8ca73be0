"""What it costs to wait for the next save in a big tree: processor time, memory, and the save."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from apps import SMALL_APP, token
from client import wait_served
from measure import say, timed_save
from peers import REFERENCE, Peer, Started
from processes import command_line, cpu_seconds, marked, memory, wait_calm

IN_ONE_DIRECTORY = 50
ROLES = ("launcher", "guardian", "app", "others")


@dataclass
class Idle:
    """One peer in one tree; the roles are those of `ROLES`."""

    name: str
    files: int
    cpu: dict[str, float] = field(default_factory=dict)
    """Seconds in a minute."""
    rss: dict[str, int] = field(default_factory=dict)
    pss: dict[str, int] = field(default_factory=dict)
    saves: list[float] = field(default_factory=list)
    """Seconds from save to served, of the small app in this tree."""


def make_tree(directory: Path, files: int) -> None:
    """Modules and data in equal parts, in directories of fifty, four levels deep at most."""
    for number in range(0, files, IN_ONE_DIRECTORY):
        inner = directory / f"a{number // 50000}" / f"b{number // 5000 % 10}" / f"c{number}"
        inner.mkdir(parents=True)
        for index in range(IN_ONE_DIRECTORY):
            (inner / f"m{index}.{'py' if index % 2 else 'json'}").touch()


def roles(running: Started) -> dict[str, list[int]]:
    """The living processes by role: `others` are the standby, a resource tracker and their like."""
    found: dict[str, list[int]] = {role: [] for role in ROLES}
    app = running.app_pid
    for pid in marked(running.mark):
        role = "others"
        if pid in (running.pid, app):
            role = "launcher" if pid == running.pid else "app"
        elif "_posix_guardian" in command_line(pid):
            role = "guardian"
        found[role].append(pid)
    return found


def in_tree(files: int, ours: Sequence[Peer], seconds: float, saves: int) -> list[Idle]:
    """All wait at the same time in one tree: what one uses is not what is measured of another."""
    chosen = [REFERENCE, *(peer for peer in ours if peer.ide in ("", "attach"))]
    with tempfile.TemporaryDirectory() as base:
        tree = Path(base) / "tree"
        tree.mkdir()
        make_tree(tree, files)
        with contextlib.ExitStack() as stack:
            group = [stack.enter_context(serving(peer, tree)) for peer in chosen]
            wait_calm([running.mark for running in group], at_least=4.0, at_most=60.0)
            found = waiting(group, files, seconds)
        for idle, peer in zip(found, chosen, strict=True):
            with serving(peer, tree) as running:
                idle.saves = saved(running, saves)
            say(".", end="")
    say("")
    return found


@contextlib.contextmanager
def serving(peer: Peer, tree: Path) -> Iterator[Started]:
    """The peer serves version 0 of the small app in the tree."""
    running = Started(peer, SMALL_APP, tree)
    try:
        wait_served(running.port, token(0))
        yield running
    finally:
        running.close()


def waiting(group: Sequence[Started], files: int, seconds: float) -> list[Idle]:
    """What each uses while nothing happens for `seconds`."""
    by_role = [roles(running) for running in group]
    pids = [pid for each in by_role for some in each.values() for pid in some]
    wait_calm([running.mark for running in group])  # asking for the app's pid was work
    began = time.perf_counter()
    before = {pid: cpu_seconds(pid) for pid in pids}
    time.sleep(seconds)
    per_minute = 60 / (time.perf_counter() - began)
    used = {pid: (cpu_seconds(pid) - before[pid]) * per_minute for pid in pids}
    memories = {pid: memory(pid) for pid in pids}
    found = []
    for running, each in zip(group, by_role, strict=True):
        idle = Idle(running.peer.name, files)
        for role, some in each.items():
            idle.cpu[role] = sum(used[pid] for pid in some)
            idle.rss[role] = sum(memories[pid][0] for pid in some)
            idle.pss[role] = sum(memories[pid][1] for pid in some)
        found.append(idle)
    return found


def saved(running: Started, saves: int) -> list[float]:
    """Save to served; the first one warms up."""
    times = []
    for count in range(1, saves + 2):
        wait_calm([running.mark], at_most=60.0)
        times.append(timed_save(running, SMALL_APP, count))
    return times[1:]
