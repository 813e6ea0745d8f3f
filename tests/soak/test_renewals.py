"""Certificates that are swapped two hundred times under TLS load: no client ever sees anything but a good one."""

from __future__ import annotations

import asyncio
import random
import shutil
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest
from cryptography import x509

from tests.kit.async_client import AsyncClient
from tests.kit.certificates import Authority
from tests.kit.origin import Origin
from tests.kit.process import Gateway, free_port, until, write_config
from tests.kit.vitals import assert_clean, counts

pytestmark = [pytest.mark.long, pytest.mark.e2e]

SWAPS = 200
PATIENCE = 30.0  # seconds until a certificate must be served
CLIENTS = 20
NAME = "shop.test"


def in_one_go(pem: bytes, folder: Path) -> None:
    """A rename over the old file, as careful tools do."""
    beside = folder / ".new"
    beside.write_bytes(pem)
    beside.replace(folder / "shop.pem")


def in_place(pem: bytes, folder: Path) -> None:
    """Written over the old file, as hasty ones do."""
    (folder / "shop.pem").write_bytes(pem)


def in_halves(pem: bytes, folder: Path) -> None:
    """The same, with a moment in between at which there is half a certificate."""
    with (folder / "shop.pem").open("wb", buffering=0) as file:
        file.write(pem[:200])
        file.write(pem[200:])


def as_a_folder(pem: bytes, folder: Path) -> None:
    """A whole folder in the place of the old one, as mounted secrets do."""
    fresh, old = folder.with_name("fresh"), folder.with_name("old")
    shutil.rmtree(old, ignore_errors=True)
    fresh.mkdir()
    (fresh / "shop.pem").write_bytes(pem)
    folder.rename(old)
    fresh.rename(folder)


Swap = Callable[[bytes, Path], None]
SWAP_BY: tuple[Swap, ...] = (in_one_go, in_place, in_halves, as_a_folder)


@pytest.mark.timeout(900)
def test_renewals_under_load(tmp_path: Path, share: float, lot: random.Random) -> None:
    """Each certificate that stays is served, and not one handshake or request fails meanwhile."""
    authority = Authority(tmp_path / "authority")
    folder = tmp_path / "certs"
    folder.mkdir()
    shutil.copy(authority.issue(NAME), folder / "shop.pem")
    https, admin = free_port(), free_port()
    with Origin() as origin:
        write_config(
            tmp_path,
            listeners=[{"bind": f"127.0.0.1:{https}", "tls": {"certificates": "certs/"}}],
            upstreams={"app": {"endpoints": [origin.url]}},
            routes=[{"upstream": "app"}],
            access_log="off",
            admin={"bind": f"127.0.0.1:{admin}"},
        )
        with Gateway(tmp_path, "-c", "config.yaml") as gateway:
            tls = ssl.create_default_context(cafile=str(authority.path))
            load = Load(https, tls, lot)
            asyncio.run(load.during(swaps(authority, folder, load, max(4, round(SWAPS * share)))))
            print(f"{load.answers} answers over {load.connections} connections, {len(load.seen)} certificates")
            origin.asked.clear()
            until(lambda: counts(admin).total("gateway_connections_open") == 0)
            handshakes = counts(admin)
            assert handshakes.total("gateway_tls_handshakes_total") == handshakes.total(
                "gateway_tls_handshakes_total", result="ok"
            )
            gateway.signal(15)
            assert_clean(gateway.ended())


class Load:
    """Clients that keep their connection and clients that do not; `seen` are the serial numbers they were shown."""

    def __init__(self, port: int, tls: ssl.SSLContext, lot: random.Random) -> None:
        self._port = port
        self._tls = tls
        self.lot = lot
        self._over = False
        self.answers = self.connections = 0
        self.seen: set[int] = set()
        self._shown = asyncio.Event()

    async def has_seen(self, serial: int) -> None:
        """Waits until some connection was shown that certificate."""
        async with asyncio.timeout(PATIENCE):
            while serial not in self.seen:
                self._shown.clear()
                await self._shown.wait()

    async def during(self, work: Coroutine[None, None, None]) -> None:
        """Runs as long as `work` does. Raises at the first request that fails."""

        async def working() -> None:
            await work
            self._over = True

        async with asyncio.TaskGroup() as group:
            group.create_task(working())
            for number in range(CLIENTS):
                group.create_task(self._visit(patient=number % 2 == 0))

    async def _visit(self, *, patient: bool) -> None:
        while not self._over:
            client = await AsyncClient.connect(self._port, self._tls, NAME)
            self.connections += 1
            self.seen.add(client.serial)
            self._shown.set()
            for _ in range(self.lot.randrange(100, 500) if patient else 1):
                assert (await client.ask("GET", "/x")).status == 200
                self.answers += 1
                await asyncio.sleep(self.lot.random() / 20)
                if self._over:
                    break
            client.close()


async def swaps(authority: Authority, folder: Path, load: Load, count: int) -> None:
    """Puts one certificate after the other in its place; every second one takes the first one's before it can be known,
    and is waited for until somebody has seen it."""
    for number in range(count):
        path = authority.issue(NAME, days=11 + number)
        pem = path.read_bytes()
        path.unlink()
        await asyncio.to_thread(load.lot.choice(SWAP_BY), pem, folder)
        if number % 2:
            await load.has_seen(x509.load_pem_x509_certificate(pem).serial_number)
        else:
            await asyncio.sleep(load.lot.random() / 2)
