"""Turn: the exchange under way on a downstream connection, and the verbs by which it is answered.

`Http1` opens it with each request and hands it to `wire.forward`, which speaks `read_body`, `reply`, `start`, `write`,
`finish`, `abort`, `informational`, `upgrade`, `follow`, `pause` and `resume`. It is the source of the request body and
the sink of the response, and says once, to its connection and to the log, that the exchange is over.
"""

from __future__ import annotations

from typing import Any, Protocol

from gateway.errors import Cause, ClientFault, Fault
from gateway.exchange import Exchange
from gateway.flow import Sink, Source
from gateway.http.message import Fields, Response
from gateway.server.framing import persists
from gateway.server.request_body import HIGH_WATER, UNLIMITED, RequestBody
from gateway.server.response_writer import CONTINUE, ResponseWriter
from gateway.server.wire import Wire


class Line(Protocol):
    """What a turn needs of its connection. `held`: bytes of input that wait for the turns to come."""

    ended: bool

    @property
    def held(self) -> int: ...

    def finished(self, exchange: Exchange) -> None:
        """The response has been written whole, and logged."""

    def arm(self) -> None:
        """What is waited for may have changed."""

    def hand_over(self) -> bytes:
        """The transport gets another protocol; what was read too early."""

    def leave(self) -> Any:
        """The transport is not this connection's any more."""


class _Nobody:
    """The line of a turn whose connection is over."""

    __slots__ = ()
    ended = True
    held = 0

    def finished(self, exchange: Exchange) -> None:
        pass

    def arm(self) -> None:
        pass

    def hand_over(self) -> bytes:
        return b""

    def leave(self) -> Any:
        pass


_NOBODY = _Nobody()


