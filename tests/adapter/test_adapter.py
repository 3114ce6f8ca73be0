"""`devlaunch adapter` as an editor meets it: the real command, the real debugpy below, real DAP.

Most apps here are WSGI on wsgiref, since that starts fastest; those with a lifespan run on uvicorn.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.dap import Body, DapClient, RequestFailed
from support.editor import COMMAND, Editor, editing
from support.launch import MODULE_LINE, WSGI, Launch, environment, free_port, launched
from support.launch import WSGI_HANDLER_LINE as HANDLER_LINE
from support.marks import assert_nothing_left, describe, marked
from support.pty import Pty
from support.wait import wait_until

from devlaunch.adapter.plan import make_plan
from devlaunch.adapter.server import Adapter
from devlaunch.adapter.starting import Run
from devlaunch.dap.proxy import GOODBYE_TIMEOUT
from devlaunch.debuggers.link import Invitation
from devlaunch.system.loop import Loop

HOOKED = """\
import pathlib
VERSION = {version!r}

def handler():
    result = VERSION
    return result

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                print("the hook has run")
                pathlib.Path("hook " + VERSION).touch()
            await send({{"type": message["type"] + ".complete"}})
            if message["type"] == "lifespan.shutdown":
                return
    body = handler().encode()
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": body}})
"""
HOOKED_LINE = 5
APP = {"app": "app:app", "port": 0, "server": "wsgiref", "type": "devlaunch"}
HOOKED_APP = {"app": "app:app", "port": 0, "type": "devlaunch"}
TERMINAL = {"supportsRunInTerminalRequest": True}


class Running:
    """An app that was launched by an editor."""

    def __init__(self, editor: Editor) -> None:
        self.editor = editor
        self.ide = editor.ide
        self.path = str(editor.cwd / "app.py")

    @property
    def text(self) -> str:
        return self.editor.output() + "".join(pty.screen for pty in self.editor.terminals)

    def wait_for(self, pattern: str) -> re.Match[str]:
        def found() -> bool:
            self.ide.drain(0.01)
            return re.search(pattern, self.text) is not None

        wait_until(found, 20, lambda: f"{pattern!r} in:\n{self.text}")
        match = re.search(pattern, self.text)
        assert match
        return match

    def get(self) -> str:
        url = self.wait_for(r"http://[\d.]+:\d+")[0]
        with urllib.request.urlopen(url, timeout=20) as response:
            return response.read().decode()

    @contextlib.contextmanager
    def visit(self) -> Iterator[Future[str]]:
        self.wait_for("http://")
        with ThreadPoolExecutor(1) as pool:
            yield pool.submit(self.get)

    def write(self, version: str, source: str = WSGI) -> None:
        self.editor.save(source.format(version=version))

    def visit_breakpoint(self, answer: str, line: int = HANDLER_LINE) -> None:
        with self.visit() as future:
            self.pass_breakpoint(line)
            assert future.result(20) == answer

    def pass_breakpoint(self, line: int) -> Body:
        stopped = self.ide.wait_event("stopped")
        assert self.ide.top_frame(stopped)["line"] == line
        self.ide.continue_(stopped["threadId"])
        return stopped

    def reload(self, version: str, source: str = WSGI) -> None:
        count = self.text.count("reloaded in")
        self.write(version, source)

        def reloaded() -> bool:
            self.ide.drain(0.01)
            return self.text.count("reloaded in") > count

        wait_until(reloaded, 20, lambda: self.text)

    def launcher(self) -> int:
        """The pid of the launcher."""
        [pid] = [
            pid
            for pid in marked(self.editor.run_id)
            if "--debug-attach" in describe([pid]) and pid != self.editor.process.pid
        ]
        return pid

    def check_the_end(self, status: int | None = 0) -> None:
        """`exited` and `terminated`, in this order and once, and no output after them."""
        self.ide.wait_event("terminated")
        self.ide.drain(0.1)
        names = [m["event"] for m in self.ide.messages if m["type"] == "event"]
        expected = ["terminated"] if status is None else ["exited", "terminated"]
        assert [n for n in names if n in ("exited", "terminated")] == expected
        assert "output" not in names[names.index(expected[0]) :]
        if status is not None:
            assert self.ide.events("exited") == [{"exitCode": status}]


@contextlib.contextmanager
def launch(
    root: Path, *lines: int, source: str = WSGI, initialize: Body | None = None, **arguments: Any
) -> Iterator[Running]:
    """The app, launched by an editor with breakpoints at these lines of app.py."""
    (root / "app.py").write_text(source.format(version="v0"))
    with editing(root) as editor:
        running = Running(editor)
        editor.ide.launch(
            breakpoints={running.path: lines},
            initialize=initialize,
            **({**(APP if source is WSGI else HOOKED_APP), **arguments}),
        )
        yield running
        seqs = [message["seq"] for message in editor.ide.messages]
        assert seqs == list(range(1, len(seqs) + 1))


# --- breakpoints --------------------------------------------------------------------------------


def test_stop_on_entry_is_for_the_first_start(tmp_path: Path) -> None:
    with launch(tmp_path, stopOnEntry=True) as app:
        stopped = app.ide.wait_event("stopped")
        assert stopped["reason"] == "entry"
        assert app.ide.stop_lines(stopped) == [("<module>", MODULE_LINE)]
        app.ide.continue_()
        app.wait_for("ready in")
        app.reload("v1")
        assert app.get() == "v1"
        assert len(app.ide.events("stopped")) == 1


def test_while_paused_restart(tmp_path: Path) -> None:
    with launch(tmp_path, HANDLER_LINE, whilePaused="restart") as app:
        with app.visit() as future:
            app.ide.wait_event("stopped")
            app.write("v1")
            app.wait_for("reloaded in")
            with contextlib.suppress(OSError, http.client.HTTPException):
                future.result(20)
        app.visit_breakpoint("v1")


def test_a_syntax_error_and_recovery(tmp_path: Path) -> None:
    with launch(tmp_path, HANDLER_LINE) as app:
        app.wait_for("ready in")
        app.editor.save("def broken(:\n")
        app.wait_for("waiting for a change")
        assert "SyntaxError" in app.editor.output("stderr")
        text = app.editor.output()
        assert text.index("SyntaxError") < text.index("waiting for a change")
        app.reload("v1")
        app.visit_breakpoint("v1")
        assert not app.ide.has_event("exited")
        starts = app.ide.events("process")
        assert {body["startMethod"] for body in starts} == {"launch"}
        assert len({body["systemProcessId"] for body in starts}) == len(starts) > 1


def test_an_app_that_cannot_be_imported_is_no_failed_launch(tmp_path: Path) -> None:
    with launch(tmp_path, source="import nowhere_to_be_found\n", server="wsgiref") as app:
        app.wait_for("waiting for a change")
        assert "ModuleNotFoundError" in app.editor.output("stderr")
        app.write("v1")
        app.wait_for("reloaded in")
        assert app.get() == "v1"


# --- what is shown ------------------------------------------------------------------------------


def test_output_has_its_category(tmp_path: Path) -> None:
    script = (
        "import os, sys\n"
        "print('to stdout ü')\n"
        "print('to stderr', file=sys.stderr)\n"
        "print([name for name in os.environ if name.startswith('DEVLAUNCH_A')])\n"
        "print(sys.argv, os.environ['GIVEN'], os.environ.get('HOME'), os.getcwd())\n"
    )
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "script.py").write_text(script)
    arguments = {"program": "script.py", "args": ["--one", "two words"], "cwd": "sub"}
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with editing(tmp_path, {"TMPDIR": str(temporary)}) as editor:
        env = {"GIVEN": "a value", "HOME": None}
        editor.ide.launch(**arguments, env=env, redirectOutput=True)
        editor.wait_output("finished")
        stdout = editor.output("stdout").splitlines()
        assert stdout[:2] == ["to stdout ü", "[]"]
        assert stdout[2] == f"['script.py', '--one', 'two words'] a value None {tmp_path / 'sub'}"
        assert len(stdout) == 3
        assert editor.output("stderr") == "to stderr\n"
        console = editor.output("console")
        assert "script.py --one two words" in console
        assert "to stdout" not in console
        assert not list(temporary.iterdir()), "where the secret was"


@pytest.mark.parametrize(
    "target",
    [{"module": "script", "args": "one 'two words'"}, {"command": ["python", "script.py", "one"]}],
    ids=["module", "command"],
)
def test_targets(tmp_path: Path, target: Body) -> None:
    (tmp_path / "script.py").write_text("import sys\nargs = sys.argv[1:]\nprint(args)\n")
    with editing(tmp_path) as editor:
        editor.ide.launch(**target, breakpoints={str(tmp_path / "script.py"): [3]})
        stopped = editor.ide.wait_event("stopped")
        seen = "['one', 'two words']" if "module" in target else "['one']"
        assert editor.ide.evaluate(stopped, "args") == seen
        editor.ide.continue_()
        editor.wait_output(seen)


def test_the_target_and_options_of_pyproject_toml(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        "[tool.devlaunch]\ntarget = 'app:app'\nserver = 'wsgiref'\nport = 1\ngrace = '100ms'\n"
    )
    (tmp_path / "app.py").write_text(WSGI.format(version="v0"))
    with editing(tmp_path, env={"DEVLAUNCH_PORT": "0"}) as editor:
        editor.ide.launch()
        app = Running(editor)
        assert app.get() == "v0"
        app.wait_for("wsgi, wsgiref")


def test_without_debugging(tmp_path: Path) -> None:
    source = WSGI.replace("= VERSION", "= VERSION, [m for m in sys.modules if 'pydev' in m]")
    with launch(tmp_path, HANDLER_LINE, source="import sys\n" + source, noDebug=True) as app:
        assert app.get() == "('v0', [])"
        app.reload("v1", "import sys\n" + source)
        assert app.get() == "('v1', [])"
        [process] = app.ide.events("process")
        assert process["systemProcessId"] == app.launcher()
        assert not app.ide.has_event("stopped")
        app.ide.request("restart")
        app.wait_for("restarted in")
        app.ide.request("terminate")
        app.check_the_end()


def test_debugger_options_reach_the_debuggee(tmp_path: Path) -> None:
    source = (
        "import json\n\ndef app(environ, start_response):\n"
        "    text = json.dumps({{}})\n    start_response('200 OK', [])\n"
        "    return [b'{version}']\n"
    )
    options = {"source": source, "server": "wsgiref", "justMyCode": False}
    with launch(tmp_path, 4, **options) as app, app.visit() as future:
        stopped = app.ide.wait_event("stopped")
        app.ide.request("stepIn", threadId=stopped["threadId"])
        stopped = app.ide.wait_event("stopped")
        assert app.ide.top_frame(stopped)["name"] == "dumps"
        app.ide.continue_()
        assert future.result(20) == "v0"


# --- a terminal ---------------------------------------------------------------------------------


@pytest.mark.parametrize("console", ["integratedTerminal", "externalTerminal"])
def test_in_a_terminal(tmp_path: Path, console: str) -> None:
    options = {"console": console, "initialize": TERMINAL, "env": {"GIVEN": "yes"}}
    with launch(tmp_path, HANDLER_LINE, **options) as app:
        app.visit_breakpoint("v0")
        app.reload("v1")
        app.visit_breakpoint("v1")
        [asked] = [m for m in app.ide.messages if m.get("command") == "runInTerminal"]
        arguments = asked["arguments"]
        assert arguments["kind"] == console.removesuffix("Terminal")
        assert arguments["cwd"] == str(tmp_path)
        assert arguments["title"] == "devlaunch: app:app"
        assert arguments["env"]["GIVEN"] == "yes"
        # The secret is in a file that has been read and removed.
        assert not os.path.exists(arguments["env"]["DEVLAUNCH_ADAPTER"])
        assert app.editor.output("stdout", "stderr", "console") == ""
        app.ide.request("disconnect", terminateDebuggee=True)
        app.check_the_end()
        [pty] = app.editor.terminals
        assert pty.wait_ended() == 0
        assert "Traceback" not in pty.screen


def test_ctrl_c_in_the_terminal(tmp_path: Path) -> None:
    options = {"console": "integratedTerminal", "initialize": TERMINAL}
    with launch(tmp_path, source=HOOKED, **options) as app:
        app.wait_for("ready in")
        app.editor.terminals[0].press("\x03")
        app.check_the_end()
        assert (tmp_path / "hook v0").exists()


def test_disconnect_may_leave_a_run_in_a_terminal_alone(tmp_path: Path) -> None:
    options = {"console": "integratedTerminal", "initialize": TERMINAL}
    with launch(tmp_path, HANDLER_LINE, **options) as app:
        app.visit_breakpoint("v0")
        app.ide.request("disconnect", terminateDebuggee=False)
        assert app.editor.wait_ended() == 0
        assert app.get() == "v0"
        [pty] = app.editor.terminals
        pty.press("\x03")
        pty.wait_ended()


def test_an_editor_that_cannot_open_a_terminal(tmp_path: Path) -> None:
    with refused(tmp_path, console="integratedTerminal", **APP) as text:
        assert "console: this editor opens no terminal" in text
    with editing(tmp_path) as editor:
        (tmp_path / "app.py").write_text(WSGI.format(version="v0"))
        editor.ide.reverse = lambda request: False
        with pytest.raises(RequestFailed, match="the editor could not open a terminal"):
            editor.ide.launch(console="integratedTerminal", initialize=TERMINAL, **APP)


# --- launches that fail -------------------------------------------------------------------------


@contextlib.contextmanager
def refused(root: Path, **arguments: Any) -> Iterator[str]:
    """The readable reason for which a launch fails."""
    (root / "app.py").write_text(WSGI.format(version="v0"))
    with editing(root) as editor:
        with pytest.raises(RequestFailed) as failure:
            editor.ide.launch(**arguments)
        response = failure.value.response
        error = response["body"]["error"]
        assert error["showUser"] is True
        assert error["format"] == response["message"]
        assert "Traceback" not in response["message"]
        assert not editor.ide.has_event("initialized")
        yield response["message"]
        assert not editor.ide.request("disconnect")
        assert editor.wait_ended() == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"program": "ap.py"}, ["no such file: ap.py", "did you mean app.py?"]),
        ({"app": "app"}, ["app: expected module:attribute, not 'app'", "main:app"]),
        ({"app": "app:app", "prot": 8000}, ["prot: there is no such attribute", "port?"]),
        ({"app": "app:app", "port": "eighty"}, ["port: expected a port", "'eighty'"]),
        ({"app": "app:app", "port": [1]}, ["port: expected a port", "[1]"]),
        ({"app": "app:app", "whilePaused": "wiat"}, ["whilePaused: expected wait", "wait?"]),
        ({"app": "app:app", "justMyCode": "no"}, ["justMyCode: expected true or false", "'no'"]),
        ({"app": "app:app", "console": "internal"}, ["console: expected internalConsole"]),
        ({"app": "app:app", "env": {"A": 1}}, ["env: A: expected text or null, not 1"]),
        ({"app": "app:app", "env": "A=1"}, ["env: expected an object, not 'A=1'"]),
        ({"app": "app:app", "module": "app"}, ["app and module exclude each other"]),
        ({"app": "app:app", "args": ["x"]}, ["'x'", "takes no arguments"]),
        ({"program": "app.py", "args": ["x", 1]}, ["args: expected"]),
        ({"app": "app:app", "cwd": "nowhere"}, ["nowhere: there is no such directory"]),
        ({"app": "app:app", "host": "::1", "uds": "x"}, ["host and uds exclude each other"]),
        ({"app": "app:app", "waitForClient": True}, ["waitForClient: not possible in a launch"]),
        ({"app": "app:app", "stopOnEntry": "x"}, ["stopOnEntry: expected true or false", "'x'"]),
        ({"app": "app:app", "python": "nopython"}, ["nopython"]),
        ({"app": "app:app", "envFile": ".env"}, ["envFile", ".env: no such file"]),
        ({**APP, "debugAddress": "0.0.0.0:0"}, ["other machines could reach it"]),
        ({"app": "app:app", "env": {"DEVLAUNCH_PROT": "1"}}, ["DEVLAUNCH_PROT=1", "PORT?"]),
        ({"command": "unclosed '"}, ["command: expected a target in the shell's quoting"]),
        ({"port": 0}, ["nothing to run", "add app, module, program or command"]),
        ({"args": ["x"]}, ["args without a target"]),
        ({"program": "app.py", "args": ["a\0b"]}, ["args: 'a\\x00b' cannot be given"]),
    ],
    ids=str,
)
def test_a_failed_launch_is_readable(tmp_path: Path, arguments: Body, words: list[str]) -> None:
    with refused(tmp_path, **arguments) as text:
        for word in words:
            assert word in text


def test_a_launch_after_one_that_failed(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(WSGI.format(version="v0"))
    with editing(tmp_path) as editor:
        for failing in ({"app": "app:app", "prot": 1}, {**APP, "python": "nopython"}):
            with contextlib.suppress(RequestFailed):
                editor.ide.request("initialize", adapterID="devlaunch")
            with pytest.raises(RequestFailed):
                editor.ide.request("launch", **failing)
        seq = editor.ide.send_request("launch", **APP)
        editor.ide.wait_event("initialized")
        editor.ide.request("configurationDone")
        assert editor.ide.wait_response(seq)["success"]
        assert Running(editor).get() == "v0"


def test_a_busy_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        with refused(tmp_path, app="app:app", port=port, server="wsgiref") as text:
            assert f"127.0.0.1:{port}" in text
            assert "in use" in text
            assert text.startswith("port: ")
            assert "choose another: port " in text


def test_a_launcher_that_does_not_start(tmp_path: Path) -> None:
    env = {"PYTHONHOME": str(tmp_path / "nowhere")}
    with refused(tmp_path, env=env, **APP) as text:
        assert "devlaunch could not start: " in text
        assert "nowhere" in text


@pytest.mark.parametrize("words", [("a\0b",), ("\ud800",)], ids=ascii)
def test_a_process_that_cannot_be_made_leaves_nothing(words: tuple[str], tmp_path: Path) -> None:
    plan = make_plan({"command": ["x"]}, environ={}, directory=str(tmp_path))
    told: list[object] = []
    with Loop() as loop:
        descriptors = os.listdir("/proc/self/fd")
        run = Run(loop, replace(plan, words=words), told.append)
        with pytest.raises(ValueError):  # noqa: PT011
            run.start(Invitation("127.0.0.1", 1, "secret", own_console=True, no_debug=False))
        assert os.path.exists(run._invitation)
        run.leave()
        assert run.is_over
        assert not os.path.exists(run._invitation)
        assert os.listdir("/proc/self/fd") == descriptors
    assert told == []


def test_modules_of_the_app_do_not_shadow_the_launchers(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "selectors.py").write_text("raise SystemExit('shadowed')")
    (tmp_path / "app" / "script.py").write_text("print('ran')")
    with editing(tmp_path) as editor:
        editor.ide.launch(program="script.py", cwd="app", reload=False, noDebug=True)
        Running(editor).check_the_end()
        assert editor.output("stdout") == "ran\n"


@pytest.mark.parametrize(
    ("app", "words"), [("app:nope", "nope"), ("ap:app", "no module named 'ap'")]
)
def test_a_target_at_fault_that_only_the_app_can_tell(tmp_path: Path, app: str, words: str) -> None:
    (tmp_path / "app.py").write_text(WSGI.format(version="v0"))
    with editing(tmp_path) as editor:
        with pytest.raises(RequestFailed, match=re.escape(words)) as failure:
            editor.ide.launch(**{**APP, "app": app})
        assert failure.value.response["body"]["error"]["showUser"] is True
        assert not editor.ide.has_event("terminated")


# --- the end ------------------------------------------------------------------------------------


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize(
    "way",
    ["disconnect", "disconnect true", "disconnect false", "terminate", "stdin", "SIGTERM",
     "kill adapter", "kill launcher"],
)  # fmt: skip
def test_the_end(tmp_path: Path, way: str, paused: bool) -> None:
    with launch(tmp_path, HOOKED_LINE, source=HOOKED) as app:
        app.wait_for("ready in")
        adapter = app.editor.process
        with contextlib.ExitStack() as stack:
            if paused:
                stack.enter_context(app.visit())
                app.ide.wait_event("stopped")
            word, _, argument = way.partition(" ")
            match word:
                case "disconnect":
                    flag = {"terminateDebuggee": argument == "true"} if argument else {}
                    app.ide.request("disconnect", **flag)
                    app.check_the_end()
                case "terminate":
                    app.ide.request("terminate")
                    app.check_the_end()
                    app.ide.request("disconnect")
                case "stdin":
                    app.ide.close()
                case "SIGTERM":
                    adapter.send_signal(signal.SIGTERM)
                case "kill":
                    os.kill(adapter.pid if argument == "adapter" else app.launcher(), 9)
                    if argument == "launcher":
                        app.check_the_end(137)
            status = app.editor.wait_ended()
            assert_nothing_left(app.editor.run_id)
        assert status == (-9 if way == "kill adapter" else 0)
        assert way == "kill launcher" or (tmp_path / "hook v0").exists()
        if word in ("disconnect", "terminate"):
            assert "the hook has run" in app.editor.output("stdout")


@pytest.mark.parametrize("how", ["hangs up", "kills"])
def test_an_editor_that_does_not_wait_leaves_the_hooks_their_time(tmp_path: Path, how: str) -> None:
    """nvim-dap closes its connection after `terminate`, dape kills the adapter after a moment."""
    slow = HOOKED.replace("import pathlib", "import asyncio, pathlib").replace(
        "                pathlib.Path",
        "                await asyncio.sleep(0.8)\n" + 16 * " " + "pathlib.Path",
    )
    with launch(tmp_path, source=slow) as app:
        app.wait_for("ready in")
        app.ide.request("terminate")
        if how == "kills":
            app.editor.process.kill()
        else:
            app.ide.close()
        app.editor.wait_ended()
        assert_nothing_left(app.editor.run_id)
        assert (tmp_path / "hook v0").exists()


def test_an_editor_that_says_no_goodbye(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("print('last words', end='')")
    with editing(tmp_path) as editor:
        editor.ide.launch(program="script.py", reload=False)
        Running(editor).check_the_end()
        assert editor.output("stdout") == "last words"
        editor.ide.wait_closed()
        assert editor.wait_ended() == 0


def test_the_status_of_the_app(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("raise SystemExit(3)")
    with editing(tmp_path) as editor:
        editor.ide.launch(program="script.py", reload=False)
        Running(editor).check_the_end(3)


def test_disconnect_while_the_launcher_starts(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(WSGI.format(version="v0"))
    with editing(tmp_path) as editor:
        editor.ide.request("initialize", adapterID="devlaunch")
        seq = editor.ide.send_request("launch", **APP)
        editor.ide.request("disconnect")
        assert not editor.ide.wait_response(seq)["success"]
        assert editor.wait_ended() == 0


def test_restart_and_restart_while_paused(tmp_path: Path) -> None:
    with launch(tmp_path, HANDLER_LINE) as app:
        app.visit_breakpoint("v0")
        app.ide.request("restart")
        app.wait_for("restarted in")
        with app.visit() as future:
            app.ide.wait_event("stopped")
            app.ide.request("restart")
            app.ide.wait_event("continued")
            app.wait_for(r"restarted in[^$]*restarted in")
            with contextlib.suppress(OSError, http.client.HTTPException):
                future.result(20)
        app.visit_breakpoint("v0")
        assert len(app.ide.events("process")) == 3
        assert not app.ide.has_event("terminated")


# --- the status for a status bar ----------------------------------------------------------------


def status_of(ide: DapClient, state: str, generation: int, **more: Any) -> Body:
    """The next status that is this one."""
    wanted = {"state": state, "generation": generation, **more}
    return ide.wait_event("devlaunchState", lambda body: wanted.items() <= body.items())


def test_the_status_follows_the_run(tmp_path: Path) -> None:
    with launch(tmp_path, HANDLER_LINE, stateEvents=True) as app:
        serving = status_of(app.ide, "serving", 1, pending=[], whilePaused="wait")
        assert serving["url"] == app.wait_for(r"http://[\d.]+:\d+")[0]
        assert serving["seconds"] > 0
        with app.visit() as future:
            stopped = app.ide.wait_event("stopped")
            status_of(app.ide, "paused", 1, pending=[])
            app.write("v1")
            status_of(app.ide, "paused", 1, pending=[app.path])
            app.ide.continue_(stopped["threadId"])
            assert future.result(20) == "v0"
        status_of(app.ide, "reloading", 1, pending=[])
        assert status_of(app.ide, "serving", 2)["seconds"] != serving["seconds"]
        app.editor.save("def broken(:\n")
        status_of(app.ide, "broken", 3)
        app.write("v2")
        status_of(app.ide, "reloading", 4)
        status_of(app.ide, "serving", 4)
        app.ide.request("restart")
        status_of(app.ide, "serving", 5)
        app.ide.request("terminate")
        status_of(app.ide, "stopping", 5)
        status_of(app.ide, "stopped", 5)
        app.check_the_end()


def test_a_program_that_ends_is_shown_as_stopped(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("print('over')\n")
    with editing(tmp_path) as editor:
        editor.ide.launch(program="script.py", stateEvents=True, noDebug=True)
        assert status_of(editor.ide, "stopped", 1)["url"] is None


def test_reload_while_paused_is_chosen_for_the_session(tmp_path: Path) -> None:
    with launch(tmp_path, HANDLER_LINE, stateEvents=True) as app:
        with app.visit() as future:
            app.ide.wait_event("stopped")
            app.write("v1")
            status_of(app.ide, "paused", 1, pending=[app.path])
            app.ide.request("devlaunchWhilePaused", value="restart")
            status_of(app.ide, "serving", 2, whilePaused="restart")
            with contextlib.suppress(OSError, http.client.HTTPException):
                future.result(20)
        app.ide.request("devlaunchWhilePaused", value="wait")
        status_of(app.ide, "serving", 2, whilePaused="wait")
        with pytest.raises(RequestFailed, match="'wait' or 'restart'"):
            app.ide.request("devlaunchWhilePaused", value="sometimes")


def test_an_editor_that_attaches_is_shown_the_status(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(WSGI.format(version="v0"))
    words = ("--debug-attach", "--debug-address", "127.0.0.1:0", "--port", "0", "app:app")
    with launched(*words, "--server", "wsgiref", cwd=tmp_path) as running:
        running.wait_for("ready in")
        for wants in (True, False):
            with editing(tmp_path) as editor:
                editor.ide.attach(port=running.debug_port, stateEvents=wants)
                if wants:
                    status_of(editor.ide, "serving", 1)
                editor.ide.request("disconnect")
                editor.ide.wait_event("terminated")
                assert editor.ide.has_event("devlaunchState") == wants


# --- processes that the app starts --------------------------------------------------------------

PARENT = """\
import subprocess, sys

