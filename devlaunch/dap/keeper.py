"""The keeper: a debug adapter whose session outlives every child.

On its front side there are IDEs, on its back side pydevd in the children: a `Session` for each
connection of an IDE, a `Debuggee` for each process, which the `Roster` brings together. The main
session sees the current child, and is given the next one when that has ended; what its IDE has
asked for is recorded and replayed into each. A session that attached with `subProcessId` sees one
process that the child has started, and ends with it.

Sans-IO: events go into `handle`, actions come out, `deadline` says when to call again.
"""

from __future__ import annotations

from collections.abc import Callable

from devlaunch.config import WhilePaused
from devlaunch.core.status import StatusChanged
from devlaunch.dap.acceptance import refusal
from devlaunch.dap.endpoint import OVER
from devlaunch.dap.events import (
    BackConnected,
    ChildSpawned,
    FrontConnected,
    FrontJoined,
    MessageReceived,
    NoSession,
    PeerClosed,
    RunEnded,
    StandbyGone,
    StandbySpawned,
)
from devlaunch.dap.joining import ENDED, NOT_ADOPTED, Identity, not_joined
from devlaunch.dap.messages import CAPABILITIES, Outbox, arguments_of
from devlaunch.dap.processes import ChildProcess
from devlaunch.dap.roster import Roster
from devlaunch.dap.session import Session, SessionPhase
from devlaunch.errors import StateError
from devlaunch.events import (
    ChildGone,
    ChildUnheard,
    ConsoleNote,
    DeadlineReached,
    DebuggeePaused,
    DebuggeeResumed,
    DebuggerReady,
    Message,
    ReleaseRequested,
    RestartRequested,
    StopRequested,
    WhilePausedChosen,
)

READY_TIMEOUT = 10.0
"""Seconds that a busy app's debugger may take before an attach is answered all the same."""

SESSION_TIMEOUT = 5.0
"""Seconds that an IDE has, from the announcement on, to begin a session for the app."""

GOODBYE_TIMEOUT = 0.5
"""Seconds for the `disconnect` by which IDEs answer `terminated`: Helix and VS Code take it ill if
it comes to nobody, Vimspector never sends it."""

_ConnectionChanged = FrontConnected | FrontJoined | BackConnected | PeerClosed
_RunChanged = ChildSpawned | ChildUnheard | DebuggerReady | ChildGone | ReleaseRequested | RunEnded


