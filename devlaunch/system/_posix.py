"""Children on POSIX: sessions and groups, signals, waiting without reaping, who holds a port."""

from __future__ import annotations

import errno
import functools
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from devlaunch.config import Isolation
from devlaunch.core.invocation import Running
from devlaunch.system import _posix_table as table
from devlaunch.system.hiding import plain_processes
from devlaunch.system.terms import MARK

if TYPE_CHECKING:
    import subprocess

assert sys.platform != "win32"  # tells mypy what this file is for

WHY_NOT_EXECUTED = {
    errno.EACCES: "make it executable: chmod +x {}",
    errno.ENOEXEC: "it needs a first line such as #!/usr/bin/env python3",
    errno.ENOENT: "the interpreter that its first line names does not exist",
}
_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_GUARDIAN = (
    f"import sys; sys.path.append({_ROOT!r});"
    " from devlaunch.system._posix_guardian import main; main()"
)
_ENDING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})
_KILL_SECONDS = 2.0
_LOOK_SECONDS = 0.01
_WATCH = re.compile(rb"^inotify wd:\S+ ino:([0-9a-f]+) sdev:([0-9a-f]+)", re.MULTILINE)
"""What is watched: its inode, and its device as the kernel keeps it (proc_pid_fdinfo(5))."""
_waitid: Any = getattr(os, "waitid", None)
"""macOS has it from Python 3.13 on; before, the status is only had by reaping."""


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: str | None,
    isolate: Isolation,
    mark: str,
    pass_fds: Collection[int],
) -> Child:
    import subprocess  # not by those who want an error's number

    popen = subprocess.Popen(
        argv,
        env=env,
        cwd=cwd,
        pass_fds=tuple(pass_fds),
        start_new_session=isolate is Isolation.SESSION,
        process_group=0 if isolate is Isolation.GROUP else None,
    )
    return Child(popen, isolate, mark)


