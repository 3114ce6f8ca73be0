"""One session of `devlaunch adapter`: between an editor and the keeper of a launcher. Pure.

The editor sees one debug adapter. `initialize` is answered here; `launch` has a launcher started
and becomes the `attach` of its keeper, `attach` leads to a keeper that runs already; everything
else passes, with numbers of its own on each side. The end is told once, after the last output.

Sans-IO: events go into `handle`, actions come out, `deadline` says when to call again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from devlaunch.dap.endpoint import OVER, Endpoint
from devlaunch.dap.exchange import (
    FAILED,
    STARTED,
    TERMINALS,
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
    Phase,
    Start,
    StartFailed,
    TellEditor,
    TellKeeper,
    TerminalWanted,
)
from devlaunch.dap.messages import (
    CAPABILITIES,
    arguments_of,
    body_of,
)
from devlaunch.errors import StateError
from devlaunch.events import DeadlineReached, Message

START_TIMEOUT = 30.0
"""Seconds in which a launcher has to be up; a terminal's shell may read long start-up files."""

SETTLE_TIMEOUT = 5.0
"""Seconds that `launch` waits for the app to be imported, so that a target which does not exist is
a launch that failed. Longer, and editors give up (dape after 10)."""

ANSWER_TIMEOUT = 5.0
"""Seconds for what listens where `attach` leads to say something."""

LEAVE_TIMEOUT = 2.0
"""Seconds for the keeper to answer `disconnect`."""

GOODBYE_TIMEOUT = 1.0
"""Seconds for the editor to say `disconnect` after the end; some never do (Vimspector)."""

ERROR_ID = 1
"""DAP wants a number for each kind of error."""


_TRANSITIONS = {
    (Phase.CONNECTED, "initialize"): Phase.INITIALIZED,
    (Phase.INITIALIZED, "start"): Phase.STARTING,
    (Phase.STARTING, "failed"): Phase.INITIALIZED,
    (Phase.STARTING, "connected"): Phase.RUNNING,
    (Phase.RUNNING, "failed"): Phase.INITIALIZED,
    (Phase.RUNNING, "ended"): Phase.ENDED,
    **{(phase, "closed"): Phase.CLOSED for phase in Phase},
}


