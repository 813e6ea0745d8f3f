"""UpstreamConnection against every way in which bytes can arrive, be wrong, or be missing."""

from __future__ import annotations

import ssl

import pytest

from gateway.errors import UpstreamFault
from tests.kit.transport import Running, splits
from tests.kit.upstream import Answer, Wire
from tests.upstream.bad_responses import BAD, LYING

OK = b"HTTP/1.1 200 OK\r\n"
GOOD: dict[str, bytes] = {
    "counted": OK + b"Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello",
    "empty": OK + b"Content-Length: 0\r\n\r\n",
    "no reason": b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok",
    "not modified": b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nContent-Length: 99\r\n\r\n',
    "chunked": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6; a=b\r\n world\r\n0\r\n\r\n",
    "trailers": OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nA: b\r\nC: d\r\n\r\n",
    "empty chunked": OK + b"Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n",
    "early hints": b"HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 103 Early\r\nLink: a\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\nx",
    "line ends in the body": OK + b"Content-Length: 12\r\n\r\n\r\n\r\n\n\nHTTP/1",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc",
}  # fmt: skip
UNTIL_CLOSE = OK + b"Server: o\r\n\r\nto the end"


def converse(pieces: list[bytes], *, end: bool = False) -> tuple[Wire, Running]:
    wire = Wire()
    asked = wire.ask()
    wire.transport.feed(*pieces)
    if end:
        wire.transport.end()
    return wire, asked


def word(asked: Running) -> str:
    assert isinstance(asked.error, UpstreamFault), asked.error
    return asked.error.cause.word


@pytest.mark.parametrize("name", GOOD)
def test_every_split_gives_the_same_answer(name: str) -> None:
    """However the network cuts a response, the answer is the same and the connection stays fit for use."""
    _, whole = converse([GOOD[name]])
    assert isinstance(whole.value, Answer)
    for pieces in splits(GOOD[name]):
        wire, asked = converse(pieces)
        assert asked.value == whole.value, pieces
        assert wire.connection.reusable
        assert not wire.transport.is_closing()


def test_every_split_of_a_close_delimited_response() -> None:
    """The same for a body that ends with the connection."""
    for pieces in splits(UNTIL_CLOSE):
        wire, asked = converse(pieces, end=True)
        assert asked.value.body == b"to the end", pieces
        assert not wire.connection.reusable


@pytest.mark.parametrize("name", GOOD)
def test_a_close_at_every_byte_is_a_failure_of_its_kind(name: str) -> None:
    """Before the first byte: closed_before_head. After it and before the last: response_incomplete. Never a success."""
    response = GOOD[name]
    for at in range(len(response)):
        wire, asked = converse([response[:at]] if at else [], end=True)
        assert word(asked) == ("response_incomplete" if at else "closed_before_head"), at
        assert asked.error.sent is True  # type: ignore[union-attr]
        wire.loop.run()
        assert wire.lost == 1
        assert len(wire.sweep) == 0


@pytest.mark.parametrize("name", GOOD)
def test_a_reset_at_every_byte_is_the_same_failure(name: str) -> None:
    """A reset tells no more than a close."""
    response = GOOD[name]
    for at in range(len(response)):
        wire, asked = converse([response[:at]] if at else [])
        wire.transport.lose(ConnectionResetError("reset by peer"))
        assert word(asked) == ("response_incomplete" if at else "closed_before_head"), at


def test_a_tls_alert_instead_of_a_response() -> None:
    """An origin that wanted a client certificate says so only now (TLS 1.3): a TLS failure, not a lost response."""
    wire, asked = converse([])
    wire.transport.lose(ssl.SSLError(1, "tlsv13 alert certificate required"))
    assert word(asked) == "tls_failed"


@pytest.mark.parametrize("name", BAD)
def test_a_bad_response_fails_whole_and_split(name: str) -> None:
    """Each is refused with its cause in one piece, in two, and byte by byte; the connection is cut, never reused."""
    response, expected = BAD[name]
    every = splits(response) if len(response) < 300 else iter([[response], [response[:100], response[100:]]])
    for pieces in every:
        wire, asked = converse(pieces, end=expected == "response_incomplete")
        assert word(asked) == expected, pieces
        assert wire.transport.is_closing()
        assert not wire.connection.reusable
        assert not wire.connection.open
        wire.loop.run()
        assert wire.lost == 1


@pytest.mark.parametrize("name", LYING)
def test_a_lie_behind_the_response_is_never_the_next_answer(name: str) -> None:
    """The framed part is delivered; wherever the excess is cut, it closes the connection."""
    response, body = LYING[name]
    for pieces in splits(response):
        wire, asked = converse(pieces)
        assert asked.value.body == body, pieces
        if wire.connection.reusable:  # the excess has not come yet
            raise AssertionError(pieces)
        assert not wire.connection.open


def test_there_are_many() -> None:
    """The corpus only grows."""
    assert len(BAD) + len(LYING) >= 100
