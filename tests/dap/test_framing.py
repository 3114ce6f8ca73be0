"""The wire format: what is read, however it is cut up, and what is refused with which words."""

from __future__ import annotations

import json

import pytest

from devlaunch.core.shapes import MAX_DEPTH
from devlaunch.dap.framing import MAX_CONTENT, MAX_HEADER, Decoder, encode
from devlaunch.errors import ProtocolError

EVENT = {"type": "event", "event": "output", "body": {"output": "ä €\n\U0001f600"}}
REQUEST = {"seq": 1, "type": "request", "command": "threads"}


def receive_in_pieces(data: bytes, size: int):
    decoder = Decoder()
    return [
        message
        for start in range(0, len(data), size)
        for message in decoder.receive_data(data[start : start + size])
    ]


def frame(content: bytes, header: bytes = b"Content-Length: %d") -> bytes:
    return header % len(content) + b"\r\n\r\n" + content


def test_what_is_encoded_can_be_decoded():
    assert Decoder().receive_data(encode(EVENT) + encode(REQUEST)) == [EVENT, REQUEST]


def test_length_counts_bytes_not_characters():
    header, body = encode(EVENT).split(b"\r\n\r\n")
    assert header == b"Content-Length: %d" % len(body)


@pytest.mark.parametrize(
    ("depth", "is_taken"), [(50, True), (MAX_DEPTH + 1, False), (980, False), (100_000, False)]
)
def test_nesting_is_limited_to_what_others_can_read(depth, is_taken):
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        nested = opening * depth + b"1" + closing * depth
        content = b'{"type": "event", "event": "x", "body": [[], %b]}' % nested
        if is_taken:
            assert encode(Decoder().receive_data(frame(content))[0])
        else:
            with pytest.raises(ProtocolError, match=r"nested|no JSON"):
                Decoder().receive_data(frame(content))


def test_lone_surrogates_survive():
    message = {"type": "event", "event": "output", "body": {"output": "\udcff"}}
    assert Decoder().receive_data(frame(json.dumps(message).encode())) == [message]
    assert encode(message)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
def test_any_cut_gives_the_same_messages(size):
    data = encode(EVENT) + encode(REQUEST) + encode(EVENT)
    assert receive_in_pieces(data, size) == [EVENT, REQUEST, EVENT]


def test_a_message_comes_as_soon_as_it_is_complete():
    decoder = Decoder()
    data = encode(REQUEST)
    assert decoder.receive_data(data[:-1]) == []
    assert decoder.receive_data(data[-1:] + b"Content-Le") == [REQUEST]


@pytest.mark.parametrize(
    "header",
    [
        b"content-length:%d",
        b"CONTENT-LENGTH:   %d ",
        b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length: %d",
        b"Content-Length: %d\r\nContent-Type: x",
    ],
)
def test_header_variants(header):
    assert Decoder().receive_data(frame(json.dumps(REQUEST).encode(), header)) == [REQUEST]


REFUSED = [
    (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "an HTTP request, not DAP"),
    (b"POST /x HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", "an HTTP request, not DAP"),
    (b"CONNECT a:1 HTTP/1.1\r\n", "an HTTP request, not DAP"),
    (b"\x16\x03\x01\x02\x00\x01", "a TLS handshake, not DAP"),
    (b"SSH-2.0-OpenSSH_9.6\r\n", "not DAP: it begins with b'SSH-2.0-OpenSSH_9.6"),
    (b"\x00" * 8, "not DAP"),
    (b"\r\n\r\n", "not DAP"),
    (b"Content-Length: 2\r\nX-Evil: 1\r\n\r\n{}", "does not have: b'X-Evil: 1'"),
    (b"Content-Length: -5\r\n\r\n", "does not have: b'Content-Length: -5'"),
    (b"Content-Length: 0x10\r\n\r\n", "does not have"),
    (b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n", "2 Content-Length fields"),
    (b"Content-Type: x\r\n\r\n", "0 Content-Length fields"),
    (b"Content-Length: 99999999999\r\n\r\n", "a message of 99999999999 bytes"),
    (b"Content-Length: " + b"1" * 25 + b"\r\n\r\n", "does not have"),
    (b"Content-Type: " + b"a" * MAX_HEADER, f"more than {MAX_HEADER} bytes"),
    (frame(b"{nope"), "no JSON"),
    (frame(b"\xff\xfe{}"), "no JSON"),
    (frame(b"[" * 100_000), "no JSON"),
    (frame(b""), "no JSON"),
    (frame(b"[1]"), "no JSON object: b'[1]'"),
    (frame(b'{"type": "hello"}'), "unknown type 'hello'"),
    (frame(b"{}"), "unknown type None"),
    (frame(b'{"type": ["event"]}'), "unknown type ['event']"),
    (frame(b'{"type": "event"}'), "event whose event is None"),
    (frame(b'{"type": "request", "seq": 1, "command": [1]}'), "a request whose command is [1]"),
    (frame(b'{"type": "request", "seq": "1", "command": "x"}'), "a request whose seq is '1'"),
    (frame(b'{"type": "response", "command": "x"}'), "a response whose request_seq is None"),
]


@pytest.mark.parametrize(("data", "reason"), REFUSED, ids=[str(r[0][:24]) for r in REFUSED])
@pytest.mark.parametrize("size", [1, 100_000_000])
def test_refused(data, reason, size):
    with pytest.raises(ProtocolError) as error:
        receive_in_pieces(data, size)
    if size > 1 or "it begins with" not in reason:
        assert reason in str(error.value)


def test_an_http_body_is_never_read_as_a_message():
    body = encode(REQUEST)
    decoder = Decoder()
    with pytest.raises(ProtocolError, match="HTTP"):
        decoder.receive_data(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def test_a_method_word_is_recognised_across_reads():
    decoder = Decoder()
    assert decoder.receive_data(b"OPT") == []
    with pytest.raises(ProtocolError, match="an HTTP request"):
        decoder.receive_data(b"IONS * HTTP/1.1\r\n")


def test_the_largest_message_is_taken_and_the_next_byte_is_not():
    limit = len(json.dumps(REQUEST))
    assert Decoder(max_content=limit).receive_data(frame(json.dumps(REQUEST).encode())) == [REQUEST]
    with pytest.raises(ProtocolError, match="more than"):
        Decoder(max_content=limit - 1).receive_data(frame(json.dumps(REQUEST).encode()))
    assert MAX_CONTENT == 64 * 2**20


def test_garbage_after_a_good_message_is_refused():
    with pytest.raises(ProtocolError, match="not DAP"):
        Decoder().receive_data(encode(REQUEST) + b"garbage!")
