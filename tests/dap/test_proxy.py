"""The pure part of `devlaunch adapter`: what an editor and a keeper hear of each other."""

from __future__ import annotations

import pytest

from devlaunch.dap.proxy import (
    ANSWER_TIMEOUT,
    FAILED,
    GOODBYE_TIMEOUT,
    LEAVE_TIMEOUT,
    START_TIMEOUT,
    Proxy,
)
from devlaunch.events import Message

LAUNCH = {"app": "app:app", "justMyCode": False}


class Session:
    """A proxy, and what it has sent to both sides so far; `other` is what else it wants done."""

    def __init__(self) -> None:
        translate = lambda launch: {"translated": sorted(launch)}  # noqa: E731
        self.proxy = Proxy(self, translate, lambda: self.now)
        self.now = 100.0
        self.editor: list[Message] = []
        self.keeper: list[Message] = []
        self.other: list[object] = []
        self.seq = 10  # the editor's own numbers need not start at 1
        self.keepers_seq = 50

    # --- the host -------------------------------------------------------------------------------

    def tell_editor(self, message: Message) -> None:
        self.editor.append(message)
        assert message["seq"] == len(self.editor)

    def tell_keeper(self, message: Message) -> None:
        self.keeper.append(message)

    def start(self, arguments: Message, *, can_run_in_terminal: bool) -> None:
        self.other.append(("start", arguments, can_run_in_terminal))

    def connect(self, arguments: Message) -> None:
        self.other.append(("connect", arguments))

    def leave(self) -> None:
        self.other.append("leave")

    def close(self) -> None:
        self.other.append("close")

    # --- what happens ---------------------------------------------------------------------------

    def ask(self, command: str, **arguments: object) -> int:
        """The editor sends a request."""
        self.seq += 1
        message = {"seq": self.seq, "type": "request", "command": command}
        self.proxy.editor_said({**message, "arguments": arguments})
        return self.seq

    def say(self, kind: str, **message: object) -> None:
        """The keeper sends a message."""
        self.keepers_seq += 1
        self.proxy.keeper_said({"seq": self.keepers_seq, "type": kind, **message})

    def answer(self, command: str, *, success: bool = True, **body: object) -> None:
        """The keeper answers the last request of that name."""
        asked = [m for m in self.keeper if m.get("command") == command][-1]
        response = {"request_seq": asked["seq"], "command": command, "success": success}
        self.say("response", **response, **({"body": body} if success else body))

    def happen(self, name: str, /, **body: object) -> None:
        """The keeper sends an event."""
        self.say("event", event=name, body=body)

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
    session.proxy.keeper_connected()
    session.happen("initialized")
    done = session.ask("configurationDone")
    session.answer("configurationDone")
    session.answer(command)
    assert session.response(request)["success"]
    assert session.response(request)["command"] == command
    assert session.response(done)["success"]
    return session


def test_initialize_is_answered_without_a_keeper_and_replayed() -> None:
    session = initialized(clientName="x")
    assert session.editor[0]["body"]["supportsRestartRequest"] is True
    launch = session.ask("launch", **LAUNCH)
    assert session.other == [("start", LAUNCH, False)]
    assert session.keeper == []
    session.proxy.keeper_connected()
    commands = [(m["command"], m["arguments"]) for m in session.keeper]
    assert commands == [
        ("initialize", {"adapterID": "devlaunch", "clientName": "x"}),
        ("launch", {"translated": ["app", "justMyCode"]}),
    ]
    session.answer("initialize")
    assert len(session.editor) == 1, "the keeper's own answer is not for the editor"
    session.answer("launch")
    assert session.response(launch)["command"] == "launch"


def test_attach_is_passed_on_as_it_is() -> None:
    session = initialized()
    attach = session.ask("attach", port=5678, anything=1)
    assert session.other == [("connect", {"port": 5678, "anything": 1})]
    session.proxy.keeper_connected()
    assert session.keeper[1]["arguments"] == {"port": 5678, "anything": 1}
    session.answer("attach")
    assert session.response(attach)["command"] == "attach"


@pytest.mark.parametrize("is_answered", [False, True])
def test_a_launch_of_which_the_launcher_says_that_it_failed(is_answered: bool) -> None:
    session = running() if is_answered else initialized()
    request = 0 if is_answered else session.ask("launch", **LAUNCH)
    session.proxy.keeper_connected()
    session.happen(FAILED, message="no such module")
    assert session.proxy.deadline is None
    if is_answered:
        assert session.editor[-1]["body"] == {"category": "important", "output": "no such module\n"}
    else:
        assert session.response(request)["message"] == "no such module"


@pytest.mark.parametrize("command", ["launch", "attach"])
def test_a_start_that_the_keeper_refuses_may_be_tried_again(command: str) -> None:
    session = initialized()
    request = session.ask(command)
    session.proxy.keeper_connected()
    session.answer(command, success=False, message="no rules")
    assert session.response(request)["body"]["error"]["format"] == "no rules"
    assert session.other[-1] == "leave"
    session.ask(command)
    assert session.other[-1][0] == {"launch": "start", "attach": "connect"}[command]


