"""The numbers of several processes as one."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator

import orjson
import pytest

from gateway.metrics import Distribution, Family, Metrics
from gateway.state.catalogue import Catalogue
from gateway.state.segment import Segment
from gateway.state.totals import added_up, families, zero_gauges
from tests.kit.children import run


@pytest.fixture
def segment() -> Iterator[Segment]:
    made = Segment.create()
    yield made
    made.close()


def worker(segment: Segment, lane: int) -> Metrics:
    return Metrics(segment.lane(lane), Catalogue(segment).claim)


def count(segment: Segment, lane: int, times: int) -> None:
    """What a worker does."""
    metrics = worker(segment, lane)
    values = metrics.values
    values[metrics.gauge("gateway_open", "Open.", listener="a")] += times
    for _ in range(times):
        values[metrics.counter("gateway_requests_total", "Requests.", route="a", method="GET")] += 1
        metrics.histogram("gateway_wait_seconds", "Waits.", (0.1, 1.0), route="a").observe(0.25)
    values[metrics.counter("gateway_requests_total", "Requests.", route=f"only {lane}", method="GET")] += 1


def by_name(found: list[Family]) -> dict[str, dict[str, float | Distribution]]:
    return {
        family.name: {"/".join(value for _name, value in sample.labels): sample.value for sample in family.samples}
        for family in found
    }


def test_counts_of_all_processes_are_one_number(segment: Segment) -> None:
    """Counters, gauges and histograms add up, slot by slot; a series that one process has alone is there too."""
    assert run(lambda: count(segment, 0, 3)) == run(lambda: count(segment, 5, 4)) == 0
    found = families(Catalogue(segment), segment)
    assert by_name(found) == {
        "gateway_open": {"a": 7},
        "gateway_requests_total": {"a/GET": 7, "only 0/GET": 1, "only 5/GET": 1},
        "gateway_wait_seconds": {"a": Distribution((0.1, 1.0), (0, 7, 0), 1.75)},
    }
    assert [(family.kind, family.help, family.label_names) for family in found] == [
        ("gauge", "Open.", ("listener",)),
        ("counter", "Requests.", ("route", "method")),
        ("histogram", "Waits.", ("route",)),
    ]


def test_a_process_alone_is_the_sum(segment: Segment) -> None:
    """What a registry says of itself is what is read of it through the segment."""
    metrics = worker(segment, 1)
    metrics.values[metrics.counter("gateway_requests_total", "Requests.", route="a", method="GET")] += 2
    metrics.values[metrics.gauge("gateway_open", "Open.")] -= 1
    metrics.histogram("gateway_wait_seconds", "Waits.", (0.1, 1.0), route="a").observe(0.5)
    assert families(Catalogue(segment), segment) == list(metrics.families())


def test_a_successor_counts_on_and_starts_with_no_gauge(segment: Segment) -> None:
    """A worker dies with connections open: its counts stay, its gauges go, and its successor adds to the same lane."""
    assert run(lambda: count(segment, 0, 3)) == 0
    catalogue = Catalogue(segment)
    before = by_name(families(catalogue, segment))
    zero_gauges(catalogue, segment.lane(0))
    after = by_name(families(catalogue, segment))
    assert after == before | {"gateway_open": {"a": 0}}
    assert run(lambda: count(segment, 0, 2)) == 0
    found = by_name(families(catalogue, segment))
    assert found["gateway_open"] == {"a": 2}
    assert found["gateway_requests_total"] == {"a/GET": 5, "only 0/GET": 2}


def test_before_anybody_counts(segment: Segment) -> None:
    """Nothing, and then zeros: lanes that nobody uses are not read."""
    catalogue = Catalogue(segment)
    assert families(catalogue, segment) == []
    metrics = Metrics(claim=catalogue.claim, values=[])
    metrics.counter("gateway_x_total", "X.")
    assert by_name(families(catalogue, segment)) == {"gateway_x_total": {"": 0}}


def test_the_newest_meaning_of_a_metric_is_shown(segment: Segment) -> None:
    """A version before an upgrade counted with other bounds: one name, one shape."""
    for bounds in ((1.0, 2.0), (5.0,)):
        worker(segment, 0).histogram("gateway_x_seconds", "X.", bounds, route="a").observe(1.5)
    assert by_name(families(Catalogue(segment), segment)) == {
        "gateway_x_seconds": {"a": Distribution((5.0,), (1, 0), 1.5)}
    }


def test_numbers_that_are_asked_for_add_up(segment: Segment) -> None:
    """Over the processes that answered, by name and labels, after their way through JSON."""
    answers = []
    for process in (1, 2):
        metrics = Metrics()
        metrics.values[metrics.counter("gateway_x_total", "X.")] += 1
        metrics.gauge_function("gateway_open", "Open.", lambda process=process: process)  # type: ignore[misc]
        metrics.gauge_function("gateway_pool", "Pool.", lambda: 2.5, endpoint="a", state="idle")
        metrics.gauge_series("gateway_days", "Days.", ("name",), lambda process=process: [((f"{process}",), 3)])  # type: ignore[misc]
        metrics.gauge_series("gateway_none", "None.", ("name",), list)
        answers.append(orjson.loads(orjson.dumps(metrics.functions())))
    found = families(Catalogue(segment), segment, answers)
    assert by_name(found) == {
        "gateway_open": {"": 3},
        "gateway_pool": {"a/idle": 5},
        "gateway_days": {"1": 3, "2": 3},
    }
    assert [family.label_names for family in found] == [(), ("endpoint", "state"), ("name",)]
    assert {family.kind for family in found} == {"gauge"}


def test_a_reader_that_fails_spoils_only_its_own_process() -> None:
    """Numbers of others stand; where all fail, so does the sum."""

    def answer(number: float, other: float) -> list[list[object]]:
        metrics = Metrics()
        metrics.gauge_function("gateway_one", "One.", lambda: number / 1)
        metrics.gauge_function("gateway_all", "All.", lambda: other)
        return orjson.loads(orjson.dumps(metrics.functions()))

    nan = math.nan
    for numbers in ((nan, 2.0, nan), (2.0, nan, nan), (nan, nan, 2.0), (1.0, nan, 1.0)):
        found = by_name(added_up([answer(number, nan) for number in numbers]))
        assert found["gateway_one"] == {"": 2.0}
        assert math.isnan(found["gateway_all"][""])  # type: ignore[arg-type]


def test_another_version_may_name_other_labels() -> None:
    """During an upgrade old workers answer too: what does not fit the first answer is left out."""
    old, new = Metrics(), Metrics()
    new.gauge_function("gateway_x", "X.", lambda: 1, route="a")
    old.gauge_function("gateway_x", "X.", lambda: 1, upstream="a")
    assert by_name(added_up([new.functions(), old.functions()])) == {"gateway_x": {"a": 1}}


def test_a_scrape_touches_no_memory_of_lanes_that_nobody_uses(segment: Segment) -> None:
    """Reading a page of shared memory for the first time would make the kernel find one."""
    count(segment, 0, 1)
    blocks = os.fstat(segment.fd).st_blocks
    families(Catalogue(segment), segment)
    assert os.fstat(segment.fd).st_blocks == blocks
