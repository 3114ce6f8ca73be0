"""The keeper with the real debugpy behind it and a DAP client before it, over real sockets."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from support.dap import DapClient, RequestFailed
from support.wait import wait_until

from devlaunch.dap.events import (
    ChildSpawned,
    ClosePeer,
    ConnectDebuggee,
    RunEnded,
    SendMessage,
    StandbyGone,
    StandbySpawned,
)
from devlaunch.dap.keeper import Keeper
from devlaunch.dap.messages import AdmitPeer
from devlaunch.dap.sockets import DapSockets
from devlaunch.events import (
    ChildGone,
    ConsoleNote,
    DebuggeePaused,
    DebuggeeResumed,
    DebuggerReady,
    LogLine,
    ReleaseRequested,
    RestartRequested,
    StopRequested,
)
from devlaunch.system.loop import Loop

TOKEN = "f00dcafe"

BOOTSTRAP = """
import functools, runpy, subprocess, sys, threading

def connect():
    import debugpy
    debugpy.connect(("127.0.0.1", int(sys.argv[1])), access_token=sys.argv[2])
    return debugpy

def connect_later():
    if sys.stdin.readline():
        connect()
        print("debugger ready", flush=True)

def connect_in_advance():
    import debugpy.server.api as api
    api._settrace = functools.partial(api._settrace, wait_for_ready_to_run=False)
    debugpy = connect()
    debugpy.trace_this_thread(False)
    return debugpy

if sys.argv[3] == "now":
    connect().wait_for_client()
elif sys.argv[3] == "below":
    sys.exit(subprocess.run([sys.executable, *sys.argv[:3], "standby", *sys.argv[4:]]).returncode)
elif sys.argv[3] == "standby":
    debugpy = connect_in_advance()
    subprocess.run([sys.executable, "-c", "print('below the standby')"])
    print("warm", flush=True)
    sys.stdin.readline()
    debugpy.trace_this_thread(True)
    debugpy.wait_for_client()
else:
    thread = threading.Thread(target=connect_later, daemon=True)
    thread.pydev_do_not_trace = thread.is_pydev_daemon_thread = True
    thread.start()
print("user code", flush=True)
runpy.run_path(sys.argv[4], run_name="__main__")
"""

APP = """\
import os, time
START = 1

def work(n):
    total = n + 1
    return total

class Broken(Exception):
    pass

def fail(n):
    raise Broken(n)

n = 0
while True:
    n += 1
    work(n)
    if os.path.exists(__file__.replace("app.py", "mark")):
        open(__file__.replace("app.py", "marked"), "w").close()
    try:
        fail(n)
    except Broken:
        pass
    time.sleep(0.01)