def work(number):
    result = number + 1
    return result

if sys.argv[1:]:
    work(1)
else:
    print("joined", subprocess.run([sys.executable, __file__, "child"]).returncode)
"""
WORK_LINE = 4


@pytest.mark.parametrize("starts_debugging", [True, False])
def test_a_grandchild_by_another_adapter(tmp_path: Path, starts_debugging: bool) -> None:
    script = tmp_path / "script.py"
    script.write_text(PARENT)
    with editing(tmp_path) as editor, editing(tmp_path) as child:
        editor.ide.launch(
            program="script.py",
            name="Run it",
            type="my-type",
            initialize={"supportsStartDebuggingRequest": starts_debugging},
            breakpoints={str(script): [WORK_LINE]},
        )
        if starts_debugging:
            request = editor.ide.wait_request("startDebugging")
            assert request["request"] == "attach"
            configuration = request["configuration"]
        else:
            configuration = editor.ide.wait_event("debugpyAttach")
        assert configuration["type"] == "my-type"
        assert not {"program", "console", "cwd", "noDebug"} & configuration.keys()
        child.ide.attach(breakpoints={str(script): [WORK_LINE]}, **configuration)
        stopped = child.ide.wait_event("stopped")
        assert child.ide.stop_lines(stopped)[0] == ("work", WORK_LINE)
        child.ide.continue_()
        child.ide.wait_event("terminated")
        editor.wait_output("joined 0")


# --- attach -------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["connect", "host and port"])
def test_attach_to_a_running_devlaunch(tmp_path: Path, form: str) -> None:
    (tmp_path / "app.py").write_text(WSGI.format(version="v0"))
    words = ("--debug-attach", "--debug-address", "127.0.0.1:0", "--port", "0", "app:app")
    with launched(*words, "--server", "wsgiref", cwd=tmp_path) as running:
        running.wait_for("ready in")
        where: Body = {"host": "127.0.0.1", "port": running.debug_port}
        lines = {str(tmp_path / "app.py"): [HANDLER_LINE]}
        for way in ("disconnect", "stdin"):
            with editing(tmp_path) as editor:
                arguments = {"connect": where} if form == "connect" else where
                editor.ide.attach(breakpoints=lines, **arguments)
                with ThreadPoolExecutor(1) as pool:
                    future = pool.submit(running.get)
                    stopped = editor.ide.wait_event("stopped")
                    assert editor.ide.top_frame(stopped)["line"] == HANDLER_LINE
                    editor.ide.continue_()
                    assert future.result(20) == "v0"
                if way == "disconnect":
                    editor.ide.request("disconnect")
                    editor.ide.wait_event("terminated")
                    assert editor.wait_ended() == 0
                    assert len(editor.ide.events("terminated")) == 1
            count = 1 + (way == "stdin")
            wait_until(partial(detached, running, count), 10)
            assert running.get() == "v0"
        with editing(tmp_path) as editor:
            editor.ide.attach(connect=where)
            editor.ide.request("disconnect", terminateDebuggee=True)
            assert running.wait_ended() == 0
    assert "Traceback" not in running.text


def detached(running: Launch, times: int) -> bool:
    return running.text.count("is detached") == times


def test_attach_where_nobody_listens(tmp_path: Path) -> None:
    port = free_port()
    with editing(tmp_path) as editor:
        with pytest.raises(RequestFailed) as failure:
            editor.ide.attach(connect={"host": "127.0.0.1", "port": port})
        text = failure.value.response["body"]["error"]["format"]
        assert f"no devlaunch listens on 127.0.0.1:{port}: connection refused" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"processId": 1}, "processId: not possible"),
        ({"listen": {"port": 1}}, "listen: not possible"),
        ({"connect": "127.0.0.1:5678"}, "connect: expected an object, not '127.0.0.1:5678'"),
        ({"port": "x"}, "port: expected a number, not 'x'"),
        ({"connect": {"port": 70000}}, "connect: expected a host and a port"),
        ({"conect": {"port": 1}}, "conect: there is no such attribute"),
        ({"host": "a..b"}, "no devlaunch listens on a..b:5678: the host is not a name"),
        ({"host": "\ud800"}, "the host is not a name"),
    ],
    ids=ascii,
)
def test_a_failed_attach_is_readable(tmp_path: Path, arguments: Body, words: str) -> None:
    with editing(tmp_path) as editor:
        with pytest.raises(RequestFailed) as failure:
            editor.ide.attach(**arguments)
        assert words in failure.value.response["message"]


def test_attach_to_what_closes_the_connection(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, editing(tmp_path) as editor:
        where = {"host": "127.0.0.1", "port": server.getsockname()[1]}
        editor.ide.request("initialize", adapterID="devlaunch")
        for answer, text in ((b"", "it closed the connection"), (b"HTTP/1.1 400", "not DAP")):
            seq = editor.ide.send_request("attach", connect=where)
            sock, _ = server.accept()
            with sock:
                assert sock.recv(10) == b"Content-Le"
                sock.sendall(answer)
            response = editor.ide.wait_response(seq)
            assert f"127.0.0.1:{where['port']}: {text}" in response["message"]
            assert "is that a devlaunch --debug-attach?" in response["message"]
        assert not editor.ide.has_event("terminated")
        editor.ide.request("disconnect")
        assert editor.wait_ended() == 0


def test_disconnect_from_what_does_not_answer(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, editing(tmp_path) as editor:
        editor.ide.request("initialize", adapterID="devlaunch")
        seq = editor.ide.send_request("attach", port=server.getsockname()[1])
        with server.accept()[0] as sock:
            assert sock.recv(1)
            editor.ide.request("disconnect")
            assert editor.ide.wait_response(seq)["message"] == "cancelled by the editor"
            assert editor.wait_ended() == 0


def test_a_connection_to_a_keeper_that_comes_too_late_is_closed() -> None:
    with Loop() as loop:
        adapter = Adapter(loop)
        (ours, editor), (late, theirs) = socket.socketpair(), socket.socketpair()
        with editor, theirs:
            adapter.serve(ours)
            [session] = adapter._sessions.values()
            session.reached(late)
            assert late.fileno() == -1
            assert session.keeper is None
            adapter.sockets.close()


# --- an editor that is slow ---------------------------------------------------------------------


@pytest.mark.parametrize("size", [150_000, 900_000], ids=["in the pipes", "and more"])
def test_all_output_and_the_end_reach_an_editor_that_is_slow(tmp_path: Path, size: int) -> None:
    """The program has long ended when the editor begins to read."""
    (tmp_path / "script.py").write_text(
        "import os, time\n"
        "while not os.path.exists('go'): time.sleep(0.01)\n"
        f"print('x' * {size} + 'last words')\n"
    )
    with editing(tmp_path) as editor:
        editor.ide.launch(program="script.py", reload=False, noDebug=True)
        (tmp_path / "go").touch()  # from here on the editor reads nothing
        run = [editor.process.pid]
        wait_until(lambda: marked(editor.run_id) == run, 20, "the end of the launcher")
        seconds = GOODBYE_TIMEOUT + 2.5
        with pytest.raises(subprocess.TimeoutExpired):
            editor.process.wait(seconds)  # longer than it waits for a goodbye
        Running(editor).check_the_end()
        assert editor.output("stdout") == "x" * size + "last words\n"
        editor.ide.wait_closed()
        assert editor.wait_ended() == 0


def test_the_app_waits_for_an_editor_that_is_slow(tmp_path: Path) -> None:
    progress, go = tmp_path / "progress", tmp_path / "go"
    (tmp_path / "script.py").write_text(
        "import pathlib, time\n"
        f"while not pathlib.Path({str(go)!r}).exists():\n"
        "    time.sleep(0.05)\n"
        "for number in range(100):\n"
        "    print('x' * 1_000_000)\n"
        f"    pathlib.Path({str(progress)!r}).write_text(str(number))\n"
    )
    with editing(tmp_path, timeout=40) as editor:
        editor.ide.launch(program="script.py", reload=False, noDebug=True)
        go.touch()  # until it has its answer, the editor reads
        seen = ["", "-"]

        def stands_still() -> bool:
            time.sleep(0.5)
            seen[:] = [progress.read_text() if progress.exists() else "", seen[0]]
            return seen[0] == seen[1] != ""

        wait_until(stands_still, 20, lambda: str(seen))
        assert int(seen[0]) < 10
        Running(editor).check_the_end()
        assert len(editor.output("stdout")) == 100 * 1_000_001
        editor.ide.request("disconnect")


# --- on TCP -------------------------------------------------------------------------------------


def output_of(ide: DapClient) -> str:
    return "".join(body["output"] for body in ide.events("output"))


class Server:
    """`devlaunch adapter --listen 127.0.0.1:0`."""

    def __init__(self, cwd: Path) -> None:
        self.run_id = f"test-tcp-{os.getpid()}-{time.monotonic_ns()}"
        self.process = subprocess.Popen(
            [*COMMAND, "--listen", "127.0.0.1:0"],
            cwd=cwd,
            env=environment(DEVLAUNCH_RUN=self.run_id),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.port = int(re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", line)[1])  # type: ignore[index]

    def client(self) -> DapClient:
        return DapClient("127.0.0.1", self.port, timeout=20)


@contextlib.contextmanager
def serving(cwd: Path) -> Iterator[Server]:
    server = Server(cwd)
    try:
        yield server
    finally:
        server.process.terminate()
        assert server.process.wait(10) == 0
        assert server.process.stdout is not None
        server.process.stdout.close()
        assert_nothing_left(server.run_id)


def test_one_session_after_the_other_on_tcp(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("value = 1\nprint(value)\n")
    with serving(tmp_path) as server:
        for ending in ("disconnect", "close", "disconnect"):
            with server.client() as ide:
                ide.launch(program="script.py", breakpoints={str(tmp_path / "script.py"): [2]})
                ide.wait_event("stopped")
                if ending == "disconnect":
                    ide.request("disconnect")
                    ide.wait_closed()
            assert_children_gone(server)


def assert_children_gone(server: Server) -> None:
    wait_until(lambda: marked(server.run_id) == [server.process.pid], 3)


def test_the_sessions_of_processes_may_use_the_same_address(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(PARENT)
    with serving(tmp_path) as server, server.client() as ide, server.client() as child:
        ide.launch(
            program="script.py",
            initialize={"supportsStartDebuggingRequest": True},
            breakpoints={str(script): [WORK_LINE]},
        )
        configuration = ide.wait_request("startDebugging")["configuration"]
        child.attach(breakpoints={str(script): [WORK_LINE]}, **configuration)
        child.wait_event("stopped")
        child.continue_()
        ide.wait_until(lambda: "joined 0" in output_of(ide), "the end of the process")


def test_a_signal_ends_the_sessions(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(HOOKED.format(version="v0"))
    with serving(tmp_path) as server, server.client() as ide:
        ide.launch(**HOOKED_APP)
        ide.wait_event("output", lambda body: "ready in" in body["output"])
        server.process.terminate()
        assert server.process.wait(10) == 0
        assert (tmp_path / "hook v0").exists()


def test_strangers_do_no_harm(tmp_path: Path) -> None:
    """A browser at the adapter's port, and one that guesses at the launchers' port."""
    (tmp_path / "app.py").write_text(WSGI.format(version="v0"))
    with serving(tmp_path) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as browser:
            browser.sendall(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")
            browser.settimeout(5)
            assert browser.recv(100) == b""
        inner = [port for port in listening(server.process.pid) if port != server.port]
        with DapClient("127.0.0.1", inner[0]) as guesser:
            guesser.send_request("initialize")
            guesser.wait_closed()
        with server.client() as ide:
            ide.launch(**APP)
            ide.wait_event("output", lambda body: "ready in" in body["output"])


def listening(pid: int) -> list[int]:
    """The TCP ports on which a process listens."""
    inodes = {os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [
        int(row[1].partition(":")[2], 16)
        for row in rows
        if row[3] == "0A" and f"socket:[{row[9]}]" in inodes
    ]


# --- the command --------------------------------------------------------------------------------


def adapter(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
        env=environment(),
    )


def test_help() -> None:
    done = adapter("--help")
    assert done.returncode == 0
    assert "--listen HOST:PORT" in done.stdout
    run = subprocess.run(
        [sys.executable, "-m", "devlaunch", "--help"], capture_output=True, text=True, check=True
    )
    assert "devlaunch adapter" in run.stdout


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--listn", "1"], "did you mean --listen?"),
        (["--listen"], "--listen: expected HOST:PORT"),
        (["--listen", "x"], "--listen: expected HOST:PORT"),
        (["--listen", "0.0.0.0:0"], "--listen 0.0.0.0: other machines could reach it"),
        (["app:app"], "unexpected app:app"),
    ],
)
def test_bad_words(words: list[str], text: str) -> None:
    done = adapter(*words)
    assert done.returncode == 2
    assert text in done.stderr
    assert done.stdout == ""


def test_nothing_but_dap_on_stdout(tmp_path: Path) -> None:
    """What is no DAP ends the adapter, silently on stdout, and with the reason on stderr."""
    done = subprocess.run(
        COMMAND, input=b"hello\r\n\r\n", capture_output=True, check=False, timeout=20
    )
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"the editor was dropped: not DAP: it begins with b'hello" in done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&-"])
def test_without_stdin_or_stdout(closed: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
        env=environment(),
    )
    assert done.returncode == 2
    assert "error: stdin and stdout have to be open" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_user_who_types_the_command_is_told() -> None:
    with Pty(COMMAND, env=environment()) as pty:
        pty.wait_for("waiting for an editor on stdin; --listen HOST:PORT")
        pty.press("\x03")
        assert pty.wait_ended() in (0, 130)  # before it listens to signals
        assert "Traceback" not in pty.screen


def test_a_command_line_of_a_run_that_is_over(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "devlaunch", "app.py"],
        capture_output=True,
        text=True,
        check=False,
        env=environment(DEVLAUNCH_ADAPTER=str(tmp_path / "gone")),
    )
    assert done.returncode == 1
    assert "this command line was for one run" in done.stderr
    assert "start it from the editor again" in done.stderr
