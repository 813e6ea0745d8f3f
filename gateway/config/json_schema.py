"""JSON Schema (2020-12) of config.yaml and of rules files, for editors that complete and check YAML.

Printed by `gateway schema`, made from the same Models that validate.
The rule: whatever `gateway check` accepts, the schema accepts; a reference may stand for any single value.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from gateway.config.model import RulesConfig, SiteConfig
from gateway.schema import Model

__all__ = ["SCHEMA_ID", "schema"]

SCHEMA_ID = "urn:edge-gateway:schema:"  # a name, not an address: editors have nothing to fetch
_REFERENCE = "Reference"
_SCALARS = {"boolean", "integer", "number"}
# Words that a Model takes in place of its mapping by a validator of its own, which no schema shows.
_SHORT = {"security_headers": ["default", "strict", "off"]}
_NAME = re.compile(r"gateway__filters__(\w+?)__Config")  # what pydantic makes of the Config of a feature
_NAMED = {"properties", "patternProperties", "$defs"}  # below them stand names, not words of JSON Schema
_VALUES = {"default", "examples", "enum", "const", "required"}


class _Generator(GenerateJsonSchema):
    """Says which draft it is."""

    schema_dialect = "https://json-schema.org/draft/2020-12/schema"


def schema(of: str = "config") -> dict[str, Any]:
    """The schema of `config` (config.yaml) or `rules` (a file in its rules folder)."""
    model: type[Model] = SiteConfig if of == "config" else RulesConfig
    made = model.model_json_schema(by_alias=True, schema_generator=_Generator)
    definitions: dict[str, Any] = made.pop("$defs", {})
    made = _edited(made)
    title = "config.yaml of the edge gateway" if of == "config" else "a file in rules/ of the edge gateway"
    head = {"$schema": _Generator.schema_dialect, "$id": f"{SCHEMA_ID}{of}", "title": title}
    below = {_NAME.sub(r"\1", name): _edited(definition) for name, definition in definitions.items()}
    for name, words in _SHORT.items():
        below[name] = {"anyOf": [{"enum": words}, below[name]]}
    below[_REFERENCE] = {
        "type": "string",
        "pattern": r"\$\{(env|file):[^}]+\}",
        "description": "A reference: ${env:NAME}, ${env:NAME:-default} or ${file:/run/secrets/name}.",
    }
    return head | {key: value for key, value in made.items() if key not in head} | {"$defs": below}


def _edited(made: Any) -> Any:
    """A schema for editors: without titles that only repeat a key, without defaults that are not as an operator writes
    them, and with a reference allowed wherever a boolean, a number or one of some words is wanted."""
    if isinstance(made, list):
        return [_edited(entry) for entry in made]
    if not isinstance(made, dict):
        return made
    kept: dict[str, Any] = {}
    for key, value in made.items():
        if key in _NAMED:
            kept[key] = {name: _edited(below) for name, below in value.items()}
        elif key == "$ref":
            kept[key] = _NAME.sub(r"\1", value)
        else:
            kept[key] = value if key in _VALUES else _edited(value)
    kept.pop("title", None)
    if kept.get("default", 0) is None or isinstance(kept.get("default"), dict):
        del kept["default"]
    if not _wants_reference(kept):
        return kept
    about = {key: kept.pop(key) for key in ("description", "default", "examples") if key in kept}
    return about | {"anyOf": [kept, {"$ref": f"#/$defs/{_REFERENCE}"}]}


def _wants_reference(made: dict[str, Any]) -> bool:
    kinds = made.get("type")
    kinds = set(kinds) if isinstance(kinds, list) else {kinds}
    if "enum" in made or "const" in made or (kinds == {"string"} and "pattern" in made):
        return True
    return "string" not in kinds and bool(kinds & _SCALARS)
