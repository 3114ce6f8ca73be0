"""The event loop and the control channel, with real sockets, threads and signals."""

from __future__ import annotations

import json
import select
import signal
import socket
import threading
import time
from collections.abc import Callable

import pytest
from support.limits import no_descriptors

from devlaunch.events import DeadlineReached, LogLine, SignalReceived
from devlaunch.system.channel import ControlChannel
from devlaunch.system.loop import Loop

ONE, OTHER = signal.SIGTERM, signal.SIGINT


def ignore() -> None:
    """The channel's other end has been closed."""


def run(loop: Loop, until: object, *, deadline: float | None = None) -> list[object]:
    """Run until an event equals `until`, and return all events."""
    seen: list[object] = []

    def handle(event: object) -> None:
        seen.append(event)
        if event == until:
            loop.stop()

    loop.run(handle, lambda: deadline)
    return seen


def test_events_are_handled_in_the_order_in_which_they_were_posted() -> None:
    with Loop() as loop:
        for event in "abc":
            loop.post(event)
        assert run(loop, "c") == ["a", "b", "c"]


def test_a_thread_wakes_the_loop() -> None:
    with Loop() as loop:
        thread = threading.Thread(target=loop.post, args=("from a thread",))
        thread.start()
        assert run(loop, "from a thread") == ["from a thread"]
        thread.join()


class Interrupted(socket.socket):
    """The reading end of the wakeup, with a post in the midst of what the loop does with it."""

    before: Callable[[], None] | None = None
    after: Callable[[], None] | None = None

    def recv(self, *args: int) -> bytes:
        before, self.before = self.before, None
        if before:
            before()
        data = super().recv(*args)
        after, self.after = self.after, None
        if after:
            after()
        return data


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_post_while_the_wakeup_is_read_loses_none_of_the_next(moment: str) -> None:
    theirs, writer = socket.socketpair()
    reader = Interrupted(fileno=theirs.detach())
    with Loop((reader, writer)) as loop:
        setattr(reader, moment, lambda: loop.post("in between"))
        loop.post("first")
        assert run(loop, "in between") == ["first", "in between"]
        loop.post("next")
        assert select.select([reader], [], [], 0)[0], "a byte that wakes the loop"


def test_posting_to_a_closed_loop_is_harmless() -> None:
    loop = Loop()
    loop.close()
    loop.post("late")


def test_signals_become_events_and_are_given_back() -> None:
    before = signal.getsignal(ONE)
    with Loop() as loop:
        loop.catch_signals([ONE])
        signal.raise_signal(ONE)
        assert SignalReceived(ONE) in run(loop, SignalReceived(ONE))
    assert signal.getsignal(ONE) is before


def test_a_signal_is_forgotten_that_was_caught_before() -> None:
    forgotten, kept = SignalReceived(ONE), SignalReceived(OTHER)
    with Loop() as loop:
        loop.catch_signals([forgotten.signal, kept.signal])
        loop.post("first")
        for signum in (forgotten.signal, kept.signal, forgotten.signal):
            signal.raise_signal(signum)
        for _ in range(2):
            loop.forget(forgotten.signal)
        loop.post("last")
        assert run(loop, "last") == ["first", kept, "last"]
        signal.raise_signal(forgotten.signal)
        assert run(loop, forgotten) == [forgotten]


def test_a_listener_rests_while_there_is_no_descriptor() -> None:
    with (
        Loop() as loop,
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()[:2]) as client,
    ):
        accepted: list[socket.socket | None] = []

        def readable() -> None:
            accepted.append(loop.accept(listener, spare=0))
            if accepted[-1]:
                loop.post("accepted")

        loop.watch(listener, readable=readable)
        with no_descriptors():
            for number in range(20):
                loop.post(number)
                run(loop, number)
            assert accepted[0] is None
            assert len(accepted) < 10, "it is not looked at in each round"
        seen = run(loop, "accepted")
        assert sum(isinstance(event, LogLine) for event in seen) <= 1
        sock = accepted[-1]
        assert sock is not None
        with sock:
            assert sock.getpeername() == client.getsockname()


@pytest.mark.posix("a limit of descriptors")
def test_the_last_descriptors_are_for_no_connection() -> None:
    with Loop() as loop, socket.create_server(("127.0.0.1", 0)) as listener:
        for _ in range(2):
            with socket.create_connection(listener.getsockname()[:2]) as client:
                assert loop.accept(listener, spare=1_000_000_000) is None
                assert client.recv(1) == b"", "closed at once"
        loop.post("end")
        (line, _) = run(loop, "end")
        assert isinstance(line, LogLine)
        assert line.text.startswith(
            "connections are refused: too many open files: this process may"
        )


