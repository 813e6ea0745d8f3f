"""Crowd: many clients of one gateway on one event loop, and an account of every request they sent.

Keep-alive clients ask, think and ask again; passing ones open a connection for each request; talkers hold a WebSocket.
The rule: nothing is tried again and nothing excused. A request that was begun and is not answered with 200 has failed.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import time
from types import TracebackType
from typing import Any, NamedTuple

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

PATIENCE = 15.0  # seconds that a request may take
_REQUEST = b"GET /page HTTP/1.1\r\nHost: localhost\r\nUser-Agent: crowd\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)


class Failure(NamedTuple):
    """A request without its answer: when it was sent (monotonic), from which port of ours, and what came instead."""

    sent: float
    port: int
    why: str


class Account:
    """What a crowd has seen. `times`: (when it was sent, seconds until its answer) of every request answered."""

    def __init__(self) -> None:
        self.times: list[tuple[float, float]] = []
        self.failures: list[Failure] = []
        self.connections = 0

    @property
    def answered(self) -> int:
        return len(self.times)

    def slowest(self, since: float = 0.0) -> float:
        return max((seconds for sent, seconds in self.times if sent >= since), default=0.0)

    def percentile(self, share: float, since: float, until: float) -> float:
        """Seconds, of the requests sent in that time."""
        found = sorted(seconds for sent, seconds in self.times if since <= sent < until)
        return found[min(len(found) - 1, int(len(found) * share))] if found else 0.0


class _Client(asyncio.Protocol):
    """One client: `pause` seconds of thought on the average; `passing` ones never ask twice on a connection."""

    def __init__(self, crowd: Crowd, pause: float, *, passing: bool) -> None:
        self._crowd = crowd
        self._pause = pause
        self._passing = passing
        self._transport: Any = None
        self._got = b""
        self._sent = 0.0  # when the request under way was; 0.0 if none is
        self._port = 0
        self._late: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        self._crowd.spawn(self._connect())

    async def _connect(self) -> None:
        self._sent = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE):
                await self._crowd.loop.create_connection(lambda: self, "127.0.0.1", self._crowd.port)
        except OSError as error:
            self._fail(f"not connected: {type(error).__name__}")

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._port = transport.get_extra_info("sockname")[1]
        self._crowd.account.connections += 1
        self._ask()

    def _ask(self) -> None:
        if self._crowd.is_over:
            self._end()
            return
        if self._transport is None:
            self.begin()
            return
        self._sent = time.monotonic()
        self._got = b""
        self._late = self._crowd.loop.call_later(PATIENCE, self._too_late)
        self._transport.write(_REQUEST)

    def data_received(self, data: bytes) -> None:
        self._got += data
        end = self._got.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        head = self._got[:end]
        length = _LENGTH.search(head)
        if length is None or len(self._got) - end < int(length[1]):
            return
        closing = _CLOSE.search(head) is not None
        if head.startswith(b"HTTP/1.1 200"):
            self._crowd.account.times.append((self._sent, time.monotonic() - self._sent))
        else:
            self._crowd.account.failures.append(Failure(self._sent, self._port, head[9:12].decode()))
        self._answered()
        if closing or self._passing:
            self._drop()
        self._think()

    def _answered(self) -> None:
        self._sent = 0.0
        if self._late is not None:
            self._late.cancel()

    def _think(self) -> None:
        if self._crowd.is_over:
            self._end()
        else:
            self._crowd.loop.call_later(random.uniform(0.0, 2 * self._pause), self._ask)

    def _drop(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if self._transport is None:
            return
        self._transport = None
        if self._sent:
            self._fail(f"{type(error).__name__ if error else 'closed'} after {len(self._got)} bytes")

    def _too_late(self) -> None:
        if self._sent:
            self._drop()
            self._fail(f"no answer within {PATIENCE:g} s")

    def _fail(self, why: str) -> None:
        self._crowd.account.failures.append(Failure(self._sent, self._port, why))
        self._answered()
        self._think()

    def _end(self) -> None:
        self._drop()
        self._crowd.ended()


class Crowd:
    """Clients at work for as long as the context lasts; at its end each still gets its last answer."""

    def __init__(self, port: int, keep_alive: int, pause: float = 1.0, passing: int = 0) -> None:
        self.port = port
        self.account = Account()
        self.is_over = False
        self.loop = asyncio.get_running_loop()
        self._clients = [_Client(self, pause, passing=False) for _ in range(keep_alive)]
        self._clients += [_Client(self, 0.02, passing=True) for _ in range(passing)]
        self._spread = min(pause, 1.0)
        self._left = len(self._clients)
        self._all_left = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Crowd:
        for client in self._clients:
            self.loop.call_later(random.uniform(0.0, self._spread), client.begin)
        await self.more(self._left)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, _e: object, _t: TracebackType | None) -> None:
        self.is_over = True
        if kind is None:
            async with asyncio.timeout(2 * PATIENCE):
                await self._all_left.wait()

    async def more(self, count: int, seconds: float = 2 * PATIENCE) -> None:
        """Waits until as many more were answered, or failed. Raises TimeoutError."""
        account = self.account
        wanted = account.answered + len(account.failures) + count
        async with asyncio.timeout(seconds):
            while account.answered + len(account.failures) < wanted:  # noqa: ASYNC110 - nobody announces it
                await asyncio.sleep(0.01)

    def spawn(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def ended(self) -> None:
        self._left -= 1
        if not self._left:
            self._all_left.set()


class Talkers:
    """WebSockets that say something once a second and get it back; `closed` are those that ended meanwhile."""

    def __init__(self, port: int, count: int, path: str = "/socket") -> None:
        self._url = f"ws://127.0.0.1:{port}{path}"
        self._count = count
        self._open: list[ClientConnection] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.closed: list[float] = []  # when
        self.echoes = 0

    async def __aenter__(self) -> Talkers:
        for at in range(0, self._count, 20):
            some = range(at, min(at + 20, self._count))
            self._open += await asyncio.gather(*(connect(self._url, ping_interval=None) for _ in some))
        self._tasks = [asyncio.ensure_future(self._talk(one)) for one in self._open]
        return self

    async def _talk(self, one: ClientConnection) -> None:
        try:
            while True:
                await one.send("hello")
                async with asyncio.timeout(PATIENCE):
                    assert await one.recv() == "hello"
                self.echoes += 1
                await asyncio.sleep(random.uniform(0.5, 1.5))
        except (ConnectionClosed, TimeoutError):
            self.closed.append(time.monotonic())

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(one.close() for one in self._open))


async def _echo(connection: ServerConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        async for message in connection:
            await connection.send(message)


def echo_origin(port: int) -> serve:
    """A context: an origin of WebSockets that say what they are told."""
    return serve(_echo, "127.0.0.1", port, ping_interval=None, backlog=1024)
