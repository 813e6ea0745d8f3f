"""A hundred thousand connections, opened and closed in every way there is, plain and over TLS: nothing stays behind."""

from __future__ import annotations

import asyncio
import random
import ssl
import statistics
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from gateway.development import make_development_certificates
from tests.kit.async_client import AsyncClient
from tests.kit.origin import Origin
from tests.kit.process import Gateway, free_port, until, write_config
from tests.kit.vitals import assert_clean, counts, descriptors, memory

pytestmark = [pytest.mark.long, pytest.mark.e2e]

CONNECTIONS = 100_000
AT_ONCE = 64
SECURE = 5  # one of so many speaks TLS: a handshake costs a client what ten requests do
FLAT = 0.10
REQUEST = b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Caller:
    """Opens connections from many addresses of the loopback network, so that no port has to rest."""

    def __init__(self, http: int, https: int, tls: ssl.SSLContext, lot: random.Random) -> None:
        self._ports = (http, https)
        self._tls = tls
        self.lot = lot

    async def connect(self, *, secure: bool, tls: bool = True) -> AsyncClient:
        """To one of the listeners; to the secure one without TLS, if that is to be broken."""
        source = f"127.{self.lot.randrange(1, 250)}.{self.lot.randrange(250)}.1"
        return await AsyncClient.connect(self._ports[secure], self._tls if secure and tls else None, source=source)


Way = Callable[[Caller, bool], Awaitable[None]]


async def asks_and_closes(caller: Caller, secure: bool) -> None:
    client = await caller.connect(secure=secure)
    client.send(REQUEST)
    assert (await client.answer()).status == 200
    client.close()


async def asks_for_the_last_time(caller: Caller, secure: bool) -> None:
    client = await caller.connect(secure=secure)
    client.request("GET", "/x", "Connection: close")
    assert (await client.answer()).status == 200
    assert await client.rest() == b""
    client.close()


async def resets(caller: Caller, secure: bool) -> None:
    client = await caller.connect(secure=secure)
    client.send(REQUEST)
    assert (await client.answer()).status == 200
    client.reset()


async def resets_while_it_waits(caller: Caller, secure: bool) -> None:
    client = await caller.connect(secure=secure)
    client.send(REQUEST)
    await client.drain()
    client.reset()


async def says_nothing(caller: Caller, secure: bool) -> None:
    (await caller.connect(secure=secure)).close()


async def says_half(caller: Caller, secure: bool) -> None:
    client = await caller.connect(secure=secure)
    client.send(REQUEST[:20])
    await client.drain()
    client.close()


async def breaks_the_protocol(caller: Caller, secure: bool) -> None:
    """Plain bytes to the TLS listener, nonsense to the other."""
    client = await caller.connect(secure=secure, tls=False)
    client.send(b"\x16\x03\x01\x00\x05hello" if secure and caller.lot.random() < 0.5 else b"NONSENSE\r\n\r\n")
    await client.rest()
    client.close()


WAYS: dict[Way, int] = {
    asks_and_closes: 40, asks_for_the_last_time: 15, resets: 15, resets_while_it_waits: 10, says_nothing: 8,
    says_half: 7, breaks_the_protocol: 5,
}  # fmt: skip


@pytest.mark.timeout(900)
def test_connections_come_and_go(tmp_path: Path, share: float, lot: random.Random) -> None:
    """Memory is the same after a third of them as at the end, descriptors and counts as at the start."""
    make_development_certificates(tmp_path / "certs")
    http, https, admin = free_port(), free_port(), free_port()
    with Origin() as origin:
        write_config(
            tmp_path,
            listeners=[
                {"bind": f"127.0.0.1:{http}"},
                {"bind": f"127.0.0.1:{https}", "tls": {"certificates": "certs/"}},
            ],
            upstreams={"app": {"endpoints": [origin.url], "pool": {"idle_timeout": "2s"}}},
            routes=[{"upstream": "app"}],
            access_log="off",
            admin={"bind": f"127.0.0.1:{admin}"},
            log={"level": "error"},
        )
        with Gateway(tmp_path, "-c", "config.yaml") as gateway:
            caller = Caller(http, https, ssl.create_default_context(cafile=str(tmp_path / "certs" / "ca.pem")), lot)
            uvloop.run(come_and_go(caller, gateway, origin, 500))
            until(lambda: not any(counts(admin).held().values()))
            before = descriptors(gateway)

            samples = uvloop.run(come_and_go(caller, gateway, origin, round(CONNECTIONS * share)))

            until(lambda: not any(counts(admin).held().values()))
            until(lambda: descriptors(gateway) <= before)
            assert counts(admin).total("gateway_errors_total", cause="bug") == 0
            third = len(samples) // 3
            early, late = statistics.mean(samples[third : third + 5]), statistics.mean(samples[-5:])
            print(f"{early / 2**20:.1f} MiB after a third, {late / 2**20:.1f} MiB at the end")
            assert abs(late - early) <= FLAT * early, [sample >> 20 for sample in samples]
            gateway.signal(15)
            assert_clean(gateway.ended())


async def come_and_go(caller: Caller, gateway: Gateway, origin: Origin, count: int) -> list[int]:
    """`count` connections, AT_ONCE of them at a time; the gateway's memory at a hundred points on the way."""
    samples: list[int] = []
    left = iter(range(count))

    async def call() -> None:
        for number in left:
            (way,) = caller.lot.choices(list(WAYS), list(WAYS.values()))
            await way(caller, number % SECURE == 0)
            if number % max(1, count // 100) == 0:
                samples.append(memory(gateway))
                origin.asked.clear()  # it remembers what it got

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(call())
    return samples