def test_the_deadline_is_reported_when_it_has_passed() -> None:
    with Loop() as loop:
        due = time.monotonic() + 0.01
        assert run(loop, DeadlineReached(), deadline=due) == [DeadlineReached()]
        assert time.monotonic() >= due


def test_watching_and_unwatching() -> None:
    with Loop() as loop:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.send(b"x")

            def readable() -> None:
                loop.unwatch(ours)
                loop.post("readable")

            loop.watch(ours, readable=readable)
            assert run(loop, "readable") == ["readable"]
            loop.unwatch(ours)  # unknown by now: ignored
            loop.watch(ours, writable=lambda: loop.post("writable"))
            assert "writable" in run(loop, "writable")
            loop.watch(ours)  # nothing to watch for: the same as unwatch
            loop.post("end")
            assert run(loop, "end")[-1] == "end"


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_control_messages_of_any_size_go_both_ways(size: int) -> None:
    with Loop() as loop:
        ours, theirs = socket.socketpair()
        received: list[dict[str, object]] = []

        def deliver(message: dict[str, object]) -> None:
            received.append(message)
            loop.post("received")

        channel = ControlChannel(loop, ours, deliver, ignore)
        message = {"type": "note", "text": "y" * size}

        def echo() -> None:
            with theirs, theirs.makefile("rb") as lines:
                theirs.sendall(b"not json\n[1]\n" + lines.readline())

        thread = threading.Thread(target=echo)
        thread.start()
        channel.send(message)
        run(loop, "received")
        thread.join()
        channel.close()
        channel.close()
        channel.send(message)  # to nobody
        assert received == [message]


def test_what_the_child_sent_before_its_end_is_delivered_on_close() -> None:
    with Loop() as loop:
        ours, theirs = socket.socketpair()
        received: list[dict[str, object]] = []
        channel = ControlChannel(loop, ours, received.append, ignore)
        theirs.sendall(json.dumps({"type": "note", "text": "x"}).encode() + b"\n")
        theirs.close()
        channel.close()
        assert received == [{"type": "note", "text": "x"}]


NONSENSE = [
    (b"hello", "b'hello'"),
    (b"[" * 100_000, "b'[["),
    (b"\xff\xfe", "b'"),
    (b"[]", "b'[]'"),
    (b'{"type": []}', "b'"),
    (b'{"type": "whatever"}', "b'"),
    (b'{"type": "modules", "files": [5]}', "'modules' whose 'files[0]' is 5, not text"),
    (b'{"type": "modules"}', "'files' is None, not a list"),
    (b'{"type": "paused", "paused": 1}', "'paused' is 1, not true or false"),
    (b'{"type": "failed", "summary": null}', "'summary'"),
    (b'{"type": "failed", "summary": "", "line": true}', "'line' is True, not a number"),
    (b'{"type": "imports", "record": {"contexts": 1}, "avoid": []}', "'record.contexts'"),
    (
        b'{"type": "imports", "record": {"contexts": [%b]}}' % (b"[" * 150 + b"]" * 150),
        "'record.roots' is None",
    ),
    (
        b'{"type": "imports", "record": {"contexts": [%b], "roots": []}, "avoid": []}'
        % (b"[" * 150 + b"]" * 150),
        "nested too deep",
    ),
    (b'{"type": "serving"}\n{"type": "serving"}', "'serving' for the second time"),
    (b"x" * (17 * 2**20), "a line of more than 16777216 bytes"),
]


@pytest.mark.parametrize(("line", "why"), NONSENSE)
def test_what_no_child_says_is_dropped_with_a_line(line: bytes, why: str) -> None:
    with Loop() as loop:
        ours, theirs = socket.socketpair()
        said = {"type": "note", "text": "x"}
        channel = ControlChannel(loop, ours, loop.post, ignore)
        data = line + b"\n" + json.dumps(said).encode() + b"\n"
        thread = threading.Thread(target=theirs.sendall, args=(data,))
        thread.start()
        (complaint,) = [event for event in run(loop, said) if isinstance(event, LogLine)]
        thread.join()
        theirs.close()
        channel.close()
        assert why in complaint.text


def test_no_signal_is_lost_among_many_posts() -> None:
    with Loop() as loop:
        loop.catch_signals([ONE])
        for number in range(100_000):
            loop.post(number)
        signal.raise_signal(ONE)
        assert run(loop, SignalReceived(ONE))[-1] == SignalReceived(ONE)


def test_events_that_bring_about_events_do_not_keep_sockets_waiting() -> None:
    with Loop() as loop:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.send(b"x")
            loop.watch(ours, readable=loop.stop)
            loop.post("again")
            loop.run(loop.post, lambda: None)


def test_a_deadline_of_years_is_possible() -> None:
    with Loop() as loop:
        threading.Timer(0.05, loop.post, args=("end",)).start()
        assert run(loop, "end", deadline=time.monotonic() + 1e9) == ["end"]
