"""Totals: the metrics of all processes as one, for a scrape.

Run by the control process: slots are added up over the lanes of all processes, the dead ones' included, and what has
no slot is added up over what the living ones answered. The rule: a counter never goes back, whoever dies; a gauge ends
with its process.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from gateway.metrics import Family, Labels, Sample, distribution
from gateway.state.catalogue import Catalogue
from gateway.state.segment import Segment


def families(catalogue: Catalogue, segment: Segment, functions: Iterable[Sequence[Any]] = ()) -> list[Family]:
    """All metrics; `functions` is what Metrics.functions() gave in each process."""
    return [*_of_slots(catalogue, segment), *added_up(functions)]


def zero_gauges(catalogue: Catalogue, lane: memoryview) -> None:
    """What a dead process had up is up no more: called for its lane when it was reaped, and by its successor."""
    catalogue.read_on()
    for slot in catalogue.gauges:
        lane[slot] = 0


def added_up(functions: Iterable[Sequence[Any]]) -> list[Family]:
    """One family per name, in the order of their first appearance. Gauges add up; where a reader failed (null), the
    numbers of the others stand."""
    found: dict[str, tuple[str, tuple[str, ...], dict[Labels, float]]] = {}
    for answer in functions:
        for name, text, label_names, samples in answer:
            _text, names, series = found.setdefault(name, (text, tuple(label_names), {}))
            if names != tuple(label_names):
                continue  # of another version of the gateway, which is on its way out
            for values, number in samples:
                labels = tuple(zip(names, values, strict=True))
                series[labels] = _sum(series.get(labels), number)
    return [
        Family(name, "gauge", text, names, [Sample(labels, number) for labels, number in series.items()])
        for name, (text, names, series) in found.items()
    ]


def _sum(known: float | None, number: float | None) -> float:
    if known is None or math.isnan(known):
        return math.nan if number is None else number
    return known if number is None else known + number


def _of_slots(catalogue: Catalogue, segment: Segment) -> Iterator[Family]:
    claimed = catalogue.definitions()
    used = claimed[-1].first + claimed[-1].definition.size if claimed else 0
    lanes = [lane[:used].tolist() for lane in segment.touched_lanes().values()]
    sums = list(map(sum, zip(*lanes, strict=True))) if lanes else [0] * used
    # By name, then by shape: after an upgrade a metric may have other labels or bounds than before it.
    shapes: dict[str, dict[tuple[object, ...], Family]] = {}
    for definition, first in claimed:
        name, kind, text, labels, bounds = definition
        names = tuple(label for label, _value in labels)
        families = shapes.setdefault(name, {})
        family = families.setdefault((kind, names, bounds), Family(name, kind, text, names, []))
        numbers = sums[first : first + definition.size]
        family.samples.append(Sample(labels, distribution(bounds, numbers) if kind == "histogram" else numbers[0]))
    for families in shapes.values():
        yield list(families.values())[-1]
