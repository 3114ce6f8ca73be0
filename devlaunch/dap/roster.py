"""The debuggees of a run: who has connected, the child or one of its processes. Pure.

A connection is believed when it knows the run's token; its pid says which process it is. The child
belongs to the main session, every other process to an IDE session of its own, if the IDE opens one.
A debugged process waits before its first line for its debugger, so one that no IDE attaches to is
let go. No IDE hears of the standby: its connection is parked until it is the child.
"""

from __future__ import annotations

from collections.abc import Callable

from devlaunch.dap.acceptance import refusal, takeable
from devlaunch.dap.announcing import announce, introduce
from devlaunch.dap.debuggee import UNKNOWN, Debuggee, Phase
from devlaunch.dap.events import ClosePeer, ConnectDebuggee
from devlaunch.dap.messages import Outbox, arguments_of
from devlaunch.dap.processes import ChildProcess, StandbyProcess
from devlaunch.dap.recording import is_recorded
from devlaunch.dap.session import CHANGING, NOT_RUNNING, Session
from devlaunch.events import ConsoleNote, Message

ADOPTION_TIMEOUT = 3.0
"""Seconds an IDE has to attach to a process that it was told of, and that waits for it."""

CONFIGURE_TIMEOUT = 10.0
"""Seconds that the debugger of a process which waits for it may take for the IDE's settings, and an
IDE that has attached to send them. Either has nothing else to do: what takes longer has failed."""

LAST_WORDS = 0.5
"""Seconds for the output of a process that has ended to arrive."""

LOST_AFTER = 1.0
"""Seconds after which a child that lives on without its connection is worth a line."""

OUT_OF_REACH = (
    "the app has cut its connection to devlaunch: it is debugged from its next start on"
    " (save a file, or Restart)"
)

_OF_STANDBY = 0
"""In place of a generation: the debuggee is the standby's, or of a process that it has started."""


