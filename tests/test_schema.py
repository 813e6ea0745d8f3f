"""Model and the typed units: what operators may write, and what they are told otherwise."""

from __future__ import annotations

import ipaddress
from typing import Annotated

import pytest
from pydantic import ValidationError

from gateway.schema import (
    BeforeValidator,
    Count,
    Duration,
    Field,
    Model,
    Network,
    Port,
    Rate,
    RateText,
    Short,
    Size,
    one_or_many,
    parse_duration,
    parse_network,
    parse_rate,
    parse_size,
)


class Example(Model):
    """One of each."""

    wait: Duration = Field(default="1m30s")
    """How long."""
    limit: Size = Field(default="1 MiB")
    """How much."""
    pace: RateText = Field(default="100/15m")
    """How often."""
    source: Network = Field(default="10.0.0.0/8")
    """From where."""
    count: Count = 1
    """How many."""
    port: Port = 80
    """Which."""
    names: Annotated[list[str], BeforeValidator(one_or_many)] = []
    """Whose."""


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30.0), ("250ms", 0.25), ("1m30s", 90.0), ("2h", 7200.0), ("1.5h", 5400.0), ("1d", 86400.0),
        ("1w", 604800.0), ("2y", 63072000.0), ("5min", 300.0), (" 10 s ", 10.0), (0, 0.0), ("0s", 0.0),
    ],
)  # fmt: skip
def test_durations(text: object, seconds: float) -> None:
    """Numbers with units, one after the other."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "s", "10", "10 seconds", "-1s", "1s x", "x1s", 10, 1.5, True, None, [], "1e3s", "9" * 400 + "s"]
)
def test_what_is_no_duration(text: object) -> None:
    """Above all a number without its unit."""
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512 MiB", 512 * 1024**2), ("64KiB", 65536), ("10 MB", 10_000_000), ("1g", 1024**3), ("1.5 kib", 1536),
        (0, 0), (4096, 4096), ("4096", 4096), ("1b", 1), ("2 GiB", 2 * 1024**3),
    ],
)  # fmt: skip
def test_sizes(text: object, size: int) -> None:
    """Powers of 1024 with an i, of 1000 without; single letters as nginx has them; plain numbers are bytes."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "1 mile", "-1", -1, 1.5, True, None, [], "1 MiB x", "1e3", "9" * 400])
def test_what_is_no_size(text: object) -> None:
    """Each with an example of what is one."""
    with pytest.raises(ValueError, match="size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "rate"),
    [("10/s", Rate(10, 1)), ("100/15m", Rate(100, 900)), ("5/1h", Rate(5, 3600)), (" 5 / 10s ", Rate(5, 10))],
)
def test_rates(text: str, rate: Rate) -> None:
    """So many in so long; the window's 1 may be left out."""
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    "text", ["", "10", "/s", "x/s", "0/s", "-1/s", "10/", "10/0s", "10/x", 10, None, "9" * 400 + "/s"]
)
def test_what_is_no_rate(text: object) -> None:
    """No count, no window, or a window of nothing."""
    with pytest.raises(ValueError, match=r"rate|duration"):
        parse_rate(text)


def test_networks() -> None:
    """Ranges and single addresses; host bits are nearly always a slip, and the message has the range that was meant."""
    assert parse_network("10.0.0.0/8") == ipaddress.ip_network("10.0.0.0/8")
    assert parse_network("2001:db8::1") == ipaddress.ip_network("2001:db8::1/128")
    with pytest.raises(ValueError, match=r"write 10\.0\.0\.0/8"):
        parse_network("10.0.0.1/8")
    for text in ("10.0.0.0/33", "host", "", 10, None):
        with pytest.raises(ValueError, match=r"10\.0\.0\.0/8"):
            parse_network(text)


def test_one_or_many() -> None:
    """A single value stands for a list of one; nothing stays nothing."""
    assert one_or_many("x") == ["x"]
    assert one_or_many(["x"]) == ["x"]
    assert one_or_many(None) is None
    assert Example(names="x").names == ["x"]  # type: ignore[arg-type]


def test_defaults_are_validated_into_what_they_mean() -> None:
    """They are written as an operator would write them."""
    example = Example()
    assert (example.wait, example.limit, example.pace) == (90.0, 1024**2, Rate(100, 900.0))
    assert example.source == ipaddress.ip_network("10.0.0.0/8")


@pytest.mark.parametrize(
    "values",
    [{"waits": "1s"}, {"count": "1"}, {"count": 0}, {"count": True}, {"port": 0}, {"port": 65536}, {"names": [1]}],
)
def test_models_are_strict(values: dict[str, object]) -> None:
    """Unknown keys, text for numbers, true for one, and what is out of range are refused."""
    with pytest.raises(ValidationError):
        Example.model_validate(values)


def test_models_are_frozen_and_described() -> None:
    """A loaded value never changes; its docstring reaches the JSON Schema, with an example of how it is written."""
    example = Example()
    with pytest.raises(ValidationError):
        example.count = 2
    rule = Example.model_json_schema()["properties"]["wait"]
    assert (rule["description"], rule["default"], rule["examples"]) == ("How long.", "1m30s", ["30s"])


def test_short_says_that_a_scalar_may_stand_for_a_mapping() -> None:
    """In the schema; the validator beside it does the work."""

    class Outer(Model):
        inner: Annotated[Example, BeforeValidator(lambda value: value), Short("string")]

    rule = Outer.model_json_schema()["properties"]["inner"]
    assert rule["anyOf"][0] == {"type": "string"}
