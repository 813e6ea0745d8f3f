"""filters/metrics: what an exchange that is over adds to which series."""

from __future__ import annotations

import pytest

from gateway.errors import Cause, UpstreamFault
from gateway.exchange import Connection, Exchange, Verdict
from gateway.filters.metrics import build
from gateway.hooks import Hooks, Plan, Route, Shared
from gateway.http.message import Request, Response
from gateway.metrics import Distribution, Metrics


def over(method: bytes = b"GET", status: int | None = 200, started: float = 99.75) -> Exchange:
    exchange = Exchange(Connection("192.0.2.1", 1, "127.0.0.1:80", "web", 0.0), Request(method, b"/", b"/", None, 1), 1)
    exchange.started = started
    exchange.route = Route("shop", Plan(), None, "app")
    exchange.response = None if status is None else Response(status, [])
    exchange.ended = 100.0
    return exchange


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def hooks(metrics: Metrics) -> Hooks:
    return build(Shared(route="shop", metrics=metrics))


def log(hooks: Hooks, exchange: Exchange) -> None:
    assert hooks.log is not None
    hooks.log(exchange)


def test_requests_are_counted_by_route_method_and_class(metrics: Metrics, hooks: Hooks) -> None:
    """Two statuses of one class share a series of the route; each has its own series by status."""
    log(hooks, over(status=200))
    log(hooks, over(status=204))
    log(hooks, over(b"POST", 503))
    assert metrics.value("gateway_requests_total", route="shop", method="GET", status="2xx") == 2
    assert metrics.value("gateway_requests_total", route="shop", method="POST", status="5xx") == 1
    assert metrics.value("gateway_responses_total", status="204") == 1


def test_unknown_methods_and_statuses_cannot_make_series(metrics: Metrics, hooks: Hooks) -> None:
    """Whatever a client or an origin invents is counted under OTHER."""
    for number in range(100):
        log(hooks, over(b"M%d" % number, 600 + number))
    assert metrics.value("gateway_requests_total", route="shop", method="OTHER", status="other") == 100
    assert sum(len(family.samples) for family in metrics.families() if family.name == "gateway_requests_total") == 1


def test_latency_of_request_and_upstream(metrics: Metrics, hooks: Hooks) -> None:
    """A quarter of a second falls into its bucket; a request that met no upstream adds nothing there."""
    log(hooks, over())
    forwarded = over()
    forwarded.upstream_seconds = 0.004
    log(hooks, forwarded)
    whole = metrics.value("gateway_request_duration_seconds", route="shop")
    upstream = metrics.value("gateway_upstream_duration_seconds", upstream="app")
    assert isinstance(whole, Distribution)
    assert isinstance(upstream, Distribution)
    assert (sum(whole.counts), whole.sum) == (2, 0.5)
    assert whole.counts[whole.bounds.index(0.25)] == 2
    assert (sum(upstream.counts), upstream.sum) == (1, 0.004)


def test_bytes_errors_and_verdicts(metrics: Metrics, hooks: Hooks) -> None:
    """Body bytes both ways by route, the cause's word, and the filter that answered."""
    failed = over(status=502)
    failed.fault = UpstreamFault(Cause.CONNECT_REFUSED)
    failed.received, failed.sent = 10, 20
    denied = over(status=403)
    denied.verdict = Verdict("firewall", "wordpress", Response(403, [], body=b""))
    log(hooks, failed)
    log(hooks, denied)
    assert metrics.value("gateway_request_body_bytes_total", route="shop") == 10
    assert metrics.value("gateway_response_body_bytes_total", route="shop") == 20
    assert metrics.value("gateway_errors_total", cause="connect_refused") == 1
    assert metrics.value("gateway_verdicts_total", filter="firewall") == 1


def test_a_client_that_left_counts_as_499(metrics: Metrics, hooks: Hooks) -> None:
    """An exchange without a response has the status of its cause."""
    gone = over(status=None)
    gone.fault = UpstreamFault(Cause.CLIENT_GONE)
    log(hooks, gone)
    log(hooks, over(status=None))
    assert metrics.value("gateway_responses_total", status="499") == 2


def test_a_rebuilt_route_goes_on_counting(metrics: Metrics, hooks: Hooks) -> None:
    """After a reload the same route adds to the same slots."""
    log(hooks, over())
    log(build(Shared(route="shop", metrics=metrics)), over())
    assert metrics.value("gateway_requests_total", route="shop", method="GET", status="2xx") == 2


def test_without_a_registry_there_is_no_hook() -> None:
    """A plan built for `gateway explain` counts nothing."""
    assert build(Shared()) == Hooks()
