"""What is read from the Models for people."""

from __future__ import annotations

from typing import Literal

from pydantic_core import PydanticUndefined

from gateway.config.descriptions import default_of, description_of, keys_below, model_of
from gateway.config.model import SiteConfig
from gateway.schema import Count, Duration, Field, Model, Network, Size


class Part(Model):
    """One part,
    of many."""

    size: Size = Field(default="1 MiB")
    """How large."""


class Whole(Model):
    required: int
    """Must be given."""
    wait: Duration | None = None
    """How long."""
    ranges: list[Network | Literal["private", "unix"]] = []
    """From where."""
    flag: bool | Count = False
    """On, or a number."""
    choice: Literal["a", "b"] = "a"
    """One of two."""
    parts: list[Part] = []
    """Parts."""
    named: dict[str, Part] = {}
    """Parts by name."""
    part: Part | None = None
    """One part."""
    table: dict[str, int] = {}
    """Numbers."""


def test_keys_with_kinds_and_defaults() -> None:
    """As the reference page has them."""
    keys = {key.path: key for key in keys_below(Whole)}
    assert list(keys) == [
        "required", "wait", "ranges", "flag", "choice", "parts[]", "named.NAME", "part", "table",
    ]  # fmt: skip
    assert [key.kind for key in keys.values()] == [
        "number", "duration", "list of network or `private` or `unix`", "true / false or number", "`a` or `b`",
        "list of mapping", "mapping", "mapping", "mapping",
    ]  # fmt: skip
    assert keys["required"].default is PydanticUndefined
    assert keys["choice"].default == "a"
    assert keys["parts[]"].model is Part
    assert next(iter(keys_below(Part, "x"))).path == "x.size"
    assert next(iter(keys_below(Part))).default == "1 MiB"


def test_models_describe_themselves_on_one_line() -> None:
    """Their docstring, whatever its line ends."""
    assert description_of(Part) == "One part, of many."
    assert model_of(int) == (None, "")
    assert default_of(SiteConfig.model_fields["log"]) is None


def test_every_key_of_the_configuration_is_described() -> None:
    """A key without a docstring is not finished."""
    missing: list[str] = []
    seen: set[type[Model]] = set()

    def visit(model: type[Model], prefix: str) -> None:
        for key in keys_below(model, prefix):
            if not key.description:
                missing.append(key.path)
            if key.model is not None and key.model not in seen:
                seen.add(key.model)
                visit(key.model, key.path)

    visit(SiteConfig, "")
    assert missing == []