class Roster:
    """All debuggees. `main` is the session that sees the child, set by the keeper."""

    def __init__(
        self,
        outbox: Outbox,
        *,
        token: str,
        waits_for_client: bool,
        end_session: Callable[[Session], None],
        forget_process: Callable[[int], None],
    ) -> None:
        self.endpoint: tuple[str, int] | None = None
        """At which IDEs find the processes that the child starts, when they can connect to us."""
        self.main: Session | None = None
        self.child: ChildProcess | None = None
        self.waits_for_client = waits_for_client
        """No IDE has attached yet, and the child waits for the first."""
        self._outbox = outbox
        self._token = token
        self._end_session = end_session
        self._forget_process = forget_process
        self._debuggees: dict[int, Debuggee] = {}
        self._standby: StandbyProcess | None = None
        self._lost_deadline: float | None = None

    @property
    def deadline(self) -> float | None:
        """When `expire` is due."""
        deadlines = [debuggee.deadline for debuggee in self._debuggees.values()]
        return min((d for d in [*deadlines, self._lost_deadline] if d is not None), default=None)

    @property
    def is_paused(self) -> bool:
        """Whether any debuggee holds a thread."""
        return any(debuggee.is_paused for debuggee in self._debuggees.values())

    # --- the child's life ------------------------------------------------------------------------

    def start_child(self, child: ChildProcess) -> None:
        """A new generation has been started."""
        self.end_child()
        self.child = child
        if self._standby is not None and self._standby.pid == child.pid:
            self._promote(self._standby, child)
        self.connect_child()

    def end_child(self) -> None:
        """The process of the current generation has ended, and its descendants with it."""
        if self.child is None:
            return
        for debuggee in list(self._debuggees.values()):
            if debuggee is self.child.debuggee:
                debuggee.lose()
                debuggee.deadline = self._outbox.now + LAST_WORDS
            elif debuggee.generation != self.child.generation:
                continue
            elif debuggee.phase not in UNKNOWN or not self._has_standby:
                self._drop(debuggee)
        self.child = None
        self._lost_deadline = None

    def connect_child(self) -> None:
        """Have a child that runs without its debugger connect, when an IDE wants to see it."""
        if self.main is None or self.child is None or not self.child.is_heard:
            return
        if not self.child.is_debugging:
            self.child.is_debugging = True
            # pydevd traces the running threads only a while after it has answered the replay.
            self.child.is_ready = False
            self._outbox.add(ConnectDebuggee(self.child.generation))

    def child_ready(self, generation: int) -> None:
        """The running child's debugger traces all threads; or it could not."""
        if self.child is not None and self.child.generation == generation:
            self.child.is_ready = self.child.waits_no_more = True
            self._say_goodbye(self.child.debuggee)

    def child_unheard(self, generation: int) -> None:
        """Nothing can be told to the running child any more."""
        if self.child is not None and self.child.generation == generation:
            self.child.is_heard, self.child.is_ready = False, True
            self._lost_deadline = None

    @property
    def is_changing(self) -> bool:
        """Whether the running child is not yet as the main session's IDE wants it."""
        if self.child is None:
            return False
        debuggee = self.child.debuggee
        return not self.child.is_ready or (debuggee is not None and debuggee.is_configuring)

    # --- the standby's life ----------------------------------------------------------------------

    def start_standby(self, pid: int) -> None:
        """A process has been started that may become the next child."""
        if self._standby is not None:
            self.end_standby(self._standby.pid)
        self._standby = StandbyProcess(pid=pid)
        for debuggee in self._debuggees.values():
            is_free = debuggee.phase is Phase.WAITING and debuggee.session is None
            if is_free and self._standby.is_at(debuggee):
                self._park(debuggee, self._standby)

    def end_standby(self, pid: int) -> None:
        """The standby is gone, and its descendants with it. Others are not known here."""
        if self._standby is None or self._standby.pid != pid:
            return
        self._standby.debuggee, self._standby.is_gone = None, True
        for debuggee in list(self._debuggees.values()):
            if debuggee.generation == _OF_STANDBY and debuggee.phase not in UNKNOWN:
                self._drop(debuggee)

    @property
    def has_lost_standby(self) -> bool:
        """Whether the standby lives on without its connection: it would wait for one in vain."""
        return self._standby is not None and self._standby.is_lost

    @property
    def _has_standby(self) -> bool:
        return self._standby is not None and not self._standby.is_gone

    def _park(self, debuggee: Debuggee, standby: StandbyProcess) -> None:
        debuggee.advance("parked")
        debuggee.generation = _OF_STANDBY
        standby.connect(debuggee)

    def _promote(self, standby: StandbyProcess, child: ChildProcess) -> None:
        self._standby = None
        for debuggee in self._debuggees.values():
            if debuggee.generation == _OF_STANDBY:
                debuggee.generation = child.generation
        if standby.debuggee is not None:
            standby.debuggee.advance("promoted")
            child.is_debugging = True
            self._make_child(standby.debuggee, child)
            self._settle(standby.debuggee)

    # --- all of them -----------------------------------------------------------------------------

    def let_go(self) -> None:
        """The child is about to be stopped: nothing may hold it or its processes."""
        for debuggee in self._debuggees.values():
            if debuggee.can_attach or debuggee.phase is Phase.ATTACHED:
                debuggee.let_go()

    def expire(self) -> None:
        """Act on the deadlines that have passed."""
        for debuggee in list(self._debuggees.values()):
            if not self._outbox.has_passed(debuggee.deadline):
                continue
            match debuggee.phase:
                case Phase.ATTACHED if debuggee.is_configuring:
                    self._abandon(debuggee)
                case Phase.ATTACHED:
                    debuggee.time_out()
                case Phase.WAITING:
                    if self.main is not None and not debuggee.is_child:
                        self.main.adopts = False  # no other process has to wait in vain
                    self._give_up(debuggee)
                case _:
                    self._forget(debuggee)
        if self._outbox.has_passed(self._lost_deadline):
            self._lost_deadline = None
            self._outbox.log("the app has closed its connection to the debugger, and runs on")

    def close(self) -> None:
        """Close all connections."""
        self._standby = None
        for debuggee in list(self._debuggees.values()):
            self._forget(debuggee)

    # --- connections -----------------------------------------------------------------------------

    def connected(self, peer: int) -> None:
        """Somebody has connected to the inner port."""
        if self.child is None and not self._has_standby:
            self._outbox.log("closed a debuggee's connection that nobody expects", verbose=True)
            self._outbox.add(ClosePeer(peer))
            return
        generation = self.child.generation if self.child else _OF_STANDBY
        debuggee = Debuggee(peer, generation, self._outbox)
        self._debuggees[peer] = debuggee
        introduce(debuggee, self._token, known=self._identified, refused=self._forget)

    def received(self, peer: int, message: Message) -> None:
        """A debuggee has sent a message."""
        if debuggee := self._debuggees.get(peer):
            debuggee.receive(message)

    def closed(self, peer: int, reason: str) -> None:
        """A debuggee's connection has ended."""
        debuggee = self._debuggees.get(peer)
        if debuggee is None:
            return
        debuggee.pydevd.lose()
        if reason:
            self._outbox.log(f"dropped a debuggee's connection: {reason}")
        if self.child is not None and debuggee is self.child.debuggee:
            self.child.debuggee = None
            if not debuggee.has_terminated and self.child.is_heard:
                self._lost_deadline = self._outbox.now + LOST_AFTER
        if self._standby is not None and debuggee is self._standby.debuggee:
            self._standby.debuggee = None
        self._drop(debuggee)

    def _identified(self, debuggee: Debuggee) -> None:
        child, standby = self.child, self._standby
        if child is not None and child.is_at(debuggee):
            self._make_child(debuggee, child)
            self._settle(debuggee)
        elif standby is not None and not standby.is_gone and standby.is_at(debuggee):
            self._park(debuggee, standby)
        elif standby is not None and self._is_below(standby, debuggee):
            debuggee.generation = _OF_STANDBY
            debuggee.let_go()
        elif child is not None and debuggee.generation == child.generation:
            debuggee.deadline = self._outbox.now + ADOPTION_TIMEOUT
            self._announce(debuggee)
            if self.main is not None and not self.main.adopts:
                debuggee.deadline = None  # it may attach all the same, to a process that runs
            self._settle(debuggee)
        else:
            debuggee.let_go()  # what is left of an earlier generation

    def _make_child(self, debuggee: Debuggee, child: ChildProcess) -> None:
        debuggee.is_child, debuggee.generation = True, child.generation
        child.connect(debuggee)
        self._lost_deadline = None

    def _is_below(self, standby: StandbyProcess, debuggee: Debuggee) -> bool:
        """Whether it is of a process that the standby has started, or of a standby that is gone."""
        family = [d.pid for d in self._debuggees.values() if d.generation == _OF_STANDBY and d.pid]
        return standby.pid in (debuggee.pid, debuggee.ppid) or debuggee.ppid in family

    def _drop(self, debuggee: Debuggee) -> None:
        """Settle with the IDE that a process is out of reach, and forget it."""
        session = debuggee.session
        self._forget(debuggee)
        if session is not None and not debuggee.is_child:
            self._end_session(session)

    def _forget(self, debuggee: Debuggee) -> None:
        if self._debuggees.pop(debuggee.peer, None) is not None:
            if debuggee.phase is not Phase.GONE:
                debuggee.lose()
            debuggee.pydevd.close()
            if debuggee.pid and not debuggee.is_child:
                self._forget_process(debuggee.pid)

    def seen_by(self, session: Session) -> Debuggee | None:
        """The process that an IDE session is attached to at present."""
        all_ = self._debuggees.values()
        return next((d for d in all_ if d.session is session and d.phase is Phase.ATTACHED), None)

    def ask(self, session: Session, request: Message) -> None:
        """Pass a request of an IDE that has attached to its debuggee, or answer in its place."""
        command, arguments = request["command"], arguments_of(request)
        if why := refusal(command, arguments):
            session.ide.fail(request, why)
            return
        if is_recorded(command):
            session.recording.record(command, arguments)
        debuggee = self.seen_by(session)
        if debuggee and takeable(command, arguments) is not None:
            debuggee.forward(request)
        else:
            session.answer_alone(request, CHANGING if self.child else NOT_RUNNING)

    # --- who sees whom ---------------------------------------------------------------------------

    def settle(self) -> None:
        """A session has attached, was configured, or has ended: attach and detach accordingly."""
        for debuggee in list(self._debuggees.values()):
            if debuggee.phase is Phase.WAITING and self.main is None:
                debuggee.deadline = None  # nobody is left who could attach to it
            self._settle(debuggee)

    def announce(self) -> None:
        """Tell the IDE of the processes that it may attach to, besides the child."""
        if self.child and not self.child.is_heard and not self.child.debuggee and self.main:
            self._outbox.log(OUT_OF_REACH)
            self.main.show(ConsoleNote(OUT_OF_REACH))
        for debuggee in list(self._debuggees.values()):
            if debuggee.can_attach and not debuggee.is_child and debuggee.session is None:
                self._announce(debuggee)

    def adopt(self, session: Session, pid: object) -> bool:
        """Give the process `pid`, no child, to a session; False when there is none to be had."""
        for debuggee in self._debuggees.values():
            is_free = debuggee.session is None and debuggee.can_attach
            if debuggee.pid == pid and is_free and not debuggee.is_child:
                debuggee.session = session
                is_waiting = debuggee.phase is Phase.WAITING
                debuggee.deadline = self._outbox.now + CONFIGURE_TIMEOUT if is_waiting else None
                if self.main is not None:
                    self.main.adopts = True
                return True
        return False

    def _settle(self, debuggee: Debuggee) -> None:
        session = self.main if debuggee.is_child else debuggee.session
        if session is not None and session.ide.is_open:
            if session.is_configured and debuggee.can_attach:
                is_waiting = debuggee.phase is Phase.WAITING and not self._is_running(debuggee)
                debuggee.configure(
                    session,
                    self._outbox.now + CONFIGURE_TIMEOUT if is_waiting else None,
                    stops_on_entry=debuggee.is_child and session.take_entry() and is_waiting,
                )
            elif debuggee.phase is Phase.WAITING and debuggee.deadline is None:
                debuggee.deadline = self._outbox.now + CONFIGURE_TIMEOUT
            return
        if session is not None:
            debuggee.deadline = None  # it was for this one to come
        match debuggee.phase:
            case Phase.ATTACHED:
                debuggee.detach()
                self._say_goodbye(debuggee)
            case Phase.WAITING if not self._is_kept_waiting(debuggee):
                debuggee.detach()
            case Phase.DETACHED:
                debuggee.session = None

    def _is_running(self, debuggee: Debuggee) -> bool:
        """Whether it is a child that has run before its debugger was wanted."""
        return debuggee.is_child and self.child is not None and not self.child.is_ready

    def _say_goodbye(self, debuggee: Debuggee | None) -> None:
        """Have the app know that no IDE is there, once the child waits for none any more."""
        if self.child is None or debuggee is not self.child.debuggee or debuggee is None:
            return
        if self.child.waits_no_more and debuggee.phase is Phase.DETACHED:
            debuggee.say_goodbye()

    def _is_kept_waiting(self, debuggee: Debuggee) -> bool:
        """Whether an IDE may still come for a process that waits for one."""
        return self.waits_for_client if debuggee.is_child else debuggee.deadline is not None

    def _announce(self, debuggee: Debuggee) -> None:
        announce(debuggee, self.main, self.endpoint, refused=self._give_up)

    def _give_up(self, debuggee: Debuggee) -> None:
        """No IDE comes for a process that waits for one, or has not come far enough in time."""
        session = self.main if debuggee.is_child else debuggee.session
        why = f"{session.name} has not configured it" if session else "the IDE did not attach to it"
        self._outbox.log(f"{debuggee.title} runs without the debugger: {why}")
        debuggee.detach()
        if session is not None and session is not self.main:
            self._end_session(session)

    def _abandon(self, debuggee: Debuggee) -> None:
        """Its debugger has hung up in all but name; its process goes on when we hang up, too."""
        self._outbox.log(f"{debuggee.title} runs without the debugger: it did not answer in time")
        if self.child is not None and debuggee is self.child.debuggee:
            self.child.debuggee = None
        self._drop(debuggee)
