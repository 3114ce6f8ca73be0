"""The pure part of `devlaunch adapter`: what an editor and a keeper hear of each other."""

from __future__ import annotations

import pytest

from devlaunch.dap.exchange import (
    FAILED,
    STARTED,
    Connect,
    EditorGone,
    EditorSaid,
    EndSession,
    KeeperConnected,
    KeeperGone,
    KeeperSaid,
    LauncherGone,
    LeaveKeeper,
    OutputRead,
    Start,
    StartFailed,
    TellEditor,
    TellKeeper,
    TerminalWanted,
)
from devlaunch.dap.proxy import (
    ANSWER_TIMEOUT,
    GOODBYE_TIMEOUT,
    LEAVE_TIMEOUT,
    SETTLE_TIMEOUT,
    START_TIMEOUT,
    Proxy,
)
from devlaunch.errors import StateError
from devlaunch.events import DeadlineReached, Message

LAUNCH = {"app": "app:app", "justMyCode": False}


class Session:
    """A proxy, and what it has sent to both sides so far; `other` are its remaining actions."""

    def __init__(self) -> None:
        self.proxy = Proxy(lambda launch: {"translated": sorted(launch)})
        self.now = 100.0
        self.editor: list[Message] = []
        self.keeper: list[Message] = []
        self.other: list[object] = []
        self.seq = 10  # the editor's own numbers need not start at 1

    def tell(self, event: object) -> None:
        for action in self.proxy.handle(event, self.now):
            match action:
                case TellEditor(message):
                    self.editor.append(message)
                case TellKeeper(message):
                    self.keeper.append(message)
                case _:
                    self.other.append(action)
        assert [m["seq"] for m in self.editor] == list(range(1, len(self.editor) + 1))
        assert [m["seq"] for m in self.keeper] == list(range(1, len(self.keeper) + 1))

    def ask(self, command: str, **arguments: object) -> int:
        """The editor sends a request."""
        self.seq += 1
        message = {"seq": self.seq, "type": "request", "command": command}
        self.tell(EditorSaid({**message, "arguments": arguments}))
        return self.seq

    def answer(self, command: str, **body: object) -> None:
        """The keeper answers the last request of that name."""
        asked = [m for m in self.keeper if m.get("command") == command][-1]
        response = {"type": "response", "request_seq": asked["seq"], "command": command}
        self.tell(KeeperSaid({**response, "seq": 0, "success": True, "body": body}))

    def happen(self, name: str, /, **body: object) -> None:
        """The keeper sends an event."""
        self.tell(KeeperSaid({"seq": 0, "type": "event", "event": name, "body": body}))

    def response(self, seq: int) -> Message:
        """The one response to the editor's request."""
        [found] = [m for m in self.editor if m.get("request_seq") == seq]
        return found

    def names(self) -> list[str]:
        """What the editor has been sent, in order."""
        return [m.get("event") or m["command"] for m in self.editor]


def initialized(**arguments: object) -> Session:
    session = Session()
    session.ask("initialize", adapterID="devlaunch", **arguments)
    return session


def running(command: str = "launch", **arguments: object) -> Session:
    session = initialized()
    request = session.ask(command, **(arguments or LAUNCH))
    session.tell(KeeperConnected(42))
    session.happen("initialized")
    done = session.ask("configurationDone")
    session.answer("configurationDone")
    session.answer("attach")
    if command == "launch":
        session.happen(STARTED)
    assert session.response(request)["success"]
    assert session.response(request)["command"] == command
    assert session.response(done)["success"]
    return session


def test_initialize_is_answered_without_a_keeper_and_replayed() -> None:
    session = initialized(clientName="x")
    assert session.editor[0]["body"]["supportsRestartRequest"] is True
    launch = session.ask("launch", **LAUNCH)
    assert session.other == [Start(LAUNCH, can_run_in_terminal=False)]
    assert session.keeper == []
    session.tell(KeeperConnected())
    commands = [(m["command"], m["arguments"]) for m in session.keeper]
    assert commands == [
        ("initialize", {"adapterID": "devlaunch", "clientName": "x"}),
        ("attach", {"translated": ["app", "justMyCode"]}),
    ]
    session.answer("initialize")
    assert len(session.editor) == 1, "the keeper's own answer is not for the editor"
    session.answer("attach")
    session.happen(STARTED)
    assert session.response(launch)["command"] == "launch"


