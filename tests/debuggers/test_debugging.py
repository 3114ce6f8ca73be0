"""Debugging through the real launcher: one DAP session over all generations, and what may go wrong.

Most apps here are WSGI on wsgiref, since that starts fastest; those with a lifespan run on uvicorn.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.dap import DapClient, RequestFailed
from support.interpreters import launchers
from support.launch import MODULE_LINE, WSGI, Launch, launched, save
from support.launch import WSGI_HANDLER_LINE as HANDLER_LINE
from support.marks import describe, marked, open_files
from support.wait import wait_until

DEBUG = ("--debug-attach", "--debug-address", "127.0.0.1:0")
APP = ("--port", "0", "app:app")
WSGIREF = ("--server", "wsgiref", *APP)


HOOKED = """\
import os, pathlib
VERSION = {version!r}

def handler():
    result = VERSION
    return result + " " + str(os.getpid())

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                pathlib.Path("hook " + VERSION).touch()
            await send({{"type": message["type"] + ".complete"}})
    body = handler().encode()
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": body}})
"""
HOOKED_LINE, HOOK_LINE = 5, 13


PID = "__import__('os').getpid()"


class Project:
    """`app.py` in a directory of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.app = root / "app.py"

    def write(self, version: str, source: str = WSGI, before: str = "") -> None:
        save(self.app, before + source.format(version=version))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.write("v0")
    return project


def client(launch: Launch) -> DapClient:
    return DapClient("127.0.0.1", launch.debug_port, timeout=20)


@contextlib.contextmanager
def debugged(
    project: Project, *lines: Any, target: tuple[str, ...] = WSGIREF, **attach: Any
) -> Iterator[tuple[Launch, DapClient]]:
    """The app runs, and an IDE is attached with breakpoints at these lines of app.py."""
    with launched(*DEBUG, *target, cwd=project.root) as launch:
        launch.wait_for("ready in")
        with client(launch) as ide:
            ide.attach(**{"breakpoints": {str(project.app): lines}, **attach})
            yield launch, ide


@contextlib.contextmanager
def visit(launch: Launch, path: str = "/") -> Iterator[Future[str]]:
    """A GET that is under way while the block runs."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(launch.get, path)


def pass_breakpoint(ide: DapClient, line: int) -> dict[str, Any]:
    """The app stops at the line of app.py, and runs on."""
    stopped = ide.wait_event("stopped")
    assert ide.top_frame(stopped)["line"] == line
    ide.continue_(stopped["threadId"])
    return stopped


def visit_breakpoint(launch: Launch, ide: DapClient, answer: str, line: int = HANDLER_LINE) -> None:
    """A request stops in the handler, and is answered on continue."""
    with visit(launch) as future:
        pass_breakpoint(ide, line)
        assert future.result(20) == answer


def hooks(project: Project) -> list[str]:
    """The versions whose lifespan shutdown hook has run."""
    return sorted(path.name.removeprefix("hook ") for path in project.root.glob("hook *"))


# --- attaching and detaching --------------------------------------------------------------------


GATE = """\
import os, time
print("importing", flush=True)
while not os.path.exists("open"): time.sleep(0.01)
opened = True
"""


def test_attach_while_the_first_child_imports(project: Project) -> None:
    project.write("v0", before=GATE)
    with launched(*DEBUG, *WSGIREF, cwd=project.root) as launch:
        launch.wait_for("^importing")
        with client(launch) as ide:
            ide.attach(breakpoints={str(project.app): [4, HANDLER_LINE + 4]})
            (project.root / "open").touch()
            pass_breakpoint(ide, 4)
            visit_breakpoint(launch, ide, "v0", HANDLER_LINE + 4)
    assert "reload" not in launch.text


def test_wait_for_client(project: Project) -> None:
    project.write("v0", before="open('has run', 'w').close()\n")
    with launched(*DEBUG, "--wait-for-client", *WSGIREF, cwd=project.root) as launch:
        with client(launch) as ide:
            ide.attach(breakpoints={str(project.app): [1]})
            stopped = ide.wait_event("stopped")
            assert ide.stop_lines(stopped)[0] == ("<module>", 1)
            assert not (project.root / "has run").exists()
            ide.request("next", threadId=stopped["threadId"])
            ide.wait_event("stopped")
            assert (project.root / "has run").exists()
            ide.request("disconnect")
        assert launch.get() == "v0"
        # Later children do not wait.
        project.write("v1")
        launch.wait_served("v1")


def test_wait_for_client_and_a_save_and_an_ide_that_changes_its_mind(project: Project) -> None:
    with launched("-v", *DEBUG, "--wait-for-client", *WSGIREF, cwd=project.root) as launch:
        launch.wait_for(r"watching \d+ dir")
        project.write("v1", before="open('has run', 'w').close()\n")
        with client(launch) as ide:
            # It goes away before it has said what it wants.
            ide.request("initialize", adapterID="debugpy")
            ide.send_request("attach")
            ide.wait_event("initialized")
        with client(launch) as ide:
            ide.attach(breakpoints={str(project.app): [1]})
            assert ide.stop_lines(ide.wait_event("stopped")) == [("<module>", 1)]
            assert not (project.root / "has run").exists()


def is_waiting_for_client(launch: Launch) -> bool:
    """Whether the child's debugger has connected: beside the app's and the launcher's sockets."""
    for pid in marked(launch.run_id):
        if "/child/__main__.py" in describe([pid]):
            return "".join(open_files(pid)).count("socket") == 3
    return False


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_wait_for_client_can_be_interrupted(project: Project, sig: int) -> None:
    project.write("v1", before="open('has run', 'w').close()\n")
    with launched(*DEBUG, "--wait-for-client", *WSGIREF, cwd=project.root) as launch:
        launch.wait_for("watching")
        wait_until(lambda: is_waiting_for_client(launch), 20)
        launch.process.send_signal(sig)
        assert launch.wait_ended() == 128 + sig
        assert not (project.root / "has run").exists()
    assert "Traceback" not in launch.text