class Turn:
    """One per connection, used again for each exchange: `exchange` is None between two.

    body          of the request, None where there is none
    task          what forwards the exchange: `done`, `cancel(fault)`
    keep_alive    whether another turn may follow
    paused_at     loop time since which reading is paused, 0.0 when it is not
    write_paused  the client does not read
    """

    __slots__ = (
        "_line", "_origin", "_wire", "body", "exchange", "keep_alive", "paused_at", "task", "write_paused", "writer",
    )  # fmt: skip

    def __init__(self, wire: Wire, line: Line) -> None:
        self._wire = wire
        self._line: Line = line
        self._origin: Source | None = None  # of the response body: paused while the client does not read
        self.body: RequestBody | None = None
        self.exchange: Exchange | None = None
        self.keep_alive = True
        self.paused_at = 0.0
        self.task: Any = None
        self.write_paused = False
        self.writer = ResponseWriter()

    # -- the connection's side ----------------------------------------------------------------------------------------

    def open(self, exchange: Exchange) -> None:
        """The turn of `exchange` has come."""
        self.exchange = exchange
        self.writer.started = False
        length = exchange.request.length
        if length:
            self.body = RequestBody(length, self.pause, exchange.now, self._wire.settings)
            exchange.source = self

    def feed(self, data: bytes, now: float) -> bytes:
        """Gives the request body what is its own; returns the rest."""
        body = self.body
        if body is None:
            return data
        body.last = now
        try:
            rest = body.feed(data)
        except ClientFault as fault:
            self.keep_alive = False
            self.fail(fault)
            return b""
        if body.complete:
            self._line.arm()
        return rest

    def refusal(self, fault: ClientFault) -> Response:
        """The error answer to `fault`, for whoever has an exchange under way."""
        try:
            return self._wire.refuse(self.exchange, fault)  # type: ignore[arg-type]
        except Exception as error:  # noqa: BLE001 - a filter that fails on the error answer too
            self._wire.crashed(error)
            return Response(500, [], body=b"")

    def fail(self, fault: Fault) -> None:
        """The client broke the exchange under way; whoever works on it hears of it at its next wait."""
        exchange, task = self.exchange, self.task
        if exchange is not None and exchange.fault is None:
            exchange.fault = fault
        if task is not None and not task.done:
            task.cancel(fault)
        elif exchange is not None and not self.writer.started and fault.cause.status != 499:
            self.reply(self.refusal(ClientFault(fault.cause, fault.detail)))
        elif self.writer.transport is not None:
            self.writer.transport.abort()

    def stop_writing(self) -> None:
        """The client does not read: nothing more is made for it."""
        self.write_paused = True
        if self._origin is not None:
            self._origin.pause()

    def go_on_writing(self) -> None:
        self.write_paused = False
        if self._origin is not None:
            self._origin.resume()

    def log(self) -> None:
        """The exchange is over, in whatever way."""
        exchange, self.exchange = self.exchange, None
        self.task = self._origin = None
        if exchange is not None:
            if self.body is not None:
                exchange.received = self.body.received
            exchange.ended = self._wire.clock()
            try:
                self._wire.finish(exchange)
            except Exception as error:  # noqa: BLE001 - a bug in a log hook must not cost the answer
                self._wire.crashed(error)

    def part(self) -> None:
        """The connection is over: verbs that come too late do nothing, and no cycle is left to the collector."""
        self._line = _NOBODY
        if self.body is not None:
            self.body.forget()

    # -- the verbs ----------------------------------------------------------------------------------------------------

    def read_body(self, sink: Sink, limit: int | None) -> None:
        """Passes the request body to `sink`, at most `limit` bytes (None: any number). Raises ClientFault if over."""
        body = self.body
        if body is None:
            sink.finish([])
            return
        request = self.exchange.request if self.exchange is not None else None
        if request is not None and request.expects_continue and not body.received and not body.complete:
            request.expects_continue = False
            self.writer.send(CONTINUE)
        body.attach(sink, UNLIMITED if limit is None else limit)
        if self._line.held < HIGH_WATER:
            self.resume()

    def reply(self, response: Response) -> None:
        """A whole local answer."""
        body = response.body
        exchange = self.exchange
        if not body or exchange is None or exchange.request.method == b"HEAD":
            self.start(response, [], complete=True)
        else:
            self.start(response, [body], complete=True)

    def informational(self, response: Response) -> None:
        """A 1xx answer on its way to the final one (RFC 9110 §15.2); HTTP/1.0 clients do not know them."""
        if self.exchange is not None and self.exchange.request.minor == 1 and not self.writer.started:
            self.writer.informational(response)

    def start(
        self, response: Response, pieces: list[bytes], *, complete: bool = False, trailers: Fields | None = None
    ) -> None:
        """The response head, with the pieces of its body that are there; `complete` if they are all."""
        exchange = self.exchange
        if exchange is None:
            return
        exchange.response = response
        keep_alive = self.keep_alive and persists(exchange, self.body, self._wire)
        self.keep_alive = self.writer.head(exchange, response, pieces, keep_alive=keep_alive)
        if complete:
            self.finish(trailers or [])

    def write(self, piece: bytes) -> None:
        """A piece of the response body."""
        if self.exchange is not None:
            self.exchange.sent += len(piece)
            self.writer.piece(piece)

    def finish(self, trailers: Fields) -> None:
        """The response body is complete."""
        exchange = self.exchange
        if exchange is not None:
            if self.writer.chunked:
                self.writer.end(exchange.request.method, trailers)
            self.log()
            self._line.finished(exchange)

    def abort(self, fault: Fault) -> None:
        """The response can never be completed: the client must see it broken, not short."""
        if self.exchange is not None:
            self.exchange.fault = self.exchange.fault or fault
        if self.writer.transport is not None:
            self.writer.transport.abort()

    def upgrade(self, response: Response) -> tuple[Any, bytes]:
        """Sends the 101 and lets go of the transport; returns it with what the client sent behind its head."""
        transport = self.writer.transport
        if self.exchange is None or transport is None:
            raise ClientFault(Cause.CLIENT_GONE)
        if self._line.ended:
            raise ClientFault(Cause.MALFORMED_REQUEST, "an upgrade, and the end")
        self.exchange.response = response
        self.writer.informational(response)
        self.writer.uncork()
        return transport, self._line.hand_over()

    def tunnel_over(self, sent: int, fault: Fault | None) -> None:
        """The tunnel has ended after `sent` bytes to the client, and its transport is gone."""
        if self.exchange is None:
            return
        self.exchange.sent += sent
        self.exchange.fault = self.exchange.fault or fault
        connection = self.exchange.connection
        self.log()
        self._line.leave()
        if connection.on_lost is not None:
            connection.on_lost(connection)

    @property
    def started(self) -> bool:
        """The response head has left: an error can no longer be told, only shown by breaking off."""
        return self.writer.started

    def follow(self, origin: Source | None) -> None:
        """`origin` is paused while the client does not read."""
        self._origin = origin
        if origin is not None and self.write_paused:
            origin.pause()

    def pause(self) -> None:
        """Stops reading from the client."""
        transport = self.writer.transport
        if not self.paused_at and transport is not None:
            self.paused_at = self._wire.clock()
            transport.pause_reading()
            self._line.arm()

    def resume(self) -> None:
        transport = self.writer.transport
        if self.paused_at and transport is not None:
            if self.body is not None:
                self.body.was_paused(self.paused_at, self._wire.clock())
            self.paused_at = 0.0
            transport.resume_reading()
            self._line.arm()