"""
MODULE_LINE, FUNCTION_LINE = 2, 5


class Rig:
    """A launcher reduced to what the keeper needs, with its loop in a thread."""

    def __init__(self, tmp_path, *, wait_for_client: bool = False) -> None:
        self.app = tmp_path / "app.py"
        self.app.write_text(APP)
        self.bootstrap = tmp_path / "bootstrap.py"
        self.bootstrap.write_text(BOOTSTRAP)
        self.actions: list[object] = []
        self.output = tmp_path / "output.txt"
        self.output.touch()
        self.child: subprocess.Popen | None = None
        self.standby: subprocess.Popen | None = None
        self.generation = 0
        self.loop = Loop()
        self.sockets = DapSockets(self.loop, self._handle)
        self.front = self.sockets.adopt_front(socket.create_server(("127.0.0.1", 0)))
        self.back = self.sockets.listen_back()
        self.keeper = Keeper(token=TOKEN, wait_for_client=wait_for_client)
        self.keeper.listens_at(*self.front)
        self.thread = threading.Thread(
            target=self.loop.run, args=(self._handle, lambda: self.keeper.deadline)
        )
        self.thread.start()

    def _handle(self, event: object) -> None:
        if event == "stop":
            self.loop.stop()
            return
        for action in self.keeper.handle(event, time.monotonic()):
            if isinstance(action, AdmitPeer | SendMessage | ClosePeer):
                self.sockets.perform(action)
            else:
                self.actions.append(action)
                if isinstance(action, ConnectDebuggee):
                    self.child.stdin.write(b"connect\n")
                    self.child.stdin.flush()
                    threading.Thread(target=self._wait_ready, args=[action]).start()

    def _wait_ready(self, action: ConnectDebuggee) -> None:
        self.wait_text("debugger ready")
        self.loop.post(DebuggerReady(action.generation))

    def spawn(self, debugging: bool | None = None) -> subprocess.Popen:
        debugging = self.keeper.wants_debugger if debugging is None else debugging
        self.child = self._start("now" if debugging else "later")
        self.generation += 1
        self.loop.post(ChildSpawned(self.generation, self.child.pid, debugging))
        return self.child

    def spawn_standby(self, mode: str) -> None:
        self.standby = self._start(mode)
        self.loop.post(StandbySpawned(self.standby.pid))

    def promote(self) -> None:
        assert self.standby is not None
        self.child, self.standby = self.standby, None
        self.child.stdin.write(b"start\n")
        self.child.stdin.flush()
        self.generation += 1
        self.loop.post(ChildSpawned(self.generation, self.child.pid, debugging=True))

    def end_standby(self) -> None:
        if self.standby is not None:
            self.standby.kill()
            self.standby.wait()
            self.standby.stdin.close()
            self.loop.post(StandbyGone(self.standby.pid))
            self.standby = None

    def _start(self, mode: str) -> subprocess.Popen:
        arguments = [self.bootstrap, str(self.back[1]), TOKEN, mode, self.app]
        with self.output.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-u", "-X", "frozen_modules=off", *map(str, arguments)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYDEVD_DISABLE_FILE_VALIDATION": "1"},
            )

    def end_child(self) -> None:
        if self.child is not None:
            self.child.kill()
            self.child.wait()
            self.child.stdin.close()
            self.child = None
            self.loop.post(ChildGone(self.generation))

    def next_generation(self) -> None:
        self.end_child()
        self.spawn()

    def ide(self) -> DapClient:
        return DapClient(*self.front, timeout=20)

    def text(self) -> str:
        return self.output.read_text()

    def wait_text(self, text: str, count: int = 1) -> None:
        wait_until(lambda: self.text().count(text) >= count, 20, lambda: f"{text}: {self.text()}")

    def wait_action(self, action: object) -> None:
        wait_until(lambda: action in self.actions, what=lambda: f"{action} in {self.actions}")

    def logs(self) -> list[str]:
        return [action.text for action in self.actions if isinstance(action, LogLine)]

    def close(self) -> None:
        self.end_standby()
        self.end_child()
        self.loop.post("stop")
        self.thread.join(10)
        self.sockets.close()
        self.loop.close()


@pytest.fixture
def rig(tmp_path) -> Iterator[Rig]:
    with contextlib.closing(Rig(tmp_path)) as rig:
        yield rig


def test_breakpoints_are_hit_in_every_generation_without_reattaching(rig):
    with rig.ide() as ide:
        ide.attach(breakpoints={str(rig.app): [MODULE_LINE, FUNCTION_LINE]})
        pending = {b["line"]: b["id"] for b in _answers(ide, "setBreakpoints")[0]["breakpoints"]}
        for _ in range(3):
            rig.next_generation()
            stopped = ide.wait_event("stopped")
            assert stopped["reason"] == "breakpoint"
            assert stopped["hitBreakpointIds"] == [pending[MODULE_LINE]]
            assert ide.stop_lines(stopped)[0] == ("<module>", MODULE_LINE)
            ide.continue_()
            stopped = ide.wait_event("stopped")
            assert stopped["hitBreakpointIds"] == [pending[FUNCTION_LINE]]
            assert ide.stop_lines(stopped)[0] == ("work", FUNCTION_LINE)
        verified = {e["breakpoint"]["id"] for e in ide.events("breakpoint")}
        assert verified == set(pending.values())
        assert not ide.has_event("terminated")


def test_a_child_killed_while_paused_leaves_nothing_open(rig):
    rig.spawn()
    with rig.ide() as ide:
        ide.attach(breakpoints={str(rig.app): [FUNCTION_LINE]})
        stopped = ide.wait_event("stopped")
        rig.wait_action(DebuggeePaused())
        frame = ide.request("stackTrace", threadId=stopped["threadId"])["stackFrames"][0]["id"]
        slow = ide.send_request("evaluate", expression="time.sleep(60)", frameId=frame)
        ide.request("threads")
        rig.end_child()
        response = ide.wait_response(slow)
        assert not response["success"]
        assert "ended" in response["message"]
        assert ide.wait_event("continued")["threadId"] == stopped["threadId"]
        gone = ide.wait_event("thread", lambda body: body["reason"] == "exited")
        assert gone["threadId"] == stopped["threadId"]
        rig.wait_action(DebuggeeResumed())
        assert ide.request("threads") == {"threads": []}
        with pytest.raises(RequestFailed, match="not running"):
            ide.request("evaluate", expression="1")
        rig.spawn()
        ide.wait_event("stopped")


def test_detached_app_runs_on_and_can_be_attached_again(rig):
    rig.spawn()
    for leave in ("disconnect", "break off", "disconnect"):
        with rig.ide() as ide:
            ide.attach(breakpoints={str(rig.app): [FUNCTION_LINE]}, functions=["fail"])
            first = ide.wait_event("stopped")["reason"]
            ide.continue_()
            # Both kinds are hit after each attach, and neither is left behind by the detach.
            assert {first, ide.wait_event("stopped")["reason"]} == {
                "breakpoint",
                "function breakpoint",
            }
            assert rig.keeper.paused
            if leave == "disconnect":
                ide.request("disconnect")
                ide.wait_closed()
        wait_until(lambda: not rig.keeper.paused)
        _wait_until_it_runs(rig)


def _wait_until_it_runs(rig) -> None:
    """The app writes a mark when it sees the file."""
    mark = rig.app.with_name("mark")
    mark.write_text("")
    rig.app.with_name("marked").unlink(missing_ok=True)
    wait_until(rig.app.with_name("marked").exists, 20, "the app to run")
    mark.unlink()


def test_attach_to_a_child_that_runs_without_the_debugger(rig):
    rig.spawn()
    rig.wait_text("user code")
    with rig.ide() as ide:
        ide.attach(breakpoints={str(rig.app): [FUNCTION_LINE]})
        assert ide.stop_lines(ide.wait_event("stopped"))[0] == ("work", FUNCTION_LINE)
    assert ConnectDebuggee(1) in rig.actions


def test_a_child_told_to_wait_is_let_go_when_no_ide_is_there(rig):
    rig.spawn(debugging=True)
    rig.wait_text("user code")
    with rig.ide() as ide:
        ide.attach(breakpoints={str(rig.app): [FUNCTION_LINE]})
        ide.wait_event("stopped")


def test_an_ide_that_leaves_while_the_child_starts_does_not_leave_it_hanging(rig):
    for _ in range(3):
        with rig.ide() as ide:
            ide.attach(breakpoints={str(rig.app): [MODULE_LINE]})
            rig.next_generation()
            ide.wait_event("process")
        rig.wait_text("user code", rig.generation)


def test_a_standby_takes_over_with_the_breakpoints_of_the_moment(rig):
    app = str(rig.app)
    with rig.ide() as ide:
        ide.attach(breakpoints={app: [FUNCTION_LINE]})
        rig.spawn()
        ide.wait_event("stopped")
        for number in range(1, 4):
            rig.spawn_standby("standby")
            rig.wait_text("warm", number)
            assert rig.text().count("user code") == number
            ide.set_breakpoints(app, [MODULE_LINE, FUNCTION_LINE])
            rig.end_child()
            rig.promote()
            for line in (MODULE_LINE, FUNCTION_LINE):
                stopped = ide.wait_event("stopped")
                assert ide.stop_lines(stopped)[0][1] == line
                ide.continue_()
            ide.set_breakpoints(app, [FUNCTION_LINE])
            ide.wait_event("stopped")
        assert "below the standby" in rig.text()
        assert not ide.has_event("debugpyAttach")
        assert not ide.has_event("terminated")
        pids = [body["systemProcessId"] for body in ide.events("process")]
        assert len(pids) == len(set(pids)) == 4  # and of none before its time
    assert not [line for line in rig.logs() if "process" in line]


@pytest.mark.parametrize("is_below_stub", [False, True], ids=["itself", "below a stub"])
def test_a_standby_may_connect_while_there_is_no_child(rig, is_below_stub):
    rig.app.write_text("import os\nSTART = 1\n")  # it ends by itself, also below a stub
    with rig.ide() as ide:
        ide.attach(breakpoints={str(rig.app): [MODULE_LINE]})
        rig.spawn_standby("below" if is_below_stub else "standby")
        rig.wait_text("warm")
        rig.promote()
        assert ide.stop_lines(ide.wait_event("stopped"))[0] == ("<module>", MODULE_LINE)


def test_a_standby_that_is_promoted_while_it_connects(rig):
    with rig.ide() as ide:
        ide.attach(breakpoints={str(rig.app): [MODULE_LINE]})
        for _ in range(3):
            rig.spawn_standby("now")
            rig.end_child()
            rig.promote()
            assert ide.stop_lines(ide.wait_event("stopped"))[0] == ("<module>", MODULE_LINE)


def test_a_standby_that_is_killed_leaves_no_trace(rig):
    with rig.ide() as ide:
        ide.attach(breakpoints={str(rig.app): [FUNCTION_LINE]})
        rig.spawn()
        ide.wait_event("stopped")
        rig.spawn_standby("standby")
        rig.wait_text("warm")
        rig.end_standby()
        rig.spawn_standby("standby")
        rig.end_standby()
        assert ide.request("threads")["threads"]
        assert len(ide.events("process")) == 1
        assert not ide.has_event("debugpyAttach")
        assert rig.keeper.paused
        wait_until(lambda: not rig.keeper.has_lost_standby)
    assert not [line for line in rig.logs() if "detached" not in line and "attached" not in line]


def test_wait_for_client(tmp_path):
    with contextlib.closing(Rig(tmp_path, wait_for_client=True)) as rig:
        rig.spawn()
        rig.next_generation()
        with rig.ide() as ide:
            # An IDE that leaves before it is configured does not count.
            ide.request("initialize", adapterID="debugpy")
            ide.send_request("attach")
            ide.wait_event("initialized")
        assert "user code" not in rig.text()
        with rig.ide() as ide:
            ide.attach(breakpoints={str(rig.app): [MODULE_LINE]})
            assert ide.stop_lines(ide.wait_event("stopped"))[0] == ("<module>", MODULE_LINE)
            ide.request("disconnect")
        rig.next_generation()
        rig.wait_text("user code", 2)


def test_every_kind_of_breakpoint_survives_the_generation(rig):
    app = str(rig.app)
    with rig.ide() as ide:
        ide.attach(
            breakpoints={
                app: [
                    {"line": 5, "condition": "n == 3"},
                    {"line": 6, "logMessage": "total is {total}"},
                    {"line": 18, "hitCondition": "5"},
                ]
            },
            functions=["fail"],
            exceptions=["raised"],
        )
        for _ in range(2):
            rig.next_generation()
            reasons = []
            while "condition" not in reasons:
                stopped = ide.wait_event("stopped")
                reason = stopped["reason"]
                if reason == "breakpoint":
                    frame = ide.request("stackTrace", threadId=stopped["threadId"])
                    frame = frame["stackFrames"][0]["id"]
                    body = ide.request("evaluate", expression="n", frameId=frame)
                    assert body["result"] == "3"
                    reason = "condition"
                elif reason == "exception":
                    info = ide.request("exceptionInfo", threadId=stopped["threadId"])
                    assert info["exceptionId"].endswith("Broken")
                reasons.append(reason)
                if reason != "condition":
                    ide.continue_()
            assert reasons[:2] == ["function breakpoint", "exception"]
            ide.wait_event("output", lambda body: "total is 2" in body["output"])
    assert [len(a["breakpoints"]) for a in _answers(ide, "setBreakpoints")] == [3]


def test_breakpoints_changed_while_the_app_is_down_or_running(rig):
    app = str(rig.app)
    with rig.ide() as ide:
        ide.attach(breakpoints={app: [FUNCTION_LINE]})
        rig.spawn()
        ide.wait_event("stopped")
        (live,) = ide.set_breakpoints(app, [6])
        assert live["verified"] is True
        ide.continue_()
        stopped = ide.wait_event("stopped")
        assert stopped["hitBreakpointIds"] == [live["id"]]
        rig.end_child()
        kept, new = ide.set_breakpoints(app, [6, MODULE_LINE])
        assert kept["id"] == live["id"]
        assert new["verified"] is False
        assert "not running" in new["message"]
        rig.spawn()
        assert ide.wait_event("stopped")["hitBreakpointIds"] == [new["id"]]
        assert ide.set_breakpoints(app, []) == []
        rig.next_generation()
        rig.wait_text("user code", 3)
        _wait_until_it_runs(rig)


def test_a_breakpoint_that_moved_is_reported(rig):
    with rig.ide() as ide:
        ide.attach(breakpoints={str(rig.app): [3]})  # an empty line: pydevd takes the one before
        rig.spawn()
        moved = ide.wait_event("breakpoint")
        assert moved["reason"] == "changed"
        assert (moved["breakpoint"]["line"], moved["breakpoint"]["verified"]) == (2, True)
        assert (
            moved["breakpoint"]["id"] == _answers(ide, "setBreakpoints")[0]["breakpoints"][0]["id"]
        )


def test_output_evaluation_and_notes(rig):
    rig.app.write_text("import time\nprint('hello from the app')\ntime.sleep(60)\n")
    with rig.ide() as ide:
        ide.attach(redirectOutput=True)
        rig.spawn()
        ide.wait_event("output", lambda body: "hello from the app" in body["output"])
        assert ide.request("evaluate", expression="6 * 7", context="repl")["result"] == "42"
        with pytest.raises(RequestFailed, match="nonsense"):
            ide.request("evaluate", expression="nonsense", context="repl")
        rig.loop.post(ConsoleNote("app.py changed"))
        note = ide.wait_event("output", lambda body: "changed" in body["output"])
        assert note == {"category": "console", "output": "app.py changed\n"}


def test_the_last_words_of_a_child_arrive(rig):
    rig.app.write_text("print('famous last words')\nraise SystemExit(3)\n")
    with rig.ide() as ide:
        ide.attach(redirectOutput=True)
        child = rig.spawn()
        child.wait(20)
        rig.end_child()
        ide.wait_event("output", lambda body: "famous last words" in body["output"])
        rig.app.write_text(APP)
        rig.spawn()
        ide.wait_event("process")
        assert not ide.has_event("terminated")
        assert not ide.has_event("exited")


@pytest.mark.parametrize("stop_all", [True, False])
def test_steps_count_as_paused_until_continue(rig, stop_all):
    rig.spawn()
    with rig.ide() as ide:
        breakpoints = {str(rig.app): [FUNCTION_LINE]}
        ide.attach(breakpoints=breakpoints, stopAllThreadsOnSuspend=stop_all)
        stopped = ide.wait_event("stopped")
        rig.wait_action(DebuggeePaused())
        for _ in range(2):
            ide.request("next", threadId=stopped["threadId"])
            stopped = ide.wait_event("stopped")
            assert stopped["reason"] == "step"
        assert DebuggeeResumed() not in rig.actions
        ide.set_breakpoints(str(rig.app), [])
        ide.continue_()
        rig.wait_action(DebuggeeResumed())
        ide.request("pause", threadId=1)
        assert ide.wait_event("stopped")["reason"] == "pause"
        rig.wait_action(DebuggeePaused())


def test_a_step_that_does_not_stop_again(rig):
    rig.app.write_text("import time\ntime.sleep(60)\n")
    rig.spawn()
    with rig.ide() as ide:
        ide.attach(breakpoints={str(rig.app): [2]})
        rig.next_generation()
        thread = ide.wait_event("stopped")["threadId"]
        ide.request("next", threadId=thread)
        assert rig.keeper.paused
        rig.wait_action(DebuggeeResumed())


def test_release_lets_a_paused_app_reach_its_end(rig):
    rig.app.write_text(
        "def hook():\n    return 1\n\n\nx = hook()\nbreakpoint()\nprint('over', hook())\n"
    )
    with rig.ide() as ide:
        ide.attach(breakpoints={str(rig.app): [2, 7]}, functions=["hook"], exceptions=["raised"])
        child = rig.spawn()
        stopped = ide.wait_event("stopped")
        rig.loop.post(ReleaseRequested())
        assert ide.wait_event("continued")["threadId"] == stopped["threadId"]
        assert child.wait(20) == 0
        assert "over 1" in rig.text()
        rig.wait_action(DebuggeeResumed())
        rig.next_generation()
        ide.wait_event("stopped")


def test_restart_terminate_and_disconnect(rig):
    rig.spawn()
    with rig.ide() as ide:
        assert ide.attach()["supportsRestartRequest"] is True
        ide.request("restart")
        rig.wait_action(RestartRequested())
        ide.request("terminate")
        rig.wait_action(StopRequested(None))
        rig.actions.clear()
        ide.request("disconnect", terminateDebuggee=False)
        assert StopRequested(None) not in rig.actions
    with rig.ide() as ide:
        ide.attach()
        ide.request("disconnect", terminateDebuggee=True)
        rig.wait_action(StopRequested(None))


def test_the_end_of_the_launcher_is_told(rig):
    rig.spawn()
    with rig.ide() as ide:
        ide.attach()
        rig.end_child()
        rig.loop.post(RunEnded(-15))
        assert ide.wait_event("exited") == {"exitCode": 143}
        ide.wait_event("terminated")
        ide.request("disconnect")
        ide.wait_closed()


def test_a_second_ide_is_refused_and_the_first_does_not_notice(rig):
    rig.spawn()
    with rig.ide() as ide, rig.ide() as other:
        ide.attach(breakpoints={str(rig.app): [FUNCTION_LINE]}, initialize={"clientName": "Emacs"})
        with pytest.raises(RequestFailed, match=r"Another IDE is attached \(Emacs\)"):
            other.attach()
        other.wait_closed()
        assert any("refused a second IDE" in line for line in rig.logs())
        ide.wait_event("stopped")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost:5678\r\n\r\n", "an HTTP request, not DAP"),
        (b"hello there\r\n", "not DAP: it begins with b'hello there"),
        (b"Content-Length: 999999999999\r\n\r\n", "a message of 999999999999 bytes"),
        (b"Content-Type: " + b"x" * 9000, "a header of more than"),
    ],
)
def test_what_is_not_dap_is_refused(rig, data, reason):
    rig.spawn()
    with rig.ide() as ide:
        ide.attach()
        with socket.create_connection(rig.front) as stranger:
            stranger.sendall(data)
            stranger.settimeout(10)
            assert stranger.recv(100) == b""
        wait_until(lambda: any(reason in line for line in rig.logs()), what=rig.logs)
        ide.wait_event("process")
        assert ide.request("threads")["threads"]


def test_a_debuggee_has_to_know_the_token(rig):
    rig.spawn()
    rig.wait_text("user code")
    with DapClient(*rig.back) as stranger:
        wait_until(lambda: (stranger.drain(0.05), stranger.messages)[1], 10, "a request")
        assert TOKEN not in str(stranger.messages)
        stranger.wait_closed()  # our client's answer has no token in it
    assert any("does not know the token" in line for line in rig.logs())


def test_requests_that_pydevd_would_not_answer_are_answered(rig):
    rig.spawn()
    with rig.ide() as ide:
        ide.attach()
        for command in ("loadedSources", "restartFrame", "stepBack", "cancel", "somethingNew"):
            with pytest.raises(RequestFailed):
                ide.request(command)
        with pytest.raises(RequestFailed, match="attach"):
            ide.request("launch", program="x.py")
    assert "Unhandled" not in rig.text()


PARENT = """\
import subprocess, sys, time
print("parent runs", flush=True)
subprocess.run([sys.executable, "{child}"])
print("parent goes on", flush=True)
time.sleep(60)
"""


@pytest.fixture
def family(rig):
    """An app that runs another Python program and waits for it. Returns that program's path."""
    child = rig.app.with_name("grandchild.py")
    child.write_text("answer = 42\nprint('the answer is', answer)\n")
    rig.app.write_text(PARENT.format(child=child))
    return str(child)


