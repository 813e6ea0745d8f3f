"""Back-pressure from end to end: whoever is slow stops who is fast, and memory stays bounded."""

from __future__ import annotations

import pytest

from tests.kit.messages import get, head, ok
from tests.kit.site import Served, serve

HEAD = b"POST / HTTP/1.1\r\nHost: h\r\n"
PIECE = b"x" * 16 * 1024


def _streaming(**keys: object) -> Served:
    site = serve(**keys)  # type: ignore[arg-type]
    site.client >> get()
    site.origin << b"GET /"
    site.origin >> head("Content-Length: 100000000")
    return site


def test_a_slow_client_stops_the_origin() -> None:
    """Nothing is read from the origin while the client does not read; it goes on where it stopped."""
    site = _streaming()
    site.client.stall()
    sent = 0
    while site.origin.is_read:
        site.origin >> PIECE
        sent += len(PIECE)
    assert sent <= 128 * 1024
    site.client.read_on()
    assert site.origin.is_read
    assert site.client.raw().endswith(b"x" * 1000)


def test_a_client_that_is_slow_before_the_head() -> None:
    """A stream for a client that has not even taken the answer before it is paused from its first byte."""
    here = {"match": {"path": "/here"}, "respond": {"status": 200, "body": "x" * 70_000}}
    site = serve(routes=[here, {"upstream": "app"}])
    site.client.stall()
    site.client >> get("/here") + get("/there")
    site.origin << b"GET /there"
    site.origin >> head("Content-Length: 100000000") + b"x"
    assert not site.origin.is_read
    site.client.read_on()
    assert site.origin.is_read


@pytest.mark.parametrize("size", [1000, 70_000, 200_000])
@pytest.mark.parametrize("framing", ["Content-Length: 100000000", "Transfer-Encoding: chunked"])
def test_a_body_that_begins_with_its_head(size: int, framing: str) -> None:
    """However much of the body came in the same read as the head, a client that does not read stops the origin."""
    site = serve()
    site.client >> get()
    site.origin << b"GET /"
    site.client.stall()
    first = b"x" * size if "Length" in framing else b"%x\r\n%b\r\n" % (size, b"x" * size)
    site.origin >> head(framing) + first
    piece = PIECE if "Length" in framing else b"%x\r\n%b\r\n" % (len(PIECE), PIECE)
    sent = 0
    while site.origin.is_read:
        site.origin >> piece
        sent += len(piece)
        assert sent < 200_000
    assert site.client.transport.get_write_buffer_size() < 300_000
    site.client.read_on()
    assert site.origin.is_read


def test_a_slow_origin_stops_the_client() -> None:
    """Nothing is read from the client while the origin takes nothing; it goes on where it stopped."""
    site = serve(body_limit="unlimited")
    site.client >> HEAD + b"Content-Length: 100000000\r\n\r\n"
    site.origin.raw()
    site.origin.transport.clog()
    sent = 0
    while site.client.is_read:
        site.client >> PIECE
        sent += len(PIECE)
    assert sent <= 128 * 1024
    site.origin.transport.unclog()
    assert site.client.is_read
    site.client >> PIECE
    assert site.origin.raw().endswith(PIECE)


def test_an_origin_that_is_not_connected_yet() -> None:
    """Until there is a connection at most 64 KiB of the body are held, and then sent in order."""
    site = serve(body_limit="unlimited")
    site.origin.dial.hold = True
    site.client >> HEAD + b"Content-Length: %d\r\n\r\n" % (len(PIECE) * 6)
    sent = 0
    while site.client.is_read:
        site.client >> bytes([65 + sent]) * len(PIECE)
        sent += 1
    assert 4 <= sent <= 5
    site.origin.dial.answer()
    assert site.client.is_read
    while sent < 6:
        site.client >> bytes([65 + sent]) * len(PIECE)
        sent += 1
    asked = site.origin << b"POST /"
    assert asked.body == b"".join(bytes([65 + at]) * len(PIECE) for at in range(6))


def test_a_lost_client_is_seen_while_its_body_was_held() -> None:
    """A body that filled the bound and is whole does not leave the reader off: a reset is noticed."""
    site = serve(body_limit="unlimited")
    site.client >> HEAD + b"Content-Length: 70000\r\n\r\n" + b"x" * 70_000
    site.origin << b"POST /"
    assert site.client.is_read


def test_the_origin_is_released_when_the_client_goes() -> None:
    """A stalled client that is reset ends the exchange on both sides."""
    site = _streaming()
    site.client.stall()
    while site.origin.is_read:
        site.origin >> PIECE
    site.client.reset()
    assert site.origin.is_cut
    assert site.cause == "client_gone"


def test_a_stalled_upload_that_is_answered() -> None:
    """An origin that stops reading and answers leaves nothing paused: the next request is read."""
    site = serve(body_limit="unlimited")
    site.client >> HEAD + b"Content-Length: 200000\r\n\r\n"
    site.origin.raw()
    site.origin.transport.clog()
    sent = 0
    while site.client.is_read:
        site.client >> PIECE
        sent += len(PIECE)
    site.origin >> ok("enough", status="413 Content Too Large")
    site.client << b"HTTP/1.1 413"
    assert site.client.transport.ended
    assert site.client.is_read


def test_pausing_time_is_not_the_clients() -> None:
    """While we do not read, the client's body is not late."""
    site = serve(body_limit="unlimited")
    site.client >> HEAD + b"Content-Length: 100000000\r\n\r\n"
    site.origin.raw()
    site.origin.transport.clog()
    while site.client.is_read:
        site.client >> PIECE
    site.later(50)
    site.origin.transport.unclog()
    assert site.client.is_read
    site.later(9)
    site.client >> PIECE
    site.later(1)
    assert site.client.open


def test_the_origins_silence_is_not_its_fault_while_it_is_paused() -> None:
    """An origin that we do not read does not time out."""
    site = _streaming(timeouts={"read": "5s"}, downstream={"write_timeout": "60s"})
    site.client.stall()
    while site.origin.is_read:
        site.origin >> PIECE
    site.later(30)
    site.client.read_on()
    site.origin >> PIECE
    assert not site.finished
