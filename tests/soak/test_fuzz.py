"""Random mutations of valid requests, responses, TLS hellos and PROXY headers: the gateway never dies, never says 500.

Whatever it makes of them, it is not a bug of its own: no traceback, no exchange that failed for the cause `bug`, and a
proper client beside it is served all the time.
"""

from __future__ import annotations

import asyncio
import random
import struct
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.development import make_development_certificates
from tests.kit.async_client import AsyncClient
from tests.kit.corpus.requests import ACCEPTED, CASES
from tests.kit.mutations import client_hello, mutated, pieces
from tests.kit.origin import Asked, Origin, Talk
from tests.kit.process import Gateway, free_port, until, write_config
from tests.kit.vitals import assert_clean, counts

pytestmark = [pytest.mark.long, pytest.mark.e2e]

AT_ONCE = 64
KEPT = 500  # inputs that are told when something was found
SHORT = "300ms"  # what would wait for more is not waited for

# What is accepted gets deepest, so there is more of it.
REQUESTS = [case.raw for case in (*CASES, *ACCEPTED * 3) if len(case.raw) < 20_000]
ASKING = [
    b"GET /said HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"HEAD /said HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    b"POST /said HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc",
    b"POST /buffered/said HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"GET /said HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"GET /said HTTP/1.0\r\n\r\n",
]
RESPONSES = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x05hello",
    b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\nKeep-Alive: timeout=5\r\n\r\n',
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n\r\ndata: 1\n\n",
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
]
_V2 = b"\r\n\r\n\x00\r\nQUIT\n"
PROXIED = [
    b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n",
    b"PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n",
    b"PROXY UNKNOWN\r\n",
    _V2 + b"\x21\x11" + struct.pack("!H4s4sHH", 12, b"\xc0\x00\x02\x01", b"\xc0\x00\x02\x02", 56324, 443),
    _V2 + b"\x20\x00\x00\x00",
    _V2 + b"\x21\x11" + struct.pack("!H", 19) + b"\xc0\x00\x02\x01\xc0\x00\x02\x02\xdc\x04\x01\xbb\x04\x00\x04\x00\x00\x00\x00",
]  # fmt: skip


class House(NamedTuple):
    gateway: Gateway
    http: int
    https: int
    proxied: int
    admin: int
    sent: deque[bytes]  # the last of them
    said: deque[bytes]  # by the origin


@pytest.fixture
def house(tmp_path: Path, lot: random.Random) -> Iterator[House]:
    make_development_certificates(tmp_path / "certs")
    http, https, proxied, admin = (free_port() for _ in range(4))
    said: deque[bytes] = deque(maxlen=KEPT)

    async def says_anything(asked: Asked, talk: Talk) -> None:
        response = mutated(RESPONSES, lot)
        said.append(response)
        for piece in pieces(response, lot):
            await talk.write(piece)
            await asyncio.sleep(0)
        if lot.random() < 0.7:
            talk.close()

    with Origin({"/said": says_anything, "/buffered/said": says_anything}) as origin:
        timeouts = {"head": SHORT, "read": SHORT, "tunnel": SHORT}
        write_config(
            tmp_path,
            listeners=[
                {"bind": f"127.0.0.1:{http}"},
                {"bind": f"127.0.0.1:{https}", "tls": {"certificates": "certs/", "handshake_timeout": SHORT}},
                {"bind": f"127.0.0.1:{proxied}", "proxy_protocol": {"trusted": ["127.0.0.0/8"]}},
            ],
            downstream={
                "head_timeout": "5s",  # the proper client's, too, on a busy machine
                "body_timeout": SHORT,
                "keepalive_timeout": SHORT,
                "linger_timeout": SHORT,
            },
            upstreams={"app": {"endpoints": [origin.url]}},
            routes=[
                {"upstream": "app", "timeouts": timeouts, "intercept": [404]},
                {
                    "match": {"path": "/buffered/*"},
                    "upstream": "app",
                    "timeouts": timeouts,
                    "buffering": {"request": True, "response": True},
                },
                {"match": {"path_regex": "/v[0-9]/.*"}, "upstream": "app", "rewrite": {"strip_prefix": "/v1"}},
            ],
            access_log={"output": "access.log", "headers": ["x-version", "cookie"]},
            admin={"bind": f"127.0.0.1:{admin}"},
            log={"level": "error"},
        )
        with Gateway(tmp_path, "-c", "config.yaml") as gateway:
            yield House(gateway, http, https, proxied, admin, deque(maxlen=KEPT), said)
        origin.faults.clear()  # the gateway may pass on what this origin cannot read: a body that was cut, say


