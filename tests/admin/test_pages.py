"""The pages that are read, over real sockets: each tells what it was told, and fits what is published of it."""

from __future__ import annotations

import pytest

from gateway.admin.table import OPERATIONS, Operation
from tests.kit.admin import FakeGateway, ask, get, running
from tests.kit.json_schema import mistakes

FAILED = {
    "at": 1795210613.0, "request_id": "id-1", "client": "192.0.2.1", "method": "GET", "host": "a.test", "path": "/",
    "route": "all", "upstream": "app", "endpoint": "10.0.0.5:3000", "attempts": 2, "status": 502,
    "cause": "connect_refused", "error": "connection_refused", "detail": "", "seconds": 0.01,
}  # fmt: skip


async def test_every_page_answers() -> None:
    """What the gateway says of itself is what stands there."""
    gateway = FakeGateway()
    gateway.errors.append(FAILED)
    async with running(gateway) as (admin, _probe):
        assert (await ask(admin, get("/healthz"))).json == {"status": "alive"}
        assert (await ask(admin, get("/readyz"))).json == {"status": "ready"}
        status = (await ask(admin, get("/status"))).json
        assert (status["generation"], status["ready"], status["connections"]) == (3, True, 2)
        assert [one["name"] for one in (await ask(admin, get("/upstreams"))).json] == ["app"]
        assert (await ask(admin, get("/certificates"))).json == []
        assert (await ask(admin, get("/config"))).json == {"listeners": [{"bind": "0.0.0.0:80"}]}
        assert (await ask(admin, get("/routes"))).json == [{"name": "all", "match": {}, "upstream": "app"}]
        assert (await ask(admin, get("/errors"))).json == [FAILED]
        assert (await ask(admin, get("/openapi.json"))).json["openapi"] == "3.1.0"


async def test_the_index_names_every_page() -> None:
    """People find all of them from there; nothing on it runs."""
    async with running(FakeGateway()) as (admin, _probe):
        index = await ask(admin, get("/"))
    assert index.status == 200
    assert b"<script" not in index.body
    for operation in OPERATIONS:
        if operation.page is not None and operation.path != "/":
            assert f'href="{operation.path}"'.encode() in index.body


@pytest.mark.parametrize(
    "operation",
    [one for one in OPERATIONS if one.page is not None and one.answer is not None],
    ids=lambda one: one.name,
)
async def test_pages_look_as_published(operation: Operation) -> None:
    """The schema of /openapi.json describes what is really answered."""
    gateway = FakeGateway()
    gateway.errors.append(FAILED)
    async with running(gateway) as (admin, _probe):
        answer = await ask(admin, get(operation.path))
    assert answer.fields["content-type"].startswith(operation.media)
    assert operation.answer is not None
    assert mistakes(answer.json, operation.answer) == []