@pytest.mark.parametrize("announcement", ["startDebugging", "debugpyAttach"])
def test_a_grandchild_is_adopted(rig, family, announcement):
    requests = []
    with rig.ide() as ide:
        ide.reverse = lambda request: not requests.append(request)
        by_request = announcement == "startDebugging"
        ide.attach(
            initialize={"supportsStartDebuggingRequest": by_request},
            name="Attach",
            type="debugpy",
            connect={"host": "127.0.0.1", "port": rig.front[1]},
            breakpoints={family: [2]},
        )
        rig.spawn()
        if by_request:
            wait_until(lambda: (ide.drain(0.05), requests)[1], 20, "startDebugging")
            assert requests[0]["arguments"]["request"] == "attach"
            configuration = requests[0]["arguments"]["configuration"]
        else:
            configuration = ide.wait_event("debugpyAttach")
            assert configuration.pop("request") == "attach"
        pid = configuration["subProcessId"]
        assert configuration == {
            "name": f"Subprocess {pid}",
            "type": "debugpy",
            "connect": {"host": "127.0.0.1", "port": rig.front[1]},
            "subProcessId": pid,
        }
        with rig.ide() as child:
            child.attach(**configuration, breakpoints={family: [2]})
            stopped = child.wait_event("stopped")
            assert child.stop_lines(stopped)[0] == ("<module>", 2)
            assert rig.keeper.paused
            frame = child.request("stackTrace", threadId=stopped["threadId"])["stackFrames"][0]
            body = child.request("evaluate", expression="answer", frameId=frame["id"])
            assert body["result"] == "42"
            assert ide.request("evaluate", expression="1 + 1", context="repl")["result"] == "2"
            child.continue_()
            child.wait_event("terminated")
            child.wait_closed()
        rig.wait_text("parent goes on")
        assert "the answer is 42" in rig.text()
        assert not ide.has_event("terminated")
        assert not rig.keeper.paused


