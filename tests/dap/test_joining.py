"""Under an IDE's debugpy: the keeper joins the IDE's own adapter, which is the real one here."""

from __future__ import annotations

import ast
import contextlib
import os
import re
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from support.dap import Body, RequestFailed
from support.interpreters import launchers
from support.launch import MODULE_LINE, WSGI, asgi_app
from support.launch import WSGI_HANDLER_LINE as HANDLER_LINE
from support.marks import describe, marked
from support.vscode import Session, VsCode, adapters
from support.wait import wait_until

import devlaunch

APP = ("--server", "wsgiref", "app:app")

HOOKED = """\
import pathlib

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                pathlib.Path("hook").touch()
            await send({"type": message["type"] + ".complete"})
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"here"})
"""

PACKAGE = Path(devlaunch.__file__).parent


def wsgi(version: str) -> str:
    return WSGI.format(version=version)


@contextlib.contextmanager
def requesting(ide: VsCode, path: str = "/") -> Iterator[Future[str]]:
    """A request under way, which a breakpoint may hold."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(ide.get, path)


def hit(session: Session, line: int) -> Body:
    """Wait until a breakpoint in the app holds it at this line."""
    stopped = session.wait_event("stopped")
    assert stopped["reason"] == "breakpoint"
    assert session.stop_lines(stopped)[0][1] == line
    return stopped


def launcher_pid(ide: VsCode) -> int:
    """Of devlaunch itself."""
    [event] = ide.root.events("process")
    return int(event["systemProcessId"])


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(wsgi("1"))
    return tmp_path


# --- one session over all restarts --------------------------------------------------------------


CONFIGURATIONS: dict[str, Body] = {
    "just my code off": {"justMyCode": False},
    "program": {"program": os.path.dirname(devlaunch.__file__)},
}


@pytest.mark.parametrize("more", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_one_session_lasts_over_all_reloads(app: Path, more: Body) -> None:
    """More of this in test_ways_in."""
    with VsCode(cwd=app, breakpoints={"app.py": [MODULE_LINE]}) as ide:
        check_reloads(ide, ide.launch(*APP, **more))


@pytest.mark.parametrize("python", launchers()[1:])
def test_on_other_versions(app: Path, python: str) -> None:
    with VsCode(cwd=app, python=python, breakpoints={"app.py": [MODULE_LINE]}) as ide:
        check_reloads(ide, ide.launch(*APP))


@pytest.mark.parametrize("my_code", [True, False])
@pytest.mark.parametrize("python", launchers()[::2])
def test_stop_on_entry_is_the_first_line_of_the_app(app: Path, python: str, my_code: bool) -> None:
    # As when devlaunch is installed: to pydevd a clone of it is code of the user's.
    env = {"IDE_PROJECT_ROOTS": str(app)}
    with VsCode(cwd=app, python=python, env=env) as ide:
        ide.launch(*APP, stopOnEntry=True, justMyCode=my_code)
        child = ide.adopt()
        stopped = child.wait_event("stopped")
        assert stopped["reason"] == "entry"
        assert child.stop_lines(stopped)[0] == ("<module>", MODULE_LINE)
        assert child.top_frame(stopped)["source"]["path"] == str(app / "app.py")
        child.continue_()
        ide.wait_served("1")
        ide.save(wsgi("2"))  # a reload goes on as it was
        ide.wait_served("2")
        assert len(child.events("stopped")) == 1
        assert not ide.root.has_event("stopped")


def test_with_an_ide_that_has_to_be_told_by_an_event(app: Path) -> None:
    lacks = ["supportsStartDebuggingRequest"]
    with VsCode(cwd=app, lacks=lacks, breakpoints={"app.py": [MODULE_LINE]}) as ide:
        check_reloads(ide, ide.launch(*APP))


def check_reloads(ide: VsCode, root: Session) -> None:
    child = ide.adopt()
    hit(child, MODULE_LINE)
    child.continue_()
    ide.wait_served("1")
    ide.set_breakpoints("app.py", MODULE_LINE, HANDLER_LINE)
    for version in "23456":
        ide.save(wsgi(version))
        hit(child, MODULE_LINE)
        child.continue_()
        with requesting(ide) as answer:
            stopped = hit(child, HANDLER_LINE)
            assert child.evaluate(stopped, "VERSION") == repr(version)
            child.continue_()
            assert answer.result(10) == version
    assert root.announced == 1
    assert not child.has_event("terminated")


def test_the_output_of_the_app_is_shown_once(app: Path) -> None:
    (app / "app.py").write_text("print('hello from the app')\n" + wsgi("1"))
    with VsCode(cwd=app) as ide:
        ide.launch(*APP)
        child = ide.adopt()
        ide.wait_served("1")
        ide.wait_text("hello from the app")
        child.drain(0.5)
        assert ide.text.count("hello from the app") == 1


def test_a_save_while_paused_waits_and_leaves_no_stale_frame(app: Path) -> None:
    with VsCode(cwd=app, breakpoints={"app.py": [HANDLER_LINE]}) as ide:
        ide.launch(*APP)
        child = ide.adopt()
        ide.wait_text("ready")
        with requesting(ide) as answer:
            stopped = hit(child, HANDLER_LINE)
            ide.save(wsgi("2"))
            child.wait_event("output", lambda body: "will reload on continue" in body["output"])
            child.continue_()
            assert answer.result(10) == "1"
        child.wait_event("continued")
        child.wait_event("thread", lambda b: b == {"reason": "exited",
                                                   "threadId": stopped["threadId"]})  # fmt: skip
        ide.set_breakpoints("app.py")
        ide.wait_served("2")


def test_a_process_of_the_app_gets_a_session_of_its_own(app: Path) -> None:
    (app / "work.py").write_text("def work():\n    return 'done'\n")
    (app / "app.py").write_text(
        wsgi("1").replace(
            "result = VERSION",
            "result = __import__('subprocess').check_output([__import__('sys').executable, '-c', "
            "'import work; print(work.work())'], text=True).strip()",
        )
    )
    with VsCode(cwd=app, breakpoints={"work.py": [2]}) as ide:
        ide.launch(*APP)
        child = ide.adopt()
        ide.wait_text("ready")
        for _ in range(2):
            with requesting(ide) as answer:
                grandchild = ide.adopt(child)
                hit(grandchild, 2)
                grandchild.continue_()
                assert answer.result(10) == "done"
            grandchild.wait_event("terminated")
            grandchild.request("disconnect")
            grandchild.close()
            ide.sessions.remove(grandchild)


# --- the buttons --------------------------------------------------------------------------------


def test_restart_on_the_child_session_restarts_the_app_only(app: Path) -> None:
    with VsCode(cwd=app, breakpoints={"app.py": [MODULE_LINE]}) as ide:
        root = ide.launch(*APP)
        child = ide.adopt()
        hit(child, MODULE_LINE)
        child.continue_()
        ide.wait_served("1")
        assert child.effective_capabilities()["supportsRestartRequest"]
        assert ide.restart(child) is child
        hit(child, MODULE_LINE)
        child.continue_()
        ide.wait_served("1")
        assert ide.root is root
        assert not root.has_event("terminated")


def test_restart_on_the_root_session_restarts_everything(tmp_path: Path) -> None:
    """Also when the app takes its time to shut down, and has the port for that long."""
    slow = "pathlib.Path('hook').touch(); __import__('time').sleep(0.9)"
    (tmp_path / "app.py").write_text(HOOKED.replace('pathlib.Path("hook").touch()', slow))
    with VsCode(cwd=tmp_path) as ide:
        root = ide.launch("app:app")
        ide.adopt()
        ide.wait_served("here")
        before = launcher_pid(ide)
        assert ide.restart(root) is not root
        ide.adopt()
        ide.wait_served("here")
        assert launcher_pid(ide) != before
        assert (tmp_path / "hook").exists()


STOPPED = {"root": 0, "child": 1}


@pytest.mark.parametrize("console", ["internalConsole", "integratedTerminal"])
@pytest.mark.parametrize("which", STOPPED.values(), ids=STOPPED)
def test_stop_ends_everything_and_runs_the_shutdown_hooks(
    tmp_path: Path, which: int, console: str
) -> None:
    (tmp_path / "app.py").write_text(HOOKED)
    with VsCode(cwd=tmp_path) as ide:
        ide.launch("app:app", console=console)
        ide.adopt()
        ide.wait_served("here")
        ide.stop(ide.sessions[which])
        ide.wait_all_ended(within=3)
        assert (tmp_path / "hook").exists()


TERMINATING: dict[str, Body] = {"terminate": {}, "disconnect": {"terminateDebuggee": True}}


@pytest.mark.parametrize("command", TERMINATING)
def test_stop_with_terminate_runs_the_shutdown_hooks(tmp_path: Path, command: str) -> None:
    """pydevd, in the launcher, kills all of its descendants before it ends it."""
    (tmp_path / "app.py").write_text(HOOKED)
    with VsCode(cwd=tmp_path) as ide:
        root = ide.attach(ide.listen("app:app", options=["--wait-for-client"]))
        ide.adopt()
        ide.wait_served("here")
        root.request(command, **TERMINATING[command])
        ide.wait_all_ended(within=3)
        assert (tmp_path / "hook").exists()


@pytest.mark.parametrize("which", STOPPED.values(), ids=STOPPED)
def test_stop_while_a_breakpoint_holds_the_app(app: Path, which: int) -> None:
    with VsCode(cwd=app, breakpoints={"app.py": [MODULE_LINE]}) as ide:
        ide.launch(*APP)
        hit(ide.adopt(), MODULE_LINE)
        ide.stop(ide.sessions[which])
        ide.wait_all_ended(within=3)


@pytest.mark.parametrize("python", launchers())
def test_pause_on_the_root_session_holds_nothing(app: Path, python: str) -> None:
    with VsCode(cwd=app, python=python, breakpoints={"app.py": [HANDLER_LINE]}) as ide:
        root = ide.launch(*APP, justMyCode=False)
        child = ide.adopt()
        ide.wait_text("ready")
        root.pause()
        for version in "23":
            ide.save(wsgi(version))
            wait_until(lambda v=version: reloaded(ide, child, v), 20, f"version {version}")
        assert not root.has_event("stopped")


def reloaded(ide: VsCode, child: Session, version: str) -> bool:
    with requesting(ide) as answer:
        hit(child, HANDLER_LINE)
        child.continue_()
        return answer.result(10) == version


def test_pause_on_the_child_session_holds_the_app(app: Path) -> None:
    (app / "app.py").write_text(asgi_app("1"))
    with VsCode(cwd=app) as ide:
        ide.launch("app:app")
        child = ide.adopt()
        ide.wait_text("ready")
        child.pause()
        with requesting(ide) as answer:
            child.wait_event("stopped", lambda body: body["reason"] == "pause")
            child.continue_()
            assert answer.result(10) == "1"


# --- devlaunch itself is no place to break ------------------------------------------------------


@pytest.mark.parametrize("python", launchers())
def test_nothing_stops_in_devlaunch(app: Path, python: str) -> None:
    """With breakpoints in its loop, and whatever is raised there."""
    files = ("system/loop.py", "run/launcher.py")
    lines = {str(PACKAGE / name): range(50, 200, 3) for name in files}
    first = str(PACKAGE / "__init__.py")
    line = ast.parse(Path(first).read_text()).body[1].lineno
    with VsCode(cwd=app, python=python, breakpoints={**lines, first: [line]}) as ide:
        root = ide.launch(*APP, justMyCode=False)
        hit(root, line)
        # Not before: debugpy itself raises some 500 exceptions, and each would be a stop.
        ide.exceptions = ("raised", "uncaught")
        root.request("setExceptionBreakpoints", filters=ide.exceptions)
        ide.set_breakpoints(first)
        root.continue_()
        continue_past_libraries(ide, root)
        stops = len(root.events("stopped"))
        # Libraries raise a lot when an app starts; that is the app's own.
        child = ide.open({**ide.announced(), "justMyCode": True})
        ide.wait_text("ready", timeout=30)
        ide.save(wsgi("2"))
        ide.wait_text("reloaded")
        ide.wait_served("2")
        ide.stop(child)
        root.wait_event("terminated")
        assert len(root.events("stopped")) == stops
        assert root.events("exited") == [{"exitCode": 0}]
        assert child.events("stopped") == []


def continue_past_libraries(ide: VsCode, root: Session) -> None:
    """Until the app's session is announced it may stop, but not in devlaunch."""
    seen = 1
    while not root.announced:
        is_over = root.closed or root.events("terminated")
        assert not is_over, ide.text
        root.drain(0.01)
        if len(root.events("stopped")) == seen:
            continue
        seen += 1
        stopped = root.wait_event("stopped")
        frames = root.request("stackTrace", threadId=stopped["threadId"])["stackFrames"]
        assert not [f for f in frames if str(PACKAGE) in f.get("source", {}).get("path", "")]
        root.continue_()


