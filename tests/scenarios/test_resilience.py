"""Endpoints that die, hang, fail and dawdle under load, and whole upstreams that go and come back: what clients see."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.kit.http_client import Client
from tests.kit.origin import Asked, Origin, Talk
from tests.kit.process import Gateway, free_port, get, until, write_config

pytestmark = pytest.mark.e2e

NOTICED = 1.0  # seconds that a failure may take to be noticed
SHARE = 0.001  # of the requests that may fail after that


class Ended(NamedTuple):
    at: float  # monotonic, when it was over
    status: int
    seconds: float


class Load:
    """Clients with a connection each that GET again and again, until the end of the context."""

    def __init__(self, port: int, clients: int = 8) -> None:
        self.ended: list[Ended] = []
        self._port = port
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self) -> None:
        with Client(("127.0.0.1", self._port)) as client:
            while not self._over.wait(0.002):
                began = time.monotonic()
                status = client.ask("GET", "/").status
                now = time.monotonic()
                self.ended.append(Ended(now, status, now - began))

    def last(self, seconds: float) -> list[Ended]:
        """What begins and ends in so many seconds from now."""
        since = time.monotonic()
        until(lambda: self.ended and self.ended[-1].at > since + seconds)
        return [one for one in self.ended.copy() if one.at - one.seconds > since]


class Endpoint:
    """An origin with moods."""

    def __init__(self, port: int = 0) -> None:
        self.mood: Callable[[Asked, Talk], Any] = well
        self.origin = Origin({"*": self._answer}, port=port)
        self.origin.__enter__()
        self._alive = True

    async def _answer(self, asked: Asked, talk: Talk) -> None:
        await self.mood(asked, talk)

    def die(self) -> None:
        if self._alive:
            self._alive = False
            self.origin.__exit__(None, None, None)


async def well(_asked: Asked, talk: Talk) -> None:
    await talk.answer(b"well")


async def hangs(_asked: Asked, talk: Talk) -> None:
    await talk.origin.gate("never").wait()


async def fails(_asked: Asked, talk: Talk) -> None:
    await talk.answer(b"oh", 500)


async def resets(_asked: Asked, talk: Talk) -> None:
    talk.close()


@contextlib.contextmanager
def three(folder: Path, **app: Any) -> Iterator[tuple[list[Endpoint], Load, Gateway]]:
    """Three endpoints under load."""
    endpoints = [Endpoint() for _ in range(3)]
    port, admin = free_port(), free_port()
    write_config(
        folder,
        listeners=[{"bind": f"127.0.0.1:{port}"}],
        admin={"bind": f"127.0.0.1:{admin}"},
        upstreams={"app": {"endpoints": [one.origin.url for one in endpoints], **app}},
        routes=[{"upstream": "app"}],
        access_log="off",
        workers=2,
    )
    try:
        with Gateway(folder) as gateway, Load(port) as load:
            until(lambda: len(load.ended) > 100)
            yield endpoints, load, gateway
    finally:
        for one in endpoints:
            one.die()


def failures(ended: list[Ended]) -> list[Ended]:
    return [one for one in ended if one.status != 200]


@pytest.mark.parametrize(
    ("mood", "app"),
    [
        ("dies", {}),
        (resets, {}),
        (hangs, {"retries": {"per_try_timeout": "250ms"}}),
        (fails, {"retries": {"statuses": [500]}, "ejection": {"statuses": [500, 502, 503, 504]}}),
    ],
)
def test_one_of_three(tmp_path: Path, mood: Any, app: dict[str, Any]) -> None:
    """At most one request in a thousand fails after the first second, none once the endpoint is left out."""
    with three(tmp_path, **app) as (endpoints, load, gateway):
        if mood == "dies":
            endpoints[1].die()
        else:
            endpoints[1].mood = mood
        load.last(NOTICED)
        name = endpoints[1].origin.url.partition("//")[2]
        gateway.said.first(lambda line: True if f"{name} is left out" in line else None)
        after = load.last(1.5)
        assert len(after) > 200
        assert len(failures(after)) == 0, Counter(one.status for one in after)
        assert max(one.seconds for one in after) < 1.0


def test_one_of_three_dawdles(tmp_path: Path) -> None:
    """Who is slow gets less to do: the others answer nearly all, and nobody fails."""

    async def dawdles(_asked: Asked, talk: Talk) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                await talk.origin.gate("never").wait()
        await talk.answer(b"at last")

    with three(tmp_path) as (endpoints, load, _gateway):
        endpoints[1].mood = dawdles
        load.last(0.5)
        after = load.last(1.5)
        assert not failures(after)
        slow = [one for one in after if one.seconds > 0.25]
        assert len(slow) < len(after) / 10, f"{len(slow)} of {len(after)}"


def test_an_active_check_takes_an_endpoint_out_and_in(tmp_path: Path) -> None:
    """Before anybody has met it, in all workers; it comes back without an error."""
    health = {"path": "/", "interval": "100ms", "timeout": "200ms", "fall": 2}
    with three(tmp_path, health=health, ejection="off") as (endpoints, load, gateway):
        name = endpoints[1].origin.url.partition("//")[2]
        gateway.said.first(lambda line: True if f"{name} is up" in line else None)
        endpoints[1].mood = fails
        said = gateway.said.count()
        gateway.said.first(lambda line: True if f"{name} is down: status 500" in line else None)
        assert not failures(load.last(1.0))
        endpoints[1].mood = well
        gateway.said.first(lambda line: True if f"{name} is up" in line else None, since=said)
        asked = len(endpoints[1].origin.asked)
        assert not failures(load.last(0.5))
        assert len(endpoints[1].origin.asked) > asked + 20


def test_all_endpoints_die_and_come_back(tmp_path: Path) -> None:
    """503 with Retry-After at once meanwhile, a few connections a second to see, and service within two seconds."""
    with three(tmp_path) as (endpoints, load, gateway):
        ports = [one.origin.port for one in endpoints]
        for one in endpoints:
            one.die()
        gateway.said.first(lambda line: True if "no endpoint can be reached" in line else None)
        load.last(2 * NOTICED)
        meanwhile = load.last(1.0)
        answered = Counter(one.status for one in meanwhile)
        assert answered[503] > 0.9 * len(meanwhile), answered
        assert sorted(one.seconds for one in meanwhile)[len(meanwhile) // 2] < 0.1
        began = time.monotonic()
        endpoints += [Endpoint(port) for port in ports]
        until(lambda: load.ended[-1].status == 200)
        assert time.monotonic() - began < 2.0
        load.last(2.0 - (time.monotonic() - began))  # the other worker
        after = load.last(0.5)
        assert not failures(after), Counter(one.status for one in after)


def test_retry_after(tmp_path: Path) -> None:
    """What a client is told while nobody is there: come again; soon it is told so without anybody being asked."""
    port = free_port()
    write_config(
        tmp_path,
        listeners=[{"bind": f"127.0.0.1:{port}"}],
        upstreams={"app": {"endpoints": [f"http://127.0.0.1:{free_port()}"]}},
        routes=[{"upstream": "app"}],
        workers=1,
    )
    with Gateway(tmp_path):
        answer = until(lambda: (found := get(port)).status == 503 and found)
        assert answer["retry-after"] == "5"