def test_a_grandchild_that_nobody_adopts_runs_on(rig, family):
    with rig.ide() as ide:
        ide.attach(breakpoints={family: [2]})
        rig.spawn()
        pid = ide.wait_event("debugpyAttach")["subProcessId"]
        rig.wait_text("parent goes on")
        assert any(f"process {pid}" in line for line in rig.logs())
        with rig.ide() as late:
            late.request("initialize", adapterID="debugpy")
            late.request("attach", subProcessId=pid)
            late.wait_event("terminated")
            late.wait_closed()


def test_a_grandchild_that_the_ide_refuses_is_let_go_at_once(rig, family):
    with rig.ide() as ide:
        ide.reverse = lambda request: False
        ide.attach(initialize={"supportsStartDebuggingRequest": True})
        rig.spawn()
        wait_until(lambda: (ide.drain(0.05), "parent goes on" in rig.text())[1], 20, "the parent")
    assert any("runs without the debugger" in line for line in rig.logs())


def test_a_grandchild_is_let_go_when_its_ide_leaves(rig, family):
    with rig.ide() as ide:
        ide.attach()
        rig.spawn()
        pid = ide.wait_event("debugpyAttach")["subProcessId"]
        with rig.ide() as child:
            child.attach(subProcessId=pid, breakpoints={family: [1]})
            child.wait_event("stopped")
        rig.wait_text("parent goes on")


