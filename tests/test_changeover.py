"""From one configuration to the next in a worker: what changed is served at once, what did not lives on."""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway import changeover
from gateway.changeover import Changeover, build_generation
from gateway.config import ConfigError, Loaded, load
from gateway.config.parcel import pack
from gateway.development import make_development_certificates
from gateway.server.listener import open_socket
from gateway.server.settings import Bind
from gateway.site import Services
from gateway.worker import Worker

FIRST = """\
listeners: [{bind: "127.0.0.1:8080"}]
upstreams: {app: {endpoints: ["http://ORIGIN"]}, other: {endpoints: ["http://127.0.0.1:9"]}}
routes:
  - {name: app, upstream: app}
  - {name: stream, match: {path: /stream}, upstream: app}
  - {name: other, match: {path: /other}, upstream: other}
  - {name: word, match: {path: /word}, respond: {status: 200, body: one}}
"""
WORD = b"GET /word HTTP/1.1\r\nHost: h\r\n\r\n"
ORIGIN_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nup"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
UPGRADE = b"GET %b HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


class Stage:
    """A worker on a real port, and the origin behind it, which counts its connections."""

    def __init__(self, folder: Path, origin: int) -> None:
        self.folder = folder
        self.origin_port = origin
        self.origin_connections = 0
        self.errors: list[BaseException] = []
        self.port = 0
        self.writers: list[asyncio.StreamWriter] = []
        self.changeover: Changeover

    def loaded(self, text: str) -> Loaded:
        path = self.folder / "config.yaml"
        path.write_text(text.replace("ORIGIN", f"127.0.0.1:{self.origin_port}"))
        return load(path)

    async def reload(self, text: str, number: int, **sockets: object) -> None:
        packed = pack(await asyncio.to_thread(self.loaded, text))
        await self.changeover.prepare(packed, number, sockets)  # type: ignore[arg-type]
        await self.changeover.commit(number)

    async def connect(self, port: int = 0) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port or self.port)
        self.writers.append(writer)
        return reader, writer


@asynccontextmanager
async def stage(folder: Path, text: str = FIRST) -> AsyncIterator[Stage]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        it.origin_connections += 1
        while head := await _head(reader):
            if b"websocket" in head:
                writer.write(SWITCHED)
                while piece := await reader.read(1000):
                    writer.write(piece)
                break
            writer.write(ORIGIN_ANSWER)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    it = Stage(folder, server.sockets[0].getsockname()[1])
    services = Services()
    first = await asyncio.to_thread(lambda: build_generation(it.loaded(text), services, 1))
    worker = Worker(first.site, first.loaded.config.downstream, services.metrics, services.sweep, it.errors.append)
    it.changeover = Changeover(worker, services, first)
    opened = open_socket(Bind("127.0.0.1", 0), 10)
    it.port = opened.getsockname()[1]
    await it.changeover.listen({str(one.bind): [opened] for one in first.loaded.config.listeners})
    worker.start()
    try:
        yield it
    finally:
        for writer in it.writers:
            writer.close()
        await worker.drain(0)
        await worker.close()
        server.close()
        assert it.errors == []


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes, size: int) -> bytes:
    writer.write(request)
    await reader.readuntil(b"\r\n\r\n")
    return await reader.readexactly(size)


async def test_an_open_connection_is_served_by_the_next_configuration(tmp_path: Path) -> None:
    """The same connection gets the old answer, then the new one, and pools of unchanged upstreams live on."""
    async with stage(tmp_path) as it:
        client = await it.connect()
        assert await ask(*client, WORD, 3) == b"one"
        assert await ask(*client, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 2) == b"up"
        before = it.changeover.present.site.upstreams
        await it.reload(FIRST.replace("body: one", "body: two"), 2)
        assert await ask(*client, WORD, 3) == b"two"
        assert await ask(*client, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 2) == b"up"
        assert it.origin_connections == 1
        assert it.changeover.present.site.upstreams == before
        assert it.changeover.present.site.generation == 2


async def test_what_is_prepared_is_not_served_until_it_is_committed(tmp_path: Path) -> None:
    """After `prepare` and `abort` everything is as it was, and only what was prepared can be committed."""
    async with stage(tmp_path) as it:
        packed = pack(await asyncio.to_thread(it.loaded, FIRST.replace("body: one", "body: two")))
        await it.changeover.prepare(packed, 2, {})
        client = await it.connect()
        assert await ask(*client, WORD, 3) == b"one"
        it.changeover.abort()
        with pytest.raises(LookupError):
            await it.changeover.commit(2)
        assert await ask(*client, WORD, 3) == b"one"
        assert await ask(*client, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 2) == b"up"


async def test_what_cannot_be_built_changes_nothing(tmp_path: Path) -> None:
    """A configuration that only building finds wrong is refused, and its sockets are closed."""
    async with stage(tmp_path) as it:
        (tmp_path / "page.html").write_text("x")
        wrong = FIRST + "error_pages: {templates: {404: page.html}}\n"
        packed = pack(await asyncio.to_thread(it.loaded, wrong))
        (tmp_path / "page.html").unlink()
        spare = open_socket(Bind("127.0.0.1", 0), 10)
        with pytest.raises(ConfigError):
            await it.changeover.prepare(packed, 2, {"127.0.0.1:1": [spare]})
        assert spare.fileno() == -1
        client = await it.connect()
        assert await ask(*client, WORD, 3) == b"one"