def test_attach_is_passed_on_as_it_is() -> None:
    session = initialized()
    attach = session.ask("attach", port=5678, anything=1)
    assert session.other == [Connect({"port": 5678, "anything": 1})]
    session.tell(KeeperConnected())
    assert session.keeper[1]["arguments"] == {"port": 5678, "anything": 1}
    session.answer("attach")
    assert session.response(attach)["command"] == "attach"


def starting() -> tuple[Session, int]:
    """A launch of which the keeper has answered all; the app is being imported."""
    session = initialized()
    request = session.ask("launch", **LAUNCH)
    session.tell(KeeperConnected(42))
    session.answer("attach")
    assert session.names() == ["initialize"]
    return session, request


def test_a_launch_is_answered_when_the_app_has_started() -> None:
    session, request = starting()
    session.happen(STARTED)
    assert session.response(request)["success"]
    assert session.names() == ["initialize", "launch"]


def test_a_launch_is_answered_before_a_breakpoint_at_import_time() -> None:
    session, request = starting()
    session.happen("stopped")
    assert [m["type"] for m in session.editor[-2:]] == ["response", "event"]
    assert session.response(request)["success"]


def test_a_launch_of_a_target_that_does_not_exist_fails() -> None:
    session, request = starting()
    session.happen(FAILED, message="no such module")
    assert session.response(request)["message"] == "no such module"
    assert session.proxy.deadline is None


def test_a_launch_is_not_held_back_for_long() -> None:
    session, request = starting()
    session.now += SETTLE_TIMEOUT
    session.tell(DeadlineReached())
    assert session.response(request)["success"]
    session.happen(FAILED, message="too late")
    assert session.names() == ["initialize", "launch", "output"]


@pytest.mark.parametrize("command", ["launch", "attach"])
def test_a_session_that_runs_lasts_as_long_as_it_likes(command: str) -> None:
    session = running(command)
    assert session.proxy.deadline is None


def test_numbers_are_mapped_both_ways() -> None:
    session = running()
    first, second = session.ask("threads"), session.ask("evaluate", expression="1")
    session.answer("evaluate", result="1")
    session.answer("threads", threads=[])
    assert session.response(first)["body"] == {"threads": []}
    assert session.response(second)["body"] == {"result": "1"}
    # A request of the keeper's, answered by the editor.
    request = {"seq": 77, "type": "request", "command": "startDebugging", "arguments": {"a": 1}}
    session.tell(KeeperSaid(request))
    asked = session.editor[-1]
    assert (asked["command"], asked["arguments"]) == ("startDebugging", {"a": 1})
    response = {"type": "response", "command": "startDebugging", "success": False}
    session.tell(EditorSaid({**response, "seq": 5, "request_seq": asked["seq"]}))
    assert session.keeper[-1] == {**response, "seq": len(session.keeper), "request_seq": 77}
    session.tell(EditorSaid({**response, "seq": 6, "request_seq": asked["seq"]}))
    assert session.keeper[-1]["seq"] == len(session.keeper)
    assert sum(m.get("request_seq") == 77 for m in session.keeper) == 1


@pytest.mark.parametrize(
    ("prepare", "command", "text"),
    [
        (Session, "threads", "'threads' is not possible before 'launch' or 'attach'."),
        (Session, "launch", "'launch' is possible once only, and after 'initialize'."),
        (initialized, "initialize", "This session is initialized already."),
        (running, "attach", "'attach' is possible once only, and after 'initialize'."),
        (running, "initialize", "This session is initialized already."),
    ],
)
def test_requests_out_of_order(prepare: type[Session], command: str, text: str) -> None:
    session = prepare()
    response = session.response(session.ask(command))
    assert (response["success"], response["message"]) == (False, text)


