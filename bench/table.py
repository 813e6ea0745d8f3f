"""Rows of the result: a figure, its ratio to nginx for the same work, the bar, and whether it holds.

A workload returns rows; this module judges and prints them. A row without a bar is there for comparison only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Bar(NamedTuple):
    """What the gateway has to reach and what it aims at; `per_nginx` when the figure is a ratio to nginx."""

    limit: float
    aim: float
    per_nginx: bool = False
    at_least: bool = False  # else: at most
    unit: str = ""

    def text(self) -> str:
        sign = "≥" if self.at_least else "≤"
        return f"{sign} {self.limit:g}{' x nginx' if self.per_nginx else f' {self.unit}'.rstrip()}"


class Row(NamedTuple):
    """One line: `passed` is None where nothing is asked."""

    work: str
    target: str
    value: float
    unit: str
    ratio: float | None = None  # to nginx, for the same work
    bar: Bar | None = None
    passed: bool | None = None
    reaches_aim: bool = False
    note: str = ""


def judge(rows: Iterable[Row], bar: Bar | None, target: str = "gateway") -> list[Row]:
    """The rows of one workload with ratios to nginx filled in and `target`'s row judged by `bar`."""
    listed = list(rows)
    nginx = next((row.value for row in listed if row.target == "nginx"), None)
    ratios = [row._replace(ratio=row.value / nginx if nginx else None) for row in listed]
    return [_judged(row, bar) if row.target == target and bar is not None else row for row in ratios]


def _judged(row: Row, bar: Bar) -> Row:
    measured = row.ratio if bar.per_nginx else row.value
    if measured is None:
        return row._replace(bar=bar, note=f"{row.note} no nginx to compare with".strip())
    return row._replace(
        bar=bar,
        passed=measured >= bar.limit if bar.at_least else measured <= bar.limit,
        reaches_aim=measured >= bar.aim if bar.at_least else measured <= bar.aim,
    )


def render(rows: list[Row]) -> str:
    """The table as text, one line a row, columns aligned."""
    head = ("work", "target", "figure", "unit", "x nginx", "bar", "", "notes")
    body = [
        (
            row.work,
            row.target,
            f"{row.value:,.1f}" if row.value < 1000 else f"{row.value:,.0f}",
            row.unit,
            "" if row.ratio is None else f"{row.ratio:.2f}",
            "" if row.bar is None else row.bar.text(),
            "" if row.passed is None else ("FAIL" if not row.passed else "pass, aim" if row.reaches_aim else "pass"),
            row.note,
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in [head, *body]) for column in range(len(head))]
    lines = []
    last = ""
    for line in [head, *body]:
        if line is not head and line[0] != last:
            lines.append("")
            last = line[0]
        cells = [
            cell.rjust(width) if column in (2, 4) else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
