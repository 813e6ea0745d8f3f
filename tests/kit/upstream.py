"""What tests of the upstream wire share: a connection on a fake transport, a sink that keeps what it gets."""

from __future__ import annotations

from typing import Any, NamedTuple

from gateway.deadlines import Sweep
from gateway.errors import Fault, UpstreamFault
from gateway.flow import Source
from gateway.http.head import ResponseHeadReader
from gateway.http.message import Fields, Response
from gateway.upstream.http1 import UpstreamConnection
from gateway.upstream.pool import Pool, Wires
from gateway.upstream.settings import PoolConfig
from tests.kit.transport import FakeDial, FakeLoop, FakeTransport, Running, spawn

REQUEST = b"GET / HTTP/1.1\r\nhost: o\r\n\r\n"


class Times(NamedTuple):
    """A route's upstream timeouts, seconds."""

    connect: float = 3.0
    head: float = 60.0
    read: float = 30.0


TIMES = Times()


class Collected:
    """A Sink that keeps what it gets, and pauses `source` once it holds `room` bytes."""

    def __init__(self, source: Source | None = None, room: int | None = None) -> None:
        self.pieces: list[bytes] = []
        self.source = source
        self.room = room

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    def write(self, chunk: bytes) -> None:
        assert chunk, "an empty piece"
        self.pieces.append(chunk)
        if self.source is not None and self.room is not None and len(self.body) >= self.room:
            self.source.pause()

    def finish(self, trailers: Fields) -> None:
        raise AssertionError("finish is the proxy's to call")

    def abort(self, fault: Fault) -> None:
        raise AssertionError("abort is the proxy's to call")


class Answer(NamedTuple):
    """What an exchange came to. A failed one has a `fault` word whether or not its head got through."""

    status: int
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes
    trailers: tuple[tuple[bytes, bytes], ...]
    informational: tuple[int, ...]


class Wire:
    """An UpstreamConnection, its transport, and all that surrounds them."""

    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.clock = self.loop.clock
        self.sweep = Sweep()
        self.lost = 0
        self.informational: list[Response] = []
        self.sink = Collected()
        self.connection = UpstreamConnection(ResponseHeadReader(), self.sweep, self.clock, self._on_lost)
        self.transport = FakeTransport(self.connection, self.loop)
        self.connection.connection_made(self.transport)  # type: ignore[arg-type]

    def _on_lost(self, connection: UpstreamConnection) -> None:
        self.lost += 1

    def ask(self, method: bytes = b"GET", *, body: bool = False, upgrade: bool = False) -> Running:
        """Starts a request; the Running waits for the head, then for the whole body, and gives an Answer."""
        self.connection.on_informational = self.informational.append
        self.connection.start(method, REQUEST, TIMES, body=body, upgrade=upgrade)
        return Running(self._answer())

    async def _answer(self) -> Answer:
        connection = self.connection
        response: Response = await connection.wait_head()
        if response.status != 101:
            await connection.relay(self.sink)
            assert connection.complete
        informational = tuple(each.status for each in self.informational)
        fields, trailers = tuple(response.fields), tuple(connection.trailers)
        return Answer(response.status, fields, self.sink.body, trailers, informational)

    def later(self, seconds: float) -> None:
        """Time passes, the sweep runs, and then what that scheduled."""
        self.sweep.run(self.clock.advance(seconds))
        self.loop.run()


RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def fake_wires(loop: FakeLoop, sweep: Sweep) -> Wires:
    return Wires(ResponseHeadReader(), sweep, loop.clock, spawn)


class House:
    """A pool, its dialer, and the time."""

    def __init__(self, **limits: object) -> None:
        self.loop = FakeLoop()
        self.sweep = Sweep()
        self.dial = FakeDial(self.loop)
        self.pool = Pool(PoolConfig.model_validate(limits), self.dial, fake_wires(self.loop, self.sweep))

    def acquire(self, connect: float = 3.0, *, fresh: bool = False) -> Running:
        async def acquire() -> UpstreamConnection:
            return await self.pool.acquire(Times(connect=connect), fresh=fresh)

        return Running(acquire())

    def got(self) -> UpstreamConnection:
        running = self.acquire()
        assert isinstance(running.value, UpstreamConnection), running.error
        return running.value

    def use(self, connection: UpstreamConnection) -> None:
        """A whole exchange."""
        connection.start(b"GET", REQUEST, TIMES)
        transport: Any = connection._transport
        transport.feed(RESPONSE)
        assert connection.complete

    def later(self, seconds: float) -> None:
        self.sweep.run(self.loop.clock.advance(seconds))
        self.loop.run()

    @property
    def counts(self) -> tuple[int, int, int, int, int]:
        pool = self.pool
        return pool.idle, pool.active, pool.connecting, pool.closing, pool.queued


def fault_word(running: Running, *, sent: bool | None = None) -> str:
    """The word of the UpstreamFault that `running` ended with, and whether it says that something was sent."""
    assert isinstance(running.error, UpstreamFault), running.error
    assert sent is None or running.error.sent is sent
    return running.error.cause.word