def test_requests_while_it_starts_wait_for_the_keeper() -> None:
    session = initialized()
    session.ask("launch")
    early = session.ask("setBreakpoints", source={"path": "/a.py"})
    assert session.keeper == []
    session.tell(KeeperConnected())
    assert [m["command"] for m in session.keeper] == ["initialize", "attach", "setBreakpoints"]
    session.answer("setBreakpoints", breakpoints=[])
    assert session.response(early)["success"]


@pytest.mark.parametrize("how", ["io", "launcher", "time", "disconnect"])
def test_a_start_that_fails(how: str) -> None:
    session = initialized()
    launch = session.ask("launch")
    early = session.ask("threads")
    match how:
        case "io":
            session.tell(StartFailed("the reason"))
        case "launcher":
            session.tell(KeeperConnected())
            session.happen(FAILED, message="the reason")
        case "time":
            session.now += START_TIMEOUT - 1
            session.tell(DeadlineReached())
            assert len(session.editor) == 1
            session.now += 1
            assert session.proxy.deadline == session.now
            session.tell(DeadlineReached())
        case "disconnect":
            session.ask("disconnect")
    response = session.response(launch)
    words = {"time": "not up within 30 seconds", "disconnect": "cancelled"}
    assert words.get(how, "the reason") in response["message"]
    error = response["body"]["error"]
    assert error == {"id": 1, "format": response["message"], "showUser": True}
    assert LeaveKeeper() in session.other
    assert not session.response(early)["success"] if how != "launcher" else True
    if how != "disconnect":
        # What is still on its way from that launcher is of no interest.
        session.tell(LauncherGone(1))
        session.tell(KeeperGone())
        session.ask("launch")
        assert session.other[-1] == Start({}, can_run_in_terminal=False)
        assert "terminated" not in session.names()


@pytest.mark.parametrize(
    ("command", "event", "text"),
    [
        ("launch", LauncherGone(3), "devlaunch ended with status 3 before the app could start"),
        ("launch", LauncherGone(None), "devlaunch ended before the app could start"),
        ("attach", KeeperGone(), "h:1: it closed the connection\nis that a devlaunch"),
        ("attach", KeeperGone("not DAP"), "h:1: not DAP\nis that a devlaunch"),
    ],
)
@pytest.mark.parametrize("goodbye", ["after", "before", "never"])
def test_what_ends_before_it_has_begun_is_a_start_that_failed(
    command: str, event: object, text: str, goodbye: str
) -> None:
    session = initialized()
    request = session.ask(command, **LAUNCH)
    session.tell(KeeperConnected(42, "h:1"))
    session.happen("initialized")
    early = session.ask("setBreakpoints")
    left = session.ask("disconnect") if goodbye == "before" else 0
    session.tell(event)
    assert text in session.response(request)["message"]
    assert not session.response(early)["success"]
    assert not {"exited", "terminated"} & set(session.names())
    if goodbye == "after":
        left = session.ask("disconnect")
    if goodbye == "never":
        session.ask(command)
        assert EndSession() not in session.other
        assert isinstance(session.other[-1], Start if command == "launch" else Connect)
    else:
        assert session.response(left)["success"]
        assert session.other.count(EndSession()) == 1


def test_a_run_that_ends_with_its_launch_unanswered() -> None:
    session = initialized()
    request = session.ask("launch", **LAUNCH)
    session.tell(KeeperConnected(42))
    session.happen("exited", exitCode=3)
    attach = next(m for m in session.keeper if m["command"] == "attach")
    response = {"type": "response", "request_seq": attach["seq"], "command": "attach"}
    session.tell(KeeperSaid({**response, "seq": 0, "success": False, "message": "over"}))
    session.happen("terminated")
    session.tell(OutputRead("stderr", "last words"))
    assert session.names() == ["initialize", "output"]
    session.tell(LauncherGone(3))
    assert "with status 3 before the app could start" in session.response(request)["message"]