CONNECTED = """
inner = app

def app(environ, start_response):
    if environ["PATH_INFO"] != "/connected":
        return inner(environ, start_response)
    import debugpy
    start_response("200 OK", [])
    return [str(debugpy.is_client_connected()).encode()]
"""


def test_detach_and_attach_again(project: Project) -> None:
    project.write("v0", WSGI + CONNECTED)
    with debugged(project, HANDLER_LINE) as (launch, ide):
        visit_breakpoint(launch, ide, "v0")
        ide.request("disconnect")
        ide.wait_event("terminated")
        ide.wait_closed()
        assert launch.get() == "v0"
        wait_until(lambda: launch.get("/connected") == "False", what="as with debugpy alone")
        with client(launch) as again:
            again.attach(breakpoints={str(project.app): [HANDLER_LINE]})
            visit_breakpoint(launch, again, "v0")
            with visit(launch) as future:
                again.wait_event("stopped")
                again.close()  # the connection drops, and the paused app runs on
                assert future.result(20) == "v0"
        assert launch.get() == "v0"
        project.write("v1")
        launch.wait_served("v1")
        with client(launch) as third:
            third.attach(breakpoints={str(project.app): [HANDLER_LINE]})
            visit_breakpoint(launch, third, "v1")


def test_without_an_ide_nothing_of_the_debugger_is_loaded(project: Project) -> None:
    source = WSGI.replace("= VERSION", "= VERSION, [m for m in sys.modules if 'pydev' in m]")
    project.write("v0", source, "import sys\n")
    with launched(*DEBUG, *WSGIREF, cwd=project.root) as launch:
        launch.wait_for("ready in")
        assert launch.get() == "('v0', [])"
        with client(launch) as ide:
            ide.attach()
            assert "pydevd" in launch.get(), "else this test shows nothing"
        launch.wait_for("is detached")
        project.write("v1", source, "import sys\n")
        launch.wait_served("('v1', [])")


# --- restart and the end ------------------------------------------------------------------------


