"""Metrics as the sources declare them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.admin.declared import Unreadable, declared


def package(folder: Path, source: str, name: str = "a.py") -> Path:
    path = folder / "gateway" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(source)
    return path.parent


def test_every_way_to_register_is_read(tmp_path: Path) -> None:
    """Names, kinds, labels and help of literal calls, methods and nested functions, labels from a local mapping."""
    found = declared(
        package(
            tmp_path,
            """
def build(metrics, name):
    labels = {"upstream": name, "endpoint": name}
    metrics.counter("gateway_a_total", "A " "and more.", route=name, status="2xx")
    metrics.histogram("gateway_b_seconds", "B.", (1.0,), route=name)
    metrics.gauge_series("gateway_c", "C.", ("x", "y"), list, owner=name)

    def later():
        metrics.gauge_function("gateway_d", "D.", lambda: 1.0, state="idle", **labels)


class Of:
    def __init__(self, metrics):
        self.slots = [metrics.gauge("gateway_e", "E.", word=word) for word in "ab"]
        self.other.counter("not_ours", "")
""",
        )
    )
    assert [(one.name, one.kind, one.labels, one.help) for one in found] == [
        ("gateway_a_total", "counter", ("route", "status"), "A and more."),
        ("gateway_b_seconds", "histogram", ("route",), "B."),
        ("gateway_c", "gauge", ("x", "y"), "C."),
        ("gateway_d", "gauge", ("state", "upstream", "endpoint"), "D."),
        ("gateway_e", "gauge", ("word",), "E."),
    ]
    assert found[0].place == "gateway/a.py:4"


@pytest.mark.parametrize(
    "call",
    [
        'metrics.counter("gateway_a_total", TEXT)',
        'metrics.counter("gateway_a_total")',
        'metrics.counter("gateway_a_total", "A.", **labels)',
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, call: str) -> None:
    """A reference that guesses is none: the place is named."""
    with pytest.raises(Unreadable, match=r"gateway/a\.py:2"):
        declared(package(tmp_path, f"def build(metrics, labels):\n    {call}\n"))


def test_two_descriptions_of_one_metric_are_refused(tmp_path: Path) -> None:
    """The same metric says the same wherever it is registered."""
    package(tmp_path, 'def build(metrics):\n    metrics.gauge("gateway_a", "A.", x="1")\n')
    folder = package(tmp_path, 'def build(metrics):\n    metrics.gauge("gateway_a", "B.", x="1")\n', "b.py")
    with pytest.raises(Unreadable, match="described differently"):
        declared(folder)
