"""Joining config.yaml with its rules files; the messages, with places, are in tests/config/bad/rules-*."""

from __future__ import annotations

from pathlib import Path

from gateway.config.document import Node, parse
from gateway.config.problems import Place
from gateway.config.references import References
from gateway.config.tree import Tree, join

KEYS = ("upstreams", "routes")
ALL = ("listeners", "upstreams", "routes")


def node(text: str, file: str) -> Node:
    root, problems, _ = parse(text.encode(), file, References({}, Path()))
    assert problems == []
    assert root is not None
    return root


def test_rules_add_to_what_is_there() -> None:
    """Routes in the order of the files, upstreams by name; places stay those of each file."""
    main = node("upstreams: {a: 1}\nroutes: [x]\n", "c")
    tree, problems = join(
        main, [node("routes: [y, z]\nupstreams: {b: 2}\n", "r1"), node("routes: [w]", "r2")], "c", KEYS, ALL
    )
    assert problems == []
    assert tree.root.plain() == {"upstreams": {"a": 1, "b": 2}, "routes": ["x", "y", "z", "w"]}
    place = tree.find(("routes", 2)).place
    assert place == ("r1", 1, 13)
    assert tree.spelled(("routes", 2, "name"), place) == "routes[1].name"
    assert tree.spelled(("routes", 3), Place("r2", 1, 1)) == "routes[0]"
    assert main.plain() == {"upstreams": {"a": 1}, "routes": ["x"]}


def test_rules_alone_are_enough() -> None:
    """An empty config.yaml, or a broken one, does not hide what rules files say."""
    tree, problems = join(None, [node("upstreams: {b: 2}\nroutes: [y]\n", "r")], "c", KEYS, ALL)
    assert problems == []
    assert tree.root.plain() == {"upstreams": {"b": 2}, "routes": ["y"]}
    assert tree.root.place == ("c", 1, 1)


def test_a_wrong_kind_in_config_yaml_is_left_to_validation() -> None:
    """It is told once, there."""
    tree, problems = join(node("routes: 3\n", "c"), [node("routes: [y]\n", "r")], "c", KEYS, ALL)
    assert problems == []
    assert tree.root.plain() == {"routes": 3}


def test_names_stand_once() -> None:
    """The second place names the first."""
    _, problems = join(node("upstreams: {a: 1}", "c"), [node("upstreams: {a: 1}", "r")], "c", KEYS, ALL)
    assert [str(problem) for problem in problems] == [
        "r:1:13: upstreams.a: the name is taken already at c:1:13: keep one of them"
    ]


def test_find_goes_as_far_as_it_can() -> None:
    """The nearest node above a path that is not in the file."""
    tree = Tree(node("a: {b: [1]}\n", "c"))
    assert tree.find(("a", "b", 0)).value == 1
    assert tree.find(("a", "b", 7)).place == ("c", 1, 8)
    assert tree.find(("z",)) is tree.root


def test_a_path_leads_to_a_node_or_to_none() -> None:
    """Keys that YAML reads as numbers are found by their text too."""
    tree = Tree(node("a: {404: [1]}\n", "c"))
    found: list[tuple[str | int, ...]] = [("a", 404, 0), ("a", "404", 0)]
    missing: list[tuple[str | int, ...]] = [("a", "404", 1), ("a", "404", "0"), ("b", "c"), ("a", 404, 0, "x")]
    assert [getattr(tree.at(path), "value", None) for path in found] == [1, 1]
    assert [tree.at(path) for path in missing] == [None] * 4


def test_flags_have_no_path() -> None:
    """What stands in no file is named by its flag alone."""
    tree = Tree(node("a: 1\n", "c"))
    assert tree.spelled(("upstreams", "app"), Place("--to")) == ""
