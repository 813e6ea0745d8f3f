"""From a request to its row in the table: methods, names, ids, and answers that are always ours."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from gateway.admin.app import REQUEST_ID
from tests.kit.admin import FakeGateway, ask, get, running, write


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
async def test_pages_are_read_only(method: str) -> None:
    """Any other method is a 405 that says which there are, as problem details, on both listeners."""
    async with running(FakeGateway()) as addresses:
        for address in addresses:
            answer = await ask(address, get("/healthz", method=method))
            assert (answer.status, answer.fields["allow"]) == (405, "GET, HEAD")
            assert answer.fields["content-type"] == "application/problem+json"
            assert answer.json["status"] == 405


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/reload", "POST"), ("/maintenance", "DELETE, PUT"), ("/upstreams/app/endpoints/a:1/weight", "PUT")],
)
async def test_writes_cannot_be_read(path: str, allowed: str) -> None:
    """GET and HEAD of what only takes orders: 405 with the methods it takes, and nothing happens."""
    gateway = FakeGateway()
    async with running(gateway) as (admin, _probe):
        for method in ("GET", "HEAD", "OPTIONS"):
            answer = await ask(admin, get(path, method=method))
            assert (answer.status, answer.fields["allow"]) == (405, allowed)
    assert gateway.asked == []


async def test_the_probe_listener_takes_no_orders() -> None:
    """What changes something is not there, whatever token is shown."""
    gateway = FakeGateway()
    async with running(gateway, token="0123456789abcdef0123456789abcdef") as (_admin, probe):
        assert (await ask(probe, write("POST", "/reload"))).status == 404
        assert (await ask(probe, write("PUT", "/maintenance", {}))).status == 404
    assert gateway.asked == []


async def test_every_answer_has_an_id() -> None:
    """Pages, refusals and failures can be found in the log by it; no two are the same."""
    gateway = FakeGateway()
    gateway.broken = True
    with capture_logs() as lines:
        async with running(gateway) as (admin, _probe):
            pages = ("/status", "/nowhere", "/reload", "/config")
            ids = [(await ask(admin, get(page))).fields[REQUEST_ID.lower()] for page in pages]
    assert len(set(ids)) == 4
    assert all(len(one) == 26 for one in ids)
    assert [line["request_id"] for line in lines if line["event"] == "an admin page failed"] == ids[3:]


@pytest.mark.parametrize("path", ["/upstreams/", "/status/", "//status", "/status%00", "/%2e%2e/status", "*"])
async def test_there_is_one_spelling_of_a_page(path: str) -> None:
    """Whatever is not in the table letter by letter is a 404 of ours."""
    async with running(FakeGateway()) as (admin, _probe):
        answer = await ask(admin, get(path))
        assert answer.status in {400, 404}
        assert b"version" not in answer.body
