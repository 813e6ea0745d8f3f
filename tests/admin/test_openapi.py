"""The OpenAPI document: valid, whole, and served."""

from __future__ import annotations

import re

from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from gateway.admin.openapi import OF_WRITES, document, statuses
from gateway.admin.table import OPERATIONS
from tests.kit.admin import FakeGateway, ask, get, running
from tests.kit.json_schema import mistakes

DOCUMENT = document(OPERATIONS, "1.2.3")


def test_it_is_valid() -> None:
    """By the specification's own schema, and by the rules it cannot express (references, path parameters)."""
    validate(DOCUMENT, cls=OpenAPIV31SpecValidator)
    assert DOCUMENT["info"]["version"] == "1.2.3"


def test_every_operation_is_in_it() -> None:
    """Under its path and method, with its name, its parameters and its body; what changes something says what it takes."""
    for operation in OPERATIONS:
        described = DOCUMENT["paths"][operation.path][operation.method.lower()]
        assert described["operationId"] == operation.name
        names = [one["name"] for one in described.get("parameters", ())]
        assert names == re.findall(r"\{(\w+)\}", operation.path)
        assert ("security" in described) == (operation.order is not None)
        assert ("requestBody" in described) == (operation.body is not None)
        refusals = {int(status) for status in described["responses"]} - {200}
        assert refusals >= set(statuses(operation))
    assert sum(len(methods) for methods in DOCUMENT["paths"].values()) == len(OPERATIONS)
    assert set(OF_WRITES) <= set(statuses(next(one for one in OPERATIONS if one.order is not None)))


def test_bodies_are_described_as_they_are_read() -> None:
    """`for` and not `seconds`; unknown keys are refused, which the schema says too."""
    schema = DOCUMENT["paths"]["/log/level"]["put"]["requestBody"]["content"]["application/json"]["schema"]
    assert mistakes({"level": "debug", "for": "10m"}, schema) == []
    assert mistakes({"level": "debug", "seconds": "10m"}, schema)
    assert mistakes({"level": "loud"}, schema)


async def test_it_is_served() -> None:
    """At /openapi.json; on the admin listener only."""
    async with running(FakeGateway()) as (admin, probe):
        answer = await ask(admin, get("/openapi.json"))
        assert answer.json == document(OPERATIONS, "9.9.9")
        assert (await ask(probe, get("/openapi.json"))).status == 404