def test_restart_starts_the_child_anew_under_the_same_session(project: Project) -> None:
    project.write("v0", HOOKED)
    with debugged(project, target=APP) as (launch, ide):
        first = launch.get()
        ide.request("restart")
        launch.wait_for("restarted in")
        second = launch.get()
        assert second != first
        assert hooks(project) == ["v0"]
        ide.set_breakpoints(str(project.app), [HOOKED_LINE])
        visit_breakpoint(launch, ide, second, HOOKED_LINE)
        with visit(launch):
            # Restart is also what people press when the program is held.
            stopped = ide.wait_event("stopped")
            ide.request("restart")
            ide.wait_event("continued")
            gone = ide.wait_event("thread", lambda body: body["reason"] == "exited")
            assert gone["threadId"] == stopped["threadId"]
        wait_until(lambda: launch.text.count("restarted in") == 2, 20, lambda: launch.text)
        ide.set_breakpoints(str(project.app), [])
        assert launch.get() != second
        assert not ide.has_event("terminated")
        assert not ide.has_event("exited")


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("command", ["terminate", "disconnect", "SIGINT", "SIGTERM"])
def test_the_end_asked_for(project: Project, command: str, paused: bool) -> None:
    project.write("v0", HOOKED)
    # Who wants the end is not held up by a breakpoint in a shutdown hook.
    lines = (HOOKED_LINE, HOOK_LINE)
    with debugged(project, *lines, target=("--grace", "5", *APP)) as (launch, ide):
        with contextlib.ExitStack() as stack:
            if paused:
                stack.enter_context(visit(launch))
                ide.wait_event("stopped")
            if command.startswith("SIG"):
                launch.process.send_signal(getattr(signal, command))
            elif command == "terminate":
                ide.request("terminate")
            else:
                ide.request("disconnect", terminateDebuggee=True)
            ide.wait_event("terminated")
            if command == "SIGINT":
                ide.request("disconnect")  # as most IDEs do; none has to
            ide.wait_closed()
            status = launch.wait_ended(5 + 3)
        assert status == (143 if command == "SIGTERM" else 0)
        assert hooks(project) == ["v0"]
        if command != "disconnect":
            assert ide.events("exited") == [{"exitCode": status}]
        launch.close()
    assert re.search(r"killed|closed|Traceback", launch.text) is None


# --- a save while the app is paused -------------------------------------------------------------


def test_a_save_while_paused_waits_for_continue(project: Project) -> None:
    with debugged(project, HANDLER_LINE) as (launch, ide):
        with visit(launch) as future:
            stopped = ide.wait_event("stopped")
            project.write("v1")
            launch.wait_for(r"waiting +app\.py changed .* will reload on continue$")
            note = ide.wait_event("output", lambda body: body["category"] == "console")
            assert note["output"] == "app.py changed: will reload on continue\n"
            for function in ("handler", "app"):
                ide.request("next", threadId=stopped["threadId"])
                stopped = ide.wait_event("stopped")
                assert stopped["reason"] == "step"
                assert ide.top_frame(stopped)["name"] == function
            assert ide.evaluate(stopped, "VERSION") == "'v0'"
            project.write("v2")
            ide.wait_event("output", lambda body: "changed" in body["output"])
            assert "reloading" not in launch.text
            ide.continue_(stopped["threadId"])
            assert future.result(20) == "v0"
        launch.wait_for("reloaded in")
        visit_breakpoint(launch, ide, "v2")
    assert launch.text.count("reloaded in") == 1


def test_while_paused_restart(project: Project) -> None:
    project.write("v0", HOOKED)
    target = ("--while-paused", "restart", *APP)
    with debugged(project, HOOKED_LINE, target=target) as (launch, ide):
        with visit(launch) as future:
            stopped = ide.wait_event("stopped")
            project.write("v1", HOOKED)
            continued = ide.wait_event("continued")
            assert continued["threadId"] == stopped["threadId"]
            ide.wait_event(
                "thread",
                lambda body: body == {"reason": "exited", "threadId": stopped["threadId"]},
            )
            assert future.result(20).startswith("v0 ")
        launch.wait_for("reloaded in")
        assert hooks(project) == ["v0"]
        with visit(launch) as future:
            pass_breakpoint(ide, HOOKED_LINE)
            assert future.result(20).startswith("v1 ")


def test_a_breakpoint_in_a_shutdown_hook(project: Project) -> None:
    project.write("v0", HOOKED)
    with debugged(project, HOOK_LINE, target=("--grace", "0.3", *APP)) as (launch, ide):
        project.write("v1", HOOKED)
        stopped = ide.wait_event("stopped")
        assert ide.top_frame(stopped)["line"] == HOOK_LINE
        ide.evaluate(stopped, "__import__('time').sleep(1)")  # longer than the grace
        assert hooks(project) == []
        ide.continue_(stopped["threadId"])
        launch.wait_for("reloaded in")
        assert hooks(project) == ["v0"]
        ide.set_breakpoints(str(project.app), [])


