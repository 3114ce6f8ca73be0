"""The Debug Adapter Protocol on the wire: a header, `Content-Length: N`, and N bytes of JSON.

Sans-IO; https://microsoft.github.io/debug-adapter-protocol/overview#base-protocol. The other side
may be anything that found the port (a browser, a scanner), so every size is bounded and the first
bytes decide: an HTTP request must never get as far as having its body, which a web page can
choose, read as a message.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from devlaunch.core.shapes import MAX_DEPTH, is_deep
from devlaunch.errors import ProtocolError
from devlaunch.events import Message

MAX_HEADER = 8 * 1024
MAX_CONTENT = 64 * 1024 * 1024
"""Of a debuggee: the repr of a large value, or what a program prints at once, is one message."""

MAX_REQUEST = 1024 * 1024
"""Of an IDE that has attached, whose largest message is text that was pasted into its console. The
worst that so many bytes can hold (`[],[],`) keeps Python's parser busy for a tenth of a second."""

MAX_FIRST = 64 * 1024
"""Of a peer that has not shown yet what it is."""

_FIELD = b"content-"  # Content-Length, or the Content-Type that old clients put before it
_HTTP = [method + b" " for method in b"GET POST PUT HEAD OPTIONS DELETE PATCH CONNECT PRI".split()]
_LENGTH = re.compile(rb"content-length:[ \t]*([0-9]{1,19})[ \t]*", re.IGNORECASE)
_TLS_HANDSHAKE = b"\x16"
_REQUIRED = {
    "request": (("seq", int), ("command", str)),
    "response": (("request_seq", int), ("command", str)),
    "event": (("event", str),),
}
"""By message type: the fields without which nothing can be done with it."""


def encode(message: Message) -> bytes:
    """Header and body in one piece, to be written by one send.

    A header that is sent on its own costs 40 ms: Nagle's algorithm holds the body back until the
    other side's delayed acknowledgement (debugpy issue 2054).
    """
    body = json.dumps(message, separators=(",", ":")).encode("ascii")
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


@dataclass(slots=True)
class Decoder:
    """Bytes in, whole messages out.

    Lives as long as its connection. After a ProtocolError the connection has to be dropped: there
    is no way to find the start of the next message.
    """

    max_content: int = MAX_CONTENT
    _buffer: bytearray = field(default_factory=bytearray)
    _length: int | None = None
    """The length of the content that comes next; None while the header is being read."""

    def receive_data(self, data: bytes) -> list[Message]:
        """Take what was read from the connection and return the messages that are complete.

        Raises ProtocolError, with a reason for people to read, when this is no DAP.
        """
        self._buffer += data
        messages: list[Message] = []
        while True:
            if self._length is None:
                self._length = self._take_header()
            if self._length is None or len(self._buffer) < self._length:
                return messages
            content = bytes(self._buffer[: self._length])
            del self._buffer[: self._length]
            self._length = None
            messages.append(_parse(content))

    def _take_header(self) -> int | None:
        _check_start(self._buffer)
        end = self._buffer.find(b"\r\n\r\n", 0, MAX_HEADER + 4)
        if end < 0:
            if len(self._buffer) > MAX_HEADER:
                raise ProtocolError(f"a header of more than {MAX_HEADER} bytes")
            return None
        header = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        length = _content_length(header)
        if length > self.max_content:
            raise ProtocolError(
                f"a message of {length} bytes, more than the {self.max_content} allowed"
            )
        return length


def _check_start(buffer: bytearray) -> None:
    """Refuse as early as possible what cannot become a header."""
    head = bytes(buffer[: len(_FIELD)])
    if not head or _FIELD.startswith(head.lower()):
        return
    for start in _HTTP:
        if head.startswith(start):
            raise ProtocolError("an HTTP request, not DAP")
        if start.startswith(head):
            return
    if head.startswith(_TLS_HANDSHAKE):
        raise ProtocolError("a TLS handshake, not DAP")
    raise ProtocolError(f"not DAP: it begins with {bytes(buffer[:40])!r}")


def _content_length(header: bytes) -> int:
    lengths = []
    for line in header.split(b"\r\n"):
        if match := _LENGTH.fullmatch(line):
            lengths.append(int(match[1]))
        elif not line.lower().startswith(b"content-type:"):
            raise ProtocolError(f"a header line that DAP does not have: {line[:60]!r}")
    if len(lengths) != 1:
        raise ProtocolError(f"a header with {len(lengths)} Content-Length fields")
    return lengths[0]


def _parse(content: bytes) -> Message:
    try:
        message = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"a message that is no JSON: {error}") from None
    if not isinstance(message, dict):
        raise ProtocolError(f"a message that is no JSON object: {content[:40]!r}")
    if is_deep(message, content):
        raise ProtocolError(f"a message that is nested more than {MAX_DEPTH} deep")
    kind = message.get("type")
    if not isinstance(kind, str) or kind not in _REQUIRED:
        raise ProtocolError(f"a message of the unknown type {kind!r:.60}")
    for name, type_ in _REQUIRED[kind]:
        if not isinstance(message.get(name), type_):
            raise ProtocolError(f"a {kind} whose {name} is {message.get(name)!r:.60}")
    return message
