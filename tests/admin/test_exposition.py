"""The text of a scrape, read back by Prometheus' own parsers."""

from __future__ import annotations

import math
from typing import Any

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from gateway.admin.exposition import snapshot
from gateway.metrics import Metrics

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def filled() -> Metrics:
    metrics = Metrics()
    metrics.values[metrics.counter("gateway_requests_total", "Requests.", route='a"\\\n', status="2xx")] += 3
    metrics.values[metrics.gauge("gateway_open", "Open.")] += 2
    histogram = metrics.histogram("gateway_wait_seconds", "Waits.", (0.1, 1.0), route="a")
    for seconds in (0.05, 0.1, 0.5, 5.0):
        histogram.observe(seconds)
    metrics.gauge_function("gateway_broken", "Broken.", lambda: 1 / 0)
    metrics.gauge_series("gateway_none", "None.", ("a",), list)
    return metrics


def samples(text: bytes, parse: Any) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse(text.decode())
        for sample in family.samples
    }


def test_what_was_counted_is_what_is_read() -> None:
    """Counters, gauges and cumulative buckets, in both formats; label values survive their escapes."""
    for accept, parse in (("text/plain", parse_text), (OPENMETRICS, parse_openmetrics), ("", parse_text)):
        content_type, text = snapshot(filled().families(), accept)()
        assert ("openmetrics" in content_type) is (parse is parse_openmetrics)
        found = samples(text, parse)
        assert found["gateway_requests_total", frozenset({("route", 'a"\\\n'), ("status", "2xx")})] == 3
        assert found["gateway_open", frozenset()] == 2
        buckets = {bound: found["gateway_wait_seconds_bucket", frozenset({("route", "a"), ("le", bound)})]
                   for bound in ("0.1", "1.0", "+Inf")}  # fmt: skip
        assert buckets == {"0.1": 2, "1.0": 3, "+Inf": 4}
        assert found["gateway_wait_seconds_count", frozenset({("route", "a")})] == 4
        assert found["gateway_wait_seconds_sum", frozenset({("route", "a")})] == 5.65
        assert math.isnan(found["gateway_broken", frozenset()])
        assert found["process_cpu_seconds_total", frozenset()] > 0
        assert b"gateway_none" not in text


def test_numbers_are_those_of_the_moment_of_asking() -> None:
    """What is counted while the text is made on its thread does not show half."""
    metrics = filled()
    render = snapshot(list(metrics.families()), "")
    metrics.values[metrics.gauge("gateway_open", "Open.")] += 100
    assert samples(render()[1], parse_text)["gateway_open", frozenset()] == 2


def test_a_scraper_may_name_what_it_wants() -> None:
    """`name[]` limits the answer."""
    text = snapshot(filled().families(), "", ["gateway_open", "gateway_wait_seconds_sum"])()[1]
    assert {name for name, _labels in samples(text, parse_text)} == {"gateway_open", "gateway_wait_seconds_sum"}
