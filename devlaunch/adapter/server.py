"""The adapter at work: editors on the one side, launchers and their keepers on the other.

Each connection of an editor is a session of its own, several at a time: editors open another one
for each process that the app starts (`startDebugging`), and some reuse the address of the first.
"""

from __future__ import annotations

import hmac
import os
import secrets
import signal
import socket
import sys
import threading
import time
from functools import partial

from devlaunch.adapter.attributes import keeper_arguments
from devlaunch.adapter.plan import attach_address, make_plan
from devlaunch.adapter.starting import Run
from devlaunch.adapter.stdio import Stdio
from devlaunch.dap.events import FrontConnected, MessageReceived, PeerClosed
from devlaunch.dap.framing import encode
from devlaunch.dap.messages import body_of
from devlaunch.dap.proxy import Proxy, Stage
from devlaunch.dap.sockets import DapSockets
from devlaunch.debuggers.link import HELLO, Invitation, readable
from devlaunch.errors import DevlaunchError, UsageError
from devlaunch.events import Message, SignalReceived
from devlaunch.system.listen import format_address
from devlaunch.system.loop import Loop
from devlaunch.system.spare import reason_of, working_directory

FLUSH_TIMEOUT = 10.0
"""Seconds, after the last session, for an editor to read what it has not read yet."""

MAX_AHEAD = 1024 * 1024
"""Bytes that an editor may be behind until the app has to wait with its output."""

CONNECT_TIMEOUT = 5.0
"""Seconds for a keeper to accept a connection."""

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


