"""Walks along the annotations of Models."""

from __future__ import annotations

from typing import Annotated, Literal

from gateway.config.shapes import atoms, field_key, keys_of, models_in, narrowed
from gateway.schema import Duration, Field, Model


class Leaf(Model):
    old: int = Field(default=1, alias="from")
    other: Duration = Field(default="1s")


class Tree(Model):
    leaves: list[Leaf] | None = None
    named: dict[str, Annotated[Leaf, "x"]] = {}
    choice: Literal["off"] | Leaf = "off"


def test_atoms_are_the_members_of_unions() -> None:
    """Whatever stands around them."""
    assert list(atoms(Annotated[list[int] | None, "x"] | str)) == [list[int], type(None), str]


def test_keys_are_spelled_as_operators_write_them() -> None:
    """An alias is the key; the field's own name is not."""
    assert list(keys_of(Leaf)) == ["from", "other"]
    assert field_key(Leaf, "old") == "from"


def test_narrowed_goes_one_step_down() -> None:
    """Through lists, mappings and unions; nowhere beyond what is known."""
    assert models_in(narrowed(narrowed([Tree], "leaves"), 0)) == [Leaf]
    assert models_in(narrowed(narrowed([Tree], "named"), "any name")) == [Leaf]
    assert models_in(narrowed([Tree], "choice")) == [Leaf]
    assert narrowed(narrowed([Tree], "choice"), "Leaf") == [Leaf]
    assert narrowed([Tree], "gone") == []
    assert narrowed([int], "x") == []
