"""The IDE's side of classic PyCharm: the text protocol of pydevd, as the IDE's own sources have it.

`MultiProcessDebugger` listens on one port. With its dispatcher (`--multiproc`) each connection to
it is answered with command 99 and a fresh port, at which the process is waited for; without it
(`--multiprocess`) each connection is a process. `RemoteDebugger` ("Attach to subprocess" off) takes
one connection and leaves any other unanswered in the backlog.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import socket
import sys
import sysconfig
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import unquote, unquote_plus

from support.launch import Launch, ending
from support.wait import wait_until

RUN, THREAD_CREATED, THREAD_KILLED, SUSPEND, RESUME = 101, 103, 104, 105, 106
STEP_OVER, SET_BREAK, REMOVE_BREAK, EVALUATE = 108, 111, 112, 113
ADD_EXCEPTION_BREAK, EXIT, PROCESS_CREATED, VERSION, DISPATCH = 122, 129, 149, 501, 99

UNCAUGHT = "python-BaseException\tNone\tNone\t0\t1\t0"
"""The one exception breakpoint that is on by default: any exception, on termination."""


class Mode(StrEnum):
    """How the IDE follows sub-processes: its flag on pydevd's command line."""

    DISPATCH = "--multiproc"
    CONNECT = "--multiprocess"
    NONE = ""


@dataclass(frozen=True)
class Breakpoint:
    """`function` is `None` for any line, as the IDE sends it when it has not parsed the file."""

    path: Path
    line: int
    condition: str = "None"
    policy: str = "NONE"

    @property
    def payload(self) -> str:
        where = ("python-line", self.path, self.line, "None")
        return "\t".join(map(str, (*where, self.policy, self.condition, "None")))


@dataclass(frozen=True)
class Suspended:
    """A thread that stands still."""

    process: Debugged
    thread: str
    file: str
    line: int
    function: str
    frame: str
    stack: tuple[str, ...]
    """Files and functions from the innermost frame outwards: `app.py:handler`."""

    def resume(self) -> None:
        self._leave(RESUME)

    def step_over(self) -> None:
        self._leave(STEP_OVER)

    def _leave(self, command: int) -> None:
        """Go on, and wait until that is known: else the next stop looked for is this one."""
        process = self.process
        process.send(command, self.thread)
        wait_until(
            lambda: process.has_ended or process.suspended.get(self.thread) is not self,
            what="resumed",
        )

    def evaluate(self, expression: str) -> str:
        payload = f"{self.thread}\t{self.frame}\tFRAME\t{expression}\t1"
        answer = ET.fromstring(self.process.ask(EVALUATE, payload))
        return unquote(unquote(answer[0].attrib["value"]))