@pytest.mark.parametrize("python", launchers())
def test_a_program_that_calls_run_is_debugged_before_and_after(app: Path, python: str) -> None:
    (app / "run.py").write_text(
        "import sys\nimport devlaunch\nbefore = 1\n"
        "status = devlaunch.run('app:app', server='wsgiref', port=int(sys.argv[-1]))\n"
        "after = 2\nsys.exit(status)\n"
    )
    breakpoints = {"run.py": [3, 5], "app.py": [MODULE_LINE]}
    with VsCode(cwd=app, python=python, breakpoints=breakpoints, exceptions=()) as ide:
        root = ide.launch(program=str(app / "run.py"))
        hit(root, 3)
        root.continue_()
        child = ide.adopt()
        hit(child, MODULE_LINE)
        child.continue_()
        ide.wait_served("1")
        os.kill(launcher_pid(ide), signal.SIGTERM)
        hit(root, 5)
        root.continue_()
        root.wait_event("terminated")


# --- IDEs that do not play along ----------------------------------------------------------------


def test_an_ide_that_adopts_no_children_does_not_hang_the_app(app: Path) -> None:
    """As Helix; later another configuration attaches to the address that is printed then."""
    with VsCode(cwd=app, breakpoints={"app.py": [HANDLER_LINE]}) as ide:
        ide.launch(*APP, "--debug-attach", "--debug-address", "127.0.0.1:0")
        ide.announced()
        ide.wait_served("1", timeout=15)
        ide.wait_text("attach to 127.0.0.1:")
        port = int(re.search(r"attach to 127\.0\.0\.1:(\d+)", ide.text)[1])
        other = ide.attach(port)
        with requesting(ide) as answer:
            hit(other, HANDLER_LINE)
            other.continue_()
            assert answer.result(10) == "1"
        ide.save(wsgi("2"))
        ide.wait_text("reloaded")
        with requesting(ide) as answer:
            hit(other, HANDLER_LINE)
            other.continue_()
            assert answer.result(10) == "2"


