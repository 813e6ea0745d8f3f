"""HeadBuffer: heads in pieces, their limit, and the cost of a slow sender."""

from __future__ import annotations

import time

import pytest

from gateway.errors import Cause, ClientFault
from gateway.server.head_buffer import EMPTY_LINES, HeadBuffer
from tests.kit.transport import splits

HEAD = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
MAX = 1000


def found(buffer: HeadBuffer, *pieces: bytes, max_head: int = MAX) -> list[bytes]:
    """The heads that come out when each piece is one read, as Http1 reads them."""
    heads = []
    for now, piece in enumerate(pieces, 1):
        data = buffer.join(piece, max_head) if buffer else piece
        while data:
            pair = buffer.split(data, float(now), max_head)
            if pair is None:
                break
            heads.append(pair[0])
            data = pair[1]
    return heads


def test_a_whole_head_is_handed_through() -> None:
    """Not copied, nothing held, nothing begun."""
    buffer = HeadBuffer()
    pair = buffer.split(HEAD, 1.0, MAX)
    assert pair is not None
    assert pair[0] is HEAD
    assert (pair[1], len(buffer), buffer.begun) == (b"", 0, 0.0)


def test_however_it_is_cut() -> None:
    """The head comes out whole wherever the reads begin and end."""
    for pieces in splits(HEAD):
        buffer = HeadBuffer()
        assert found(buffer, *pieces) == [HEAD], pieces
        assert len(buffer) == 0


def test_three_in_a_row() -> None:
    """Pipelined heads come out one by one, an empty line before one is forgiven (RFC 9112 §2.2)."""
    for pieces in splits(HEAD + b"\r\n" + HEAD + HEAD):
        assert found(HeadBuffer(), *pieces) == [HEAD] * 3, pieces


def test_a_few_empty_lines_are_forgiven() -> None:
    """However they arrive; one more is a client that never asks."""
    lines = b"\r\n" * EMPTY_LINES
    for pieces in splits(lines + HEAD):
        assert found(HeadBuffer(), *pieces) == [HEAD], pieces
    for pieces in ([lines + b"\r\n" + HEAD], [lines, b"\r\n"], [b"\r\n"] * (EMPTY_LINES + 1)):
        with pytest.raises(ClientFault) as refused:
            found(HeadBuffer(), *pieces)
        assert refused.value.cause is Cause.MALFORMED_REQUEST


@pytest.mark.parametrize(
    ("hopeless", "cause"),
    [
        (b"GET / HTTP/1.1\nHost: h\n\n", Cause.MALFORMED_REQUEST),
        (b"GET /\r\n", Cause.MALFORMED_REQUEST),
        (b"GET / HTTP/2.0\r\n", Cause.VERSION_UNSUPPORTED),
        (b"GET / HTTP/1.1\r\nHost: h\r\n a", Cause.MALFORMED_REQUEST),
        (b"\x16\x03\x01", Cause.MALFORMED_REQUEST),
        (b"\r\n\n", Cause.MALFORMED_REQUEST),
    ],
)
def test_what_can_never_be_a_head(hopeless: bytes, cause: Cause) -> None:
    """Refused without its end, in whatever pieces it comes."""
    for pieces in splits(hopeless):
        with pytest.raises(ClientFault) as refused:
            found(HeadBuffer(), *pieces)
        assert refused.value.cause is cause


def test_what_was_begun_before_is_forgotten() -> None:
    """A second head that comes in pieces is judged from its own beginning."""
    buffer = HeadBuffer()
    assert found(buffer, HEAD[:20], HEAD[20:]) == [HEAD]
    buffer.begun = 0.0  # as the connection does once the head has become an exchange
    with pytest.raises(ClientFault):
        found(buffer, b"GET /", b"\x00")


def test_what_follows_a_head() -> None:
    """The rest is given back and not held: it may be a body."""
    buffer = HeadBuffer()
    assert buffer.split(HEAD + b"body", 1.0, MAX) == (HEAD, b"body")
    assert buffer.split(b"\r\n" + HEAD + b"\r\n\r\n", 1.0, MAX) == (HEAD, b"\r\n\r\n")
    assert len(buffer) == 0


def test_the_clock_of_a_head_starts_with_its_first_byte() -> None:
    """Later pieces do not put it back: against clients that drip."""
    buffer = HeadBuffer()
    assert found(buffer, HEAD[:3], HEAD[3:5], HEAD[5:9]) == []
    assert buffer.begun == 1.0


def test_the_limit_is_exact() -> None:
    """A head of `max_head` bytes passes, one byte more is too large, whole or in pieces."""
    limit = len(HEAD)
    assert found(HeadBuffer(), HEAD, max_head=limit) == [HEAD]
    assert found(HeadBuffer(), HEAD[:7], HEAD[7:], max_head=limit) == [HEAD]
    for pieces in ([HEAD], [HEAD[:7], HEAD[7:]]):
        with pytest.raises(ClientFault) as refused:
            found(HeadBuffer(), *pieces, max_head=limit - 1)
        assert refused.value.cause is Cause.HEAD_TOO_LARGE


@pytest.mark.parametrize(
    ("endless", "cause"),
    [
        (b"GET /" + b"a" * MAX, Cause.URI_TOO_LONG),
        (b"G" * 2 * MAX, Cause.MALFORMED_REQUEST),
        (b"GET / HTTP/1.1\r\n" + b"a" * MAX, Cause.HEAD_TOO_LARGE),
    ],
)
def test_an_endless_head(endless: bytes, cause: Cause) -> None:
    """Refused as soon as it is too large, without its end; a line that never ends is an endless target."""
    for pieces in ([endless], [endless[: MAX // 2], endless[MAX // 2 :]]):
        with pytest.raises(ClientFault) as refused:
            found(HeadBuffer(), *pieces)
        assert refused.value.cause is cause


def test_holding_and_taking() -> None:
    """What came before its turn is kept in order, and given away once."""
    buffer = HeadBuffer()
    assert not buffer
    buffer.hold(b"ab")
    buffer.hold(b"cd")
    assert len(buffer) == 4
    assert buffer.take() == b"abcd"
    assert (buffer.take(), len(buffer)) == (b"", 0)


def test_held_input_joins_what_comes() -> None:
    """Input that was held while an exchange was under way is the beginning of the next head."""
    buffer = HeadBuffer()
    buffer.hold(HEAD[:5])
    assert found(buffer, HEAD[5:-1]) == []
    assert buffer.begun
    assert found(buffer, HEAD[-1:] + HEAD) == [HEAD, HEAD]


def test_empty_lines_begin_no_head() -> None:
    """A client that ends its last request with one more line is idle, and not slow with the next."""
    for line in (b"\r", b"\r\n"):
        buffer = HeadBuffer()
        assert found(buffer, line) == []
        assert buffer.begun == 0.0
        assert found(buffer, (b"\r\n" + HEAD)[len(line) :]) == [HEAD]


def test_a_byte_at_a_time_costs_no_more_than_its_bytes() -> None:
    """Twice the head is about twice the work, not four times: each byte is looked at once."""

    def seconds(size: int) -> float:
        best = float("inf")
        for _ in range(5):
            buffer = HeadBuffer()
            buffer.split(b"GET /", 1.0, 1 << 20)
            began = time.perf_counter()
            for _ in range(size):
                buffer.join(b"a", 1 << 20)
            best = min(best, time.perf_counter() - began)
        return best

    assert seconds(32_000) < 10 * seconds(8_000)  # squared, it would be 16
