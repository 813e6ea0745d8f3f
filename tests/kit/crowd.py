"""A crowd for soaks: clients that do by lot what clients do, and the scripts of the origin they ask.

Each deed is a function of a Visitor; it says what it did (`answered`, `left`) and asserts what it must get. The rule:
whatever may be in the access log is counted on one side, so that lines and answers can be compared.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import random
import ssl
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from tests.kit.async_client import Answer, AsyncClient
from tests.kit.origin import Asked, Origin, Talk

LARGE = bytes(range(256)) * 2048  # 512 KiB
EVENTS = 5
_SOCKET_KEY = "dGhlIHNhbXBsZSBub25jZQ=="


# -- the origin's side ------------------------------------------------------------------------------------------------


async def chunked(asked: Asked, talk: Talk) -> None:
    """Three chunks and a trailer."""
    await talk.head("Content-Type: text/plain", "Transfer-Encoding: chunked", "Trailer: X-Sum")
    for piece in (b"one", b"two" * 5000, b"three"):
        await talk.chunk(piece)
    await talk.write(b"0\r\nX-Sum: 3\r\n\r\n")


async def large(asked: Asked, talk: Talk) -> None:
    """More than the buffers on its way hold."""
    await talk.answer(LARGE)


async def empty(asked: Asked, talk: Talk) -> None:
    """A status without a body."""
    await talk.write(b'HTTP/1.1 304 Same\r\nETag: "1"\r\n\r\n')


async def garbage(asked: Asked, talk: Talk) -> None:
    """What is no response."""
    await talk.read_body(asked)
    await talk.write(b"NONSENSE\r\n\r\n")
    talk.close()


async def cut(asked: Asked, talk: Talk) -> None:
    """A body that ends too early."""
    await talk.head("Content-Length: 1000")
    await talk.write(b"only this")
    talk.close()


async def events(asked: Asked, talk: Talk) -> None:
    """Server-sent events, one after the other."""
    await talk.head("Content-Type: text/event-stream", "Transfer-Encoding: chunked")
    for number in range(EVENTS):
        await talk.chunk(f"data: {number}\n\n".encode())
        await asyncio.sleep(0.1)
    await talk.write(b"0\r\n\r\n")


async def socket_echo(asked: Asked, talk: Talk) -> None:
    """A WebSocket, whose frames come back as they came."""
    digest = hashlib.sha1(
        (asked["sec-websocket-key"] or "").encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    ).digest()
    accept = base64.b64encode(digest).decode()
    await talk.head("Connection: Upgrade", "Upgrade: websocket", f"Sec-WebSocket-Accept: {accept}", status=101)
    while piece := await talk.reader.read(65536):
        await talk.write(piece)
    talk.close()


SCRIPTS = {
    "/chunked": chunked, "/large*": large, "/buffered/large": large, "/empty": empty, "/garbage": garbage, "/cut": cut,
    "/events": events, "/socket": socket_echo,
}  # fmt: skip


def routes(dead: int, origin: Origin) -> dict[str, object]:
    """The routes and upstreams that the deeds ask for, as configuration. Nobody listens on port `dead`."""
    pool = {"idle_timeout": "2s", "queue_timeout": "30s"}
    return {
        "defaults": {"timeouts": {"connect": "30s"}},  # this origin is slow when the machine is busy, and not to blame
        "upstreams": {
            "app": {"endpoints": [origin.url], "pool": pool},
            "dead": {"endpoints": [f"http://127.0.0.1:{dead}"], "pool": pool},
            "faulty": {"endpoints": [origin.url], "pool": pool},  # what it does wrong is not held against the other
        },
        "routes": [
            {"upstream": "app"},
            {"match": {"path": "/small"}, "upstream": "app", "body_limit": "1 KiB"},
            {"match": {"path": "/buffered/*"}, "upstream": "app", "buffering": {"request": True, "response": True}},
            {"match": {"path": "/dead"}, "upstream": "dead"},
            {"match": {"path": ["/garbage", "/cut"]}, "upstream": "faulty"},
            {"match": {"path": "/denied"}, "respond": {"status": 403, "body": "no"}},
            {"match": {"path": "/away"}, "redirect": "/elsewhere"},
        ],
    }


# -- the clients' side ------------------------------------------------------------------------------------------------


class Tally:
    """What the whole crowd has seen: ids of all answers, and requests that were left without one."""

    def __init__(self) -> None:
        self.answered: dict[str, int] = {}  # request id -> status
        self.left = 0

    def __call__(self, fields: dict[str, str], status: int) -> None:
        assert fields["x-request-id"] not in self.answered, "an id came twice"
        self.answered[fields["x-request-id"]] = status


class Visitor:
    """One client: its connection, opened when it is needed, and its lot."""

    def __init__(self, port: int, tls: ssl.SSLContext | None, lot: random.Random, tally: Tally) -> None:
        self._port = port
        self._tls = tls
        self._client: AsyncClient | None = None
        self.lot = lot
        self.tally = tally

    async def client(self) -> AsyncClient:
        if self._client is None:
            self._client = await AsyncClient.connect(self._port, self._tls)
        return self._client

    def leave(self, *, reset: bool = False) -> None:
        """Ends the connection; the next deed opens another."""
        if self._client is not None:
            if reset:
                self._client.reset()
            else:
                self._client.close()
            self._client = None

    async def ask(self, method: str, target: str, *fields: str, body: bytes = b"", status: int = 200) -> Answer:
        """One exchange, whose answer must have that status."""
        (await self.client()).request(method, target, *fields, body=body)
        return await self.told(method, status)

    async def told(self, method: str = "GET", *statuses: int) -> Answer:
        """The next answer, which must have one of these statuses (200 if none is given)."""
        answer = await (await self.client()).answer(method)
        self.tally(answer.fields, answer.status)
        assert answer.status in (statuses or (200,)), answer
        if answer.fields.get("connection") == "close":
            self.leave()
        return answer

    def some(self, most: int = 20_000) -> bytes:
        """A body."""
        return self.lot.randbytes(self.lot.randrange(1, most))


async def get(visitor: Visitor) -> None:
    answer = await visitor.ask("GET", f"/page/{visitor.lot.randrange(10**6)}", f"Cookie: id={visitor.lot.random()}")
    assert json.loads(answer.body)["line"].startswith("GET /page/")


async def head(visitor: Visitor) -> None:
    await visitor.ask("HEAD", "/page")
    await visitor.ask("GET", "/empty", status=304)


async def get_chunked(visitor: Visitor) -> None:
    assert (await visitor.ask("GET", "/chunked")).body == b"one" + b"two" * 5000 + b"three"


async def post(visitor: Visitor) -> None:
    body = visitor.some()
    answer = await visitor.ask("POST", visitor.lot.choice(["/form", "/buffered/form"]), body=body)
    assert json.loads(answer.body)["sha256"] == hashlib.sha256(body).hexdigest()


async def post_chunked(visitor: Visitor) -> None:
    client, pieces = await visitor.client(), [visitor.some(3000) for _ in range(4)]
    client.send(b"POST /form HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
    for piece in pieces:
        client.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        await asyncio.sleep(0)
    client.send(b"0\r\n\r\n")
    answer = await visitor.told("POST")
    assert json.loads(answer.body)["sha256"] == hashlib.sha256(b"".join(pieces)).hexdigest()


async def pipelined(visitor: Visitor) -> None:
    client = await visitor.client()
    client.send(b"".join(b"GET /line/%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % number for number in range(4)))
    for number in range(4):
        assert json.loads((await visitor.told()).body)["line"] == f"GET /line/{number} HTTP/1.1"


async def answered_here(visitor: Visitor) -> None:
    await visitor.ask("GET", "/denied", status=403)
    await visitor.ask("GET", "/away", status=308)


async def failing(visitor: Visitor) -> None:
    for target in ("/dead", "/garbage"):
        (await visitor.client()).request("GET", target)
        await visitor.told("GET", 502, 503)  # 503 while it is not asked because it fails so often


async def too_large(visitor: Visitor) -> None:
    await visitor.ask("POST", "/small", body=bytes(2000), status=413)
    visitor.leave()


async def malformed(visitor: Visitor) -> None:
    client = await visitor.client()
    client.send(visitor.lot.choice([b"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"NONSENSE\r\n\r\n"]))
    answer = await client.answer()
    visitor.tally(answer.fields, answer.status)
    assert answer.status == 400, answer
    assert await client.rest() == b""
    visitor.leave()


async def truncated(visitor: Visitor) -> None:
    client = await visitor.client()
    client.request("GET", "/cut")
    start = await client.head()
    visitor.tally(start.fields, start.status)
    try:
        async for _piece in client.body(start):
            pass
    except (EOFError, OSError):
        visitor.leave()
    else:
        assert start.status in {502, 503}, "half a body passed for a whole one"


async def drips(visitor: Visitor) -> None:
    client = await visitor.client()
    for byte in b"GET /slow HTTP/1.1\r\nHost: localhost\r\nX-Slow: yes\r\n\r\n":
        client.send(bytes([byte]))
        await asyncio.sleep(0.01)
    await visitor.told()


async def reads_slowly(visitor: Visitor) -> None:
    client = await visitor.client()
    client.request("GET", visitor.lot.choice(["/large", "/buffered/large"]))
    start = await client.head()
    visitor.tally(start.fields, start.status)
    got = hashlib.sha256()
    async for piece in client.body(start):
        got.update(piece)
        await asyncio.sleep(0.02)
    assert got.digest() == hashlib.sha256(LARGE).digest()


async def streams(visitor: Visitor) -> None:
    assert (await visitor.ask("GET", "/events")).body.count(b"data: ") == EVENTS


async def leaves_a_stream(visitor: Visitor) -> None:
    client = await visitor.client()
    client.request("GET", visitor.lot.choice(["/events", "/large"]))
    start = await client.head()
    visitor.tally(start.fields, start.status)
    visitor.leave(reset=visitor.lot.random() < 0.5)


async def leaves_early(visitor: Visitor) -> None:
    client = await visitor.client()
    client.send(
        visitor.lot.choice(
            [
                b"GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n",
                b"POST /form HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000\r\n\r\nbegun",
                b"POST /buffered/form HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbe",
                b"GET /half HTTP/1.1\r\nHo",
            ]
        )
    )
    visitor.tally.left += 1
    await client.drain()
    visitor.leave(reset=True)


async def talks(visitor: Visitor) -> None:
    client = await visitor.client()
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    client.request("GET", "/socket", *upgrade, f"Sec-WebSocket-Key: {_SOCKET_KEY}")
    start = await client.head()
    visitor.tally(start.fields, start.status)
    assert start.status == 101, start
    for _ in range(5):
        frame, got = visitor.lot.randbytes(visitor.lot.randrange(1, 50_000)), b""
        client.send(frame)
        while len(got) < len(frame):
            piece = await client.read(65536)
            assert piece, "the tunnel ended"
            got += piece
        assert got == frame
    visitor.leave(reset=visitor.lot.random() < 0.3)


Deed: TypeAlias = Callable[[Visitor], Awaitable[None]]
# How often each of them is done, of a hundred.
DEEDS: dict[Deed, int] = {
    get: 40, head: 6, get_chunked: 6, post: 8, post_chunked: 5, pipelined: 5, answered_here: 8, failing: 3, too_large: 2,
    malformed: 2, truncated: 2, drips: 2, reads_slowly: 1, streams: 2, leaves_a_stream: 2, leaves_early: 3, talks: 3,
}  # fmt: skip