def test_a_child_killed_while_paused(project: Project) -> None:
    with debugged(project, HANDLER_LINE) as (launch, ide):
        with visit(launch):
            stopped = ide.wait_event("stopped")
            pid = int(ide.evaluate(stopped, PID))
            long = "open('evaluating', 'w').close() or __import__('time').sleep(600)"
            frame = ide.top_frame(stopped)["id"]
            evaluation = ide.send_request("evaluate", expression=long, frameId=frame)
            wait_until((project.root / "evaluating").exists, 20)
            os.kill(pid, signal.SIGKILL)
            response = ide.wait_response(evaluation)
            assert not response["success"]
            assert "ended" in response["message"]
            assert ide.wait_event("continued")["threadId"] == stopped["threadId"]
            ide.wait_event(
                "thread",
                lambda body: body == {"reason": "exited", "threadId": stopped["threadId"]},
            )
        launch.wait_for("killed by SIGKILL +waiting for a change")
        assert ide.request("threads") == {"threads": []}
        project.write("v1")
        launch.wait_for("reloaded in|ready in", after=launch.text.index("killed by"))
        visit_breakpoint(launch, ide, "v1")
        assert not ide.has_event("terminated")


# --- breakpoints over reloads -------------------------------------------------------------------


def test_breakpoint_ids_stay_the_same(project: Project) -> None:
    with debugged(project, MODULE_LINE, HANDLER_LINE) as (launch, ide):
        answers = ide.set_breakpoints(str(project.app), [MODULE_LINE, HANDLER_LINE])
        at_module, in_handler = (answer["id"] for answer in answers)
        for count in range(5):
            project.write(f"w{count}")
            assert pass_breakpoint(ide, MODULE_LINE)["hitBreakpointIds"] == [at_module]
            with visit(launch) as future:
                hit = pass_breakpoint(ide, HANDLER_LINE)
                assert hit["hitBreakpointIds"] == [in_handler]
                assert future.result(20) == f"w{count}"
        told = {body["breakpoint"]["id"] for body in ide.events("breakpoint")}
        assert told <= {at_module, in_handler}


def test_breakpoints_that_move_with_their_lines(project: Project) -> None:
    with debugged(project, HANDLER_LINE) as (launch, ide):
        # The editor sends them again at the save, when the child may be in any state.
        project.write("v1", before="# more\n")
        ide.set_breakpoints(str(project.app), [HANDLER_LINE + 1])
        launch.wait_for("reloaded in")
        visit_breakpoint(launch, ide, "v1", HANDLER_LINE + 1)
        project.write("v2", before=GATE)
        launch.wait_for("^importing")
        (moved,) = ide.set_breakpoints(str(project.app), [HANDLER_LINE + 4])
        assert moved["verified"]
        (project.root / "open").touch()
        visit_breakpoint(launch, ide, "v2", HANDLER_LINE + 4)


def test_breakpoints_set_while_the_app_is_broken(project: Project) -> None:
    save(project.app, "def broken(:\n")
    with launched(*DEBUG, *WSGIREF, cwd=project.root) as launch:
        launch.wait_for("broken +app.py:1")
        with client(launch) as ide:
            ide.attach()
            (pending,) = ide.set_breakpoints(str(project.app), [HANDLER_LINE])
            assert not pending["verified"]
            assert "not running" in pending["message"]
            project.write("v1")
            changed = ide.wait_event("breakpoint")["breakpoint"]
            assert (changed["id"], changed["verified"]) == (pending["id"], True)
            launch.wait_for("(reloaded|ready) in")
            visit_breakpoint(launch, ide, "v1")


KINDS = """\
VERSION = {version!r}

def conditional(number):
    return number

def logged(value):
    text = str(value)
    return value

def named():
    return VERSION

def caught():
    try:
        return 1 / 0
    except ZeroDivisionError:
        return VERSION

def handler(path):
    match path:
        case "/conditional": return [conditional(n) for n in range(4)]
        case "/counted": return [logged(n) for n in range(4)]
        case "/named": return named()
        case "/caught": return caught()
        case "/unhandled": raise LookupError(VERSION)

def app(environ, start_response):
    answer = handler(environ["PATH_INFO"])
    start_response("200 OK", [])
    return [str(answer).encode()]
"""


