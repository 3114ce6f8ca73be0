"""The process table of a POSIX system: who belongs to a run, and ending all of them.

A process belongs to a run when it carries the run's mark in its environment, or descends from
one that does, or sits in the session or process group of one that does. No single sign is enough:
a daemon loses its parent, a program may clear its environment, `setsid` leaves the session.

The guardian imports this module, so it imports next to nothing: no dataclasses, no subprocess.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from devlaunch.system.terms import KEEP, MARK

assert sys.platform != "win32"  # tells mypy what this file is for


class Process:
    """One line of the process table. `started` tells two processes with the same id apart."""

    __slots__ = ("group", "is_kept", "mark", "pid", "ppid", "session", "started")

    def __init__(
        self, pid: int, family: tuple[int, int, int], started: str, marks: tuple[str, bool]
    ) -> None:
        self.pid = pid
        self.ppid, self.group, self.session = family
        self.started = started
        self.mark, self.is_kept = marks


def carries(mark: str, run_id: str) -> bool:
    """Whether the mark (`outer/inner`, each `run` or `run.serial`) names the run."""
    return any(part == run_id or part.startswith(run_id + ".") for part in mark.split("/"))


def processes(marked_since: int = 0) -> dict[int, Process]:
    """All living processes by id. A zombie is not alive: it only waits for its parent.

    The marks of those are left out that started before `marked_since` (`ticks`): reading them is
    most of the work, and a mark is only got from a process that had it before.
    """
    return _from_proc(marked_since) if sys.platform == "linux" else _from_ps()


def ticks(started: str) -> int:
    """`Process.started` as a number to compare; 0 where it is none."""
    return int(started) if started.isdigit() else 0


def has_children(pid: int) -> bool:
    """Whether a process has children (proc_pid_task_tid_children(5)); true when that is unknown."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
        return any(read_file(f"/proc/{pid}/task/{thread}/children") for thread in threads)
    except OSError:
        return True  # a thread has just ended, another system, or a kernel that was built without


class Family:
    """The processes of one run, or of one child of it, followed over time.

    `run_id` is the mark to look for, which no process carries that started before `since`
    (`ticks`). What was once seen as a member stays one when it becomes an orphan: so call `note`
    before a member is told to end. The process that looks is no member, and of a part of a run
    (`run.serial`) nobody is who carries `KEEP`. What looks raises OSError when it cannot.
    """

    def __init__(self, run_id: str, since: int = 0) -> None:
        self._run_id = run_id
        self._since = since
        self._spares_kept = "." in run_id
        self._known: dict[int, str] = {}
        self._asked: set[int] = set()
        self.refused: set[int] = set()
        """Members that may not be signalled (they changed their user id)."""

    def adopt(self, pid: int) -> None:
        """Count a process, its descendants, and the group and session it leads as members."""
        self._known[pid] = start_time(pid)

    def forget(self, pid: int) -> None:
        """The process was reaped: its id may come to mean another one. Unknown ids are ignored."""
        self._known.pop(pid, None)

    @property
    def is_single(self) -> bool:
        """Whether no more than one member was ever seen."""
        return len(self._known) <= 1

    def note(self) -> None:
        """Have all descendants of the members found later on; a look only when there are any."""
        if not self.is_single or any(map(has_children, self._known)):
            self.look()

    def look(self) -> set[int]:
        """The members that live now."""
        table = processes(self._since)
        table.pop(os.getpid(), None)
        self._known = {
            pid: started
            for pid, started in self._known.items()
            if pid not in table or table[pid].started == started
        }
        if self._spares_kept:
            table = {pid: each for pid, each in table.items() if not each.is_kept}
        kin = set(self._known) | {p.pid for p in table.values() if carries(p.mark, self._run_id)}
        while more := {
            p.pid
            for p in table.values()
            if p.pid not in kin and (p.ppid in kin or p.group in kin or p.session in kin)
        }:
            kin |= more
        members = kin & table.keys()
        self._known |= {pid: table[pid].started for pid in members}
        return members - self.refused

    def ask(self, only: set[int] | None = None) -> set[int]:
        """SIGTERM to the members (of `only`) that had none from here; returns who lives."""
        members = self.look()
        asked = members if only is None else members & only
        for pid in asked - self._asked:
            self.send(pid, signal.SIGTERM)
            self.send(pid, signal.SIGCONT)
        self._asked |= asked
        return members

    def end(self, within: float, *, quiet: int = 2, pause: float = 0.005) -> set[int]:
        """SIGKILL all members until `quiet` looks in a row, `pause` seconds apart, found none.

        One look is not enough: a process between fork and exec has no environment yet, and a
        member may fork while it is being looked at. With `quiet` 1 it is when it finds nobody.
        Returns who still lives after `within` seconds (in an uninterruptible sleep) or may not be
        signalled.
        """
        deadline = time.monotonic() + within
        calm = 0
        while True:
            members = self.look()
            calm = 0 if members else calm + 1
            if calm >= quiet or time.monotonic() >= deadline:
                return members | (self.refused & processes().keys() if self.refused else set())
            quiet = max(quiet, 2) if members else quiet
            for pid in members:
                self.send(pid, signal.SIGKILL)
            _await_ends(members, pause, deadline)

    def send(self, pid: int, sig: int) -> None:
        """Signal a member, or a group of them (-id) as kill(2) does.

        One that is gone is ignored, one that may not be signalled is remembered in `refused`.
        """
        try:
            os.kill(pid, sig)
        except ProcessLookupError:
            pass
        except PermissionError:
            self.refused.add(pid)


