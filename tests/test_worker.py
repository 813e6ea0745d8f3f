"""The worker: sockets in, answers out, on a real loop; its sweep, its drain and its end."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.config import load
from gateway.deadlines import NEVER
from gateway.exchange import Connection
from gateway.metrics import Metrics
from gateway.server.listener import open_socket
from gateway.server.settings import Bind, DownstreamConfig, ListenerConfig
from gateway.server.wire import Standing
from gateway.site import Services, build_site
from gateway.worker import Worker, connection_room, head_rules

CONFIG = """\
listeners: [{bind: "127.0.0.1:8080"}]
upstreams: {app: {endpoints: ["http://ORIGIN"]}}
routes:
  - {name: app, upstream: app}
  - {name: pong, match: {path: /ping}, respond: {status: 200, body: pong}}
"""
PING = b"GET /ping HTTP/1.1\r\nHost: h\r\n\r\n"


class Serving:
    """A worker with one listener, and the origin behind it, which answers when told."""

    def __init__(self, worker: Worker, metrics: Metrics, port: int, errors: list[BaseException]) -> None:
        self.worker = worker
        self.metrics = metrics
        self.port = port
        self.errors = errors
        self.asked = asyncio.Event()
        self.let_go = asyncio.Event()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def origin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked.set()
        await self.let_go.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
        await reader.read()
        writer.close()


@asynccontextmanager
async def serving(folder: Path, more: str = "", listener: str = "") -> AsyncIterator[Serving]:
    errors: list[BaseException] = []
    started: list[Serving] = []

    async def origin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await started[0].origin(reader, writer)

    server = await asyncio.start_server(origin, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    path = folder / "config.yaml"
    text = CONFIG.replace("ORIGIN", f"127.0.0.1:{port}").replace('8080"', f'8080"{listener}') + more

    path.write_text(text)
    loaded = await asyncio.to_thread(load, path)
    services = Services()
    site = await asyncio.to_thread(build_site, loaded, services)
    worker = Worker(site, loaded.config.downstream, services.metrics, services.sweep, errors.append)
    opened = open_socket(Bind("127.0.0.1", 0), 10)
    await worker.listen(loaded.config.listeners[0], [opened], None)
    worker.start()
    started.append(Serving(worker, services.metrics, opened.getsockname()[1], errors))
    try:
        yield started[0]
    finally:
        started[0].let_go.set()
        await worker.drain(0)
        await worker.close()
        server.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # nobody announces it
            await asyncio.sleep(0.005)


async def answered(reader: asyncio.StreamReader, size: int) -> bytes:
    return await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(size)


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What comes until the end of the connection; a reset is an end too."""
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


async def test_it_answers_and_forwards(tmp_path: Path) -> None:
    """A local answer and a forwarded one come back on one connection, and both are counted."""
    async with serving(tmp_path) as it:
        it.let_go.set()
        reader, writer = await it.connect()
        writer.write(PING)
        assert (await answered(reader, 4)).endswith(b"\r\n\r\npong")
        writer.write(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await answered(reader, 4)).endswith(b"\r\n\r\ndone")
        assert it.worker.busy == 1
        writer.close()
        await until(lambda: it.worker.busy == 0)
        await until(lambda: it.metrics.value("gateway_requests_total", route="app", method="GET", status="2xx") == 1)
        assert it.metrics.value("gateway_requests_total", route="pong", method="GET", status="2xx") == 1
        assert it.errors == []


async def test_a_site_is_swapped_as_one(tmp_path: Path) -> None:
    """A connection that is open asks the new site from its next request on."""
    async with serving(tmp_path) as it:
        reader, writer = await it.connect()
        writer.write(PING)
        assert (await answered(reader, 4)).endswith(b"pong")
        path = tmp_path / "other.yaml"
        path.write_text("routes: [{respond: {status: 200, body: other}}]\n")
        loaded = await asyncio.to_thread(load, path)
        it.worker.change(await asyncio.to_thread(build_site, loaded, None, 2), loaded.config.downstream)
        writer.write(PING)
        assert (await answered(reader, 5)).endswith(b"other")
        writer.close()


