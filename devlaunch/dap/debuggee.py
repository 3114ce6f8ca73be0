"""One connection of a debuggee (pydevd in a child or grandchild) to the keeper. Pure.

pydevd speaks DAP as the server on a connection that it opened. It works off requests in order, so
a whole handshake is sent in one go, without waiting for the answers in between.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from typing import NamedTuple

from devlaunch.dap.acceptance import takeable
from devlaunch.dap.endpoint import Endpoint
from devlaunch.dap.messages import Outbox, arguments_of, body_of
from devlaunch.dap.recording import is_recorded
from devlaunch.dap.session import Session
from devlaunch.errors import StateError
from devlaunch.events import Message

STEP_TIMEOUT = 2.0
"""Seconds after which a step that did not stop again has run off into code of no interest, and for
pydevd to say that it has let a thread go: it forgets to when `pause` and `continue` cross."""

STEPS = {"next", "stepIn", "stepOut", "goto"}

NEED_A_STOP = STEPS | {"continue", "exceptionInfo"}

UNSAFE = {"runInTerminal", "startDebugging"}
"""Requests by which a debuggee would make the IDE start something (debugpy refuses all)."""

UNUSED_ATTACH_ARGUMENTS = {
    *("connect", "host", "port", "listen", "processId"),
    *("request", "restart", "preLaunchTask", "postDebugTask", "autoReload", "stopOnEntry"),
}
"""How the IDE gets to us, which is no debuggee's business, pydevd's own reloading of code, and what
is for the first start only."""


class Phase(Enum):
    """The life of the connection."""

    AUTHORIZING = auto()
    IDENTIFYING = auto()
    WAITING = auto()
    """Known, and its process may be waiting for `configurationDone` before it runs user code."""
    PARKED = auto()
    """Of the standby: nobody's business before that is the child."""
    ATTACHED = auto()
    DETACHED = auto()
    """Runs at full speed, without breakpoints; can be attached again."""
    STOPPING = auto()
    """Detached in order to be stopped, while the IDE looks on; is not attached again."""
    GONE = auto()
    """The process has ended; its last output may still be on the way."""


_TRANSITIONS = {
    (Phase.AUTHORIZING, "authorized"): Phase.IDENTIFYING,
    (Phase.IDENTIFYING, "identified"): Phase.WAITING,
    (Phase.WAITING, "parked"): Phase.PARKED,
    (Phase.PARKED, "promoted"): Phase.WAITING,
    (Phase.WAITING, "configured"): Phase.ATTACHED,
    (Phase.WAITING, "detached"): Phase.DETACHED,
    (Phase.WAITING, "stopping"): Phase.STOPPING,
    (Phase.ATTACHED, "detached"): Phase.DETACHED,
    (Phase.ATTACHED, "stopping"): Phase.STOPPING,
    (Phase.DETACHED, "configured"): Phase.ATTACHED,
    (Phase.DETACHED, "stopping"): Phase.STOPPING,
    (Phase.STOPPING, "stopping"): Phase.STOPPING,
    **{(phase, "lost"): Phase.GONE for phase in Phase},
}


UNKNOWN = (Phase.AUTHORIZING, Phase.IDENTIFYING)
"""It has yet to say who it is."""


class _Call(NamedTuple):
    """What a request to a debuggee is for."""

    command: str
    arguments: Message
    session: Session | None = None
    request: Message | None = None
    """The IDE's request that it carries out; None for one of ours."""


