"""One connection, many requests: persistence, pipelining and their bounds."""

from __future__ import annotations

import pytest

from tests.kit.messages import chunked, get, head, ok, post
from tests.kit.site import serve


def test_one_request() -> None:
    """A request reaches the origin and its answer the client; both connections stay open."""
    site = serve()
    site.client >> get("/a?b=c")
    assert site.origin << b"GET /a?b=c HTTP/1.1\r\nhost: h\r\n"
    site.origin >> ok("hi")
    assert (site.client << b"HTTP/1.1 200 OK\r\n").body == b"hi"
    assert site.client.open
    assert not site.origin.is_cut


def test_a_connection_is_used_again_on_both_sides() -> None:
    """Three requests in a row need one connection from the client and one to the origin."""
    site = serve()
    for target in ("/1", "/2", "/3"):
        site.client >> get(target)
        site.origin << b"GET %b " % target.encode()
        site.origin >> ok(target)
        assert (site.client << b"HTTP/1.1 200").body == target.encode()
    assert site.origin.connections == 1


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 17])
def test_a_head_in_pieces(size: int) -> None:
    """Whatever the size of the pieces in which a head comes, it is one request."""
    site = serve()
    wire = get("/a", "Accept: */*")
    for at in range(0, len(wire), size):
        assert site.client.is_silent
        site.client >> wire[at : at + size]
    site.origin << b"GET /a "
    site.origin >> ok()
    site.client << b"HTTP/1.1 200"


def test_pipelined_requests_are_answered_in_order() -> None:
    """What follows the exchange under way waits for its turn, and is not sent to the origin before."""
    site = serve()
    site.client >> get("/1") + get("/2") + get("/3")
    for target in (b"/1", b"/2", b"/3"):
        site.origin << b"GET %b " % target
        assert site.origin.is_silent
        site.origin >> ok(target)
        assert (site.client << b"HTTP/1.1 200").body == target


def test_pipelined_behind_bodies() -> None:
    """A body ends where it says; what follows it is the next request."""
    site = serve()
    site.client >> post("abc") + chunked(b"de", b"f") + get("/last")
    assert (site.origin << b"POST / ").body == b"abc"
    site.origin >> ok("1")
    assert (site.origin << b"POST / ").body == b"def"
    site.origin >> ok("2")
    site.origin << b"GET /last "
    site.origin >> ok("3")
    assert [(site.client << b"HTTP/1.1 200").body for _ in range(3)] == [b"1", b"2", b"3"]


def test_local_answers_of_one_read_leave_in_one_write() -> None:
    """Answers that need no origin are collected, so that a pipeline costs one system call."""
    site = serve(routes=[{"respond": 204}])
    site.client >> get() * 5
    assert len(site.client.transport.written) == 1
    for _ in range(5):
        site.client << b"HTTP/1.1 204"


def test_an_empty_line_between_requests_is_forgiven() -> None:
    """RFC 9112 §2.2: old clients send one after a body."""
    site = serve(routes=[{"respond": 204}])
    site.client >> post("abc") + b"\r\n" + get()
    site.client << b"HTTP/1.1 204"
    site.client << b"HTTP/1.1 204"


def test_pipelined_input_is_bounded() -> None:
    """With 64 KiB held behind an exchange, reading pauses; once its answer has left it goes on."""
    site = serve()
    site.client >> get("/first")
    site.origin << b"GET /first"
    filler = get("/next", "X-Filler: " + "x" * 8000)
    while site.client.is_read:
        site.client >> filler
    assert len(site.client.transport.sent) == 0
    held = 0
    site.origin >> ok()
    while site.origin.request() is not None:
        held += 1
        site.origin >> ok()
    assert 8 <= held <= 10
    assert site.client.is_read
    for _ in range(held + 1):
        site.client << b"HTTP/1.1 200"


def test_a_client_that_does_not_read_is_not_read() -> None:
    """Pipelined requests of a client that takes no answers stay where they are, until it does."""
    site = serve(routes=[{"respond": {"status": 200, "body": "x" * 10_000}}])
    site.client.stall()
    site.client >> get() * 1000
    assert not site.client.is_read
    answered = len(site.finished)
    assert answered < 100
    site.client.read_on()
    assert len(site.finished) == 1000
    assert site.client.is_read


