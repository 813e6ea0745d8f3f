"""Problems as text, in order; near misses; paths as people write them."""

from __future__ import annotations

import pytest

from gateway.config.problems import ConfigError, Place, Problem, closest, join_choices, quoted, spelled_path


def test_a_problem_is_one_line() -> None:
    """file:line:column: path: message, and less where there is less."""
    problem = Problem(Place("c.yaml", 3, 5), "log.level", "is loud")
    assert str(problem) == "c.yaml:3:5: log.level: is loud"
    assert (problem.file, problem.line, problem.column) == ("c.yaml", 3, 5)
    assert str(Problem(Place("c.yaml"), "", "is a folder")) == "c.yaml: is a folder"
    assert str(Problem(Place("--to"), "", "is no URL")) == "--to: is no URL"


def test_an_error_has_each_problem_once_and_in_order() -> None:
    """Sorted by file, line and column, as numbers."""
    rows = [Problem(Place("a", line, 1), "", "x") for line in (10, 9, 9)]
    error = ConfigError([Problem(Place("b", 1, 1), "", "y"), *rows])
    assert str(error) == "a:9:1: x\na:10:1: x\nb:1:1: y"


@pytest.mark.parametrize(
    ("text", "shown"),
    [("abc", "`abc`"), ("a\nb\x1b[0m", "`a\\nb\\x1b[0m`"), ("x" * 61, f"`{'x' * 59}…`"), ("é…", "`é…`"), ("", "``")],
)
def test_quoted(text: str, shown: str) -> None:
    """One line, nothing that a terminal would act upon, never endless."""
    assert quoted(text) == shown


@pytest.mark.parametrize(
    ("path", "spelled"),
    [
        (("routes", 0, "match", "host"), "routes[0].match.host"), (("a.b", "c d"), '"a.b"."c d"'),
        (("upstreams", "my-app_2"), "upstreams.my-app_2"), (("x", 1, 2), "x[1][2]"), ((), ""), (("a\n",), '"a\\n"'),
    ],
)  # fmt: skip
def test_spelled_path(path: tuple[str | int, ...], spelled: str) -> None:
    """Dots between names, brackets around numbers, quotes where a name has dots of its own."""
    assert spelled_path(path) == spelled


@pytest.mark.parametrize(
    ("written", "near"),
    [
        ("lisen", "listeners"), ("Routes", "routes"), ("real-ip", "real_ip"), ("real ip", "real_ip"),
        ("backends", "upstreams"), ("ssl", ""), ("list", "listeners"), ("zzz", ""), ("", ""),
    ],
)  # fmt: skip
def test_closest(written: str, near: str) -> None:
    """Slips of the finger, other gateways' words, beginnings; nothing rather than nonsense."""
    assert closest(written, ["listeners", "routes", "real_ip", "upstreams", ""]) == near


def test_join_choices() -> None:
    """As a sentence has them, each once."""
    assert join_choices(["a", "b", "a", "c"]) == "a, b or c"
    assert join_choices(["a", "b"], "and") == "a and b"
    assert join_choices(["a"]) == "a"
    assert join_choices([]) == ""
