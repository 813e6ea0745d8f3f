"""Checks across keys, on trees that may be wrong in every other way too."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.crosscheck import crosscheck, repeated_names
from gateway.config.document import parse
from gateway.config.references import References
from gateway.config.tree import Tree


def tree_of(text: str) -> Tree:
    root, _, _ = parse(text.encode(), "c", References({"NAME": "hunter2"}, Path()))
    assert root is not None
    return Tree(root)


def check(text: str) -> list[str]:
    return [str(problem) for problem in crosscheck(tree_of(text))]


@pytest.mark.parametrize(
    "text",
    [
        "routes: 3", "routes: [3, {upstream: [a]}, {upstream: }]", "upstreams: [a]\nroutes: [{upstream: a}]",
        "listeners: {bind: 3}\nroutes: [{}]", "listeners: [3, {bind: 80}, {bind: nonsense}, {}]\nroutes: [{}]",
        "admin: 3\nroutes: [{}]", "admin: {bind: }\nroutes: [{name: 3}, {name: 3}]", "upstreams:\nroutes: [{}]",
        "listeners: [{bind: ':0'}, {bind: ':0'}]\nroutes: [{}]",
    ],
)  # fmt: skip
def test_values_of_the_wrong_kind_are_passed_over(text: str) -> None:
    """Validation tells of them; nothing here fails."""
    assert check(text) == []


def test_addresses_are_compared_as_addresses() -> None:
    """One socket, however it is written."""
    errors = check("listeners: [{bind: ':80'}, {bind: '[::]:80'}, {bind: 'unix:/a'}, {bind: 'unix:/a'}]\nroutes: [{}]")
    assert errors == [
        "c:1:35: listeners[1].bind: `[::]:80` is taken already at c:1:20: one socket an address",
        "c:1:73: listeners[3].bind: `unix:/a` is taken already at c:1:54: one socket an address",
    ]


def test_a_name_that_is_a_secret_is_not_shown() -> None:
    """Nor is anything near it suggested."""
    errors = check("upstreams: {hunter3: {}}\nroutes: [{upstream: hunter3}, {upstream: '${env:NAME}'}]")
    assert errors == ["c:2:42: routes[1].upstream: there is no upstream `${env:NAME}`: there is `hunter3`"]


def test_many_upstreams_are_not_all_listed() -> None:
    """Eight, and a sign that there are more."""
    names = ", ".join(f"u{n}: {{}}" for n in range(12))
    (error,) = check(f"upstreams: {{{names}}}\nroutes: [{{upstream: payment}}]")
    assert error.endswith("`u6` and `u7` …")


def test_names_that_repeat_are_found_with_the_first() -> None:
    """Each after the first, with the node of the first."""
    tree = tree_of("routes: [{name: a}, {name: b}, {name: a}, {name: a}, {name: 3}, {name: 3}, 3]")
    found = [(index, name.value, first.place.column) for index, name, first in repeated_names(tree)]
    assert found == [(2, "a", 17), (3, "a", 17)]
