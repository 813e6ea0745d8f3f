"""The metrics that the sources declare, read from their syntax trees: name, kind, labels, help.

For reference.py. The rule: the call that registers a metric is its only description, so it must be readable as it
stands: a literal name, a literal help, and labels by name.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

KINDS = {
    "counter": "counter",
    "gauge": "gauge",
    "gauge_function": "gauge",
    "gauge_series": "gauge",
    "histogram": "histogram",
}
# Parameters that are no labels.
_OWN = {"name", "help", "read", "bounds", "owner", "label_names"}


class Declared(NamedTuple):
    """One metric as a call registers it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str
    place: str  # file and line, for messages


class Unreadable(ValueError):
    """A registration whose name, help or labels are not written out."""


def declared(package: Path) -> list[Declared]:
    """All metrics of a package's sources, by name. Raises Unreadable, also if two calls disagree about one metric."""
    found: dict[str, Declared] = {}
    for path in sorted(package.rglob("*.py")):
        for one in _in_file(path, path.relative_to(package.parent).as_posix()):
            other = found.setdefault(one.name, one)
            if (other.kind, set(other.labels), other.help) != (one.kind, set(one.labels), one.help):
                raise Unreadable(f"{one.place}: {one.name} is described differently at {other.place}")
    return [found[name] for name in sorted(found)]


def _in_file(path: Path, shown: str) -> Iterator[Declared]:
    for function in _outermost(ast.parse(path.read_text()).body):
        names = _assigned(function)
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is_registration(node):
                yield _read(node, node.func.attr, names, f"{shown}:{node.lineno}")


def _outermost(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Functions and methods; those inside them are walked with them."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
        elif isinstance(node, ast.ClassDef):
            yield from _outermost(node.body)


def _is_registration(call: ast.Call) -> bool:
    return (
        isinstance(call.func, ast.Attribute)
        and call.func.attr in KINDS
        and bool(call.args)
        and _text(call.args[0]).startswith("gateway_")
    )


def _assigned(scope: ast.FunctionDef | ast.AsyncFunctionDef) -> dict[str, tuple[str, ...]]:
    """Dictionaries that the function writes out, by variable: their keys."""
    return {
        node.targets[0].id: tuple(_text(key) for key in node.value.keys if key is not None)
        for node in ast.walk(scope)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Dict)
    }


def _read(call: ast.Call, method: str, names: dict[str, tuple[str, ...]], place: str) -> Declared:
    texts = [_text(argument) for argument in call.args[:2]]
    labels: list[str] = []
    for keyword in call.keywords:
        if keyword.arg is not None:
            labels += [keyword.arg] if keyword.arg not in _OWN else []
        elif isinstance(keyword.value, ast.Name) and keyword.value.id in names:
            labels += names[keyword.value.id]
        else:
            raise Unreadable(f"{place}: write the labels of {texts[0]} out")
    if method == "gauge_series" and len(call.args) > 2 and isinstance(call.args[2], ast.Tuple):
        labels += [_text(element) for element in call.args[2].elts]
    if len(texts) < 2 or not texts[1]:
        raise Unreadable(f"{place}: write the help of {texts[0]} as a literal")
    return Declared(texts[0], KINDS[method], tuple(labels), texts[1], place)


def _text(node: ast.AST) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
