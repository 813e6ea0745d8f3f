"""Http1 with two lambdas for all that is policy: what it hands on, in which order, and what it keeps to itself.

Whole conversations are in tests/wire; here the wire knows no site and no origin.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.deadlines import NEVER, Sweep
from gateway.errors import ClientFault
from gateway.exchange import Connection, Exchange
from gateway.http.head import RequestHeadReader
from gateway.http.message import Response
from gateway.server.http1 import Http1
from gateway.server.settings import DownstreamConfig
from gateway.server.turn import Turn
from gateway.server.wire import Wire
from tests.kit.messages import get, post
from tests.kit.transport import FakeLoop
from tests.kit.wire import Client


class Forwarded:
    """What `forward` returned: an exchange that the test answers."""

    def __init__(self, exchange: Exchange, turn: Turn) -> None:
        self.exchange = exchange
        self.turn = turn
        self.done = False
        self.cancelled: list[Any] = []

    def cancel(self, fault: Any) -> None:
        self.cancelled.append(fault)
        self.done = True


class House:
    """A wire without policy: `answer` says what is answered at once, everything else is forwarded."""

    def __init__(self, answer: Callable[[Exchange], Response | None] = lambda exchange: None) -> None:
        self.loop = FakeLoop()
        self.forwarded: list[Forwarded] = []
        self.finished: list[Exchange] = []
        self.lost: list[Connection] = []
        self.wire = Wire(
            settings=DownstreamConfig(),
            reader=RequestHeadReader(),
            answer=answer,
            forward=self._forward,
            refuse=self._refuse,
            finish=self.finished.append,
            clock=self.loop.clock,
            sweep=Sweep(),
            crashed=self._crashed,
        )
        connection = Connection("192.0.2.7", 50000, "127.0.0.1:80", ":80", self.loop.clock())
        connection.on_lost = self.lost.append
        self.http1 = Http1(connection, self.wire)
        self.client = Client(self.http1, self.loop)

    def _forward(self, exchange: Exchange, turn: Turn) -> Forwarded:
        forwarded = Forwarded(exchange, turn)
        self.forwarded.append(forwarded)
        return forwarded

    def _refuse(self, exchange: Exchange, fault: ClientFault) -> Response:
        exchange.fault = fault
        return Response(fault.cause.status, [], body=b"no")

    def _crashed(self, error: BaseException) -> None:
        raise error


def _ok(_exchange: Exchange) -> Response:
    return Response(200, [], body=b"hi")


def test_answered_at_once() -> None:
    """What `answer` says is written, and the exchange is finished before the read returns."""
    house = House(_ok)
    house.client >> get("/a")
    assert (house.client << b"HTTP/1.1 200 OK\r\n").body == b"hi"
    assert [exchange.request.path for exchange in house.finished] == [b"/a"]
    assert not house.forwarded


def test_forwarded_and_answered_later() -> None:
    """Until the turn is finished nothing is written, and the next request is not begun."""
    house = House()
    house.client >> get("/1") + get("/2")
    (first,) = house.forwarded
    assert house.client.is_silent
    first.turn.reply(Response(200, [], body=b"1"))
    assert (house.client << b"HTTP/1.1 200").body == b"1"
    assert [forwarded.exchange.request.path for forwarded in house.forwarded] == [b"/1", b"/2"]


def test_the_exchange_knows_its_times() -> None:
    """`started` is the head's first byte, `now` its last, `ended` the answer's last."""
    house = House()
    clock = house.loop.clock
    began = clock()
    house.client >> b"GET / HT"
    clock.advance(2)
    house.client >> b"TP/1.1\r\nHost: h\r\n\r\n"
    clock.advance(3)
    house.forwarded[0].turn.reply(Response(204, [], body=b""))
    (exchange,) = house.finished
    assert (exchange.started, exchange.now, exchange.ended) == (began, began + 2, began + 5)


def test_a_deadline_stands_only_while_something_is_awaited() -> None:
    """The client is awaited before a head and between exchanges, not while the origin is."""
    house = House()
    clock, http1 = house.loop.clock, house.http1
    assert http1.deadline == clock() + 10
    house.client >> get()
    assert http1.deadline == NEVER
    house.forwarded[0].turn.reply(Response(204, [], body=b""))
    assert http1.deadline == clock() + 75


def test_a_lost_client_cancels_what_is_forwarded() -> None:
    """Once, with the reason; and the connection is reported as lost."""
    house = House()
    house.client >> get()
    house.client.reset()
    (forwarded,) = house.forwarded
    assert [fault.cause.word for fault in forwarded.cancelled] == ["client_gone"]
    assert len(house.finished) == len(house.lost) == 1
    assert not len(house.wire.sweep)


def test_what_is_no_request_is_refused_and_the_rest_not_read() -> None:
    """The connection ends behind the answer to it."""
    house = House(_ok)
    house.client >> b"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n" + get()
    house.client << b"HTTP/1.1 400"
    assert house.client.closed
    assert len(house.finished) == 1


def test_a_body_is_held_until_it_is_asked_for() -> None:
    """Whoever forwards reads the body when it wants it; the bytes behind it are the next request's."""
    house = House()
    house.client >> post("hello") + get("/next")

    class Sink:
        pieces: list[bytes] = []
        complete = False

        def write(self, chunk: bytes) -> None:
            self.pieces.append(chunk)

        def finish(self, trailers: object) -> None:
            self.complete = True

        def abort(self, fault: object) -> None:
            raise AssertionError("nothing is wrong")

    sink = Sink()
    house.forwarded[0].turn.read_body(sink, None)
    assert (sink.pieces, sink.complete) == ([b"hello"], True)
    house.forwarded[0].turn.reply(Response(204, [], body=b""))
    assert house.forwarded[1].exchange.request.path == b"/next"
