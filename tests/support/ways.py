"""Every way in, behind one interface: an IDE, devlaunch under it or beside it, and the app.

Each is started with breakpoints at the lines of app.py, runs on a real terminal, and has the IDE's
Stop button. `start` returns when the app serves; a breakpoint at import time was hit until then
wherever the IDE is there from the beginning (`sees_first_import`).
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from support.dap import DapClient
from support.editor import Editor
from support.launch import save
from support.marks import assert_nothing_left, describe, marked
from support.pycharm import UNCAUGHT as ON_TERMINATION
from support.pycharm import Mode, PyCharm, Suspended, command
from support.terminal_launch import TerminalLaunch
from support.vscode import Session, VsCode
from support.wait import wait_until

PLAIN = {"NO_COLOR": "1"}
SERVED = ("app:app",)
APP = ("--port", "0", *SERVED)
UNCAUGHT = ["uncaught"]
"""The filter that is ticked where nobody has touched any."""


class Way(ABC):
    """One IDE and one run."""

    sees_first_import = True
    stop_ends_the_run = True

    def __init__(self, cwd: Path, lines: Iterable[int], pydevd: Path) -> None:
        self.cwd = cwd
        self.lines = list(lines)
        self.pydevd = pydevd
        self.run_id = ""

    @abstractmethod
    def start(self) -> None:
        """Start everything, up to the first `stopped` or the banner."""

    @property
    @abstractmethod
    def text(self) -> str:
        """What devlaunch and the app have printed."""

    @property
    @abstractmethod
    def launcher(self) -> int:
        """The pid of devlaunch."""

    @abstractmethod
    def wait_stop(self) -> tuple[int, str]:
        """Until the app is held at a breakpoint: its line and the value of VERSION there."""

    @abstractmethod
    def resume(self) -> None:
        """Continue from the last stop."""

    @abstractmethod
    def press(self, keys: str) -> None:
        """Type in the terminal."""

    @abstractmethod
    def press_stop(self) -> None:
        """The IDE's Stop button."""

    @abstractmethod
    def close(self) -> None:
        """End what still runs."""

    @property
    def announced(self) -> int:
        """How many sessions of the app's the IDE was asked to open, where it is asked at all."""
        return 1

    # --- the app ---------------------------------------------------------------------------------

    def wait_for(self, pattern: str, after: int = 0) -> re.Match[str]:
        return wait_until(
            lambda: re.compile(pattern).search(self.text, after),
            30,
            lambda: f"{pattern!r} in:\n{self.text}",
        )

    @cached_property
    def url(self) -> str:
        return self.wait_for(r"http://[\d.]+:\d+")[0]

    def get(self, path: str = "/") -> str:
        with urllib.request.urlopen(self.url + path, timeout=30) as response:
            return response.read().decode()

    def save(self, text: str) -> None:
        save(self.cwd / "app.py", text)

    def nothing_left(self, within: float = 3.0) -> None:
        """All of the run is gone."""
        assert_nothing_left(self.run_id, within)


class Dap(Way):
    """A way whose IDE speaks DAP: `session` is the one that shows the app."""

    session: DapClient

    def wait_stop(self) -> tuple[int, str]:
        self._stopped = self.session.wait_event("stopped", timeout=30)
        line = self.session.top_frame(self._stopped)["line"]
        return line, self.session.evaluate(self._stopped, "globals().get('VERSION')").strip("'")

    def resume(self) -> None:
        self.session.continue_(self._stopped["threadId"])


class Terminal(Dap):
    """`devlaunch --debug-attach` in a terminal, attached to when it serves."""

    sees_first_import = False

    def start(self) -> None:
        options = ("--debug-attach", "--debug-address", "127.0.0.1:0")
        self._launch = TerminalLaunch(*options, *APP, cwd=self.cwd, env=PLAIN)
        self.run_id = self._launch.run_id
        self._launch.wait_for("ready in")
        self.session = DapClient("127.0.0.1", self._launch.debug_port, timeout=30)
        breakpoints = {str(self.cwd / "app.py"): self.lines}
        self.session.attach(breakpoints=breakpoints, exceptions=UNCAUGHT)

    @property
    def text(self) -> str:
        return self._launch.text

    @property
    def launcher(self) -> int:
        return self._launch.pid

    def press(self, keys: str) -> None:
        self._launch.press(keys)

    def press_stop(self) -> None:
        self.session.request("terminate")

    def close(self) -> None:
        self.session.close()
        self._launch.close()


class Debugpy(Dap):
    """Under the real debugpy adapter, driven as VS Code does."""

    configuration: ClassVar[dict[str, object]] = {}

    def start(self) -> None:
        self._ide = VsCode(cwd=self.cwd, breakpoints={"app.py": self.lines}, env=PLAIN)
        self.run_id = self._ide.run_id
        self._root: Session = self._begin()
        self.session = self._ide.adopt()

    def _begin(self) -> Session:
        console = "integratedTerminal"
        return self._ide.launch(*SERVED, console=console, **self.configuration)

    @property
    def text(self) -> str:
        return self._ide.terminal.screen if self._ide.terminal else ""

    @property
    def launcher(self) -> int:
        [event] = self._root.events("process")
        return int(event["systemProcessId"])

    @property
    def announced(self) -> int:
        return self._root.announced

    def press(self, keys: str) -> None:
        assert self._ide.terminal is not None
        self._ide.terminal.press(keys)

    def press_stop(self) -> None:
        self._ide.stop(self._ide.root)

    def nothing_left(self, within: float = 3.0) -> None:
        self._ide.wait_all_ended(within)

    def close(self) -> None:
        self._ide.close()


