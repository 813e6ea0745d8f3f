"""Heads that come in pieces, and the three kinds of body, without a connection."""

from __future__ import annotations

import pytest

from gateway.http.chunked import ChunkedReader
from gateway.http.head import ResponseHeadReader
from gateway.http.message import CHUNKED, UNTIL_CLOSE, Malformed
from gateway.upstream.framing import HEAD_LIMIT, CountedBody, ResponseHeads, UnboundedBody, body_of


@pytest.fixture
def heads() -> ResponseHeads:
    heads = ResponseHeads(ResponseHeadReader())
    heads.begin(b"GET")
    return heads


def test_a_head_in_one_read(heads: ResponseHeads) -> None:
    """The head is read, and what follows it is left in `rest`."""
    response = heads.read(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
    assert response is not None
    assert (response.status, response.length, heads.rest) == (200, 3, b"abc")


def test_a_head_in_pieces_and_two_heads_in_one(heads: ResponseHeads) -> None:
    """None until the end is there; then the next head is read from `rest`."""
    assert heads.read(b"HTTP/1.1 103 Early\r\n\r") is None
    first = heads.read(b"\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert first is not None
    assert first.status == 103
    second = heads.read(heads.rest)
    assert second is not None
    assert (second.status, heads.rest) == (200, b"")


def test_nothing_is_no_head(heads: ResponseHeads) -> None:
    """An empty rest asks for more."""
    assert heads.read(b"") is None


def test_the_limit_of_a_head_is_exact(heads: ResponseHeads) -> None:
    """A head of exactly 32 KiB is read, one byte more is refused, in one read or two."""
    start, end = b"HTTP/1.1 200 OK\r\nA: ", b"\r\nB: \r\nContent-Length: 0\r\n\r\n"
    lines = b"a" * 15_000 + b"\r\nD: " + b"a" * 10_000 + b"\r\nC: "
    fill = HEAD_LIMIT - len(start) - len(lines) - len(end)
    whole = start + lines + b"a" * fill + end
    assert len(whole) == HEAD_LIMIT
    for head, fits in ((whole, True), (start + lines + b"a" * (fill + 1) + end, False)):
        for at in (0, 10, 20_000, len(head) - 1):
            heads.begin(b"GET")
            if fits:
                assert at == 0 or heads.read(head[:at]) is None
                assert heads.read(head[at:]) is not None
            else:
                with pytest.raises(Malformed) as refused:
                    _ = (at and heads.read(head[:at])), heads.read(head[at:])
                assert refused.value.status == 431


def test_garbage_is_refused_before_its_end(heads: ResponseHeads) -> None:
    """What cannot become a head is refused at once; what can is waited for."""
    for beginning in (b"H", b"HTTP/1.", b"HTTP/1.1 200 OK\r\nA: b\r\n"):
        heads.begin(b"GET")
        assert heads.read(beginning) is None
    for beginning in (b"h", b"HTTP/2", b"\r\n", b"HTTP/1.1 200 OK\n"):
        heads.begin(b"GET")
        with pytest.raises(Malformed):
            heads.read(beginning)


def test_a_counted_body() -> None:
    """Whole reads pass as they are; the excess is told apart."""
    body = CountedBody(6)
    piece = b"abc"
    assert body.feed(piece)[0] is piece
    assert not body.complete
    assert body.feed(b"defgh") == [b"def"]
    assert (body.complete, body.leftover) == (True, b"gh")


def test_a_counted_body_that_ends_with_a_read() -> None:
    """The last read fits exactly: nothing is cut, nothing is left."""
    body = CountedBody(3)
    piece = b"abc"
    assert body.feed(piece)[0] is piece
    assert (body.complete, body.leftover) == (True, b"")


def test_an_empty_counted_body() -> None:
    """Everything is excess."""
    body = CountedBody(0)
    assert body.complete
    assert body.feed(b"x") == []
    assert body.leftover == b"x"


def test_the_kinds() -> None:
    """Each `length` has its reader."""
    assert isinstance(body_of(CHUNKED), ChunkedReader)
    assert isinstance(body_of(UNTIL_CLOSE), UnboundedBody)
    assert isinstance(body_of(7), CountedBody)
    unbounded = UnboundedBody()
    assert unbounded.feed(b"a") == [b"a"]
    assert not unbounded.complete
