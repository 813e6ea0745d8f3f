"""The schemas for editors: complete, described, closed; good files are held against them in test_loading_files.py."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from gateway.config.json_schema import SCHEMA_ID, schema
from gateway.config.model import RULES_KEYS, SiteConfig
from tests.kit.json_schema import mistakes

make = cache(schema)


def objects(rule: Any) -> Iterator[dict[str, Any]]:
    """Every schema in it that has properties."""
    if isinstance(rule, list):
        for entry in rule:
            yield from objects(entry)
    if isinstance(rule, dict):
        if isinstance(rule.get("properties"), dict) and rule.get("type") == "object":
            yield rule
        for entry in rule.values():
            yield from objects(entry)


@pytest.mark.parametrize("of", ["config", "rules"])
def test_it_is_a_whole_document(of: str) -> None:
    """Draft, id and title; every reference within it leads somewhere; it is plain JSON."""
    whole = make(of)
    assert whole["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert whole["$id"] == f"{SCHEMA_ID}{of}"
    assert whole["title"]
    text = json.dumps(whole, allow_nan=False)
    assert set(re.findall(r'"#/\$defs/([^"]+)"', text)) <= set(whole["$defs"])
    assert "gateway__" not in text


def test_keys_are_those_of_the_models() -> None:
    """In their order; a rules file has its few."""
    assert list(make()["properties"]) == list(SiteConfig.model_fields)
    assert sorted(make("rules")["properties"]) == sorted(RULES_KEYS)


def test_every_key_is_described_and_no_other_is_allowed() -> None:
    """What an editor shows when the cursor rests on a key."""
    whole = make()
    for rule in objects(whole):
        assert rule.get("additionalProperties") is False or "minProperties" in rule, rule
        for name, below in rule["properties"].items():
            described = below.get("description") or whole["$defs"].get(
                below.get("$ref", "").rpartition("/")[2], {}
            ).get("description")
            assert described or "minProperties" in rule, name


def test_defaults_are_as_an_operator_writes_them() -> None:
    """A duration as `10s`, and not as seconds."""
    whole = make()
    assert whole["$defs"]["DownstreamConfig"]["properties"]["head_timeout"]["default"] == "10s"
    assert whole["properties"]["listeners"]["default"] == [{"bind": "0.0.0.0:8080"}]


@pytest.mark.parametrize(
    "values",
    [
        {"lisen": []}, {"log": {"level": "loud"}}, {"downstream": {"max_fields": "many"}}, {"listeners": []},
        {"routes": {"upstream": "app"}}, {"listeners": [{}]}, {"upstreams": {"app": {"endpoints": [{"weight": 1}]}}},
        {"security_headers": "loose"}, {"routes": [{"websocket": "yes"}]},
    ],
)  # fmt: skip
def test_editors_mark_the_usual_mistakes(values: dict[str, Any]) -> None:
    """Misspelt keys, wrong kinds, words that are no choice."""
    assert mistakes(values, make()) != []


def test_references_may_stand_for_numbers_and_choices() -> None:
    """And for booleans; other text may not."""
    values = {
        "downstream": {"max_fields": "${env:N}", "underscores": "${env:U:-drop}"},
        "listeners": [{"bind": "${env:B}", "redirect_to_https": "${file:/run/redirect}"}],
    }
    assert mistakes(values, make()) == []
    assert mistakes({"downstream": {"max_fields": "${host}"}}, make()) != []