def test_the_app_waits_for_a_client_that_comes_by_another_way(app: Path) -> None:
    words = ("--debug-attach", "--wait-for-client", "--debug-address", "127.0.0.1:0")
    with VsCode(cwd=app, breakpoints={"app.py": [MODULE_LINE]}) as ide:
        ide.launch(*APP, *words)
        ide.announced()
        ide.wait_text("the app waits for one; to debug it, attach to 127.0.0.1:")
        other = ide.attach(int(re.search(r"attach to 127\.0\.0\.1:(\d+)", ide.text)[1]))
        hit(other, MODULE_LINE)
        other.continue_()
        ide.wait_served("1")


def test_a_busy_debug_address_is_replaced(app: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy, VsCode(cwd=app) as ide:
        port = busy.getsockname()[1]
        ide.launch(*APP, "--debug-attach", "--debug-address", f"127.0.0.1:{port}")
        ide.wait_text("attach to 127.0.0.1:")
        assert f"127.0.0.1:{port}" not in ide.text


def test_an_ide_that_comes_late_still_gets_its_session(app: Path) -> None:
    with VsCode(cwd=app, breakpoints={"app.py": [HANDLER_LINE]}) as ide:
        ide.launch(*APP, "--debug-attach", "--debug-address", "127.0.0.1:0")
        configuration = ide.announced()
        ide.wait_text("attach to 127.0.0.1:")
        child = ide.open(configuration)
        with requesting(ide) as answer:
            hit(child, HANDLER_LINE)
            child.continue_()
            assert answer.result(10) == "1"


def test_the_app_is_left_alone_when_told_so(app: Path) -> None:
    with VsCode(cwd=app) as ide:
        root = ide.launch("--no-debug-attach", *APP)
        ide.wait_served("1")
        assert root.announced == 0


REFUSED = """\
import sys
import devlaunch, pydevd
pydevd.SetupHolder.setup.update({update})
options = {{"debug_attach": True, "debug_address": "127.0.0.1:0"}}
sys.exit(devlaunch.run("app:app", server="wsgiref", port=int(sys.argv[-1]), **options))
"""


@pytest.mark.parametrize(
    ("update", "why"),
    [
        ({"client-access-token": "wrong"}, "it closed the connection"),
        ({"port": 1}, "connection refused"),
    ],
)
def test_where_the_adapter_cannot_be_joined_an_ide_attaches(
    app: Path, update: dict[str, object], why: str
) -> None:
    script = REFUSED.format(update=update)
    with VsCode(cwd=app, breakpoints={"app.py": [HANDLER_LINE]}) as ide:
        (app / "run.py").write_text(script)
        ide.launch(program=str(app / "run.py"))
        ide.wait_text(f"could not join the editor's debug adapter ({why}): the app runs without")
        ide.wait_served("1", timeout=20)
        ide.save(wsgi("2"))
        ide.wait_served("2")
        other = ide.attach(int(re.search(r"attach to 127\.0\.0\.1:(\d+)", ide.text)[1]))
        with requesting(ide) as answer:
            hit(other, HANDLER_LINE)
            other.continue_()
            assert answer.result(10) == "2"


# --- ends ---------------------------------------------------------------------------------------


def test_a_debugger_that_listens_is_joined_again_and_again(app: Path) -> None:
    """The app runs before, between and after the sessions of an IDE that attaches."""
    with VsCode(cwd=app, breakpoints={"app.py": [HANDLER_LINE]}) as ide:
        port = ide.listen(*APP)
        ide.wait_served("1")
        for version in "23":
            root = ide.attach(port)
            child = ide.adopt(root)
            with requesting(ide) as answer:
                hit(child, HANDLER_LINE)
                child.continue_()
                assert answer.result(10) in "12"
            ide.save(wsgi(version))
            wait_until(lambda v=version, c=child: reloaded(ide, c, v), 20, version)
            for session in (child, root):
                ide.stop(session)
                session.close()
            ide.sessions.clear()
            ide.wait_served(version)


def test_stop_on_the_child_session_lets_an_attached_app_run_on(app: Path) -> None:
    with VsCode(cwd=app) as ide:
        root = ide.attach(ide.listen(*APP, options=["--wait-for-client"]))
        child = ide.adopt()
        ide.wait_served("1")
        ide.stop(child)
        child.wait_closed()
        ide.save(wsgi("2"))
        ide.wait_served("2")
        assert not root.has_event("terminated")


def test_kill_of_an_adapter_that_listens_lets_an_ide_attach_otherwise(app: Path) -> None:
    with VsCode(cwd=app, breakpoints={"app.py": [HANDLER_LINE]}) as ide:
        port = ide.listen(*APP, "--debug-attach", "--debug-address", "127.0.0.1:0", on_pty=True)
        ide.attach(port)
        ide.adopt()
        ide.wait_text("ready in")
        for adapter in adapters(ide.run_id):
            os.kill(adapter, signal.SIGKILL)
        ide.wait_text("the app runs without a debugger")
        other = ide.attach(int(re.search(r"attach\s+to\s+127\.0\.0\.1:(\d+)", ide.text)[1]))
        with requesting(ide) as answer:
            hit(other, HANDLER_LINE)
            other.continue_()
            assert answer.result(10) == "1"


def test_kill_of_the_adapter_ends_what_it_launched(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(HOOKED)
    with VsCode(cwd=tmp_path) as ide:
        ide.launch("app:app")
        ide.adopt()
        ide.wait_served("here")
        assert ide.adapter is not None
        ide.adapter.kill()
        ide.wait_all_ended(within=3)
        assert (tmp_path / "hook").exists()


def test_kill_of_the_launcher_ends_the_sessions(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(HOOKED)
    with VsCode(cwd=tmp_path) as ide:
        root = ide.launch("app:app")
        child = ide.adopt()
        ide.wait_served("here")
        os.kill(launcher_pid(ide), signal.SIGKILL)
        root.wait_event("terminated")
        child.wait_event("terminated")
        ide.wait_all_ended(within=3)
        assert (tmp_path / "hook").exists()


def test_a_terminated_guardian_ends_the_run(tmp_path: Path) -> None:
    """So the adapter ends the processes of sessions that its own launcher cannot end any more."""
    (tmp_path / "app.py").write_text(HOOKED)
    with VsCode(cwd=tmp_path) as ide:
        root = ide.launch("app:app")
        child = ide.adopt()
        ide.wait_served("here")
        os.kill(child.configuration["subProcessId"], signal.SIGTERM)
        root.wait_event("terminated")
        ide.wait_all_ended(within=3)
        assert (tmp_path / "hook").exists()


def test_kill_of_debugpys_launcher_ends_everything(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(HOOKED)
    with VsCode(cwd=tmp_path) as ide:
        ide.launch("app:app")
        ide.adopt()
        ide.wait_served("here")
        pids = marked(ide.run_id)
        [launcher] = [p for p in pids if re.search(r"/debugpy/launcher \d", describe([p]))]
        os.kill(launcher, signal.SIGKILL)
        ide.wait_all_ended(within=3)
        assert (tmp_path / "hook").exists()


def test_ctrl_c_in_the_terminal_ends_the_sessions(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(HOOKED)
    with VsCode(cwd=tmp_path) as ide:
        root = ide.launch("app:app", console="integratedTerminal")
        child = ide.adopt()
        ide.wait_served("here")
        assert ide.terminal is not None
        ide.terminal.press("\x03")
        child.wait_event("terminated")
        root.wait_event("terminated")
        ide.wait_all_ended(within=3)
        assert (tmp_path / "hook").exists()


def test_a_second_attach_to_the_child_session_is_refused(app: Path) -> None:
    """As the adapter does it with every process that is debugged already."""
    with VsCode(cwd=app) as ide:
        ide.launch(*APP)
        child = ide.adopt()
        with pytest.raises((RequestFailed, AssertionError)):
            ide.open(child.configuration)
        ide.sessions.pop().close()
        ide.wait_served("1")
