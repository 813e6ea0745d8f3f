"""Bodies: large ones in both directions and framings, slow readers, buffering, trailers, streams of events."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from gateway.development import make_development_certificates
from tests.kit.http_client import Client
from tests.kit.origin import Asked, Origin, Talk
from tests.kit.process import Gateway, free_port, settled, until, write_config

pytestmark = pytest.mark.e2e

MEBIBYTE = 1 << 20
PATTERN = bytes(range(256)) * 4096  # 1 MiB in which every shift shows
LARGE = 30
HUGE = 50
GROWTH = 32 * MEBIBYTE


def digest_of(mebibytes: int) -> str:
    whole = hashlib.sha256()
    for _ in range(mebibytes):
        whole.update(PATTERN)
    return whole.hexdigest()


async def counted(asked: Asked, talk: Talk) -> None:
    """As many MiB as the path says, with a Content-Length."""
    size = int(asked.path.rpartition("/")[2])
    await talk.head(f"Content-Length: {size * MEBIBYTE}")
    for _ in range(size):
        await talk.write(PATTERN)
        asked.sent += MEBIBYTE


async def chunked(asked: Asked, talk: Talk) -> None:
    """The same in uneven chunks, with a trailer."""
    size = int(asked.path.rpartition("/")[2])
    await talk.head("Transfer-Encoding: chunked", "Trailer: X-Sum")
    for _ in range(size):
        await talk.chunk(PATTERN[:70_001])
        await talk.chunk(PATTERN[70_001:])
    await talk.write(b"0\r\nX-Sum: done\r\nContent-Length: 1\r\nSet-Cookie: a=b\r\n\r\n")


async def events(asked: Asked, talk: Talk) -> None:
    """Server-sent events, of which the second waits until the client has the first."""
    await talk.head("Content-Type: text/event-stream", "Cache-Control: no-cache", "Transfer-Encoding: chunked")
    await talk.chunk(b"data: first\n\n")
    await talk.origin.gate(asked.target).wait()
    await talk.chunk(b"data: second\n\n")
    await talk.write(b"0\r\n\r\n")


async def trailers(asked: Asked, talk: Talk) -> None:
    """Tells which trailers came."""
    await talk.read_body(asked)
    await talk.answer(repr(asked.trailers).encode())


async def spooled(asked: Asked, talk: Talk) -> None:
    """More than any socket buffer holds; whether the origin gets rid of it is seen by its next request."""
    await talk.answer(PATTERN * LARGE)


SCRIPTS = {
    "/counted/*": counted, "/chunked/*": chunked, "/events*": events, "/buffered/events*": events,
    "/trailers": trailers, "/buffered/large*": spooled,
}  # fmt: skip


class House(NamedTuple):
    gateway: Gateway
    origin: Origin
    http: tuple[str, int]
    https: tuple[str, int]
    tls: ssl.SSLContext

    def client(self, scheme: str, receive_buffer: int = 0) -> Client:
        if scheme == "http":
            return Client(self.http, receive_buffer=receive_buffer)
        return Client(self.https, self.tls, receive_buffer=receive_buffer)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("transfers")
    make_development_certificates(folder / "certs")
    http, https = free_port(), free_port()
    with Origin(SCRIPTS) as origin:
        # One connection for the buffered routes: whoever holds it is seen.
        single = {"endpoints": [origin.url], "pool": {"max_open": 1}}
        write_config(
            folder,
            listeners=[
                {"bind": f"127.0.0.1:{http}"},
                {"bind": f"127.0.0.1:{https}", "tls": {"certificates": "certs/"}},
            ],
            upstreams={
                "app": {"endpoints": [origin.url], "pool": {"queue_timeout": "30s"}},
                "single": single,
            },
            routes=[
                {"upstream": "app", "body_limit": "unlimited"},
                {
                    "match": {"path": "/buffered/*"},
                    "upstream": "single",
                    "body_limit": "20 MiB",
                    "buffering": {"request": True, "response": True, "folder": str(folder)},
                },
            ],
        )
        with Gateway(folder, "-c", "config.yaml") as gateway:
            tls = ssl.create_default_context(cafile=str(folder / "certs" / "ca.pem"))
            yield House(gateway, origin, ("127.0.0.1", http), ("127.0.0.1", https), tls)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_large_downloads_arrive_as_they_were(house: House, scheme: str) -> None:
    """30 MiB come down with the same hash, counted and in chunks, and the gateway does not hold them."""
    wanted = digest_of(LARGE)
    before = house.gateway.reset_peak()
    with house.client(scheme) as client:
        for path, framing in (("/counted", "content-length"), ("/chunked", "transfer-encoding")):
            got = hashlib.sha256()
            client.request("GET", f"{path}/{LARGE}")
            answer = client.answer(take=got.update)
            assert answer[framing]
            assert got.hexdigest() == wanted
    assert house.gateway.peak() - before <= GROWTH


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_large_uploads_arrive_as_they_were(house: House, scheme: str) -> None:
    """30 MiB go up with the same hash, counted and in chunks, and the gateway does not hold them."""
    wanted = digest_of(LARGE)
    before = house.gateway.reset_peak()
    with house.client(scheme) as client:
        lines = b"POST /up HTTP/1.1\r\nHost: localhost\r\n"
        client.send(lines + b"Content-Length: %d\r\n\r\n" % (LARGE * MEBIBYTE))
        for _ in range(LARGE):
            client.send(PATTERN)
        counted_answer = client.answer()
        client.send(lines + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(LARGE):
            client.send(b"%x\r\n%b\r\n" % (70_001, PATTERN[:70_001]))
            client.send(b"%x;note=x\r\n%b\r\n" % (MEBIBYTE - 70_001, PATTERN[70_001:]))
        client.send(b"0\r\n\r\n")
        chunked_answer = client.answer()
    for answer in (counted_answer, chunked_answer):
        assert (answer.json["length"], answer.json["sha256"]) == (LARGE * MEBIBYTE, wanted)
    assert dict(chunked_answer.json["fields"])["transfer-encoding"] == "chunked"
    assert house.gateway.peak() - before <= GROWTH


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_slow_reader_costs_no_memory(house: House, scheme: str) -> None:
    """While a client does not read 50 MiB, the origin is held back and the gateway grows by 32 MiB at the most."""
    before = house.gateway.reset_peak()
    got = hashlib.sha256()
    with house.client(scheme, receive_buffer=64 * 1024) as client:
        client.request("GET", f"/counted/{HUGE}")
        status, _reason, fields = client.head()
        asked = house.origin.asked[-1]
        settled(lambda: asked.sent)
        assert asked.sent < HUGE * MEBIBYTE
        # The gateway is not held up by it.
        with house.client(scheme) as other:
            assert other.ask("GET", "/meanwhile").status == 200
        assert house.gateway.peak() - before <= GROWTH
        for piece in client.body("GET", status, fields, []):
            got.update(piece)
    assert got.hexdigest() == digest_of(HUGE)
    assert house.gateway.peak() - before <= GROWTH


def test_a_slow_sender_does_not_hold_the_origin(house: House) -> None:
    """With request buffering the origin is not asked before the body is whole, however long the client takes."""
    body = PATTERN * 2
    with house.client("http") as client, house.client("http") as other:
        client.send(b"POST /buffered/dripped HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body))
        client.send(body[:-1])
        # The only connection to that origin is free meanwhile.
        assert other.ask("GET", "/buffered/other").status == 200
        assert [asked for asked in house.origin.asked if asked.target == "/buffered/dripped"] == []
        client.send(body[-1:])
        answer = client.answer()
    assert answer.json["sha256"] == hashlib.sha256(body).hexdigest()
    assert dict(answer.json["fields"])["content-length"] == str(len(body))


def test_buffered_chunks_become_a_length(house: House) -> None:
    """A chunked body that was taken in whole goes to the origin with its length: WSGI servers want one."""
    with house.client("http") as client:
        client.send(b"POST /buffered/up HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        told = client.answer().json
    assert (told["length"], told["sha256"]) == (5, hashlib.sha256(b"abcde").hexdigest())
    assert dict(told["fields"])["content-length"] == "5"


def test_a_slow_reader_does_not_hold_the_origin(house: House) -> None:
    """With response buffering the origin's connection serves others while the client has not read its answer."""
    with house.client("http", receive_buffer=4096) as client, house.client("http") as other:
        client.request("GET", "/buffered/large/unread")
        house.origin.wait_asked(1, "/buffered/large/unread")
        # There is one connection to that origin: this answer can only come on it, after the 30 MiB have left it.
        assert other.ask("GET", "/buffered/after").status == 200
        assert hashlib.sha256(client.answer().body).hexdigest() == digest_of(LARGE)


