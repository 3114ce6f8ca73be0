"""The ways into debugging on Windows, or on Windows' CPython under wine: real debuggers, real DAP.

`test_ways_in` has more of each where there are terminals and signals.
"""

from __future__ import annotations

import contextlib
import re
import sys
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from support.dap import Body, DapClient
from support.editor import Editor
from support.launch import WSGI, Launch, asgi_app, launched, save
from support.launch import WSGI_HANDLER_LINE as HANDLER_LINE
from support.marks import assert_nothing_left, marked
from support.pycharm import UNCAUGHT, Mode, Suspended, command, install_pydevd, pycharm
from support.vscode import Session, VsCode
from support.wait import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="for Windows")

MODULE_LINE = 1
SERVED = ("--server", "wsgiref", "-v", "app:app")
BROKEN = "def handler():\n    pass\n    pass\n    return 1\n\nraise LookupError(7)\n"


@pytest.fixture
def app(tmp_path: Path) -> Path:
    path = tmp_path / "project" / "app.py"
    path.parent.mkdir()
    path.write_text(WSGI.format(version="v0"))
    return path


def as_sent(path: Path) -> str:
    """As VS Code sends it."""
    text = str(path)
    return text[0].lower() + text[1:]


def fetch(text: str) -> str:
    found = re.search(r"http://[\d.]+:\d+", text)
    assert found
    with urllib.request.urlopen(found[0], timeout=30) as response:
        return response.read().decode()


@contextlib.contextmanager
def asked(text: str) -> Iterator[Future[str]]:
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(fetch, text)


class Run:
    """An IDE's session by DAP, and what the run prints."""

    def __init__(self, session: DapClient, text: Callable[[], str], app: Path) -> None:
        self.session = session
        self._text = text
        self._app = app

    def wait_for(self, pattern: str, after: int = 0) -> None:
        def seen() -> object:
            self.session.drain(0.01)
            return re.compile(pattern).search(self._text(), after)

        wait_until(seen, 60, lambda: f"{pattern!r} in:\n{self._text()}")

    def save(self, version: str) -> int:
        """Returns where what is printed from now on begins."""
        printed = len(self._text())
        save(self._app, WSGI.format(version=version))
        return printed

    def stopped(self, line: int) -> Body:
        stopped = self.session.wait_event("stopped")
        assert self.session.top_frame(stopped)["line"] == line
        return stopped

    def pass_stop(self, line: int) -> None:
        self.session.continue_(self.stopped(line)["threadId"])

    def pass_handler(self, version: str) -> None:
        with asked(self._text()) as answer:
            stopped = self.stopped(HANDLER_LINE)
            assert self.session.evaluate(stopped, "VERSION") == repr(version)
            self.session.continue_(stopped["threadId"])
            assert answer.result(30) == version

    def pass_reload(self, version: str) -> None:
        printed = self.save(version)
        self.wait_for("reloaded in", printed)
        self.pass_handler(version)


def test_attached(app: Path) -> None:
    options = ("--debug-attach", "--debug-address", "127.0.0.1:0", "--port", "0")
    with launched(*options, *SERVED, cwd=app.parent) as launch:
        launch.wait_for("ready in", timeout=60)
        attach_and_reload(launch, app, as_sent(app))
        with DapClient("127.0.0.1", launch.debug_port, timeout=60) as ide:
            run = Run(ide, lambda: launch.text, app)
            ide.attach(breakpoints={app.as_posix(): [HANDLER_LINE]}, exceptions=["uncaught"])
            run.pass_handler("v3")
            ide.request("terminate")
            ide.wait_event("terminated")
        assert launch.wait_ended() == 0