class Debugged:
    """One process that has connected."""

    def __init__(self, sock: socket.socket, ide: PyCharm) -> None:
        self._socket = sock
        self._ide = ide
        self._seq = 1
        self._lock = threading.Lock()
        self._answers: dict[int, str] = {}
        self.commands: list[tuple[int, str]] = []
        self.threads: dict[str, str] = {}
        self.suspended: dict[str, Suspended] = {}
        self.suspensions = 0
        self.has_ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def start(self) -> None:
        """What the IDE sends to each new process: `handshake()`, `init()`, `run()`."""
        self.ask(VERSION, "0.1\tUNIX")
        for payload in self._ide.exception_breakpoints:
            self.send(ADD_EXCEPTION_BREAK, payload)
        for breakpoint_ in list(self._ide.breakpoints):
            self.send(SET_BREAK, breakpoint_.payload)
        if self._ide.runs_children or self is self._ide.main:
            self.send(RUN, "")

    @property
    def pid(self) -> int:
        """From a thread's id, which is the only place where the protocol tells it."""
        thread = wait_until(lambda: next(iter(self.threads), None), what="a thread")
        found = re.search(r"pid_(\d+)_", thread)
        assert found, thread
        return int(found.group(1))

    def send(self, command: int, payload: str) -> int:
        with self._lock:
            seq = self._seq
            self._seq += 2
            with contextlib.suppress(OSError):
                self._socket.sendall(f"{command}\t{seq}\t{payload}\n".encode())
        return seq

    def ask(self, command: int, payload: str, timeout: float = 10.0) -> str:
        seq = self.send(command, payload)
        wait_until(lambda: seq in self._answers or self.has_ended, timeout, f"answer to {command}")
        return self._answers.get(seq, "")

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._reader.join(5)

    def _read(self) -> None:
        received = b""
        with contextlib.suppress(OSError):
            while data := self._socket.recv(65536):
                *lines, received = (received + data).split(b"\n")
                for line in lines:
                    self._take(line.decode())
        self.suspended.clear()  # what goes on to its end may not have told that it goes on
        self.has_ended = True

    def _take(self, line: str) -> None:
        command, seq, payload = line.split("\t", 2)
        payload = unquote_plus(payload)
        self.commands.append((int(command), payload))
        match int(command):
            case 103:
                for thread in ET.fromstring(payload):
                    self.threads[thread.attrib["id"]] = unquote(thread.attrib["name"])
            case 104:
                self.threads.pop(payload, None)
                self.suspended.pop(payload, None)
            case 105:
                found = self._suspended(ET.fromstring(payload)[0])
                self.suspensions += 1
                self.suspended[found.thread] = found
            case 106:
                self.suspended.pop(payload.split("\t")[0], None)
            case number if number < 100 or number in (EXIT, PROCESS_CREATED):
                pass
            case _:
                self._answers[int(seq)] = payload

    def _suspended(self, thread: ET.Element) -> Suspended:
        frames = thread.findall("frame")
        names = [(unquote(f.attrib["file"]), unquote(f.attrib["name"])) for f in frames]
        return Suspended(
            self,
            thread.attrib["id"],
            names[0][0],
            int(frames[0].attrib["line"]),
            names[0][1],
            frames[0].attrib["id"],
            tuple(f"{os.path.basename(file)}:{name}" for file, name in names),
        )


