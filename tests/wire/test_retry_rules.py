"""How often, when and for whom there is another attempt: the rules that an upstream's `retries` sets."""

from __future__ import annotations

import pytest

from gateway.errors import Cause, UpstreamFault
from tests.kit.messages import get, head, ok, post
from tests.kit.site import Served, serve, warm


def _counted(site: Served) -> tuple[object, ...]:
    """Further attempts that were answered, that failed, and that the budget forbade."""
    results = ("answered", "failed", "over_budget")
    name = "gateway_upstream_retries_total"
    return tuple(site.metrics.value(name, upstream="app", result=result) for result in results)


def test_the_pause_is_as_long_as_the_configuration_says() -> None:
    """Not before the shortest, not after the longest; a POST too, for nothing was sent."""
    site = serve(app={"retries": {"jitter": "2s-4s"}})
    site.origin.refusals = 1
    site.client >> post("abc")
    site.later(1.5)
    assert site.origin.connections == 0
    site.later(2.5)
    assert (site.origin << b"POST /").body == b"abc"


def test_a_client_that_goes_during_the_pause() -> None:
    """Nobody is asked for it any more, and its place in the budget is free."""
    site = serve(app={"retries": {"budget_floor": 1, "budget": "0%"}})
    for _ in range(3):
        site.origin.refusals = 1
        client = site.connect()
        client >> get()
        client.reset()
        site.later(1)
        assert site.cause == "client_gone"
    assert site.origin.connections == 0
    assert site.site.upstreams["app"].retries.in_flight == 0
    assert _counted(site) == (0, 0, 0)


def test_retries_are_counted() -> None:
    """With `attempts: 0` there is none; with 2 three endpoints are asked."""
    for attempts in (0, 2):
        site = serve(endpoints=3, app={"retries": {"attempts": attempts}})
        for origin in site.origins:
            origin.refusals = 1
        site.client >> get()
        site.client << b"HTTP/1.1 502"
        assert site.last.attempts == attempts + 1


def test_all_are_asked_before_one_is_asked_again() -> None:
    """At once as long as there is another one, then after a pause."""
    site = serve(endpoints=2, app={"retries": {"attempts": 3}})
    for origin in site.origins:
        origin.refusals = 2
    site.client >> get()
    assert [origin.refusals for origin in site.origins] == [1, 1]
    assert site.client.is_silent
    site.later(0.5)
    assert [origin.refusals for origin in site.origins] == [0, 0]
    site.client << b"HTTP/1.1 502"
    assert site.last.attempts == 4


def test_per_try_timeout() -> None:
    """It cuts short what another attempt may follow; the last one, and what cannot be repeated, has the route's time."""
    retries = {"attempts": 2, "per_try_timeout": "2s"}
    site = serve(endpoints=3, app={"retries": retries}, timeouts={"head": "9s"})
    site.client >> get()
    for seconds in (2, 2, 9):
        asked = next(origin for origin in site.origins if not origin.is_silent)
        asked << b"GET /"
        site.later(seconds - 0.5)
        assert all(origin.is_silent for origin in site.origins)
        assert site.client.is_silent
        site.later(0.5)
    site.client << b"HTTP/1.1 504"
    posting = site.connect()
    posting >> post("abc")
    site.later(8.5)
    assert posting.is_silent
    site.later(0.5)
    posting << b"HTTP/1.1 504"


def test_the_budget() -> None:
    """As many at a time as the floor says, or the share of those under way; the others are answered at once."""
    site = serve(app={"retries": {"budget": "50%", "budget_floor": 1}})
    site.origin.dial.hold = True
    clients = [site.connect() for _ in range(8)]
    for client in clients:
        client >> get()
    refused = UpstreamFault(Cause.CONNECT_REFUSED, "refused", sent=False)
    for _ in clients:
        site.origin.dial.answer(refused)
    answered = [client for client in clients if not client.is_silent]
    assert len(answered) == 6  # the third found two before it, and five others under way
    for client in answered:
        client << b"HTTP/1.1 502"
    assert _counted(site) == (0, 0, 6)
    site.origin.dial.hold = False
    site.later(0.5)
    assert len(site.origin.serve(ok())) == 2
    assert _counted(site) == (2, 0, 6)
    assert site.site.upstreams["app"].retries.in_flight == 0


def test_a_budget_of_nothing() -> None:
    """No request is sent twice, whatever its method; and no pause is made."""
    site = warm(app={"retries": {"budget": "0%", "budget_floor": 0}})
    site.client >> get()
    site.origin << b"GET /"
    site.origin.fin()
    site.client << b"HTTP/1.1 502"
    assert _counted(site) == (0, 0, 1)


def test_a_further_attempt_that_fails_is_counted() -> None:
    """Answered or failed, each once."""
    site = warm()
    site.client >> get()
    for _ in range(2):
        site.origin << b"GET /"
        site.origin.fin()
    site.client << b"HTTP/1.1 502"
    assert _counted(site) == (0, 1, 0)


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS"])
def test_a_status_that_is_not_wanted(method: bytes) -> None:
    """With `statuses` another endpoint is asked; the last answer is passed on, whatever it is."""
    site = serve(endpoints=2, app={"retries": {"statuses": [502, 503]}})
    for _ in range(2):  # without a kept connection, and with one
        site.client >> method + b" /a HTTP/1.1\r\nHost: h\r\n\r\n"
        first = next(origin for origin in site.origins if not origin.is_silent)
        other = next(origin for origin in site.origins if origin is not first)
        first << method
        first >> head("Content-Length: 0", status="503 Later")
        other << method
        other >> head("Content-Length: 0", status="502 No")
        answer = site.client.answer(method)
        assert answer is not None
        assert answer.status == 502
        assert (site.cause, site.last.attempts) == ("", 2)


def test_a_body_of_an_answer_that_is_not_wanted() -> None:
    """It is not read to its end: its connection is closed, and not a byte of it reaches the client."""
    site = serve(endpoints=2, app={"retries": {"statuses": 503}, "balance": "first"})
    site.client >> get()
    site.origin << b"GET /"
    site.origin >> head("Content-Length: 5", status="503 Later") + b"ab"
    assert site.origin.is_cut
    site.origins[1] << b"GET /"
    site.origins[1] >> ok("fine")
    assert (site.client << b"HTTP/1.1 200").body == b"fine"


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (post("abc"), head("Content-Length: 0", status="503 Later")),
        (get(), head("Content-Length: 0", "Retry-After: 1", status="503 Later")),
        (get(), head("Content-Length: 0", "Retry-After: Fri, 01 Jan 2027 00:00:00 GMT", status="503 Later")),
        (get(), head("Content-Length: 0", status="500 No")),
    ],
)  # fmt: skip
def test_an_answer_that_is_passed_on(request_: bytes, answer: bytes) -> None:
    """A POST's, one that says when to come back, and any status that is not listed."""
    site = serve(endpoints=2, app={"retries": {"statuses": [503]}, "balance": "first"})
    site.client >> request_
    site.origin.request()
    site.origin >> answer
    site.client << b"HTTP/1.1 50"
    assert site.last.attempts == 1
    assert site.origins[1].connections == 0


def test_statuses_are_the_clients_business_by_default() -> None:
    """A 503 is an answer: nothing is asked again, whatever the load."""
    site = serve(endpoints=2)
    for _ in range(10):
        site.client >> get()
        asked = next(origin for origin in site.origins if not origin.is_silent)
        asked << b"GET /"
        asked >> head("Content-Length: 0", status="503 Later")
        site.client << b"HTTP/1.1 503"
        assert site.last.attempts == 1