def test_a_spooled_body_leaves_no_file(house: House) -> None:
    """Spool files are gone with their exchange."""
    with house.client("http") as client:
        assert len(client.ask("GET", "/buffered/large").body) == LARGE * MEBIBYTE
    assert list(house.gateway.folder.glob("gateway-body-*")) == []


@pytest.mark.parametrize("target", ["/events", "/buffered/events"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_events_pass_as_they_come(house: House, scheme: str, target: str) -> None:
    """The first event reaches the client before the second is sent, with response buffering too."""
    target = f"{target}/{scheme}"
    with house.client(scheme) as client:
        client.request("GET", target, "Accept: text/event-stream")
        _status, _reason, fields = client.head()
        assert dict(fields)["content-type"] == "text/event-stream"
        assert client.chunk() == b"data: first\n\n"
        house.origin.open_gate(target)
        assert client.chunk() == b"data: second\n\n"


def test_trailers_pass_both_ways(house: House) -> None:
    """Trailers of a request and of a response arrive as trailers; those that say who is there do not."""
    with house.client("http") as client:
        client.request("GET", "/chunked/1", "TE: trailers")
        answer = client.answer()
        assert answer.trailers == [("x-sum", "done")]
        client.send(
            b"POST /trailers HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
        )
        client.send(b"2\r\nab\r\n0\r\nX-Sum: 2\r\nX-Forwarded-For: evil\r\n\r\n")
        assert client.answer().text == "[('x-sum', '2')]"


def test_pipelined_requests_are_answered_in_order(house: House) -> None:
    """Twenty requests in one write, bodies among them, get twenty answers in their order."""
    with house.client("http") as client:
        whole = b""
        for number in range(20):
            body = b"b" * number
            whole += b"POST /n/%d HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % (number, number) + body
        client.send(whole)
        answers = [client.answer().json for _ in range(20)]
    assert [told["line"] for told in answers] == [f"POST /n/{number} HTTP/1.1" for number in range(20)]
    assert [told["length"] for told in answers] == list(range(20))


def test_many_transfers_at_once(house: House) -> None:
    """Eight clients move 4 MiB up and down at the same time, and no byte goes astray."""
    wanted = digest_of(4)
    barrier = threading.Barrier(8)

    def move(number: int) -> tuple[str, str]:
        with house.client("https" if number % 2 else "http") as client:
            barrier.wait(30)
            got = hashlib.sha256()
            client.request("GET", "/chunked/4")
            client.answer(take=got.update)
            return got.hexdigest(), client.ask("PUT", f"/put/{number}", body=PATTERN * 4).json["sha256"]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(move, range(8))) == [(wanted, wanted)] * 8


CLIENTS, REQUESTS = 1000, 5
QUESTION = b"GET /crowd HTTP/1.1\r\nHost: localhost\r\nUser-Agent: crowd\r\nAccept: */*\r\n\r\n"


async def test_a_thousand_clients_at_once(house: House) -> None:
    """A thousand keep-alive clients, all connected before the first asks, get five whole answers each."""
    everyone = asyncio.Barrier(CLIENTS)

    async def visit() -> int:
        reader, writer = await asyncio.open_connection(*house.http)
        good = 0
        try:
            await everyone.wait()
            for _ in range(REQUESTS):
                writer.write(QUESTION)
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
                body = await reader.readexactly(size)
                good += head.startswith(b"HTTP/1.1 200 ") and b'"line": "GET /crowd HTTP/1.1"' in body
        finally:
            writer.close()
        return good

    async with asyncio.TaskGroup() as group:
        visits = [group.create_task(visit()) for _ in range(CLIENTS)]
    assert sum(visit.result() for visit in visits) == CLIENTS * REQUESTS
    asked = [asked for asked in house.origin.asked if asked.target == "/crowd"]
    assert len(asked) == CLIENTS * REQUESTS
    assert until(lambda: house.gateway.log.text.count('"path":"/crowd"') == CLIENTS * REQUESTS)