def test_every_kind_of_breakpoint_survives(project: Project) -> None:
    project.write("v0", KINDS)
    lines = [
        {"line": 4, "condition": "number == 2"},
        {"line": 7, "logMessage": "called with {value}"},
        {"line": 8, "hitCondition": "3"},
    ]
    kinds: dict[str, Any] = {"functions": ["named"], "exceptions": ["raised", "userUnhandled"]}
    with debugged(project, *lines, **kinds) as (launch, ide):
        for version in ("v0", "v1"):
            if version != "v0":
                project.write(version, KINDS)
                launch.wait_for("reloaded in")
            with visit(launch, "/conditional") as future:
                stopped = ide.wait_event("stopped")
                assert ide.evaluate(stopped, "number") == "2"
                ide.continue_(stopped["threadId"])
                assert future.result(20) == "[0, 1, 2, 3]"
            with visit(launch, "/counted") as future:
                stopped = ide.wait_event("stopped")
                assert ide.evaluate(stopped, "value") == "2"
                ide.continue_(stopped["threadId"])
                assert future.result(20) == "[0, 1, 2, 3]"
                ide.wait_event("output", lambda body: "called with 3" in body["output"])
            with visit(launch, "/named") as future:
                stopped = ide.wait_event("stopped")
                assert stopped["reason"] == "function breakpoint"
                assert ide.top_frame(stopped)["name"] == "named"
                ide.continue_(stopped["threadId"])
                assert future.result(20) == version
            with visit(launch, "/caught") as future:
                stopped = ide.wait_event("stopped")
                assert stopped["reason"] == "exception"
                info = ide.request("exceptionInfo", threadId=stopped["threadId"])
                assert info["exceptionId"] == "ZeroDivisionError"
                ide.continue_(stopped["threadId"])
                assert future.result(20) == version
            ide.request("setExceptionBreakpoints", filters=["userUnhandled"])
            assert launch.get("/caught") == version
            with visit(launch, "/unhandled"):
                stopped = ide.wait_event("stopped")
                assert stopped["reason"] == "exception"
                assert ide.evaluate(stopped, "VERSION") == repr(version)
                ide.continue_(stopped["threadId"])
            ide.request("setExceptionBreakpoints", filters=["raised", "userUnhandled"])
        assert len([b for b in ide.events("output") if "called with 0" in b["output"]]) == 2


def test_an_uncaught_exception_at_import(project: Project) -> None:
    with debugged(project, exceptions=["uncaught"]) as (launch, ide):
        for _ in range(2):
            offset = len(launch.text)
            save(project.app, "def fail():\n    raise LookupError('here')\n\nfail()\n")
            stopped = ide.wait_event("stopped")
            assert stopped["reason"] == "exception"
            assert ide.stop_lines(stopped) == [("fail", 2), ("<module>", 4)]
            info = ide.request("exceptionInfo", threadId=stopped["threadId"])
            assert (info["exceptionId"], info["description"]) == ("LookupError", "here")
            ide.continue_(stopped["threadId"])
            launch.wait_for(r"broken +app\.py:2 +LookupError: here", after=offset)
            offset = len(launch.text)
            project.write("v1")
            launch.wait_for(r"(reloaded|ready) in", after=offset)


@pytest.mark.parametrize(
    ("source", "line", "target"),
    [(WSGI, HANDLER_LINE, WSGIREF), (HOOKED, HOOKED_LINE, APP)],
    ids=["wsgi", "asgi"],
)
def test_with_just_my_code_nothing_of_ours_is_seen(
    project: Project, source: str, line: int, target: tuple[str, ...]
) -> None:
    project.write("v0", source)
    with debugged(project, line, target=target, justMyCode=True) as (launch, ide):
        project.write("v1", source)
        launch.wait_for("reloaded in")
        with visit(launch) as future:
            seen = 0

            def moved() -> bool:
                ide.drain(0.02)
                return future.done() or len(ide.events("stopped")) > seen

            while wait_until(moved, 20) and not future.done():
                seen += 1
                stopped = ide.wait_event("stopped")
                frames = ide.request("stackTrace", threadId=stopped["threadId"])["stackFrames"]
                assert {frame["source"]["path"] for frame in frames} == {str(project.app)}
                ide.request("stepOut", threadId=stopped["threadId"])
            assert future.result().startswith("v1")
            assert [frame["name"] for frame in frames] == ["app"], "it was stepped out of"


