"""One health check against a real endpoint: what is well, what is not, and how it is said."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest

from gateway.upstream.address import parse_endpoint
from gateway.upstream.health import HealthConfig
from gateway.upstream.probe import BODY_LIMIT, Target, probe, request
from tests.kit.certificates import Authority
from tests.kit.origin import Asked, Origin, Script, Talk
from tests.kit.process import free_port

pytestmark = pytest.mark.e2e


def target(url: str, **health: Any) -> Target:
    address = parse_endpoint(url)
    return Target(address, HealthConfig.model_validate({"timeout": "2s", **health}), address.host)


def says(raw: bytes) -> Script:
    async def script(_asked: Asked, talk: Talk) -> None:
        await talk.write(raw)
        talk.close()

    return script


async def asked(raw: bytes, **health: Any) -> str:
    """What is wrong with an endpoint that says this."""
    with Origin({"*": says(raw)}) as origin:
        return await probe(target(origin.url, **health), None)


def test_the_request() -> None:
    """The endpoint's own Host unless another is wanted; it says that it wants no more."""
    raw = request(target("http://app:3000", path="/health?deep=1"))
    assert raw.startswith(b"GET /health?deep=1 HTTP/1.1\r\nhost: app:3000\r\n")
    assert b"\r\nconnection: close\r\n\r\n" in raw
    assert b"\r\nhost: www.example.com\r\n" in request(target("http://app:3000", host="www.example.com"))
    assert b"\r\nhost: localhost\r\n" in request(target("unix:/run/app.sock"))


WELL = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Ready: yes\r\n\r\nready"


@pytest.mark.parametrize(
    ("raw", "health"),
    [
        (WELL, {}),
        (b"HTTP/1.1 204 No Content\r\n\r\n", {}),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", {}),
        (b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", {"status": ["200-299", 401]}),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" + WELL, {}),
        (WELL, {"body": "ready", "fields": {"X-Ready": "yes"}}),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nre\r\n3\r\nady\r\n0\r\n\r\n", {"body": "ready"}),
        (b"HTTP/1.0 200 OK\r\n\r\nready", {"body": "ready"}),
    ],
)
async def test_what_is_well(raw: bytes, health: dict[str, Any]) -> None:
    """By its status, its fields and its body, however that is framed."""
    assert await asked(raw, **health) == ""


@pytest.mark.parametrize(
    ("raw", "health", "wrong"),
    [
        (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", {}, "status 503"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", {"status": 204}, "status 200"),
        (WELL, {"fields": {"x-ready": "no"}}, "no field x-ready: no"),
        (WELL, {"body": "sound"}, "the text is not in its body"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * BODY_LIMIT + b"ready", {"body": "ready"}, "the text is not in its body"),
        (b"220 mail.example.com ESMTP\r\n\r\n", {}, "a malformed answer"),
        (b"HTTP/1.1 200 OK\r\n", {}, "closed before it answered"),
        (b"", {}, "closed before it answered"),
    ],
)
async def test_what_is_not(raw: bytes, health: dict[str, Any], wrong: str) -> None:
    """With the reason in a few words."""
    assert wrong in await asked(raw, **health)


async def test_nobody_is_there() -> None:
    """For each type of check."""
    for kind in ("http", "tcp"):
        assert "connect_refused" in await probe(target(f"http://127.0.0.1:{free_port()}", type=kind), None)


async def test_one_that_hangs() -> None:
    """The check ends when its time is over; that somebody is there is enough for `tcp`."""

    async def hang(_asked: Asked, talk: Talk) -> None:
        await talk.origin.gate("never").wait()

    with Origin({"*": hang}) as origin:
        assert await probe(target(origin.url, timeout="100ms"), None) == "no answer within 0.1s"
        assert await probe(target(origin.url, type="tcp"), None) == ""
        while origin.connections < 2:  # noqa: ASYNC110  # nobody announces it
            await asyncio.sleep(0.01)


async def test_a_unix_socket(tmp_path: Path) -> None:
    """Is asked like any other."""
    with Origin({"*": says(WELL)}, path=str(tmp_path / "app.sock")) as origin:
        assert await probe(target(origin.url), None) == ""
    assert "connect_refused" in await probe(target(f"unix:{tmp_path}/none.sock"), None)


async def test_over_tls(tmp_path: Path) -> None:
    """Verified as the upstream says; `tls` asks for a handshake only, `tcp` for less."""
    authority = Authority(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(authority.issue("127.0.0.1"))
    trusting = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    with Origin({"*": says(WELL)}, tls=server) as origin:
        assert await probe(target(origin.url), trusting) == ""
        assert await probe(target(origin.url, type="tls"), trusting) == ""
        assert await probe(target(origin.url, type="tcp"), trusting) == ""
        for kind in ("http", "tls"):
            assert "certificate" in await probe(target(origin.url, type=kind), ssl.create_default_context())
