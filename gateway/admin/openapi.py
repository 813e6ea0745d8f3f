"""document: the admin listener described in OpenAPI 3.1, from the table that routes its requests.

Served at /openapi.json. The rule: it is made and not written, so that it cannot tell of what is not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from gateway.admin import schemas
from gateway.admin.answers import PROBLEM
from gateway.admin.bodies import MOST_BYTES
from gateway.admin.table import Operation
from gateway.http.status import REASONS

# By which every request may be refused, and every write, and every write that is told something.
OF_ALL = (421, 500)
OF_WRITES = (400, 401, 403, 413, 429, 501, 503)
OF_BODIES = (415,)


def document(operations: Iterable[Operation], version: str) -> dict[str, Any]:
    """The whole of it; `version` is the gateway's."""
    paths: dict[str, Any] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "The gateway's admin listener",
            "version": version,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "What a running gateway tells of itself, and what it can be asked to do. HEAD goes where "
            f"GET goes; bodies have at most {MOST_BYTES} bytes.",
        },
        "paths": paths,
        "components": {
            "schemas": {"Problem": schemas.PROBLEM},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "certificate": {"type": "mutualTLS"},
            },
        },
    }


def statuses(operation: Operation) -> tuple[int, ...]:
    """All by which an operation may be refused."""
    found = {*operation.refusals, *OF_ALL}
    if operation.order is not None:
        found.update(OF_WRITES)
    if operation.body is not None:
        found.update(OF_BODIES)
    return tuple(sorted(found))


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "responses": {"200": _content("it is so", operation.media, operation.answer)}
        | {str(status): _refusal(status) for status in statuses(operation)},
    }
    if operation.path == "/readyz":
        described["responses"]["503"] = _content("not ready", operation.media, operation.answer)
    names = re.findall(r"\{(\w+)\}", operation.path)
    if names:
        described["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
            for name in names
        ]
    if operation.body is not None:
        content = {"application/json": {"schema": operation.body.model_json_schema()}}
        described["requestBody"] = {"required": True, "content": content}
    if operation.order is not None:
        described["security"] = [{"token": []}, {"certificate": []}]
    return described


def _content(text: str, media: str, schema: schemas.Schema | None) -> dict[str, Any]:
    return {"description": text, "content": {media: {"schema": schema or schemas.TEXT}}}


def _refusal(status: int) -> dict[str, Any]:
    content = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": REASONS[status].decode(), "content": content}