# --- output and the other requests --------------------------------------------------------------


TALKS = """\
VERSION = {version!r}

def handler():
    print("heard " + VERSION)
    number = 1
    number = number + 1
    return number

def app(environ, start_response):
    start_response("200 OK", [])
    return [str(handler()).encode()]
"""


def test_output_and_evaluation_go_through(project: Project) -> None:
    project.write("v0", TALKS)
    path = {"path": str(project.app)}
    with debugged(project, 6, redirectOutput=True) as (launch, ide):
        project.write("v1", TALKS)
        launch.wait_for("reloaded in")
        with visit(launch) as future:
            stopped = ide.wait_event("stopped")
            heard = ide.wait_event("output", lambda body: "heard" in body["output"])
            assert (heard["category"], heard["output"].strip()) == ("stdout", "heard v1")
            frame = ide.top_frame(stopped)["id"]
            assert ide.evaluate(stopped, "number + 41") == "42"
            ide.request("evaluate", expression="other = 7", context="repl", frameId=frame)
            (scope,) = (
                scope
                for scope in ide.request("scopes", frameId=frame)["scopes"]
                if scope["name"] == "Locals"
            )
            reference = scope["variablesReference"]
            found = ide.request("variables", variablesReference=reference)["variables"]
            values = {variable["name"]: variable["value"] for variable in found}
            assert (values["number"], values["other"]) == ("1", "7")
            ide.request("setVariable", variablesReference=reference, name="number", value="10")
            targets = ide.request("completions", text="VERSION.upp", column=12, frameId=frame)
            assert "upper" in [target["label"] for target in targets["targets"]]
            with pytest.raises(RequestFailed, match="nonsense"):
                ide.evaluate(stopped, "nonsense")
            (target,) = ide.request("gotoTargets", source=path, line=7)["targets"]
            ide.request("goto", threadId=stopped["threadId"], targetId=target["id"])
            stopped = ide.wait_event("stopped")
            assert ide.top_frame(stopped)["line"] == 7
            assert ide.evaluate(stopped, "number") == "10"
            ide.continue_(stopped["threadId"])
            assert future.result(20) == "10", "line 6 was jumped over"
    launch.wait_for("^heard v1$")


# --- processes that the app starts --------------------------------------------------------------


PARENT = """\
import multiprocessing, subprocess, sys
import job

def app(environ, start_response):
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/subprocess":
        done = subprocess.run([sys.executable, job.__file__], capture_output=True, text=True)
        return [done.stdout.strip().encode()]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return [pool.apply(job.work).encode()]
"""
JOB = """\
import sys
def work():
    loaded = "pydevd" in sys.modules
    return f"worked, debugger {loaded}"
if __name__ == "__main__":
    print(work())
"""
JOB_LINE = 4


@pytest.fixture
def parent(project: Project) -> Project:
    save(project.root / "job.py", JOB)
    save(project.app, PARENT)
    return project