async def test_drain_waits_for_what_is_open(tmp_path: Path) -> None:
    """Idle connections are closed at once, an exchange finishes, nobody new is let in, and nothing was cut."""
    async with serving(tmp_path) as it:
        idle, idle_writer = await it.connect()
        idle_writer.write(PING)
        await answered(idle, 4)
        reader, writer = await it.connect()
        writer.write(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
        await it.asked.wait()
        drain = asyncio.ensure_future(it.worker.drain(20))
        assert await idle.read() == b""
        assert not drain.done()
        with pytest.raises(ConnectionRefusedError):
            await it.connect()
        it.let_go.set()
        answer = await reader.read()
        assert answer.endswith(b"done")
        assert b"connection: close\r\n" in answer
        for one in (idle_writer, writer):
            one.close()
        assert await drain is True


async def test_an_idle_connection_may_ask_once_more(tmp_path: Path) -> None:
    """For as long as it is given: it is answered, told to go elsewhere, and the drain is over with the last one."""
    async with serving(tmp_path) as it:
        reader, writer = await it.connect()
        writer.write(PING)
        await answered(reader, 4)
        drain = asyncio.ensure_future(it.worker.drain(20, 0, 20))
        await until(lambda: it.worker.wire.draining)
        writer.write(PING)
        answer = await reader.read()
        assert answer.endswith(b"pong")
        assert b"connection: close\r\n" in answer
        writer.close()
        assert await drain is True


async def test_idle_connections_are_closed_after_their_time(tmp_path: Path) -> None:
    """Those that did not ask."""
    async with serving(tmp_path) as it:
        reader, writer = await it.connect()
        writer.write(PING)
        await answered(reader, 4)
        drain = asyncio.ensure_future(it.worker.drain(20, 0, 0.05))
        assert await reader.read() == b""
        writer.close()
        assert await drain is True


async def test_what_waits_in_the_queue_is_answered(tmp_path: Path) -> None:
    """Clients that the kernel has connected, but that nobody has accepted when the drain begins."""
    async with serving(tmp_path) as it:
        clients = [
            socket.create_connection(("127.0.0.1", it.port)) for _ in range(8)
        ]  # the loop stands still meanwhile
        for client in clients:
            client.sendall(PING)
            client.shutdown(socket.SHUT_WR)
            client.setblocking(False)
        assert await it.worker.drain(20, 0, 20) is True
        for client in clients:
            with client:
                assert client.recv(1000).endswith(b"pong")


async def test_drain_ends_with_its_time(tmp_path: Path) -> None:
    """What outlasts the drain is not cut by it; it says so, and close() cuts."""
    async with serving(tmp_path) as it:
        reader, writer = await it.connect()
        writer.write(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
        await it.asked.wait()
        assert await it.worker.drain(0.01) is False
        assert it.worker.busy == 1
        await it.worker.close()
        assert await ended(reader) == b""
        assert it.worker.busy == 0
        writer.close()


class Open:
    """A connection that stays open until it is cut, or says that it has ended."""

    def __init__(self, worker: Worker, standing: Standing) -> None:
        self.standing = standing
        self.was_cut = False
        self._worker = worker
        self._connection = Connection("192.0.2.1", 1, "l", "l", 0.0)
        worker.wire.live.add(self)
        worker.caps.admit(self._connection)

    def drain(self) -> None:
        """Goes on."""

    def cut(self) -> None:
        self.was_cut = True
        self.end()

    def end(self) -> None:
        self._worker.wire.live.discard(self)
        self._worker.caps.release(self._connection)


async def test_streams_have_a_time_of_their_own(tmp_path: Path) -> None:
    """At the end of the drain time exchanges are cut, tunnels and event streams go on; then it is said what was cut."""
    async with serving(tmp_path) as it:
        late, stream = Open(it.worker, Standing.EXCHANGE), Open(it.worker, Standing.STREAM)
        drain = asyncio.ensure_future(it.worker.drain(0.01, 20))
        await until(lambda: late.was_cut)
        assert not stream.was_cut
        stream.end()
        assert await drain is False


async def test_a_stream_that_ends_in_time_is_a_clean_drain(tmp_path: Path) -> None:
    """Nothing was cut, and one that has only to be closed by its peer is not counted."""
    async with serving(tmp_path) as it:
        stream, said = Open(it.worker, Standing.STREAM), Open(it.worker, Standing.NOTHING)
        drain = asyncio.ensure_future(it.worker.drain(0.01, 0.5))
        await asyncio.sleep(0)
        stream.end()
        assert await drain is True
        said.end()


async def test_drain_of_an_idle_worker(tmp_path: Path) -> None:
    """With nobody connected a drain is over at once."""
    async with serving(tmp_path) as it:
        assert await it.worker.drain(20) is True
        assert it.worker.wire.draining
        assert it.metrics.value("gateway_connections_open") == 0


async def test_a_peer_before_its_proxy_header_does_not_hold_the_drain(tmp_path: Path) -> None:
    """A connection that has not even said who it is is closed by the drain."""
    async with serving(tmp_path, listener=", proxy_protocol: {trusted: [127.0.0.0/8]}") as it:
        reader, writer = await it.connect()
        await until(lambda: len(it.worker.sweep) > 1)
        assert await it.worker.drain(20) is True
        assert await ended(reader) == b""
        writer.close()


async def test_caps_are_counted(tmp_path: Path) -> None:
    """A connection beyond the cap is closed unread, and counted."""
    async with serving(tmp_path, "downstream: {max_connections: 1}\n") as it:
        reader, writer = await it.connect()
        writer.write(PING)
        await answered(reader, 4)
        other, other_writer = await it.connect()
        assert await ended(other) == b""
        assert it.metrics.value("gateway_connections_refused_total", reason="connection_cap") == 1
        for one in (writer, other_writer):
            one.close()


class Late:
    """Has a deadline that is always over, and a bug."""

    def __init__(self) -> None:
        self.deadline = 0.0
        self.calls = 0

    def expire(self, now: float) -> None:
        self.calls += 1
        if self.calls == 2:
            self.deadline = NEVER
        raise RuntimeError("a bug")


async def test_the_sweep_outlives_a_bug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deadline that raises is reported, and the sweep goes on."""
    monkeypatch.setattr("gateway.worker.TICK", 0.01)
    async with serving(tmp_path) as it:
        late = Late()
        it.worker.sweep.add(late)
        await until(lambda: late.calls == 2)
        assert [str(error) for error in it.errors] == ["a bug", "a bug"]


async def test_a_unix_listener(tmp_path: Path) -> None:
    """A Unix socket serves like any other."""
    async with serving(tmp_path) as it:
        opened = await asyncio.to_thread(open_socket, Bind("", 0, str(tmp_path / "s.sock")), 10)
        await it.worker.listen(ListenerConfig.model_validate({"bind": f"unix:{tmp_path}/s.sock"}), [opened], None)
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s.sock"))
        writer.write(PING)
        assert (await answered(reader, 4)).endswith(b"pong")
        writer.close()


def test_connection_room_leaves_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of open files is raised as far as it goes; each connection may need two, and some are for ourselves."""
    limits = [(1024, 4096)]
    monkeypatch.setattr(resource, "getrlimit", lambda _what: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _what, new: limits.append(new))
    assert connection_room() == (4096 - 128) // 2
    assert limits[-1] == (4096, 4096)
    limits.append((100, 100))
    assert connection_room() == 64
    limits.append((1 << 40, 1 << 40))
    assert connection_room() == 1_000_000


def test_head_rules_are_the_operators() -> None:
    """The reader's rules come from `downstream`."""
    settings = DownstreamConfig.model_validate(
        {"max_line": 100, "max_fields": 3, "max_uri": 50, "underscores": "reject", "path": {"double_slash": "reject"}}
    )
    rules = head_rules(settings)
    assert (rules.max_line, rules.max_fields, rules.max_uri, rules.underscores) == (100, 3, 50, "reject")
    assert rules.path == (False, True)
