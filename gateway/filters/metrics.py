"""Counts every exchange that is over: requests, latency, bytes, errors by cause, denials by filter.

A `log` hook on every route, local replies and refused bytes included. The rule: per request it finds its slots with two
look-ups and adds integers; names and labels are settled when a route first sees a method and a status.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

from gateway.exchange import Exchange
from gateway.hooks import Hooks, Shared
from gateway.metrics import LATENCY, OTHER, Histogram, Metrics

# Label values a client may choose (RFC 9110 §9.3, RFC 5789); all else counts as OTHER.
METHODS = frozenset({b"DELETE", b"GET", b"HEAD", b"OPTIONS", b"PATCH", b"POST", b"PUT"})
_NONE = "-"  # the route of what has none


class _Slots(NamedTuple):
    """Where an exchange of one route, method and status is counted."""

    requests: int
    responses: int
    bytes_in: int
    bytes_out: int
    bucket: int  # first of the latency histogram's buckets
    microseconds: int


def build(shared: Shared) -> Hooks:
    """The hook of one route. It has no configuration: what is not counted cannot be seen."""
    metrics = shared.metrics
    if metrics is None:
        return Hooks()
    values = metrics.values
    route = shared.route or _NONE
    by_method: dict[bytes, dict[int, _Slots]] = {method: {} for method in METHODS}
    others: dict[int, _Slots] = {}
    find_slots = by_method.get
    upstreams: dict[str, Histogram] = {}
    errors: dict[str, int] = {}
    verdicts: dict[str, int] = {}
    bounds = LATENCY
    failed = shared.failed

    def log(exchange: Exchange) -> None:
        response = exchange.response
        fault = exchange.fault
        status = response.status if response is not None else 499 if fault is None else fault.cause.status
        method = exchange.request.method
        known = find_slots(method, others)
        slots = known.get(status)
        if slots is None:
            slots = known[status] = _register(metrics, route, method if method in METHODS else b"OTHER", status)
        requests, responses, bytes_in, bytes_out, bucket, microseconds = slots
        values[requests] += 1
        values[responses] += 1
        values[bytes_in] += exchange.received
        values[bytes_out] += exchange.sent
        seconds = exchange.ended - exchange.started
        values[bucket + bisect_left(bounds, seconds)] += 1
        values[microseconds] += int(seconds * 1000000.0)
        seconds = exchange.upstream_seconds
        if seconds:
            name = exchange.route.upstream
            found = upstreams.get(name)
            if found is None:
                found = upstreams[name] = _upstream(metrics, name)
            values[found.first + bisect_left(bounds, seconds)] += 1
            values[found.total] += int(seconds * 1000000.0)
        if fault is not None:
            word = fault.cause.word
            values[errors.get(word) or errors.setdefault(word, _error(metrics, word))] += 1
            if failed is not None:
                failed(exchange)
        if exchange.verdict is not None:
            by = exchange.verdict.by
            values[verdicts.get(by) or verdicts.setdefault(by, _verdict(metrics, by))] += 1

    return Hooks(log=log)


def _register(metrics: Metrics, route: str, method: bytes, status: int) -> _Slots:
    code = status if 100 <= status <= 599 else 0
    latency = metrics.histogram(
        "gateway_request_duration_seconds",
        "Time from the first byte of a request to the end of its answer.",
        LATENCY,
        route=route,
    )
    return _Slots(
        requests=metrics.counter(
            "gateway_requests_total",
            "Exchanges that are over, by route, method and class of the status.",
            route=route,
            method=method.decode(),
            status=f"{code // 100}xx" if code else OTHER,
        ),
        responses=metrics.counter(
            "gateway_responses_total",
            "Exchanges that are over, by status; 499 is a client that left before the answer began.",
            status=str(code) if code else OTHER,
        ),
        bytes_in=metrics.counter("gateway_request_body_bytes_total", "Bytes of request bodies received.", route=route),
        bytes_out=metrics.counter("gateway_response_body_bytes_total", "Bytes of response bodies sent.", route=route),
        bucket=latency.first,
        microseconds=latency.total,
    )


def _upstream(metrics: Metrics, name: str) -> Histogram:
    return metrics.histogram(
        "gateway_upstream_duration_seconds",
        "Time from the first byte sent to an endpoint to the whole head of its response.",
        LATENCY,
        upstream=name or _NONE,
    )


def _error(metrics: Metrics, word: str) -> int:
    return metrics.counter("gateway_errors_total", "Exchanges that failed, by cause.", cause=word)


def _verdict(metrics: Metrics, by: str) -> int:
    return metrics.counter(
        "gateway_verdicts_total", "Exchanges that a feature answered before any upstream was asked.", filter=by
    )
