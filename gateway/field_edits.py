"""Edits of fields as an operator writes them: `set`, `add` and `remove`, checked and compiled.

Floor 1, for the filters that edit request and response fields share this grammar and may not import each other. The
rule: framing and hop-by-hop fields are the wire's alone, and no edit can write them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, NamedTuple, TypeAlias

from gateway.http.fields import FRAMING, HOP_BY_HOP, is_token
from gateway.http.message import Fields
from gateway.http.template import Reader, compile_field
from gateway.schema import AfterValidator, BeforeValidator

_REASONS = {
    "host": "write `host:` on the route (preserve, endpoint or a literal)",
    "content-length": "the gateway counts the body itself",
    "transfer-encoding": "the gateway frames the body itself",
    "upgrade": "write `websocket:` or `upgrades:` on the route",
    "expect": "the gateway asks for bodies itself",
}


def read_field_name(text: str) -> str:
    """A field name in lower case. Raises ValueError for what is none, or is not an edit's business."""
    name = text.lower()
    if not is_token(text.encode()):
        raise ValueError(f"{text!r} is not a field name: write for example X-Frame-Options")
    if name in _REASONS:
        raise ValueError(f"{text!r} cannot be edited: {_REASONS[name]}")
    if name.encode() in HOP_BY_HOP | FRAMING:
        raise ValueError(f"{text!r} cannot be edited: it belongs to one connection and is never passed on")
    return name


def check_twice(pairs: object) -> object:
    """Raises ValueError for a mapping in which two names differ in their case only."""
    seen: set[str] = set()
    for name in pairs if isinstance(pairs, dict) else ():
        if isinstance(name, str) and name.lower() in seen:
            raise ValueError(f"{name!r} stands here twice: field names are compared without regard to case")
        seen.add(str(name).lower())
    return pairs


def _read_value(text: str) -> str:
    if not text:
        raise ValueError("an empty value: list the name under `remove`")
    if text != text.strip(" \t"):
        raise ValueError(f"white space around a value is not part of it: write {text.strip()!r}")
    compile_field(text)
    return text


FieldPairs: TypeAlias = Annotated[
    dict[Annotated[str, AfterValidator(read_field_name)], Annotated[str, AfterValidator(_read_value)]],
    BeforeValidator(check_twice),
]
FieldNames: TypeAlias = list[Annotated[str, AfterValidator(read_field_name)]]


def check_apart(replaced: Mapping[str, str], added: Mapping[str, str], removed: list[str]) -> None:
    """Raises ValueError for a name that stands under more than one of the three."""
    for name in [*added, *removed]:
        if name in replaced:
            raise ValueError(f"{name!r} stands under `set` and elsewhere: `set` already replaces all of that name")
    for name in added:
        if name in removed:
            raise ValueError(f"{name!r} stands under `add` and `remove`: write it under `set`")


class Edits(NamedTuple):
    """Compiled pairs: those that never change, and (name, render) for those with variables."""

    constant: Fields
    rendered: tuple[tuple[bytes, Reader], ...]


def compile_pairs(pairs: Mapping[str, str]) -> Edits:
    """Checked pairs as Edits."""
    constant: Fields = []
    rendered: list[tuple[bytes, Reader]] = []
    for name, text in pairs.items():
        template = compile_field(text)
        if template.constant is not None:
            constant.append((name.encode(), template.constant))
        else:
            rendered.append((name.encode(), template.render))
    return Edits(constant, tuple(rendered))
