"""WebSocket through the gateway, with a real client and a real server library, plain and over TLS."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import ssl
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus
from websockets.typing import Subprotocol

from gateway.development import make_development_certificates
from tests.kit.http_client import Client
from tests.kit.origin import Asked, Origin, Talk
from tests.kit.process import Gateway, free_port, settled, until, write_config

pytestmark = pytest.mark.e2e

MEBIBYTE = 1 << 20
SCHEMES = ["ws", "wss"]


class SocketOrigin:
    """A WebSocket server on a thread: echoes, and does what the message says: `close CODE`, `flood N`, `fields`."""

    def __init__(self) -> None:
        self.port = 0
        self.closed: dict[str, tuple[int | None, str]] = {}  # path -> code and reason
        self.flooded = 0  # messages of `flood` that have left
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live()), daemon=True)

    def __enter__(self) -> SocketOrigin:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    async def _live(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with serve(
            self._talk, "127.0.0.1", 0, max_size=None, compression=None, select_subprotocol=_first_offered
        ) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            self._ready.set()
            await self._stop.wait()

    async def _talk(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        path = connection.request.path
        try:
            async for message in connection:
                word, _, argument = message.partition(" ") if isinstance(message, str) else ("", "", "")
                if word == "close":
                    await connection.close(int(argument), "as asked")
                elif word == "flood":
                    for _ in range(int(argument)):
                        await connection.send(bytes(MEBIBYTE))
                        self.flooded += 1
                elif word == "fields":
                    await connection.send(json.dumps(list(connection.request.headers.raw_items())))
                else:
                    await connection.send(message)
        except ConnectionClosed:
            pass
        self.closed[path] = (connection.close_code, connection.close_reason or "")


def _first_offered(_connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return offered[0] if offered else None


async def other_protocol(asked: Asked, talk: Talk) -> None:
    """Switches to a protocol of its own, and says one line of it at once."""
    await talk.write(b"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\nHELLO\n")
    line = await talk.reader.readline()
    await talk.write(line.upper())
    talk.close()


async def refuse_upgrade(asked: Asked, talk: Talk) -> None:
    """Answers an upgrade like any other request."""
    await talk.answer(asked["upgrade"].encode() if asked["upgrade"] else b"none", 403)


class House(NamedTuple):
    gateway: Gateway
    sockets: SocketOrigin
    http: int
    https: int
    tls: ssl.SSLContext

    # Not the blocking client: it reads and writes from two threads, which Python's TLS cannot bear before 3.13.
    def connect(self, scheme: str, path: str = "/", **settings: Any) -> connect:
        port = self.http if scheme == "ws" else self.https
        if scheme == "wss":
            settings["ssl"] = self.tls
        return connect(f"{scheme}://localhost:{port}{path}", proxy=None, max_size=None, **settings)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("tunnels")
    make_development_certificates(folder / "certs")
    http, https = free_port(), free_port()
    with SocketOrigin() as sockets, Origin({"/shout": other_protocol, "/no": refuse_upgrade}) as origin:
        write_config(
            folder,
            listeners=[
                {"bind": f"127.0.0.1:{http}"},
                {"bind": f"127.0.0.1:{https}", "tls": {"certificates": "certs/"}},
            ],
            upstreams={
                "sockets": {"endpoints": [f"http://127.0.0.1:{sockets.port}"]},
                "origin": {"endpoints": [origin.url]},
            },
            routes=[
                {"upstream": "sockets"},
                {"match": {"path": "/idle"}, "upstream": "sockets", "timeouts": {"tunnel": "300ms"}},
                {"match": {"path": "/off"}, "upstream": "sockets", "websocket": False},
                {"match": {"path": "/shout"}, "upstream": "origin", "upgrades": ["shout"]},
                {"match": {"path": "/no"}, "upstream": "origin"},
            ],
        )
        with Gateway(folder, "-c", "config.yaml") as gateway:
            tls = ssl.create_default_context(cafile=str(folder / "certs" / "ca.pem"))
            yield House(gateway, sockets, http, https, tls)


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_messages_echo(house: House, scheme: str) -> None:
    """Text, bytes, empty and large messages come back as they were, fragmented ones too."""
    large = bytes(range(256)) * 4096 * 4
    async with house.connect(scheme) as client:
        for message in ("hello", "", b"\x00\xff", "ü" * 70_000, large):
            await client.send(message)
            assert await client.recv() == message
        await client.send(iter([large[:1000], large[1000:]]))
        assert await client.recv() == large


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_many_messages_keep_their_order(house: House, scheme: str) -> None:
    """A thousand messages on the way at once arrive in their order."""
    async with house.connect(scheme) as client:
        for number in range(1000):
            await client.send(str(number))
        assert [await client.recv() for _ in range(1000)] == [str(number) for number in range(1000)]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("code", [1000, 1001, 4321])
async def test_the_origins_close_reaches_the_client(house: House, scheme: str, code: int) -> None:
    """The close code and reason of the origin arrive."""
    async with house.connect(scheme) as client:
        await client.send(f"close {code}")
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert (client.close_code, client.close_reason) == (code, "as asked")


async def test_the_clients_close_reaches_the_origin(house: House) -> None:
    """The close code and reason of the client arrive."""
    async with house.connect("ws", "/enough") as client:
        await client.close(4001, "enough")
    assert until(lambda: house.sockets.closed.get("/enough")) == (4001, "enough")


async def test_a_client_that_vanishes_is_noticed(house: House) -> None:
    """A client whose connection ends without a word ends the origin's connection too."""
    async with house.connect("ws", "/vanish") as client:
        await client.send("x")
        assert await client.recv() == "x"
        client.transport.abort()
        closed = await asyncio.to_thread(until, lambda: house.sockets.closed.get("/vanish"))
        assert closed == (1006, "")


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_a_flood_before_a_slow_reader_costs_no_memory(house: House, scheme: str) -> None:
    """What the client does not read yet of 40 MiB waits at the origin, not in the gateway, and all of it arrives."""
    before = house.gateway.reset_peak()
    flooded = house.sockets.flooded
    async with house.connect(scheme, max_queue=1) as client:
        await client.send("flood 40")
        # This loop stands still meanwhile, so the client reads nothing.
        assert settled(lambda: house.sockets.flooded) < flooded + 40
        got = hashlib.sha256()
        for _ in range(40):
            message = await client.recv()
            assert isinstance(message, bytes)
            got.update(message)
        assert got.digest() == hashlib.sha256(bytes(40 * MEBIBYTE)).digest()
    assert house.gateway.peak() - before <= 32 * MEBIBYTE


