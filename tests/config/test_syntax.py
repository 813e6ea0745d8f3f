"""The words for what is not YAML; the usual mistakes, with their places, are in tests/config/bad."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gateway.config.document import parse
from gateway.config.references import References
from gateway.config.syntax import unreadable, yaml_fault


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 'x\n", "1:4: the quote that opens here is not closed"),
        ("a: 1\n\tb: 2\n", "2:1: a tab cannot indent YAML: use spaces"),
        ("a: `x`\n", "1:4: text that begins with ``` must be in quotes"),
        ("a: %x\n", "1:4: text that begins with `%` must be in quotes"),
        ('a: "\\xZZ"\n', "1:7: an escape in double quotes is cut short"),
        ('a: "\\UFFFFFFFF"\n', "1:7: an escape in double quotes names no character"),
        ("a: &\n", "1:5: text that begins with `*` or `&` must be in quotes"),
        ("a: *.b\n", "1:5: text that begins with `*` or `&` must be in quotes"),
        ("a: [::1]:80\n", "1:4: an IPv6 address in brackets must be in quotes"),
        ("a:\n- [::]:80\n", "2:3: an IPv6 address in brackets must be in quotes"),
        ("a: 1\n<<<<<<< ours\nb: 2\n", "2:1: a merge conflict is not settled here"),
        ("a: 1\n>>>>>>> theirs\nb: 2\n", "2:1: a merge conflict is not settled here"),
        ("a: 1\nb:\u00a02\nc: 3\n", "2:3: this looks like a space and is the character U+00A0"),
        ("a: !x!y z\n", "1:4: a tag is not known here"),
        ("a: 1\n...\nb: 2\n", "3:1: only comments may stand here"),
        ("a: | x\n  y\n", "1:6: only a comment may follow here"),
        ("a: - b\n", "1:4: a list item cannot stand here"),
        ("- a: 1\n  b: c: d\n", "2:7: a `:` is not expected here"),
        ("a: ? b\n", "1:4: a `?` is not expected here"),
        ("- a:1\n  b: 2\n", "1:4: a space is missing after this `:`"),
        ("a: 1\n# b\n  c: 2\n", "3:3: this line is indented deeper than the one above"),
        ("a\n", ""),
    ],
)  # fmt: skip
def test_sentences(text: str, message: str) -> None:
    """Place and words, in the terms of the person who wrote the line."""
    _, problems, _ = parse(text.encode(), "c.yaml", References({}, Path()))
    assert [str(problem)[: len(message) + 7] for problem in problems] == ([f"c.yaml:{message}"] if message else [])


def test_an_error_without_a_place_is_still_a_sentence() -> None:
    """Whatever the parser may come up with."""
    assert str(yaml_fault(yaml.YAMLError("?"), "", "c.yaml")).startswith("c.yaml:1:1: the file is not YAML")


def test_unreadable_counts_characters() -> None:
    """The column counts characters, not bytes."""
    problem = unreadable("a\né".encode() + b"\xff", 4, "c.yaml", "is not UTF-8 text")
    assert str(problem) == "c.yaml:2:2: the byte 0xFF is not UTF-8 text"
