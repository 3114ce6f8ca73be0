"""The bytes of debug connections: real sockets, an echo in the place of the keeper."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable

import pytest
from support.dap import DapClient
from support.wait import wait_until

from devlaunch.dap import sockets
from devlaunch.dap.events import (
    BackConnected,
    ClosePeer,
    FrontConnected,
    MessageReceived,
    PeerClosed,
    SendMessage,
)
from devlaunch.dap.framing import MAX_CONTENT, MAX_FIRST, encode
from devlaunch.dap.messages import AdmitPeer
from devlaunch.dap.sockets import FLUSH_TIMEOUT, MAX_STRANGERS, STRANGER_TIMEOUT, DapSockets
from devlaunch.system.loop import Loop

LARGE = 5 * 2**20
FULL = "a socket that is full: under wine it takes megabytes"


class Echo:
    """Collects events and does what `react` says about each, in the loop's thread."""

    def __init__(self, react: Callable[[Echo, object], None], admits: bool = True) -> None:
        self.events: list[object] = []
        self.admits = admits
        self.react = react
        self.loop = Loop()
        self.sockets = DapSockets(self.loop, self._deliver)
        self.front = self.sockets.adopt_front(socket.create_server(("127.0.0.1", 0)))
        self.thread = threading.Thread(target=self.loop.run, args=(lambda run: run(), lambda: None))
        self.thread.start()

    def _deliver(self, event: object) -> None:
        self.events.append(event)
        if self.admits and isinstance(event, FrontConnected):
            self.sockets.perform(AdmitPeer(event.peer, MAX_CONTENT))
        self.react(self, event)

    def send(self, peer: int, **message: object) -> None:
        self.sockets.perform(SendMessage(peer, {"type": "event", **message}))

    def close(self) -> None:
        self.loop.post(self.loop.stop)
        self.thread.join(10)
        self.sockets.close()
        self.loop.close()

    def wait_event(self, kind: type) -> object:
        found = wait_until(
            lambda: [event for event in self.events if isinstance(event, kind)],
            what=lambda: f"{kind} in {self.events}",
        )
        return found[-1]


@pytest.fixture
def start():
    with contextlib.ExitStack() as stack:
        yield lambda react=lambda echo, event: None, **options: stack.enter_context(
            contextlib.closing(Echo(react, **options))
        )


def test_what_was_sent_before_the_close_arrives(start):
    def answer_and_close(echo, event):
        if isinstance(event, MessageReceived):
            for _ in range(3):
                echo.send(event.peer, event="output", body={"output": "x" * LARGE})
            echo.sockets.perform(ClosePeer(event.peer))
            echo.send(event.peer, event="too late")

    echo = start(answer_and_close)
    with DapClient(*echo.front, timeout=30) as client:
        client.send_request("go")
        client.send_request("again")
        client.wait_closed()
        assert [m["event"] for m in client.messages] == ["output"] * 3
        assert {len(m["body"]["output"]) for m in client.messages} == {LARGE}
    assert [type(event) for event in echo.events] == [FrontConnected, MessageReceived]


def test_what_is_unsent_is_known_until_it_is_flushed(start):
    seen = []

    def pour(echo, event):
        match event:
            case FrontConnected(peer):
                seen.append(echo.sockets.unsent(peer))
            case MessageReceived(peer):
                for _ in range(3):  # more than the kernel takes
                    echo.send(peer, event="output", body={"output": "x" * LARGE})
                seen.append(echo.sockets.unsent(peer) > 0)
                echo.sockets.when_flushed(
                    peer, lambda: seen.append((echo.sockets.unsent(peer), "flushed"))
                )

    echo = start(pour)
    with DapClient(*echo.front, timeout=30) as client:
        client.send_request("go")
        wait_until(lambda: len(seen) == 2, what=lambda: str(seen))
        for _ in range(3):
            client.wait_event("output")
        wait_until(lambda: len(seen) == 3, what=lambda: str(seen))
        assert seen == [0, True, (0, "flushed")]


def test_a_closed_peer_is_flushing_until_it_has_read_all(start):
    def close(echo, event):
        if isinstance(event, MessageReceived):
            for _ in range(3):
                echo.send(event.peer, event="output", body={"output": "x" * LARGE})
            assert not echo.sockets.is_flushing
            echo.sockets.close_peer(event.peer)

    echo = start(close)
    with DapClient(*echo.front, timeout=30) as client:
        assert not echo.sockets.is_flushing
        client.send_request("go")
        wait_until(lambda: echo.sockets.is_flushing)
        client.wait_closed()
        wait_until(lambda: not echo.sockets.is_flushing)


@pytest.mark.posix(FULL)
def test_a_peer_that_does_not_read_is_dropped(start):
    sent = []

    def pour(echo, event):
        if isinstance(event, MessageReceived):
            for _ in range(20):
                echo.send(event.peer, event="output", body={"output": "x" * LARGE})
                sent.append(LARGE)

    echo = start(pour)
    with socket.create_connection(echo.front) as client:
        client.sendall(encode({"seq": 1, "type": "request", "command": "go"}))
        closed = echo.wait_event(PeerClosed)
    assert f"has not read {sockets.MAX_UNREAD} bytes" in closed.reason
    assert sum(sent) > sockets.MAX_UNREAD


GO = {"seq": 1, "type": "request", "command": "go"}


def later(echo: Echo, seconds: float) -> None:
    echo.loop.post(lambda: echo.sockets.due(time.monotonic() + seconds))


UNREAD = pytest.param("reads nothing", marks=pytest.mark.posix(FULL))


