"""The registry of metrics: plain integers in one list, and what each of them means.

Every floor registers its counters at load time and adds to `values[slot]` while it serves; the admin listener reads
`families()` when it is scraped. Labels are bounded: series beyond the limit of a metric are counted under "other", so
that no client and no configuration can make the memory or the scrape grow without end.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeAlias

Labels: TypeAlias = tuple[tuple[str, str], ...]

# Seconds. From a cache hit to the longest answer a person waits for; the last bucket takes the rest.
LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
MAX_SERIES = 10_000  # per metric, against a configuration or a client that invents label values
MAX_LABEL = 256  # characters of a label value, against the same
OTHER = "other"

_NAME = re.compile(r"gateway_[a-z][a-z0-9_]*")


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

    def __init__(self, values: list[int], first: int, bounds: tuple[float, ...]) -> None:
        self.values = values
        self.first = first
        self.bounds = bounds
        self.total = first + len(bounds) + 1

    def observe(self, seconds: float) -> None:
        values = self.values
        values[self.first + bisect_left(self.bounds, seconds)] += 1
        values[self.total] += int(seconds * 1e6)

    def read(self) -> Distribution:
        return Distribution(self.bounds, tuple(self.values[self.first : self.total]), self.values[self.total] / 1e6)


class _Declared:
    """A metric as first registered, and its series: a slot, a histogram, or a function."""

    __slots__ = ("bounds", "help", "kind", "label_names", "readers", "series")

    def __init__(self, kind: str, text: str, label_names: tuple[str, ...], bounds: tuple[float, ...]) -> None:
        self.kind = kind
        self.help = text
        self.label_names = label_names
        self.bounds = bounds
        self.series: dict[Labels, int | Histogram | Callable[[], float]] = {}
        self.readers: dict[str, Callable[[], Iterable[tuple[tuple[str, ...], float]]]] = {}


class Metrics:
    """All metrics of a process. The same name and labels always give the same slot, across reloads too."""

    __slots__ = ("_declared", "_max_series", "values")

    def __init__(self, max_series: int = MAX_SERIES) -> None:
        self.values: list[int] = []
        self._declared: dict[str, _Declared] = {}
        self._max_series = max_series

    def counter(self, name: str, help: str, **labels: str) -> int:  # noqa: A002  # Prometheus' own word
        """The slot of a number that only grows. Names end in _total."""
        return self._slot(name, "counter", help, labels)

    def gauge(self, name: str, help: str, **labels: str) -> int:  # noqa: A002
        """The slot of a number that may go down."""
        return self._slot(name, "gauge", help, labels)

    def histogram(self, name: str, help: str, bounds: tuple[float, ...] = LATENCY, **labels: str) -> Histogram:  # noqa: A002
        """A histogram of durations in seconds; `bounds` are upper limits, ascending, without +Inf."""
        declared = self._declare(name, "histogram", help, tuple(labels), bounds)
        key = self._key(name, declared, labels)
        found = declared.series.get(key)
        if not isinstance(found, Histogram):
            first = len(self.values)
            self.values.extend([0] * (len(bounds) + 2))
            found = declared.series[key] = Histogram(self.values, first, bounds)
        return found

    def gauge_function(self, name: str, help: str, read: Callable[[], float], **labels: str) -> None:  # noqa: A002
        """A number asked for when scraped. Registering it again replaces the function (a reload brings a new one)."""
        self._function(name, "gauge", help, read, labels)

    def counter_function(self, name: str, help: str, read: Callable[[], float], **labels: str) -> None:  # noqa: A002
        """The same for a number that only grows and is kept elsewhere."""
        self._function(name, "counter", help, read, labels)

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
        self._declare(name, "gauge", help, label_names, ()).readers[owner] = read

    def forget(self, **labels: str) -> None:
        """Drops the functions whose series have these labels: what they read is gone. Numbers in slots stay."""
        wanted = set(labels.items())
        for declared in self._declared.values():
            declared.series = {
                key: found
                for key, found in declared.series.items()
                if isinstance(found, int | Histogram) or not wanted.issubset(key)
            }

    def families(self) -> Iterator[Family]:
        """A snapshot, metric by metric, in order of registration. Run it on the thread that adds to `values`."""
        for name, declared in list(self._declared.items()):
            samples = [Sample(labels, self._read(found)) for labels, found in declared.series.items()]
            for reader in declared.readers.values():
                samples += self._read_all(declared, reader)
            yield Family(name, declared.kind, declared.help, declared.label_names, samples)

    def value(self, name: str, **labels: str) -> float | Distribution | None:
        """One series as scraped, None if there is none: for tests and the admin pages."""
        declared = self._declared.get(name)
        if declared is None:
            return None
        found = declared.series.get(_labels(declared.label_names, labels))
        return None if found is None else self._read(found)

    def _slot(self, name: str, kind: str, text: str, labels: dict[str, str]) -> int:
        declared = self._declare(name, kind, text, tuple(labels), ())
        key = self._key(name, declared, labels)
        found = declared.series.get(key)
        if not isinstance(found, int):
            found = declared.series[key] = len(self.values)
            self.values.append(0)
        return found

    def _function(self, name: str, kind: str, text: str, read: Callable[[], float], labels: dict[str, str]) -> None:
        declared = self._declare(name, kind, text, tuple(labels), ())
        key = self._key(name, declared, labels)
        # Numbers of functions cannot be added up under "other": the surplus is left out, and counted by _key.
        if key == _labels(declared.label_names, labels):
            declared.series[key] = read

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

    def _key(self, name: str, declared: _Declared, labels: dict[str, str]) -> Labels:
        key = _labels(declared.label_names, labels)
        if key in declared.series or len(declared.series) < self._max_series or not key:
            return key
        refused = self.counter(
            "gateway_metrics_series_refused_total",
            'Series beyond the limit of a metric, counted under the label value "other".',
            metric=name,
        )
        self.values[refused] += 1
        return tuple((label, OTHER) for label in declared.label_names)

    def _read(self, found: int | Histogram | Callable[[], float]) -> float | Distribution:
        if isinstance(found, int):
            return self.values[found]
        if isinstance(found, Histogram):
            return found.read()
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
