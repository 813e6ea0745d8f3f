"""The registry: slots, histograms, functions, and the bounds that keep them finite."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.metrics import LATENCY, MAX_LABEL, Definition, Distribution, Metrics


def test_the_same_name_and_labels_give_the_same_slot() -> None:
    """A reload that registers everything again goes on counting where it was; the order of labels is no matter."""
    metrics = Metrics()
    slot = metrics.counter("gateway_x_total", "X.", route="a", method="GET")
    metrics.values[slot] += 3
    assert metrics.counter("gateway_x_total", "X.", method="GET", route="a") == slot
    assert metrics.counter("gateway_x_total", "X.", method="GET", route="b") != slot
    assert metrics.value("gateway_x_total", route="a", method="GET") == 3


@pytest.mark.parametrize("name", ["gateway_x", "x_total", "gateway_X_total", "gateway_x_total\n", "gateway__total"])
def test_a_counter_is_named_as_counters_are(name: str) -> None:
    """Names are gateway_…_total, lower case, and nothing else."""
    with pytest.raises(ValueError, match="a metric is named"):
        Metrics().counter(name, "X.")


def test_a_metric_is_one_kind_with_one_set_of_labels() -> None:
    """A second meaning of a name is a bug, told at load."""
    metrics = Metrics()
    metrics.gauge("gateway_x", "X.", route="a")
    with pytest.raises(ValueError, match="already a gauge"):
        metrics.histogram("gateway_x", "X.", route="a")
    with pytest.raises(ValueError, match="labels"):
        metrics.gauge("gateway_x", "X.", upstream="a")


@given(st.lists(st.floats(min_value=0, max_value=100), max_size=40))
def test_a_histogram_puts_each_duration_into_the_bucket_that_holds_it(seconds: list[float]) -> None:
    """Counts agree with comparing against each bound; a value equal to a bound belongs below it."""
    histogram = Metrics().histogram("gateway_x_seconds", "X.", LATENCY)
    for each in seconds:
        histogram.observe(each)
    read = histogram.read()
    edges = [-math.inf, *LATENCY, math.inf]
    assert read.counts == tuple(sum(low < each <= high for each in seconds) for low, high in pairwise(edges))
    assert read.sum == pytest.approx(sum(seconds), abs=1e-6 * (len(seconds) + 1))


def test_series_beyond_the_limit_are_counted_together() -> None:
    """The surplus goes to "other", nothing is lost, and how often that happened is itself a metric."""
    metrics = Metrics(max_series=3)
    for number in range(10):
        metrics.values[metrics.counter("gateway_x_total", "X.", route=f"r{number}")] += 1
        metrics.histogram("gateway_x_seconds", "X.", (1.0,), route=f"r{number}").observe(0.5)
    assert metrics.value("gateway_x_total", route="r2") == 1
    assert metrics.value("gateway_x_total", route="other") == 7
    assert metrics.value("gateway_x_seconds", route="other") == Distribution((1.0,), (7, 0), 3.5)
    assert metrics.value("gateway_metrics_series_refused_total", metric="gateway_x_total") == 7
    assert len(metrics.values) < 40


def test_functions_are_read_when_scraped_and_replaced_by_a_reload() -> None:
    """A reader belongs to a site; the next site's takes its place. A broken one spoils only its own series."""
    metrics = Metrics(max_series=2)
    metrics.gauge_function("gateway_g", "G.", lambda: 1, of="a")
    metrics.gauge_function("gateway_g", "G.", lambda: 2, of="a")
    metrics.gauge_function("gateway_c", "C.", lambda: 1 / 0)
    metrics.gauge_function("gateway_g", "G.", lambda: 3, of="b")
    metrics.gauge_function("gateway_g", "G.", lambda: 4, of="surplus")
    families = {family.name: family for family in metrics.families()}
    assert [(sample.labels, sample.value) for sample in families["gateway_g"].samples] == [
        ((("of", "a"),), 2.0),
        ((("of", "b"),), 3.0),
    ]
    assert math.isnan(families["gateway_c"].samples[0].value)  # type: ignore[arg-type]
    assert metrics.value("gateway_metrics_series_refused_total", metric="gateway_g") == 1


def test_what_is_gone_is_no_longer_read() -> None:
    """An upstream that a reload removed leaves no gauge behind; what it counted stays."""
    metrics = Metrics()
    metrics.counter("gateway_c_total", "C.", upstream="old")
    for upstream in ("old", "new"):
        metrics.gauge_function("gateway_g", "G.", lambda: 1, upstream=upstream, state="idle")
    metrics.forget(upstream="old")
    assert metrics.value("gateway_g", upstream="old", state="idle") is None
    assert metrics.value("gateway_g", upstream="new", state="idle") == 1
    assert metrics.value("gateway_c_total", upstream="old") == 0


