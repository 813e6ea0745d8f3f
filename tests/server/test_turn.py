"""Turn by itself: what its verbs do when they come too late, and in which order it tells of the end."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.deadlines import Sweep
from gateway.errors import Cause, ClientFault, UpstreamFault
from gateway.exchange import Connection, Exchange
from gateway.http.head import RequestHeadReader
from gateway.http.message import Response
from gateway.server.settings import DownstreamConfig
from gateway.server.turn import Turn
from gateway.server.wire import Wire
from tests.kit.transport import FakeLoop, FakeTransport


class Line:
    """A connection that only remembers what it was told."""

    def __init__(self) -> None:
        self.ended = False
        self.held = 0
        self.told: list[str] = []

    def finished(self, exchange: Exchange) -> None:
        self.told.append("finished")

    def arm(self) -> None:
        self.told.append("arm")

    def hand_over(self) -> bytes:
        self.told.append("hand over")
        return b"early"

    def leave(self) -> Any:
        self.told.append("leave")


class Table:
    """A turn, its line, its transport."""

    def __init__(self, *fields: bytes) -> None:
        self.loop = FakeLoop()
        self.line = Line()
        wire = Wire(
            settings=DownstreamConfig(),
            reader=RequestHeadReader(),
            answer=lambda exchange: None,
            forward=lambda exchange, turn: None,
            refuse=lambda exchange, fault: Response(fault.cause.status, [], body=b""),
            finish=lambda exchange: self.line.told.append("logged"),
            clock=self.loop.clock,
            sweep=Sweep(),
            crashed=lambda error: self.line.told.append(type(error).__name__),
        )
        self.turn = Turn(wire, self.line)
        self.transport = FakeTransport(loop=self.loop)
        self.turn.writer.transport = self.transport
        head = b"\r\n".join([b"GET / HTTP/1.1", b"Host: h", *fields, b"", b""])
        connection = Connection("192.0.2.7", 50000, "127.0.0.1:80", ":80", 0.0)
        self.turn.open(Exchange(connection, wire.reader.read(head), self.loop.clock()))


def test_the_end_is_logged_before_the_next_turn() -> None:
    """The log first, for the connection may begin the next exchange in there."""
    table = Table()
    table.turn.start(Response(200, [], length=2), [b"h"])
    table.turn.write(b"i")
    table.turn.finish([])
    assert table.line.told == ["logged", "finished"]
    assert table.transport.sent.endswith(b"\r\n\r\nhi")
    assert table.turn.exchange is None


def test_verbs_that_come_too_late() -> None:
    """Between two exchanges they do nothing: an origin may still speak when the client has gone."""
    table = Table()
    table.turn.log()
    table.turn.start(Response(200, [], length=2), [b"hi"])
    table.turn.write(b"hi")
    table.turn.finish([])
    table.turn.reply(Response(200, [], body=b"hi"))
    table.turn.informational(Response(103, []))
    table.turn.tunnel_over(3, None)
    assert table.transport.sent == b""
    assert table.line.told == ["logged"]


def test_without_a_transport() -> None:
    """A turn whose client is gone goes to its end in silence, and cannot be upgraded."""
    table = Table()
    table.turn.writer.transport = None
    with pytest.raises(ClientFault) as fault:
        table.turn.upgrade(Response(101, []))
    assert fault.value.cause is Cause.CLIENT_GONE
    table.turn.pause()
    table.turn.resume()
    table.turn.abort(UpstreamFault(Cause.READ_TIMEOUT))
    table.turn.reply(Response(200, [], body=b"hi"))
    assert table.line.told == ["logged", "finished"]


def test_a_tunnel() -> None:
    """The transport goes to whoever asked, with what came too early; the exchange ends when it says so."""
    table = Table()
    assert table.turn.upgrade(Response(101, [(b"upgrade", b"x")])) == (table.transport, b"early")
    assert table.transport.sent == b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n"
    exchange = table.turn.exchange
    assert exchange is not None
    table.turn.tunnel_over(7, None)
    assert (exchange.sent, table.line.told) == (7, ["hand over", "logged", "leave"])


def test_the_first_fault_stays() -> None:
    """What is reported is what began it, not what followed from it."""
    table = Table()
    exchange = table.turn.exchange
    assert exchange is not None
    table.turn.start(Response(200, [], length=2), [b"h"])
    table.turn.abort(UpstreamFault(Cause.READ_TIMEOUT))
    table.turn.fail(ClientFault(Cause.CLIENT_GONE))
    assert exchange.fault is not None
    assert exchange.fault.cause is Cause.READ_TIMEOUT
    assert table.transport.aborted


def test_an_origin_is_paused_for_a_client_that_does_not_read() -> None:
    """Also where the client had stopped before there was an origin; and never after the end."""
    calls: list[str] = []

    class Origin:
        def pause(self) -> None:
            calls.append("pause")

        def resume(self) -> None:
            calls.append("resume")

    table = Table()
    table.turn.stop_writing()
    table.turn.follow(Origin())
    table.turn.go_on_writing()
    table.turn.stop_writing()
    table.turn.log()
    table.turn.go_on_writing()
    assert calls == ["pause", "resume", "pause"]


def test_pausing_twice_is_pausing_once() -> None:
    """And the deadline is looked at only when something has changed."""
    table = Table()
    table.turn.pause()
    table.turn.pause()
    assert not table.transport.reading
    table.turn.resume()
    table.turn.resume()
    assert table.transport.reading
    assert table.line.told == ["arm", "arm"]