def test_stalled_and_closing() -> None:
    """A client that reads no more and then goes away is forgotten without an answer being lost to it."""
    site = serve(routes=[{"respond": {"status": 200, "body": "x" * 10_000}}])
    before = len(site.sweep)
    site.client.stall()
    site.client >> get() * 100
    site.client.reset()
    assert len(site.sweep) == before
    assert not site.wire.live


def test_connection_close_is_honoured() -> None:
    """The answer says so too, and the connection ends behind it."""
    site = serve()
    site.client >> get("/", "Connection: close")
    assert (site.origin << b"GET /").all(b"connection") == []
    site.origin >> ok("hi")
    assert (site.client << b"HTTP/1.1 200").get(b"connection") == b"close"
    assert site.client.closed
    assert not site.origin.is_cut


def test_nothing_is_read_behind_a_last_request() -> None:
    """RFC 9112 §9.6: what follows `Connection: close` is not a request."""
    site = serve()
    site.client >> get("/1", "Connection: close") + get("/2")
    site.origin << b"GET /1"
    site.origin >> ok()
    site.client << b"HTTP/1.1 200"
    assert site.client.closed
    assert site.origin.is_silent
    assert len(site.finished) == 1


def test_the_origin_says_close() -> None:
    """Its connection is not used again; the client's is."""
    site = serve()
    site.client >> get()
    site.origin << b"GET /"
    site.origin >> ok("", "Connection: close")
    assert (site.client << b"HTTP/1.1 200").get(b"connection") is None
    assert site.origin.is_cut
    site.client >> get()
    site.origin << b"GET /"
    assert site.origin.connections == 2


def test_requests_per_connection_are_bounded() -> None:
    """The last one that is allowed says `close`, and more is not read."""
    site = serve(routes=[{"respond": 204}], downstream={"keepalive_requests": 3})
    site.client >> get() * 4
    assert [(site.client << b"HTTP/1.1 204").get(b"connection") for _ in range(3)] == [None, None, b"close"]
    assert site.client.closed
    assert site.client.is_silent


def test_an_old_connection_ends_with_its_request() -> None:
    """A connection of more than an hour says `close` with its next answer."""
    site = serve(routes=[{"respond": 204}], downstream={"keepalive_time": "60s", "keepalive_timeout": "50s"})
    site.client >> get()
    assert (site.client << b"HTTP/1.1 204").get(b"connection") is None
    site.later(40)
    site.client >> get()
    assert (site.client << b"HTTP/1.1 204").get(b"connection") is None
    site.later(40)
    site.client >> get()
    assert (site.client << b"HTTP/1.1 204").get(b"connection") == b"close"


def test_half_closed_behind_a_pipeline() -> None:
    """A client that sends its requests and then its FIN gets every answer, then the end."""
    site = serve()
    site.client >> get("/1") + get("/2") + get("/3")
    site.client.fin()
    for target in (b"/1", b"/2", b"/3"):
        site.origin << b"GET %b " % target
        assert not site.client.transport.closed
        site.origin >> ok(target)
        assert (site.client << b"HTTP/1.1 200").body == target
    assert site.client.transport.closed


def test_half_closed_with_an_incomplete_request_behind() -> None:
    """What can never become a request is not waited for."""
    site = serve()
    site.client >> get("/1") + b"GET /2 HTTP/1.1\r\n"
    site.client.fin()
    site.origin << b"GET /1 "
    site.origin >> ok()
    site.client << b"HTTP/1.1 200"
    assert site.client.transport.closed


def test_a_stream_before_a_pipelined_request() -> None:
    """The next request waits until the last byte of the answer before it."""
    site = serve()
    site.client >> get("/1") + get("/2")
    site.origin << b"GET /1"
    site.origin >> head("Transfer-Encoding: chunked") + b"2\r\nab\r\n"
    assert site.origin.is_silent
    site.origin >> b"0\r\n\r\n"
    site.origin << b"GET /2"
    site.origin >> ok("2")
    assert [(site.client << b"HTTP/1.1 200").body for _ in range(2)] == [b"ab", b"2"]
