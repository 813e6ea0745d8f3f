"""Tally: deaths are counted, and what the dead had open is put right."""

from __future__ import annotations

from gateway.metrics import Metrics
from gateway.state.catalogue import Catalogue
from gateway.state.segment import Segment
from gateway.state.totals import families
from gateway.supervision.tally import Tally


def totals(segment: Segment) -> dict[tuple[str, str], float]:
    return {
        (family.name, dict(sample.labels).get("kind", "")): sample.value  # type: ignore[misc]
        for family in families(Catalogue(segment), segment)
        for sample in family.samples
    }


def test_deaths() -> None:
    """Unasked ones are counted by kind; a dead worker's gauges are zero, its counters stay."""
    segment = Segment.create()
    tally = Tally(segment)
    worker = Metrics(segment.lane(3), Catalogue(segment).claim)
    counter, gauge = worker.counter("gateway_things_total", "Things."), worker.gauge("gateway_open", "Open.")
    worker.values[counter] += 5
    worker.values[gauge] += 2
    tally.serving(4)
    tally.died("worker", 3, expected=False)
    tally.died("worker", 3, expected=True)
    tally.died("control", 127, expected=False)
    assert totals(segment) == {
        ("gateway_workers", ""): 4,
        ("gateway_worker_restarts_total", "worker"): 1,
        ("gateway_worker_restarts_total", "control"): 1,
        ("gateway_things_total", ""): 5,
        ("gateway_open", ""): 0,
    }
    Tally(segment).died("worker", 3, expected=False)  # another image of the supervisor goes on counting
    assert totals(segment)["gateway_worker_restarts_total", "worker"] == 2
    segment.close()
