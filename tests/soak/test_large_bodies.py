"""A gibibyte down and up, counted and in chunks, plain and over TLS, fast and slow: it is never held."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from gateway.development import make_development_certificates
from tests.kit.http_client import Client
from tests.kit.origin import Asked, Origin, Talk
from tests.kit.process import Gateway, free_port, write_config
from tests.kit.vitals import MEBIBYTE, begin_peak, peak

pytestmark = [pytest.mark.long, pytest.mark.e2e]

MEBIBYTES = 1024
GROWTH = 32 * MEBIBYTE
PATTERN = bytes(range(256)) * 4096  # 1 MiB in which every shift shows


async def counted(asked: Asked, talk: Talk) -> None:
    """As many MiB as the query says, with a Content-Length."""
    size = int(asked.target.rpartition("?")[2])
    await talk.head(f"Content-Length: {size * MEBIBYTE}")
    for _ in range(size):
        await talk.write(PATTERN)


async def chunked(asked: Asked, talk: Talk) -> None:
    """The same in uneven chunks."""
    await talk.head("Transfer-Encoding: chunked")
    for _ in range(int(asked.target.rpartition("?")[2])):
        await talk.chunk(PATTERN[:70_001])
        await talk.chunk(PATTERN[70_001:])
    await talk.write(b"0\r\n\r\n")


class House(NamedTuple):
    gateway: Gateway
    ports: dict[str, int]
    tls: ssl.SSLContext

    def client(self, scheme: str) -> Client:
        return Client(("127.0.0.1", self.ports[scheme]), self.tls if scheme == "https" else None)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("bodies")
    make_development_certificates(folder / "certs")
    ports = {"http": free_port(), "https": free_port()}
    with Origin({"/counted": counted, "/chunked": chunked, "/buffered/counted": counted}) as origin:
        write_config(
            folder,
            listeners=[
                {"bind": f"127.0.0.1:{ports['http']}"},
                {"bind": f"127.0.0.1:{ports['https']}", "tls": {"certificates": "certs/"}},
            ],
            upstreams={"app": {"endpoints": [origin.url]}},
            routes=[
                {"upstream": "app", "body_limit": "unlimited"},
                {
                    "match": {"path": "/buffered/*"},
                    "upstream": "app",
                    "body_limit": "unlimited",
                    "buffering": {"request": True, "response": True, "folder": str(folder)},
                },
            ],
        )
        with Gateway(folder, "-c", "config.yaml") as gateway:
            tls = ssl.create_default_context(cafile=str(folder / "certs" / "ca.pem"))
            yield House(gateway, ports, tls)


@pytest.fixture
def mebibytes(share: float) -> int:
    return max(64, round(MEBIBYTES * min(1.0, share)))


@pytest.fixture
def wanted(mebibytes: int) -> str:
    whole = hashlib.sha256()
    for _ in range(mebibytes):
        whole.update(PATTERN)
    return whole.hexdigest()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("path", ["/counted", "/chunked", "/buffered/counted"])
def test_down(house: House, path: str, scheme: str, mebibytes: int, wanted: str) -> None:
    """What arrives has the same hash, and the gateway grows by 32 MiB at the most."""
    got = hashlib.sha256()
    with house.client(scheme) as client:
        client.ask("GET", "/first")  # what is allocated once
        before = begin_peak(house.gateway)
        client.request("GET", f"{path}?{mebibytes}")
        assert client.answer(take=got.update).status == 200
    assert got.hexdigest() == wanted
    assert peak(house.gateway) - before <= GROWTH


@pytest.mark.timeout(300)
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("path", ["/up", "/buffered/up"])
def test_up(house: House, path: str, scheme: str, mebibytes: int, wanted: str) -> None:
    """What the origin gets has the same hash, and the gateway grows by 32 MiB at the most."""
    with house.client(scheme) as client:
        client.ask("GET", "/first")
        before = begin_peak(house.gateway)
        client.send(
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {mebibytes * MEBIBYTE}\r\n\r\n".encode()
        )
        for _ in range(mebibytes):
            client.send(PATTERN)
        answer = client.answer()
    assert (answer.json["length"], answer.json["sha256"]) == (mebibytes * MEBIBYTE, wanted)
    assert peak(house.gateway) - before <= GROWTH
