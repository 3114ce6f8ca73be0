"""Our end of a connection that speaks DAP: numbers, and one answer for every request. Pure.

An editor that waits for an answer shows a spinner for ever; one that gets two, or the answer to
another request, shows nonsense. Here is why neither happens, whoever uses an endpoint:

- *A number is given where a message leaves*, so the order of `seq` is the order on the wire, and
  who asks need not know the number by which the answer comes.
- *The first answer counts.* What was answered in the other side's place (pydevd answers some
  requests when a thread runs on, or never) may be answered by itself later: nobody hears of that.
  It is the same with ours: a request that is answered is not owed an answer any more.
- *The end is an answer.* When the other side has gone, its answers come from `settle` or `close`,
  as failures; when we go, `close` refuses what it has asked. A request after the end fails at once.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from devlaunch.events import Message

OVER = "The session has ended."


class Endpoint:
    """One connection. `send` takes what leaves; `hang_up` is called once, when we end it."""

    def __init__(
        self, send: Callable[[Message], None], hang_up: Callable[[], None] = lambda: None
    ) -> None:
        self.is_open = True
        """Whether what is sent arrives."""
        self._send = send
        self._hang_up = hang_up
        self._numbers = count(1)
        self._asked: dict[int, tuple[Message, Callable[[Message], None]]] = {}
        """By its number: a request of ours, and what to do with its answer."""
        self._owed: dict[int, Message] = {}
        """By identity, as the other side's numbers are its own affair: what it has asked."""

    # --- what we send ---------------------------------------------------------------------------

    def event(self, name: str, body: Message) -> None:
        """Tell the other side."""
        self._put({"type": "event", "event": name, "body": body})

    def request(
        self,
        command: str,
        arguments: Message,
        on_answer: Callable[[Message], None] = lambda _: None,
    ) -> None:
        """Ask the other side. `on_answer` is called once, with the response."""
        request = {"type": "request", "command": command, "arguments": arguments}
        number = self._put(request)
        if number:
            self._asked[number] = (request, on_answer)
        else:
            on_answer(_response(request, _failure(OVER)))

    def respond(self, request: Message, body: Message | None = None) -> None:
        """Answer: success."""
        self.answer(request, {"success": True, **({} if body is None else {"body": body})})

    def fail(self, request: Message, text: str) -> None:
        """Answer: failure, and why."""
        self.answer(request, _failure(text))

    def answer(self, request: Message, response: Message) -> None:
        """Answer with what somebody else has answered; nothing if that was done already."""
        if self._owed.pop(id(request), None) is not None:
            self._put(_response(request, response))

    # --- what we receive ------------------------------------------------------------------------

    def receive(self, message: Message) -> None:
        """Take any message: a response goes to who has asked, a request is owed an answer."""
        if message["type"] == "response":
            _, on_answer = self._asked.pop(message["request_seq"], (None, None))
            if on_answer is not None:
                on_answer(message)
        elif message["type"] == "request":
            self._owed[id(message)] = message

    @property
    def owed(self) -> list[Message]:
        """The other side's requests that are not answered yet, in order."""
        return list(self._owed.values())

    def awaits(self, command: str) -> bool:
        """Whether a request of ours is not answered yet."""
        return any(request["command"] == command for request, _ in self._asked.values())

    # --- the end --------------------------------------------------------------------------------

    def settle(self, command: str, body: Message) -> None:
        """Take success for the answer to all requests of this command."""
        self._settle({"success": True, "body": body}, command)

    def abandon(self, text: str) -> None:
        """No answers come any more: take failure for them."""
        self._settle(_failure(text))

    def refuse(self, text: str, *, but: str | None = None) -> None:
        """Answer all that is owed, other than one command, with a failure."""
        for request in self.owed:
            if request["command"] != but:
                self.fail(request, text)

    def lose(self) -> None:
        """The other side has gone: nothing more is sent. What was asked waits for `close`."""
        self.is_open = False

    def close(self) -> None:
        """End it, if it has not ended: what is open on either side fails."""
        self.refuse(OVER)
        if self.is_open:
            self.is_open = False
            self._hang_up()
        self.abandon(OVER)

    def _settle(self, response: Message, command: str | None = None) -> None:
        for number, (request, on_answer) in list(self._asked.items()):
            is_meant = command in (None, request["command"])
            if is_meant and self._asked.pop(number, None) is not None:
                on_answer(_response(request, response))

    def _put(self, message: Message) -> int:
        if not self.is_open:
            return 0
        message["seq"] = number = next(self._numbers)
        self._send(message)
        return number


def _failure(text: str) -> Message:
    return {"success": False, "message": text}


def _response(request: Message, response: Message) -> Message:
    asked = {"request_seq": request.get("seq", 0), "command": request["command"]}
    return {**response, "type": "response", **asked}
