"""The bytes of debug connections: real sockets, an echo in the place of the keeper."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

import pytest
from support.dap import DapClient
from support.wait import wait_until

from devlaunch.dap import sockets
from devlaunch.dap.framing import encode
from devlaunch.dap.sockets import DapSockets
from devlaunch.events import (
    BackConnected,
    ClosePeer,
    FrontConnected,
    MessageReceived,
    PeerClosed,
    SendMessage,
)
from devlaunch.loop import Loop

LARGE = 5 * 2**20


class Echo:
    """Collects events and does what `react` says about each, in the loop's thread."""

    def __init__(self, react: Callable[[Echo, object], None]) -> None:
        self.events: list[object] = []
        self.react = react
        self.loop = Loop()
        self.sockets = DapSockets(self.loop, self._deliver)
        self.front = self.sockets.adopt_front(socket.create_server(("127.0.0.1", 0)))
        self.thread = threading.Thread(target=self.loop.run, args=(lambda run: run(), lambda: None))
        self.thread.start()

    def _deliver(self, event: object) -> None:
        self.events.append(event)
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
        yield lambda react=lambda echo, event: None: stack.enter_context(
            contextlib.closing(Echo(react))
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


def test_a_socket_that_is_bound_already(start):
    echo = start()
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    assert echo.sockets.adopt_front(listener) == address
    with socket.create_connection(address):
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