class Proxy:
    """The state of one session.

    `translate` makes the keeper's `attach` of the arguments of `launch`.
    """

    def __init__(self, translate: Callable[[Message], Message]) -> None:
        self.phase = Phase.CONNECTED
        self.deadline: float | None = None
        """When `DeadlineReached` is due, on the clock of `now`; None: not before another event."""
        self._translate = translate
        self._actions: list[object] = []
        self._now = 0.0
        self._editor = Endpoint(
            lambda message: self._actions.append(TellEditor(message)),
            lambda: self._actions.append(EndSession()),
        )
        self._keeper = Endpoint(lambda message: self._actions.append(TellKeeper(message)))
        self._initialize_arguments: Message = {}
        self._start: Message | None = None
        """The request `launch` or `attach`, until it is answered."""
        self._is_launch = False
        self._where = ""
        self._launched: Message | None = None
        """The answer to `launch`, held back until the app has started."""
        self._exit: Message | None = None
        self._console = ""
        self._has_terminated = False
        self._is_stopping = False
        self._is_leaving = False
        """A `disconnect` is on its way to the keeper."""

    def handle(self, event: object, now: float) -> list[object]:
        """Take an event and return actions, to be carried out in order. `now` is in seconds."""
        self._now = now
        match event:
            case _ if self.phase is Phase.CLOSED:
                pass
            case EditorSaid(message):
                self._editor_said(message)
            case EditorGone():
                self._close()
            case KeeperSaid(message) if self.phase is Phase.RUNNING:
                self._keeper_said(message)
            case OutputRead(category, text):
                self._editor.event("output", {"category": category, "output": text})
            case DeadlineReached():
                self._expire()
            case _:
                self._launcher_changed(event)
        actions, self._actions = self._actions, []
        return actions

    def _launcher_changed(self, event: object) -> None:
        match event:
            case KeeperConnected(pid, where) if self.phase is Phase.STARTING:
                self._keeper_connected(pid, where)
            case StartFailed(text) if self._start is not None:
                self._fail_start(text)
            case TerminalWanted(arguments) if self.phase is Phase.STARTING:
                self._editor.request("runInTerminal", arguments, self._terminal_opened)
            case LauncherGone(status) if self.phase is Phase.RUNNING:
                how = "" if status is None else f" with status {status}"
                self._over(status, f"devlaunch ended{how} before the app could start")
            case KeeperGone(reason) if self.phase is Phase.RUNNING and not self._is_launch:
                why = f"{self._where}: {reason or 'it closed the connection'}"
                self._over(None, f"{why}\nis that a devlaunch --debug-attach?")
            case (
                KeeperConnected()
                | KeeperSaid()
                | KeeperGone()
                | StartFailed()
                | TerminalWanted()
                | LauncherGone()
            ):
                pass  # of a start that failed or was given up
            case _:
                raise StateError(f"the proxy has no use for {event!r}")

    # --- the editor -----------------------------------------------------------------------------

    def _editor_said(self, message: Message) -> None:
        self._editor.receive(message)
        if message["type"] == "request":
            self._on_request(message)

    def _on_request(self, request: Message) -> None:
        command = request["command"]
        if command == "initialize":
            self._initialize(request)
        elif command in ("launch", "attach"):
            self._begin(request)
        elif command == "disconnect":
            self._disconnect(request)
        elif self.phase is Phase.STARTING:
            pass  # it is passed on when there is a keeper
        elif self.phase is Phase.RUNNING:
            self._is_stopping |= command == "terminate"
            self._forward(request)
        elif self.phase is Phase.ENDED:
            self._editor.fail(request, OVER)
        else:
            text = f"{command!r} is not possible before 'launch' or 'attach'."
            self._editor.fail(request, text)

    def _initialize(self, request: Message) -> None:
        if self.phase is not Phase.CONNECTED:
            self._editor.fail(request, "This session is initialized already.")
            return
        self._advance("initialize")
        self._initialize_arguments = arguments_of(request)
        self._editor.respond(request, CAPABILITIES)

    def _begin(self, request: Message) -> None:
        command, arguments = request["command"], arguments_of(request)
        if self.phase is not Phase.INITIALIZED:
            text = f"{command!r} is possible once only, and after 'initialize'."
            self._editor.fail(request, text)
            return
        self._advance("start")
        self.deadline = self._now + START_TIMEOUT
        self._start, self._is_launch = request, command == "launch"
        self._console = str(arguments.get("console"))
        if self._is_launch:
            can = bool(self._initialize_arguments.get("supportsRunInTerminalRequest"))
            self._actions.append(Start(arguments, can))
        else:
            self._actions.append(Connect(arguments))

    def _terminal_opened(self, response: Message) -> None:
        if not response.get("success") and self._start is not None:
            why = response.get("message") or "it gave no reason"
            self._fail_start(f"the editor could not open a terminal: {why}")

    def _disconnect(self, request: Message) -> None:
        if self.phase is Phase.RUNNING and not self._ends_with_editor(request):
            self._settle()
            self._is_leaving = True
            self.deadline = self._now + LEAVE_TIMEOUT
            left = partial(self._left, request)
            self._keeper.request("disconnect", arguments_of(request), left)
        elif self.phase is not Phase.RUNNING:
            self._cancel()
        elif not self._is_stopping:
            # A second one would cut short what the app does at its end.
            self._is_stopping = True
            self._keeper.request("terminate", {})

    def _left(self, request: Message, response: Message) -> None:
        if response.get("success"):
            self._editor.answer(request, response)  # else when all is over

    def _ends_with_editor(self, disconnect: Message) -> bool:
        """Whether the run ends when the editor disconnects.

        `terminateDebuggee: false` is for a run in a terminal: elsewhere nobody would see or could
        stop what goes on.
        """
        if not self._is_launch:
            return False
        keeps = arguments_of(disconnect).get("terminateDebuggee") is False
        return not (keeps and self._console in TERMINALS)

    # --- the keeper -----------------------------------------------------------------------------

    def _keeper_connected(self, pid: int, where: str) -> None:
        assert self._start is not None
        self._advance("connected")
        self._where = where
        self.deadline = None if self._is_launch else self._now + ANSWER_TIMEOUT
        arguments = arguments_of(self._start)
        self._keeper.request("initialize", self._initialize_arguments)
        attach = self._translate(arguments) if self._is_launch else arguments
        self._keeper.request("attach", attach, partial(self._started, self._start))
        for request in self._editor.owed:
            if request is not self._start:
                self._on_request(request)
        if self._is_launch and arguments.get("noDebug"):
            body = {"name": "devlaunch", "systemProcessId": pid, "isLocalProcess": True}
            self._editor.event("process", {**body, "startMethod": "launch"})

    def _keeper_said(self, message: Message) -> None:
        if not self._is_launch and not self._is_leaving:
            self.deadline = None  # it answers
        self._keeper.receive(message)
        if message["type"] == "event":
            self._on_event(message)
        elif message["type"] == "request":
            answer = partial(self._keeper.answer, message)
            self._editor.request(message["command"], arguments_of(message), answer)

    def _started(self, request: Message, response: Message) -> None:
        """The keeper has answered what became of `launch` or `attach`."""
        if self._is_launch and response.get("success") and not self._is_leaving:
            self._launched = response
            self.deadline = self._now + SETTLE_TIMEOUT
        elif self._exit is None:  # else `launch` fails when all output was read
            self._start = None
            self._editor.answer(request, response)

    def _settle(self) -> None:
        """The launch cannot fail any more."""
        if self._launched is not None and self._start is not None:
            self._editor.answer(self._start, self._launched)
            self._start = self._launched = self.deadline = None

    def _on_event(self, event: Message) -> None:
        name, body = event["event"], body_of(event)
        match name:
            case _ if name == FAILED:
                self._launcher_failed(str(body.get("message")))
            case _ if name == STARTED:
                self._settle()
            case "exited" if self._is_launch:
                self._exit = body  # told when all output was read
            case "terminated" if self._is_launch:
                self._keeper.request("disconnect", {})  # the editor's comes at the very end
            case "process" if self._is_launch:
                self._editor.event(name, {**body, "startMethod": "launch"})
            case _:
                if name == "stopped":
                    self._settle()
                self._has_terminated |= name == "terminated"
                self._editor.event(name, body)

    def _launcher_failed(self, text: str) -> None:
        if self._start is not None:
            self._fail_start(text)
        else:
            self._editor.event("output", {"category": "important", "output": text + "\n"})

    # --- the end --------------------------------------------------------------------------------

    def _fail_start(self, text: str) -> None:
        """Answer `launch` or `attach` with a failure; the editor may try again, or leave."""
        request, self._start, self._launched = self._start, None, None
        self._advance("failed")
        self.deadline = self._exit = None
        self._has_terminated = self._is_stopping = False
        if request is not None:
            error = {"id": ERROR_ID, "format": text, "showUser": True}
            failure = {"success": False, "message": text, "body": {"error": error}}
            self._editor.answer(request, failure)
        self._leave_keeper("The session could not be started.")
        self._close_if_leaving()

    def _over(self, status: int | None, text: str) -> None:
        """What was launched or attached to has gone; `text` says so if it has not begun."""
        if self._start is not None and self._launched is None:
            self._fail_start(text)
        else:
            self._finish(status)

    def _cancel(self) -> None:
        """The editor leaves, and nobody is to be waited for."""
        if self._start is not None:
            self._fail_start("cancelled by the editor")
        else:
            self._close()

    def _finish(self, status: int | None) -> None:
        """The launcher, or the connection to a keeper that is not ours, has ended."""
        self._settle()
        self._advance("ended")
        self.deadline = self._now + GOODBYE_TIMEOUT
        self._leave_keeper(OVER)
        if self._exit is not None:
            self._editor.event("exited", self._exit)
        elif self._is_launch and status is not None:
            self._editor.event("exited", {"exitCode": status})
        if not self._has_terminated:
            self._editor.event("terminated", {})
        self._close_if_leaving()

    def _leave_keeper(self, text: str) -> None:
        """Nobody answers any more, so this text does; but a goodbye waits for the end."""
        self._editor.refuse(text, but="disconnect")
        self._editor.abandon(text)
        self._keeper.abandon(text)
        self._actions.append(LeaveKeeper())

    def _close_if_leaving(self) -> None:
        if self._is_leaving or self._editor.owed:
            self._close()

    def _expire(self) -> None:
        if self.deadline is None or self.deadline > self._now:
            return
        self.deadline = None
        if self._is_leaving:
            self._cancel()
        elif self.phase is Phase.RUNNING and self._is_launch:
            self._settle()
        elif self.phase is Phase.RUNNING:
            text = f"{self._where} accepts, but does not answer"
            self._fail_start(f"{text}\nis it a devlaunch that is stopped (Ctrl-Z)?")
        elif self.phase is Phase.STARTING:
            self._fail_start(f"devlaunch was not up within {START_TIMEOUT:.0f} seconds")
        else:
            self._close()

    def _close(self) -> None:
        self._advance("closed")
        self._start = self.deadline = None
        self._leave_keeper(OVER)
        for goodbye in self._editor.owed:
            self._editor.respond(goodbye)
        self._editor.close()

    # --- helpers --------------------------------------------------------------------------------

    def _advance(self, step: str) -> None:
        following = _TRANSITIONS.get((self.phase, step))
        if following is None:
            raise StateError(f"adapter session: {step} in {self.phase.name}")
        self.phase = following

    def _forward(self, request: Message) -> None:
        answer = partial(self._editor.answer, request)
        self._keeper.request(request["command"], arguments_of(request), answer)
