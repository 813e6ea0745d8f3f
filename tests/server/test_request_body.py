"""RequestBody: what belongs to a body, what it holds, when it is late; without a connection."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Cause, ClientFault, Fault
from gateway.http.message import CHUNKED, Fields
from gateway.server.request_body import HIGH_WATER, UNLIMITED, RequestBody
from gateway.server.settings import DownstreamConfig
from tests.kit.transport import splits

SETTINGS = DownstreamConfig.model_validate({"body_timeout": "30s", "min_body_rate": 100, "min_body_rate_after": "10s"})
SIX = b"3\r\nabc\r\n3;x=y\r\ndef\r\n0\r\nchecksum: 1\r\nx-forwarded-for: 6.6.6.6\r\n\r\n"


class Kept:
    """A Sink that keeps what it gets."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.ends: list[Fields] = []

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    def write(self, chunk: bytes) -> None:
        assert chunk, "an empty piece"
        assert not self.ends, "a piece after the end"
        self.pieces.append(chunk)

    def finish(self, trailers: Fields) -> None:
        self.ends.append(trailers)

    def abort(self, fault: Fault) -> None:
        raise AssertionError("abort is the wire's to call")


class Pauses:
    """Counts calls."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


def made(length: int, sink: Kept | None = None, limit: int = UNLIMITED) -> RequestBody:
    body = RequestBody(length, Pauses(), 0.0, SETTINGS)
    if sink is not None:
        body.attach(sink, limit)
    return body


@pytest.mark.parametrize("pieces", list(splits(b"abcdef")), ids=len)
def test_a_counted_body(pieces: list[bytes]) -> None:
    """Exactly its bytes pass, the end is told once, and what follows is given back."""
    sink = Kept()
    body = made(6, sink)
    *before, last = pieces
    for piece in before:
        assert body.feed(piece) == b""
        assert not body.complete
    assert body.feed(last + b"GET /") == b"GET /"
    assert (sink.body, sink.ends, body.complete, body.received, body.remaining) == (b"abcdef", [[]], True, 6, 0)


def test_a_chunked_body() -> None:
    """Decoded wherever it is cut; of its trailers only those that may be passed on remain."""
    for *before, last in splits(SIX):
        sink = Kept()
        body = made(CHUNKED, sink)
        for piece in before:
            assert body.feed(piece) == b""
        assert body.feed(last + b"GET /") == b"GET /"
        assert (sink.body, sink.ends) == (b"abcdef", [[(b"checksum", b"1")]])
        assert (body.complete, body.received, body.remaining) == (True, 6, None)


@given(st.lists(st.binary(min_size=1, max_size=5), max_size=8), st.integers(0, 40), st.integers(0, 8))
def test_when_the_sink_comes_makes_no_difference(reads: list[bytes], length: int, at: int) -> None:
    """Attached before, between or after the reads, a sink gets the same bytes, and the rest is the same rest."""
    sink = Kept()
    body = made(length)
    rest = b""
    for number, read in enumerate(reads):
        if number == at:
            body.attach(sink, UNLIMITED)
        rest += body.feed(read) if not body.complete else read
    if at >= len(reads):
        body.attach(sink, UNLIMITED)
    whole = b"".join(reads)
    assert sink.body == whole[:length]
    assert rest == whole[length:]
    assert len(sink.ends) == (1 if body.complete else 0)


def test_malformed_chunks_are_the_clients_fault() -> None:
    """The reason is for the log."""
    with pytest.raises(ClientFault) as refused:
        made(CHUNKED).feed(b"x\r\n")
    assert refused.value.cause is Cause.MALFORMED_REQUEST
    assert refused.value.detail


def test_what_is_held_without_a_sink_is_bounded() -> None:
    """From HIGH_WATER on the wire is asked to stop; attaching lets go of all."""
    pauses = Pauses()
    body = RequestBody(HIGH_WATER * 2, pauses, 0.0, SETTINGS)
    body.feed(b"a" * (HIGH_WATER - 1))
    assert (pauses.count, body.held) == (0, HIGH_WATER - 1)
    body.feed(b"b")
    assert (pauses.count, body.held) == (1, HIGH_WATER)
    sink = Kept()
    body.attach(sink, UNLIMITED)
    assert (body.held, len(sink.body)) == (0, HIGH_WATER)
    body.feed(b"c" * HIGH_WATER)
    assert (pauses.count, body.complete) == (1, True)


@pytest.mark.parametrize("length", [6, CHUNKED])
def test_the_limit_is_exact(length: int) -> None:
    """A body of `limit` bytes passes; of one more, no byte beyond the limit reaches the sink."""
    wire = b"abcdef" if length == 6 else SIX
    allowed, refused = Kept(), Kept()
    made(length, allowed, 6).feed(wire)
    assert allowed.ends
    with pytest.raises(ClientFault) as fault:
        made(length, refused, 5).feed(wire)
    assert fault.value.cause is Cause.BODY_TOO_LARGE
    assert len(refused.body) <= 5
    assert not refused.ends


def test_too_much_before_the_sink_came() -> None:
    """The limit holds for what was held already, and nothing of it is passed on."""
    body, sink = made(6), Kept()
    body.feed(b"abc")
    with pytest.raises(ClientFault) as fault:
        body.attach(sink, 2)
    assert fault.value.cause is Cause.BODY_TOO_LARGE
    assert sink.pieces == []


def test_a_discarded_body_is_counted_and_forgotten() -> None:
    """Its end is still found, and its sink hears no more, not even of the end; no limit holds for it."""
    sink = Kept()
    body = made(6, sink, 4)
    body.feed(b"abc")
    body.discard()
    assert body.feed(b"defGET") == b"GET"
    assert (sink.body, sink.ends) == (b"abc", [])
    assert (body.complete, body.received, body.held) == (True, 6, 0)


@pytest.mark.parametrize(
    ("now", "last", "received", "late"),
    [
        (9.9, 9.0, 0, False),  # no rate is asked for yet
        (10.0, 9.0, 999, True),
        (10.0, 9.0, 1000, False),
        (20.0, 19.0, 1999, True),
        (20.0, 19.0, 2000, False),
        (29.9, 0.0, 9999, False),
        (30.0, 0.0, 9999, True),  # fast once, then silent
    ],
)
def test_when_a_body_is_late(now: float, last: float, received: int, *, late: bool) -> None:
    """Silent for `body_timeout`, or in all slower than the rate once it counts."""
    body = made(1 << 20)
    body.feed(b"a" * received)
    body.last = last
    assert body.late(now) is late


def test_no_rate_at_all() -> None:
    """A rate of 0 leaves only the silence."""
    body = RequestBody(5, Pauses(), 0.0, DownstreamConfig.model_validate({"min_body_rate": 0}))
    assert not body.late(29.0)
    assert body.late(31.0)


def test_when_to_look_again() -> None:
    """At the end of the silence or of the next stretch of the rate, whichever comes first; reads put off only one."""
    body = made(1 << 20)
    assert body.due(0.0) == 10.0
    assert body.due(25.0) == 30.0
    body.last = 9.0
    assert body.due(0.0) == 10.0
    assert body.due(35.0) == 39.0


def test_time_in_which_nobody_read_does_not_count() -> None:
    """A pause of ours moves the beginning, and the silence starts anew behind it."""
    body = made(1 << 20)
    body.feed(b"a" * 500)
    body.was_paused(5.0, 1005.0)
    assert (body.begun, body.last) == (1000.0, 1005.0)
    assert not body.late(1009.9)
    assert body.late(1010.1)


@pytest.mark.parametrize("name", [b"Content-Length", b"transfer-encoding", b"HOST"])
def test_framing_in_a_trailer_is_refused(name: bytes) -> None:
    """Whoever reads it on the way must not have to know better; the end is not told."""
    sink = Kept()
    with pytest.raises(ClientFault) as refused:
        made(CHUNKED, sink).feed(b"1\r\na\r\n0\r\n" + name + b": 1\r\n\r\n")
    assert (refused.value.cause, sink.ends) == (Cause.MALFORMED_REQUEST, [])


def test_a_chunk_that_will_be_too_large() -> None:
    """What it announces counts, before the body has a reader and after."""
    for limit, too_large in ((11, False), (10, True)):
        body = made(CHUNKED)
        body.feed(b"1\r\na\r\na\r\nbcd")
        if too_large:
            with pytest.raises(ClientFault) as refused:
                body.attach(Kept(), limit)
            assert refused.value.cause is Cause.BODY_TOO_LARGE
        else:
            body.attach(Kept(), limit)
    with pytest.raises(ClientFault):
        made(CHUNKED, Kept(), 10).feed(b"b\r\na")
    made(CHUNKED, Kept(), 10).feed(b"a\r\na")