async def test_the_handshake_is_the_origins(house: House) -> None:
    """Subprotocol, query and cookies pass; the origin learns of the client; our fields are on the 101."""
    async with house.connect(
        "ws", "/chat?room=1", subprotocols=["chat"], additional_headers={"Cookie": "a=b"}
    ) as client:
        assert client.subprotocol == "chat"
        assert client.response is not None
        assert client.response.headers["X-Request-ID"]
        await client.send("fields")
        told = {name.lower(): value for name, value in json.loads(await client.recv())}
    assert told["cookie"] == "a=b"
    assert told["x-forwarded-for"] == "127.0.0.1"
    assert told["connection"].lower() == "upgrade"


async def test_an_idle_tunnel_ends(house: House) -> None:
    """A tunnel on which nothing moves for its time is closed."""
    async with house.connect("ws", "/idle", ping_interval=None) as client:
        with pytest.raises(ConnectionClosedError):
            await client.recv()
    logged = house.gateway.logged(path="/idle")
    assert (logged["status"], logged["cause"]) == (101, "read_timeout")


async def test_a_route_may_refuse_websockets(house: House) -> None:
    """Where `websocket: false`, the upgrade is not asked of the origin, which says so."""
    with pytest.raises(InvalidStatus) as refused:
        await house.connect("ws", "/off")
    assert refused.value.response.status_code == 426


async def test_a_tunnels_line_counts_its_bytes(house: House) -> None:
    """The access log has one line for a tunnel, at its end: 101, with the bytes of both directions."""
    async with house.connect("ws", "/counted") as client:
        await client.send(bytes(10_000))
        assert len(await client.recv()) == 10_000
    logged = house.gateway.logged(path="/counted")
    assert logged["status"] == 101
    assert logged["bytes_in"] > 10_000
    assert logged["bytes_out"] > 10_000


def upgrade(port: int, target: str, token: str) -> Client:
    client = Client(("127.0.0.1", port))
    client.request("GET", target, "Connection: Upgrade", f"Upgrade: {token}")
    return client


def test_another_upgrade_when_it_is_listed(house: House) -> None:
    """A listed protocol is tunnelled, and what the origin says behind its head is not lost."""
    with upgrade(house.http, "/shout", "shout") as client:
        assert client.answer().status == 101
        client.send(b"quietly\n")
        assert client.rest() == b"HELLO\nQUIETLY\n"


def test_other_upgrades_are_not_asked_for(house: House) -> None:
    """A protocol that is not listed is left out of the request, which is answered like any other."""
    with upgrade(house.http, "/no", "shout") as client:
        answer = client.answer()
        assert (answer.status, answer.text) == (403, "none")
        assert client.ask("GET", "/no").status == 403


async def test_a_refused_websocket_keeps_its_answer(house: House) -> None:
    """An origin that answers 403 to a WebSocket handshake is heard."""
    with pytest.raises(InvalidStatus) as refused:
        await house.connect("ws", "/no")
    assert refused.value.response.status_code == 403
    assert refused.value.response.body == b"websocket"


async def test_tunnels_end_with_the_drain(tmp_path: Path) -> None:
    """A WebSocket that never ends is cut when the drain time is over, which the exit code tells."""
    with SocketOrigin() as sockets:
        port = free_port()
        write_config(
            tmp_path,
            listeners=[{"bind": f"127.0.0.1:{port}"}],
            upstreams={"app": {"endpoints": [f"http://127.0.0.1:{sockets.port}"]}},
            routes=[{"upstream": "app"}],
            shutdown={"drain": "200ms", "stream_drain": "400ms"},
        )
        with Gateway(tmp_path, "-c", "config.yaml") as gateway:
            gateway.code = 4
            async with connect(f"ws://127.0.0.1:{port}/", proxy=None) as client:
                await client.send("x")
                assert await client.recv() == "x"
                gateway.signal(signal.SIGTERM)
                with pytest.raises(ConnectionClosedError):
                    await client.recv()
