"""One connection of an IDE to the keeper, from its `initialize` to its `disconnect`. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

from devlaunch.core.status import StatusChanged
from devlaunch.dap.endpoint import OVER, Endpoint
from devlaunch.dap.framing import MAX_REQUEST
from devlaunch.dap.joining import Identity, is_stand_in, was_launched, without_output
from devlaunch.dap.messages import AdmitPeer, Outbox, arguments_of
from devlaunch.dap.recording import Recording, is_recorded
from devlaunch.events import ConsoleNote, Message


class SessionPhase(Enum):
    """How far the IDE has come with the handshake."""

    CONNECTED = auto()
    INITIALIZED = auto()
    ATTACHING = auto()
    """`initialized` has been sent; the attach is answered after `configurationDone`."""
    CONFIGURED = auto()
    OVER = auto()
    """`terminated` has been sent; the IDE may say goodbye."""


LAUNCH_TIMEOUT = 5.0
"""Seconds that `launch` waits for the app to be imported, so that a target which does not exist is
a launch that failed. Longer, and editors give up (dape after 10)."""

_HANDSHAKE = {
    (SessionPhase.CONNECTED, "initialize"): SessionPhase.INITIALIZED,
    (SessionPhase.INITIALIZED, "attach"): SessionPhase.ATTACHING,
    (SessionPhase.ATTACHING, "configurationDone"): SessionPhase.CONFIGURED,
}

_BODIES_WITHOUT_DEBUGGEE: dict[str, Message] = {
    "threads": {"threads": []},
    "modules": {"modules": [], "totalModules": 0},
    "continue": {"allThreadsContinued": True},
}

_NOT_INHERITED = {
    *("connect", "host", "port", "listen", "processId"),
    *("name", "request", "restart", "preLaunchTask", "postDebugTask"),
    *("args", "processName", "pythonArgs"),
}

NOT_RUNNING = "The app is not running; it waits for a change."
CHANGING = "The app is starting or stopping; try again in a moment."

_UNSPECIFIED = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}


@dataclass(slots=True, eq=False)
class Session:
    """What one IDE connection has asked for, and the debuggee that it sees at present."""

    peer: int
    outbox: Outbox
    ide: Endpoint
    identity: Identity | None = None
    """Who we are for the IDE's own adapter, when the IDE reaches us through one."""
    has_launched: bool = False
    """The IDE has started this run, and says `launch`."""
    phase: SessionPhase = SessionPhase.CONNECTED
    initialize_arguments: Message = field(default_factory=dict)
    attach_request: Message = field(default_factory=dict)
    recording: Recording = field(default_factory=Recording)
    configuration_deadline: float | None = None
    """When `configurationDone` is answered at the latest."""
    launch_deadline: float | None = None
    """When `launch` is answered at the latest."""
    goodbye_deadline: float | None = None
    """When the connection is closed after the end of the session."""
    adopts: bool = True
    """It attaches to processes that the app starts, as far as we know, so that they wait for it."""
    _has_entered: bool = False
    """It has been given a child."""

    @property
    def name(self) -> str:
        """The IDE's name for itself, fit for a terminal."""
        for key in ("clientName", "clientID"):
            if value := self.initialize_arguments.get(key):
                return "".join(filter(str.isprintable, str(value)))[:60]
        return "a debug client"

    @property
    def attach_arguments(self) -> Message:
        """The arguments of its `attach`."""
        return arguments_of(self.attach_request)

    @property
    def debuggee_arguments(self) -> Message:
        """The same, as far as a debuggee is concerned."""
        # debugpy's launcher reads the output of all processes below it.
        return without_output(self.attach_arguments) if self.ends_the_run else self.attach_arguments

    @property
    def is_stand_in(self) -> bool:
        """Whether there is no IDE behind it, but its adapter only."""
        return self.identity is not None and is_stand_in(self.initialize_arguments)

    @property
    def ends_the_run(self) -> bool:
        """Whether its end is meant for everything that the IDE has started."""
        return self.identity is not None and was_launched(self.attach_arguments)

    @property
    def is_attached(self) -> bool:
        """Whether the IDE has attached, configured or not."""
        return self.phase in (SessionPhase.ATTACHING, SessionPhase.CONFIGURED)

    @property
    def is_configured(self) -> bool:
        """Whether the IDE has sent its breakpoints and expects events."""
        return self.phase is SessionPhase.CONFIGURED

    def take_entry(self) -> bool:
        """It is given a child: whether that one may stop on entry, as the first one."""
        is_first, self._has_entered = not self._has_entered, True
        return is_first

    def advance(self, command: str) -> bool:
        """Take a step of the handshake; False when `command` is not what comes next."""
        following = _HANDSHAKE.get((self.phase, command))
        if following is None:
            return False
        self.phase = following
        return True

    def begin(self, attach_request: Message) -> None:
        """Take the attach, and tell the IDE that it may configure."""
        self.advance("attach")
        self.outbox.add(AdmitPeer(self.peer, MAX_REQUEST))
        self.attach_request = attach_request
        if self.identity:
            # `initialized` is the adapter's to send, and after this.
            self.ide.respond(attach_request)
        else:
            self.ide.event("initialized", {})

    def answer_configuration(self) -> None:
        """Answer `configurationDone`, and `attach` if it still waits for that."""
        self.configuration_deadline = None
        self.launch_deadline = self.outbox.now + LAUNCH_TIMEOUT if self.has_launched else None
        self._respond("attach", "configurationDone")

    def answer_launch(self) -> None:
        """The launch cannot fail any more."""
        if self.launch_deadline is not None:
            self.launch_deadline = None
            self._respond("launch")

    def _respond(self, *commands: str) -> None:
        for request in reversed(self.ide.owed):
            if request["command"] in commands:
                self.ide.respond(request)

    def finish(self, until: float) -> None:
        """Tell the IDE that the session is over; it has some time to say `disconnect`."""
        self.phase, self.goodbye_deadline = SessionPhase.OVER, until
        self.say_over()

    def say_over(self) -> None:
        """Tell the IDE that the session is over, after an answer to all that it still waits for."""
        self.ide.refuse(OVER)
        self.ide.event("terminated", {})

    def show(self, what: ConsoleNote | StatusChanged | None) -> None:
        """Show a line in the IDE's console, or the status if the IDE has asked for that."""
        match what:
            case _ if not self.is_configured:
                pass
            case ConsoleNote(text):
                self.ide.event("output", {"category": "console", "output": text + "\n"})
            case StatusChanged() if self._wants_status:
                self.ide.event("devlaunchState", what.body)

    @property
    def _wants_status(self) -> bool:
        # Before the attach is answered an app that serves cannot be relied on to break.
        is_answered = self.configuration_deadline is None
        return is_answered and self.attach_arguments.get("stateEvents") is True

    def answer_alone(self, request: Message, why: str) -> None:
        """Answer what a debuggee would have to answer. `why` there is none is a sentence."""
        command = request["command"]
        if is_recorded(command):
            self.ide.respond(request, self.recording.pending(command, arguments_of(request)))
        elif command in _BODIES_WITHOUT_DEBUGGEE:
            self.ide.respond(request, _BODIES_WITHOUT_DEBUGGEE[command])
        else:
            self.ide.fail(request, why)

    def grandchild_configuration(self, pid: int, endpoint: tuple[str, int]) -> Message:
        """What the IDE is told, so that it opens a session for a process started by the app.

        Its own configuration, made over as debugpy's adapter does it (`notify_of_subprocess` in
        debugpy/adapter/clients.py). How the IDE reached us goes before our own idea of the address:
        there may be a forwarded port in between.
        """
        attach = self.attach_arguments
        connect = attach.get("connect")
        host, port = endpoint
        return {
            **{name: value for name, value in attach.items() if name not in _NOT_INHERITED},
            "name": f"Subprocess {pid}",
            "subProcessId": pid,
            "connect": {
                "host": attach.get("host") or _UNSPECIFIED.get(host, host),
                "port": attach.get("port") or port,
                **(connect if isinstance(connect, dict) else {}),
            },
        }
