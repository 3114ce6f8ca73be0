"""The keeper as a pure state machine: messages in, messages and actions out, no time passes."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from devlaunch.config import WhilePaused
from devlaunch.core.status import StatusChanged
from devlaunch.dap.debuggee import STEP_TIMEOUT, Debuggee, Phase
from devlaunch.dap.events import (
    BackConnected,
    ChildSpawned,
    ClosePeer,
    ConnectDebuggee,
    FrontConnected,
    FrontJoined,
    JoinAdapter,
    MessageReceived,
    NoSession,
    PeerClosed,
    RunEnded,
    SendMessage,
    StandbyGone,
    StandbySpawned,
)
from devlaunch.dap.joining import (
    ENDED,
    NOT_ADOPTED,
    Identity,
    is_stand_in,
    not_joined,
    was_launched,
)
from devlaunch.dap.keeper import GOODBYE_TIMEOUT, READY_TIMEOUT, SESSION_TIMEOUT, Keeper
from devlaunch.dap.messages import AdmitPeer, Outbox
from devlaunch.dap.recording import Recording
from devlaunch.dap.roster import (
    ADOPTION_TIMEOUT,
    CONFIGURE_TIMEOUT,
    LOST_AFTER,
)
from devlaunch.dap.session import LAUNCH_TIMEOUT, Session
from devlaunch.errors import StateError
from devlaunch.events import (
    ChildGone,
    ChildUnheard,
    ConsoleNote,
    DeadlineReached,
    DebuggeePaused,
    DebuggeeResumed,
    DebuggerReady,
    LogLine,
    ReleaseRequested,
    RestartRequested,
    StopRequested,
    WhilePausedChosen,
)

TOKEN = "secret"
APP = {"path": "/app.py"}
BREAKPOINTS = {"source": APP, "breakpoints": [{"line": 3}, {"line": 7}]}


@dataclass
class World:
    """A keeper, its peers and the clock. `sent[peer]` is what the peer has not read yet."""

    wait_for_client: bool = False
    identity: Identity | None = None
    now: float = 100.0
    sent: dict[int, list[dict]] = field(default_factory=dict)
    actions: list[object] = field(default_factory=list)
    closed: list[int] = field(default_factory=list)
    admitted: list[int] = field(default_factory=list)
    seq: int = 0

    def __post_init__(self):
        self.keeper = Keeper(
            token=TOKEN, wait_for_client=self.wait_for_client, identity=self.identity
        )
        self.keeper.listens_at("127.0.0.1", 5678)

    def do(self, event):
        for action in self.keeper.handle(event, self.now):
            match action:
                case SendMessage(peer, message):
                    assert peer not in self.closed, f"sent to a closed peer: {message}"
                    self.sent.setdefault(peer, []).append(message)
                case ClosePeer(peer):
                    self.closed.append(peer)
                case AdmitPeer(peer):
                    self.admitted.append(peer)
                case _:
                    self.actions.append(action)

    def receive(self, peer, **message):
        self.seq += 1
        self.do(MessageReceived(peer, {"seq": self.seq, **message}))
        return self.seq

    def read(self, peer) -> list[dict]:
        return self.sent.pop(peer, [])

    def request(self, peer, command, **arguments) -> dict:
        """Send a request; the response, which has to come at once. Other messages stay unread."""
        seq = self.receive(peer, type="request", command=command, arguments=arguments)
        (response,) = (m for m in self.sent.get(peer, []) if m.get("request_seq") == seq)
        self.sent[peer].remove(response)
        assert response["command"] == command
        return response

    def event(self, peer, name, /, **body):
        self.receive(peer, type="event", event=name, body=body)

    def respond(self, peer, request, body=None, success=True):
        self.receive(
            peer,
            type="response",
            request_seq=request["seq"],
            command=request["command"],
            success=success,
            body=body or {},
        )

    def wait(self, seconds):
        self.now += seconds
        self.do(DeadlineReached())

    # --- an IDE ----------------------------------------------------------------------------------

    def connect_ide(self, peer=1, **initialize):
        self.do(FrontConnected(peer))
        assert self.request(peer, "initialize", **initialize)["success"]

    def attach(self, peer=1, initialize=None, breakpoints=True, **arguments):
        self.connect_ide(peer, **(initialize or {}))
        self.receive(peer, type="request", command="attach", arguments=arguments)
        assert [m["event"] for m in self.read(peer)] == ["initialized"]
        if breakpoints:
            self.request(peer, "setBreakpoints", **BREAKPOINTS)
            self.request(peer, "setExceptionBreakpoints", filters=["uncaught"])
        self.receive(peer, type="request", command="configurationDone")
        if not self.sent.get(peer) or self.sent[peer][0]["type"] != "response":
            return False
        self.check_attached(peer)
        return True

    def check_attached(self, peer=1):
        messages = self.read(peer)
        done, attached = (m for m in messages if m["type"] == "response")
        self.sent[peer] = [m for m in messages if m["type"] != "response"]
        assert (done["command"], attached["command"]) == ("configurationDone", "attach")
        assert done["success"]
        assert attached["success"]

    # --- a debuggee ------------------------------------------------------------------------------

    def spawn(self, generation=1, pid=10, debugging=True):
        self.do(ChildSpawned(generation, pid, debugging))

    def connect_debuggee(self, peer=50, pid=10, ppid=1, token=TOKEN):
        """Connect and say who it is. Returns the commands that follow."""
        self.begin_debuggee(peer, token)
        if peer in self.closed:
            return []
        return self.identify(peer, pid, ppid)

    def begin_debuggee(self, peer=50, token=TOKEN):
        """Connect and show the token."""
        self.do(BackConnected(peer))
        (authorize,) = self.read(peer)
        assert authorize["command"] == "pydevdAuthorize"
        assert TOKEN not in str(authorize)
        self.respond(peer, authorize, {"clientAccessToken": token})

    def identify(self, peer=50, pid=10, ppid=1):
        """Say who it is. Returns the commands that follow."""
        (info,) = self.read(peer)
        assert info["command"] == "pydevdSystemInfo"
        self.respond(peer, info, {"process": {"pid": pid, "ppid": ppid}})
        return self.commands(peer)

    def commands(self, peer):
        return [message["command"] for message in self.sent.get(peer, [])]

    def answer_replay(self, peer=50, first_id=0):
        """Answer everything as pydevd does."""
        for message in self.read(peer):
            body = {}
            if "breakpoints" in message["arguments"]:
                wanted = message["arguments"]["breakpoints"]
                ids = range(first_id, first_id + len(wanted))
                body["breakpoints"] = [
                    {"id": identity, "verified": True, "line": item.get("line")}
                    for identity, item in zip(ids, wanted, strict=True)
                ]
            self.respond(peer, message, body)


REPLAY = ["initialize", "attach", "setBreakpoints", "setExceptionBreakpoints", "configurationDone"]
LET_RUN = ["initialize", "attach", "configurationDone"]
DETACH = ["setFunctionBreakpoints", "disconnect", "attach", "configurationDone", "disconnect"]


def logs(world):
    return [action.text for action in world.actions if isinstance(action, LogLine)]


def running(**attach) -> World:
    """An IDE (peer 1) and the child of generation 1 (peer 50), attached; nothing unread."""
    world = World()
    world.attach(**attach)
    world.spawn()
    world.connect_debuggee()
    world.answer_replay()
    world.do(DebuggerReady(1))
    world.read(1)
    world.actions.clear()
    return world


# --- the handshake ------------------------------------------------------------------------------


def test_without_a_debuggee_the_ide_gets_pending_breakpoints():
    world = World()
    world.connect_ide()
    world.receive(1, type="request", command="attach", arguments={})
    world.read(1)
    breakpoints = world.request(1, "setBreakpoints", **BREAKPOINTS)["body"]["breakpoints"]
    assert [(b["id"], b["line"], b["verified"]) for b in breakpoints] == [
        (1, 3, False),
        (2, 7, False),
    ]
    assert "not running" in breakpoints[0]["message"]
    again = {"source": APP, "breakpoints": [{"line": 7}, {"line": 9}, {"line": 7}]}
    ids = [b["id"] for b in world.request(1, "setBreakpoints", **again)["body"]["breakpoints"]]
    assert ids == [2, 3, 4]


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (r"c:\p\app.py", r"C:\P\App.py", True),
        (r"c:\p\app.py", "c:/p/app.py", True),
        ("/p/app.py", "/p/App.py", False),
        ("/p/a\\b.py", "/p/a/b.py", False),
    ],
)
def test_the_spellings_of_a_source(one: str, other: str, *, is_same: bool) -> None:
    recording = Recording()
    for path in (one, other):
        asked = {"source": {"path": path}, "breakpoints": [{"line": 1}]}
        recording.record("setBreakpoints", asked)
    assert len(recording.requests()) == (1 if is_same else 2)


BEFORE_ATTACH = [
    ([], "attach", "after 'initialize'"),
    ([], "configurationDone", "after 'attach'"),
    (["initialize"], "configurationDone", "after 'attach'"),
    (["initialize"], "initialize", "already"),
    (["initialize"], "launch", "attach"),
    (["initialize"], "evaluate", "before 'attach'"),
    (["initialize"], "setBreakpoints", "before 'attach'"),
    (["initialize"], "restart", "after 'attach'"),
    (["initialize", "attach"], "attach", "once"),
    (["initialize", "attach", "configurationDone"], "configurationDone", "after 'attach'"),
    (["initialize", "attach", "configurationDone"], "readMemory", "does not support"),
]


@pytest.mark.parametrize(("before", "command", "text"), BEFORE_ATTACH)
def test_requests_out_of_order_get_a_failure(before, command, text):
    world = World()
    world.do(FrontConnected(1))
    for earlier in before:
        world.receive(1, type="request", command=earlier, arguments={})
    response = world.request(1, command)
    assert not response["success"]
    assert text in response["message"]
    assert RestartRequested() not in world.actions


WITHOUT_DEBUGGEE = [
    ("threads", True, {"threads": []}),
    ("modules", True, {"modules": [], "totalModules": 0}),
    ("continue", True, {"allThreadsContinued": True}),
    ("setDebuggerProperty", True, {}),
    ("setFunctionBreakpoints", True, {"breakpoints": []}),
    ("pause", False, None),
    ("evaluate", False, None),
    ("stackTrace", False, None),
    ("somethingNew", False, None),
]


@pytest.mark.parametrize(("command", "success", "body"), WITHOUT_DEBUGGEE)
def test_answers_without_a_debuggee(command, success, body):
    world = World()
    world.attach()
    response = world.request(1, command, threadId=1)
    assert response["success"] is success
    assert response.get("body") == body
    if not success:
        assert "waits for a change" in response["message"]
        world.spawn()
        assert "starting" in world.request(1, command, threadId=1)["message"]


NO_PATH = {"sourceReference": 5, "name": "eval"}
UNTAKEABLE = [
    # command, arguments; what of the breakpoints (None: of the request) is refused, and why; what
    # pydevd is sent instead, None: nothing
    ("setBreakpoints", {"source": NO_PATH, "breakpoints": [{"line": 3}]}, {0: "'path'"}, None),
    ("setBreakpoints", {"source": NO_PATH}, {}, None),
    (
        "setBreakpoints",
        {"source": APP, "breakpoints": [{"column": 1}, {"line": 7}, 5, {"line": "x"}]},
        {0: "'line' is None, not a number", 2: "not an object", 3: "'line' is 'x'"},
        [{"line": 7}],
    ),
    (
        "setBreakpoints",
        {"source": APP, "breakpoints": [{"line": 3, "condition": 5}]},
        {0: "'condition'"},
        [],
    ),
    ("setBreakpoints", {"source": "app.py"}, {None: "'source' is 'app.py', not an object"}, None),
    ("setBreakpoints", {"source": APP, "breakpoints": 5}, {None: "'breakpoints' is 5"}, None),
    (
        "setFunctionBreakpoints",
        {"breakpoints": [{"name": "f"}, {}, {"name": "g", "hitCondition": 3}]},
        {1: "'name' is None, not text", 2: "'hitCondition' is 3"},
        [{"name": "f"}],
    ),
    ("setExceptionBreakpoints", {"filters": None}, {None: "'filters' is None, not a list"}, None),
    ("setExceptionBreakpoints", {"filters": [None]}, {None: "'filters[0]'"}, None),
    (
        "setExceptionBreakpoints",
        {"filters": [], "exceptionOptions": [{"breakMode": "always", "path": [{}]}]},
        {None: "'exceptionOptions[0].path[0].names' is None"},
        None,
    ),
]


@pytest.mark.parametrize("is_running", [True, False])
@pytest.mark.parametrize(("command", "arguments", "why", "sent"), UNTAKEABLE)
def test_what_pydevd_cannot_take_is_answered_and_not_recorded(
    command, arguments, why, sent, is_running
):
    world = World()
    world.attach(breakpoints=False)
    if is_running:
        world.spawn()
        world.connect_debuggee()
        world.answer_replay()
        world.read(1)
    seq = world.receive(1, type="request", command=command, arguments=arguments)
    if is_running and sent is not None:
        assert [m["arguments"]["breakpoints"] for m in world.sent[50]] == [sent]
        world.answer_replay()
    assert world.read(50) == []
    (response,) = (m for m in world.read(1) if m.get("request_seq") == seq)
    if None in why:
        assert not response["success"]
        assert why[None] in response["message"]
    else:
        answers = response["body"]["breakpoints"]
        assert len(answers) == len(arguments.get("breakpoints", []))
        for index, answer in enumerate(answers):
            assert answer["verified"] is (is_running and index not in why)
            assert why.get(index, "") in answer.get("message", "")
    # What is replayed is what was taken.
    if is_running:
        world.do(ChildGone(1))
    world.spawn(2, 20)
    replay = [c for c in world.connect_debuggee(51, 20) if c == command]
    assert replay == ([command] if sent else [])


@pytest.mark.parametrize("runs_already", [True, False])
def test_stop_on_entry_is_for_the_first_start(runs_already):
    world = World()
    if runs_already:
        world.spawn(1, 10, debugging=False)
    world.attach(stopOnEntry=True)
    if not runs_already:
        world.spawn(1, 10)

    def stops(peer, pid):
        assert world.connect_debuggee(peer, pid) == REPLAY
        return world.sent[peer][1]["arguments"].get("stopOnEntry", False)

    assert stops(50, 10) is not runs_already
    world.do(ChildGone(1))
    world.spawn(2, 20)
    assert not stops(51, 20)


def test_what_the_debuggee_refuses_is_not_replayed():
    world = running()
    world.receive(1, type="request", command="setDebuggerProperty", arguments={"ideOS": 5})
    (passed,) = world.read(50)
    world.respond(50, passed, success=False)
    (response,) = world.read(1)
    assert not response["success"]
    world.do(ChildGone(1))
    world.spawn(2, 20)
    assert world.connect_debuggee(51, 20) == REPLAY


def test_an_attach_that_pydevd_cannot_take():
    world = World()
    world.connect_ide()
    refused = world.request(1, "attach", pathMappings=[5])
    assert "'pathMappings[0]' is 5, not an object" in refused["message"]
    world.receive(1, type="request", command="attach", arguments={"pathMappings": None})
    assert [m["event"] for m in world.read(1)] == ["initialized"]


# --- a child that waits to be configured --------------------------------------------------------


def test_a_debugger_that_does_not_answer_is_given_up():
    world = World()
    world.attach()
    world.spawn()
    world.connect_debuggee()
    world.read(50)
    world.wait(CONFIGURE_TIMEOUT)
    assert world.closed == [50]  # by which the child goes on
    assert "the app runs without the debugger: it did not answer in time" in logs(world)
    assert world.keeper.deadline is None
    world.do(ChildGone(1))
    world.spawn(2, 20)
    assert world.connect_debuggee(51, 20) == REPLAY


def test_a_debugger_of_a_program_that_runs_may_be_busy():
    world = World()
    world.attach()
    world.spawn(debugging=False)
    world.connect_debuggee()
    world.wait(100 * CONFIGURE_TIMEOUT)
    assert world.closed == []


@pytest.mark.parametrize("waits", [True, False])
def test_an_ide_that_does_not_configure_is_not_waited_for(waits):
    world = World(wait_for_client=waits)
    if waits:
        world.spawn()
        world.connect_debuggee()
        world.wait(100 * CONFIGURE_TIMEOUT)  # for a person
        assert world.read(50) == []
    world.connect_ide(clientName="An IDE")
    world.receive(1, type="request", command="attach", arguments={})
    if not waits:
        world.spawn()
        assert world.connect_debuggee() == []
    world.wait(CONFIGURE_TIMEOUT)
    assert world.commands(50) == LET_RUN
    assert "the app runs without the debugger: An IDE has not configured it" in logs(world)
    world.answer_replay()
    world.receive(1, type="request", command="configurationDone")
    assert world.commands(50)[:2] == ["initialize", "attach"]  # better late than never


def test_replay_gives_every_generation_the_same():
    world = World()
    world.attach(
        initialize={"clientName": "x", "locale": "de"},
        justMyCode=False,
        connect={"port": 5678},
        restart=True,
    )
    for generation in (1, 2, 3):
        world.spawn(generation, 10 * generation)
        peer = 50 + generation
        assert world.connect_debuggee(peer, 10 * generation) == REPLAY
        initialize, attach, breakpoints, *_ = world.sent[peer]
        assert initialize["arguments"] == {"clientName": "x", "locale": "de"}
        assert attach["arguments"] == {"justMyCode": False}
        assert breakpoints["arguments"] == BREAKPOINTS
        world.answer_replay(peer, first_id=100 * generation)
        changes = [m["body"] for m in world.read(1)]
        # The second generation is as the IDE knows it.
        expected = [1, 2] if generation == 1 else []
        assert [c["breakpoint"]["id"] for c in changes] == expected
        world.event(peer, "stopped", threadId=1, hitBreakpointIds=[100 * generation + 1, 9999])
        (stopped,) = world.read(1)
        assert stopped["body"]["hitBreakpointIds"] == [2]
        world.do(ChildGone(generation))
        world.read(1)


def test_breakpoint_events_are_translated_and_unknown_ones_dropped():
    world = running()
    world.event(50, "breakpoint", reason="changed", breakpoint={"id": 1, "line": 8})
    world.event(50, "breakpoint", reason="changed", breakpoint={"id": 77, "line": 8})
    (message,) = world.read(1)
    assert message["body"] == {"reason": "changed", "breakpoint": {"id": 2, "line": 8}}


def test_a_child_is_configured_only_after_the_ide_is():
    world = World(wait_for_client=True)
    world.spawn()
    assert world.connect_debuggee() == []
    assert not world.attach()
    assert world.commands(50) == REPLAY
    world.answer_replay()
    world.check_attached()


def test_a_child_without_debugger_is_asked_to_connect_once():
    world = World()
    world.spawn(debugging=False)
    world.attach()
    world.do(PeerClosed(1))
    world.attach(2)
    assert world.actions.count(ConnectDebuggee(1)) == 1
    assert world.connect_debuggee() == REPLAY


def test_a_late_attach_is_answered_when_the_running_child_has_its_breakpoints():
    world = World()
    world.spawn(debugging=False)
    assert not world.attach()
    assert world.connect_debuggee() == REPLAY
    world.answer_replay()
    assert "response" not in [message["type"] for message in world.sent[1]]
    world.do(DebuggerReady(1))
    world.check_attached()


@pytest.mark.parametrize(
    "event", [DebuggerReady(1), ChildGone(1)], ids=["it could not connect", "it has ended"]
)
def test_a_late_attach_is_answered_when_the_debugger_does_not_come_up(event):
    world = World()
    world.spawn(debugging=False)
    assert not world.attach()
    world.do(event)
    world.check_attached()


def test_a_late_attach_to_a_busy_app_is_answered_after_a_while():
    world = World()
    world.spawn(debugging=False)
    assert not world.attach()
    assert world.keeper.deadline == world.now + READY_TIMEOUT
    world.wait(READY_TIMEOUT)
    world.check_attached()
    assert world.connect_debuggee() == REPLAY


def test_a_late_attach_is_answered_when_the_child_dies_during_the_replay():
    world = World()
    world.spawn(debugging=False)
    assert not world.attach()
    world.connect_debuggee()
    world.do(PeerClosed(50))
    world.do(ChildGone(1))
    world.check_attached()


def test_a_child_spawned_without_debugger_while_the_ide_attached():
    world = World()
    world.attach()
    world.spawn(debugging=False)
    assert ConnectDebuggee(1) in world.actions


@pytest.mark.parametrize("wait_for_client", [False, True])
def test_wants_debugger(wait_for_client):
    world = World(wait_for_client)
    assert world.keeper.wants_debugger is wait_for_client
    world.connect_ide()
    world.receive(1, type="request", command="attach", arguments={})
    assert world.keeper.wants_debugger
    world.do(PeerClosed(1))
    assert world.keeper.wants_debugger is wait_for_client
    world.attach(2)
    world.do(PeerClosed(2))
    assert not world.keeper.wants_debugger


def test_a_waiting_child_is_let_go_without_an_ide():
    world = World()
    world.spawn()
    assert world.connect_debuggee() == LET_RUN


def test_a_waiting_child_is_let_go_when_the_ide_leaves_during_its_handshake():
    world = World()
    world.connect_ide()
    world.receive(1, type="request", command="attach", arguments={})
    world.spawn()
    assert world.connect_debuggee() == []
    world.do(PeerClosed(1))
    assert world.commands(50) == LET_RUN


def test_what_stops_before_a_disconnect_is_worked_off_gets_no_late_continue():
    world = running()
    assert world.request(1, "disconnect")["success"]
    assert world.commands(50) == DETACH
    world.event(50, "stopped", threadId=1, allThreadsStopped=True)
    assert world.commands(50) == DETACH


def test_a_child_that_still_waits_is_not_told_that_nobody_is_there():
    world = World()
    world.attach()
    world.spawn()
    world.connect_debuggee()
    world.answer_replay()
    assert world.request(1, "disconnect")["success"]
    assert world.commands(50) == DETACH[:-1]
    world.do(DebuggerReady(1))
    assert world.commands(50) == DETACH


def test_a_stop_of_the_last_session_is_not_told_to_the_next():
    world = running()
    assert world.request(1, "disconnect")["success"]
    let_run = world.read(50)
    world.attach(2)
    world.event(50, "stopped", threadId=1, allThreadsStopped=True)
    for request in let_run:
        world.respond(50, request)
    world.event(50, "continued", threadId=1, allThreadsContinued=True)
    world.answer_replay()
    assert {message.get("event") for message in world.read(2)}.isdisjoint({"stopped", "continued"})
    assert world.actions.count(DebuggeePaused()) == 0


def test_a_stop_during_the_replay_is_told_after_it():
    world = running()
    assert world.request(1, "disconnect")["success"]
    world.answer_replay()
    world.attach(2)
    world.event(50, "stopped", threadId=1, allThreadsStopped=True)
    assert "stopped" not in {message.get("event") for message in world.read(2)}
    world.answer_replay()
    assert "stopped" in {message.get("event") for message in world.read(2)}
    assert world.actions[-1] == DebuggeePaused()


def test_detach_and_attach_again():
    world = running()
    world.event(50, "stopped", threadId=1, allThreadsStopped=True)
    assert world.request(1, "disconnect")["success"]
    assert world.closed == [1]
    assert world.commands(50) == DETACH
    assert world.actions[0] == DebuggeePaused()
    assert DebuggeeResumed() in world.actions
    world.answer_replay()
    world.event(50, "stopped", threadId=1)  # was on its way
    assert world.commands(50) == ["continue"]
    world.read(50)
    assert not world.attach(2)
    assert world.commands(50) == REPLAY
    world.answer_replay()
    world.check_attached(2)


# --- requests and events in between -------------------------------------------------------------


def test_requests_and_responses_are_passed_on_with_ids_mapped():
    world = running()
    seq = world.receive(
        1, type="request", command="somethingNew", arguments={"x": {"y": 1}}, extra=True
    )
    (passed,) = world.read(50)
    assert passed["arguments"] == {"x": {"y": 1}}
    world.receive(
        50,
        type="response",
        request_seq=passed["seq"],
        command="somethingNew",
        success=True,
        body={"z": 2},
        extra="kept",
    )
    (response,) = world.read(1)
    assert response.pop("seq") > 0
    assert response == {
        "type": "response",
        "request_seq": seq,
        "command": "somethingNew",
        "success": True,
        "body": {"z": 2},
        "extra": "kept",
    }
    world.event(50, "brandNew", value=1)
    (event,) = world.read(1)
    assert (event["event"], event["body"]) == ("brandNew", {"value": 1})


def test_numbers_of_messages_count_up_from_one():
    world = World()
    world.do(FrontConnected(1))
    world.receive(1, type="request", command="initialize", arguments={})
    world.receive(1, type="request", command="attach", arguments={})
    world.receive(1, type="request", command="configurationDone", arguments={})
    assert [m["seq"] for m in world.read(1)] == [1, 2, 3, 4]


@pytest.mark.parametrize("name", ["initialized", "terminated", "exited"])
def test_events_that_are_the_keepers_own(name):
    world = running()
    world.event(50, name)
    assert world.read(1) == []


@pytest.mark.parametrize("command", ["continue", "pause"])
def test_threads_run_and_stop_together(command):
    world = running()
    world.event(50, "stopped", threadId=5, allThreadsStopped=True)
    world.receive(1, type="request", command=command, arguments={"threadId": 5, "other": 1})
    assert world.read(50)[0]["arguments"] == {"threadId": "*", "other": 1}


def test_requests_of_the_debuggee():
    world = running()
    world.receive(50, type="request", command="runInTerminal", arguments={"args": ["rm"]})
    (refusal,) = world.read(50)
    assert not refusal["success"]
    assert world.read(1) == []
    seq = world.receive(50, type="request", command="ask", arguments={"a": 1})
    (asked,) = world.read(1)
    assert (asked["command"], asked["arguments"]) == ("ask", {"a": 1})
    world.respond(1, asked, {"b": 2})
    (answer,) = world.read(50)
    assert (answer["request_seq"], answer["body"]) == (seq, {"b": 2})


def test_console_notes():
    world = World()
    world.do(ConsoleNote("nobody reads this"))
    world.attach()
    world.do(ConsoleNote("reloading"))
    (note,) = world.read(1)
    assert note["body"] == {"category": "console", "output": "reloading\n"}


def status(state="serving", generation=1):
    return StatusChanged(state, generation, 0.5, (), "http://127.0.0.1:8000", WhilePaused.WAIT)


def shown(world, peer=1):
    return [m["body"] for m in world.read(peer) if m.get("event") == "devlaunchState"]


def test_an_ide_that_asks_for_it_is_shown_the_status():
    world = World()
    world.do(status("starting"))
    world.attach(stateEvents=True)
    world.do(status())
    assert shown(world) == [status("starting").body, status().body]
    world.request(1, "disconnect")
    world.read(1)
    world.do(status("broken"))
    world.attach(2)
    world.do(status())
    assert shown(world, 2) == []


def test_an_ide_that_attaches_is_shown_the_status_when_there_is_one():
    world = World()
    world.attach(stateEvents=True)
    assert shown(world) == []
    world.do(status())
    assert shown(world) == [status().body]


def test_the_status_comes_when_breakpoints_work():
    world = World()
    world.spawn(debugging=False)
    world.do(status())
    assert not world.attach(stateEvents=True)
    world.connect_debuggee()
    world.do(status("reloading"))
    assert shown(world) == []
    world.answer_replay()
    world.do(DebuggerReady(1))
    messages = world.read(1)
    assert [m.get("command") or m["event"] for m in messages][-3:] == [
        "configurationDone",
        "attach",
        "devlaunchState",
    ]
    assert messages[-1]["body"] == status("reloading").body


def test_the_ide_chooses_what_a_change_does_while_paused():
    world = World()
    world.connect_ide()
    assert not world.request(1, "devlaunchWhilePaused", value="wait")["success"]
    world = running()
    for value in ("restart", "wait"):
        assert world.request(1, "devlaunchWhilePaused", value=value)["success"]
    assert world.actions == [WhilePausedChosen(WhilePaused(v)) for v in ("restart", "wait")]
    for value in ("never", None, [], {"a": 1}):
        refused = world.request(1, "devlaunchWhilePaused", value=value)
        assert "'wait' or 'restart'" in refused["message"]


# --- an IDE that has launched the run -----------------------------------------------------------


def launching(is_configured=True):
    """A world whose first child is being started; its debugger is configured."""
    world = World()
    world.do(FrontConnected(1, has_launched=True))
    world.request(1, "initialize")
    world.spawn()
    world.connect_debuggee()
    world.do(status("starting"))
    world.receive(1, type="request", command="launch", arguments={})
    if is_configured:
        world.receive(1, type="request", command="configurationDone")
        world.answer_replay()
    return world


def answered(world):
    """What became of the launch, and the events after that; None: it is not answered."""
    messages = world.read(1)
    for number, message in enumerate(messages):
        if message.get("command") == "launch":
            return message["success"], [m["event"] for m in messages[number + 1 :]]
    return None


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (status("starting"), None),
        (status("serving"), (True, [])),
        (status("broken"), (True, [])),
        (status("stopping"), None),
        ("stopped", (True, ["stopped"])),
        ("in time", (True, [])),
        ("leaves", (True, ["terminated"])),
        (RunEnded(3), (False, ["terminated"])),
    ],
    ids=str,
)
def test_a_launch_is_answered_when_it_cannot_fail_any_more(event, expected):
    world = launching()
    assert answered(world) is None
    match event:
        case "stopped":
            world.event(50, "stopped", threadId=1, allThreadsStopped=True)
        case "in time":
            assert world.keeper.deadline == world.now + LAUNCH_TIMEOUT
            world.wait(LAUNCH_TIMEOUT)
            assert world.keeper.deadline is None
        case "leaves":
            world.receive(1, type="request", command="disconnect")
            world.sent[1] = [m for m in world.sent[1] if m.get("command") != "disconnect"]
        case _:
            world.do(event)
    assert answered(world) == expected


def test_a_launch_is_answered_after_its_configuration():
    """Without a debugger the app does not wait for that."""
    world = launching(is_configured=False)
    world.do(status("serving"))
    assert answered(world) is None
    world.receive(1, type="request", command="configurationDone")
    world.answer_replay()
    assert answered(world) == (True, [])


def test_the_ide_that_has_launched_is_told_so_and_not_waited_for():
    world = launching()
    world.event(50, "process", name="app.py", startMethod="attach")
    assert world.read(1)[-1]["body"] == {"name": "app.py", "startMethod": "launch"}
    world.do(RunEnded(0))
    world.wait(0)
    assert not world.keeper.expects_goodbye


def test_the_run_ends_with_the_ide_that_has_launched_it():
    world = launching()
    world.do(PeerClosed(1))
    assert StopRequested(None) in world.actions


# --- pausing ------------------------------------------------------------------------------------


def supervised(world):
    """What the supervisor has been told since the last call."""
    told = [a for a in world.actions if isinstance(a, DebuggeePaused | DebuggeeResumed)]
    world.actions.clear()
    return told


def reply(world, command, body=None, **arguments):
    """The IDE asks, the debuggee answers."""
    world.receive(1, type="request", command=command, arguments=arguments)
    (passed,) = world.read(50)
    world.respond(50, passed, body)


def test_continue_resumes():
    world = running()
    world.event(50, "stopped", threadId=1, allThreadsStopped=True)
    assert supervised(world) == [DebuggeePaused()]
    assert world.keeper.paused
    world.receive(1, type="request", command="continue", arguments={"threadId": 1})
    (passed,) = world.read(50)
    assert world.keeper.paused
    world.event(50, "continued", threadId=1, allThreadsContinued=True)
    assert supervised(world) == [DebuggeeResumed()]
    world.event(50, "stopped", threadId=1, allThreadsStopped=True)
    world.respond(50, passed, {"allThreadsContinued": True})
    assert supervised(world) == [DebuggeePaused()]


def test_continue_ends_a_step():
    world = running()
    world.event(50, "stopped", threadId=1, allThreadsStopped=True)
    reply(world, "next", threadId=1)
    world.event(50, "continued", threadId=1, allThreadsContinued=True)
    assert world.keeper.paused
    # pydevd answers when a thread that is held runs on, and none is.
    assert world.request(1, "continue", threadId=1)["success"]
    assert world.commands(50) == ["continue"]
    assert not world.keeper.paused
    assert world.keeper.deadline is None


@pytest.mark.parametrize("stops_again", [True, False])
def test_a_continue_that_pydevd_forgets(stops_again):
    world = running()
    world.event(50, "stopped", threadId=1, allThreadsStopped=True)
    seq = world.receive(1, type="request", command="continue", arguments={})
    world.read(1)
    if stops_again:
        world.event(50, "stopped", threadId=1, allThreadsStopped=True)
    world.wait(STEP_TIMEOUT)
    (answer,) = (m for m in world.sent[1] if m["type"] == "response")
    assert answer["request_seq"] == seq
    assert [m["event"] for m in world.read(1) if m["type"] == "event"] == [
        "stopped" if stops_again else "continued"
    ]
    assert supervised(world) == [DebuggeePaused(), *([] if stops_again else [DebuggeeResumed()])]


def test_requests_that_pydevd_keeps_until_a_thread_is_held():
    world = running()
    assert world.request(1, "continue", threadId=1)["body"] == {"allThreadsContinued": True}
    for command in ("next", "stepIn", "stepOut", "goto", "exceptionInfo"):
        assert "stopped only" in world.request(1, command, threadId=1)["message"]
    assert world.read(50) == []
    world.event(50, "stopped", threadId=1, allThreadsStopped=True)
    for seq in [
        world.receive(1, type="request", command="continue", arguments={}) for _ in range(2)
    ]:
        assert seq not in [m.get("request_seq") for m in world.sent[1]]
    first, second = world.read(50)
    world.read(1)
    world.event(50, "continued", threadId=1, allThreadsContinued=True)
    answered = [m["request_seq"] for m in world.read(1) if m["type"] == "response"]
    assert len(set(answered)) == 2
    world.respond(50, first)
    world.respond(50, second)  # at the next stop
    assert world.read(1) == []


def test_threads_that_stop_one_by_one():
    world = running()
    world.event(50, "stopped", threadId=1, allThreadsStopped=False)
    world.event(50, "stopped", threadId=2, allThreadsStopped=False)
    world.event(50, "continued", threadId=1, allThreadsContinued=False)
    assert supervised(world) == [DebuggeePaused()]
    world.event(50, "thread", threadId=2, reason="exited")
    assert supervised(world) == [DebuggeeResumed()]


@pytest.mark.parametrize("command", ["next", "stepIn", "stepOut", "goto"])
def test_a_step_counts_as_paused_for_a_while(command):
    world = running()
    world.event(50, "stopped", threadId=1, allThreadsStopped=True)
    supervised(world)
    reply(world, command, threadId=1)
    world.event(50, "continued", threadId=1, allThreadsContinued=True)
    assert supervised(world) == []
    assert world.keeper.deadline == world.now + STEP_TIMEOUT
    world.event(50, "stopped", threadId=1, reason="step", allThreadsStopped=True)
    assert world.keeper.deadline is None
    reply(world, command, threadId=1)
    world.event(50, "continued", threadId=1, allThreadsContinued=True)
    world.wait(STEP_TIMEOUT)
    assert supervised(world) == [DebuggeeResumed()]
    assert world.keeper.deadline is None


@pytest.mark.parametrize("loss", [ChildGone(1), PeerClosed(50)])
def test_loss_of_a_paused_child(loss):
    world = running()
    world.event(50, "thread", threadId=1, reason="started")
    world.event(50, "thread", threadId=2, reason="started")
    world.event(50, "stopped", threadId=1, allThreadsStopped=True)
    evaluate = world.receive(1, type="request", command="evaluate", arguments={})
    go_on = world.receive(1, type="request", command="continue", arguments={})
    setting = world.receive(1, type="request", command="setBreakpoints", arguments=BREAKPOINTS)
    world.read(1)
    supervised(world)
    world.do(loss)
    responses = {m["request_seq"]: m for m in world.sent[1] if m["type"] == "response"}
    assert not responses.pop(evaluate)["success"]
    assert responses.pop(go_on)["success"]
    assert [b["id"] for b in responses.pop(setting)["body"]["breakpoints"]] == [1, 2]
    assert not responses
    events = [(m["event"], m["body"]) for m in world.read(1) if m["type"] == "event"]
    assert events == [
        ("continued", {"threadId": 1, "allThreadsContinued": True}),
        ("thread", {"reason": "exited", "threadId": 1}),
        ("thread", {"reason": "exited", "threadId": 2}),
    ]
    assert supervised(world) == [DebuggeeResumed()]
    # What comes after it changes nothing.
    world.do(PeerClosed(50))
    world.do(ChildGone(1))
    assert world.read(1) == []
    assert supervised(world) == []


def test_the_last_output_still_arrives():
    world = running()
    world.do(ChildGone(1))
    world.event(50, "output", output="bye")
    world.event(50, "stopped", threadId=1)
    (output,) = world.read(1)
    assert output["body"] == {"output": "bye"}
    assert not world.keeper.paused
    world.wait(1)
    assert world.closed == [50]


def test_release():
    world = running()
    world.event(50, "stopped", threadId=1, allThreadsStopped=True)
    world.read(1)
    supervised(world)
    world.do(ReleaseRequested())
    assert world.commands(50) == DETACH[:-1]  # it is to be stopped
    world.answer_replay()
    assert [m["event"] for m in world.read(1)] == ["continued"]
    assert supervised(world) == [DebuggeeResumed()]
    world.event(50, "continued", threadId=1, allThreadsContinued=True)
    world.event(50, "stopped", threadId=1)
    assert world.commands(50) == ["continue"]
    assert world.read(1) == []
    assert not world.request(1, "evaluate")["success"]
    world.do(ChildGone(1))
    world.spawn(2, 20)
    assert world.connect_debuggee(51, 20) == REPLAY


def test_a_connection_lost_while_the_app_runs_on():
    world = running()
    world.do(PeerClosed(50))
    assert logs(world) == []
    world.wait(LOST_AFTER)
    assert logs(world) == ["the app has closed its connection to the debugger, and runs on"]
    assert world.keeper.deadline is None


@pytest.mark.parametrize("first", [True, False], ids=["control channel", "debugger"])
def test_a_connection_lost_with_the_control_channel_is_not_worth_a_line(first):
    """Whether the app lives on is found out by others."""
    world = running()
    both = [ChildUnheard(1), PeerClosed(50)]
    for event in both if first else reversed(both):
        world.do(event)
    world.wait(LOST_AFTER)
    assert logs(world) == []


@pytest.mark.parametrize("end", [ChildGone(1), None])
def test_an_orderly_end_is_not_worth_a_line(end):
    world = running()
    if end is None:
        world.event(50, "terminated")
    world.do(PeerClosed(50))
    if end is not None:
        world.do(end)
    world.wait(LOST_AFTER)
    assert logs(world) == []


def test_a_child_that_replaces_itself_is_attached_again():
    world = running()
    world.do(PeerClosed(50))
    assert world.connect_debuggee(51) == REPLAY
    world.wait(LOST_AFTER)
    assert logs(world) == []


# --- grandchildren ------------------------------------------------------------------------------


def with_grandchild(**attach) -> World:
    world = running(**attach)
    world.connect_debuggee(60, pid=11, ppid=10)
    return world


def test_an_ide_that_adopts_no_process_is_not_waited_for_again():
    world = with_grandchild()
    world.wait(ADOPTION_TIMEOUT)
    assert world.commands(60) == LET_RUN
    world.read(1)
    assert world.connect_debuggee(61, pid=12, ppid=10) == LET_RUN
    assert [m["event"] for m in world.read(1)] == ["debugpyAttach"]
    # It attaches all the same, and later ones wait again.
    world.connect_ide(2)
    world.receive(2, type="request", command="attach", arguments={"subProcessId": 12})
    world.wait(100 * CONFIGURE_TIMEOUT)
    assert 61 not in world.closed
    world.receive(2, type="request", command="configurationDone")
    assert world.commands(61)[3:5] == ["initialize", "attach"]
    assert world.connect_debuggee(62, pid=13, ppid=10) == []


def test_announcement_as_debugpy_makes_it():
    world = with_grandchild(
        initialize={"supportsStartDebuggingRequest": True},
        name="Attach",
        type="python",
        justMyCode=False,
        preLaunchTask="x",
        host="10.0.0.5",
        port=9999,
    )
    (request,) = world.read(1)
    assert request["command"] == "startDebugging"
    assert request["arguments"] == {
        "request": "attach",
        "configuration": {
            "name": "Subprocess 11",
            "type": "python",
            "justMyCode": False,
            "subProcessId": 11,
            "connect": {"host": "10.0.0.5", "port": 9999},
        },
    }
    world.respond(1, request)
    assert world.commands(60) == []
    world.respond(1, request, success=False)  # answered twice: ignored
    assert world.commands(60) == []


def test_announcement_to_others_is_an_event_with_our_endpoint():
    world = with_grandchild()
    (event,) = world.read(1)
    assert event["event"] == "debugpyAttach"
    assert event["body"]["connect"] == {"host": "127.0.0.1", "port": 5678}
    assert event["body"]["request"] == "attach"


def test_adoption():
    world = with_grandchild()
    world.read(1)
    world.attach(2, subProcessId=11)
    assert world.commands(60) == REPLAY
    world.answer_replay(60)
    world.read(2)
    world.wait(ADOPTION_TIMEOUT)
    world.event(60, "stopped", threadId=1)
    assert supervised(world) == [DebuggeePaused()]
    assert [m["event"] for m in world.read(2)] == ["stopped"]
    assert world.read(1) == []
    world.do(PeerClosed(60))
    assert [m["event"] for m in world.read(2)] == ["continued", "thread", "terminated"]
    assert 2 not in world.closed
    assert world.request(2, "disconnect")["success"]
    assert 2 in world.closed
    assert world.keeper.deadline is None
    assert supervised(world) == [DebuggeeResumed()]


@pytest.mark.parametrize("how", ["time", "refusal", "ide leaves", "sub session leaves"])
def test_a_grandchild_without_a_session_is_let_go(how):
    world = with_grandchild(initialize={"supportsStartDebuggingRequest": True})
    (request,) = world.read(1)
    match how:
        case "time":
            assert world.keeper.deadline == world.now + ADOPTION_TIMEOUT
            world.wait(ADOPTION_TIMEOUT)
        case "refusal":
            world.respond(1, request, success=False)
        case "ide leaves":
            world.do(PeerClosed(1))
        case "sub session leaves":
            world.connect_ide(2)
            world.receive(2, type="request", command="attach", arguments={"subProcessId": 11})
            world.do(PeerClosed(2))
    assert world.commands(60) == LET_RUN
    assert any("process 11" in line for line in logs(world)) is (how in ("time", "refusal"))
    assert world.keeper.deadline is None


def test_a_released_grandchild_is_announced_to_the_next_ide():
    world = with_grandchild()
    world.do(PeerClosed(1))
    world.read(60)
    assert not world.attach(2)
    assert "debugpyAttach" in [m.get("event") for m in world.read(2)]
    world.attach(3, subProcessId=11)
    assert world.commands(60) == REPLAY


@pytest.mark.parametrize("pid", [12, 10, "11", None, [1]])
def test_attach_to_a_process_that_is_not_to_be_had(pid):
    world = with_grandchild()
    world.connect_ide(2)
    response = world.request(2, "attach", subProcessId=pid)
    if pid is None:
        assert not response["success"]  # a second IDE
    else:
        assert response["success"]
        assert [m["event"] for m in world.read(2)] == ["terminated"]
    assert world.closed == [2]


def test_the_end_of_the_child_ends_the_sessions_of_its_processes():
    world = with_grandchild()
    world.attach(2, subProcessId=11)
    world.read(2)
    world.do(BackConnected(61))  # has not said who it is
    world.do(ChildGone(1))
    assert [m["event"] for m in world.read(2)] == ["terminated"]
    assert set(world.closed) == {60, 61}
    world.wait(GOODBYE_TIMEOUT)
    assert 2 in world.closed, "it says no goodbye"


def test_terminate_of_a_grandchild_session_ends_only_that():
    world = with_grandchild()
    world.attach(2, subProcessId=11)
    world.read(60)
    assert world.request(2, "terminate")["success"]
    assert world.read(60)[0]["arguments"] == {"terminateDebuggee": True}
    assert world.request(2, "terminate")["success"]
    assert StopRequested(None) not in world.actions


# --- endings ------------------------------------------------------------------------------------


def test_terminate_and_disconnect():
    world = running()
    assert world.request(1, "restart")["success"]
    assert world.actions == [RestartRequested()]
    assert world.request(1, "terminate")["success"]
    assert world.actions[1:] == [StopRequested(None)]
    world.do(RunEnded(0))
    assert [m["event"] for m in world.read(1)] == ["exited", "terminated"]
    assert world.closed == [50]
    assert world.keeper.expects_goodbye
    assert world.request(1, "disconnect")["success"]
    assert world.closed == [50, 1]
    assert not world.keeper.expects_goodbye
    assert not [m for m in world.read(1) if m.get("event") == "terminated"]


@pytest.mark.parametrize("ends", ["disconnect", "the run"])
def test_an_attach_that_is_open_when_its_session_ends_fails(ends):
    world = World()
    world.connect_ide()
    attach = world.receive(1, type="request", command="attach", arguments={})
    world.read(1)
    if ends == "disconnect":
        assert world.request(1, "disconnect")["success"]
    else:
        world.do(RunEnded(0))
    refused, terminated = [m for m in world.read(1) if m.get("event") != "exited"]
    assert (refused["request_seq"], refused["success"]) == (attach, False)
    assert terminated["event"] == "terminated"


def test_disconnect_with_terminate_stops_everything():
    world = running()
    assert world.request(1, "disconnect", terminateDebuggee=True)["success"]
    assert world.actions[-1] == StopRequested(None)
    assert world.closed == [1]


@pytest.mark.parametrize(("status", "code"), [(0, 0), (3, 3), (-9, 137)])
def test_exit_status(status, code):
    world = running()
    world.do(RunEnded(status))
    exited = next(m for m in world.read(1) if m.get("event") == "exited")
    assert exited["body"] == {"exitCode": code}
    world.wait(GOODBYE_TIMEOUT)
    assert set(world.closed) == {1, 50}
    assert not world.keeper.expects_goodbye


# --- strangers ----------------------------------------------------------------------------------


def test_a_second_ide():
    world = running(initialize={"clientName": "A\x1b[31m\n"})
    world.connect_ide(2)
    response = world.request(2, "attach")
    assert "Another IDE is attached (A[31m)" in response["message"]
    assert world.closed == [2]
    assert len(logs(world)) == 1
    world.request(1, "restart")


@pytest.mark.parametrize("token", ["wrong", "", None, TOKEN + "x", ["secret"], "s\ud800"])
def test_wrong_token(token):
    world = World()
    world.attach()
    world.spawn()
    world.connect_debuggee(50, token=token)
    assert world.closed == [50]
    assert any("token" in line for line in logs(world))
    assert world.connect_debuggee(51) == REPLAY


def test_a_debuggee_of_a_generation_that_is_gone_is_closed():
    world = World()
    world.do(BackConnected(50))
    world.spawn()
    world.do(BackConnected(51))
    world.do(ChildGone(1))
    assert set(world.closed) == {50, 51}


def test_the_child_below_a_windows_stub():
    world = World()
    world.attach()
    world.spawn(pid=10)
    assert world.connect_debuggee(50, pid=11, ppid=10) == REPLAY
    world.connect_debuggee(51, pid=12, ppid=10)
    assert "debugpyAttach" in [m.get("event") for m in world.read(1)]


def test_reasons_of_dropped_peers_are_logged():
    world = running()
    world.do(FrontConnected(2))
    world.do(PeerClosed(2, "an HTTP request, not DAP"))
    assert logs(world) == ["refused a connection to the debug port: an HTTP request, not DAP"]
    assert world.request(1, "restart")["success"]


def test_events_it_does_not_know_are_a_defect():
    with pytest.raises(StateError, match="no use"):
        World().do(object())


def test_the_phases_of_a_debuggee_have_no_other_transitions():
    debuggee = Debuggee(1, 1, Outbox())
    with pytest.raises(StateError, match="configured in AUTHORIZING"):
        debuggee.advance("configured")
    debuggee.advance("lost")
    assert debuggee.phase is Phase.GONE


COMMANDS = [
    *("initialize", "attach", "configurationDone") * 4,
    *("launch", "disconnect", "terminate", "restart"),
    *("setBreakpoints", "setFunctionBreakpoints", "setExceptionBreakpoints", "setDebuggerProperty"),
    *("threads", "continue", "next", "evaluate", "stackTrace", "readMemory", "x", ""),
]
GRANDCHILD = 1000
VALUES = [
    None,
    True,
    0,
    GRANDCHILD,
    -1,
    10,
    11,
    "",
    "/a.py",
    [],
    [1, None, {}],
    {},
    {"path": 1},
    {"line": []},
]
NAMES = ["source", "breakpoints", "subProcessId", "threadId", "terminateDebuggee", "connect", "id"]
EVENTS = ["stopped", "continued", "thread", "breakpoint", "output", "terminated", "exited", "x"]


@dataclass
class Chaos:
    """A world in which clients and children do anything that is DAP, at random."""

    dice: random.Random
    world: World = field(default_factory=World)
    open_requests: set[tuple[int, int]] = field(default_factory=set)
    fronts: list[int] = field(default_factory=list)
    generation: int = 0
    has_standby: bool = False

    @property
    def back(self):
        return 50 + self.generation

    def next_child(self):
        self.world.do(ChildGone(self.generation))
        self.world.closed.append(self.back)
        self.generation += 1
        self.world.spawn(self.generation, pid=10 + self.generation)
        if not self.has_standby:
            self.world.connect_debuggee(self.back, pid=10 + self.generation)
        self.has_standby = False
        self.world.connect_debuggee(self.back + 5000, pid=GRANDCHILD)

    def next_standby(self):
        if not self.has_standby:
            self.has_standby = True
            self.world.do(StandbySpawned(11 + self.generation))
            self.world.connect_debuggee(self.back + 1, pid=11 + self.generation)

    def adopt(self):
        peer = self.fronts[-1]
        for command in ("initialize", "attach", "configurationDone"):
            if peer not in self.world.closed:
                arguments = {"subProcessId": GRANDCHILD}
                seq = self.world.receive(peer, type="request", command=command, arguments=arguments)
                self.open_requests.add((peer, seq))

    def release(self):
        self.world.do(ReleaseRequested())

    def pass_time(self):
        self.world.wait(self.dice.random() * 5)

    def connect(self):
        self.fronts.append(1000 + len(self.fronts))
        self.world.do(FrontConnected(self.fronts[-1]))

    def ask(self):
        peer = self.dice.choice(self.fronts[-4:])
        if peer in self.world.closed:
            self.connect()
            return
        names = {name: self.dice.choice(VALUES) for name in NAMES}
        arguments = self.dice.choice([names, None, [], "x", {}])
        command = self.dice.choice(COMMANDS)
        seq = self.world.receive(peer, type="request", command=command, arguments=arguments)
        self.open_requests.add((peer, seq))

    def answer(self):
        for back in (self.back, self.back + 5000):
            for message in self.world.read(back):
                if message["type"] == "request" and self.dice.random() < 0.8:
                    self.world.respond(back, message, success=self.dice.random() < 0.8)

    def happen(self):
        back = self.dice.choice([self.back, self.back + 5000])
        self.world.event(back, self.dice.choice(EVENTS), threadId=self.dice.randint(1, 3))

    def read(self):
        for front in self.fronts:
            for message in self.world.read(front):
                if message["type"] == "response":
                    # A KeyError here: answered twice.
                    self.open_requests.remove((front, message["request_seq"]))


@pytest.mark.parametrize("seed", range(40))
def test_anything_that_is_dap_is_answered_exactly_once(seed):
    chaos = Chaos(random.Random(seed))
    chaos.next_child()
    chaos.connect()
    chaos.connect()
    actions = [chaos.ask, chaos.answer, chaos.happen, chaos.next_child]
    rare = [chaos.adopt, chaos.release, chaos.pass_time, chaos.connect, chaos.next_standby]
    for action in chaos.dice.choices([*actions, *rare], [80, 10, 10, 2, 5, 1, 2, 1, 4], k=500):
        action()
        chaos.read()
    chaos.next_child()
    chaos.read()
    # What is left is an attach that waits for configurationDone, one for each client at most.
    assert any("is attached" in line for line in logs(chaos.world))
    left = [peer for peer, _ in chaos.open_requests]
    assert len(left) == len(set(left))
    assert not chaos.world.keeper.paused
    chaos.world.do(RunEnded(0))
    chaos.read()
    assert chaos.open_requests == set()


# --- the standby --------------------------------------------------------------------------------

STANDBY = StandbySpawned(20)


def parked(**attach) -> World:
    """As `running`, with the connection of a standby (peer 60, pid 20)."""
    world = running(**attach)
    world.do(STANDBY)
    assert world.connect_debuggee(60, pid=20) == []
    return world


def promote(world, debugging=True):
    """Make the standby generation 2. Returns what its debugger is sent at once."""
    world.spawn(2, pid=20, debugging=debugging)
    return world.commands(60)


STEPS = {
    "spawned": lambda world, _: world.do(STANDBY),
    "connected": lambda world, process: world.connect_debuggee(60, **process),
    "connecting": lambda world, _: world.begin_debuggee(60),
    "identified": lambda world, process: world.identify(60, **process),
    "child gone": lambda world, _: world.do(ChildGone(1)),
    "promoted": lambda world, _: promote(world),
}


@pytest.mark.parametrize(
    "process", [{"pid": 20}, {"pid": 21, "ppid": 20}], ids=["itself", "below a Windows stub"]
)
@pytest.mark.parametrize(
    "order",
    [
        "spawned, connected, child gone, promoted",
        "spawned, connected, promoted",
        "spawned, child gone, connected, promoted",
        "spawned, child gone, promoted, connected",
        "spawned, connecting, child gone, identified, promoted",
        "spawned, connecting, child gone, promoted, identified",
        "spawned, child gone, connecting, promoted, identified",
        "connecting, spawned, identified, child gone, promoted",
    ],
)
def test_a_standby_becomes_the_child_in_every_order(order, process):
    world = running()
    steps = order.split(", ")
    for step in steps:
        assert world.commands(60) in ([], ["pydevdSystemInfo"])
        STEPS[step](world, process)
    assert world.commands(60) == REPLAY
    assert world.read(1) == []
    world.answer_replay(60, first_id=100)
    world.event(60, "stopped", threadId=1, hitBreakpointIds=[101])
    (stopped,) = world.read(1)
    assert stopped["body"]["hitBreakpointIds"] == [2]
    assert world.keeper.paused
    world.do(ChildGone(2))
    world.wait(LOST_AFTER)
    assert 60 in world.closed
    assert logs(world) == []


def test_a_standby_that_connected_before_it_was_known_is_parked():
    world = running()
    world.connect_debuggee(60, pid=20)
    world.do(STANDBY)
    world.wait(ADOPTION_TIMEOUT)
    assert world.commands(60) == []
    assert promote(world) == REPLAY


SPAWNED_AGAIN = [ChildGone(1), ChildSpawned(2, 30, debugging=True)]
LEFT_AND_BACK = [PeerClosed(1), FrontConnected(2)]
MEANWHILE = {
    "the child is let go": [ReleaseRequested()],
    "the child ends": [ChildGone(1)],
    "the child starts cold": SPAWNED_AGAIN,
    "the IDE leaves": [PeerClosed(1)],
    "another IDE comes": LEFT_AND_BACK,
    "time passes": [DeadlineReached()],
    "another standby is gone": [StandbyGone(19)],
    "the child loses its connection": [PeerClosed(50)],
}


@pytest.mark.parametrize("events", MEANWHILE.values(), ids=MEANWHILE)
def test_a_parked_standby_is_left_alone(events):
    world = parked()
    world.now += 1000
    for event in events:
        world.do(event)
    if events is LEFT_AND_BACK:
        world.attach(2)
    assert world.commands(60) == []
    assert 60 not in world.closed
    assert not [m for m in world.sent.get(1, []) if m["type"] == "request"]


def test_a_parked_standby_has_no_deadline_and_no_voice():
    world = parked()
    for name in EVENTS:
        world.event(60, name, threadId=1)
    assert world.commands(60) == ["continue"]  # nothing may hold it
    world.receive(60, type="request", command="ask", arguments={})
    assert world.read(60)[-1]["success"] is False
    assert world.read(1) == []
    assert world.keeper.deadline is None
    assert not world.keeper.paused
    world.connect_ide(2)
    assert world.request(2, "attach", subProcessId=20)["success"]  # as for one that has ended
    assert [m["event"] for m in world.read(2)] == ["terminated"]
    assert promote(world) == REPLAY


def test_a_promoted_standby_gets_what_has_changed_while_it_was_parked():
    world = parked()
    changed = {"source": APP, "breakpoints": [{"line": 9}]}
    world.receive(1, type="request", command="setBreakpoints", arguments=changed)
    assert promote(world) == REPLAY
    (breakpoints,) = (m for m in world.sent[60] if m["command"] == "setBreakpoints")
    assert breakpoints["arguments"] == changed


def test_a_standby_is_promoted_during_the_handshake_of_an_ide():
    world = parked()
    world.do(PeerClosed(1))
    world.connect_ide(2)
    world.receive(2, type="request", command="attach", arguments={})
    assert promote(world) == []
    world.receive(2, type="request", command="configurationDone", arguments={})
    assert world.commands(60) == ["initialize", "attach", "configurationDone"]


@pytest.mark.parametrize("debugging", [True, False])
def test_a_promoted_standby_is_let_run_when_the_ide_has_left(debugging):
    world = parked()
    world.do(PeerClosed(1))
    assert promote(world, debugging) == LET_RUN
    world.read(60)
    world.attach(2)
    assert world.commands(60) == REPLAY
    assert ConnectDebuggee(2) not in world.actions


def test_a_standby_without_debugger_connects_as_a_child_does():
    world = running()
    world.do(STANDBY)
    promote(world)
    assert ConnectDebuggee(2) not in world.actions
    assert world.connect_debuggee(60, pid=20) == REPLAY


def test_a_standby_without_debugger_becomes_a_child_without():
    world = World()
    world.spawn(debugging=False)
    world.do(STANDBY)
    promote(world, debugging=False)
    world.attach()
    assert ConnectDebuggee(2) in world.actions
    assert world.connect_debuggee(60, pid=20) == REPLAY


def test_the_end_of_a_standby():
    world = parked()
    world.do(StandbyGone(20))
    assert world.closed == [60]
    world.do(PeerClosed(60))
    assert world.read(1) == []
    assert logs(world) == []
    world.do(StandbySpawned(21))
    assert world.connect_debuggee(61, pid=21) == []
    assert world.keeper.deadline is None


def test_the_last_words_of_a_standby_are_not_announced():
    world = running()
    world.do(STANDBY)
    world.begin_debuggee(60)
    world.do(StandbyGone(20))
    assert world.identify(60, pid=20) == LET_RUN
    assert world.connect_debuggee(61, pid=22, ppid=20) == LET_RUN
    assert world.read(1) == []
    world.do(PeerClosed(60))
    assert world.keeper.deadline is None


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_standby_that_is_not_expected_any_more(is_replaced):
    world = parked()
    if is_replaced:
        world.do(StandbySpawned(21))
        assert world.connect_debuggee(61, pid=21) == []
    else:
        world.do(StandbyGone(20))
    assert 60 in world.closed
    world.do(ChildGone(1))
    world.do(BackConnected(62))
    assert (62 in world.closed) is not is_replaced


def test_a_standby_whose_connection_is_lost_is_of_no_use():
    world = running()
    world.do(STANDBY)
    assert not world.keeper.has_lost_standby
    world.connect_debuggee(60, pid=20)
    assert not world.keeper.has_lost_standby
    world.do(PeerClosed(60))
    assert world.keeper.has_lost_standby
    assert world.read(1) == []
    world.connect_debuggee(61, pid=20)
    assert not world.keeper.has_lost_standby
    world.do(PeerClosed(61))
    world.do(StandbyGone(20))
    assert not world.keeper.has_lost_standby
    assert world.keeper.deadline is None


@pytest.mark.parametrize("has_child", [True, False])
def test_processes_below_a_standby_run_and_are_not_announced(has_child):
    world = parked()
    if not has_child:
        world.do(ChildGone(1))
        world.closed.clear()
    assert world.connect_debuggee(61, pid=22, ppid=20) == LET_RUN
    assert world.connect_debuggee(62, pid=23, ppid=22) == LET_RUN
    world.do(PeerClosed(1))
    world.attach(2)
    assert [m for m in world.read(2) if m.get("event") == "debugpyAttach"] == []
    assert world.commands(61) == LET_RUN
    world.do(StandbyGone(20))
    assert set(world.closed) == {60, 61, 62}


def test_processes_below_a_promoted_standby_end_with_it():
    world = parked()
    world.connect_debuggee(61, pid=22, ppid=20)
    assert promote(world) == REPLAY
    world.connect_debuggee(62, pid=23, ppid=20)  # by the app's own code
    assert "debugpyAttach" in [m.get("event") for m in world.read(1)]
    world.do(ChildGone(2))
    assert {61, 62} <= set(world.closed)


def test_what_is_left_of_an_earlier_generation_is_not_announced():
    world = running()
    world.do(STANDBY)
    world.begin_debuggee(61)
    promote(world)
    assert world.identify(61, pid=11, ppid=10) == LET_RUN
    assert world.read(1) == []


def test_the_end_of_the_run_closes_a_parked_standby():
    world = parked()
    world.do(RunEnded(0))
    assert 60 in world.closed
    world.do(BackConnected(61))
    world.do(StandbyGone(20))
    assert 61 in world.closed


# --- joined to an IDE's own adapter -------------------------------------------------------------

IDENTITY = Identity(pid=700, ppid=600, access_token="theirs", client_access_token="ours")
LAUNCHED = {"subProcessId": 700, "module": "devlaunch", "connect": {"port": 1}}
ATTACHED = {"subProcessId": 700, "connect": {"port": 1}}
STAND_IN = {"adapterID": "debugpy"}
IDE = {"adapterID": "debugpy", "clientID": "vscode"}


def joined(**options) -> World:
    """Connected to the adapter (peer 1), which has been told who we are; the child waits."""
    world = World(identity=IDENTITY, **options)
    world.do(FrontJoined(1, IDENTITY.pid))
    authorize(world)
    world.spawn()
    assert world.connect_debuggee() == []
    return world


def authorize(world, peer=1, pid=IDENTITY.pid, ppid=IDENTITY.ppid):
    answer = world.request(peer, "pydevdAuthorize", debugServerAccessToken="theirs")
    assert answer["body"] == {"clientAccessToken": "ours"}
    info = world.request(peer, "pydevdSystemInfo")["body"]
    assert info["process"] == {"pid": pid, "ppid": ppid}


def begin(world, peer=1, initialize=IDE, **attach):
    """A session of the IDE through its adapter."""
    world.request(peer, "pydevdAuthorize", debugServerAccessToken="theirs")
    assert world.request(peer, "initialize", **initialize)["success"]
    # debugpy's adapter sends `initialized` itself, when it has this answer.
    assert world.request(peer, "attach", **attach)["success"]
    assert world.read(peer) == []
    world.receive(peer, type="request", command="configurationDone", arguments={})


def test_a_joined_session_sees_all_generations():
    world = joined()
    begin(world, **LAUNCHED)
    assert world.commands(50) == ["initialize", "attach", "configurationDone"]
    world.answer_replay()
    messages = world.read(1)
    assert [m["body"] for m in messages if m.get("event") == "capabilities"] == [
        {"capabilities": {"supportsRestartRequest": True}}
    ]
    assert [m["command"] for m in messages if m["type"] == "response"] == ["configurationDone"]
    for generation, peer in ((2, 51), (3, 52)):
        world.do(ChildGone(generation - 1))
        world.spawn(generation, pid=peer)
        assert world.connect_debuggee(peer, pid=peer)[0] == "initialize"
        world.answer_replay(peer)
    assert 1 not in world.closed
    assert not [m for m in world.read(1) if m.get("event") == "terminated"]


@pytest.mark.parametrize("shown", ["wrong", "", "thëirs", None])
def test_an_adapter_without_the_token_is_a_stranger(shown):
    world = World(identity=IDENTITY)
    world.do(FrontJoined(1, IDENTITY.pid))
    arguments = {} if shown is None else {"debugServerAccessToken": shown}
    answer = world.request(1, "pydevdAuthorize", **arguments)
    assert not answer["success"]
    assert "ours" not in str(answer)
    assert world.closed == [1]
    assert NoSession(not_joined("it closed the connection")) in world.actions
    assert not world.keeper.wants_debugger


def test_an_adapter_without_tokens_of_its_own_shows_none():
    world = World(identity=Identity(pid=1, ppid=2, client_access_token="ours"))
    world.do(FrontJoined(1, 1))
    body = world.request(1, "pydevdAuthorize", debugServerAccessToken=None)["body"]
    assert body == {"clientAccessToken": "ours"}


@pytest.mark.parametrize("for_ever", [False, True])
def test_a_child_that_no_ide_adopts_waits_for_a_while(for_ever):
    world = joined(wait_for_client=for_ever)
    world.wait(SESSION_TIMEOUT - 0.1)
    assert world.commands(50) == []
    world.wait(0.2)
    assert NoSession(NOT_ADOPTED) in world.actions
    assert world.commands(50) == ([] if for_ever else LET_RUN)
    assert world.keeper.wants_debugger is for_ever


def test_an_ide_that_begins_in_time_may_take_its_time():
    world = joined()
    world.request(1, "initialize", **IDE)
    world.wait(SESSION_TIMEOUT * 10)
    assert world.commands(50) == []
    assert NoSession(NOT_ADOPTED) not in world.actions


def test_the_adapter_itself_lets_a_process_run_that_no_ide_wants():
    """`Connection.__init__` in debugpy/adapter/servers.py: "unblocking"."""
    world = joined()
    begin(world, initialize=STAND_IN, subProcessId=IDENTITY.pid)
    assert world.request(1, "disconnect")["success"]
    assert world.commands(50) == LET_RUN
    assert world.closed == []
    assert logs(world) == []
    assert StopRequested(None) not in world.actions
    # Later an IDE attaches to what devlaunch was started by.
    world.read(1)
    begin(world, **ATTACHED)
    assert "configurationDone" in world.commands(50)


@pytest.mark.parametrize(
    ("attach", "terminates", "ends"),
    [(LAUNCHED, False, True), (LAUNCHED, True, True), (ATTACHED, False, False),
     (ATTACHED, True, True)],
)  # fmt: skip
def test_stop_on_a_joined_session(attach, terminates, ends):
    world = joined()
    begin(world, **attach)
    world.answer_replay()
    world.read(1)
    assert world.request(1, "disconnect", terminateDebuggee=terminates)["success"]
    assert world.read(1) == []  # `terminated` would end the connection
    assert world.closed == []
    assert (StopRequested(None) in world.actions) is ends
    begin(world, **attach)


def test_an_ide_that_gives_up_while_it_configures_does_not_hold_the_child():
    world = joined()
    world.request(1, "initialize", **IDE)
    world.request(1, "attach", **ATTACHED)
    world.request(1, "disconnect", terminateDebuggee=False)
    assert world.commands(50) == LET_RUN


@pytest.mark.parametrize("begun", [False, True])
def test_the_end_of_the_connection(begun):
    world = joined()
    if begun:
        begin(world, **ATTACHED)
        world.answer_replay()
        world.do(DebuggerReady(1))
    world.do(PeerClosed(1))
    assert NoSession(ENDED if begun else not_joined("it closed the connection")) in world.actions
    assert world.commands(50) == (DETACH if begun else LET_RUN)
    assert not world.keeper.wants_debugger


def test_the_end_of_the_run_ends_the_joined_session():
    world = joined()
    begin(world, **LAUNCHED)
    world.answer_replay()
    world.read(1)
    world.do(RunEnded(-2))
    events = [(m["event"], m["body"]) for m in world.read(1)]
    assert events == [("exited", {"exitCode": 130}), ("terminated", {})]
    assert 1 in world.closed


def test_a_process_of_the_app_joins_the_adapter_once():
    world = joined()
    begin(world, **LAUNCHED)
    world.answer_replay()
    world.connect_debuggee(peer=60, pid=42, ppid=10)
    assert world.actions.count(JoinAdapter(42)) == 1
    world.do(FrontJoined(2, 42))
    authorize(world, peer=2, pid=42, ppid=IDENTITY.pid)
    begin(world, peer=2, **LAUNCHED | {"subProcessId": 42})
    assert world.commands(60)[0] == "initialize"
    world.answer_replay(60)
    world.read(2)
    world.do(PeerClosed(60))
    assert [m["event"] for m in world.read(2) if m["type"] == "event"][-1] == "terminated"
    assert 2 in world.closed
    assert 1 not in world.closed


def test_the_adapter_does_not_hear_of_a_standby():
    world = joined()
    begin(world, **LAUNCHED)
    world.answer_replay()
    world.read(1)
    world.do(STANDBY)
    assert world.connect_debuggee(60, pid=20) == []
    assert promote(world) == ["initialize", "attach", "configurationDone"]
    assert not [action for action in world.actions if isinstance(action, JoinAdapter)]
    assert world.read(1) == []


def test_the_connection_for_a_process_that_no_ide_wants_ends_with_it():
    world = joined()
    begin(world, **LAUNCHED)
    world.answer_replay()
    world.connect_debuggee(peer=60, pid=42, ppid=10)
    world.do(FrontJoined(2, 42))
    authorize(world, peer=2, pid=42, ppid=IDENTITY.pid)
    world.wait(ADOPTION_TIMEOUT + 1)
    assert world.commands(60) == LET_RUN
    world.do(PeerClosed(60))
    assert 2 in world.closed


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [({"program": "a.py"}, True), ({"module": "devlaunch"}, True), ({"code": "1"}, True),
     ({"program": ""}, False), ({"connect": {"port": 1}}, False), ({}, False)],
)  # fmt: skip
def test_was_launched(arguments, expected):
    assert was_launched(arguments) is expected


def test_a_debuggee_does_not_report_output_that_debugpys_launcher_reads():
    output = {"redirectOutput": True, "debugOptions": ["RedirectOutput", "ShowReturnValue"]}
    session = Session(1, Outbox(), Outbox().connect(1), IDENTITY)
    session.attach_request = {"arguments": {"connect": {}, **output}}
    assert session.debuggee_arguments == {"connect": {}, **output}
    session.attach_request = {"arguments": {"module": "m", **output}}
    assert session.debuggee_arguments == {"module": "m", "debugOptions": ["ShowReturnValue"]}


def test_stand_in():
    assert is_stand_in(STAND_IN)
    assert not is_stand_in(IDE)


def test_tokens_are_in_no_repr():
    assert "ours" not in repr(IDENTITY)
    assert "theirs" not in repr(IDENTITY)
