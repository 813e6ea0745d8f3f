"""The gateway's own answers, bugs that cost one request, and the drain."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.exchange import Exchange
from tests.kit.messages import get, head, ok
from tests.kit.site import serve


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("text/html,application/xhtml+xml;q=0.9", b"text/html"),
        ("application/json", b"application/"),
        ("application/problem+json", b"application/problem+json"),
        ("text/plain", b"text/plain"),
    ],
)
def test_error_answers_are_negotiated(accept: str, content_type: bytes) -> None:
    """In the form the client accepts, each with the request id that stands in the log."""
    site = serve(app={"retries": {"attempts": 0}})
    site.origin.refusals = 1
    site.client >> get("/", f"Accept: {accept}")
    answer = site.client << b"HTTP/1.1 502"
    assert (answer.get(b"content-type") or b"").startswith(content_type)
    made = answer.get(b"x-request-id") or b"-"
    assert made in answer.body
    assert made in site.log[0]
    assert site.client.open


def test_an_error_says_nothing_about_the_inside() -> None:
    """Neither the endpoint nor the reason stands in the answer; both stand in the log."""
    site = serve(app={"retries": {"attempts": 0}})
    site.origin.refusals = 1
    site.client >> get()
    answer = site.client << b"HTTP/1.1 502"
    assert b"3000" not in answer.raw
    line = json.loads(site.log[0])
    assert (line["upstream"], line["cause"]) == ("127.0.0.1:3000", "connect_refused")


def test_what_is_no_request_is_logged_too() -> None:
    """A malformed request has a line, a status and a cause."""
    site = serve()
    site.client >> b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"
    site.client << b"HTTP/1.1 400"
    line = json.loads(site.log[0])
    assert (line["status"], line["cause"]) == (400, "malformed_request")


def test_no_route() -> None:
    """404 from the gateway, 405 where only the method is wrong."""
    site = serve(routes=[{"match": {"path": "/a", "methods": ["GET"]}, "upstream": "app"}])
    site.client >> get("/b")
    site.client << b"HTTP/1.1 404"
    site.client >> b"DELETE /a HTTP/1.1\r\nHost: h\r\n\r\n"
    assert b"GET" in ((site.client << b"HTTP/1.1 405").get(b"allow") or b"")
    assert site.client.open


def test_errors_carry_the_fields_of_the_site() -> None:
    """Security and response fields are on local answers as on all others, and on what was no request."""
    site = serve(security_headers={"preset": "default"}, response_headers={"set": {"X-Site": "1"}})
    site.client >> get("/", "Host: two")
    answer = site.client << b"HTTP/1.1 400"
    assert answer.get(b"x-content-type-options") == b"nosniff"
    assert answer.get(b"x-site") == b"1"


@pytest.mark.parametrize("phase", ["admit", "prepare", "accept", "deliver"])
def test_a_bug_costs_one_request(phase: str) -> None:
    """A hook that raises is answered 500, and the connection and the worker go on."""
    site = serve()
    site.bugs_expected = True
    wrong = True

    def hook(*_arguments: Any) -> None:
        if wrong:
            raise ZeroDivisionError

    route = site.site.routes[0]
    edited: Any = {phase: (hook,)}
    object.__setattr__(route, "plan", route.plan._replace(**edited))
    site.client >> get()
    if site.origin.request() is not None:
        site.origin >> ok()
    site.client.answer()
    assert [type(error) for error in site.crashes[:1]] == [ZeroDivisionError]
    wrong = False
    client = site.connect()
    client >> get("/next")
    site.origin << b"GET /next"
    site.origin >> ok()
    client << b"HTTP/1.1 200"


def test_a_bug_in_the_log_costs_no_answer() -> None:
    """The client has its answer; the next one gets its too."""
    site = serve()
    site.bugs_expected = True

    def log(_exchange: Exchange) -> None:
        raise ZeroDivisionError

    route = site.site.routes[0]
    object.__setattr__(route, "plan", route.plan._replace(log=(log,)))
    for _ in range(2):
        site.client >> get()
        site.origin << b"GET /"
        site.origin >> ok()
        site.client << b"HTTP/1.1 200"
    assert len(site.crashes) == 2


def _drain(site: Any) -> None:
    site.wire.draining = True
    for connection in list(site.wire.live):
        connection.drain()
    site.loop.run()


def test_drain_closes_what_is_idle() -> None:
    """At once."""
    site = serve(routes=[{"respond": 204}])
    site.client >> get()
    site.client << b"HTTP/1.1 204"
    _drain(site)
    assert site.client.closed
    assert not site.client.aborted


def test_drain_lets_an_exchange_end() -> None:
    """Its answer says close, and the connection ends behind it."""
    site = serve()
    site.client >> get()
    site.origin << b"GET /"
    _drain(site)
    assert site.client.open
    site.origin >> ok("hi")
    answer = site.client << b"HTTP/1.1 200"
    assert (answer.body, answer.get(b"connection")) == (b"hi", b"close")
    assert site.client.closed


def test_drain_lets_a_stream_end() -> None:
    """An answer that has begun is not cut."""
    site = serve()
    site.client >> get()
    site.origin << b"GET /"
    site.origin >> head("Transfer-Encoding: chunked") + b"1\r\na\r\n"
    _drain(site)
    site.origin >> b"1\r\nb\r\n0\r\n\r\n"
    assert (site.client << b"HTTP/1.1 200").body == b"ab"
    assert site.client.closed
    assert not site.client.aborted


def test_drain_answers_a_request_that_has_begun() -> None:
    """A head of which the beginning is here may come, and is answered with close."""
    site = serve(routes=[{"respond": 204}])
    site.client >> b"GET / HTTP/1.1\r\n"
    _drain(site)
    assert site.client.open
    site.client >> b"Host: h\r\n\r\n"
    assert (site.client << b"HTTP/1.1 204").get(b"connection") == b"close"
    assert site.client.closed


def test_a_closing_connection_lets_the_answer_be_read() -> None:
    """RFC 9112 §9.6: a client that would go on may have sent more; a reset would destroy what it has not read."""
    site = serve(routes=[{"respond": 204}])
    client = site.client
    site.wire.draining = True
    client >> get()
    assert client.transport.ended
    assert not client.transport.closed
    client >> get()
    assert not client.aborted
    client.fin()
    assert client.transport.closed


def test_cut_at_the_end_of_the_drain_time() -> None:
    """What is still open is cut, and logged."""
    site = serve()
    site.client >> get()
    site.origin << b"GET /"
    _drain(site)
    for connection in list(site.wire.live):
        connection.cut()
    assert site.client.aborted
    assert len(site.finished) == 1
    assert site.origin.is_cut