def check(house: House) -> None:
    """Fails with the last inputs if there is a bug."""
    told = house.gateway.said.text
    bugs = counts(house.admin).total("gateway_errors_total", cause="bug") if house.gateway.alive else 1
    if bugs or "Traceback" in told or "a bug in the gateway" in told:
        folder = house.gateway.folder
        (folder / "sent.txt").write_text("\n".join(map(repr, house.sent)))
        (folder / "said.txt").write_text("\n".join(map(repr, house.said)))
        pytest.fail(f"{told}\nthe last inputs: {folder}/sent.txt and {folder}/said.txt", pytrace=False)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["requests", "responses", "hellos", "proxied"])
def test_fuzz(house: House, kind: str, seconds: float, lot: random.Random) -> None:
    """A quarter of the unit for each kind of input, cut by lot; the log stays one JSON object a line."""
    models, port = {
        "requests": (REQUESTS, house.http),
        "responses": (ASKING, house.http),
        "hellos": ([client_hello("localhost"), client_hello("shop.example.com")], house.https),
        "proxied": (PROXIED, house.proxied),
    }[kind]

    def made() -> bytes:
        if kind == "responses":
            return lot.choice(models)
        asking = lot.choice(ASKING[:3]).replace(b"/said", b"/proper") if kind == "proxied" else b""
        return mutated(models, lot) + asking

    sent = asyncio.run(fuzz(house, port, made, seconds / 4))
    until(lambda: counts(house.admin).total("gateway_connections_open") == 0)
    check(house)
    found = counts(house.admin)
    print(f"{sent} inputs, answered {found.by('gateway_responses_total', 'status')}")
    assert found.total("gateway_access_log_dropped_total") == 0
    if kind != "responses":  # an origin may say 500
        assert found.total("gateway_responses_total", status="500") == 0
    house.gateway.signal(15)
    assert_clean(house.gateway.ended())
    text = (house.gateway.folder / "access.log").read_bytes()
    assert all(line.startswith(b'{"time":') and line.endswith(b"}") for line in text.splitlines())


async def fuzz(house: House, port: int, made: Callable[[], bytes], seconds: float) -> int:
    """Sends what `made` makes for so long, AT_ONCE of them at a time; how many."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    count = 0

    async def call() -> None:
        nonlocal count
        while loop.time() < end:
            wire = made()
            house.sent.append(wire)
            count += 1
            await one(port, wire)

    async def look() -> None:
        while loop.time() < end:
            client = await AsyncClient.connect(house.http)
            assert (await client.ask("GET", "/proper")).status == 200
            client.close()
            await loop.run_in_executor(None, check, house)
            await asyncio.sleep(0.5)

    async with asyncio.TaskGroup() as group:
        group.create_task(look())
        for _ in range(AT_ONCE):
            group.create_task(call())
    return count


async def one(port: int, wire: bytes) -> None:
    """Sends it in pieces, closes its side, and reads to the end; or leaves without."""
    client = await AsyncClient.connect(port)
    lot = random.Random(wire)
    try:
        for piece in pieces(wire, lot):
            client.send(piece)
            await asyncio.sleep(0)
        if lot.random() < 0.8:
            client.finish()
            await client.rest()
    except OSError:
        pass  # it has been told to go
    finally:
        client.reset()
