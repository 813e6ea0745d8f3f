"""The admin listener over TLS, and client certificates in place of the token."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.admin import serve
from tests.kit.admin import TOKEN, FakeGateway, ask, get, running, write
from tests.kit.tls import Issued, issue, put


def client(authority: Path, own: Path | None = None) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=authority)
    if own is not None:
        made.load_cert_chain(own, own.with_suffix(".key"))
    return made


@pytest.fixture
def authority(tmp_path: Path) -> Issued:
    made = issue(common="Test CA", ca=True)
    put(tmp_path, "ca", made)
    put(tmp_path, "admin", issue("127.0.0.1", by=made))
    return made


TLS: dict[str, Any] = {"certificate": "admin.pem", "key": "admin.key"}


async def test_https_keeps_the_token(tmp_path: Path, authority: Issued) -> None:
    """Without `client_ca` it is the same listener, encrypted; the probe listener stays plain."""
    gateway = FakeGateway(folder=tmp_path)
    context = client(tmp_path / "ca.pem")
    async with running(gateway, token=TOKEN, tls=TLS) as (admin, probe):
        assert (await ask(admin, get("/status"), context)).status == 200
        assert (await ask(admin, write("POST", "/reload", token=""), context)).status == 401
        assert (await ask(admin, write("POST", "/reload"), context)).status == 200
        assert (await ask(probe, get("/healthz"))).status == 200


async def test_a_client_certificate_opens(tmp_path: Path, authority: Issued) -> None:
    """With `client_ca` no token is asked for; the audit log names the subject; strangers get no answer at all."""
    put(tmp_path, "ops", issue(common="ops", organization="Example", by=authority))
    put(tmp_path, "stranger", issue(common="ops"))
    gateway = FakeGateway(folder=tmp_path)
    ca = tmp_path / "ca.pem"
    with capture_logs() as lines:
        async with running(gateway, tls=TLS | {"client_ca": "ca.pem"}) as (admin, _probe):
            answer = await ask(admin, write("POST", "/reload", token=""), client(ca, tmp_path / "ops.pem"))
            assert answer.status == 200
            for context in (client(ca), client(ca, tmp_path / "stranger.pem")):
                with pytest.raises((ssl.SSLError, ConnectionError, IndexError)):
                    await ask(admin, get("/status"), context)
    assert [line["by"] for line in lines if line["event"] == "admin write"] == [
        "certificate commonName=ops,organizationName=Example"
    ]
    assert gateway.asked == [("reload",)]


async def test_silence_instead_of_a_handshake_ends(
    tmp_path: Path, authority: Issued, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever connects and says nothing is cut."""
    monkeypatch.setattr(serve, "HANDSHAKE_SECONDS", 0.05)
    async with running(FakeGateway(folder=tmp_path), tls=TLS) as (admin, _probe):
        reader, writer = await asyncio.open_connection(*admin)
        assert await reader.read() == b""
        writer.close()


async def test_files_that_went_bad_leave_the_probe(tmp_path: Path, authority: Issued) -> None:
    """A certificate that was right when it was checked and is not now costs the admin listener only, loudly."""
    (tmp_path / "admin.pem").write_text("")
    with capture_logs() as lines:
        async with running(FakeGateway(folder=tmp_path), tls=TLS) as (probe,):
            assert (await ask(probe, get("/healthz"))).status == 200
    assert [line["log_level"] for line in lines] == ["error"]
