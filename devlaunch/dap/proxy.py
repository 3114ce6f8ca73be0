"""One session of `devlaunch adapter`: between an editor and the keeper of a launcher. Pure.

`initialize` is answered here, `launch` has a launcher started, `attach` leads to a keeper that runs
already. From then on messages pass: the editor's as they are, since the keeper answers by the
editor's numbers; the keeper's with the next number on the editor's connection, as the launcher's
output comes in between. What is left to decide is the end: it is told after the last output, and
what nobody answers any more is answered here.

Sans-IO: a `Host` carries it out, `deadline` says when to call `expire`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from typing import Protocol

from devlaunch.dap.endpoint import OVER, Endpoint
from devlaunch.dap.messages import CAPABILITIES, arguments_of, body_of
from devlaunch.events import Message

TERMINALS = {"integratedTerminal": "integrated", "externalTerminal": "external"}
"""The values of `console` that are terminals, and their names in runInTerminal."""

FAILED = "devlaunchFailed"
"""The launcher's event: it cannot start, or the target cannot be what is meant; and why."""

START_TIMEOUT = 30.0
"""Seconds in which a launcher has to be up; a terminal's shell may read long start-up files."""

ANSWER_TIMEOUT = 5.0
"""Seconds for what listens where `attach` leads to say something."""

LEAVE_TIMEOUT = 2.0
"""Seconds for the keeper to answer `disconnect`."""

GOODBYE_TIMEOUT = 1.0
"""Seconds for the editor to say `disconnect` after the end; some never do (Vimspector)."""

ERROR_ID = 1
"""DAP wants a number for each kind of error."""


class Host(Protocol):
    """The connections and the launcher of one session."""

    def tell_editor(self, message: Message) -> None:
        """Send to the editor."""

    def tell_keeper(self, message: Message) -> None:
        """Send to the keeper, if there is one."""

    def start(self, arguments: Message, *, can_run_in_terminal: bool) -> None:
        """Start a launcher with the arguments of `launch`; it may be in a terminal of the editor's.

        `keeper_connected`, `terminal_wanted` and `start_failed` say what has come of it.
        """

    def connect(self, arguments: Message) -> None:
        """Connect to the keeper that the arguments of `attach` name; results as of `start`."""

    def leave(self) -> None:
        """Close the keeper's connection, or wait for none: a launcher of ours ends then."""

    def close(self) -> None:
        """Close the editor's connection after what was sent: nothing more comes."""


class Stage(Enum):
    """How far the session has come."""

    CONNECTED = auto()
    INITIALIZED = auto()
    STARTING = auto()
    """`launch` or `attach` has been asked for, and there is no keeper yet."""
    RUNNING = auto()
    ENDED = auto()
    """The editor knows; it has a moment to say goodbye."""
    CLOSED = auto()


