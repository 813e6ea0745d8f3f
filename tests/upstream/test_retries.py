"""Retries: the rules as the operator writes them, the budget, and what follows from a failed attempt."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.errors import Cause, Retry, UpstreamFault
from gateway.exchange import Exchange
from gateway.http.message import Response
from gateway.metrics import Metrics
from gateway.upstream.retries import FailedAttempts, Retries, RetriesConfig, TryTimes
from tests.kit.exchanges import make_exchange
from tests.kit.upstream import Times


def retries_of(**keys: Any) -> Retries:
    return Retries(RetriesConfig.model_validate(keys), Random(1))


class Service:
    """An upstream of as many endpoints as it has letters, of which the first that was not tried is the other."""

    def __init__(self, endpoints: str = "ab", load: int = 10, **keys: Any) -> None:
        self.endpoints = endpoints
        self.load = load
        self.retries = retries_of(**keys)

    def other(self, _exchange: Exchange, tried: Any) -> Any:
        return next((each for each in self.endpoints if each not in tried), None)


def failed(service: Service) -> FailedAttempts:
    upstream: Any = service
    return FailedAttempts(upstream)


def exchange_of(method: str = "GET", attempts: int = 1) -> Exchange:
    exchange = make_exchange(f"{method} /")
    exchange.attempts = attempts
    return exchange


CLOSED = UpstreamFault(Cause.CLOSED_BEFORE_HEAD)
UNSENT = UpstreamFault(Cause.CLOSED_BEFORE_HEAD, sent=False)
REFUSED = UpstreamFault(Cause.CONNECT_REFUSED, sent=False)


def test_the_defaults_are_those_of_the_product() -> None:
    """One attempt, 25-250 ms, a fifth of what is under way and at least three, no status."""
    config = RetriesConfig()
    assert (config.attempts, config.statuses, config.per_try_timeout) == (1, frozenset(), None)
    assert (tuple(config.jitter), config.budget, config.budget_floor) == ((0.025, 0.25), 0.2, 3)


def test_everything_may_be_set() -> None:
    """One status needs no list, and one time is both ends of the span."""
    config = RetriesConfig.model_validate(
        {"attempts": 5, "statuses": 503, "per_try_timeout": "2s", "jitter": "1s", "budget": "100%", "budget_floor": 0}
    )
    assert (config.statuses, config.per_try_timeout, config.budget) == (frozenset({503}), 2.0, 1.0)
    assert tuple(config.jitter) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("attempts", 6, "less than or equal to 5"),
        ("statuses", [404], "no failure of a server"),
        ("statuses", ["503"], "no failure of a server"),
        ("per_try_timeout", "0s", "longer than nothing"),
        ("jitter", "250ms-25ms", "the shorter time first"),
        ("jitter", "soon", "not a duration"),
        ("jitter", 25, "25ms-250ms"),
        ("budget", "20", "percentage"),
        ("budget", "101%", "percentage"),
        ("budget", "-1%", "percentage"),
        ("budget", 20, "percentage"),
        ("budget_floor", -1, "greater than or equal to 0"),
    ],
)
def test_mistakes(key: str, value: object, said: str) -> None:
    """Each says what to write instead."""
    with pytest.raises(ValidationError, match=said):
        RetriesConfig.model_validate({key: value})


def test_the_budget_is_a_share_with_a_floor() -> None:
    """Of few the floor, of many the share; a place that is given back is free."""
    retries = retries_of()
    assert [retries.begin(0) for _ in range(4)] == [True, True, True, False]
    assert [retries.begin(20) for _ in range(3)] == [True, False, False]
    retries.in_flight -= 1
    assert retries.begin(20)
    assert retries.values == [0, 0, 3]


def test_the_pause_is_by_chance_within_the_span() -> None:
    """Never outside, and never twice the same."""
    retries = retries_of()
    pauses = [retries.pause() for _ in range(200)]
    assert len(set(pauses)) == 200
    assert all(0.025 <= pause <= 0.25 for pause in pauses)
    assert max(pauses) - min(pauses) > 0.15


@pytest.mark.parametrize(
    ("method", "attempts", "head"), [("GET", 1, 2.0), ("PUT", 1, 2.0), ("GET", 2, 9.0), ("POST", 1, 9.0)]
)
def test_the_time_of_an_attempt(method: str, attempts: int, head: float) -> None:
    """Shorter only where another one may follow, and never longer than the route's."""
    times = Times(head=9.0)
    assert retries_of(per_try_timeout="2s").times(times, exchange_of(method, attempts)).head == head
    assert retries_of(per_try_timeout="20s").times(times, exchange_of(method, attempts)).head == 9.0
    assert retries_of().times(times, exchange_of(method, attempts)) is times
    assert TryTimes(*times) == tuple(times)


