"""Which keys and types a Model expects at a path: a walk along its annotations.

Used by translate.py for "did you mean", and by reference.py for the types column.
The rule: nothing here runs when a configuration is right, so nothing here need be fast.
"""

from __future__ import annotations

import collections.abc
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from gateway.schema import Model

__all__ = ["atoms", "field_key", "keys_of", "models_in", "narrowed"]

_LISTS = (list, tuple, set, frozenset, collections.abc.Sequence)


def atoms(annotation: Any) -> Iterator[Any]:
    """The members of unions, Annotated taken off: `Annotated[list[int] | None, …]` gives list[int] and None's type."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        yield from atoms(typing.get_args(annotation)[0])
    elif origin in {typing.Union, types.UnionType}:
        for member in typing.get_args(annotation):
            yield from atoms(member)
    else:
        yield annotation


def _is_model(shape: Any) -> bool:
    return isinstance(shape, type) and issubclass(shape, Model)


def field_key(model: type[Model], name: str) -> str:
    """The key an operator writes for a field."""
    field = model.model_fields[name]
    alias = field.validation_alias or field.alias
    return alias if isinstance(alias, str) else name


@lru_cache(maxsize=256)
def keys_of(model: type[Model]) -> Mapping[str, Any]:
    """{key as written: annotation} of a Model, in its order."""
    return {field_key(model, name): field.annotation for name, field in model.model_fields.items()}


def models_in(annotations: Iterable[Any]) -> list[type[Model]]:
    """The Models among the members of the annotations."""
    return [shape for annotation in annotations for shape in atoms(annotation) if _is_model(shape)]


def narrowed(annotations: Iterable[Any], step: str | int) -> list[Any]:
    """The annotations one step further down; [] where the path leaves what is known.

    A step that is the name of a Model among the members picks that one and stays (a union's label).
    """
    found: list[Any] = []
    for annotation in annotations:
        for shape in atoms(annotation):
            origin, arguments = typing.get_origin(shape), typing.get_args(shape)
            if _is_model(shape):
                if shape.__name__ == step:
                    found.append(shape)
                elif step in (keys := keys_of(shape)):
                    found.append(keys[str(step)])
            elif origin in _LISTS and isinstance(step, int) and arguments:
                found.append(arguments[0])
            elif origin in {dict, collections.abc.Mapping} and arguments:
                found.append(arguments[1])
    return found
