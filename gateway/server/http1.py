"""Http1: one downstream HTTP/1.x connection, from bytes to exchanges and back (RFC 9112).

Heads become Exchanges and go to `wire.answer`, then, unanswered, to `wire.forward`, which speaks the verbs below
(`reply`, `start`, `write`, `finish`, `abort`, `read_body`, `pause`, `resume`). One exchange at a time: what follows it
on the connection is held, at most HIGH_WATER bytes of it, and all that can be late is a deadline of the one sweep.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Any

from gateway.deadlines import NEVER
from gateway.errors import Cause, ClientFault, Fault, cause_of
from gateway.exchange import Connection, Exchange
from gateway.flow import Sink, Source
from gateway.http.head import unreadable
from gateway.http.message import Fields, Malformed, Response
from gateway.server.farewell import Farewell
from gateway.server.framing import persists
from gateway.server.head_buffer import END, HeadBuffer
from gateway.server.request_body import HIGH_WATER, UNLIMITED, RequestBody
from gateway.server.response_writer import CONTINUE, ResponseWriter
from gateway.server.wire import Wire


class State(Enum):
    """Where a connection stands; every change is made by `Http1` itself."""

    IDLE = "idle"  # between exchanges; part of a head may be held
    EXCHANGE = "exchange"  # one exchange is under way
    DISCARD = "discard"  # answered; the rest of a small request body is being read
    TUNNEL = "tunnel"  # upgraded: the transport has another protocol, the exchange goes on
    LEFT = "left"  # the transport is gone, or has been handed over for good


class Http1(asyncio.Protocol):
    """A downstream connection: source of request bodies, sink of response bodies."""

    __slots__ = (
        "_body", "_ended", "_exchange", "_input", "_keep_alive", "_max_head", "_origin", "_paused_at", "_reading", "_state",
        "_task", "_transport", "_wire", "_write_paused", "_writer", "connection", "deadline",
    )  # fmt: skip

    def __init__(self, connection: Connection, wire: Wire) -> None:
        self.connection = connection
        self._wire = wire
        self._max_head = wire.settings.max_head
        self._state = State.IDLE
        self._transport: Any = None
        self._input = HeadBuffer()
        self._writer = ResponseWriter()
        self._exchange: Exchange | None = None
        self._task: Any = None  # what forwards the exchange
        self._body: RequestBody | None = None
        self._origin: Source | None = None  # of the response body: paused while the client does not read
        self._reading = False  # heads are being read off one piece of input
        self._keep_alive = True
        self._ended = False  # the client has closed its side; what it sent before is still answered
        self._write_paused = False
        self._paused_at = 0.0  # loop time since which reading is paused, 0.0 when it is not
        self.deadline = NEVER

    # -- transport callbacks ------------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self._transport = self._writer.transport = transport
        self.deadline = self._wire.clock() + self._wire.settings.head_timeout
        self._wire.sweep.add(self)
        self._wire.live.add(self)

    def data_received(self, data: bytes) -> None:
        now = self._wire.clock()
        state = self._state
        if state is State.IDLE:
            if self._input:
                data = self._input.join(data, self._max_head)
            elif 0 <= data.find(END) == len(data) - 4 and len(data) <= self._max_head and data[0] != 13:
                self._begin(data, b"", now)  # what nearly all reads are: one whole head, and nothing else
                return
            if data:
                self._read(data, now)
        elif state is State.EXCHANGE or state is State.DISCARD:
            self._continue(data, now)

    def eof_received(self) -> bool:
        """A half-close after whole requests still gets their answers; True keeps our side open."""
        exchange, body = self._exchange, self._body
        if self._state is not State.EXCHANGE or exchange is None:
            return False
        cancelled = exchange.route is not None and exchange.route.settings.on_client_eof == "cancel"
        if cancelled or (body is not None and not body.complete):
            self._fail(ClientFault(Cause.CLIENT_GONE, "the client closed"))
            return False
        self._ended = True
        return True

    def connection_lost(self, error: Exception | None) -> None:
        transport = self._leave()
        if self._exchange is not None:
            self._fail(ClientFault(Cause.CLIENT_GONE, str(error or "the client closed")))
        if self._exchange is not None:
            self._log()
        if transport is not None and self.connection.on_lost is not None:
            self.connection.on_lost(self.connection)

    def _leave(self) -> Any:
        """Gives up the transport."""
        transport, self._transport, self._writer.transport = self._transport, None, None
        self._state = State.LEFT
        self.deadline = NEVER
        self._wire.sweep.discard(self)
        self._wire.live.discard(self)
        return transport

    def pause_writing(self) -> None:
        """The client does not read: nothing more is made for it, neither from the origin nor from pipelined input."""
        self._write_paused = True
        if self._origin is not None:
            self._origin.pause()
        elif self._state is State.IDLE:
            self.pause()
        self._arm()

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._origin is not None:
            self._origin.resume()
        if self._state is State.IDLE and not self._reading:
            self._next()
        else:
            self._arm()

    # -- reading ------------------------------------------------------------------------------------------------------

    def _read(self, data: bytes, now: float) -> None:
        """Reads heads off `data` until one must wait for its answer, or is incomplete."""
        settings = self._wire.settings
        self._reading = True
        self._writer.cork()
        try:
            while data and self._state is State.IDLE and not self._write_paused:
                try:
                    found = self._input.split(data, now, self._max_head)
                except ClientFault as fault:
                    self._refuse(fault, data, now)
                    return
                if found is None:
                    if self.connection.requests and self._input.begun:  # the first head's counts from the connection's
                        self.deadline = self._input.begun + settings.head_timeout
                    return
                data = self._begin(found[0], found[1], now)
            if data and self._state is not State.LEFT:
                self._input.hold(data)
        finally:
            self._reading = False
            self._writer.uncork()

    def _begin(self, head: bytes, rest: bytes, now: float) -> bytes:
        """One whole head: makes the exchange, answers it or hands it on; returns the input that is not its body."""
        wire = self._wire
        self.connection.requests += 1
        try:
            request = wire.reader.read(head)
        except Malformed as malformed:
            self._refuse(ClientFault(cause_of(malformed.status), malformed.why), head, now)
            return b""
        except Exception as error:  # noqa: BLE001 - as below
            wire.crashed(error)
            self._refuse(ClientFault(Cause.BUG), head, now)
            return b""
        exchange = self._open(Exchange(self.connection, request, now))
        self.deadline = NEVER
        if request.length:
            self._body = RequestBody(request.length, self.pause, now, wire.settings)
            exchange.source = self
            self._arm()
        try:
            response = wire.answer(exchange)
        except Exception as error:  # noqa: BLE001 - a bug in a filter must cost one request, not the worker
            wire.crashed(error)
            response = self._refusal(exchange, ClientFault(Cause.BUG))
        if rest and self._body is not None:  # before forwarding, so that a small body travels with its head
            rest = self._feed(rest, now)
            if self._exchange is not exchange:
                return b""
        if response is not None:
            self.reply(response)
        else:
            task = wire.forward(exchange, self)
            if self._exchange is exchange:
                self._task = task
        return rest

    def _open(self, exchange: Exchange) -> Exchange:
        self._exchange = exchange
        self._state = State.EXCHANGE
        self._writer.started = False
        if self._input.begun:
            exchange.started, self._input.begun = self._input.begun, 0.0
        return exchange

    def _continue(self, data: bytes, now: float) -> None:
        """Input while an exchange is under way: its body, then what must wait for its turn."""
        rest = self._feed(data, now) if self._body is not None else data
        if self._state is State.DISCARD and self._body is not None and self._body.complete:
            self._input.hold(rest)
            self._next()
        elif rest:
            self._input.hold(rest)
            if len(self._input) >= HIGH_WATER:
                self.pause()

    def _feed(self, data: bytes, now: float) -> bytes:
        """Gives the request body what is its own; returns the rest."""
        body = self._body
        if body is None or body.complete:
            return data
        body.last = now
        try:
            rest = body.feed(data)
        except ClientFault as fault:
            self._keep_alive = False
            self._fail(fault)
            return b""
        if body.complete:
            self._arm()
        return rest

    def _refuse(self, fault: ClientFault, head: bytes, now: float) -> None:
        """Answers what is not a request, and closes: whatever follows it cannot be trusted to be one."""
        exchange = self._open(Exchange(self.connection, unreadable(head), now))
        self._keep_alive = False
        self.reply(self._refusal(exchange, fault))

    def _refusal(self, exchange: Exchange, fault: ClientFault) -> Response:
        try:
            return self._wire.refuse(exchange, fault)
        except Exception as error:  # noqa: BLE001 - a filter that fails on the error reply too
            self._wire.crashed(error)
            return Response(500, [], body=b"")

    # -- the verbs of a downstream ------------------------------------------------------------------------------------

    def read_body(self, sink: Sink, limit: int | None) -> None:
        """Passes the request body to `sink`, at most `limit` bytes (None: any number). Raises ClientFault if over."""
        body = self._body
        if body is None:
            sink.finish([])
            return
        request = self._exchange.request if self._exchange is not None else None
        if request is not None and request.expects_continue and not body.received and not body.complete:
            request.expects_continue = False
            self._writer.send(CONTINUE)
        body.attach(sink, UNLIMITED if limit is None else limit)
        if len(self._input) < HIGH_WATER:
            self.resume()

    def reply(self, response: Response) -> None:
        """A whole local answer."""
        body = response.body
        exchange = self._exchange
        if not body or exchange is None or exchange.request.method == b"HEAD":
            self.start(response, [], complete=True)
        else:
            self.start(response, [body], complete=True)

    def informational(self, response: Response) -> None:
        """A 1xx answer on its way to the final one (RFC 9110 §15.2); HTTP/1.0 clients do not know them."""
        if self._exchange is not None and self._exchange.request.minor == 1 and not self._writer.started:
            self._writer.informational(response)

    def start(
        self, response: Response, pieces: list[bytes], *, complete: bool = False, trailers: Fields | None = None
    ) -> None:
        """The response head, with the pieces of its body that are there; `complete` if they are all."""
        exchange = self._exchange
        if exchange is None:
            return
        exchange.response = response
        keep_alive = self._keep_alive and persists(exchange, self._body, self._wire)
        self._keep_alive = self._writer.head(exchange, response, pieces, keep_alive=keep_alive)
        if complete:
            if self._writer.chunked:
                self._writer.end(exchange.request.method, trailers or [])
            self._finished()

    def write(self, piece: bytes) -> None:
        """A piece of the response body, or of a tunnel."""
        if self._exchange is not None:
            self._exchange.sent += len(piece)
            self._writer.piece(piece)

    def finish(self, trailers: Fields) -> None:
        """The response body is complete."""
        if self._exchange is not None:
            self._writer.end(self._exchange.request.method, trailers)
            self._finished()

    def abort(self, fault: Fault) -> None:
        """The response can never be completed: the client must see it broken, not short."""
        exchange = self._exchange
        if exchange is not None:
            exchange.fault = exchange.fault or fault
        if self._transport is not None:
            self._transport.abort()

    def upgrade(self, response: Response) -> tuple[Any, bytes]:
        """Sends the 101 and lets go of the transport; returns it with what the client sent behind its head."""
        if self._exchange is None or self._transport is None:
            raise ClientFault(Cause.CLIENT_GONE)
        if self._ended:
            raise ClientFault(Cause.MALFORMED_REQUEST, "an upgrade, and the end")
        self._exchange.response = response
        self._state = State.TUNNEL
        self.deadline = NEVER
        self._writer.informational(response)
        self._writer.uncork()
        return self._transport, self._input.take()

    def tunnel_over(self, sent: int, fault: Fault | None) -> None:
        """The tunnel has ended after `sent` bytes to the client, and its transport is closing."""
        if self._exchange is not None:
            self._exchange.sent += sent
            self._exchange.fault = fault
            self._log()
        self._leave()
        if self.connection.on_lost is not None:
            self.connection.on_lost(self.connection)

    @property
    def started(self) -> bool:
        """The response head has left: an error can no longer be told, only shown by breaking off."""
        return self._writer.started

    def follow(self, origin: Source | None) -> None:
        """`origin` is paused while the client does not read."""
        self._origin = origin
        if origin is not None and self._write_paused:
            origin.pause()

    def pause(self) -> None:
        if not self._paused_at and self._transport is not None:
            self._paused_at = self._wire.clock()
            self._transport.pause_reading()
            self._arm()

    def resume(self) -> None:
        if self._paused_at and self._transport is not None:
            if self._body is not None:
                self._body.was_paused(self._paused_at, self._wire.clock())
            self._paused_at = 0.0
            self._transport.resume_reading()
            self._arm()

    # -- the end of an exchange ---------------------------------------------------------------------------------------

    def _log(self) -> None:
        exchange, self._exchange = self._exchange, None
        self._task = self._origin = None
        if exchange is not None:
            if self._body is not None:
                exchange.received = self._body.received
            exchange.ended = self._wire.clock()
            try:
                self._wire.finish(exchange)
            except Exception as error:  # noqa: BLE001 - a bug in a log hook must not cost the answer
                self._wire.crashed(error)

    def _finished(self) -> None:
        """The response has been written whole."""
        exchange = self._exchange
        self._log()
        if self._transport is None or exchange is None:
            return
        body = self._body
        if body is not None and not body.complete:
            if self._keep_alive:
                body.discard()
                self._state = State.DISCARD
                self.resume()
                self._arm()
                return
            self._close(linger=True)
        elif not self._keep_alive:  # a client that would go on may have sent more already
            refused = isinstance(exchange.fault, ClientFault)
            self._close(linger=refused or exchange.request.keep_alive or bool(self._input))
        else:
            self._next()

    def _next(self) -> None:
        """Ready for the next request, which may be here already."""
        self._state = State.IDLE
        self._body = None
        now = self._wire.clock()
        self.deadline = now + self._wire.settings.keepalive_timeout
        if self._write_paused:
            self.pause()
            self._arm()
            return
        if self._paused_at:
            self.resume()
        if self._input and not self._reading:
            self._read(self._input.take(), now)
        if self._ended and self._state is State.IDLE and not self._reading:
            self._close()

    def _fail(self, fault: Fault) -> None:
        """The client broke the exchange under way; whoever works on it hears of it at its next wait."""
        exchange, task = self._exchange, self._task
        if exchange is not None and exchange.fault is None:
            exchange.fault = fault
        if task is not None and not task.done:
            task.cancel(fault)
        elif exchange is not None and not self._writer.started and fault.cause is not Cause.CLIENT_GONE:
            self.reply(self._refusal(exchange, ClientFault(fault.cause, fault.detail)))
        elif self._transport is not None:
            self._transport.abort()

    def _close(self, *, linger: bool = False) -> None:
        """Has said its last word; what is written still leaves."""
        self._writer.uncork()
        self._input.take()
        transport = self._leave()
        if transport is not None:
            Farewell(transport, self.connection, self._wire, linger=linger and not self._ended)

    # -- deadlines ----------------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        """Sets the deadline that fits what the connection waits for while an exchange is under way."""
        body = self._body
        if self._write_paused:
            self.deadline = self._wire.clock() + self._wire.settings.write_timeout
        elif self._state is State.EXCHANGE or self._state is State.DISCARD:
            self.deadline = NEVER if body is None or body.complete or self._paused_at else body.due(body.begun)

    def expire(self, now: float) -> None:
        """The sweep calls: something is late."""
        body = self._body
        if self._write_paused:
            if self._exchange is not None:
                self._exchange.fault = ClientFault(Cause.CLIENT_STALLED)
            self.deadline = NEVER
            self._transport.abort()
        elif self._state is State.IDLE:
            if self._input.begun:
                self._refuse(ClientFault(Cause.REQUEST_TIMEOUT), self._input.take(), now)
            else:
                self._close()
        elif body is None or body.complete:
            self.deadline = NEVER
        elif body.late(now):
            self._keep_alive = False
            self.deadline = NEVER
            self._fail(ClientFault(Cause.REQUEST_TIMEOUT, "the request body came too slowly"))
        else:
            self.deadline = body.due(now)

    def cut(self) -> None:
        """The drain time is over."""
        if self._transport is not None:
            self._transport.abort()

    def drain(self) -> None:
        """Closes now if idle, otherwise after the exchange under way."""
        self._keep_alive = False
        if self._state is State.IDLE and not self._input:
            self._close()
