"""As much of JSON Schema as the gateway's own schemas use, so that tests can hold configurations against them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

KINDS: dict[str, Any] = {
    "object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "integer": int,
    "number": (int, float),
}  # fmt: skip
KNOWN = {
    "$defs", "$id", "$ref", "$schema", "additionalProperties", "anyOf", "const", "default", "description", "enum",
    "examples", "exclusiveMinimum", "items", "maxItems", "maxLength", "maxProperties", "maximum", "minItems",
    "minLength", "minProperties", "minimum", "oneOf", "pattern", "properties", "propertyNames", "required", "title",
    "type", "uniqueItems",
}  # fmt: skip


def mistakes(value: Any, schema: dict[str, Any]) -> list[str]:
    """What of `value` does not fit, as `path: why` lines. Raises AssertionError for a word this file does not know."""
    return list(_mistakes(value, schema, schema, "$"))


def _mistakes(value: Any, rule: Any, top: dict[str, Any], path: str) -> Iterator[str]:
    if rule is True:
        return
    assert isinstance(rule, dict), f"{path}: {rule!r}"
    assert set(rule) <= KNOWN, f"{path}: {set(rule) - KNOWN}"
    if "$ref" in rule:
        yield from _mistakes(value, top["$defs"][rule["$ref"].removeprefix("#/$defs/")], top, path)
    for word in ("anyOf", "oneOf"):
        if word in rule:
            branches = [list(_mistakes(value, branch, top, path)) for branch in rule[word]]
            if all(branches):
                yield f"{path}: {value!r} fits none of {len(branches)}: {branches}"
    kinds = rule.get("type", [])
    if kinds and not any(_is(value, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)):
        yield f"{path}: {value!r} is no {kinds}"
        return
    if "enum" in rule and value not in rule["enum"]:
        yield f"{path}: {value!r} is not one of {rule['enum']}"
    if "const" in rule and value != rule["const"]:
        yield f"{path}: {value!r} is not {rule['const']!r}"
    if isinstance(value, str) and not re.search(rule.get("pattern", ""), value):
        yield f"{path}: {value!r} does not match {rule['pattern']}"
    if isinstance(value, (int, float)) and not rule.get("minimum", value) <= value <= rule.get("maximum", value):
        yield f"{path}: {value} is out of range"
    if isinstance(value, list):
        if len(value) < rule.get("minItems", 0):
            yield f"{path}: too few entries"
        for index, entry in enumerate(value):
            yield from _mistakes(entry, rule.get("items", True), top, f"{path}[{index}]")
    if isinstance(value, dict):
        yield from (f"{path}: {name} is missing" for name in rule.get("required", ()) if name not in value)
        for name, entry in value.items():
            others = rule.get("additionalProperties", True)
            below = rule.get("properties", {}).get(str(name), others)
            if below is False:
                yield f"{path}: {name} is not known"
            else:
                yield from _mistakes(entry, below, top, f"{path}.{name}")


def _is(value: Any, kind: str) -> bool:
    return bool(isinstance(value, KINDS[kind])) and (kind == "boolean") == isinstance(value, bool)
