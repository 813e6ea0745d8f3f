"""The table of a run: ratios to nginx, what passes, how it is printed."""

from __future__ import annotations

import pytest

from bench.table import Bar, Row, judge, render


def rows(ours: float, nginx: float | None = 10.0) -> list[Row]:
    peers = [Row("proxied", "gateway", ours, "us")]
    return peers if nginx is None else [Row("proxied", "nginx", nginx, "us"), *peers]


@pytest.mark.parametrize(
    ("bar", "ours", "passed", "aim"),
    [
        (Bar(2.2, 1.6, per_nginx=True), 16.0, True, True),
        (Bar(2.2, 1.6, per_nginx=True), 22.0, True, False),
        (Bar(2.2, 1.6, per_nginx=True), 22.1, False, False),
        (Bar(0.5, 0.8, per_nginx=True, at_least=True), 5.0, True, False),
        (Bar(0.5, 0.8, per_nginx=True, at_least=True), 4.9, False, False),
        (Bar(800, 400, unit="ms"), 400.0, True, True),
        (Bar(800, 400, unit="ms"), 801.0, False, False),
    ],
)
def test_a_bar_is_judged(bar: Bar, ours: float, passed: bool, aim: bool) -> None:
    """The gateway's figure, or its ratio to nginx, on the right side of the bar; nginx itself is not judged."""
    nginx, gateway = judge(rows(ours), bar)
    assert (gateway.passed, gateway.reaches_aim, gateway.ratio) == (passed, aim, ours / 10)
    assert (nginx.passed, nginx.ratio) == (None, 1.0)


def test_without_nginx_nothing_is_claimed() -> None:
    """A ratio that cannot be formed neither passes nor fails, and the row says why."""
    (row,) = judge(rows(16.0, nginx=None), Bar(2.2, 1.6, per_nginx=True))
    assert row.passed is None
    assert "no nginx" in row.note


def test_the_table_says_what_failed() -> None:
    """A line for each row, ratios and bars in words."""
    lines = render(judge(rows(30.0), Bar(2.2, 1.6, per_nginx=True))).splitlines()
    assert [line.split() for line in lines if line] == [
        ["work", "target", "figure", "unit", "x", "nginx", "bar", "notes"],
        ["proxied", "nginx", "10.0", "us", "1.00"],
        ["proxied", "gateway", "30.0", "us", "3.00", "≤", "2.2", "x", "nginx", "FAIL"],
    ]
