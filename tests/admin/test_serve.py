"""The admin and probe listeners over real sockets: what they serve, to whom, and what they never say."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.admin import serve
from gateway.admin.serve import open_sockets
from gateway.admin.settings import AdminConfig
from gateway.server.settings import Bind
from tests.kit.admin import FakeGateway, ask, get, running


async def test_not_ready_while_draining() -> None:
    """503 with the reasons on both listeners; alive all the same."""
    gateway = FakeGateway()
    gateway.reasons.append("draining")
    async with running(gateway) as addresses:
        for address in addresses:
            answer = await ask(address, get("/readyz"))
            assert (answer.status, answer.json["reasons"]) == (503, ["draining"])
            assert (await ask(address, get("/healthz"))).status == 200
        assert b"not ready: draining" in (await ask(addresses[0], get("/"))).body


async def test_metrics_are_scraped() -> None:
    """Counters of the registry, the gateway's own vitals and those of the process, in the format asked for."""
    gateway = FakeGateway()
    gateway.metrics.values[gateway.metrics.counter("gateway_x_total", "X.", route='a"\n')] += 5
    async with running(gateway) as addresses:
        for address in addresses:
            answer = await ask(address, get("/metrics"))
            lines = answer.body.decode().splitlines()
            assert answer.fields["content-type"].startswith("text/plain; version=")
            assert 'gateway_x_total{route="a\\"\\n"} 5.0' in lines
            assert "gateway_config_generation 3.0" in lines
            assert any(line.startswith("process_cpu_seconds_total") for line in lines)
        request = (
            b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: application/openmetrics-text;version=1.0.0\r\n\r\n"
        )
        answer = await ask(addresses[1], request)
        assert answer.fields["content-type"].startswith("application/openmetrics-text")
        assert answer.body.endswith(b"# EOF\n")
        chosen = await ask(addresses[0], get("/metrics?name[]=gateway_ready"))
        assert [line for line in chosen.body.decode().splitlines() if line[0] != "#"] == ["gateway_ready 1.0"]


async def test_the_probe_listener_tells_no_more() -> None:
    """Kubelets and scrapers get health and metrics under any name, and nothing else."""
    async with running(FakeGateway()) as (_admin, probe):
        for page in ("/", "/status", "/config", "/certificates", "/upstreams"):
            assert (await ask(probe, get(page))).status == 404
        assert (await ask(probe, get("/readyz", host="gateway-7f.example"))).status == 200


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9090", "127.0.0.1:9090", "[::1]:9090", "10.1.2.3", "ops.lan"])
async def test_names_and_addresses_that_may_be_asked_for(host: str) -> None:
    """localhost, any address, and what `hosts` adds."""
    async with running(FakeGateway(), hosts=["ops.lan"]) as (admin, _probe):
        assert (await ask(admin, get("/status", host))).status == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9090", "localhost.evil.example", "127.0.0.1.nip.io"])
async def test_a_page_that_rebinds_its_name_reads_nothing(host: str) -> None:
    """Any other name is what a browser sends for an attacker's page (DNS rebinding)."""
    async with running(FakeGateway(), hosts=["ops.lan"]) as (admin, _probe):
        answer = await ask(admin, get("/config", host))
        assert answer.status == 421
        assert b"bind" not in answer.body


async def test_head_has_no_body() -> None:
    """HEAD is GET without the body."""
    async with running(FakeGateway()) as (admin, _probe):
        answer = await ask(admin, get("/status", method="HEAD"))
        assert (answer.status, answer.body) == (200, b"")
        assert int(answer.fields["content-length"]) > 0


async def test_a_page_that_fails_shows_nothing_of_it() -> None:
    """500 as problem details, without the exception; so are unknown pages."""
    gateway = FakeGateway()
    gateway.broken = True
    with capture_logs():
        async with running(gateway) as (admin, _probe):
            failed, missing = await ask(admin, get("/config")), await ask(admin, get("/nowhere"))
    assert (failed.status, missing.status) == (500, 404)
    assert failed.fields["content-type"] == "application/problem+json"
    assert b"secret" not in failed.body
    assert missing.json == {"type": "about:blank", "title": "Not Found", "status": 404}


@pytest.mark.parametrize(
    "request_bytes", [get("/"), get("/nowhere"), b"\x16\x03\x01garbage\r\n\r\n", get("/x", "evil")]
)
async def test_no_answer_names_a_version(request_bytes: bytes) -> None:
    """Neither Python's nor aiohttp's, not even in the answer to garbage; and none may be stored or framed."""
    async with running(FakeGateway()) as (admin, _probe):
        answer = await ask(admin, request_bytes)
        assert b"aiohttp" not in answer.body
        assert answer.fields.get("server", "gateway") == "gateway"
        if answer.status != 400:
            assert answer.fields["cache-control"] == "no-store"
            assert "default-src 'none'" in answer.fields["content-security-policy"]


async def test_the_surplus_of_connections_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scanner that opens many gets few; once they are gone, there is room again."""
    monkeypatch.setattr(serve, "MOST_CONNECTIONS", 2)
    async with running(FakeGateway()) as (admin, _probe):
        held = [await asyncio.open_connection(*admin) for _ in range(2)]
        reader, writer = await asyncio.open_connection(*admin)
        assert await reader.read() == b""
        writer.close()
        for _reader, holder in held:
            holder.close()
            await holder.wait_closed()
        while True:
            try:
                answer = await ask(admin, get("/healthz"))
            except (ConnectionError, IndexError):
                continue
            break
        assert answer.status == 200


async def test_a_connection_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sends a byte now and then is cut."""
    monkeypatch.setattr(serve, "DEADLINE", 0.05)
    async with running(FakeGateway()) as (admin, _probe):
        reader, writer = await asyncio.open_connection(*admin)
        writer.write(b"GET / HT")
        assert await reader.read() == b""
        writer.close()


async def test_a_unix_socket_is_removed_at_the_end(tmp_path: Path) -> None:
    """`unix:/path` works as everywhere, and leaves nothing behind."""
    path = tmp_path / "admin.sock"
    async with running(FakeGateway(), bind=f"unix:{path}", probe=None) as (admin,):
        assert (await ask(admin, get("/healthz"))).status == 200
    assert not path.exists()


async def test_null_starts_nothing() -> None:
    """`bind: null` and no probe: no listener."""
    async with running(FakeGateway(), bind=None, probe=None) as addresses:
        assert addresses == []


def test_a_busy_port_names_the_address() -> None:
    """The command line can say which, and no socket stays open."""
    first = open_sockets(AdminConfig.model_validate({"bind": "127.0.0.1:0"}))
    assert first.bind is not None
    taken = f"127.0.0.1:{first.bind.getsockname()[1]}"
    with pytest.raises(OSError, match="in use") as caught:
        open_sockets(AdminConfig.model_validate({"bind": None, "probe": taken}))
    assert caught.value.filename == taken
    with pytest.raises(OSError, match="in use"):
        open_sockets(AdminConfig(bind=Bind("127.0.0.1", 0), probe=Bind(*first.bind.getsockname())))
    first.bind.close()
