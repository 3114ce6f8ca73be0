"""The bytes of all debug connections, in the loop's thread.

`DapSockets` knows nothing of DAP but its framing.

Whoever finds a port can connect to it. A peer that was accepted is a stranger until it is admitted:
it has some seconds and some kilobytes for that, in both directions, and is closed without waiting
for it. What one peer sends costs that peer its connection at most: also if it is beyond us.

Latency: each message leaves in one send on a socket with TCP_NODELAY. pydevd writes header and
body separately without it (debugpy issue 2054), so its body waits for our acknowledgement of the
header, which the kernel delays by 40 ms unless TCP_QUICKACK asks it not to. That option does not
last (tcp(7)): it is set again after each read.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from devlaunch.dap.events import (
    BackConnected,
    ClosePeer,
    FrontConnected,
    MessageReceived,
    PeerClosed,
    SendMessage,
)
from devlaunch.dap.framing import MAX_CONTENT, MAX_FIRST, Decoder, encode
from devlaunch.dap.messages import AdmitPeer
from devlaunch.errors import ProtocolError
from devlaunch.system.loop import Loop

MAX_UNREAD = 64 * 1024 * 1024
"""Bytes that wait for a peer to read them; one that lets more pile up is dropped."""

_SPARE = {FrontConnected: 12, BackConnected: 6}
"""Descriptors that no connection may take: a reload needs some, and our debuggee one of them."""

MAX_STRANGERS = 16
"""Peers that have come in at one listener and not shown what they are. Of more the oldest goes: who
comes last may be the one that is waited for."""

STRANGER_TIMEOUT = 15.0
"""Seconds for a peer to show what it is: a handshake of two messages, on a busy machine."""

FLUSH_TIMEOUT = 10.0
"""Seconds for a peer that we close to read what it was sent before."""

_READ_SIZE = 256 * 1024
_TCP = (socket.AF_INET, socket.AF_INET6)
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)


@dataclass(slots=True, eq=False)
class _Peer:
    number: int
    sock: socket.socket
    decoder: Decoder = field(default_factory=Decoder)
    deadline: float | None = None
    """When it is closed without more ado: a stranger, or one that is closing."""
    entrance: type[FrontConnected | BackConnected] | None = None
    """Where a stranger has come in; None: it is known."""
    unsent: bytearray = field(default_factory=bytearray)
    is_blocked: bool = False
    """The kernel has not taken all of `unsent`; we wait until it takes more."""
    is_closing: bool = False
    """Nothing more is read or accepted for sending; it is closed when `unsent` is empty."""
    reason: str = ""
    """Why we have given it up."""
    on_flushed: Callable[[], None] | None = None


class DapSockets:
    """Listening sockets and connections; every call and callback is made in the loop's thread.

    `due` is to be called after `deadline`. `deliver` takes `FrontConnected`, `BackConnected`,
    `MessageReceived` and `PeerClosed`. It may call `send` and `close_peer` at once.
    """

    def __init__(self, loop: Loop, deliver: Callable[[object], None]) -> None:
        self._loop = loop
        self._deliver = deliver
        self._listeners: list[socket.socket] = []
        self._peers: dict[int, _Peer] = {}
        self._numbers = itertools.count(1)

    def adopt_front(self, listener: socket.socket) -> tuple[str, int]:
        """Accept IDEs on a socket that listens already. Returns its address."""
        return self._adopt(listener, FrontConnected)

    def listen_back(self) -> tuple[str, int]:
        """Listen for debuggees on this machine. Returns the address; raises OSError."""
        return self._adopt(socket.create_server(("127.0.0.1", 0), backlog=32), BackConnected)

    @property
    def deadline(self) -> float | None:
        """When to call `due`, in monotonic seconds."""
        deadlines = (peer.deadline for peer in self._peers.values())
        return min((each for each in deadlines if each is not None), default=None)

    def due(self, now: float) -> None:
        """Close the peers whose time is over."""
        for peer in list(self._peers.values()):
            if peer.deadline is None or peer.deadline > now:
                continue
            if peer.is_closing:
                self._remove(peer)
            else:
                self._drop(peer, f"it has not said what it is within {STRANGER_TIMEOUT:.0f} s")

    def perform(self, action: AdmitPeer | SendMessage | ClosePeer) -> None:
        """Carry out an action of the keeper."""
        match action:
            case AdmitPeer(peer, max_content):
                self.admit(peer, max_content)
            case SendMessage(peer, message):
                self.send(peer, encode(message))
            case ClosePeer(peer):
                self.close_peer(peer)

    def send(self, number: int, data: bytes) -> None:
        """Send now what the kernel takes, the rest when it can; unknown peers are ignored."""
        peer = self._peers.get(number)
        if peer is None or peer.is_closing:
            return
        limit = MAX_FIRST if peer.entrance else MAX_UNREAD
        if len(peer.unsent) + len(data) > limit:
            # Not reported from here, as we may be called for an event that is not handled yet.
            peer.reason = f"it has not read {limit} bytes that were sent to it"
            peer.unsent.clear()
            with contextlib.suppress(OSError):
                peer.sock.shutdown(socket.SHUT_RDWR)
            return
        peer.unsent += data
        if not peer.is_blocked:
            self._flush(peer)

    def admit(self, number: int, max_content: int = MAX_CONTENT) -> None:
        """The peer is no stranger, and may send messages of so many bytes."""
        peer = self._peers.get(number)
        if peer is not None and not peer.is_closing:
            peer.entrance = peer.deadline = None
            peer.decoder.max_content = max_content

    def close_peer(self, number: int) -> None:
        """Close once everything has been sent, or `FLUSH_TIMEOUT` is over; no event follows.

        A stranger is not waited for. Unknown peers are ignored.
        """
        peer = self._peers.get(number)
        if peer is None:
            return
        if peer.unsent and not peer.entrance:
            if not peer.is_closing:
                peer.is_closing, peer.deadline = True, time.monotonic() + FLUSH_TIMEOUT
            self._watch(peer)
        else:
            self._remove(peer)

    @property
    def is_flushing(self) -> bool:
        """Whether a peer that was closed has not taken all that was sent to it."""
        return any(peer.is_closing for peer in self._peers.values())

    def unsent(self, number: int) -> int:
        """How many bytes wait for this peer to read them."""
        peer = self._peers.get(number)
        return len(peer.unsent) if peer else 0

    def when_flushed(self, number: int, callback: Callable[[], None]) -> None:
        """Call back once when the peer has taken all that was sent; never if it goes before."""
        self._peers[number].on_flushed = callback

    def close(self) -> None:
        """Close everything. What the kernel would not take at once is lost."""
        for listener in self._listeners:
            self._loop.unwatch(listener)
            listener.close()
        self._listeners.clear()
        for peer in list(self._peers.values()):
            self._remove(peer)

    # --- accepting -------------------------------------------------------------------------------

    def _adopt(
        self, listener: socket.socket, connected: type[FrontConnected | BackConnected]
    ) -> tuple[str, int]:
        listener.setblocking(False)
        self._listeners.append(listener)
        self._loop.watch(listener, readable=partial(self._accept, listener, connected))
        host, port = listener.getsockname()[:2]
        return host, port

    def _accept(
        self, listener: socket.socket, connected: type[FrontConnected | BackConnected]
    ) -> None:
        sock = self._loop.accept(listener, _SPARE[connected])
        if sock is None:
            return
        number = self.add(sock)
        peer = self._peers[number]
        peer.entrance, peer.deadline = connected, time.monotonic() + STRANGER_TIMEOUT
        peer.decoder.max_content = MAX_FIRST
        strangers = [each for each in self._peers.values() if each.entrance is connected]
        if len(strangers) > MAX_STRANGERS:
            self._drop(strangers[0], "too many connections that never attach")
        self._deliver(connected(number))

    def add(self, sock: socket.socket) -> int:
        """Take a connected socket of somebody we know, and deliver its messages and its end.

        Returns its number.
        """
        sock.setblocking(False)
        if sock.family in _TCP:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = _Peer(next(self._numbers), sock)
        self._peers[peer.number] = peer
        self._watch(peer)
        return peer.number

    # --- reading and writing ---------------------------------------------------------------------

    def _watch(self, peer: _Peer) -> None:
        self._loop.watch(
            peer.sock,
            readable=None if peer.is_closing else partial(self._read, peer),
            writable=partial(self._flush, peer) if peer.is_blocked else None,
        )

    def _read(self, peer: _Peer) -> None:
        try:
            data = peer.sock.recv(_READ_SIZE)
            if _QUICKACK is not None and peer.sock.family in _TCP:
                peer.sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(peer, peer.reason)
            return
        try:
            messages = peer.decoder.receive_data(data)
        except ProtocolError as error:
            self._drop(peer, str(error))
            return
        for message in messages:
            if peer.is_closing:
                return
            try:
                self._deliver(MessageReceived(peer.number, message))
            except Exception as error:
                # A fault of ours, for which nobody but this peer has to pay.
                name = message.get("command") or message.get("event")
                self._drop(peer, f"{name!r:.60} was too much: {type(error).__name__}: {error}")
                return

    def _flush(self, peer: _Peer) -> None:
        try:
            sent = peer.sock.send(peer.unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            sent = len(peer.unsent)  # it has gone, as the next read will tell
        del peer.unsent[:sent]
        if peer.is_closing and not peer.unsent:
            self._remove(peer)
        elif peer.is_blocked != bool(peer.unsent):
            peer.is_blocked = bool(peer.unsent)
            self._watch(peer)
        if not peer.unsent and peer.on_flushed:
            callback, peer.on_flushed = peer.on_flushed, None
            callback()

    def _drop(self, peer: _Peer, reason: str) -> None:
        """A connection that ends without the keeper having asked for it."""
        self._remove(peer)
        self._deliver(PeerClosed(peer.number, reason))

    def _remove(self, peer: _Peer) -> None:
        if self._peers.pop(peer.number, None) is None:
            return
        peer.is_closing = True
        self._loop.unwatch(peer.sock)
        with contextlib.suppress(OSError):
            # Unread input would make the close a reset, which can overtake what we sent last.
            peer.sock.recv(_READ_SIZE)
        peer.sock.close()