class Keeper:
    """The state of all debug connections. `token` is what a debuggee must know to be one.

    With `wait_for_client` no child runs user code before the first IDE has attached. `identity` is
    who we are for the adapter of the IDE that devlaunch runs under, if that is to be joined: then
    the child waits for its session too, but not for ever.
    """

    def __init__(
        self, *, token: str, wait_for_client: bool, identity: Identity | None = None
    ) -> None:
        self._identity = identity
        self._waits_for_ever = wait_for_client
        self._adoption_deadline: float | None = None
        self._outbox = Outbox()
        self._sessions: dict[int, Session] = {}
        self._roster = Roster(
            self._outbox,
            token=token,
            waits_for_client=wait_for_client or identity is not None,
            end_session=self._say_goodbye,
            forget_process=self._leave_adapter,
        )
        self._was_paused = False
        self._status: StatusChanged | None = None
        self._requests: dict[str, Callable[[Session, Message], None]] = {
            "initialize": self._initialize,
            "launch": self._launch,
            "attach": self._attach,
            "configurationDone": self._configuration_done,
            "restart": self._restart,
            "devlaunchWhilePaused": self._choose_while_paused,
            "terminate": self._terminate,
            "disconnect": self._disconnect,
        }

    def handle(self, event: object, now: float) -> list[object]:
        """Take an event; return actions, and events for the supervisor, to be handled in order.

        `now` is in seconds of a monotonic clock.
        """
        self._outbox.now = now
        match event:
            case MessageReceived(peer, message):
                self._message_received(peer, message)
            case FrontConnected() | FrontJoined() | BackConnected() | PeerClosed():
                self._connection_changed(event)
            case _ if isinstance(event, _RunChanged):
                self._run_changed(event)
            case StandbySpawned(pid):
                self._roster.start_standby(pid)
            case StandbyGone(pid):
                self._roster.end_standby(pid)
            case ConsoleNote() | StatusChanged():
                self._status = event if isinstance(event, StatusChanged) else self._status
                self._answer_launch()
                if self._main is not None:
                    self._main.show(event)
            case DeadlineReached():
                self._expire()
            case _:
                raise StateError(f"the keeper has no use for {event!r}")
        self._answer_configuration()
        self._answer_launch()
        if self.paused != self._was_paused:
            self._was_paused = self.paused
            self._outbox.add(DebuggeePaused() if self._was_paused else DebuggeeResumed())
        return self._outbox.take()

    @property
    def deadline(self) -> float | None:
        """When `DeadlineReached` is due, on the clock of `now`; None: not before another event."""
        deadlines = [self._roster.deadline, self._adoption_deadline]
        if self._main:
            deadlines += [self._main.configuration_deadline, self._main.launch_deadline]
        deadlines += [session.goodbye_deadline for session in self._sessions.values()]
        return min((each for each in deadlines if each is not None), default=None)

    def listens_at(self, host: str, port: int) -> None:
        """IDEs can connect to us at this address."""
        self._roster.endpoint = (host, port)

    def stop_waiting(self) -> None:
        """Let children run, though no IDE has adopted one, unless `wait_for_client` has it so."""
        self._adoption_deadline = None
        if not self._waits_for_ever:
            self._roster.waits_for_client = False
            self._roster.settle()

    @property
    def expects_goodbye(self) -> bool:
        """Whether an IDE that was told that all is over has not said `disconnect` yet."""
        return any(each.phase is SessionPhase.OVER for each in self._sessions.values())

    @property
    def wants_debugger(self) -> bool:
        """Whether a child that is started now must connect before it runs user code."""
        return self._main is not None or self._roster.waits_for_client

    @property
    def has_lost_standby(self) -> bool:
        """Whether the standby lives on without its connection: it would wait for one in vain."""
        return self._roster.has_lost_standby

    @property
    def paused(self) -> bool:
        """Whether the debugger holds the app, in the child or in a process that it has started."""
        return self._roster.is_paused

    @property
    def _main(self) -> Session | None:
        return self._roster.main

    def _connection_changed(self, event: _ConnectionChanged) -> None:
        match event:
            case FrontConnected(peer, has_launched):
                ide = self._outbox.connect(peer)
                self._sessions[peer] = Session(peer, self._outbox, ide, None, has_launched)
            case FrontJoined(peer, pid) if self._identity:
                identity, ide = self._identity.of(pid), self._outbox.connect(peer)
                self._sessions[peer] = Session(peer, self._outbox, ide, identity)
                if identity == self._identity:
                    self._adoption_deadline = self._outbox.now + SESSION_TIMEOUT
            case BackConnected(peer):
                self._roster.connected(peer)
            case PeerClosed(peer, reason):
                if session := self._sessions.get(peer):
                    session.ide.lose()
                    self._front_closed(session, reason)
                else:
                    self._roster.closed(peer, reason)

    def _message_received(self, peer: int, message: Message) -> None:
        session = self._sessions.get(peer)
        if session is None:
            self._roster.received(peer, message)
            return
        session.ide.receive(message)
        if message["type"] == "request":
            self._on_request(session, message)

    def _run_changed(self, event: _RunChanged) -> None:
        match event:
            case ChildSpawned(generation, pid, debugging):
                child = ChildProcess(pid=pid, generation=generation, is_debugging=debugging)
                self._roster.start_child(child)
            case ChildUnheard(generation):
                self._roster.child_unheard(generation)
            case DebuggerReady(generation):
                self._roster.child_ready(generation)
            case ChildGone(generation):
                if self._roster.child is not None and self._roster.child.generation == generation:
                    self._roster.end_child()
            case ReleaseRequested():
                self._roster.let_go()
            case RunEnded(status):
                self._roster.end_child()
                if self._main is not None:
                    # As shells report it: 128 + n for signal n.
                    code = status if status >= 0 else 128 - status
                    self._main.ide.event("exited", {"exitCode": code})
                for session in list(self._sessions.values()):
                    self._say_goodbye(session)
                self._roster.close()

    def _expire(self) -> None:
        """Act on the deadlines that have passed."""
        self._roster.expire()
        for session in list(self._sessions.values()):
            if self._outbox.has_passed(session.goodbye_deadline):
                self._end_session(session)
        if self._outbox.has_passed(self._adoption_deadline):
            self.stop_waiting()
            self._outbox.add(NoSession(NOT_ADOPTED))

    def _front_closed(self, session: Session, reason: str) -> None:
        if session.identity is None and reason:
            self._outbox.log(f"refused a connection to the debug port: {reason}")
        self._end_session(session)
        if session.has_launched:
            self._outbox.add(StopRequested(None))
        if self._is_ours(session):
            was_refused = self._adoption_deadline is not None
            self.stop_waiting()
            why = not_joined("it closed the connection") if was_refused else ENDED
            self._outbox.add(NoSession(why))

    # --- requests of an IDE ----------------------------------------------------------------------

    def _on_request(self, session: Session, request: Message) -> None:
        command = request["command"]
        if session.identity and command == "pydevdAuthorize":
            self._authorize(session, session.identity, request)
        elif session.identity and command == "pydevdSystemInfo":
            session.ide.respond(request, session.identity.system_info())
        elif handler := self._requests.get(command):
            handler(session, request)
        elif not session.is_attached:
            session.ide.fail(request, f"{command!r} is not possible before 'attach'.")
        else:
            self._roster.ask(session, request)

    def _initialize(self, session: Session, request: Message) -> None:
        if session.advance("initialize"):
            session.initialize_arguments = arguments_of(request)
            session.ide.respond(request, CAPABILITIES)
            if self._is_ours(session):
                self._adoption_deadline = None  # the rest is up to the IDE
        else:
            session.ide.fail(request, "This session is initialized already.")

    def _launch(self, session: Session, request: Message) -> None:
        if session.has_launched:
            self._attach(session, request)
            return
        session.ide.fail(
            request,
            "devlaunch runs the app already: use a configuration with "
            '"request": "attach" instead of "launch".',
        )

    def _attach(self, session: Session, request: Message) -> None:
        pid = arguments_of(request).get("subProcessId")
        if session.is_stand_in:
            session.begin(request)
        elif session.phase is not SessionPhase.INITIALIZED:
            session.ide.fail(request, "'attach' is possible once only, and after 'initialize'.")
        elif why := refusal("attach", arguments_of(request)):
            session.ide.fail(request, why)
        elif pid is not None and not self._is_ours(session):
            self._attach_to_process(session, request, pid)
        elif self._main is not None:
            other = self._main.name
            text = f"Another IDE is attached ({other}): disconnect that one first."
            session.ide.fail(request, text)
            self._outbox.log(f"refused a second IDE ({session.name}): {other} is attached")
            self._end_session(session)
        else:
            self._roster.main = session
            session.begin(request)
            self._roster.connect_child()
            self._roster.settle()

    def _attach_to_process(self, session: Session, request: Message, pid: object) -> None:
        if self._roster.adopt(session, pid):
            session.begin(request)
        else:
            # It may have ended in the meantime. debugpy's adapter spares the user an error, too.
            session.ide.respond(request)
            self._say_goodbye(session)

    def _configuration_done(self, session: Session, request: Message) -> None:
        if not session.advance("configurationDone"):
            session.ide.fail(request, "'configurationDone' is possible after 'attach' only.")
            return
        session.configuration_deadline = self._outbox.now + READY_TIMEOUT
        if session is self._main:
            if session.identity:
                capabilities = {"supportsRestartRequest": True}
                session.ide.event("capabilities", {"capabilities": capabilities})
            self._roster.waits_for_client = False
            self._outbox.log(f"{session.name} is attached")
            self._roster.announce()
        else:
            session.answer_configuration()
        self._roster.settle()

    def _answer_configuration(self) -> None:
        """Tell the IDE that it is attached once its breakpoints work in the running child."""
        session = self._main
        if session is None or session.configuration_deadline is None:
            return
        if self._outbox.has_passed(session.configuration_deadline):
            self._outbox.log("the app is busy: breakpoints take effect when its debugger is up")
        elif self._roster.is_changing:
            return
        session.answer_configuration()
        session.show(self._status)

    def _answer_launch(self) -> None:
        """Tell the IDE that has launched the app when the first start has come to an end."""
        session, status = self._main, self._status
        has_started = status is not None and status.state not in ("starting", "stopping")
        if session and (has_started or self._outbox.has_passed(session.launch_deadline)):
            session.answer_launch()

    def _restart(self, session: Session, request: Message) -> None:
        if session.is_attached:
            session.ide.respond(request)
            self._outbox.add(RestartRequested())
        else:
            session.ide.fail(request, "'restart' is possible after 'attach' only.")

    def _choose_while_paused(self, session: Session, request: Message) -> None:
        value = arguments_of(request).get("value")
        if session is self._main and value in list(WhilePaused):
            session.ide.respond(request)
            self._outbox.add(WhilePausedChosen(WhilePaused(value)))
        else:
            session.ide.fail(
                request, f"'value' is 'wait' or 'restart', after 'attach'; not {value!r}."
            )

    def _terminate(self, session: Session, request: Message) -> None:
        session.ide.respond(request)
        if session is self._main:
            self._outbox.add(StopRequested(None))
        else:
            self._end_process(session)

    def _disconnect(self, session: Session, request: Message) -> None:
        terminates = arguments_of(request).get("terminateDebuggee") is True
        is_main = session is self._main
        if terminates and not is_main:
            self._end_process(session)
        is_over = session.phase is SessionPhase.OVER
        session.answer_launch()
        session.ide.respond(request)
        if not session.identity and not is_over:
            session.say_over()
        self._end_session(session)
        if is_main and (terminates or session.ends_the_run):
            self._outbox.add(StopRequested(None))
        elif self._is_ours(session):
            self.stop_waiting()

    def _end_process(self, session: Session) -> None:
        """End the one process that a session besides the main one sees."""
        if debuggee := self._roster.seen_by(session):
            debuggee.terminate()

    def _say_goodbye(self, session: Session) -> None:
        """End a session because what it saw has ended."""
        if session.identity is None and session.is_attached:
            # `devlaunch adapter` tells its editor at the very end, and answers it then.
            patience = 0.0 if session.has_launched else GOODBYE_TIMEOUT
            session.finish(self._outbox.now + patience)
            self._retire(session)
        else:
            session.say_over()
            session.ide.close()
            self._end_session(session)

    def _end_session(self, session: Session) -> None:
        if self._sessions.pop(session.peer, None) is None:
            return
        if self._is_ours(session) and session.ide.is_open:
            # The adapter keeps the connection for the next session.
            session.ide.refuse(OVER)
            session.ide.abandon(OVER)
            following = Session(session.peer, self._outbox, session.ide, session.identity)
            self._sessions[session.peer] = following
        else:
            session.ide.close()
        self._retire(session)

    def _retire(self, session: Session) -> None:
        """The session sees nothing any more."""
        if session is self._main:
            self._roster.main = None
            if session.is_configured:
                self._outbox.log(f"{session.name} is detached")
        self._roster.settle()

    # --- an IDE's own adapter --------------------------------------------------------------------

    def _is_ours(self, session: Session) -> bool:
        """Whether an IDE reaches the app by it through the IDE's own adapter."""
        return session.identity is not None and session.identity == self._identity

    def _authorize(self, session: Session, identity: Identity, request: Message) -> None:
        body = identity.authorize(request)
        if body is not None:
            session.ide.respond(request, body)
        else:
            session.ide.fail(request, "this connection does not know the token of the run")
            session.ide.close()
            self._front_closed(session, "")

    def _leave_adapter(self, pid: int) -> None:
        """A process below the app has ended, for which the adapter was joined once more."""
        for session in list(self._sessions.values()):
            if session.identity and session.identity.pid == pid and not self._is_ours(session):
                self._say_goodbye(session)