def attach_and_reload(launch: Launch, app: Path, path: str) -> None:
    """One session: a reload by the standby, a save while paused, broken and mended, detached."""
    with DapClient("127.0.0.1", launch.debug_port, timeout=60) as ide:
        run = Run(ide, lambda: launch.text, app)
        lines = [MODULE_LINE, HANDLER_LINE]
        ide.attach(breakpoints={path: lines}, exceptions=["uncaught"], justMyCode=True)
        assert [each["name"] for each in ide.request("threads")["threads"]] == ["MainThread"]
        run.wait_for(r"standby ready: \d\d+ modules")  # wsgiref and what it needs
        printed = run.save("v1")
        run.pass_stop(MODULE_LINE)
        run.wait_for("reloaded in", printed)
        assert "started cold" not in launch.text
        with asked(launch.text) as answer:
            held = run.stopped(HANDLER_LINE)
            printed = run.save("v2")
            run.wait_for("will reload on continue", printed)
            ide.continue_(held["threadId"])
            assert answer.result(30) == "v1"
        run.pass_stop(MODULE_LINE)
        run.wait_for("reloaded in", printed)
        ide.set_breakpoints(path, [HANDLER_LINE])
        run.pass_handler("v2")
        save(app, BROKEN)
        run.wait_for(r"broken +app\.py:6 +LookupError: 7", printed)
        run.stopped(6)  # and nobody continues
        printed = run.save("v3")
        run.wait_for("(reloaded|ready) in", printed)
        run.pass_handler("v3")
        assert len(ide.events("initialized")) == 1
        ide.request("disconnect", terminateDebuggee=False)
    launch.wait_served("v3")


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn"])
def test_no_thread_of_a_loop_is_shown(app: Path, server: str) -> None:
    app.write_text(asgi_app("v0"))
    options = ("--debug-attach", "--debug-address", "127.0.0.1:0", "--port", "0")
    with launched(*options, "--server", server, "app:app", cwd=app.parent) as launch:
        launch.wait_served("v0")
        with DapClient("127.0.0.1", launch.debug_port, timeout=60) as ide:
            ide.attach(exceptions=["uncaught"], justMyCode=True)
            for version in ("v1", "v2"):
                assert [each["name"] for each in ide.request("threads")["threads"]] == [
                    "MainThread"
                ]
                save(app, asgi_app(version))
                launch.wait_served(version)
            ide.request("disconnect", terminateDebuggee=False)


def stop(ide: VsCode, _: Session) -> None:
    ide.stop(ide.root)


def stop_child_after_restart(ide: VsCode, child: Session) -> None:
    assert child.effective_capabilities().get("supportsRestartRequest")
    assert ide.restart(child) is child
    ide.wait_text("restarted in", timeout=60)
    ide.stop(child)


@pytest.mark.parametrize(
    ("console", "end"),
    [("internalConsole", stop), ("integratedTerminal", stop_child_after_restart)],
)
def test_f5(app: Path, console: str, end: Callable[[VsCode, Session], None]) -> None:
    with VsCode(cwd=app.parent, breakpoints={"app.py": [HANDLER_LINE]}) as ide:
        ide.launch(*SERVED, console=console)
        child = ide.adopt(timeout=60)
        run = Run(child, lambda: ide.drain() or ide.text, app)
        run.wait_for("ready in")
        run.pass_handler("v0")
        run.pass_reload("v1")
        end(ide, child)
        adapter = ide.adapter
        assert adapter
        wait_until(lambda: set(marked(ide.run_id)) <= {adapter.pid}, 20, "the end of all")


@pytest.mark.parametrize("console", ["internalConsole", "integratedTerminal"])
def test_adapter_on_stdio(app: Path, console: str) -> None:
    editor = Editor(app.parent, {}, 60)
    run = Run(
        editor.ide, lambda: editor.output() + "".join(t.screen for t in editor.terminals), app
    )
    try:
        launch(editor.ide, app, console)
        run.wait_for("ready in")
        run.pass_handler("v0")
        run.pass_reload("v1")
        editor.ide.request("restart")
        run.wait_for("restarted in")
        run.pass_handler("v1")
        editor.ide.request("terminate")
        editor.ide.wait_event("terminated")
    finally:
        editor.close()
    assert editor.errors == ""