def test_an_attach_to_what_does_not_answer() -> None:
    session = initialized()
    request = session.ask("attach", port=1)
    session.tell(KeeperConnected(where="h:1"))
    assert session.proxy.deadline == session.now + ANSWER_TIMEOUT
    session.now += ANSWER_TIMEOUT
    session.tell(DeadlineReached())
    assert "h:1 accepts, but does not answer" in session.response(request)["message"]


def test_an_attach_to_what_answers_may_take_its_time() -> None:
    session = initialized()
    session.ask("attach", port=1)
    session.tell(KeeperConnected(where="h:1"))
    session.answer("initialize")
    assert session.proxy.deadline is None


@pytest.mark.parametrize("has_answered", [True, False])
def test_a_disconnect_that_is_not_answered(has_answered: bool) -> None:
    if has_answered:
        session = running("attach", port=1)
    else:
        session = initialized()
        request = session.ask("attach", port=1)
        session.tell(KeeperConnected())
    goodbye = session.ask("disconnect")
    session.happen("output", output="does not count as an answer")
    session.now += LEAVE_TIMEOUT
    session.tell(DeadlineReached())
    assert session.response(goodbye)["success"]
    assert session.other.count(EndSession()) == 1
    assert has_answered or session.response(request)["message"] == "cancelled by the editor"


def test_leaving_a_launch_whose_app_has_not_started() -> None:
    """The launch is answered, and what is left of its own time does not stand in the way."""
    session = initialized()
    request = session.ask("launch", console="integratedTerminal")
    session.tell(KeeperConnected())
    goodbye = session.ask("disconnect", terminateDebuggee=False)
    session.answer("attach")
    assert session.response(request)["success"]
    session.now += LEAVE_TIMEOUT
    session.tell(DeadlineReached())
    assert session.response(goodbye)["success"]
    assert session.other[-1] == EndSession()


def test_a_second_start_knows_nothing_of_the_first() -> None:
    session, _ = starting()
    session.ask("terminate")
    session.happen("exited", exitCode=7)
    session.happen(FAILED, message="no")
    session.ask("launch", **LAUNCH)
    session.tell(KeeperConnected())
    session.answer("attach")
    session.happen(STARTED)
    session.ask("disconnect")
    assert session.keeper[-1]["command"] == "terminate"
    session.tell(LauncherGone(0))
    assert [m["body"] for m in session.editor if m.get("event") == "exited"] == [{"exitCode": 0}]


def test_run_in_terminal() -> None:
    session = initialized(supportsRunInTerminalRequest=True)
    launch = session.ask("launch", console="integratedTerminal")
    assert session.other == [Start({"console": "integratedTerminal"}, can_run_in_terminal=True)]
    session.tell(TerminalWanted({"args": ["devlaunch"]}))
    asked = session.editor[-1]
    assert (asked["command"], asked["arguments"]) == ("runInTerminal", {"args": ["devlaunch"]})
    response = {"seq": 1, "type": "response", "request_seq": asked["seq"], "command": "x"}
    session.tell(EditorSaid({**response, "success": False, "message": "no pty left"}))
    assert "could not open a terminal: no pty left" in session.response(launch)["message"]


def test_the_process_is_launched_not_attached_to() -> None:
    session = running()
    session.happen("process", name="app.py", startMethod="attach")
    assert session.editor[-1]["body"] == {"name": "app.py", "startMethod": "launch"}
    session = running("attach", port=1)
    session.happen("process", name="app.py", startMethod="attach")
    assert session.editor[-1]["body"]["startMethod"] == "attach"
    session = running("launch", noDebug=True)
    [process] = [m for m in session.editor if m.get("event") == "process"]
    assert process["body"]["systemProcessId"] == 42


# --- the end ------------------------------------------------------------------------------------


