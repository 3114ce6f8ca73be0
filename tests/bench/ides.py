"""IDEs that run in the background: they read what they are sent, and take every process that comes.

Each has one breakpoint that never stops anything, to be set in every new process.
"""

from __future__ import annotations

import contextlib
import select
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from support.dap import Body, DapClient
from support.pycharm import Mode, PyCharm, command, install_pydevd
from support.vscode import VsCode
from support.wait import wait_until

NEVER = {"line": 1, "condition": "False"}


class Reader:
    """Reads DAP sessions in a thread, and gives each announced child session to `adopt`."""

    def __init__(
        self, sessions: list[Any], adopt: Callable[[Body], object] = lambda announcement: None
    ) -> None:
        self._sessions = sessions
        self._adopt = adopt
        self._looked_at: dict[int, int] = {}
        self._ending = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def end(self) -> None:
        self._ending = True
        self.thread.join(30)

    def _run(self) -> None:
        while not self._ending:
            self._sessions[:] = [each for each in self._sessions if not each.closed]
            by_socket = {each.sock: each for each in self._sessions}
            if not by_socket:
                return
            for sock in select.select(list(by_socket), [], [], 0.1)[0]:
                with contextlib.suppress(OSError):
                    by_socket[sock]._receive(1.0)
            for session in by_socket.values():
                self._look(session)

    def _look(self, session: DapClient) -> None:
        at = self._looked_at.get(id(session), 0)
        self._looked_at[id(session)] = len(session.messages)
        for message in session.messages[at:]:
            found = message.get("arguments") if message["type"] == "request" else None
            if message.get("event") == "debugpyAttach":
                found = {"configuration": message["body"]}
            if found and "configuration" in found:
                # One that has ended by now, as multiprocessing's resource tracker may have.
                with contextlib.suppress(AssertionError, OSError):
                    self._adopt({"request": "attach", **found["configuration"]})


class Attached:
    """An IDE that has attached to a debug port; `client` must be left alone while it reads."""

    def __init__(self, port: int, file: Path) -> None:
        self.client = connect(port)
        self.client.attach(breakpoints={str(file): [NEVER]}, justMyCode=True)
        self._reader = Reader([self.client])

    def close(self) -> None:
        self._reader.end()
        self.client.close()


def connect(port: int) -> DapClient:
    """A client, as soon as somebody listens."""

    def attempt() -> DapClient | None:
        with contextlib.suppress(ConnectionRefusedError):
            return DapClient("127.0.0.1", port, timeout=60)
        return None

    return wait_until(attempt, 30, "debug port")


class Launching:
    """F5 in an IDE with the real debugpy adapter and the program in the IDE's terminal."""

    def __init__(self, words: Sequence[str], port: int, file: Path, env: Mapping[str, str]) -> None:
        name = str(file.relative_to(file.parent))
        self._ide = VsCode(cwd=file.parent, breakpoints={name: [NEVER]}, env=env)  # type: ignore[dict-item]
        self._ide.port = port
        option, module, *args = words
        assert option == "-m"
        self._ide.launch(*args, module=module, console="integratedTerminal")
        self._reader = Reader(self._ide.sessions, self._ide.open)

    @property
    def text(self) -> str:
        return self._ide.text

    @property
    def pid(self) -> int:
        """The launched program's."""
        [event] = self._ide.root.events("process")
        return int(event["systemProcessId"])

    def close(self) -> None:
        self._reader.end()
        with contextlib.suppress(AssertionError):  # what is left is ended by its mark
            self._ide.close()


class Classic:
    """Classic PyCharm; `words` is how it starts a module under its debugger."""

    def __init__(self, file: Path, base: Path) -> None:
        self._pydevd = base / "pydevd"
        if not self._pydevd.exists():
            self._pydevd.mkdir()
            install_pydevd(self._pydevd)
        self._ide = PyCharm(Mode.DISPATCH, answers=True, takes_more=True)
        self._ide.set(file, NEVER["line"], condition=NEVER["condition"])

    def words(self, module: str) -> tuple[str, ...]:
        return command(self._ide, self._pydevd / "pydevd.py", module)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._ide.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