class PyCharm:
    """The IDE: listens, takes processes as they come, sends each the breakpoints of now."""

    def __init__(self, mode: Mode, *, answers: bool, takes_more: bool) -> None:
        self.mode = mode
        self.breakpoints: list[Breakpoint] = []
        self.exception_breakpoints: list[str] = []
        self.processes: list[Debugged] = []
        self.errors: list[str] = []
        self.runs_children = True
        self._answers = answers
        self._takes_more = takes_more or mode is not Mode.NONE
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._wake, self._woken = socket.socketpair()
        self._acceptor = threading.Thread(target=self._accept_all, daemon=True)
        self._acceptor.start()

    def set(self, path: Path, line: int, **options: str) -> Breakpoint:
        """Set a breakpoint in all processes, and in those that come."""
        breakpoint_ = Breakpoint(path, line, **options)
        self.breakpoints.append(breakpoint_)
        for process in self.processes:
            process.send(SET_BREAK, breakpoint_.payload)
        return breakpoint_

    def remove(self, breakpoint_: Breakpoint) -> None:
        self.breakpoints.remove(breakpoint_)
        for process in self.processes:
            payload = f"python-line\t{breakpoint_.path}\t{breakpoint_.line}"
            process.send(REMOVE_BREAK, payload)

    @property
    def main(self) -> Debugged:
        return wait_until(lambda: self.processes and self.processes[0], what="a first process")

    def living(self) -> list[Debugged]:
        return [process for process in self.processes if not process.has_ended]

    def wait_suspended(
        self, where: Callable[[Suspended], bool] = lambda _: True, timeout: float = 20.0
    ) -> Suspended:
        """A thread of any process that stands still."""

        def look() -> Suspended | None:
            found = [s for p in self.living() for s in list(p.suspended.values())]
            return next(filter(where, found), None)

        return wait_until(look, timeout, lambda: f"a suspended thread; {self.describe()}")

    def describe(self) -> str:
        """For messages: what each process has said."""
        rows = [f"{p.threads}, ended: {p.has_ended}, {p.commands[-5:]}" for p in self.processes]
        return "\n".join(rows)

    def close(self) -> None:
        """As the IDE's Stop does first: it closes all connections and the port."""
        self._wake.send(b".")
        self._acceptor.join(5)
        self._listener.close()
        for process in self.processes:
            process.close()
        self._wake.close()
        self._woken.close()

    def _accept_all(self) -> None:
        while sock := self._accept(self._listener):
            if not self._answers or (self.processes and not self._takes_more):
                self._unanswered(sock)
                return
            try:
                self._take(sock)
            except (AssertionError, OSError) as error:
                self.errors.append(str(error))

    def _unanswered(self, sock: socket.socket) -> None:
        """As a connection in the backlog of a socket that nobody accepts from."""
        select.select([self._woken], [], [])
        sock.close()

    def _take(self, sock: socket.socket) -> None:
        if self.mode is Mode.DISPATCH:
            with sock, socket.create_server(("127.0.0.1", 0)) as listener:
                sock.sendall(f"{DISPATCH}\t-1\t{listener.getsockname()[1]}\n".encode())
                sock.close()
                connected = self._accept(listener, timeout=10.0)
            if connected is None:
                return
            sock = connected
        process = Debugged(sock, self)
        self.processes.append(process)
        process.start()

    def _accept(
        self, listener: socket.socket, timeout: float | None = None
    ) -> socket.socket | None:
        readable = select.select([listener, self._woken], [], [], timeout)[0]
        if listener not in readable:
            return None
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock


@contextlib.contextmanager
def pycharm(mode: Mode, *, answers: bool = True, takes_more: bool = False) -> Iterator[PyCharm]:
    """An IDE that is closed at the end of the block."""
    ide = PyCharm(mode, answers=answers, takes_more=takes_more)
    try:
        yield ide
    except BaseException:
        print(ide.describe())
        raise
    finally:
        with contextlib.suppress(OSError):
            ide.close()


def install_pydevd(directory: Path) -> Path:
    """Put pydevd-pycharm alone into a directory, as the IDE has it; returns its pydevd.py."""
    packages = Path(sysconfig.get_paths()["purelib"])
    ignored = shutil.ignore_patterns("*.pyd", "*darwin*", "*.c", "*.pyx", "__pycache__")
    for found in [*packages.glob("pydev*"), *packages.glob("_pydev*")]:
        if found.is_dir() and not found.name.endswith("-info"):
            shutil.copytree(found, directory / found.name, ignore=ignored)
        elif found.suffix == ".py":
            shutil.copy(found, directory)
    return directory / "pydevd.py"


def command(ide: PyCharm, pydevd: Path, module: str) -> tuple[str, ...]:
    """How the IDE starts `python -m MODULE` for a run configuration with a module name."""
    flags = [ide.mode.value] if ide.mode.value else []
    where = ["--client", "127.0.0.1", "--port", str(ide.port)]
    return (str(pydevd), "--module", *flags, *where, "--file", module)


@contextlib.contextmanager
def debugging(
    ide: PyCharm,
    *args: str,
    cwd: Path,
    pydevd: Path,
    python: str = sys.executable,
    module: str = "devlaunch",
    **env: str,
) -> Iterator[Launch]:
    """devlaunch as the IDE's Debug button starts it; ended and proven gone with the block."""
    env = {"PYCHARM_HOSTED": "1", "IDE_PROJECT_ROOTS": str(cwd), **env}
    launch = Launch(*args, cwd=cwd, python=python, env=env, command=command(ide, pydevd, module))
    with ending(launch):
        yield launch