@pytest.mark.parametrize(
    ("path", "by_request"), [("/subprocess", False), ("/subprocess", True), ("/pool", True)]
)
def test_a_breakpoint_in_a_process_of_the_app(parent: Project, path: str, by_request: bool) -> None:
    where = {str(parent.root / "job.py"): [JOB_LINE]}
    abilities = {"supportsStartDebuggingRequest": by_request}
    with debugged(parent, breakpoints=where, initialize=abilities) as (launch, ide):
        with visit(launch, path) as future, contextlib.ExitStack() as stack:
            while not future.done():
                if by_request:
                    wanted = ide.wait_request("startDebugging")["configuration"]
                else:
                    wanted = ide.wait_event("debugpyAttach")
                assert wanted["connect"] == {"host": "127.0.0.1", "port": launch.debug_port}
                process = stack.enter_context(client(launch))
                process.attach(subProcessId=wanted["subProcessId"], breakpoints=where)
                if path == "/pool" and "spawn_main" not in _command(wanted["subProcessId"]):
                    continue  # multiprocessing's resource tracker
                stopped = process.wait_event("stopped")
                assert process.stop_lines(stopped)[0] == ("work", JOB_LINE)
                assert process.evaluate(stopped, "loaded") == "True"
                process.continue_(stopped["threadId"])
                assert future.result(20) == "worked, debugger True"
        assert not ide.has_event("terminated")
        assert "runs without the debugger" not in launch.text


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def test_processes_of_the_app_never_hang_where_nobody_adopts_them(parent: Project) -> None:
    with launched(*DEBUG, *WSGIREF, cwd=parent.root) as launch:
        launch.wait_for("ready in")
        assert launch.get("/subprocess") == "worked, debugger False"
        with client(launch) as ide:
            ide.attach()
            assert launch.get("/subprocess") == "worked, debugger True"
            announced = ide.wait_event("debugpyAttach")["subProcessId"]
            launch.wait_for(rf"process {announced}, .* runs without the debugger")
        launch.wait_for("is detached")
        offset = len(launch.text)
        assert launch.get("/subprocess").startswith("worked")
        assert "runs without the debugger" not in launch.text[offset:]


# --- who else may come to the debug port --------------------------------------------------------


STRANGERS = {
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n": "an HTTP request",
    b"\0\1\2 garbage": "not DAP",
    b"Content-Length: 1\r\n" + b"Content-Type: x\r\n" * 600: "a header of more than 8192 bytes",
    b"Content-Length: 99999999999\r\n\r\n": "a message of 99999999999 bytes",
    b"Content-Length: 3\r\n\r\n{]}": "a message that is no JSON",
}


