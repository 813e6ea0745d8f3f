"""What the Models say about themselves: their keys, defaults and descriptions, read for people and for editors.

Used by reference.py and json_schema.py, never while a gateway starts.
The rule: the docstring under a field is the one place where a key is explained.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from gateway.config.shapes import atoms, field_key, models_in
from gateway.schema import Model

__all__ = ["Key", "default_of", "description_of", "keys_below", "model_of"]

_UNIT_WORDS = (
    ("parse_duration", "duration"), ("parse_size", "size"), ("parse_rate", "rate"), ("parse_network", "network"),
    ("parse_bind", "address"), ("parse_share", "percentage"), ("_read_span", "span of time"),
)  # fmt: skip
_KINDS = {
    str: "text", int: "number", float: "number", bool: "true / false", bytes: "text", type(None): "null", Any: "any",
}  # fmt: skip


class Key(NamedTuple):
    """One key: its path as an operator thinks of it (`upstreams.NAME.pool.max_idle`), and what may stand there."""

    path: str
    kind: str
    default: Any  # as an operator would write it, PydanticUndefined where the key is required
    description: str
    model: type[Model] | None  # of the mapping below it


def description_of(documented: type[Model]) -> str:
    """A Model's own docstring on one line."""
    return " ".join(inspect.cleandoc(documented.__doc__ or "").split())


def default_of(field: FieldInfo) -> Any:
    """The default as written in the Model; PydanticUndefined for a required key, None for a Model's defaults."""
    if field.is_required():
        return PydanticUndefined
    default = field.get_default(call_default_factory=True, validated_data={})
    return None if isinstance(default, Model) else default


def model_of(annotation: Any) -> tuple[type[Model] | None, str]:
    """(Model of the mapping or of a list's entries or of named values, what is added to the path)."""
    for shape in atoms(annotation):
        arguments = get_args(shape)
        direct = models_in([shape])
        if direct:
            return direct[0], ""
        if get_origin(shape) is list and (inner := model_of(arguments[0])[0]) is not None:
            return inner, "[]"
        if get_origin(shape) is dict and (inner := model_of(arguments[1])[0]) is not None:
            return inner, ".NAME"
    return None, ""


def keys_below(model: type[Model], prefix: str = "") -> Iterator[Key]:
    """The keys of a Model, in its order; those below a key of their own follow it."""
    for name, field in model.model_fields.items():
        path = f"{prefix}.{field_key(model, name)}" if prefix else field_key(model, name)
        below, suffix = model_of(field.annotation)
        description = " ".join((field.description or "").split())
        yield Key(path + suffix, _kind(field), default_of(field), description, below)


def _kind(field: FieldInfo) -> str:
    unit = _unit(field.metadata)
    if unit is not None:
        return unit
    kinds = list(dict.fromkeys(kind for kind in _kinds(field.annotation) if kind != "null"))
    return " or ".join(kinds)


def _unit(metadata: Any) -> str | None:
    """The word for a value that a validator reads from text, by the name of the validator."""
    for mark in metadata:
        reader = getattr(getattr(mark, "func", None), "__name__", "")
        for name, word in _UNIT_WORDS:
            if reader == name:
                return word
        if reader in {"_read_limit", "_read_buffer"}:
            return "size"
    return None


def _kinds(annotation: Any) -> Iterator[str]:
    metadata = getattr(annotation, "__metadata__", None)
    unit = _unit(metadata) if metadata is not None else None
    if unit is not None:
        yield unit
        return
    for shape in get_args(annotation) if _is_union(annotation) else (annotation,):
        if _is_union(shape) or (shape is not annotation and getattr(shape, "__metadata__", None)):
            yield from _kinds(shape)
        elif getattr(shape, "__metadata__", None):
            yield from _kinds(shape.__origin__)
        else:
            yield from _plain_kind(shape)


def _is_union(annotation: Any) -> bool:
    return len(list(atoms(annotation))) > 1 and not getattr(annotation, "__metadata__", None)


def _plain_kind(shape: Any) -> Iterator[str]:
    origin, arguments = get_origin(shape), get_args(shape)
    if origin is Literal:
        yield from (f"`{str(choice).lower() if isinstance(choice, bool) else choice}`" for choice in arguments)
    elif origin in {list, frozenset, set, tuple}:
        yield f"list of {' or '.join(dict.fromkeys(_kinds(arguments[0])))}" if arguments else "list"
    elif origin is dict or models_in([shape]):
        yield "mapping"
    else:
        yield _KINDS.get(shape, re.sub(r"(?<!^)(?=[A-Z])", " ", getattr(shape, "__name__", "text")).lower())