def _await_ends(pids: set[int], pause: float, deadline: float) -> None:
    """Wait for who was killed, 0.1 s at most: that costs less than to look at all processes."""
    deadline = min(deadline, time.monotonic() + 0.1)
    time.sleep(pause)
    while time.monotonic() < deadline and not all(_has_ended(stat_fields(pid)) for pid in pids):
        time.sleep(pause)


def reports_address(run_id: str) -> str:
    """Where the processes of a run report to."""
    for place in (os.environ.get("TMPDIR"), "/tmp"):
        address = f"{place}/devlaunch-{run_id}/reports"
        if place and len(os.fsencode(address)) < 100:  # sockaddr_un has room for 104, at the least
            break
    return address


def start_time(pid: int) -> str:
    """When the process started, in the system's own terms; empty when there is no such process."""
    if sys.platform != "linux":
        found = _from_ps().get(pid)
        return found.started if found else ""
    fields = stat_fields(pid)
    return fields[19] if fields else ""


def read_file(path: str) -> bytes:
    """The whole of a small file, without the cost of a file object. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = b""
        while chunk := os.read(fd, 1 << 17):
            data += chunk
        return data
    finally:
        os.close(fd)


def stat_fields(pid: int) -> list[str]:
    """The fields of proc_pid_stat(5) from the third (state) on; none of who has ended (Linux)."""
    try:
        text = read_file(f"/proc/{pid}/stat").decode(errors="replace")
    except OSError:
        return []
    # The second field, the command's name, may itself hold spaces and parentheses.
    return text[text.rfind(")") + 2 :].split()


def _has_ended(fields: list[str]) -> bool:
    # The main thread of a process whose other threads still run is a zombie, too.
    return not fields or fields[0] == "X" or (fields[0] == "Z" and int(fields[17]) <= 1)


def _from_proc(marked_since: int) -> dict[int, Process]:
    table: dict[int, Process] = {}
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        fields = stat_fields(pid)
        if not _has_ended(fields):
            ppid, group, session = map(int, fields[1:4])
            started = fields[19]
            marks = marks_of(pid) if ticks(started) >= marked_since else ("", False)
            table[pid] = Process(pid, (ppid, group, session), started, marks)
    return table


def marks_of(pid: int) -> tuple[str, bool]:
    """The mark of a process, empty where it is not known, and whether it is to be kept (Linux)."""
    try:
        environment = b"\0" + read_file(f"/proc/{pid}/environ")
    except OSError:
        return "", False  # ended, or not ours
    mark = environment.partition(f"\0{MARK}=".encode())[2].partition(b"\0")[0]
    return mark.decode(errors="replace"), f"\0{KEEP}=1\0".encode() in environment


def _from_ps() -> dict[int, Process]:
    """macOS: `ps -E` appends the environment to the command (not of programs under SIP)."""
    import subprocess

    command = ["ps", "-axEwwo", "pid=,ppid=,pgid=,state=,lstart=,command="]
    output = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return parse_ps(output.stdout)


def parse_ps(text: str) -> dict[int, Process]:
    """The table in the output of `ps -axEwwo pid=,ppid=,pgid=,state=,lstart=,command=`."""
    table: dict[int, Process] = {}
    for line in text.splitlines():
        # lstart is five words: `Sun Nov 22 12:25:23 2026`.
        words = line.split(None, 9)
        if len(words) < 9 or words[3].startswith("Z"):
            continue
        pid, ppid, group = (int(word) for word in words[:3])
        try:
            session = os.getsid(pid)
        except OSError:
            continue
        rest = f" {words[9]}" if len(words) > 9 else ""
        mark = rest.partition(f" {MARK}=")[2].partition(" ")[0]
        marks = mark, f" {KEEP}=1 " in f"{rest} "
        table[pid] = Process(pid, (ppid, group, session), " ".join(words[4:9]), marks)
    return table
