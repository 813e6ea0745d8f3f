"""The registry of metrics: plain integers, and what each of them means.

Every floor registers its counters at load time and adds to `values[slot]` while it serves; the integers stand in a
list, or in memory that processes share (gateway/state), where a slot is the same metric in each of them. The rule: a
slot has one writing thread; and labels are bounded, series beyond the limit of a metric are counted under "other", so
that no client and no configuration can make the memory or the scrape grow without end.

Shared integers have 64 bits and a sign. A counter of bytes at 100 Gbit/s overflows after 23 years, one of microseconds
of 10,000 requests at a time after 29. A gauge is a sum of ups and downs, below zero only for a moment and by a bug.
"""

from __future__ import annotations

import math
import re
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

Labels: TypeAlias = tuple[tuple[str, str], ...]

# Seconds. From a cache hit to the longest answer a person waits for; the last bucket takes the rest.
LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
MAX_SERIES = 10_000  # per metric, against a configuration or a client that invents label values
MAX_LABEL = 256  # characters of a label value, against the same
OTHER = "other"
REFUSED = "gateway_metrics_series_refused_total"

_NAME = re.compile(r"gateway_[a-z][a-z0-9_]*")


class Values(Protocol):
    """The integers: a list, or shared words seen through a memoryview."""

    def __getitem__(self, slot: int, /) -> int: ...
    def __setitem__(self, slot: int, number: int, /) -> None: ...


def slots_of(kind: str, bounds: tuple[float, ...]) -> int:
    """How many slots a series takes: one, or a histogram's buckets, +Inf and sum."""
    return len(bounds) + 2 if kind == "histogram" else 1


class Definition(NamedTuple):
    """One series in slots. `bounds` are a histogram's."""

    name: str
    kind: str
    help: str
    labels: Labels
    bounds: tuple[float, ...] = ()

    @property
    def size(self) -> int:
        return slots_of(self.kind, self.bounds)

    @property
    def is_last_resort(self) -> bool:
        """Whether there must be room for it beyond every limit: it counts what found none."""
        return self.name == REFUSED or all(value == OTHER for _name, value in self.labels)


# The first slot of a series, the same whenever it is asked for; None beyond the limit of the metric.
Claim: TypeAlias = Callable[[Definition], int | None]


class Distribution(NamedTuple):
    """What a histogram holds at one moment: counts per bucket (not cumulative, the last is +Inf) and the sum."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float  # seconds


class Sample(NamedTuple):
    """One series at one moment."""

    labels: Labels
    value: float | Distribution


class Family(NamedTuple):
    """One metric and all its series. `kind` is counter, gauge or histogram."""

    name: str
    kind: str
    help: str
    label_names: tuple[str, ...]
    samples: list[Sample]


class Histogram:
    """Durations sorted into buckets. `observe` costs two additions; hot paths may do the two additions themselves.

    values[first + bisect_left(bounds, seconds)] += 1 and values[total] += microseconds.
    """

    __slots__ = ("bounds", "first", "total", "values")

    def __init__(self, values: Values, first: int, bounds: tuple[float, ...]) -> None:
        self.values = values
        self.first = first
        self.bounds = bounds
        self.total = first + len(bounds) + 1

    def observe(self, seconds: float) -> None:
        values = self.values
        values[self.first + bisect_left(self.bounds, seconds)] += 1
        values[self.total] += int(seconds * 1e6)

    def read(self) -> Distribution:
        return distribution(self.bounds, [self.values[slot] for slot in range(self.first, self.total + 1)])


def distribution(bounds: tuple[float, ...], numbers: Sequence[int]) -> Distribution:
    """What the slots of a histogram say."""
    return Distribution(bounds, tuple(numbers[:-1]), numbers[-1] / 1e6)


class _Declared:
    """A metric as first registered, and its series: their first slots, or functions."""

    __slots__ = ("bounds", "help", "kind", "label_names", "readers", "series")

    def __init__(self, kind: str, text: str, label_names: tuple[str, ...], bounds: tuple[float, ...]) -> None:
        self.kind = kind
        self.help = text
        self.label_names = label_names
        self.bounds = bounds
        self.series: dict[Labels, int | Callable[[], float]] = {}
        self.readers: dict[str, Callable[[], Iterable[tuple[tuple[str, ...], float]]]] = {}


class _Plain:
    """Slots in a list of this process alone."""

    __slots__ = ("_max_series", "_series", "values")

    def __init__(self, max_series: int) -> None:
        self.values: list[int] = []
        self._series: Counter[str] = Counter()
        self._max_series = max_series

    def claim(self, definition: Definition) -> int | None:
        """Called once for each definition, under the registry's lock."""
        if self._series[definition.name] >= self._max_series and not definition.is_last_resort:
            return None
        self._series[definition.name] += 1
        first = len(self.values)
        self.values.extend([0] * definition.size)
        return first


