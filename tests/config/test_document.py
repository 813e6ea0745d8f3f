"""Bytes to nodes: values, places, bounds. Messages for common mistakes are in tests/config/bad."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from gateway.config import document
from gateway.config.document import MAX_DEPTH, MAX_FILE_BYTES, MAX_NODES, NOT_SET, Node, parse
from gateway.config.references import References


def read(text: str | bytes, **environ: str) -> tuple[Node | None, list[str], bool]:
    content = text if isinstance(text, bytes) else text.encode()
    root, problems, whole = parse(content, "c.yaml", References(environ, Path()))
    return root, [str(problem) for problem in problems], whole


def plain(text: str, **environ: str) -> object:
    root, problems, whole = read(text, **environ)
    assert problems == []
    assert whole
    assert root is not None
    return root.plain()


def refusal(text: str | bytes) -> str:
    """The one problem of a file that is not read to its end."""
    root, problems, whole = read(text)
    assert root is None
    assert not whole
    (problem,) = problems
    return problem


def test_values_and_places() -> None:
    """Every value and every key knows its line and column, counted from 1."""
    root, _, _ = read("a: 1\nb:\n  - x\n  - {c: é, d: [2]}\n")
    assert root is not None
    assert root.plain() == {"a": 1, "b": ["x", {"c": "é", "d": [2]}]}
    inner = root.value["b"].value[1]
    assert (inner.place.line, inner.place.column) == (4, 5)
    assert inner.keys["d"] == ("c.yaml", 4, 12)
    assert inner.value["d"].value[0].place == ("c.yaml", 4, 16)


def test_a_file_without_a_value_has_no_root() -> None:
    """Comments alone are no mistake."""
    assert read("# nothing\n") == (None, [], True)
    assert read("") == (None, [], True)


def test_quotes_keep_text() -> None:
    """Only plain scalars are resolved."""
    assert plain("a: '1'\nb: \"true\"\nc: |\n  null\n") == {"a": "1", "b": "true", "c": "null\n"}


def test_keys_are_text_or_whole_numbers() -> None:
    """`on` and `null` as keys are what they look like; a status code is a number."""
    assert plain("on: 1\nnull: 2\ntrue: 3\n1.5: 4\n404: 5\n'200': 6\n") == {
        "on": 1, "null": 2, "true": 3, "1.5": 4, 404: 5, "200": 6,
    }  # fmt: skip


def test_merges_are_shallow_and_own_keys_win() -> None:
    """As YAML 1.1 defined them; the first of several sources wins."""
    text = "a: &a {x: 1, y: {p: 1}}\nb: &b {x: 2, z: 3}\nc: {<<: [*a, *b], y: {q: 2}}\nd: {'<<': 1}\n"
    merged = plain(text)
    assert isinstance(merged, dict)
    assert merged["c"] == {"x": 1, "y": {"q": 2}, "z": 3}
    assert merged["d"] == {"<<": 1}


def test_a_whole_reference_has_two_readings() -> None:
    """Without quotes as YAML reads it, in quotes as text; the other reading is kept."""
    root, _, _ = read("a: ${env:N}\nb: '${env:N}'\nc: x${env:N}\nd: !!str ${env:N}\n", N="7")
    assert root is not None
    assert root.plain() == {"a": 7, "b": "7", "c": "x7", "d": "7"}
    assert [root.value[key].other for key in "ab"] == ["7", 7]
    assert [root.value[key].other for key in "cd"] == [NOT_SET, NOT_SET]


def test_what_stands_in_the_environment_is_not_read_as_yaml() -> None:
    """No list, no alias and no further reference comes out of a value."""
    assert plain("a: ${env:A}\nb: ${env:B}\n", A="[1, 2]", B="${env:A}") == {"a": "[1, 2]", "b": "${env:A}"}


def test_a_mistake_inside_leaves_the_rest_readable() -> None:
    """Its value is marked, so that it is not told a second time."""
    root, problems, whole = read("a: !x 1\nb: ${env:GONE}\nc: *gone\nd: 1\n")
    assert root is not None
    assert whole
    assert len(problems) == 3
    assert [root.value[key].value for key in "abc"] == [NOT_SET] * 3
    assert root.plain() == {"a": None, "b": None, "c": None, "d": 1}


def test_describe_never_shows_what_came_from_a_reference() -> None:
    """Nor what stands under a key named like a secret."""
    root, _, _ = read("a: ${env:S}\nb: x-${env:S}\npassword: 5\nc: true\n", S="hunter2")
    assert root is not None
    assert root.value["a"].describe("a") == "text `${env:S}`"
    assert root.value["b"].describe("b") == "text `x-${env:S}`"
    assert root.value["password"].describe("password") == "a number that is not shown"
    assert root.value["c"].describe("c") == "`true`"


def test_depth_is_bounded() -> None:
    """64 levels; neither brackets nor block lists nor aliases get past it, and none ends our own recursion."""
    deep = "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    assert read(f"a: {deep}")[2]
    for text in (
        "a: " + "[" * 100_000,
        "{a: " * 5_000,
        "- " * 5_000 + "x",
        f"a: &a {deep}\nb: [[*a]]\n",
    ):
        assert "nested deeper than 64 levels" in refusal(text)


def test_a_billion_laughs_are_refused_at_once() -> None:
    """Aliases count as often as they are used, and so do merges."""
    laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
    )
    merges = (
        "m0: &m0 {"
        + ", ".join(f"k{n}: [1, 2, 3]" for n in range(100))
        + "}\n"
        + "".join(f"m{n}: &m{n} {{<<: *m{n - 1}, deep: [*m{n - 1}, *m{n - 1}]}}\n" for n in range(1, 30))
    )
    for text in (laughs, merges):
        began = time.process_time()
        assert f"more than {MAX_NODES} values" in refusal(text)
        assert time.process_time() - began < 2


def test_number_of_values_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also without aliases."""
    monkeypatch.setattr(document, "MAX_NODES", 100)
    assert read("[" + "1, " * 98 + "1]")[2]
    assert "more than 100 values" in refusal("[" + "1, " * 101 + "1]")


def test_size_is_bounded() -> None:
    """Before anything of the file is looked at."""
    assert "larger than 4 MiB" in refusal(b"\xff" * (MAX_FILE_BYTES + 1))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-16-le"])
def test_other_encodings_are_refused(encoding: str) -> None:
    """Only UTF-8 is read, with or without a byte order mark."""
    message = refusal("a: é\n".encode(encoding))
    assert "UTF-8" in message or "control character" in message
    assert plain("\ufeffa: é\n") == {"a": "é"}


def test_children_can_be_asked_for_by_step() -> None:
    """`child` follows keys and indices, and says None where there is nothing."""
    root, _, _ = read("a: [1, 2]\n")
    assert root is not None
    entries = root.child("a")
    assert entries is not None
    assert [entries.child(step) is None for step in (0, 1, 2, -1, "a")] == [False, False, True, True, True]
    assert root.child("b") is None
    assert [node.value for node in root.below()][2:] == [1, 2]


def test_a_walk_names_the_path_of_each_node() -> None:
    """Keys as text, whatever YAML read them as; and such keys are found by their text."""
    root, _, _ = read("a: [1, {2: x}]\n")
    assert root is not None
    assert [path for path, _node in root.walk()] == [(), ("a",), ("a", 0), ("a", 1), ("a", 1, "2")]
    inner = root.value["a"].value[1]
    assert inner.child("2") is inner.child(2) is not None
    assert inner.child("3") is None
