"""The two ends of a wire conversation: Client and Origin, on fake transports.

`end >> bytes` sends, `end << bytes` takes the next whole message that arrived and asserts how it begins. Everything is
real but the sockets and the time; nothing happens between two lines of a test that the test does not ask for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.errors import Cause, UpstreamFault
from tests.kit.messages import Request, Response, read_request, read_response
from tests.kit.transport import FakeDial, FakeLoop, FakeTransport

RESET = ConnectionResetError(104, "Connection reset by peer")


class Client:
    """One connection to the gateway."""

    def __init__(self, protocol: Any, loop: FakeLoop) -> None:
        self.loop = loop
        self.transport = FakeTransport(protocol, loop)
        self._unread = b""
        protocol.connection_made(self.transport)
        loop.run()

    def __rshift__(self, wire: bytes) -> Client:
        """Sends in one piece."""
        self.transport.feed(wire)
        self.loop.run()
        return self

    def drip(self, wire: bytes) -> None:
        """Sends byte by byte."""
        for at in range(len(wire)):
            self >> wire[at : at + 1]

    def __lshift__(self, begin: bytes) -> Response:
        """Takes the next whole response, which begins like this."""
        response = self.answer()
        assert response is not None, f"no whole response, but {self._unread!r}"
        assert response.raw.startswith(begin), f"{response.raw!r} does not begin with {begin!r}"
        return response

    def answer(self, method: bytes = b"GET") -> Response | None:
        """Takes the next whole response to a `method` request, None if there is not one."""
        self._collect()
        response = read_response(self._unread, method, closed=self.closed)
        if response is not None:
            self._unread = self._unread[len(response.raw) :]
        return response

    def raw(self) -> bytes:
        """Takes everything that arrived."""
        self._collect()
        unread, self._unread = self._unread, b""
        return unread

    def _collect(self) -> None:
        self.loop.run()
        self._unread += self.transport.take()
        assert not self.transport.late, f"written to a closed transport: {self.transport.late!r}"

    @property
    def is_silent(self) -> bool:
        """Nothing has arrived that was not taken."""
        self._collect()
        return not self._unread

    def fin(self) -> None:
        """Closes the sending side."""
        self.transport.end()
        self.loop.run()

    def reset(self) -> None:
        """Is gone, with a reset."""
        self.transport.lose(RESET)
        self.loop.run()

    def stall(self) -> None:
        """Reads no more."""
        self.transport.clog()

    def read_on(self) -> None:
        """Reads all there is, and goes on."""
        self.transport.unclog()
        self.loop.run()

    @property
    def closed(self) -> bool:
        """The gateway has said its last: FIN or RST."""
        self.loop.run()
        return self.transport.ended or self.transport.lost

    @property
    def aborted(self) -> bool:
        """The gateway has reset the connection."""
        self.loop.run()
        return self.transport.aborted

    @property
    def open(self) -> bool:
        return not self.closed

    @property
    def is_read(self) -> bool:
        """The gateway takes input."""
        self.loop.run()
        return self.transport.reading and not self.transport.is_closing()


class Line:
    """One connection that the gateway opened to an origin."""

    def __init__(self, transport: FakeTransport) -> None:
        self.transport = transport
        self.unread = b""

    def collect(self) -> None:
        self.unread += self.transport.take()
        assert not self.transport.late, f"written to a closed transport: {self.transport.late!r}"


class Origin:
    """One endpoint. `line` is the connection whose request was taken last."""

    def __init__(self, loop: FakeLoop, name: str) -> None:
        self.loop = loop
        self.name = name
        self.dial = FakeDial(loop)
        self.lines: list[Line] = []
        self.refusals = 0
        self._line: Line | None = None

    async def connect(self, make: Callable[[], Any], seconds: float) -> Any:
        """For the pool: a connection, or a refusal while there are `refusals` left."""
        if self.refusals:
            self.refusals -= 1
            self.dial.fault = UpstreamFault(Cause.CONNECT_REFUSED, "refused", sent=False)
        return await self.dial(make, seconds)

    def __lshift__(self, begin: bytes) -> Request:
        """Takes the next whole request, which begins like this."""
        request = self.request()
        assert request is not None, f"no whole request at {self.name}, but {[line.unread for line in self.lines]!r}"
        assert request.raw.startswith(begin), f"{request.raw!r} does not begin with {begin!r}"
        return request

    def request(self) -> Request | None:
        """Takes the next whole request on any connection, None if there is not one."""
        for line in self._collect():
            request = read_request(line.unread)
            if request is not None:
                line.unread = line.unread[len(request.raw) :]
                self._line = line
                return request
        return None

    def raw(self) -> bytes:
        """Takes everything that arrived on one connection, whole message or not."""
        for line in self._collect():
            if line.unread:
                self._line = line
                unread, line.unread = line.unread, b""
                return unread
        return b""

    def _collect(self) -> list[Line]:
        self.loop.run()
        self.lines += [Line(transport) for transport in self.dial.transports[len(self.lines) :]]
        for line in self.lines:
            line.collect()
        return self.lines

    @property
    def line(self) -> Line:
        """The connection that was read last, else the newest."""
        lines = self._collect()
        return self._line or lines[-1]

    @property
    def transport(self) -> FakeTransport:
        return self.line.transport

    def __rshift__(self, wire: bytes) -> Origin:
        """Sends on the connection whose request was taken last."""
        self.transport.feed(wire)
        self.loop.run()
        return self

    def drip(self, wire: bytes) -> None:
        """Sends byte by byte."""
        for at in range(len(wire)):
            self >> wire[at : at + 1]

    def fin(self) -> None:
        """Closes."""
        self.transport.end()
        self.loop.run()

    def reset(self) -> None:
        self.transport.lose(RESET)
        self.loop.run()

    def serve(self, answer: bytes) -> list[Request]:
        """Answers whatever whole requests there are, and those that follow from it."""
        served = []
        while (request := self.request()) is not None:
            served.append(request)
            self >> answer
        return served

    @property
    def is_silent(self) -> bool:
        """No byte has arrived that was not taken."""
        return not any(line.unread for line in self._collect())

    @property
    def is_cut(self) -> bool:
        """The gateway has closed or reset the connection that was read last."""
        return self.transport.is_closing()

    @property
    def is_read(self) -> bool:
        """The gateway takes input on the connection that was read last."""
        self.loop.run()
        return self.transport.reading

    @property
    def connections(self) -> int:
        """How many were ever opened."""
        return len(self._collect())