def launch(ide: DapClient, app: Path, console: str) -> None:
    ide.launch(
        breakpoints={as_sent(app): [HANDLER_LINE]},
        exceptions=["uncaught"],
        initialize={"supportsRunInTerminalRequest": True},
        type="devlaunch",
        app="app:app",
        server="wsgiref",
        cwd=str(app.parent),
        port=0,
        console=console,
    )


def test_adapter_that_listens(app: Path) -> None:
    adapter = Launch(
        "--listen", "127.0.0.1:0", cwd=app.parent, command=("-m", "devlaunch", "adapter")
    )
    port = int(adapter.wait_for(r"listening on .*:(\d+)")[1])
    try:
        with DapClient("127.0.0.1", port, timeout=60) as ide:
            launch(ide, app, "internalConsole")
            run = Run(ide, lambda: "".join(e["output"] for e in ide.events("output")), app)
            run.wait_for("ready in")
            run.pass_handler("v0")
        # Without a word: the run ends with its editor.
        wait_until(lambda: marked(adapter.run_id) == [adapter.pid], 20, "the end of the run")
    finally:
        adapter.process.kill()
        adapter.wait_ended()
        assert_nothing_left(adapter.run_id)


LIBRARIES = {
    "opens_file": "FILE = open(__file__)\n",
    "opens_socket": "import socket\nSOCKET = socket.socket()\n",
    "tries_socket": "import socket\nsocket.socket().close()\n",
    "starts": "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'pass']).wait()\n",
}


def test_what_no_standby_may_do(app: Path, tmp_path: Path) -> None:
    packages = tmp_path / "site-packages"
    packages.mkdir()
    for name, code in LIBRARIES.items():
        (packages / f"{name}.py").write_text(code)
    app.write_text(f"import {', '.join(LIBRARIES)}\n{WSGI.format(version='v0')}")
    env = {"PYTHONPATH": str(packages)}
    with launched("--port", "0", *SERVED, cwd=app.parent, env=env) as launch:
        launch.wait_for("standby ready", timeout=60)
        for name in ("opens_file", "opens_socket"):
            launch.wait_for(rf"{name} is left to the app \(opens a file or socket\)")
        launch.wait_for(r"starts is left to the app \(starts a process\)")
        assert "tries_socket" not in launch.text


@pytest.mark.parametrize("is_server", [False, True], ids=["Debug button", "--pycharm-server"])
def test_pycharm(app: Path, tmp_path: Path, is_server: bool) -> None:
    pytest.importorskip("pydevd_pycharm")
    mode = Mode.CONNECT if is_server else Mode.DISPATCH
    words: dict[str, object] = {}
    with pycharm(mode) as ide:
        ide.exception_breakpoints.append(UNCAUGHT)
        ide.set(app, MODULE_LINE)
        ide.set(Path(as_sent(app)), HANDLER_LINE)
        options = ("--pycharm-server", f"127.0.0.1:{ide.port}") if is_server else ()
        if not is_server:
            (tmp_path / "helpers").mkdir()
            pydevd = install_pydevd(tmp_path / "helpers")
            words = {"command": command(ide, pydevd, "devlaunch"), "env": {"PYCHARM_HOSTED": "1"}}
        with launched(*options, "--port", "0", *SERVED, cwd=app.parent, **words) as run:
            printed = 0
            for version in ("v0", "v1", "v2"):
                if version != "v0":
                    run.wait_for("standby ready", timeout=60, after=printed)
                    printed = len(run.text)
                    save(app, WSGI.format(version=version))
                pass_suspension(ide.wait_suspended(timeout=60), MODULE_LINE, version="")
                run.wait_for("(ready|reloaded) in", timeout=60, after=printed)
                with asked(run.text) as answer:
                    pass_suspension(ide.wait_suspended(timeout=60), HANDLER_LINE, version)
                    assert answer.result(30) == version
            assert "started cold" not in run.text
            if not is_server:
                ide.close()
                run.wait_ended()
        assert not ide.errors


def pass_suspension(stop: Suspended, line: int, version: str) -> None:
    assert stop.line == line
    assert not version or stop.evaluate("VERSION") == version
    stop.resume()