class Child:
    """A child process and all that it starts."""

    takes_signals = True

    def __init__(self, popen: subprocess.Popen[bytes], isolate: Isolation, mark: str) -> None:
        self._popen = popen
        self._isolate = isolate
        self._mark = mark
        self._family = table.Family(mark, table.ticks(table.start_time(popen.pid)))
        self._family.adopt(popen.pid)
        self.pid = popen.pid
        self.survivors: set[int] = set()
        self._is_alone = False
        """Nobody else was there after the main process's end."""

    def poll(self) -> int | None:
        """The status, by waitid(2) with WNOWAIT: the process stays a zombie and keeps its id."""
        if self._popen.returncode is not None or _waitid is None:
            return self._popen.poll()
        try:
            ended = _waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return self._popen.poll()  # somebody else reaped it: the status is lost
        if ended is None:
            return None
        status = int(ended.si_status)
        return status if ended.si_code == os.CLD_EXITED else -status

    def when_ended(self, call: Callable[[], object]) -> None:
        pass  # SIGCHLD says so

    def stopped(self) -> bool:
        if self._popen.returncode is not None or _waitid is None:
            return False
        try:
            stop = _waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG)
        except ChildProcessError:
            return False
        return stop is not None and bool(stop.si_status == signal.SIGTSTP)

    def look(self) -> None:
        with suppress(OSError):  # neither descriptors nor memory: their mark is left
            self._family.note()

    def image(self) -> object | None:
        # exec(3) changes where code and stack begin; none of these is known in the midst of one.
        found = tuple(table.stat_fields(self.pid)[23:26:2])
        return None if not found or "0" in found else found

    def pythons(self) -> dict[int, Running]:
        if sys.platform != "linux" or not table.has_children(self.pid):
            return {}
        try:
            members = self._family.look() - {self.pid}
            marks = {table.marks_of(pid)[0].rpartition("/")[2] for pid in members}
            if marks - {"", self._mark}:
                return {}
            return {pid: found for pid in members if (found := _python(pid))}
        except OSError:  # neither descriptors nor memory
            return {}

    def watcher(self, ran: Mapping[int, Collection[str]]) -> tuple[int, int] | None:
        watched = functools.cache(_watched)
        for pid, directories in ran.items():
            places = set(_places(directories))
            for above in self._above(pid):
                if places & watched(above):
                    return pid, above
        return None

    def _above(self, pid: int) -> list[int]:
        """The processes above one, up to the main one; none when it does not descend from that."""
        line = []
        while pid != self.pid:
            fields = table.stat_fields(pid)
            if not fields or pid == 1:
                return []
            pid = int(fields[1])
            line.append(pid)
        return line

    def signal(self, sig: int) -> None:
        if sig in _ENDING:
            self.look()
        self._send([self.pid], sig)

    def signal_session(self, sig: int) -> None:
        targets = [self._main]
        with suppress(OSError):  # neither descriptors nor memory
            members = self._family.look()
            match self._isolate:
                case Isolation.SESSION:
                    inside = {p.group for p in table.processes().values() if p.session == self.pid}
                    targets += [-group for group in inside - {self.pid}]
                case Isolation.NONE:
                    targets += members - {self.pid}
        self._send(targets, sig)

    def dismiss(self) -> list[str]:
        try:
            members = self._family.ask()
        except OSError:
            return []
        self._is_alone = not members and self._family.is_single
        return [describe(pid) for pid in sorted(members)]

    def kill(self) -> set[int]:
        # Not the child's group first: that would make orphans before they were seen as its own.
        self._end(quiet=2)
        return self.survivors

    def reap(self) -> int:
        # In this order: until the reap nobody else can get the id.
        if self._popen.returncode is None and not self._is_alone:
            # The next child waits for this. Who was never seen with others most likely had none:
            # one look has to do here, and a sweep follows.
            self._end(quiet=1 if self._family.is_single else 2)
        return self._popen.wait()

    @property
    def _main(self) -> int:
        return self.pid if self._isolate is Isolation.NONE else -self.pid

    def _end(self, quiet: int) -> None:
        try:
            self.survivors = self._family.end(_KILL_SECONDS, quiet=quiet)
        except OSError:  # neither descriptors nor memory: a sweep finds who is not in the group
            self._send([self._main], signal.SIGKILL)

    def _send(self, targets: Sequence[int], sig: int) -> None:
        if self._popen.returncode is not None:
            return  # the ids may be other processes' by now
        for target in targets:
            self._family.send(target, sig)
        if sig in _ENDING:
            # A stopped process acts on nothing but SIGKILL and SIGCONT (signal(7)).
            for target in targets:
                self._family.send(target, signal.SIGCONT)


reports_address = table.reports_address


def sweep(run_id: str, *, looks: int = 2, grace: float = 0.0) -> set[int]:
    family = table.Family(run_id, table.ticks(table.start_time(os.getpid())))
    deadline = time.monotonic() + grace
    try:
        while grace and family.ask() and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
        return family.end(_KILL_SECONDS, quiet=looks)
    except OSError:  # neither descriptors nor memory
        return set()


def guard(run_id: str) -> tuple[subprocess.Popen[bytes], int]:
    import subprocess

    # PEP 446: neither end is inherited by children, except where pass_fds names it.
    reader, lifeline = os.pipe()
    os.set_blocking(lifeline, False)
    options = ["-I", "-S", *(["-B"] if sys.dont_write_bytecode else [])]
    try:
        with plain_processes():
            popen = subprocess.Popen(
                [sys.executable, *options, "-c", _GUARDIAN, str(reader), run_id],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(reader,),
                env={name: value for name, value in os.environ.items() if name != MARK},
                cwd="/",
                start_new_session=True,
            )
    except OSError:
        os.close(lifeline)
        raise
    finally:
        os.close(reader)
    return popen, lifeline


def describe(pid: int) -> str:
    """`name (pid N)`; without a name where it has ended or that cannot be known."""
    try:
        name = table.read_file(f"/proc/{pid}/comm").decode(errors="replace").strip()
    except OSError:
        return f"pid {pid}"
    return f"{name} (pid {pid})"