@pytest.mark.parametrize("what", ["a large message", UNREAD, "is silent", "is refused"])
def test_a_stranger_gets_kilobytes_and_seconds(start, what):
    def answer(echo, event):
        if isinstance(event, MessageReceived):
            for _ in range(200):
                echo.send(event.peer, event="output", body={"output": "x" * MAX_FIRST})
            if what == "is refused":
                echo.sockets.perform(ClosePeer(event.peer))

    echo = start(answer, admits=False)
    with socket.create_connection(echo.front) as client:
        client.settimeout(10)
        match what:
            case "a large message":
                client.sendall(encode({**GO, "arguments": "x" * MAX_FIRST}))
                assert client.recv(1) == b""
                assert "more than the 65536 allowed" in echo.wait_event(PeerClosed).reason
            case "reads nothing":
                client.sendall(encode(GO))
                assert "has not read 65536 bytes" in echo.wait_event(PeerClosed).reason
            case "is silent":
                echo.wait_event(FrontConnected)
                later(echo, STRANGER_TIMEOUT)
                assert client.recv(1) == b""
                assert "has not said what it is" in echo.wait_event(PeerClosed).reason
            case "is refused":
                client.sendall(encode(GO))
                echo.wait_event(MessageReceived)
                # Nobody waits until it has read that.
                wait_until(lambda: echo.sockets.deadline is None)
                assert not echo.sockets.is_flushing
    wait_until(lambda: echo.sockets.deadline is None)


def test_a_peer_that_was_admitted_has_time(start):
    echo = start()
    with DapClient(*echo.front) as client:
        echo.wait_event(FrontConnected)
        later(echo, 100 * STRANGER_TIMEOUT)
        client.send_request("go", text="x" * (2 * MAX_FIRST))
        echo.wait_event(MessageReceived)


def test_a_peer_that_is_closed_has_some_time_to_read(start):
    def close(echo, event):
        if isinstance(event, MessageReceived):
            for _ in range(3):
                echo.send(event.peer, event="output", body={"output": "x" * LARGE})
            echo.sockets.close_peer(event.peer)

    echo = start(close)
    with DapClient(*echo.front) as client:
        client.send_request("go")
        wait_until(lambda: echo.sockets.is_flushing)
        later(echo, FLUSH_TIMEOUT)
        wait_until(lambda: not echo.sockets.is_flushing)
        assert echo.sockets.deadline is None


def test_what_one_peer_sends_ends_that_peer_at_most(start):
    def fail(echo, event):
        if isinstance(event, MessageReceived) and event.message["command"] == "nonsense":
            raise KeyError("whatever")

    echo = start(fail)
    with DapClient(*echo.front) as other, DapClient(*echo.front) as client:
        client.send_request("nonsense")
        client.wait_closed()
        reason = echo.wait_event(PeerClosed).reason
        assert reason == "'nonsense' was too much: KeyError: 'whatever'"
        other.send_request("go")
        wait_until(lambda: echo.wait_event(MessageReceived).message["command"] == "go")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", ""),
        (b"Content-Length: 100\r\n\r\n{", ""),
        (b"GET / HTTP/1.0\r\n\r\n", "an HTTP request, not DAP"),
    ],
)
def test_ends_of_connections_are_reported_once_with_their_reason(start, data, reason):
    echo = start()
    with socket.create_connection(echo.front) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        client.settimeout(10)
        assert client.recv(1) == b""
    assert echo.wait_event(PeerClosed).reason == reason
    echo.loop.post(lambda: echo.send(1, event="ignored"))
    echo.loop.post(lambda: echo.sockets.close_peer(1))
    done = threading.Event()
    echo.loop.post(done.set)
    assert done.wait(10)
    assert [type(event) for event in echo.events] == [FrontConnected, PeerClosed]


def test_front_and_back_are_told_apart(start):
    echo = start()
    back: list[tuple[str, int]] = []
    echo.loop.post(lambda: back.append(echo.sockets.listen_back()))
    wait_until(lambda: back)
    with socket.create_connection(back[0]), socket.create_connection(echo.front):
        first = echo.wait_event(BackConnected)
        second = echo.wait_event(FrontConnected)
        assert back[0][0] == "127.0.0.1"
        assert first.peer != second.peer


def test_of_too_many_strangers_the_oldest_goes(start):
    """At each listener; whoever was admitted is none."""
    echo = start(admits=False)
    back: list[tuple[str, int]] = []
    echo.loop.post(lambda: back.append(echo.sockets.listen_back()))
    wait_until(lambda: back)
    with contextlib.ExitStack() as stack:

        def connected() -> list[int]:
            kinds = FrontConnected | BackConnected
            return [event.peer for event in echo.events if isinstance(event, kinds)]

        def connect(address: tuple[str, int]) -> int:
            before = connected()
            stack.enter_context(socket.create_connection(address, 10))
            return wait_until(lambda: connected()[len(before) :])[0]

        known, *fronts = [connect(echo.front) for _ in range(2)]
        echo.sockets.perform(AdmitPeer(known, MAX_CONTENT))
        backs = [connect(back[0]) for _ in range(MAX_STRANGERS)]
        fronts += [connect(echo.front) for _ in range(MAX_STRANGERS)]
        backs.append(connect(back[0]))
        closed = [event.peer for event in echo.events if isinstance(event, PeerClosed)]
        assert closed == [fronts[0], backs[0]]


def test_a_socket_that_is_bound_already(start):
    echo = start()
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    assert echo.sockets.adopt_front(listener) == address
    with socket.create_connection(address):
        echo.loop.post(lambda: None)  # select(2) knows what it was called with
        echo.wait_event(FrontConnected)


def test_ipv6(start):
    echo = start()
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 on this machine")
    host, port = echo.sockets.adopt_front(listener)
    with socket.create_connection((host, port)):
        echo.loop.post(lambda: None)
        echo.wait_event(FrontConnected)