def test_strangers_at_the_debug_port(project: Project) -> None:
    with debugged(project, HANDLER_LINE) as (launch, ide):
        address = ("127.0.0.1", launch.debug_port)
        for data, reason in STRANGERS.items():
            offset = len(launch.text)
            with socket.create_connection(address, 20) as stranger:
                stranger.sendall(data)
                with contextlib.suppress(ConnectionError):
                    assert stranger.recv(100) == b"", "it is told nothing"
            launch.wait_for(rf"refused a connection .*: {re.escape(reason)}", after=offset)
            assert launch.text[offset:].count("\n") == 1
        offset = len(launch.text)
        socket.create_connection(address, 20).close()
        with client(launch) as other, pytest.raises(RequestFailed, match="test client"):
            other.attach()
        launch.wait_for("refused a second IDE", after=offset)
        assert launch.text[offset:].count("\n") == 1, "nothing about the port scan"
        with contextlib.ExitStack() as stack:
            for _ in range(20):
                slow = stack.enter_context(socket.create_connection(address, 20))
                slow.sendall(b"Content-Le")
            launch.wait_for("too many connections that never attach")
            visit_breakpoint(launch, ide, "v0")
            project.write("v1")
            launch.wait_for("reloaded in")
            visit_breakpoint(launch, ide, "v1")
        assert "Traceback" not in launch.text


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (
            "127.0.0.1:{busy}",
            r"(?s)127.0.0.1:{busy} is in use by .* .pid {pid}.*choose another: --debug-address",
        ),
        ("0.0.0.0:0", r"(?s)0\.0\.0\.0.*--allow-remote-debug"),
    ],
)
def test_a_debug_address_that_cannot_be_had(project: Project, address: str, message: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        busy = str(holder.getsockname()[1])
        words = ("--debug-attach", "--debug-address", address.replace("{busy}", busy))
        with launched(*words, *WSGIREF, cwd=project.root) as launch:
            assert launch.wait_ended(20) > 0
            pattern = message.replace("{busy}", busy).replace("{pid}", str(os.getpid()))
            assert re.search(pattern, launch.text), launch.text
            assert "Traceback" not in launch.text


# --- other targets ------------------------------------------------------------------------------


FLASK = """\
from flask import Flask
VERSION = {version!r}
app = Flask(__name__)

@app.get("/")
def index():
    result = VERSION
    return result
"""


def test_a_flask_handler(project: Project) -> None:
    project.write("v0", FLASK)
    with debugged(project, 7, target=APP) as (launch, ide):
        visit_breakpoint(launch, ide, "v0", 7)
        project.write("v1", FLASK)
        launch.wait_for("reloaded in")
        visit_breakpoint(launch, ide, "v1", 7)
        assert "werkzeug" in launch.text


SCRIPT = """\
import time
VERSION = {version!r}
count = 0
while True:
    count += 1
    time.sleep(0.01)
"""


@pytest.mark.parametrize("target", [("app.py",), ("-m", "app")])
def test_a_loop_in_a_program(project: Project, target: tuple[str, ...]) -> None:
    project.write("v0", SCRIPT)
    app = str(project.app)
    with debugged(project, 5, target=target) as (_, ide):

        def pass_loop(version: str) -> None:
            stopped = ide.wait_event("stopped")
            assert ide.stop_lines(stopped) == [("<module>", 5)]
            assert ide.evaluate(stopped, "VERSION") == repr(version)
            ide.continue_(stopped["threadId"])

        pass_loop("v0")
        stopped = ide.wait_event("stopped")
        project.write("v1", SCRIPT)
        ide.wait_event("output", lambda body: "will reload" in body["output"])
        ide.set_breakpoints(app, [2])  # the old one shall not come round to line 5 once more
        ide.continue_(stopped["threadId"])
        stopped = ide.wait_event("stopped")
        assert ide.stop_lines(stopped) == [("<module>", 2)]
        ide.set_breakpoints(app, [5])
        ide.continue_(stopped["threadId"])
        pass_loop("v1")
        pass_loop("v1")


# --- the core of it, on every CPython -----------------------------------------------------------


@pytest.mark.parametrize("python", launchers()[1:])
def test_the_session_on_other_pythons(project: Project, python: str) -> None:
    words = (*DEBUG, "--wait-for-client", *WSGIREF)
    with launched(*words, cwd=project.root, python=python) as launch:
        with client(launch) as ide:
            ide.attach(breakpoints={str(project.app): [MODULE_LINE, HANDLER_LINE]})
            pass_breakpoint(ide, MODULE_LINE)
            with visit(launch) as future:
                stopped = ide.wait_event("stopped")
                project.write("v1")
                ide.wait_event("output", lambda body: "will reload" in body["output"])
                ide.continue_(stopped["threadId"])
                assert future.result(20) == "v0"
            stopped = ide.wait_event("stopped")
            assert ide.stop_lines(stopped)[0] == ("<module>", MODULE_LINE)
            pid = int(ide.evaluate(stopped, PID))
            os.kill(pid, signal.SIGKILL)
            ide.wait_event("continued")
            launch.wait_for("killed by SIGKILL")
            save(project.app, "def broken(:\n")
            launch.wait_for("broken +app.py:1")
            (pending,) = ide.set_breakpoints(str(project.app), [HANDLER_LINE])
            assert not pending["verified"]
            project.write("v2", WSGI + CONNECTED)
            visit_breakpoint(launch, ide, "v2")
            ide.request("disconnect")
        wait_until(lambda: launch.get("/connected") == "False", what="no IDE is there")
        assert launch.get() == "v2"
        with client(launch) as ide:
            ide.attach(breakpoints={str(project.app): [HANDLER_LINE]})
            visit_breakpoint(launch, ide, "v2")
            with visit(launch):
                ide.wait_event("stopped")
                ide.request("terminate")
                ide.wait_event("terminated")
            assert launch.wait_ended() == 0


def test_a_working_directory_that_is_removed_and_made_again(tmp_path: Path) -> None:
    """The app has no current directory until then, and an IDE may ask for it."""
    project = Project(tmp_path)
    project.write("v0")
    place = tmp_path / "place"
    place.mkdir()
    with launched(*DEBUG, "--app-dir", str(tmp_path), *WSGIREF, cwd=place) as launch:
        launch.wait_for("ready in")
        place.rmdir()
        with client(launch) as ide:
            mapping = {"localRoot": str(place), "remoteRoot": "."}
            ide.attach(breakpoints={str(project.app): [HANDLER_LINE]}, pathMappings=[mapping])
            visit_breakpoint(launch, ide, "v0")
            place.mkdir()
            launch.wait_for(r"reloaded in \S+ m?s +\.$")
            visit_breakpoint(launch, ide, "v0")
    assert "refused" not in launch.text
