"""One end of a DAP connection: numbers, and one answer for each request, whatever happens."""

from __future__ import annotations

from collections import defaultdict

import pytest

from devlaunch.dap.endpoint import OVER, Endpoint
from devlaunch.events import Message


class World:
    """An endpoint and what came of it, in words.

    The other side counts from 7, and has a bad habit: all of its requests have the same number.
    """

    def __init__(self) -> None:
        self.said: list[str] = []
        self.numbers: dict[str, list[int]] = defaultdict(list)
        self.theirs: dict[str, Message] = {}
        self.sent = 0
        self.endpoint = Endpoint(self.send, lambda: self.said.append("hang up"))

    def send(self, message: Message) -> None:
        self.sent += 1
        assert message["seq"] == self.sent
        match message["type"]:
            case "event":
                self.said.append(f"event {message['event']} {message['body']}")
            case "request":
                self.numbers[message["command"]].append(message["seq"])
                self.said.append(f"ask {message['command']} {message['arguments']}")
            case "response":
                assert message["request_seq"] == 7
                self.said.append(f"answer {outcome(message)}")

    def heard(self, response: Message) -> None:
        assert response["type"] == "response"
        self.said.append(f"hear {outcome(response)}")

    def do(self, step: str) -> None:
        verb, _, what = step.partition(" ")
        getattr(self, f"do_{verb}")(what)

    def do_event(self, name: str) -> None:
        self.endpoint.event(name, {"b": 1})

    def do_ask(self, command: str) -> None:
        self.endpoint.request(command, {"a": 1}, self.heard)

    def do_tell(self, command: str) -> None:
        self.endpoint.request(command, {"a": 1})

    def do_asked(self, command: str) -> None:
        self.theirs[command] = {"seq": 7, "type": "request", "command": command}
        self.endpoint.receive(self.theirs[command])

    def do_told(self, name: str) -> None:
        self.endpoint.receive({"type": "event", "event": name})

    def do_answered(self, command: str) -> None:
        number = self.numbers[command][0] if self.numbers[command] else 99
        response = {"seq": 8, "type": "response", "request_seq": number, "command": command}
        self.endpoint.receive({**response, "success": True, "body": "its"})

    def do_respond(self, command: str) -> None:
        self.endpoint.respond(self.theirs[command])

    def do_give(self, command: str) -> None:
        self.endpoint.respond(self.theirs[command], {"b": 1})

    def do_fail(self, command: str) -> None:
        self.endpoint.fail(self.theirs[command], "why")

    def do_relay(self, command: str) -> None:
        response = {"seq": 5, "request_seq": 5, "type": "response", "command": "other"}
        self.endpoint.answer(self.theirs[command], {**response, "success": True, "x": 1})

    def do_settle(self, command: str) -> None:
        self.endpoint.settle(command, {"b": 1})

    def do_abandon(self, _: str) -> None:
        self.endpoint.abandon("gone")

    def do_refuse(self, but: str) -> None:
        self.endpoint.refuse("no", but=but or None)

    def do_lose(self, _: str) -> None:
        self.endpoint.lose()

    def do_close(self, _: str) -> None:
        self.endpoint.close()


def outcome(response: Message) -> str:
    known = {"seq", "type", "request_seq", "command", "success"}
    rest = {name: value for name, value in response.items() if name not in known}
    return f"{response['command']} {'yes' if response['success'] else 'no'} {rest}"


ASKED = ["ask a {'a': 1}"]
OURS_OVER = f"hear a no {{'message': '{OVER}'}}"
THEIRS_OVER = f"answer a no {{'message': '{OVER}'}}"


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        # What we send.
        ("event x, event y", ["event x {'b': 1}", "event y {'b': 1}"]),
        ("ask a, answered a", [*ASKED, "hear a yes {'body': 'its'}"]),
        ("tell a, answered a", ASKED),
        ("ask a, answered a, answered a", [*ASKED, "hear a yes {'body': 'its'}"]),
        ("answered a", []),
        ("told x", []),
        # What they ask.
        ("asked a, respond a", ["answer a yes {}"]),
        ("asked a, give a", ["answer a yes {'body': {'b': 1}}"]),
        ("asked a, fail a", ["answer a no {'message': 'why'}"]),
        ("asked a, relay a", ["answer a yes {'x': 1}"]),
        ("asked a, respond a, fail a", ["answer a yes {}"]),
        ("asked a, asked b, respond b, respond a", ["answer b yes {}", "answer a yes {}"]),
        # In the other side's place.
        ("ask a, settle a, answered a", [*ASKED, "hear a yes {'body': {'b': 1}}"]),
        ("ask a, settle b, answered a", [*ASKED, "hear a yes {'body': 'its'}"]),
        ("ask a, ask a, settle a", [*ASKED, *ASKED, *["hear a yes {'body': {'b': 1}}"] * 2]),
        ("ask a, abandon, answered a", [*ASKED, "hear a no {'message': 'gone'}"]),
        ("tell a, abandon, event x", [*ASKED, "event x {'b': 1}"]),
        # In ours.
        (
            "asked a, asked b, refuse, respond a",
            ["answer a no {'message': 'no'}", "answer b no {'message': 'no'}"],
        ),
        (
            "asked a, asked b, refuse a, respond a",
            ["answer b no {'message': 'no'}", "answer a yes {}"],
        ),
        ("asked , refuse", ["answer  no {'message': 'no'}"]),
        # The end.
        ("asked a, ask b, close", [
            "ask b {'a': 1}", THEIRS_OVER, "hang up", f"hear b no {{'message': '{OVER}'}}",
        ]),
        ("close, close", ["hang up"]),
        ("close, event x, asked a, respond a", ["hang up"]),
        ("close, ask a", ["hang up", OURS_OVER]),
        ("ask a, close, answered a", [*ASKED, "hang up", OURS_OVER]),
        ("ask a, lose, event x", ASKED),
        ("ask a, asked b, lose, close", [*ASKED, OURS_OVER]),
    ],
)  # fmt: skip
def test_what_comes_of_it(steps: str, said: list[str]) -> None:
    world = World()
    for step in steps.split(", "):
        world.do(step)
    assert world.said == said


def test_what_is_open() -> None:
    world = World()
    for step in ("asked a", "asked b", "ask c", "ask d"):
        world.do(step)
    assert [request["command"] for request in world.endpoint.owed] == ["a", "b"]
    assert [world.endpoint.awaits(command) for command in "acd"] == [False, True, True]
    world.do("respond a")
    world.do("answered c")
    assert [request["command"] for request in world.endpoint.owed] == ["b"]
    assert [world.endpoint.awaits(command) for command in "acd"] == [False, False, True]


@pytest.mark.parametrize("end", ["abandon", "close"])
def test_an_answer_that_ends_all(end: str) -> None:
    """Who hears of the end may ask and end once more, before others hear of the first end."""
    world = World()

    def again(_: Message) -> None:
        world.do("ask b")
        world.do("close")

    world.endpoint.request("a", {}, again)
    world.do("ask c")
    world.do(end)
    assert sorted(said for said in world.said if said.startswith("hear")) == [
        f"hear b no {{'message': '{OVER}'}}",
        f"hear c no {{'message': '{OVER}'}}",
    ]
