"""Upstream and Endpoint: built, picked from, counted, drained; and a whole pool over real sockets."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path
from random import Random
from typing import Any

import pytest

from gateway.deadlines import Sweep
from gateway.eager import EagerTask
from gateway.errors import Cause, UpstreamFault
from gateway.exchange import Connection, Exchange
from gateway.http.head import ResponseHeadReader
from gateway.http.message import Request
from gateway.metrics import Metrics
from gateway.upstream.building import Surroundings, build_upstream, make_endpoint
from gateway.upstream.pool import Pool, Wires
from gateway.upstream.resolver import Resolver
from gateway.upstream.settings import UpstreamConfig
from gateway.upstream.upstream import Endpoint, Upstream
from tests.kit.certificates import Authority
from tests.kit.transport import FakeClock, FakeDial, FakeLoop, Running
from tests.kit.upstream import REQUEST, TIMES, fake_wires


def exchange() -> Exchange:
    return Exchange(Connection("192.0.2.1", 1, "l", "l", 0.0), Request(b"GET", b"/", b"/", None, 1), 0.0)


def build(folder: Path, *urls: str, **keys: object) -> Upstream:
    clock = FakeClock()
    wires = Wires(ResponseHeadReader(), Sweep(), clock)
    config = UpstreamConfig.model_validate({"endpoints": list(urls), **keys})
    return build_upstream("app", config, Surroundings(wires, Resolver(clock), folder, print, Random(1)))


def test_the_only_endpoint(tmp_path: Path) -> None:
    """One endpoint is picked without asking the balancer, and there is no other."""
    upstream = build(tmp_path, "http://app:3000")
    endpoint = upstream.pick(exchange())
    assert endpoint is upstream.endpoints[0]
    assert upstream.other(exchange(), {endpoint}) is None


def test_another_endpoint(tmp_path: Path) -> None:
    """A tried endpoint is passed over; when all were tried there is none."""
    upstream = build(tmp_path, "http://a", "http://b", balance="first")
    tried: set[Endpoint] = set()
    for expected in ("a:80", "b:80"):
        endpoint = upstream.other(exchange(), tried)
        assert endpoint is not None
        assert endpoint.name == expected
        tried.add(endpoint)
    assert upstream.other(exchange(), tried) is None


def test_least_requests_counts_exchanges_under_way() -> None:
    """The load of an endpoint is what its pool has given out or owes."""
    loop, sweep = FakeLoop(), Sweep()
    config = UpstreamConfig.model_validate({"endpoints": ["http://a", "http://b"]})
    endpoints = tuple(
        make_endpoint(each, Pool(config.pool, FakeDial(loop), fake_wires(loop, sweep))) for each in config.endpoints
    )
    upstream = Upstream("app", config, endpoints, Random(1))
    names = []
    for _ in range(10):
        endpoint = upstream.pick(exchange())
        names.append(endpoint.name)
        assert Running(endpoint.pool.acquire(TIMES)).value is not None
    assert names.count("a:80") == names.count("b:80") == 5


def test_metrics() -> None:
    """States as gauges, connects, reuse and failures as counters; registering twice is registering once."""
    loop, sweep, dial = FakeLoop(), Sweep(), FakeDial()
    config = UpstreamConfig.model_validate({"endpoints": ["http://a"]})
    endpoint = make_endpoint(config.endpoints[0], Pool(config.pool, dial, fake_wires(loop, sweep)))
    upstream = Upstream("app", config, (endpoint,), Random(1))
    metrics = Metrics()
    upstream.register(metrics)
    connection: Any = Running(endpoint.pool.acquire(TIMES)).value
    endpoint.pool.release(connection)
    assert endpoint.pool.take() is connection
    upstream.register(metrics)
    dial.fault = UpstreamFault(Cause.CONNECT_TIMEOUT, "late", sent=False)
    assert Running(endpoint.pool.acquire(TIMES)).error is not None
    labels = {"upstream": "app", "endpoint": "a:80"}
    assert metrics.value("gateway_upstream_connections", state="active", **labels) == 1
    assert metrics.value("gateway_upstream_connections", state="idle", **labels) == 0
    assert metrics.value("gateway_upstream_connects_total", **labels) == 1
    assert metrics.value("gateway_upstream_reused_total", **labels) == 1
    assert metrics.value("gateway_upstream_connect_failures_total", cause="connect_timeout", **labels) == 1


@pytest.mark.e2e
async def test_a_name_that_does_not_resolve_stops_nothing(tmp_path: Path) -> None:
    """The upstream is built, and only a request finds out."""
    loop = asyncio.get_running_loop()

    def unknown(host: str) -> list[str]:
        raise OSError("unknown")

    wires = Wires(ResponseHeadReader(), Sweep(), loop.time)
    places = Surroundings(wires, Resolver(loop.time, unknown), tmp_path, print, Random(1))
    upstream = build_upstream("app", UpstreamConfig.model_validate({"endpoints": ["http://nowhere.test"]}), places)
    with pytest.raises(UpstreamFault) as failed:
        await asked(upstream, 1)
    assert failed.value.cause is Cause.NAME_ERROR


async def asked(upstream: Upstream, times: int) -> list[bytes]:
    """That many exchanges at once, each as the proxy would run it; their bodies."""
    loop = asyncio.get_running_loop()
    results: list[asyncio.Future[bytes]] = [loop.create_future() for _ in range(times)]

    async def one(result: asyncio.Future[bytes]) -> None:
        try:
            pool = upstream.pick(exchange()).pool
            connection = pool.take() or await pool.acquire(TIMES)
            connection.start(b"GET", REQUEST, TIMES)
            await connection.wait_head()
            body = b"".join(connection.chunks)
            pool.release(connection)
            result.set_result(body)
        except UpstreamFault as fault:
            result.set_exception(fault)

    for result in results:
        EagerTask(one(result), result.set_exception)
    return await asyncio.gather(*results)


@pytest.mark.e2e
@pytest.mark.parametrize("secure", [False, True])
async def test_two_hundred_exchanges_over_eight_connections(
    tmp_path: Path, secure: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A bounded pool against a real origin: all are answered, no more than eight connections, and all are closed."""
    opened = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        while await reader.read(1000):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()

    authority = Authority(tmp_path)
    tls = None
    if secure:
        tls = ssl_server(authority.issue("127.0.0.1"))
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    loop = asyncio.get_running_loop()
    sweep = Sweep()
    places = Surroundings(
        Wires(ResponseHeadReader(), sweep, loop.time), Resolver(loop.time), tmp_path, print, Random(1)
    )
    url = f"{'https' if secure else 'http'}://127.0.0.1:{port}"
    keys: dict[str, object] = {"tls": {"ca": "ca.pem"}} if secure else {}
    config = UpstreamConfig.model_validate({"endpoints": [url], "pool": {"max_open": 8, "queue": 200}, **keys})
    upstream = await asyncio.to_thread(build_upstream, "app", config, places)  # as a reload does: it reads files
    with caplog.at_level(logging.WARNING):
        assert await asked(upstream, 200) == [b"ok"] * 200
        pool = upstream.endpoints[0].pool
        assert opened == pool.idle == 8
        assert pool.values[pool.connects] == 8
        upstream.close()
        while not pool.settled:  # noqa: ASYNC110  # turns of the loop, no time
            await asyncio.sleep(0)
        server.close()
        await server.wait_closed()
    assert len(sweep) == 0
    assert caplog.records == []


def ssl_server(path: Path) -> ssl.SSLContext:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(path)
    return tls
