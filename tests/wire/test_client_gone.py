"""Clients that go away: with a FIN or a reset, in every phase of an exchange."""

from __future__ import annotations

import pytest

from tests.kit.messages import get, head, ok, post
from tests.kit.site import Served, serve


def _nothing_left(site: Served) -> None:
    """No connection, no deadline, no exchange stays behind."""
    assert not site.wire.live
    assert [member for member in site.sweep._members if type(member).__name__ in {"Http1", "Farewell"}] == []
    assert all(endpoint.pool.active == 0 for endpoint in site.site.upstreams["app"].endpoints)


@pytest.mark.parametrize("how", ["fin", "reset"])
def test_before_a_request(how: str) -> None:
    """A connection that never says anything leaves no line in the log."""
    site = serve()
    getattr(site.client, how)()
    assert site.finished == []
    _nothing_left(site)


@pytest.mark.parametrize("how", ["fin", "reset"])
def test_within_a_head(how: str) -> None:
    """Half a head is no request."""
    site = serve()
    site.client >> b"GET / HTTP/1.1\r\nHo"
    getattr(site.client, how)()
    assert site.origin.connections == 0
    _nothing_left(site)


def test_fin_behind_a_whole_request() -> None:
    """Means: answer, then close. The origin is not disturbed."""
    site = serve()
    site.client >> get()
    site.client.fin()
    site.origin << b"GET /"
    site.origin >> ok("hi")
    assert (site.client << b"HTTP/1.1 200").body == b"hi"
    assert site.client.closed
    assert not site.origin.is_cut
    assert site.cause == ""
    _nothing_left(site)


def test_fin_together_with_a_local_answer() -> None:
    """The answer leaves before the end."""
    site = serve(routes=[{"respond": 204}])
    site.client >> get()
    site.client.fin()
    site.client << b"HTTP/1.1 204"
    assert site.client.closed


def test_fin_during_the_answer() -> None:
    """The rest of the answer still comes."""
    site = serve()
    site.client >> get()
    site.origin << b"GET /"
    site.origin >> head("Content-Length: 4") + b"ab"
    site.client.fin()
    site.origin >> b"cd"
    assert (site.client << b"HTTP/1.1 200").body == b"abcd"
    assert site.client.closed
    _nothing_left(site)


def test_fin_by_option_means_gone() -> None:
    """`on_client_eof: cancel`: the origin's work is not wanted any more."""
    site = serve(on_client_eof="cancel")
    site.client >> get()
    site.origin << b"GET /"
    site.client.fin()
    assert site.origin.is_cut
    assert site.cause == "client_gone"
    assert site.client.is_silent
    _nothing_left(site)


def test_fin_within_a_body() -> None:
    """A body that can never be complete: the origin's connection is cut, and nobody is answered."""
    site = serve()
    site.client >> b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc"
    site.origin.raw()
    site.client.fin()
    assert site.origin.is_cut
    assert site.cause == "client_gone"
    assert site.client.is_silent
    _nothing_left(site)


@pytest.mark.parametrize("wire", [get(), post("abc"), b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc"])
def test_reset_before_the_answer(wire: bytes) -> None:
    """The upstream request is cancelled; the log says 499."""
    site = serve()
    site.client >> wire
    site.origin.raw()
    site.client.reset()
    assert site.origin.is_cut
    assert site.cause == "client_gone"
    assert b'"status":499' in site.log[0]
    assert site.last.upstream_seconds == 0.0
    _nothing_left(site)


def test_reset_of_a_request_on_a_pooled_connection() -> None:
    """The time it took upstream is not known, and not a point on the clock."""
    site = serve()
    site.client >> get()
    site.origin << b"GET /"
    site.origin >> ok()
    site.client << b"HTTP/1.1 200"
    site.client >> get()
    site.origin << b"GET /"
    site.client.reset()
    assert site.last.upstream_seconds == 0.0
    _nothing_left(site)


def test_reset_while_connecting() -> None:
    """Who waits for a connection is forgotten; the connection serves the next."""
    site = serve()
    site.origin.dial.hold = True
    site.client >> get("/gone")
    site.client.reset()
    site.origin.dial.hold = False
    site.origin.dial.answer()
    other = site.connect()
    other >> get("/next")
    site.origin << b"GET /next"
    assert site.origin.connections == 1


def test_reset_while_queued() -> None:
    """A place in line is given up."""
    site = serve(app={"pool": {"max_open": 1}})
    site.client >> get("/first")
    gone, other = site.connect(), site.connect()
    gone >> get("/gone")
    other >> get("/other")
    gone.reset()
    site.origin << b"GET /first"
    site.origin >> ok()
    site.origin << b"GET /other"


def test_reset_during_the_answer() -> None:
    """The origin's connection is cut."""
    site = serve()
    site.client >> get()
    site.origin << b"GET /"
    site.origin >> head("Content-Length: 4") + b"ab"
    site.client.reset()
    assert site.origin.is_cut
    assert site.cause == "client_gone"
    _nothing_left(site)


def test_reset_while_a_small_body_is_discarded() -> None:
    """The exchange is over; nothing is logged twice."""
    site = serve(routes=[{"respond": 204}, {"match": {"path": "/up"}, "upstream": "app"}])
    site.client >> b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc"
    site.client << b"HTTP/1.1 204"
    site.client.reset()
    assert len(site.finished) == 1
    _nothing_left(site)


def test_fin_while_a_small_body_is_discarded() -> None:
    """Ends the connection."""
    site = serve(routes=[{"respond": 204}, {"match": {"path": "/up"}, "upstream": "app"}])
    site.client >> b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc"
    site.client << b"HTTP/1.1 204"
    site.client.fin()
    assert site.client.closed
    _nothing_left(site)


def test_lost_just_as_the_answer_comes() -> None:
    """A reset between head and body of the answer, which the origin completes all the same."""
    site = serve()
    site.client >> get()
    site.origin << b"GET /"
    site.client.transport.lose()
    site.origin >> ok("late")
    assert len(site.finished) == 1
    _nothing_left(site)


def test_gone_with_pipelined_requests_behind() -> None:
    """Requests that were waiting for their turn are not sent any more."""
    site = serve()
    site.client >> get("/1") + get("/2")
    site.origin << b"GET /1"
    site.client.reset()
    assert site.origin.is_cut
    assert site.origin.is_silent
    assert len(site.finished) == 1