class Adapter:
    """All sessions of one `devlaunch adapter`. `run` returns when the last one is over."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.sockets = DapSockets(loop, self._deliver)
        self.back = self.sockets.listen_back()
        self.runs: list[Run] = []
        """Launchers that have not ended; they may outlive their sessions."""
        self._sessions: dict[int, _Session] = {}
        self._is_ending = False
        self._linger_until = 0.0
        """How long editors may read on when all is over, in monotonic seconds."""
        self.status = 0
        """The exit status: 1 when an editor was dropped that does not speak DAP."""

    @property
    def patience(self) -> float:
        """What is left of FLUSH_TIMEOUT after `run`."""
        return max(0.0, self._linger_until - time.monotonic())

    def serve(self, sock: socket.socket) -> None:
        """Serve one editor on a connected socket, and end with it."""
        self._is_ending = True
        self._open(self.sockets.add(sock))

    def listen(self, listener: socket.socket) -> None:
        """Serve every editor that connects, until a signal comes."""
        self.sockets.adopt_front(listener)

    def run(self) -> None:
        """Run until all is over. Only in the main thread."""
        self.loop.catch_signals(getattr(signal, s) for s in SIGNALS if hasattr(signal, s))
        self.loop.run(self._handle, self._deadline)
        self.sockets.close()

    def forget(self, session: _Session) -> None:
        """The session is over."""
        if self._sessions.pop(session.peer, None) is not None:
            self.sockets.close_peer(session.peer)

    def _open(self, peer: int) -> None:
        self._sessions[peer] = _Session(self, peer)

    def _deliver(self, event: object) -> None:
        match event:
            case FrontConnected(peer):
                self._open(peer)
            case MessageReceived(peer, message):
                self._received(peer, message)
            case PeerClosed(peer, reason):
                self._closed(peer, reason)

    def _received(self, peer: int, message: Message) -> None:
        if session := self._sessions.get(peer):
            session.proxy.editor_said(message)
            if session.proxy.stage is not Stage.CONNECTED:
                self.sockets.admit(peer)
        elif session := self._with_keeper(peer):
            session.keeper_said(message)
        else:
            # A launcher has to show its secret first.
            seen = str(body_of(message).get("secret")).encode("utf-8", "replace")
            for session in self._sessions.values():
                if message.get("event") == HELLO and session.awaits(seen):
                    session.met(peer)
                    return
            self.sockets.close_peer(peer)

    def _closed(self, peer: int, reason: str) -> None:
        if session := self._sessions.pop(peer, None):
            if reason:
                self.status = 1
                sys.stderr.write(f"devlaunch: error: the editor was dropped: {reason}\n")
            session.proxy.close()
        elif session := self._with_keeper(peer):
            session.keeper_gone(reason)

    def _with_keeper(self, peer: int) -> _Session | None:
        return next((each for each in self._sessions.values() if each.keeper == peer), None)

    def _handle(self, event: object) -> None:
        if isinstance(event, SignalReceived):
            if self._is_ending and not self._sessions:
                self.runs.clear()  # a second one: they end by themselves
            self._is_ending = True
            for session in list(self._sessions.values()):
                session.proxy.close()
        elif callable(event):
            event()
        now = time.monotonic()
        self.sockets.due(now)
        for session in list(self._sessions.values()):
            session.proxy.expire()
        for run in self.runs:
            run.due(now)
        self._stop_if_over()

    def _stop_if_over(self) -> None:
        self.runs = [run for run in self.runs if not run.is_over]
        if not self._is_over:
            return
        now = time.monotonic()
        self._linger_until = self._linger_until or now + FLUSH_TIMEOUT
        if not self.sockets.is_flushing or now >= self._linger_until:
            self.loop.stop()

    @property
    def _is_over(self) -> bool:
        return self._is_ending and not self._sessions and all(run.is_over for run in self.runs)

    def _deadline(self) -> float | None:
        if self._is_over:  # a callback may have ended the last one: `_handle` looks
            return self._linger_until if self.sockets.is_flushing else 0.0
        due = [self.sockets.deadline]
        due += [session.proxy.deadline for session in self._sessions.values()]
        due += [run.deadline for run in self.runs]
        return min((each for each in due if each is not None), default=None)


class _Session:
    """One editor's session: the connections and the launcher of its proxy (`dap.proxy.Host`)."""

    def __init__(self, adapter: Adapter, peer: int) -> None:
        self.peer = peer
        self.proxy = Proxy(self, keeper_arguments, time.monotonic)
        self.keeper: int | None = None
        """The connection to its keeper."""
        self._adapter = adapter
        self._secret = ""
        """By which its launcher makes itself known; empty: none is waited for."""
        self._run: Run | None = None
        self._address = ("", 0)

    # --- what has happened ----------------------------------------------------------------------

    def awaits(self, secret: bytes) -> bool:
        """Whether that is the secret of its launcher."""
        return bool(self._secret) and hmac.compare_digest(secret, self._secret.encode())

    def met(self, peer: int) -> None:
        """Its launcher has connected."""
        self._secret = ""
        self._adopt_keeper(peer)
        if self._run:
            self._run.connected()

    def keeper_said(self, message: Message) -> None:
        """The launcher's output goes before its keeper's next message."""
        if self._run:
            self._run.drain()
        self.proxy.keeper_said(message)

    def keeper_gone(self, reason: str) -> None:
        """The keeper's connection has ended."""
        self.keeper = None
        if self._run:
            self._run.drain()
        self.proxy.keeper_gone(reason)
        if self._run:
            self._run.disconnected()

    def reached(self, result: socket.socket | str) -> None:
        """The connection that `attach` asked for, or why there is none."""
        where = format_address(*self._address)
        if self.proxy.stage is not Stage.STARTING:
            if not isinstance(result, str):
                result.close()
        elif isinstance(result, str):
            text = f"no devlaunch listens on {where}: {result}"
            self.proxy.start_failed(f"{text}\nstart it with: devlaunch --debug-attach …")
        else:
            self._adopt_keeper(self._adapter.sockets.add(result))
            self.proxy.keeper_connected(where)

    def _adopt_keeper(self, peer: int) -> None:
        self._adapter.sockets.admit(peer)
        self.keeper = peer

    # --- what the proxy wants done --------------------------------------------------------------

    def tell_editor(self, message: Message) -> None:
        """One that does not keep up makes the app wait, as a slow terminal does."""
        sockets = self._adapter.sockets
        sockets.send(self.peer, encode(message))
        if self._run and sockets.unsent(self.peer) > MAX_AHEAD:
            self._run.hold()
            sockets.when_flushed(self.peer, self._run.resume)

    def tell_keeper(self, message: Message) -> None:
        """Send to the keeper, if there is one."""
        if self.keeper is not None:
            self._adapter.sockets.send(self.keeper, encode(message))

    def start(self, arguments: Message, *, can_run_in_terminal: bool) -> None:
        """Start a launcher."""
        try:
            plan = make_plan(arguments, environ=os.environ, directory=working_directory())
            if plan.terminal and not can_run_in_terminal:
                raise UsageError(
                    f"console: this editor opens no terminal for {arguments['console']}",
                    hint='use "console": "internalConsole"',
                )
            host, port = self._adapter.back
            self._secret = secrets.token_hex(32)
            self._run = Run(self._adapter.loop, plan, self.proxy)
            self._adapter.runs.append(self._run)
            is_silent = not plan.terminal
            self._run.start(Invitation(host, port, self._secret, is_silent, plan.no_debug))
        except DevlaunchError as error:
            self.proxy.start_failed(readable(error))
        except (OSError, ValueError) as error:
            self.proxy.start_failed(f"devlaunch could not start: {error}")

    def connect(self, arguments: Message) -> None:
        """Connect to a keeper that runs; in a thread, since that can take its time."""
        try:
            self._address = attach_address(arguments)
        except UsageError as error:
            self.proxy.start_failed(readable(error))
            return

        def reach() -> None:
            result: socket.socket | str
            try:
                result = socket.create_connection(self._address, CONNECT_TIMEOUT)
            except OSError as error:
                result = reason_of(error)
            except ValueError:  # UnicodeError is one
                result = "the host is not a name"
            self._adapter.loop.post(partial(self.reached, result))

        threading.Thread(target=reach, daemon=True).start()

    def leave(self) -> None:
        """Close the keeper's connection, or wait for none."""
        self._secret = ""
        peer, self.keeper = self.keeper, None
        if peer is not None:
            self._adapter.sockets.close_peer(peer)
        if self._run:
            self._run.leave()

    def close(self) -> None:
        """Close the editor's connection."""
        self._adapter.forget(self)


def serve_stdio() -> int:
    """Serve one editor on stdin and stdout, and return the exit status when all is over."""
    stdio = Stdio()
    with Loop() as loop:
        adapter = Adapter(loop)
        adapter.serve(stdio.socket)
        adapter.run()
    stdio.finish(adapter.patience)
    return adapter.status


def serve_socket(listener: socket.socket) -> None:
    """Serve editors that connect, and return when a signal has ended all."""
    with Loop() as loop:
        adapter = Adapter(loop)
        adapter.listen(listener)
        adapter.run()
