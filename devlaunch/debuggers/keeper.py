"""The keeper at work: its sockets, where children connect their debuggers, and where IDEs do.

An IDE comes to the address that is listened on. Or devlaunch runs under an IDE's debugpy, whose
adapter takes each connection to its inner port for one of a process under pydevd: we open one, show
the launcher's tokens, say that our parent is the launcher, and are from then on the debuggee of one
child session (`dap.joining`), which to the keeper is a front like any other. A process of the app
is announced by one more, since the adapter passes no request of a debuggee on.

- *Stop* in such a session arrives as `disconnect` without `terminateDebuggee`. Its `attach` was a
  copy of what the IDE has for devlaunch: if that is a launch, all of it ends; else the app runs on,
  and the adapter announces the connection again to the next IDE. *Restart*, which debugpy's adapter
  does not have, is added by a `capabilities` event.
- *No session comes* from an IDE that opens none (Helix), or with debugpy's `--listen`, where the
  adapter says so by a handshake of its own: the app runs, and we listen besides.
- *Refused*, or a connection that ends: children no longer wait, unless `--wait-for-client` has it
  so, and we listen besides at once.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from dataclasses import dataclass, field

from devlaunch.config import Config
from devlaunch.core.detection import Detection
from devlaunch.dap.events import (
    ChildSpawned,
    ClosePeer,
    ConnectDebuggee,
    FrontJoined,
    JoinAdapter,
    NoSession,
    RunEnded,
    SendMessage,
)
from devlaunch.dap.joining import Identity, not_joined
from devlaunch.dap.keeper import Keeper
from devlaunch.dap.messages import AdmitPeer
from devlaunch.dap.sockets import DapSockets
from devlaunch.errors import DevlaunchError
from devlaunch.events import DeadlineReached, LogLine, TellChild
from devlaunch.system.channel import Message
from devlaunch.system.guardian import Guardian
from devlaunch.system.listen import bind_debug, format_address
from devlaunch.system.loop import Loop
from devlaunch.system.spare import reason_of

CONNECT_TIMEOUT = 2.0
"""Seconds for a connection to an adapter, on this machine as a rule."""

_NO_PROCESS = 2**31 - 1
"""A process id that no process has, for Windows, where there is no guardian."""


@dataclass(frozen=True, slots=True)
class IdeAdapter:
    """The adapter of the IDE that devlaunch runs under: where debuggees connect, and as whom."""

    host: str
    port: int
    identity: Identity = field(repr=False)

    @classmethod
    def of(cls, detection: Detection, guardian: Guardian) -> IdeAdapter:
        """The detected one.

        When an IDE ends what it launched, its adapter sends SIGTERM to the processes of all
        debuggees, so that the one whose id we give has to be ours, and has to know.
        """
        guardian.stand_for_debuggee()
        identity = Identity(
            pid=guardian.pid or _NO_PROCESS,
            ppid=os.getpid(),
            access_token=detection.access_token,
            client_access_token=detection.client_access_token,
        )
        return cls(detection.host, detection.port, identity)

    def connect(self) -> socket.socket:
        """A connection to it. Raises OSError."""
        return socket.create_connection((self.host, self.port), CONNECT_TIMEOUT)


class KeeperDebugging:
    """`Debugging` by a keeper: carries its actions out, posts the rest to the loop.

    With `adapter` it joins that one; else it listens, and raises DevlaunchError when the debug
    address cannot be had.
    """

    def __init__(
        self,
        config: Config,
        loop: Loop,
        debugpy_dir: str | None,
        adapter: IdeAdapter | None = None,
    ) -> None:
        self._config = config
        self._loop = loop
        self._adapter = adapter
        self._sockets = DapSockets(loop, self.tell)
        token = secrets.token_hex(32)
        self._keeper = Keeper(
            token=token,
            wait_for_client=config.wait_for_client,
            identity=adapter.identity if adapter else None,
        )
        host, port = self._sockets.listen_back()
        # The token goes over the control channel only: arguments and environments can be read.
        self._address = {"host": host, "port": port, "token": token, "debugpy": debugpy_dir}
        self._spawned_with_debugger = False
        self._is_closing = False
        self.endpoint = ("", 0)
        """Where it listens for IDEs, if it does."""
        if adapter:
            self._join(adapter.identity.pid)
            where = format_address(*self.endpoint) if self.endpoint[1] else ""
            self.rows = [("debug", where or "in the editor's debug session", "")]
        else:
            try:
                address = self._listen(*config.debug_address)
            except DevlaunchError:
                self._sockets.close()
                raise
            self.rows = [("debug", address, "attach a DAP client")]

    @property
    def deadline(self) -> float | None:
        """When to call `due`."""
        deadlines = (self._keeper.deadline, self._sockets.deadline)
        return min((each for each in deadlines if each is not None), default=None)

    def due(self, now: float) -> None:
        """Hand in the keeper's deadline if it has passed."""
        self._sockets.due(now)
        deadline = self._keeper.deadline
        if deadline is not None and deadline <= now:
            self.tell(DeadlineReached())

    def start_message(self) -> Message | None:
        """What a child that is started now has to be told; None when no debugger is wanted."""
        self._spawned_with_debugger = self._keeper.wants_debugger
        return {**self._address, "wait": True} if self._spawned_with_debugger else None

    def spawned(self, generation: int, pid: int) -> None:
        """The child that was given the last `start_message` has been started."""
        self.tell(ChildSpawned(generation, pid, debugging=self._spawned_with_debugger))

    def standby_message(self) -> Message | None:
        """The `debug` part of what a standby that is started now has to be told."""
        if self._keeper.wants_debugger and not self._keeper.has_lost_standby:
            return self._address
        return None

    def tell(self, event: object) -> None:
        """Hand an event to the keeper and carry out what it decides."""
        for action in self._keeper.handle(event, time.monotonic()):
            match action:
                case AdmitPeer() | SendMessage() | ClosePeer():
                    self._sockets.perform(action)
                case ConnectDebuggee(generation):
                    self._connect(generation)
                case JoinAdapter(pid):
                    self._join(pid)
                case NoSession(why):
                    self._listen_besides(why)
                case _:
                    self._loop.post(action)
        if self._is_closing and not self._keeper.expects_goodbye:
            self._loop.stop()

    def close(self, status: int) -> None:
        """Tell the IDE that it is over (`status` as in Popen.returncode), and close everything."""
        self._is_closing = True
        self.tell(RunEnded(status))
        if self._keeper.expects_goodbye:
            self._loop.run(lambda _: self.due(time.monotonic()), lambda: self.deadline)
        self._sockets.close()

    def _connect(self, generation: int) -> None:
        """Have the running child connect its debugger."""
        self._loop.post(TellChild(generation, {"type": "debug", **self._address}))

    # --- ways for an IDE ------------------------------------------------------------------------

    def _listen(self, host: str, port: int) -> str:
        allow_remote = self._config.allow_remote_debug
        listener = bind_debug(host, port, allow_remote=allow_remote)
        self.endpoint = self._sockets.adopt_front(listener)
        self._keeper.listens_at(*self.endpoint)
        return format_address(*self.endpoint)

    def _listen_besides(self, why: str) -> None:
        """The IDE that we have joined has no session for the app: let it attach by another way."""
        # Without a session, a debugger is wanted only when the app waits for one.
        state = "waits for one" if self._keeper.wants_debugger else "runs without a debugger"
        try:
            address = self._address_besides()
        except DevlaunchError as error:
            self._log(f"{why}: the app {state}, and nobody can attach: {error.message}")
        else:
            self._log(f"{why}: the app {state}; to debug it, attach to {address}")

    def _address_besides(self) -> str:
        host, port = self._config.debug_address
        if self.endpoint[1]:
            return format_address(*self.endpoint)
        try:
            return self._listen(host, port)
        except DevlaunchError:
            return self._listen(host, 0)

    def _join(self, pid: int) -> None:
        assert self._adapter is not None
        try:
            sock = self._adapter.connect()
        except OSError as error:
            if pid == self._adapter.identity.pid:
                self._keeper.stop_waiting()
                self._listen_besides(not_joined(reason_of(error)))
            return
        self.tell(FrontJoined(self._sockets.add(sock), pid))

    def _log(self, text: str) -> None:
        self._loop.post(LogLine(text))
