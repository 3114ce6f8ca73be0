"""What each way to the debugger has a standby load, and when that changes."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from functools import partial
from itertools import count
from typing import Any

import pytest

from devlaunch.config import Config, Target, TargetKind
from devlaunch.dap.events import (
    BackConnected,
    ChildSpawned,
    FrontConnected,
    MessageReceived,
    PeerClosed,
    StandbyGone,
    StandbySpawned,
)
from devlaunch.debuggers import Debugging
from devlaunch.debuggers.keeper import KeeperDebugging
from devlaunch.debuggers.link import Invitation, Link
from devlaunch.debuggers.linked import LinkedDebugging
from devlaunch.debuggers.pycharm import PycharmDebugging, by_settrace
from devlaunch.debuggers.vscode import ListeningDebugging
from devlaunch.events import (
    DebuggerReady,
    LogLine,
    ReplaceDebugging,
    RestartRequested,
    TellChild,
)
from devlaunch.system.loop import Loop

CONFIG = partial(Config, Target(TargetKind.APP, "app:app"), debug_address=("127.0.0.1", 0))
ROW = ("debug", "PyCharm", "")
IDE, CHILD, STANDBY = 1001, 1002, 1003
"""Peers that have no socket: what is sent to them is lost."""

_numbers = count(1)


@pytest.fixture
def loop() -> Iterator[Loop]:
    with Loop() as loop:
        yield loop


def say(debugging: Debugging, peer: int, **message: Any) -> None:
    debugging.tell(MessageReceived(peer, {"seq": next(_numbers), **message}))


def attach(debugging: Debugging) -> None:
    debugging.tell(FrontConnected(IDE))
    for command in ("initialize", "attach", "configurationDone"):
        say(debugging, IDE, type="request", command=command, arguments={})


def connect(debugging: Debugging, peer: int, pid: int) -> None:
    token = (debugging.standby_message() or {})["token"]
    debugging.tell(BackConnected(peer))
    for number, body in enumerate([{"clientAccessToken": token}, {"process": {"pid": pid}}], 1):
        say(debugging, peer, type="response", request_seq=number, command="", success=True,
            body=body)  # fmt: skip


@pytest.mark.parametrize("way", [KeeperDebugging, ListeningDebugging])
def test_a_standby_connects_when_a_child_would(loop: Loop, way: type[KeeperDebugging]) -> None:
    with ended(way(CONFIG(), loop, "/debugpy")) as debugging:
        assert debugging.standby_message() is None
        attach(debugging)
        message = debugging.standby_message()
        assert message
        assert message["debugpy"] == "/debugpy"
        assert "wait" not in message
        assert debugging.start_message() == {**message, "wait": True}
        debugging.tell(StandbySpawned(20))
        connect(debugging, STANDBY, 20)
        assert debugging.standby_message() == message
        debugging.tell(PeerClosed(IDE))
        assert debugging.standby_message() is None


def test_a_standby_connects_when_the_first_client_is_waited_for(loop: Loop) -> None:
    with ended(KeeperDebugging(CONFIG(wait_for_client=True), loop, None)) as debugging:
        message = debugging.standby_message()
        assert debugging.start_message() == {**(message or {}), "wait": True}


def test_asking_changes_nothing(loop: Loop) -> None:
    with ended(KeeperDebugging(CONFIG(), loop, None)) as debugging:
        assert debugging.start_message() is None
        attach(debugging)
        debugging.standby_message()
        debugging.spawned(1, 10)  # by the start message, from before the IDE came
        told = [each for each in posted(loop) if isinstance(each, TellChild)]
        assert [each.message["type"] for each in told] == ["debug"]


def test_a_standby_that_has_lost_its_connection_is_replaced(loop: Loop) -> None:
    with ended(KeeperDebugging(CONFIG(), loop, None)) as debugging:
        attach(debugging)
        debugging.spawned(1, 10)
        message = debugging.standby_message()
        debugging.tell(StandbySpawned(20))
        connect(debugging, STANDBY, 20)
        debugging.tell(PeerClosed(STANDBY))
        assert debugging.standby_message() is None
        debugging.tell(StandbyGone(20))
        assert debugging.standby_message() == message


def test_a_standby_is_promoted_by_its_pid(loop: Loop) -> None:
    with ended(KeeperDebugging(CONFIG(), loop, None)) as debugging:
        attach(debugging)
        debugging.start_message()
        debugging.tell(StandbySpawned(20))
        connect(debugging, STANDBY, 20)
        debugging.tell(ChildSpawned(1, 20, debugging=True))
        debugging.tell(StandbyGone(19))
        debugging.tell(PeerClosed(STANDBY))
        assert debugging.standby_message(), "it is a child, not a standby, that has lost it"


@pytest.mark.parametrize("no_debug", [False, True])
def test_nothing_is_loaded_with_no_debug(loop: Loop, no_debug: bool) -> None:
    ours, theirs = socket.socketpair()
    invitation = Invitation("127.0.0.1", 1, "secret", own_console=False, no_debug=no_debug)
    with theirs:
        link = Link(ours, invitation)
        with ended(LinkedDebugging(CONFIG(), loop, "/debugpy", link)) as debugging:
            attach(debugging)
            assert (debugging.standby_message() is None) is no_debug
            assert (debugging.start_message() is None) is no_debug


PYCHARM: dict[str, Any] = {"directory": "/pydevd", "setup": {"port": 1}, "port": 1, "timeout": 3}


def test_pycharms_debugger_is_loaded_when_it_has_been_of_use(loop: Loop) -> None:
    debugging = PycharmDebugging(loop, PYCHARM, ROW)
    assert debugging.standby_message() is None
    debugging.tell(StandbySpawned(20))
    debugging.tell(StandbyGone(20))
    debugging.tell(DebuggerReady(1, connected=False))
    assert debugging.standby_message() is None
    debugging.tell(DebuggerReady(2))
    expected = {"kind": "pycharm", "directory": "/pydevd"}
    assert debugging.standby_message() == expected
    debugging.tell(DebuggerReady(3, connected=False))  # the IDE is busy
    assert debugging.standby_message() == expected


def test_a_debug_servers_debugger_is_found_where_the_app_has_it(loop: Loop) -> None:
    debugging = by_settrace(loop, ("127.0.0.1", 1))
    debugging.tell(DebuggerReady(1))
    assert debugging.standby_message() == {"kind": "pycharm"}


@pytest.mark.parametrize("is_refused_later", [False, True])
def test_another_way_takes_over_when_pycharm_does_not_answer(
    loop: Loop, is_refused_later: bool
) -> None:
    first = PycharmDebugging(loop, PYCHARM, ROW, partial(KeeperDebugging, CONFIG(), loop, None))
    if is_refused_later:
        first.tell(DebuggerReady(1))
    first.tell(DebuggerReady(2, connected=False))
    first.tell(DebuggerReady(2, connected=False))
    replaced, line, restart = posted(loop)
    assert isinstance(replaced, ReplaceDebugging)
    assert isinstance(line, LogLine)
    assert "attach a DAP client" in line.text
    assert restart == RestartRequested()
    with ended(replaced.debugging) as debugging:
        debugging.tell(StandbyGone(20))  # that of the way before
        attach(debugging)
        assert "token" in (debugging.standby_message() or {})


def test_no_other_way_can_be_had(loop: Loop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = CONFIG(debug_address=taken.getsockname())
        first = PycharmDebugging(loop, PYCHARM, ROW, partial(KeeperDebugging, config, loop, None))
        first.tell(DebuggerReady(1, connected=False))
        replaced, line = posted(loop)
    assert replaced == ReplaceDebugging(None)
    assert isinstance(line, LogLine)
    assert "in use" in line.text


@contextlib.contextmanager
def ended(debugging: Debugging) -> Iterator[Debugging]:
    try:
        yield debugging
    finally:
        debugging.tell(PeerClosed(IDE))
        debugging.close(0)


def posted(loop: Loop) -> list[object]:
    """What has been posted so far."""
    found: list[object] = []

    def take(event: object) -> None:
        if event == "last":
            loop.stop()
        else:
            found.append(event)

    loop.post("last")
    loop.run(take, lambda: None)
    return found