class DebugpyWithoutSubProcess(Debugpy):
    """A launch configuration that says not to follow child processes."""

    configuration: ClassVar[dict[str, object]] = {"subProcess": False}


class DebugpyListen(Debugpy):
    """`python -m debugpy --listen` in a terminal, attached to."""

    def _begin(self) -> Session:
        options = ["--wait-for-client"]
        return self._ide.attach(self._ide.listen(*SERVED, options=options, on_pty=True))

    @property
    def launcher(self) -> int:
        assert self._ide.terminal is not None
        return self._ide.terminal.pid

    def press_stop(self) -> None:
        # Disconnect, as VS Code has it for what it has attached to: it leaves child sessions alone.
        for session in list(self._ide.sessions):
            self._ide.stop(session)

    stop_ends_the_run = False


class Adapter(Dap):
    """`devlaunch adapter`, its launcher in the editor's terminal."""

    console = "integratedTerminal"

    def start(self) -> None:
        self._editor = Editor(self.cwd, timeout=30, env=PLAIN)
        self.run_id = self._editor.run_id
        self.session = self._editor.ide
        self.session.launch(
            breakpoints={str(self.cwd / "app.py"): self.lines},
            exceptions=UNCAUGHT,
            initialize={"supportsRunInTerminalRequest": True},
            type="devlaunch",
            app="app:app",
            port=0,
            console=self.console,
        )

    @property
    def text(self) -> str:
        return "".join(pty.screen for pty in self._editor.terminals)

    @property
    def launcher(self) -> int:
        [pid] = [
            pid
            for pid in marked(self.run_id)
            if "--debug-attach" in describe([pid]) and pid != self._editor.process.pid
        ]
        return pid

    def press(self, keys: str) -> None:
        self._editor.terminals[0].press(keys)

    def press_stop(self) -> None:
        self.session.request("terminate")

    def nothing_left(self, within: float = 3.0) -> None:
        # Not the adapter: it is the editor's, and lives as long as that.
        deadline = time.monotonic() + within
        wait_until(
            lambda: set(marked(self.run_id)) <= {self._editor.process.pid},
            max(0.0, deadline - time.monotonic()),
            lambda: describe(marked(self.run_id)),
        )

    def close(self) -> None:
        self._editor.close()


class AdapterWithConsole(Adapter):
    """`devlaunch adapter`, the output in the editor's debug console."""

    console = "internalConsole"

    @property
    def text(self) -> str:
        self.session.drain(0.01)
        return self._editor.output()

    def press(self, keys: str) -> None:
        # There is no terminal; this is what one would do.
        assert keys == "\x03"
        os.kill(self.launcher, signal.SIGINT)


class Classic(Way):
    """Classic PyCharm: the real pydevd-pycharm, the IDE's side of its protocol."""

    mode = Mode.DISPATCH

    def start(self) -> None:
        self._ide = PyCharm(self.mode, answers=True, takes_more=False)
        self._ide.exception_breakpoints.append(ON_TERMINATION)
        for line in self.lines:
            self._ide.set(self.cwd / "app.py", line)
        env = {**PLAIN, "PYCHARM_HOSTED": "1", "IDE_PROJECT_ROOTS": str(self.cwd)}
        self._launch = TerminalLaunch(
            *self._options(), *APP, cwd=self.cwd, env=env, command=self._command()
        )
        self.run_id = self._launch.run_id
        self._stop: Suspended | None = None

    def _options(self) -> tuple[str, ...]:
        return ()

    def _command(self) -> tuple[str, ...]:
        return command(self._ide, self.pydevd, "devlaunch")

    @property
    def text(self) -> str:
        return self._launch.text

    @property
    def launcher(self) -> int:
        return self._launch.pid

    def wait_stop(self) -> tuple[int, str]:
        self._stop = self._ide.wait_suspended(timeout=30)
        return self._stop.line, self._stop.evaluate("globals().get('VERSION')")

    def resume(self) -> None:
        assert self._stop is not None
        stop = self._stop
        stop.resume()
        wait_until(lambda: not stop.process.suspended, what="resumed")

    def press(self, keys: str) -> None:
        self._launch.press(keys)

    def press_stop(self) -> None:
        self._ide.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._ide.close()
        # By SIGTERM: a hang-up would be no news to a run that has ended.
        self._launch.close(signal.SIGTERM)


class ClassicConnect(Classic):
    """The older flag."""

    mode = Mode.CONNECT


class DebugServer(Classic):
    """PyCharm's "Python Debug Server", which devlaunch runs beside."""

    mode = Mode.CONNECT
    stop_ends_the_run = False

    def _options(self) -> tuple[str, ...]:
        return ("--pycharm-server", f"127.0.0.1:{self._ide.port}")

    def _command(self) -> tuple[str, ...]:
        return ("-m", "devlaunch")


WAYS: dict[str, type[Way]] = {
    "launch": Debugpy,
    "launch without subProcess": DebugpyWithoutSubProcess,
    "listen and attach": DebugpyListen,
    "terminal": Terminal,
    "adapter": Adapter,
    "adapter with console": AdapterWithConsole,
    "PyCharm multiproc": Classic,
    "PyCharm multiprocess": ClassicConnect,
    "settrace": DebugServer,
}


@contextlib.contextmanager
def running(way: Way) -> Iterator[Way]:
    """A way that is started, and whose end and cleanliness is proven at the end of the block."""
    way.start()
    try:
        yield way
    except BaseException:
        print(way.text)
        raise
    finally:
        way.close()