@dataclass(slots=True, eq=False)
class Debuggee:
    """A process under pydevd: what it was asked, and which of its threads it holds."""

    peer: int
    generation: int
    outbox: Outbox
    deadline: float | None = None
    """When the present phase, or a step, has taken too long."""
    phase: Phase = Phase.AUTHORIZING
    pid: int = 0
    ppid: int = 0
    is_child: bool = False
    """The child itself, not a process that it has started."""
    has_joined: bool = False
    """The IDE's own adapter was joined for it."""
    has_terminated: bool = False
    """It has said that it is about to end."""
    session: Session | None = None
    is_configuring: bool = False
    """The replay is on its way, and not worked off."""
    pydevd: Endpoint = field(init=False)
    _breakpoint_ids: dict[int, int] = field(default_factory=dict)
    _threads: dict[object, None] = field(default_factory=dict)
    _stopped: dict[object, bool] = field(default_factory=dict)
    """The threads that it holds, and whether the others stopped with them."""
    _untold: list[Message] = field(default_factory=list)
    """Stops of which the IDE hears when the replay is worked off."""
    _is_stepping: bool = False

    def __post_init__(self) -> None:
        self.pydevd = self.outbox.connect(self.peer)

    @property
    def title(self) -> str:
        """Of its process, for people."""
        return "the app" if self.is_child else f"process {self.pid}, started by the app,"

    @property
    def is_paused(self) -> bool:
        """Whether it holds a thread, or will do so in a moment."""
        return bool(self._stopped) or self._is_stepping

    @property
    def can_attach(self) -> bool:
        """Whether `configure` is possible."""
        return self.phase in (Phase.WAITING, Phase.DETACHED)

    def advance(self, step: str) -> None:
        """Go to the next phase; raises StateError where the table has none."""
        following = _TRANSITIONS.get((self.phase, step))
        if following is None:
            raise StateError(f"debuggee {self.pid}: {step} in {self.phase.name}")
        self.phase = following
        self.deadline = None

    def call(self, command: str, arguments: Message) -> None:
        """Send a request of our own, whose answer is of interest to nobody but us."""
        self._ask(_Call(command, arguments, self.session))

    def configure(
        self, session: Session, deadline: float | None, *, stops_on_entry: bool = False
    ) -> None:
        """Attach: replay what the session's IDE has asked for, and let the process run.

        After `deadline` it has failed. With `stops_on_entry` a child that is about to run the first
        line of the user's does as the IDE wants it.
        """
        self.advance("configured")
        self.session = session
        self._breakpoint_ids.clear()
        self.call("initialize", session.initialize_arguments)
        attach = session.debuggee_arguments.items()
        unused = UNUSED_ATTACH_ARGUMENTS - ({"stopOnEntry"} if stops_on_entry else set())
        self.call("attach", {k: v for k, v in attach if k not in unused})
        for command, arguments in session.recording.requests():
            self.call(command, arguments)
        self.call("configurationDone", {})
        self.is_configuring, self.deadline = True, deadline

    def detach(self) -> None:
        """Let the process run on at full speed. The session hears no more of it."""
        was_attached = self.phase is Phase.ATTACHED
        self.advance("detached")
        self._let_run(was_attached)
        self.session = None
        self.is_configuring = False
        self._run()
        self._threads.clear()

    def say_goodbye(self) -> None:
        """Have `debugpy.is_client_connected()` be False in a process that was let run.

        pydevd takes `configurationDone` for the IDE being there; `disconnect` takes it back, from
        when on who waits for that waits for ever.
        """
        self.call("disconnect", {"terminateDebuggee": False})

    def let_go(self) -> None:
        """Make sure that nothing holds the process any more: it is about to be stopped."""
        was_attached = self.phase is Phase.ATTACHED
        self.advance("stopping")
        self._tell_continued()
        self._let_run(was_attached)

    def terminate(self) -> None:
        """Have the process killed, by its debugger."""
        self.advance("stopping")
        self.call("disconnect", {"terminateDebuggee": True})

    def lose(self) -> None:
        """The process or its connection has ended: settle everything that is open with the IDE."""
        self.advance("lost")
        self.pydevd.abandon("The app has ended.")
        self._tell_continued()
        self.is_configuring = False
        if self.session is not None:
            for thread in self._threads:
                self.session.ide.event("thread", {"reason": "exited", "threadId": thread})
        self._threads.clear()

    def forward(self, request: Message) -> None:
        """Pass a request of the IDE on."""
        command, arguments = request["command"], arguments_of(request)
        if self._answer_unheld(request):
            return
        if command in ("continue", "pause"):
            # As debugpy's adapter does: threads are held and let go all together.
            arguments = {**arguments, "threadId": "*"}
        if command == "continue" or command in STEPS:
            self._is_stepping, self.deadline = command in STEPS, self.outbox.now + STEP_TIMEOUT
        self._ask(_Call(command, arguments, self.session, request))

    def _answer_unheld(self, request: Message) -> bool:
        """Answer what pydevd would leave until a thread is held, or has run on; False: not that.

        It would also hit a stop of which the IDE has not heard yet.
        """
        command, session = request["command"], self.session
        is_held = bool(self._stopped)
        if command == "exceptionInfo":
            is_held = arguments_of(request).get("threadId") in self._stopped
        if session is None or is_held or command not in NEED_A_STOP:
            return False
        if command == "continue":
            if self._is_stepping:
                self.end_step()
                self.call(command, {"threadId": "*"})
            session.ide.respond(request, {"allThreadsContinued": True})
        elif self._is_stepping and command in STEPS:
            return False  # pydevd takes it when this step has come to its end
        else:
            session.ide.fail(request, f"{command!r} is possible while the app is stopped only.")
        return True

    def time_out(self) -> None:
        """A step has not come to its end, or pydevd has not said that threads were let go."""
        self.end_step()
        if self.pydevd.awaits("continue"):
            self._tell_continued()
            self._answer_continue()

    def end_step(self) -> None:
        """Forget that a thread is on its way to the next line."""
        self._is_stepping, self.deadline = False, None

    # --- what comes from pydevd -------------------------------------------------------------------

    def receive(self, message: Message) -> None:
        """Take any message; only answers count before it is known who sends them."""
        if self.phase in UNKNOWN and message["type"] != "response":
            return
        self.pydevd.receive(message)
        if message["type"] == "event":
            self._on_event(message)
        elif message["type"] == "request":
            self._on_request(message)

    def _on_answer(self, call: _Call, response: Message) -> None:
        if call.session is None:
            return
        if self.phase is not Phase.GONE:
            self._note_answer(call, response)
            if is_recorded(call.command) and call.session is self.session:
                response = self._translate_answer(call, call.session, response)
            if call.request is not None:
                call.session.ide.answer(call.request, response)
        elif call.request is not None:
            text = f"The app ended before it could answer the request {call.command!r}."
            call.session.answer_alone(call.request, text)

    def _note_answer(self, call: _Call, response: Message) -> None:
        if call.command == "threads":
            threads = body_of(response).get("threads") or []
            self._threads = dict.fromkeys(thread.get("id") for thread in threads)
        elif call.command == "configurationDone" and call.session is self.session:
            self._end_replay()
        elif call.command == "attach" and not response.get("success"):
            self.outbox.log(f"the debugger refused to attach: {response.get('message')}")

    def _translate_answer(self, call: _Call, session: Session, response: Message) -> Message:
        if call.request is not None and not response.get("success"):
            session.recording.forget(call.command, call.arguments)
        body, changed = session.recording.translate(
            call.command, call.arguments, body_of(response), self._breakpoint_ids
        )
        if call.request is None:
            for breakpoint_ in changed:
                session.ide.event("breakpoint", {"reason": "changed", "breakpoint": breakpoint_})
        return {**response, "body": body} if body else response

    def _on_event(self, message: Message) -> None:
        name, body = message["event"], body_of(message)
        if name == "terminated":
            self.has_terminated = True
        elif name == "stopped" and self.phase in (
            Phase.DETACHED,
            Phase.STOPPING,
            Phase.PARKED,
        ):
            # `breakpoint()` in the code. What stopped before `disconnect` was worked off is let go
            # by that; a `continue` of ours might come so late that it hits the next session's stop.
            if not self.pydevd.awaits("disconnect"):
                self.call("continue", {"threadId": "*"})
        elif self.is_configuring and name in ("stopped", "continued"):
            # A stop in the time of the last session is told late sometimes, and always taken back.
            if name == "stopped":
                self._untold.append(message)
            else:
                self._untold.clear()
        elif self._is_for_the_ide(name):
            self._note_event(name, body)
            translated = self._translate(name, body)
            if self.session is not None and translated is not None:
                self.session.ide.event(name, translated)

    def _end_replay(self) -> None:
        self.is_configuring, self.deadline = False, None
        untold, self._untold = self._untold, []
        for message in untold:
            self._on_event(message)

    def _is_for_the_ide(self, name: str) -> bool:
        match self.phase:
            case Phase.ATTACHED:
                # `initialized` is the keeper's to send, and so is a child's end.
                return name != "initialized" and not (name == "exited" and self.is_child)
            case Phase.STOPPING | Phase.GONE:
                return name == "output"
            case _:
                return False

    def _note_event(self, name: str, body: Message) -> None:
        # The response to `continue` is not looked at: a thread may have stopped again before it.
        thread = body.get("threadId")
        match name:
            case "stopped":
                if self.session is not None:
                    self.session.answer_launch()
                self.end_step()
                self._answer_continue()
                self._stopped[thread] = bool(body.get("allThreadsStopped"))
                self._threads.setdefault(thread)
            case "continued" if body.get("allThreadsContinued", True):
                self._stopped.clear()
                self._answer_continue()
                self.deadline = self.deadline if self._is_stepping else None
            case "continued":
                self._stopped.pop(thread, None)
            case "thread" if body.get("reason") == "exited":
                self._stopped.pop(thread, None)
                self._threads.pop(thread, None)
            case "thread":
                self._threads.setdefault(thread)

    def _translate(self, name: str, body: Message) -> Message | None:
        if self.session is not None and name == "process" and self.session.has_launched:
            return {**body, "startMethod": "launch"}
        if self.session is not None and name == "breakpoint":
            return self.session.recording.translate_event(body, self._breakpoint_ids)
        if name == "stopped" and isinstance(body.get("hitBreakpointIds"), list):
            ids = self._breakpoint_ids
            hit = [ids[identity] for identity in body["hitBreakpointIds"] if identity in ids]
            return {**body, "hitBreakpointIds": hit}
        return body

    def _on_request(self, request: Message) -> None:
        command, session = request["command"], self.session
        if session is None or self.phase is not Phase.ATTACHED or command in UNSAFE:
            self.pydevd.fail(request, f"devlaunch does not pass {command!r} on to the IDE")
        else:
            answer = partial(self.pydevd.answer, request)
            session.ide.request(command, arguments_of(request), answer)

    # --- helpers ----------------------------------------------------------------------------------

    def _ask(self, call: _Call) -> None:
        arguments = takeable(call.command, call.arguments) or {}
        self.pydevd.request(call.command, arguments, partial(self._on_answer, call))

    def _answer_continue(self) -> None:
        """All threads run, or one has stopped again: a `continue` of before has done what it could.

        pydevd answers those that came too late when a thread is let go the next time.
        """
        self.pydevd.settle("continue", {"allThreadsContinued": True})

    def _let_run(self, was_attached: bool) -> None:
        if was_attached:
            # pydevd's `disconnect` forgets all breakpoints but these, and lets all threads go.
            self.call("setFunctionBreakpoints", {"breakpoints": []})
            self.call("disconnect", {"terminateDebuggee": False})
        else:
            self.call("initialize", {"adapterID": "debugpy"})
        # `disconnect` also takes `configurationDone` back. A process that is only just about to see
        # that (it looks every 0.1 s or so) would wait for ever, so that is not left standing.
        self.call("attach", {})
        self.call("configurationDone", {})

    def _tell_continued(self) -> None:
        if self.session is not None:
            for thread, all_threads in self._stopped.items():
                body = {"threadId": thread, "allThreadsContinued": all_threads}
                self.session.ide.event("continued", body)
        self._run()

    def _run(self) -> None:
        self._stopped.clear()
        self._untold.clear()
        self.end_step()