@pytest.mark.parametrize("command", ["launch", "attach"])
def test_a_session_that_runs_lasts_as_long_as_it_likes(command: str) -> None:
    session = running(command)
    assert session.proxy.deadline is None


def test_answers_find_who_has_asked() -> None:
    session = running()
    first, second = session.ask("threads"), session.ask("evaluate", expression="1")
    session.answer("evaluate", result="1")
    session.answer("threads", threads=[])
    assert session.response(first)["body"] == {"threads": []}
    assert session.response(second)["body"] == {"result": "1"}
    # A request of the keeper's, answered by the editor.
    request = {"seq": 77, "type": "request", "command": "startDebugging", "arguments": {"a": 1}}
    session.proxy.keeper_said(request)
    asked = session.editor[-1]
    assert (asked["command"], asked["arguments"]) == ("startDebugging", {"a": 1})
    response = {"type": "response", "command": "startDebugging", "success": False}
    session.proxy.editor_said({**response, "seq": 5, "request_seq": asked["seq"]})
    assert session.keeper[-1] == {**response, "seq": 5, "request_seq": 77}
    session.proxy.editor_said({**response, "seq": 6, "request_seq": asked["seq"]})
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
    session.proxy.keeper_connected()
    assert [m["command"] for m in session.keeper] == ["initialize", "launch", "setBreakpoints"]
    session.answer("setBreakpoints", breakpoints=[])
    assert session.response(early)["success"]


@pytest.mark.parametrize("how", ["io", "launcher", "time", "disconnect"])
def test_a_start_that_fails(how: str) -> None:
    session = initialized()
    launch = session.ask("launch")
    early = session.ask("threads")
    match how:
        case "io":
            session.proxy.start_failed("the reason")
        case "launcher":
            session.proxy.keeper_connected()
            session.happen(FAILED, message="the reason")
        case "time":
            session.now += START_TIMEOUT - 1
            session.proxy.expire()
            assert len(session.editor) == 1
            session.now += 1
            assert session.proxy.deadline == session.now
            session.proxy.expire()
        case "disconnect":
            session.ask("disconnect")
    response = session.response(launch)
    words = {"time": "not up within 30 seconds", "disconnect": "cancelled"}
    assert words.get(how, "the reason") in response["message"]
    error = response["body"]["error"]
    assert error == {"id": 1, "format": response["message"], "showUser": True}
    assert "leave" in session.other
    assert not session.response(early)["success"] if how != "launcher" else True
    if how != "disconnect":
        # What is still on its way from that launcher is of no interest.
        session.proxy.launcher_gone(1)
        session.proxy.keeper_gone()
        session.ask("launch")
        assert session.other[-1] == ("start", {}, False)
        assert "terminated" not in session.names()


@pytest.mark.parametrize(
    ("command", "event", "text"),
    [
        (
            "launch",
            ("launcher_gone", 3),
            "devlaunch ended with status 3 before the app could start",
        ),
        ("launch", ("launcher_gone", None), "devlaunch ended before the app could start"),
        ("attach", ("keeper_gone", ""), "h:1: it closed the connection\nis that a devlaunch"),
        ("attach", ("keeper_gone", "not DAP"), "h:1: not DAP\nis that a devlaunch"),
    ],
)
@pytest.mark.parametrize("goodbye", ["after", "before", "never"])
def test_what_ends_before_it_has_begun_is_a_start_that_failed(
    command: str, event: tuple[str, object], text: str, goodbye: str
) -> None:
    session = initialized()
    request = session.ask(command, **LAUNCH)
    session.proxy.keeper_connected("h:1")
    session.happen("initialized")
    early = session.ask("setBreakpoints")
    left = session.ask("disconnect") if goodbye == "before" else 0
    method, argument = event
    getattr(session.proxy, method)(argument)
    assert text in session.response(request)["message"]
    assert not session.response(early)["success"]
    assert not {"exited", "terminated"} & set(session.names())
    if goodbye == "after":
        left = session.ask("disconnect")
    if goodbye == "never":
        session.ask(command)
        assert "close" not in session.other
        assert session.other[-1][0] == {"launch": "start", "attach": "connect"}[command]
    else:
        assert session.response(left)["success"]
        assert session.other.count("close") == 1


def test_a_run_that_ends_with_its_launch_unanswered() -> None:
    session = initialized()
    request = session.ask("launch", **LAUNCH)
    session.proxy.keeper_connected()
    session.happen("exited", exitCode=3)
    session.answer("launch", success=False, message="over")
    session.happen("terminated")
    session.proxy.output_read("stderr", "last words")
    assert session.names() == ["initialize", "output"]
    session.proxy.launcher_gone(3)
    assert "with status 3 before the app could start" in session.response(request)["message"]