def _python(pid: int) -> Running | None:
    """What a process runs by a Python interpreter, if it has run for a second (Linux)."""
    try:
        program = os.path.basename(os.readlink(f"/proc/{pid}/exe"))
        uptime = float(table.read_file("/proc/uptime").split()[0])
        age = uptime - table.ticks(table.start_time(pid)) / os.sysconf("SC_CLK_TCK")
        if not program.startswith(("python", "pypy")) or age < 1.0:
            return None
        words = table.read_file(f"/proc/{pid}/cmdline").removesuffix(b"\0").split(b"\0")
        return Running(tuple(map(os.fsdecode, words)), os.readlink(f"/proc/{pid}/cwd"))
    except OSError:  # ended, or another user's
        return None


def _open_files(pid: int) -> Iterator[tuple[str, str]]:
    """What a process has open, by number; nothing where that is not known (Linux)."""
    with suppress(OSError):  # it has ended, is another user's, or there are no descriptors
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with suppress(FileNotFoundError):
                yield fd, os.readlink(f"/proc/{pid}/fd/{fd}")


def _watched(pid: int) -> set[tuple[int, int]]:
    """What a process watches by inotify(7), as `_places`."""
    found = b""
    for fd, name in _open_files(pid):
        if name == "anon_inode:inotify":
            with suppress(OSError):
                found += table.read_file(f"/proc/{pid}/fdinfo/{fd}")
    return {(int(inode, 16), int(device, 16) >> 20) for inode, device in _WATCH.findall(found)}


def _places(directories: Collection[str]) -> Iterator[tuple[int, int]]:
    """Their inodes and major devices: btrfs shows another minor one than the kernel keeps."""
    for directory in directories:
        with suppress(OSError):
            status = os.stat(directory)
            yield status.st_ino, os.major(status.st_dev)


def reap_orphans(keep: Collection[int]) -> None:
    if os.getpid() != 1 or _waitid is None:
        return
    while True:
        try:
            ended = _waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        # One to keep hides those behind it until its owner has reaped it: soon.
        if ended is None or ended.si_pid in keep:
            return
        os.waitpid(ended.si_pid, 0)


def listening_process(is_meant: Callable[[bytes], bool], port: int) -> str | None:
    if sys.platform != "linux":
        return _holder_from_lsof(port)
    wanted = {f"socket:[{inode}]" for inode in _listening_inodes(is_meant, port)}
    for pid in table.processes() if wanted else ():
        if any(name in wanted for _, name in _open_files(pid)):
            return describe(pid)
    return None


def _listening_inodes(is_meant: Callable[[bytes], bool], port: int) -> Iterator[str]:
    """Sockets in state LISTEN (Linux)."""
    for name in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in table.read_file(f"/proc/net/{name}").decode().splitlines()[1:]:
                fields = line.split()
                words, _, hex_port = fields[1].rpartition(":")
                if fields[3] == "0A" and int(hex_port, 16) == port and is_meant(_packed(words)):
                    yield fields[9]


def _packed(words: str) -> bytes:
    """An address that the kernel prints as hexadecimal words in host byte order."""
    numbers = (int(words[i : i + 8], 16) for i in range(0, len(words), 8))
    return b"".join(number.to_bytes(4, sys.byteorder) for number in numbers)


def _holder_from_lsof(port: int) -> str | None:
    import subprocess

    command = ["lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc"]
    try:
        output = subprocess.run(command, capture_output=True, text=True, check=False, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    fields = {line[0]: line[1:] for line in reversed(output.stdout.splitlines()) if line}
    return f"{fields['c']} (pid {fields['p']})" if {"c", "p"} <= fields.keys() else None


def posix_errno(error: OSError) -> int | None:
    return error.errno


def has_no_reader(error: OSError) -> bool:
    return isinstance(error, BrokenPipeError)


def takes_escapes(fd: int) -> bool:  # noqa: ARG001
    return True