def test_the_end_is_told_once_and_after_the_last_output() -> None:
    session = running()
    session.happen("exited", exitCode=3)
    session.happen("terminated")
    session.tell(KeeperGone())
    session.tell(OutputRead("stdout", "last words"))
    assert session.names()[-1] == "output"
    session.tell(LauncherGone(3))
    assert session.names()[-3:] == ["output", "exited", "terminated"]
    assert session.editor[-2]["body"] == {"exitCode": 3}
    goodbye = session.ask("disconnect")
    assert session.response(goodbye)["success"]
    assert session.other[-1] == EndSession()
    assert session.proxy.deadline is None


@pytest.mark.parametrize(
    ("command", "status", "ends"),
    [
        ("launch", 137, ["exited", "terminated"]),
        ("launch", None, ["terminated"]),
        ("attach", None, ["terminated"]),
    ],
)
def test_a_keeper_that_is_killed(command: str, status: int | None, ends: list[str]) -> None:
    session = running(command, port=1)
    pending = session.ask("stackTrace", threadId=1)
    session.tell(KeeperGone())
    session.tell(LauncherGone(status))
    assert not session.response(pending)["success"]
    assert [name for name in session.names() if name in ("exited", "terminated")] == ends


def test_an_editor_that_says_no_goodbye_has_a_moment() -> None:
    session = running()
    session.tell(LauncherGone(0))
    late = session.ask("threads")
    assert not session.response(late)["success"]
    session.now += GOODBYE_TIMEOUT
    session.tell(DeadlineReached())
    assert session.other[-1] == EndSession()


@pytest.mark.parametrize("arguments", [{}, {"terminateDebuggee": True}, {"restart": False}])
def test_disconnect_ends_a_launch_and_is_answered_at_its_end(arguments: Message) -> None:
    session = running()
    goodbye = session.ask("disconnect", **arguments)
    assert session.keeper[-1]["command"] == "terminate"
    assert goodbye not in [m.get("request_seq") for m in session.editor]
    session.answer("terminate")
    session.happen("exited", exitCode=0)
    session.tell(LauncherGone(0))
    assert session.names()[-3:] == ["exited", "terminated", "disconnect"]
    assert session.other[-1] == EndSession()


def test_disconnect_after_terminate_does_not_hurry_the_app() -> None:
    session = running()
    session.ask("terminate")
    session.ask("disconnect")
    assert [m["command"] for m in session.keeper].count("terminate") == 1


@pytest.mark.parametrize(
    ("command", "arguments", "is_passed_on"),
    [
        ("attach", {"port": 1}, True),
        ("launch", {"console": "integratedTerminal"}, True),
        ("launch", {"console": "internalConsole"}, False),
        ("launch", {}, False),
    ],
)
def test_who_may_leave_a_run_alone(command: str, arguments: Message, is_passed_on: bool) -> None:
    session = running(command, **(arguments or {"app": "x:y"}))
    goodbye = session.ask("disconnect", terminateDebuggee=False)
    assert (session.keeper[-1]["command"] == "disconnect") is is_passed_on
    if is_passed_on:
        assert session.keeper[-1]["arguments"] == {"terminateDebuggee": False}
        session.answer("disconnect")
        session.tell(KeeperGone())
        session.tell(LauncherGone(None))
        assert session.response(goodbye)["success"]
        assert session.other[-1] == EndSession()


@pytest.mark.parametrize("prepare", [Session, initialized, running])
def test_an_editor_that_goes_away(prepare: type[Session]) -> None:
    session = prepare()
    session.tell(EditorGone())
    assert session.other[-2:] == [LeaveKeeper(), EndSession()]
    sent = len(session.editor)
    for event in (LauncherGone(0), OutputRead("stdout", "x"), KeeperGone(), StartFailed("x")):
        session.tell(event)
    assert len(session.editor) == sent


def test_an_unknown_event_is_a_defect() -> None:
    session = Session()
    with pytest.raises(StateError):
        session.tell("an event that does not exist")