def test_an_attach_to_what_does_not_answer() -> None:
    session = initialized()
    request = session.ask("attach", port=1)
    session.proxy.keeper_connected("h:1")
    assert session.proxy.deadline == session.now + ANSWER_TIMEOUT
    session.now += ANSWER_TIMEOUT
    session.proxy.expire()
    assert "h:1 accepts, but does not answer" in session.response(request)["message"]


def test_an_attach_to_what_answers_may_take_its_time() -> None:
    session = initialized()
    session.ask("attach", port=1)
    session.proxy.keeper_connected("h:1")
    session.answer("initialize")
    assert session.proxy.deadline is None


@pytest.mark.parametrize("has_answered", [True, False])
def test_a_disconnect_that_is_not_answered(has_answered: bool) -> None:
    if has_answered:
        session = running("attach", port=1)
    else:
        session = initialized()
        request = session.ask("attach", port=1)
        session.proxy.keeper_connected()
    goodbye = session.ask("disconnect")
    session.happen("output", output="does not count as an answer")
    session.now += LEAVE_TIMEOUT
    session.proxy.expire()
    assert session.response(goodbye)["success"]
    assert session.other.count("close") == 1
    assert has_answered or session.response(request)["message"] == "cancelled by the editor"


def test_a_second_start_knows_nothing_of_the_first() -> None:
    session = initialized()
    session.ask("launch", **LAUNCH)
    session.proxy.keeper_connected()
    session.ask("terminate")
    session.happen("exited", exitCode=7)
    session.happen(FAILED, message="no")
    session.ask("launch", **LAUNCH)
    session.proxy.keeper_connected()
    session.answer("launch")
    session.ask("disconnect")
    assert session.keeper[-1]["command"] == "terminate"
    session.proxy.launcher_gone(0)
    assert [m["body"] for m in session.editor if m.get("event") == "exited"] == [{"exitCode": 0}]


def test_run_in_terminal() -> None:
    session = initialized(supportsRunInTerminalRequest=True)
    launch = session.ask("launch", console="integratedTerminal")
    assert session.other == [("start", {"console": "integratedTerminal"}, True)]
    session.proxy.terminal_wanted({"args": ["devlaunch"]})
    asked = session.editor[-1]
    assert (asked["command"], asked["arguments"]) == ("runInTerminal", {"args": ["devlaunch"]})
    response = {"seq": 1, "type": "response", "request_seq": asked["seq"], "command": "x"}
    session.proxy.editor_said({**response, "success": False, "message": "no pty left"})
    assert "could not open a terminal: no pty left" in session.response(launch)["message"]


# --- the end ------------------------------------------------------------------------------------


def test_the_end_is_told_once_and_after_the_last_output() -> None:
    session = running()
    session.happen("exited", exitCode=3)
    session.happen("terminated")
    session.proxy.keeper_gone()
    session.proxy.output_read("stdout", "last words")
    assert session.names()[-1] == "output"
    session.proxy.launcher_gone(3)
    assert session.names()[-3:] == ["output", "exited", "terminated"]
    assert session.editor[-2]["body"] == {"exitCode": 3}
    goodbye = session.ask("disconnect")
    assert session.response(goodbye)["success"]
    assert session.other[-1] == "close"
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
    session.proxy.keeper_gone()
    session.proxy.launcher_gone(status)
    assert not session.response(pending)["success"]
    assert [name for name in session.names() if name in ("exited", "terminated")] == ends


def test_an_editor_that_says_no_goodbye_has_a_moment() -> None:
    session = running()
    session.proxy.launcher_gone(0)
    late = session.ask("threads")
    assert not session.response(late)["success"]
    session.now += GOODBYE_TIMEOUT
    session.proxy.expire()
    assert session.other[-1] == "close"


@pytest.mark.parametrize("arguments", [{}, {"terminateDebuggee": True}, {"restart": False}])
def test_disconnect_ends_a_launch_and_is_answered_at_its_end(arguments: Message) -> None:
    session = running()
    goodbye = session.ask("disconnect", **arguments)
    assert session.keeper[-1]["command"] == "terminate"
    assert goodbye not in [m.get("request_seq") for m in session.editor]
    session.answer("terminate")
    session.happen("exited", exitCode=0)
    session.proxy.launcher_gone(0)
    assert session.names()[-3:] == ["exited", "terminated", "disconnect"]
    assert session.other[-1] == "close"


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
        session.proxy.keeper_gone()
        session.proxy.launcher_gone(None)
        assert session.response(goodbye)["success"]
        assert session.other[-1] == "close"


@pytest.mark.parametrize("prepare", [Session, initialized, running])
def test_an_editor_that_goes_away(prepare: type[Session]) -> None:
    session = prepare()
    session.proxy.close()
    assert session.other[-2:] == ["leave", "close"]
    sent = len(session.editor)
    session.proxy.launcher_gone(0)
    session.proxy.output_read("stdout", "x")
    session.proxy.keeper_gone()
    session.proxy.start_failed("x")
    assert len(session.editor) == sent