class Metrics:
    """All metrics of a process. The same name and labels always give the same slot, across reloads too.

    Without `values` and `claim` it counts for itself. Registering is for any thread.
    """

    __slots__ = ("_claim", "_declared", "_lock", "_max_series", "values")

    def __init__(self, values: Values | None = None, claim: Claim | None = None, max_series: int = MAX_SERIES) -> None:
        if values is None or claim is None:
            plain = _Plain(max_series)
            values, claim = plain.values, plain.claim
        self.values = values
        self._claim = claim
        self._declared: dict[str, _Declared] = {}
        self._max_series = max_series  # of functions
        self._lock = threading.RLock()

    def counter(self, name: str, help: str, **labels: str) -> int:  # noqa: A002  # Prometheus' own word
        """The slot of a number that only grows. Names end in _total."""
        return self._slot(name, "counter", help, labels)

    def gauge(self, name: str, help: str, **labels: str) -> int:  # noqa: A002
        """The slot of a number that may go down. It ends with its process: another's sum does not count it."""
        return self._slot(name, "gauge", help, labels)

    def histogram(self, name: str, help: str, bounds: tuple[float, ...] = LATENCY, **labels: str) -> Histogram:  # noqa: A002
        """A histogram of durations in seconds; `bounds` are upper limits, ascending, without +Inf."""
        return Histogram(self.values, self._slot(name, "histogram", help, labels, bounds), bounds)

    def gauge_function(self, name: str, help: str, read: Callable[[], float], **labels: str) -> None:  # noqa: A002
        """A number asked for when scraped. Registering it again replaces the function (a reload brings a new one).

        There is no such thing for counters: one that is kept elsewhere would go back to zero with its process.
        """
        with self._lock:
            declared = self._declare(name, "gauge", help, tuple(labels), ())
            key = _labels(declared.label_names, labels)
            if key in declared.series or len(declared.series) < self._max_series:
                declared.series[key] = read
            else:  # numbers of functions cannot be added up under "other": the surplus is left out
                self._refuse(name)

    def gauge_series(
        self,
        name: str,
        help: str,  # noqa: A002
        label_names: tuple[str, ...],
        read: Callable[[], Iterable[tuple[tuple[str, ...], float]]],
        owner: str = "",
    ) -> None:
        """Series that come and go (endpoints, certificates): `read` yields (label values, number) when scraped.

        `owner` tells several readers of one metric apart; registering the same owner again replaces its reader.
        """
        with self._lock:
            self._declare(name, "gauge", help, label_names, ()).readers[owner] = read

    def forget(self, **labels: str) -> None:
        """Drops the functions whose series have these labels: what they read is gone. Numbers in slots stay."""
        wanted = set(labels.items())
        with self._lock:
            for declared in self._declared.values():
                declared.series = {
                    key: found
                    for key, found in declared.series.items()
                    if isinstance(found, int) or not wanted.issubset(key)
                }

    def families(self) -> Iterator[Family]:
        """A snapshot, metric by metric, in order of registration, of this process's numbers."""
        return self._families()

    def functions(self) -> list[list[Any]]:
        """The numbers that are asked for when scraped, as plain JSON: [name, help, label names, [[values, number] …]].

        What a process tells another one of the numbers that stand in no slot (gateway/state/totals.py adds them up).
        """
        return [
            [
                family.name,
                family.help,
                list(family.label_names),
                [[[value for _name, value in labels], number] for labels, number in family.samples],
            ]
            for family in self._families(functions_only=True)
            if family.samples
        ]

    def value(self, name: str, **labels: str) -> float | Distribution | None:
        """One series of this process as scraped, None if there is none: for tests and the admin pages."""
        declared = self._declared.get(name)
        if declared is None:
            return None
        found = declared.series.get(_labels(declared.label_names, labels))
        return None if found is None else self._read(declared, found)

    def _families(self, *, functions_only: bool = False) -> Iterator[Family]:
        with self._lock:
            snapshot = [
                (name, declared, list(declared.series.items()), list(declared.readers.values()))
                for name, declared in self._declared.items()
            ]
        for name, declared, series, readers in snapshot:
            samples = [
                Sample(labels, self._read(declared, found))
                for labels, found in series
                if not (functions_only and isinstance(found, int))
            ]
            for reader in readers:
                samples += self._read_all(declared, reader)
            yield Family(name, declared.kind, declared.help, declared.label_names, samples)

    def _slot(self, name: str, kind: str, text: str, labels: dict[str, str], bounds: tuple[float, ...] = ()) -> int:
        """The first slot of a series; of "other" where it is one too many."""
        with self._lock:
            declared = self._declare(name, kind, text, tuple(labels), bounds)
            for key in (_labels(declared.label_names, labels), tuple((label, OTHER) for label in declared.label_names)):
                found = declared.series.get(key)
                if not isinstance(found, int):
                    found = self._claim(Definition(name, kind, declared.help, key, bounds))
                if found is not None:
                    declared.series[key] = found
                    return found
                self._refuse(name)
            raise AssertionError(f"no room for what counts the surplus of {name}")

    def _refuse(self, name: str) -> None:
        slot = self.counter(
            "gateway_metrics_series_refused_total",
            'Series beyond the limit of a metric, counted under the label value "other".',
            metric=name,
        )
        self.values[slot] += 1

    def _declare(
        self, name: str, kind: str, text: str, label_names: tuple[str, ...], bounds: tuple[float, ...]
    ) -> _Declared:
        declared = self._declared.get(name)
        if declared is None:
            if not _NAME.fullmatch(name) or (kind == "counter") != name.endswith("_total"):
                raise ValueError(f"{name}: a metric is named gateway_…, a counter (and nothing else) gateway_…_total")
            declared = self._declared[name] = _Declared(kind, text, label_names, bounds)
        if (declared.kind, declared.bounds) != (kind, bounds) or set(declared.label_names) != set(label_names):
            raise ValueError(f"{name} is already a {declared.kind} with the labels {declared.label_names}")
        return declared

    def _read(self, declared: _Declared, found: int | Callable[[], float]) -> float | Distribution:
        if isinstance(found, int):
            if declared.kind == "histogram":
                return Histogram(self.values, found, declared.bounds).read()
            return self.values[found]
        try:
            return float(found())
        except Exception:  # noqa: BLE001  # one broken reader must not take the whole scrape with it
            return math.nan

    def _read_all(
        self, declared: _Declared, read: Callable[[], Iterable[tuple[tuple[str, ...], float]]]
    ) -> list[Sample]:
        samples: list[Sample] = []
        try:
            for values, number in read():
                if len(samples) == self._max_series:
                    break
                labels = dict(zip(declared.label_names, values, strict=True))
                samples.append(Sample(_labels(declared.label_names, labels), float(number)))
        except Exception:  # noqa: BLE001  # as in _read
            return samples
        return samples


def _labels(names: tuple[str, ...], labels: dict[str, str]) -> Labels:
    # Lone surrogates cannot be encoded and would break the whole scrape.
    return tuple((name, labels[name][:MAX_LABEL].encode("utf-8", "replace").decode()) for name in names)
