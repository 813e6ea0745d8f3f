"""Catalogue: which series stands in which slot of every lane, written down where all processes read it.

Metrics are given `claim` at their making (gateway/metrics.py); totals.py reads `definitions`. The rule: the list only
grows and is never rewritten, so a slot means the same for ever, whoever dies; an entry counts once the word behind it
says so, and what a killed process had half written is written over.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple, TypeAlias

import orjson

from gateway.metrics import MAX_SERIES, Definition, slots_of
from gateway.state.segment import LANE_SLOTS, REGIONS, Segment, Word

# Slots at the begin of a lane that nobody reads: where the numbers go for which there is no room at all.
BASKET = 64
# Room that only definitions of last resort may take: the "other" of every metric, and what counts refusals.
SPARE_SLOTS = 4096
SPARE_BYTES = 256 * 1024


class Claimed(NamedTuple):
    """A series and its first slot."""

    definition: Definition
    first: int


class _Metric(NamedTuple):
    """What all series of a metric have in common, as the first of them was defined."""

    name: str
    kind: str
    help: str
    label_names: tuple[str, ...]
    bounds: tuple[float, ...]

    @property
    def identity(self) -> tuple[object, ...]:
        return self.name, self.kind, tuple(sorted(self.label_names)), self.bounds

    def series(self, values: Sequence[str]) -> Definition:
        labels = tuple(zip(self.label_names, values, strict=True))
        return Definition(self.name, self.kind, self.help, labels, self.bounds)


# Number of a metric, in the order of their first series, and the values of the labels.
_Series: TypeAlias = tuple[int, *tuple[str, ...]]


class Catalogue:
    """One process's reading of the shared list. For any thread.

    `gauges` are the slots of all gauges that it has read of.
    """

    __slots__ = (
        "_bytes", "_claimed", "_counts", "_lock", "_max_series", "_metrics", "_next", "_numbers", "_read", "_segment",
        "_slots", "gauges",
    )  # fmt: skip

    def __init__(self, segment: Segment, max_series: int = MAX_SERIES) -> None:
        self._segment = segment
        self._lock = threading.Lock()
        self._bytes = segment.region("catalogue")
        self._max_series = max_series
        self._read = 0  # bytes
        self._next = BASKET
        self._metrics: list[_Metric] = []
        self._numbers: dict[tuple[object, ...], int] = {}  # by identity
        self._counts: list[int] = []  # of series, by metric
        self._slots: dict[_Series, int] = {}  # in their order
        self._claimed: list[Claimed] = []  # the same as far as anybody has asked: a worker never does
        self.gauges: list[int] = []

    def claim(self, definition: Definition) -> int | None:
        """The first slot of a series, the same for every process and for ever. None beyond the limit of the metric, or
        of the lane; what is of last resort is let beyond either, in the end into the BASKET. Raises ValueError."""
        if definition.size > BASKET:
            raise ValueError(f"{definition.name}: a histogram has at most {BASKET - 2} bounds")
        found = self._find(definition)
        if found is not None:
            return found
        with self._lock:
            self._read_on()  # the bulk of it; what is read below is what came in this moment, while others wait
            with self._segment.locked("catalogue"):
                self._take(self._added())
                found = self._find(definition)
                return self._append(definition) if found is None else found

    def definitions(self) -> list[Claimed]:
        """All of them, in the order of their slots, those included that others have added meanwhile."""
        with self._lock:
            self._read_on()
            for series, first in islice(self._slots.items(), len(self._claimed), None):
                self._claimed.append(Claimed(self._metrics[series[0]].series(series[1:]), first))
            return self._claimed.copy()

    def read_on(self) -> None:
        """Takes in what others have added."""
        with self._lock:
            self._read_on()

    def _find(self, definition: Definition) -> int | None:
        number = self._numbers.get(_metric(definition).identity)
        return None if number is None else self._slots.get(self._series(number, definition))

    def _series(self, number: int, definition: Definition) -> _Series:
        """Its values in the order of the metric: another process may have named the labels in another."""
        labels = dict(definition.labels)
        return number, *[labels[name] for name in self._metrics[number].label_names]

    def _append(self, definition: Definition) -> int | None:
        metric = _metric(definition)
        number = self._numbers.get(metric.identity)
        if number is None:
            series: _Series = (len(self._metrics), *[value for _name, value in definition.labels])
            lines = orjson.dumps(metric[:]) + b"\n" + orjson.dumps(series) + b"\n"
        else:
            series = self._series(number, definition)
            lines = orjson.dumps(series) + b"\n"
        last = definition.is_last_resort
        end = self._read + len(lines)
        slots = LANE_SLOTS - (0 if last else SPARE_SLOTS)
        room = REGIONS["catalogue"].size - (0 if last else SPARE_BYTES)
        if self._next + definition.size > slots or end > room:
            return 0 if last else None
        if number is not None and self._counts[number] >= self._max_series and not last:
            return None
        self._bytes[self._read : end] = lines
        self._segment.write(Word.CATALOGUE_LENGTH, end)
        self._take(lines)
        return self._slots[series]

    def _read_on(self) -> None:
        if self._segment.read(Word.CATALOGUE_LENGTH) != self._read:
            with self._segment.locked("catalogue"):
                added = self._added()
            self._take(added)

    def _added(self) -> bytes:
        """Under the segment's lock: where processors reorder stores, it makes the bytes seen before the word."""
        return bytes(self._bytes[self._read : self._segment.read(Word.CATALOGUE_LENGTH)])

    def _take(self, added: bytes) -> None:
        for line in orjson.loads(b"[%b]" % added.rstrip(b"\n").replace(b"\n", b",")):
            number = line[0]
            if isinstance(number, str):
                name, kind, text, label_names, bounds = line
                metric = _Metric(name, kind, text, tuple(label_names), tuple(bounds))
                self._numbers[metric.identity] = len(self._metrics)
                self._metrics.append(metric)
                self._counts.append(0)
                continue
            metric = self._metrics[number]
            self._slots[tuple(line)] = self._next
            self._counts[number] += 1
            if metric.kind == "gauge":
                self.gauges.append(self._next)
            self._next += slots_of(metric.kind, metric.bounds)
        self._read += len(added)


def _metric(definition: Definition) -> _Metric:
    names = tuple(name for name, _value in definition.labels)
    return _Metric(definition.name, definition.kind, definition.help, names, definition.bounds)
