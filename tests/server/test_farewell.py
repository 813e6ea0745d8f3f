"""Farewell: the close of a connection, politely, patiently, and in the end by force."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.deadlines import Sweep
from gateway.exchange import Connection
from gateway.http.head import RequestHeadReader
from gateway.server.farewell import Farewell
from gateway.server.settings import DownstreamConfig
from gateway.server.wire import Wire
from tests.kit.transport import FakeLoop, FakeTransport

SETTINGS = DownstreamConfig.model_validate({"linger_timeout": "5s", "linger_size": 100, "write_timeout": "60s"})


class Leaving:
    """A connection whose last word has been written."""

    def __init__(self, *, linger: bool, unsent: int = 0, eof: bool = True) -> None:
        self.loop = FakeLoop()
        self.sweep = Sweep()
        nothing: Callable[..., None] = lambda *_: None  # noqa: E731
        self.wire = Wire(
            settings=SETTINGS,
            reader=RequestHeadReader(),
            answer=nothing,
            forward=nothing,
            refuse=nothing,  # type: ignore[arg-type]
            finish=nothing,
            clock=self.loop.clock,
            sweep=self.sweep,
            crashed=nothing,
        )
        self.lost: list[Connection] = []
        self.connection = Connection("192.0.2.7", 1, ":80", ":80", 0.0)
        self.connection.on_lost = self.lost.append
        self.transport = FakeTransport(None, self.loop)
        if not eof:
            self.transport.can_write_eof = lambda: False  # type: ignore[method-assign]
        if unsent:
            self.transport.set_write_buffer_limits(high=1 << 30)
            self.transport.clog()
            self.transport.write(b"a" * unsent)
        self.transport.pause_reading()
        self.farewell = Farewell(self.transport, self.connection, self.wire, linger=linger)
        self.loop.run()

    def later(self, seconds: float) -> None:
        self.sweep.run(self.loop.clock.advance(seconds))
        self.loop.run()

    def is_over(self) -> bool:
        """Gone, and forgotten by everybody."""
        assert (len(self.sweep), len(self.wire.live)) == ((0, 0) if self.transport.lost else (1, 1))
        assert self.lost == ([self.connection] if self.transport.lost else [])
        return self.transport.lost


def test_a_plain_close() -> None:
    """With nothing unsent the connection is gone at once, and is counted out."""
    leaving = Leaving(linger=False)
    assert leaving.transport.closed
    assert leaving.is_over()


def test_lingering_half_closes_and_reads_on() -> None:
    """The peer sees our FIN and may still send, so that no reset destroys the answer (RFC 9112 §9.6)."""
    leaving = Leaving(linger=True)
    assert (leaving.transport.ended, leaving.transport.closed, leaving.transport.reading) == (True, False, True)
    leaving.transport.feed(b"a" * 100)
    assert not leaving.is_over()
    leaving.transport.end()
    leaving.loop.run()
    assert leaving.is_over()
    assert not leaving.transport.aborted


def test_lingering_input_is_bounded() -> None:
    """One byte beyond `linger_size` is too much."""
    leaving = Leaving(linger=True)
    leaving.transport.feed(b"a" * 60, b"a" * 41)
    leaving.loop.run()
    assert leaving.transport.aborted
    assert leaving.is_over()


def test_lingering_time_is_bounded() -> None:
    """Whoever neither closes nor reads on is cut after `linger_timeout`."""
    leaving = Leaving(linger=True)
    leaving.later(4.9)
    assert not leaving.is_over()
    leaving.later(0.2)
    assert leaving.transport.aborted
    assert leaving.is_over()


def test_a_transport_that_cannot_half_close() -> None:
    """Is closed instead."""
    leaving = Leaving(linger=True, eof=False)
    assert leaving.transport.closed
    assert leaving.is_over()


def test_a_slow_reader_gets_its_answer() -> None:
    """As long as something was taken since the last look, the connection stays; then the rest leaves and it ends."""
    leaving = Leaving(linger=False, unsent=1000)
    for left in range(900, 0, -50):
        leaving.transport._unsent = left
        leaving.later(5.0)
        assert not leaving.is_over(), f"cut with {left} bytes unsent"
    leaving.transport.unclog()
    leaving.loop.run()
    assert leaving.is_over()
    assert not leaving.transport.aborted


@pytest.mark.parametrize("linger", [True, False])
def test_a_reader_that_takes_nothing(*, linger: bool) -> None:
    """Has `write_timeout`, then is cut: a transport with unsent bytes never closes by itself."""
    leaving = Leaving(linger=linger, unsent=1000)
    for _ in range(11):
        leaving.later(5.0)
        assert not leaving.is_over()
    leaving.later(5.0)
    assert leaving.transport.aborted
    assert leaving.is_over()


def test_a_reset() -> None:
    """The peer may go at any time."""
    leaving = Leaving(linger=True)
    leaving.transport.lose(ConnectionResetError())
    assert leaving.is_over()


def test_draining_and_cutting() -> None:
    """A drain waits for it, it is leaving already; the end of the drain does not."""
    leaving = Leaving(linger=True)
    leaving.farewell.drain()
    assert not leaving.is_over()
    leaving.farewell.cut()
    leaving.loop.run()
    assert leaving.is_over()