@pytest.mark.parametrize(
    ("status", "retry_after", "wanted"),
    [(503, None, False), (503, b"0", False), (503, b"1", True), (503, b"soon", True), (500, None, True)],
)
def test_which_answers_are_wanted(status: int, retry_after: bytes | None, wanted: bool) -> None:
    """All but the listed ones, and of these those that say when to come back."""
    response = Response(status, [])
    response.index = {} if retry_after is None else {b"retry-after": retry_after}
    assert retries_of(statuses=[503]).wanted(response) is wanted


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "POST", "PATCH", "LOCK"])
@pytest.mark.parametrize("sent", [True, False])
def test_what_may_be_sent_again(method: str, sent: bool) -> None:
    """The table of causes, method by method: what was sent, only if the cause and the method both allow it."""
    idempotent = method in {"GET", "HEAD", "PUT", "DELETE"}
    endpoint: Any = "a"
    for cause in Cause:
        again = failed(Service()).another(exchange_of(method), endpoint, UpstreamFault(cause, sent=sent), stale=False)
        allowed = cause.retry is Retry.IDEMPOTENT and idempotent if sent else cause.retry is not Retry.NEVER
        assert again is allowed, cause


def test_each_is_tried_before_one_is_tried_again() -> None:
    """At once while there is another one, then after a pause and wherever the balancer says."""
    failures = failed(Service("abc", attempts=5))
    went: list[Any] = []
    endpoint: Any = "a"
    for attempts in range(1, 6):
        assert failures.another(exchange_of(attempts=attempts), endpoint, CLOSED, stale=False)
        went.append((failures.endpoint, failures.seconds > 0))
        endpoint = failures.endpoint or "a"
        failures.leave()
    assert went == [("b", False), ("c", False), (None, True), ("b", False), ("c", False)]
    assert not failures.another(exchange_of(attempts=6), endpoint, CLOSED, stale=False)


def test_a_stale_connection() -> None:
    """The same endpoint, at once, over a new connection; if that one cannot be made, another endpoint."""
    failures = failed(Service("ab"))
    endpoint: Any = "a"
    assert failures.another(exchange_of(), endpoint, CLOSED, stale=True)
    assert (failures.endpoint, failures.fresh, failures.seconds) == ("a", True, 0.0)
    failures.over(answered=False)
    assert failures.another(exchange_of(attempts=2), endpoint, REFUSED, stale=False)
    assert (failures.endpoint, failures.fresh) == ("b", False)
    failures.over(answered=False)
    assert not failures.another(exchange_of(attempts=3), endpoint, REFUSED, stale=False)


def test_a_request_is_not_sent_more_often_because_a_connection_was_stale() -> None:
    """What the second attempt has sent counts."""
    failures = failed(Service("ab"))
    endpoint: Any = "a"
    assert failures.another(exchange_of(), endpoint, CLOSED, stale=True)
    failures.over(answered=False)
    assert not failures.another(exchange_of(attempts=2), endpoint, CLOSED, stale=False)


def test_no_attempts_means_none() -> None:
    """Not after a stale connection either, not even of what was not sent."""
    failures = failed(Service(attempts=0))
    endpoint: Any = "a"
    for fault in (CLOSED, UNSENT, REFUSED):
        for stale in (True, False):
            assert not failures.another(exchange_of(), endpoint, fault, stale=stale)


def test_the_places_in_the_budget_are_given_back() -> None:
    """By the end of the attempt, or of the exchange; once."""
    service = Service(attempts=5)
    metrics = Metrics()
    service.retries.register(metrics, "app")
    service.retries.register(metrics, "app")
    failures = failed(service)
    endpoint: Any = "a"
    failures.over(answered=False)  # the first attempt
    for answered in (False, True):
        assert failures.another(exchange_of(), endpoint, None, stale=False)
        assert service.retries.in_flight == 1
        failures.over(answered=answered)
        assert service.retries.in_flight == 0
    assert failures.another(exchange_of(), endpoint, None, stale=False)
    for _ in range(2):
        failures.leave()
    failures.over(answered=True)
    assert service.retries.in_flight == 0
    counted = {
        result: metrics.value("gateway_upstream_retries_total", upstream="app", result=result)
        for result in ("answered", "failed", "over_budget")
    }
    assert counted == {"answered": 1, "failed": 1, "over_budget": 0}


def test_over_the_budget_the_failure_is_the_answer() -> None:
    """Nothing follows, and it is counted."""
    service = Service(budget="0%", budget_floor=0)
    endpoint: Any = "a"
    assert not failed(service).another(exchange_of(), endpoint, CLOSED, stale=True)
    assert service.retries.values == [0, 0, 1]
