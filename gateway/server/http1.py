"""Http1: one downstream HTTP/1.x connection, from bytes to exchanges (RFC 9112).

Heads become Exchanges and get their Turn: they go to `wire.answer`, then, unanswered, to `wire.forward`. One exchange
at a time: what follows it on the connection is held, at most HIGH_WATER bytes of it, and all that can be late is a
deadline of the one sweep.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Any

from gateway.deadlines import NEVER
from gateway.errors import Cause, ClientFault, GatewayFault, cause_of
from gateway.exchange import Connection, Exchange
from gateway.http.head import unreadable
from gateway.http.message import Malformed
from gateway.server.farewell import Farewell, has_unread
from gateway.server.head_buffer import END, HeadBuffer
from gateway.server.request_body import HIGH_WATER
from gateway.server.turn import Turn
from gateway.server.wire import Standing, Wire


class State(Enum):
    """Where a connection stands; every change is made by `Http1` itself."""

    IDLE = "idle"  # between exchanges; part of a head may be held
    EXCHANGE = "exchange"  # one exchange is under way; as a tunnel, if the transport has another protocol
    DISCARD = "discard"  # answered; the rest of a small request body is being read
    LEFT = "left"  # the transport is gone, or has been handed over for good


class Http1(asyncio.Protocol):
    """A downstream connection. `ended`: the client has closed its side; what it sent before is still answered."""

    __slots__ = (
        "_input", "_max_head", "_reading", "_state", "_transport", "_turn", "_wire", "connection", "deadline", "ended",
    )  # fmt: skip

    def __init__(self, connection: Connection, wire: Wire) -> None:
        self.connection = connection
        self._wire = wire
        self._max_head = wire.settings.max_head
        self._state = State.IDLE
        self._transport: Any = None
        self._input = HeadBuffer()
        self._turn = Turn(wire, self)
        self._reading = False  # heads are being read off one piece of input
        self.ended = False
        self.deadline = NEVER

    # -- transport callbacks ------------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self._transport = self._turn.writer.transport = transport
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
        exchange, body = self._turn.exchange, self._turn.body
        if self._state is not State.EXCHANGE or exchange is None:
            return False
        cancelled = exchange.route is not None and exchange.route.settings.on_client_eof == "cancel"
        if cancelled or (body is not None and not body.complete):
            self._turn.fail(ClientFault(Cause.CLIENT_GONE, "the client closed"))
            return False
        self.ended = True
        return True

    def connection_lost(self, error: Exception | None) -> None:
        transport = self.leave()
        turn = self._turn
        if turn.exchange is not None:
            turn.fail(ClientFault(Cause.CLIENT_GONE, str(error or "the client closed")))
        turn.log()
        if transport is not None and self.connection.on_lost is not None:
            self.connection.on_lost(self.connection)

    def pause_writing(self) -> None:
        """The client does not read: nothing more is made for it, neither from the origin nor from pipelined input."""
        self._turn.stop_writing()
        if self._state is State.IDLE:
            self._turn.pause()
        self.arm()

    def resume_writing(self) -> None:
        self._turn.go_on_writing()
        if self._state is State.IDLE and not self._reading:
            self._next()
        else:
            self.arm()

    # -- reading ------------------------------------------------------------------------------------------------------

    def _read(self, data: bytes, now: float) -> None:
        """Reads heads off `data` until one must wait for its answer, or is incomplete."""
        turn = self._turn
        self._reading = True
        turn.writer.cork()
        try:
            while data and self._state is State.IDLE and not turn.write_paused:
                try:
                    found = self._input.split(data, now, self._max_head)
                except ClientFault as fault:
                    self._refuse(fault, data, now)
                    return
                if found is None:
                    if self.connection.requests and self._input.begun:  # the first head's counts from the connection's
                        self.deadline = self._input.begun + self._wire.settings.head_timeout
                    return
                data = self._begin(found[0], found[1], now)
            if data and self._state is not State.LEFT:
                self._input.hold(data)
        finally:
            self._reading = False
            turn.writer.uncork()

    def _begin(self, head: bytes, rest: bytes, now: float) -> bytes:
        """One whole head: makes the exchange, answers it or hands it on; returns the input that is not its body."""
        wire, turn = self._wire, self._turn
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
        if turn.body is not None:
            self.arm()
        try:
            response = wire.answer(exchange)
        except Exception as error:  # noqa: BLE001 - a bug in a filter must cost one request, not the worker
            wire.crashed(error)
            response = turn.refusal(ClientFault(Cause.BUG))
        if rest and turn.body is not None:  # before forwarding, so that a small body travels with its head
            rest = turn.feed(rest, now)
            if turn.exchange is not exchange:
                return b""
        if response is not None:
            turn.reply(response)
        else:
            task = wire.forward(exchange, turn)
            if turn.exchange is exchange:
                turn.task = task
        return rest

    def _open(self, exchange: Exchange) -> Exchange:
        self._state = State.EXCHANGE
        if self._input.begun:
            exchange.started, self._input.begun = self._input.begun, 0.0
        self._turn.open(exchange)
        return exchange

    def _continue(self, data: bytes, now: float) -> None:
        """Input while an exchange is under way: its body, then what must wait for its turn."""
        turn = self._turn
        rest = turn.feed(data, now) if turn.body is not None else data
        if self._state is State.DISCARD and turn.body is not None and turn.body.complete:
            self._input.hold(rest)
            self._next()
        elif rest:
            self._input.hold(rest)
            if len(self._input) >= HIGH_WATER:
                turn.pause()

    def _refuse(self, fault: ClientFault, head: bytes, now: float) -> None:
        """Answers what is not a request, and closes: whatever follows it cannot be trusted to be one."""
        self._open(Exchange(self.connection, unreadable(head), now))
        self._turn.keep_alive = False
        self._turn.reply(self._turn.refusal(fault))

    # -- the end of a turn, and of the connection ---------------------------------------------------------------------

    @property
    def held(self) -> int:
        return len(self._input)

    def finished(self, exchange: Exchange) -> None:
        """The response to `exchange` has been written whole."""
        turn = self._turn
        if self._transport is None:
            return
        body = turn.body
        if body is not None and not body.complete:
            if turn.keep_alive:
                body.discard()
                self._state = State.DISCARD
                turn.resume()
                self.arm()
                return
            self._close(linger=True)
        elif not turn.keep_alive:  # a client that would go on may have sent more already
            refused = isinstance(exchange.fault, ClientFault)
            self._close(linger=refused or exchange.request.keep_alive or bool(self._input))
        else:
            self._next()

    def _next(self) -> None:
        """Ready for the next request, which may be here already."""
        turn = self._turn
        self._state = State.IDLE
        turn.body = None
        now = self._wire.clock()
        self.deadline = now + self._wire.settings.keepalive_timeout
        if turn.write_paused:
            turn.pause()
            self.arm()
            return
        if turn.paused_at:
            turn.resume()
        if self._input and not self._reading:
            self._read(self._input.take(), now)
        if self.ended and self._state is State.IDLE and not self._reading:
            self._close()

    def _close(self, *, linger: bool = False) -> None:
        """Has said its last word; what is written still leaves."""
        self._turn.writer.uncork()
        self._input.take()
        transport = self.leave()
        if transport is not None:
            Farewell(transport, self.connection, self._wire, linger=linger and not self.ended)

    def leave(self) -> Any:
        """Gives up the transport, and returns it."""
        transport, self._transport, self._turn.writer.transport = self._transport, None, None
        self._state = State.LEFT
        self.deadline = NEVER
        self._wire.sweep.discard(self)
        self._wire.live.discard(self)
        self._turn.part()
        return transport

    def hand_over(self) -> bytes:
        """The transport gets another protocol, and the exchange goes on; returns what was read too early."""
        self.deadline = NEVER
        return self._input.take()

    @property
    def exchange(self) -> Exchange | None:
        """The one under way."""
        return self._turn.exchange

    @property
    def standing(self) -> Standing:
        exchange = self._turn.exchange
        response = exchange.response if exchange is not None else None
        if response is None:
            return Standing.EXCHANGE
        return Standing.STREAM if response.status == 101 or response.is_event_stream else Standing.EXCHANGE

    def cut(self) -> None:
        """The drain time is over: what is under way is our doing, not the client's."""
        exchange = self._turn.exchange
        if exchange is not None and exchange.fault is None:
            exchange.fault = GatewayFault(Cause.DRAINING, "cut at the end of the drain time")
        if self._transport is not None:
            self._transport.abort()

    def drain(self) -> None:
        """Closes now if idle, otherwise after the exchange under way, or the one that is just arriving."""
        self._turn.keep_alive = False
        if self._state is State.IDLE and not self._input:
            if has_unread(self._transport):
                self.deadline = self._wire.clock()  # for the sweep, should it be nothing that is answered
            else:
                self._close()

    # -- deadlines ----------------------------------------------------------------------------------------------------

    def arm(self) -> None:
        """Sets the deadline that fits what the connection waits for while an exchange is under way."""
        turn = self._turn
        body = turn.body
        if turn.write_paused:
            self.deadline = self._wire.clock() + self._wire.settings.write_timeout
        elif self._state is State.EXCHANGE or self._state is State.DISCARD:
            self.deadline = NEVER if body is None or body.complete or turn.paused_at else body.due(body.begun)

    def expire(self, now: float) -> None:
        """The sweep calls: something is late."""
        turn = self._turn
        body = turn.body
        if turn.write_paused:
            self.deadline = NEVER
            if turn.exchange is not None:
                turn.fail(ClientFault(Cause.CLIENT_STALLED))
            self.cut()
        elif self._state is State.IDLE:
            if self._input.begun:
                self._refuse(ClientFault(Cause.REQUEST_TIMEOUT), self._input.take(), now)
            else:
                self._close()
        elif body is None or body.complete:
            self.deadline = NEVER
        elif body.late(now):
            turn.keep_alive = False
            self.deadline = NEVER
            turn.fail(ClientFault(Cause.REQUEST_TIMEOUT, "the request body came too slowly"))
        else:
            self.deadline = body.due(now)
