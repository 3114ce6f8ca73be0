"""Who is measured: the table, and how one of it is started, told to reload, and ended."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from apps import App, token
from client import pid_of, wait_served
from ides import Attached, Classic, Launching
from processes import MARK, end, end_marked, new_mark
from support.launch import environment, free_port, save

FLOOR = Path(__file__).with_name("floor.py")
ADDRESS = ("--host", "127.0.0.1", "--port", "{port}")
WATCHMEDO = (
    *("-m", "watchdog.watchmedo", "auto-restart"),
    *("--recursive", "--pattern=*.py", "--signal=SIGTERM"),
)
UVICORN = ("-m", "uvicorn", *ADDRESS, "app:app")


@dataclass(frozen=True)
class Peer:
    """`command` is what Python is given; `ide` says who starts it or attaches to it."""

    name: str
    command: tuple[str, ...]
    framework: str = "asgi"
    ide: str = ""
    is_ours: bool = False
    in_place: bool = False
    """It does not see a file that is renamed over the old one, as most editors save."""

    @property
    def is_debugged(self) -> bool:
        return bool(self.ide)


REFERENCE = Peer("uvicorn --reload", ("-m", "uvicorn", "--reload", *ADDRESS, "app:app"))
DEBUGGED_REFERENCE = Peer(
    "uvicorn --reload, debugpy launch", ("-m", "uvicorn", "--reload", "app:app"), ide="launch"
)
PYCHARM_REFERENCE = Peer("uvicorn --reload, PyCharm", REFERENCE.command, ide="pycharm")
FLOOR_PEER = Peer("the floor", ())
OTHERS = (
    REFERENCE,
    Peer(
        "granian --reload",
        ("-m", "granian", "--interface", "asgi", "--reload", *ADDRESS, "app:app"),
    ),
    Peer(
        "hypercorn --reload",
        ("-m", "hypercorn", "--reload", "--bind", "127.0.0.1:{port}", "app:app"),
    ),
    Peer("watchmedo auto-restart uvicorn", (*WATCHMEDO, "--", sys.executable, *UVICORN)),
    Peer("hupper uvicorn", ("{bin}/hupper", *UVICORN)),
    Peer("jurigged uvicorn (patches the process)", ("-m", "jurigged", *UVICORN), in_place=True),
    DEBUGGED_REFERENCE,
    PYCHARM_REFERENCE,
    # Not its watchdog reloader: that sees every file which another peer opens in site-packages.
    Peer("Flask's reloader (stat)", ("app.py", "{port}"), framework="flask"),
    Peer("Django's runserver", ("manage.py", "runserver", "{port}"), framework="django"),
)


def ours(options: Sequence[str]) -> tuple[Peer, ...]:
    """devlaunch with these options, in each way."""
    start = ("-m", "devlaunch", *options)
    name = " ".join(("devlaunch", *options))
    attach = (*start, "--debug-attach", "--debug-address", "127.0.0.1:{debug_port}")
    django = ("manage.py", "runserver", "{port}")
    return tuple(
        Peer(f"{name}{how}", command, framework, ide, is_ours=True)
        for how, command, framework, ide in (
            ("", (*start, *ADDRESS, "app:app"), "asgi", ""),
            (", debugpy launch", (*start, "app:app"), "asgi", "launch"),
            (", PyCharm", (*start, *ADDRESS, "app:app"), "asgi", "pycharm"),
            (", attached", (*attach, *ADDRESS, "app:app"), "asgi", "attach"),
            ("", (*start, *ADDRESS, "app:app"), "flask", ""),
            (", attached", (*attach, *ADDRESS, "app:app"), "flask", "attach"),
            ("", (*start, *django), "django", ""),
            (", attached", (*attach, *django), "django", "attach"),
        )
    )


class Running(Protocol):
    """One peer that serves an app."""

    peer: Peer
    mark: str
    port: int

    def prepare(self) -> None:
        """Before the pause that comes before a save."""

    def save(self, text: str) -> None:
        """Write the new version: from here on the time counts."""

    def close(self) -> None:
        """End it, and all that it has started."""


class Started:
    """A peer with its app in a directory of its own; `text` is what it has printed.

    Its output goes to a file, or to the terminal of the IDE that launches it.
    """

    def __init__(self, peer: Peer, app: App, directory: Path) -> None:
        self.peer, self.mark, self.port = peer, new_mark(), free_port()
        directory.mkdir(exist_ok=True)
        self.file = app.write(directory)
        self._log = directory.with_name(f"{directory.name}-{self.mark}.log")
        self._process: subprocess.Popen[bytes] | None = None
        self._closing = contextlib.ExitStack()
        self._launched: Launching | None = None
        try:
            self._start(directory, free_port())
        except BaseException:
            self.close()
            raise

    def _start(self, directory: Path, debug_port: int) -> None:
        holes = {"port": self.port, "debug_port": debug_port, "bin": Path(sys.executable).parent}
        words = [word.format(**holes) for word in self.peer.command]
        env = environment(**{MARK: self.mark})
        if self.peer.ide == "launch":
            self._launched = Launching(words, self.port, self.file, {MARK: self.mark})
            self._closing.callback(self._launched.close)
            return
        if self.peer.ide == "pycharm":
            ide = self._closing.enter_context(Classic(self.file, directory.parent))
            words[:2] = ide.words(words[1])
            env |= {"PYCHARM_HOSTED": "1", "IDE_PROJECT_ROOTS": str(directory)}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, *words], cwd=directory, env=env, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        if self.peer.ide == "attach":
            self._closing.callback(Attached(debug_port, self.file).close)

    @property
    def pid(self) -> int:
        """The process that was started: devlaunch itself, or the reloader."""
        if self._launched is not None:
            return self._launched.pid
        assert self._process is not None
        return self._process.pid

    @property
    def app_pid(self) -> int:
        """The process that serves."""
        return pid_of(self.port)

    @property
    def text(self) -> str:
        if self._launched is not None:
            return self._launched.text
        return self._log.read_text(errors="replace")

    def prepare(self) -> None: ...

    def save(self, text: str) -> None:
        if self.peer.in_place:
            self.file.write_text(text)
        else:
            save(self.file, text)

    def close(self) -> None:
        if self._process is not None:
            end(self._process, self.mark)
        with contextlib.suppress(AssertionError, OSError):
            self._closing.close()
        end_marked(self.mark)


class Floor:
    """A warm interpreter for each save; the one before is ended, without being timed."""

    def __init__(self, app: App, directory: Path) -> None:
        self.peer, self.mark = FLOOR_PEER, new_mark()
        self._directory = directory
        directory.mkdir()
        self.file = app.write(directory)
        self._process: subprocess.Popen[Any] | None = None
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.port = self._socket.getsockname()[1]
        listed = subprocess.run(
            [sys.executable, str(FLOOR), "list"],
            cwd=directory, env=environment(), check=True, capture_output=True, text=True,
        )  # fmt: skip
        self._modules = json.dumps(json.loads(listed.stdout.splitlines()[-1]))
        self.prepare()
        self._tell()

    def prepare(self) -> None:
        self._end()
        fd = self._socket.fileno()
        self._process = subprocess.Popen(
            [sys.executable, str(FLOOR), "serve", str(fd)],
            cwd=self._directory, env=environment(**{MARK: self.mark}), pass_fds=[fd], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        self._write(self._modules)
        assert self._process.stdout.readline() == "warm\n"

    def save(self, text: str) -> None:
        save(self.file, text)
        self._tell()

    def _tell(self) -> None:
        self._write("go")

    def _write(self, line: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def _end(self) -> None:
        if self._process is not None:
            end(self._process, self.mark)
            self._process.communicate()
            self._process = None

    def close(self) -> None:
        self._end()
        self._socket.close()


def start(peer: Peer, app: App, directory: Path) -> Running:
    """Start a peer and wait until it serves version 0; raises AssertionError or OSError."""
    if peer is FLOOR_PEER:
        floor = Floor(app, directory)
        wait_served(floor.port, token(0))
        return floor
    running = Started(peer, app, directory)
    try:
        wait_served(running.port, token(0))
    except AssertionError as error:
        text = running.text
        running.close()
        raise AssertionError(f"{error}; it printed:\n{text[-400:]}") from None
    except BaseException:
        running.close()
        raise
    return running