async def test_what_is_given_up_while_it_is_built(tmp_path: Path) -> None:
    """By an abort or by another attempt: its sockets are closed at once, and it cannot be committed."""
    async with stage(tmp_path) as it:
        packed = pack(await asyncio.to_thread(it.loaded, FIRST.replace("body: one", "body: two")))
        spare = open_socket(Bind("127.0.0.1", 0), 10)
        first = asyncio.ensure_future(it.changeover.prepare(packed, 2, {"127.0.0.1:1": [spare]}))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(it.changeover.prepare(packed, 3, {}))
        await asyncio.sleep(0)
        assert spare.fileno() == -1
        with pytest.raises(LookupError, match="given up"):
            await first
        await second
        with pytest.raises(LookupError, match="not prepared"):
            await it.changeover.commit(2)
        await it.changeover.commit(3)
        assert await ask(*await it.connect(), WORD, 3) == b"two"


async def test_a_listener_without_a_socket(tmp_path: Path) -> None:
    """Is found before anything is changed."""
    async with stage(tmp_path) as it:
        packed = pack(await asyncio.to_thread(it.loaded, FIRST.replace("}]", '}, {bind: "127.0.0.1:8081"}]', 1)))
        with pytest.raises(LookupError, match="no sockets for"):
            await it.changeover.prepare(packed, 2, {})
        with pytest.raises(LookupError, match="not prepared"):
            await it.changeover.commit(2)


async def test_what_was_served_is_freed_little_by_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few routes in a turn of the loop, and in the end all."""
    monkeypatch.setattr(changeover, "FREED_EVERY", 0.0)
    held = list(range(120))
    changeover._let_go(held)
    assert len(held) == 70
    async with asyncio.timeout(10):
        while held:  # noqa: ASYNC110  # nobody announces it
            await asyncio.sleep(0)


async def test_listeners_come_and_go(tmp_path: Path) -> None:
    """A new address is served; an old one accepts no more and lets its connections end."""
    async with stage(tmp_path) as it:
        old = await it.connect()
        assert await ask(*old, WORD, 3) == b"one"
        opened = open_socket(Bind("127.0.0.1", 0), 10)
        port = opened.getsockname()[1]
        name = f"127.0.0.1:{port}"
        await it.reload(FIRST.replace("127.0.0.1:8080", name), 2, **{name: [opened]})
        assert await old[0].read() == b""
        with pytest.raises(OSError, match="refused"):
            await it.connect()
        new = await it.connect(port)
        assert await ask(*new, WORD, 3) == b"one"


async def test_a_tunnel_outlives_the_change_unless_its_route_went(tmp_path: Path) -> None:
    """Of two tunnels only the one whose route is gone is cut, after the time for streams."""
    async with stage(tmp_path) as it:
        kept, gone = await it.connect(), await it.connect()
        for (reader, writer), path in ((kept, b"/"), (gone, b"/stream")):
            writer.write(UPGRADE % path)
            assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        without = "\n".join(line for line in FIRST.splitlines() if "/stream" not in line)
        await it.reload(without + "\nshutdown: {drain: 10ms, stream_drain: 20ms}\n", 2)
        assert await gone[0].read() == b""
        kept[1].write(b"still")
        assert await kept[0].readexactly(5) == b"still"


async def test_an_upstream_that_went_is_drained(tmp_path: Path) -> None:
    """Its idle connections are closed at once; endpoints that stay in a changed upstream keep theirs."""
    async with stage(tmp_path) as it:
        client = await it.connect()
        await ask(*client, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 2)
        more = FIRST.replace('["http://ORIGIN"]', '["http://ORIGIN", {url: "http://127.0.0.1:9", weight: 1}]')
        pool = it.changeover.present.site.upstreams["app"].endpoints[0].pool
        await it.reload(more, 2)
        assert it.changeover.present.site.upstreams["app"].endpoints[0].pool is pool
        assert pool.idle == 1
        await it.reload(
            FIRST.replace("app: {endpoints", "new: {endpoints").replace("upstream: app", "upstream: new"), 3
        )
        assert pool.idle == 0
        assert await ask(*client, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 2) == b"up"


async def test_certificates_are_kept_with_their_tickets(tmp_path: Path) -> None:
    """A listener whose `tls` is unchanged keeps its contexts; another one is read anew."""
    await asyncio.to_thread(make_development_certificates, tmp_path / "certs")
    secure = FIRST.replace('{bind: "127.0.0.1:8080"}', '{bind: "127.0.0.1:8080", tls: {certificates: certs/}}')
    async with stage(tmp_path, secure) as it:
        store = it.changeover.present.stores["127.0.0.1:8080"]
        await it.reload(secure.replace("body: one", "body: two"), 2)
        assert it.changeover.present.stores["127.0.0.1:8080"] is store
        await it.reload(secure.replace("certs/", "certs/, minimum_version: TLSv1.3"), 3)
        assert it.changeover.present.stores["127.0.0.1:8080"] is not store


async def test_nothing_of_an_old_configuration_stays(tmp_path: Path) -> None:
    """An old site is gone as soon as nobody uses it, without the collector; the interpreter's own settings are back."""
    async with stage(tmp_path) as it:
        interval = sys.getswitchinterval()
        gc.collect()
        gc.disable()
        try:
            await it.reload(FIRST.replace("body: one", "body: two"), 2)
            old = weakref.ref(it.changeover.present.site.error_reply)
            await it.reload(FIRST, 3)
            assert old() is None
        finally:
            gc.enable()
        assert sys.getswitchinterval() == interval