def test_subprocess_false_asks_for_no_sessions(rig, family):
    with rig.ide() as ide:
        ide.attach(subProcess=False)
        rig.spawn()
        rig.wait_text("parent goes on")
        ide.request("threads")
        assert not ide.has_event("debugpyAttach")


def test_terminating_a_grandchild_ends_only_that(rig, family):
    with rig.ide() as ide:
        ide.attach()
        rig.spawn()
        pid = ide.wait_event("debugpyAttach")["subProcessId"]
        with rig.ide() as child:
            child.attach(subProcessId=pid, breakpoints={family: [1]})
            child.wait_event("stopped")
            child.request("disconnect", terminateDebuggee=True)
        rig.wait_text("parent goes on")
        assert "the answer is" not in rig.text()
    assert StopRequested(None) not in rig.actions


def test_the_death_of_a_child_ends_the_sessions_of_its_processes(rig, family):
    with rig.ide() as ide:
        ide.attach()
        rig.spawn()
        pid = ide.wait_event("debugpyAttach")["subProcessId"]
        with rig.ide() as child:
            child.attach(subProcessId=pid, breakpoints={family: [1]})
            child.wait_event("stopped")
            rig.end_child()
            child.wait_event("terminated")
            child.wait_closed()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        assert not rig.keeper.paused
        assert not ide.closed


def _answers(ide, command):
    return [m["body"] for m in ide.messages if m.get("command") == command]