def test_series_that_come_and_go() -> None:
    """Each owner's reader yields the series of now; registering an owner again replaces its reader; bounded."""
    metrics = Metrics(max_series=2)
    now = [(("app", "one"), 1), (("app", "two"), 2), (("app", "three"), 3)]
    metrics.gauge_series("gateway_idle", "I.", ("upstream", "endpoint"), list, owner="app")
    metrics.gauge_series("gateway_idle", "I.", ("upstream", "endpoint"), lambda: now, owner="app")
    (family,) = metrics.families()
    assert [sample.labels[1][1] for sample in family.samples] == ["one", "two"]
    now.clear()
    (family,) = metrics.families()
    assert family.samples == []


def test_label_values_can_always_be_encoded_and_are_short() -> None:
    """Lone surrogates and endless names do not break the scrape."""
    metrics = Metrics()
    metrics.counter("gateway_x_total", "X.", route="\udcff" + "a" * 1000)
    (family,) = metrics.families()
    assert family.samples[0].labels == (("route", "?" + "a" * (MAX_LABEL - 1)),)


def test_numbers_may_stand_in_memory_of_others() -> None:
    """Slots come from whoever keeps the memory; what it has no room for is counted under "other"."""
    lane = memoryview(bytearray(8 * 64)).cast("q")
    claimed: list[Definition] = []

    def claim(definition: Definition) -> int | None:
        if dict(definition.labels).get("route") == "too many":
            return None
        claimed.append(definition)
        return 10 * len(claimed)

    metrics = Metrics(lane, claim)
    for route in ("a", "too many", "a", "too many"):
        metrics.values[metrics.counter("gateway_x_total", "X.", route=route)] += 1
    histogram = metrics.histogram("gateway_x_seconds", "S.", (1.0, 2.0))
    histogram.observe(1.5)
    assert [(definition.name, definition.labels, definition.size) for definition in claimed] == [
        ("gateway_x_total", (("route", "a"),), 1),
        ("gateway_metrics_series_refused_total", (("metric", "gateway_x_total"),), 1),
        ("gateway_x_total", (("route", "other"),), 1),
        ("gateway_x_seconds", (), 4),
    ]
    assert [definition.is_last_resort for definition in claimed] == [False, True, True, True]
    assert [lane[slot] for slot in (10, 20, 30, 41, 43)] == [2, 2, 2, 1, 1_500_000]
    assert metrics.value("gateway_x_total", route="other") == 2
    assert metrics.histogram("gateway_x_seconds", "S.", (1.0, 2.0)).read() == Distribution((1.0, 2.0), (0, 1, 0), 1.5)


def test_a_number_below_zero_is_a_number() -> None:
    """A gauge that went down more often than up is a bug to be seen, not an error where requests are counted."""
    metrics = Metrics(memoryview(bytearray(64)).cast("q"), lambda _definition: 0)
    slot = metrics.gauge("gateway_x", "X.")
    metrics.values[slot] -= 3
    assert metrics.value("gateway_x") == -3


def test_a_thread_registers_while_others_count() -> None:
    """A site is built on a thread while the loop registers what it sees first: no slot is given twice, none lost."""
    metrics = Metrics()
    threads = 4

    def register(part: int) -> None:
        for number in range(500):
            metrics.counter("gateway_own_total", "O.", part=f"{part}", number=f"{number}")
            metrics.histogram("gateway_shared_seconds", "S.", (1.0,), number=f"{number}")
            metrics.gauge_function("gateway_f", "F.", lambda: 1, part=f"{part}", number=f"{number}")
            metrics.forget(part=f"{part}", number=f"{number - 1}")
            if number % 50 == 0:
                list(metrics.families())

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(register, range(threads)))
    found = {family.name: len(family.samples) for family in metrics.families()}
    assert found == {"gateway_own_total": 500 * threads, "gateway_shared_seconds": 500, "gateway_f": threads}
    assert len(metrics.values) == 500 * threads + 500 * 3


def test_value_of_what_is_not_there() -> None:
    """Unknown metrics and unknown series read as None."""
    metrics = Metrics()
    metrics.counter("gateway_x_total", "X.", route="a")
    assert metrics.value("gateway_y_total") is None
    assert metrics.value("gateway_x_total", route="b") is None
