"""The registry in the text formats of Prometheus and OpenMetrics.

Called by /metrics. The rule: the numbers are taken in one go on the event loop, and turned into text on a thread, so
that thousands of series do not hold up requests; prometheus-client is used for this and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.utils import floatToGoString

from gateway.metrics import Distribution, Family


class _Snapshot:
    """A collector of what the registry held at one moment."""

    __slots__ = ("_families",)

    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return map(_metric, self._families)


def snapshot(taken: Iterable[Family], accept: str, names: Sequence[str] = ()) -> Callable[[], tuple[str, bytes]]:
    """`taken` are the numbers of now; the result renders them, on any thread, as (content type, text).

    `accept` is the Accept field of the scraper; `names` limits the answer to those series names (`?name[]=`).
    """
    families = [family for family in taken if family.samples]

    def render() -> tuple[str, bytes]:
        registry = CollectorRegistry(auto_describe=bool(names))
        registry.register(_Snapshot(families))
        ProcessCollector(registry=registry)
        encode, content_type = choose_encoder(accept)
        chosen = registry.restricted_registry(names) if names else registry
        return content_type, encode(chosen)

    return render


def _metric(family: Family) -> Metric:
    names = family.label_names
    if family.kind == "histogram":
        histogram = HistogramMetricFamily(family.name, family.help, labels=names)
        for labels, value in _samples(family):
            if isinstance(value, Distribution):
                histogram.add_metric(labels, list(_buckets(value)), value.sum)
        return histogram
    made = (CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily)(
        family.name, family.help, labels=names
    )
    for labels, value in _samples(family):
        if not isinstance(value, Distribution):
            made.add_metric(labels, value)
    return made


def _samples(family: Family) -> Iterator[tuple[list[str], float | Distribution]]:
    return (([value for _name, value in sample.labels], sample.value) for sample in family.samples)


def _buckets(value: Distribution) -> Iterator[tuple[str, float]]:
    edges = [*map(floatToGoString, value.bounds), "+Inf"]
    return zip(edges, accumulate(value.counts), strict=True)