class Proxy:
    """The state of one session.

    `translate` makes what the keeper needs of the arguments of `launch`.
    """

    def __init__(
        self, host: Host, translate: Callable[[Message], Message], clock: Callable[[], float]
    ) -> None:
        self.stage = Stage.CONNECTED
        self.deadline: float | None = None
        """When to call `expire`, on the clock; None: not before something has happened."""
        self._host = host
        self._translate = translate
        self._clock = clock
        self._editor = Endpoint(host.tell_editor, host.close)
        self._initialize: Message = {}
        self._start: Message = {}
        """The request `launch` or `attach` that the session has begun with."""
        self._where = ""
        self._held: list[Message] = []
        """What the keeper has said of the end of a run whose output is not read yet."""
        self._told: set[str] = set()
        """Of the end: the events that the editor knows."""
        self._is_stopping = False
        """The keeper has been asked to end the run."""
        self._is_leaving = False
        """A `disconnect` is on its way to the keeper."""

    # --- the editor -----------------------------------------------------------------------------

    def editor_said(self, message: Message) -> None:
        """Take a message from the editor."""
        self._editor.receive(message)
        if message["type"] != "request":
            return
        match message["command"]:
            case "initialize" if self.stage is Stage.CONNECTED:
                self.stage, self._initialize = Stage.INITIALIZED, message
                self._editor.respond(message, CAPABILITIES)
            case "initialize":
                self._editor.fail(message, "This session is initialized already.")
            case "launch" | "attach":
                self._begin(message)
            case "disconnect":
                self._disconnect(message)
            case _ if self.stage is Stage.RUNNING:
                self._pass(message)
            case _ if self.stage is Stage.ENDED:
                self._editor.fail(message, OVER)
            case command if self.stage is not Stage.STARTING:  # else when there is a keeper
                text = f"{command!r} is not possible before 'launch' or 'attach'."
                self._editor.fail(message, text)

    def _begin(self, request: Message) -> None:
        command, arguments = request["command"], arguments_of(request)
        if self.stage is not Stage.INITIALIZED:
            text = f"{command!r} is possible once only, and after 'initialize'."
            self._editor.fail(request, text)
            return
        self.stage, self._start = Stage.STARTING, request
        self.deadline = self._clock() + START_TIMEOUT
        if self._is_launch:
            can = bool(arguments_of(self._initialize).get("supportsRunInTerminalRequest"))
            self._host.start(arguments, can_run_in_terminal=can)
        else:
            self._host.connect(arguments)

    def _pass(self, request: Message) -> None:
        if request["command"] == "launch":
            request = {**request, "arguments": self._translate(arguments_of(request))}
        self._is_stopping |= request["command"] == "terminate"
        self._host.tell_keeper(request)

    def _disconnect(self, request: Message) -> None:
        if self.stage is not Stage.RUNNING:
            self._cancel()
        elif not self._ends_with_editor(request):
            self._is_leaving = True
            self.deadline = self._clock() + LEAVE_TIMEOUT
            self._pass(request)
        elif not self._is_stopping:
            # A second one would cut short what the app does at its end.
            self._pass({"seq": 0, "type": "request", "command": "terminate"})

    def _ends_with_editor(self, disconnect: Message) -> bool:
        """Whether the run ends when the editor disconnects.

        `terminateDebuggee: false` is for a run in a terminal: elsewhere nobody would see or could
        stop what goes on.
        """
        keeps = arguments_of(disconnect).get("terminateDebuggee") is False
        is_in_terminal = arguments_of(self._start).get("console") in TERMINALS
        return self._is_launch and not (keeps and is_in_terminal)

    @property
    def _is_launch(self) -> bool:
        return bool(self._start["command"] == "launch")

    @property
    def _is_unanswered(self) -> bool:
        """Whether the editor waits to hear what has become of `launch` or `attach`."""
        return any(request is self._start for request in self._editor.owed)

    # --- what was started -----------------------------------------------------------------------

    def terminal_wanted(self, arguments: Message) -> None:
        """The editor is to start the launcher, in a terminal (arguments of runInTerminal)."""

        def opened(response: Message) -> None:
            if not response.get("success"):
                why = response.get("message") or "it gave no reason"
                self.start_failed(f"the editor could not open a terminal: {why}")

        self._editor.request("runInTerminal", arguments, opened)

    def keeper_connected(self, where: str = "") -> None:
        """The keeper can be spoken to; `where` is its address, where `attach` led to it."""
        if self.stage is not Stage.STARTING:
            return
        self.stage, self._where = Stage.RUNNING, where
        self.deadline = None if self._is_launch else self._clock() + ANSWER_TIMEOUT
        self._host.tell_keeper(self._initialize)
        for request in self._editor.owed:
            self._pass(request)

    def output_read(self, category: str, text: str) -> None:
        """The launcher or its app has written to stdout or stderr (`category`)."""
        self._editor.event("output", {"category": category, "output": text})

    def start_failed(self, text: str) -> None:
        """What `launch` or `attach` asked for cannot be had; the editor may try again, or leave."""
        if not self._is_unanswered:
            return
        self.stage, self.deadline = Stage.INITIALIZED, None
        self._is_stopping = False
        self._held.clear()
        self._told.clear()
        error = {"id": ERROR_ID, "format": text, "showUser": True}
        failure = {"success": False, "message": text, "body": {"error": error}}
        self._editor.answer(self._start, failure)
        self._leave_keeper("The session could not be started.")
        self._close_if_leaving()

    def launcher_gone(self, status: int | None) -> None:
        """The launcher has ended and all of its output was read; None: its status is unknown."""
        how = "" if status is None else f" with status {status}"
        self._over(status, f"devlaunch ended{how} before the app could start")

    # --- the keeper -----------------------------------------------------------------------------

    def keeper_said(self, message: Message) -> None:
        """Take a message from the keeper, or from the launcher before it has one."""
        if self.stage is not Stage.RUNNING:
            return  # of a start that failed or was given up
        if not self._is_launch and not self._is_leaving:
            self.deadline = None  # it answers
        name = message.get("event")
        if name == FAILED:
            self._launcher_failed(str(body_of(message).get("message")))
        elif self._is_launch and name != "output" and (self._held or name == "exited"):
            self._held.append(message)
        else:
            self._relay(message)

    def keeper_gone(self, reason: str = "") -> None:
        """The keeper's connection has ended; `reason` is why we have given it up, if we have."""
        if self.stage is Stage.RUNNING and not self._is_launch:  # else the launcher's end follows
            why = f"{self._where}: {reason or 'it closed the connection'}"
            self._over(None, f"{why}\nis that a devlaunch --debug-attach?")

    def _launcher_failed(self, text: str) -> None:
        if self._is_unanswered:
            self.start_failed(text)
        else:
            self._editor.event("output", {"category": "important", "output": text + "\n"})

    def _relay(self, message: Message) -> None:
        """Pass a message of the keeper's on; an answer only if it is still waited for."""
        match message["type"]:
            case "event":
                self._told.add(message["event"])
                self._editor.event(message["event"], body_of(message))
            case "request":
                answer = partial(self._answer, message)
                self._editor.request(message["command"], arguments_of(message), answer)
            case _:
                for request in self._editor.owed:
                    if request["seq"] == message["request_seq"]:
                        self._relay_answer(request, message)

    def _relay_answer(self, request: Message, response: Message) -> None:
        if request is self._start and not response.get("success"):
            self.start_failed(str(response.get("message")))
        else:
            self._editor.answer(request, response)

    def _answer(self, request: Message, response: Message) -> None:
        """The editor has answered a request of the keeper's."""
        self._host.tell_keeper({**response, "request_seq": request["seq"]})

    # --- the end --------------------------------------------------------------------------------

    def expire(self) -> None:
        """Act on the deadline, if it has passed."""
        if self.deadline is None or self.deadline > self._clock():
            return
        self.deadline = None
        if self._is_leaving:
            self._cancel()
        elif self.stage is Stage.RUNNING:
            text = f"{self._where} accepts, but does not answer"
            self.start_failed(f"{text}\nis it a devlaunch that is stopped (Ctrl-Z)?")
        elif self.stage is Stage.STARTING:
            self.start_failed(f"devlaunch was not up within {START_TIMEOUT:.0f} seconds")
        else:
            self.close()

    def _over(self, status: int | None, text: str) -> None:
        """What was launched or attached to has gone; `text` says so if it has not begun."""
        if self.stage is not Stage.RUNNING:
            return
        if self._is_unanswered:
            self.start_failed(text)
            return
        for message in self._held:
            self._relay(message)
        self.stage, self.deadline = Stage.ENDED, self._clock() + GOODBYE_TIMEOUT
        self._leave_keeper(OVER)
        if self._is_launch and status is not None and "exited" not in self._told:
            self._editor.event("exited", {"exitCode": status})
        if "terminated" not in self._told:
            self._editor.event("terminated", {})
        self._close_if_leaving()

    def _cancel(self) -> None:
        """The editor leaves, and nobody is to be waited for."""
        if self._is_unanswered:
            self.start_failed("cancelled by the editor")
        else:
            self.close()

    def _leave_keeper(self, text: str) -> None:
        """Nobody answers any more, so this text does; but a goodbye waits for the end."""
        self._editor.refuse(text, but="disconnect")
        self._editor.abandon(text)
        self._host.leave()

    def _close_if_leaving(self) -> None:
        if self._is_leaving or self._editor.owed:
            self.close()

    def close(self) -> None:
        """End the session: the editor has gone, or has nothing to wait for."""
        self.stage, self.deadline = Stage.CLOSED, None
        self._leave_keeper(OVER)
        for goodbye in self._editor.owed:
            self._editor.respond(goodbye)
        self._editor.close()
