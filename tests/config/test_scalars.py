"""The YAML 1.2 core schema, by examples of its specification and of what surprises people in 1.1."""

from __future__ import annotations

import pytest

from gateway.config.scalars import MAX_NUMBER_LETTERS, ScalarFault, plain_value, tagged_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("~", None), ("null", None), ("Null", None), ("NULL", None), ("nULL", "nULL"),
        ("true", True), ("True", True), ("FALSE", False), ("tRUE", "tRUE"),
        ("0", 0), ("-12", -12), ("+7", 7), ("0123", 123), ("0o17", 15), ("0x1F", 31), ("0b1", "0b1"),
        ("1_000", "1_000"),
        ("1.5", 1.5), (".5", 0.5), ("1.", 1.0), ("-1e3", -1000.0), ("1E-2", 0.01), (".", "."), ("-", "-"),
        ("1.2.3", "1.2.3"),
        ("no", "no"), ("on", "on"), ("yes", "yes"), ("Off", "Off"), ("y", "y"),
        ("12:30:45", "12:30:45"), ("2024-02-29", "2024-02-29"), ("0o9", "0o9"), ("0xZ", "0xZ"), ("=", "="),
        ("<<", "<<"),
    ],
)  # fmt: skip
def test_plain_value(text: str, value: object) -> None:
    """Only null, true, false and numbers are not text."""
    found = plain_value(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", [".inf", "-.INF", ".nan", "1e999", "9" * (MAX_NUMBER_LETTERS + 1), "0x" + "f" * 100])
def test_numbers_no_key_can_mean_are_refused(text: str) -> None:
    """Infinity, not-a-number, and digits that would take long to convert."""
    with pytest.raises(ScalarFault, match="put it in quotes"):
        plain_value(text)


@pytest.mark.parametrize(
    ("tag", "text", "value"),
    [("str", "12", "12"), ("int", "12", 12), ("float", "12", 12.0), ("bool", "true", True), ("null", "~", None)],
)
def test_tagged_value(tag: str, text: str, value: object) -> None:
    """The core tags say what a scalar is."""
    found = tagged_value(f"tag:yaml.org,2002:{tag}", text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("tag", "text"), [("int", "x"), ("int", "true"), ("float", "true"), ("bool", "1"), ("null", "0")]
)
def test_a_tag_that_does_not_fit_is_refused(tag: str, text: str) -> None:
    """A tag cannot turn one kind of value into another."""
    with pytest.raises(ScalarFault, match="remove the tag"):
        tagged_value(f"tag:yaml.org,2002:{tag}", text)


def test_other_tags_are_unknown() -> None:
    """Neither YAML 1.1's further tags nor anyone's own."""
    with pytest.raises(KeyError):
        tagged_value("tag:yaml.org,2002:timestamp", "2024-02-29")
