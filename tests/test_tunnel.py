"""Tunnel: bytes both ways, back-pressure both ways, and every way in which it can end."""

from __future__ import annotations

import pytest

from gateway.deadlines import Sweep
from gateway.errors import Fault
from gateway.tunnel import CLOSING_SECONDS, Tunnel
from tests.kit.transport import HIGH_WATER, FakeLoop, FakeTransport

IDLE = 60.0


class Joined:
    """A tunnel between two fake transports."""

    def __init__(self, early_up: bytes = b"", early_down: bytes = b"", *, clogged: bool = False) -> None:
        self.loop = FakeLoop()
        self.sweep = Sweep()
        self.client = FakeTransport(None, self.loop)
        self.origin = FakeTransport(None, self.loop)
        for transport in (self.client, self.origin):
            transport.pause_reading()
        if clogged:
            self.origin.clog()
        self.tunnel = Tunnel(self.client, self.origin, IDLE, self.sweep, self.loop.clock)
        self.ends: list[Fault | None] = []
        self.tunnel.over.call(lambda: self.ends.append(self.tunnel.over.result()))
        self.tunnel.join(early_up, early_down)
        self.loop.run()

    def later(self, seconds: float) -> None:
        self.sweep.run(self.loop.clock.advance(seconds))
        self.loop.run()

    @property
    def cause(self) -> str:
        """The word of the fault that ended it; "" for a good end; "open" while it lives."""
        assert len(self.sweep) == (0 if self.ends else 1)
        if not self.ends:
            return "open"
        [fault] = self.ends
        assert self.client.lost
        assert self.origin.lost
        return fault.cause.word if fault is not None else ""


def test_bytes_pass_unread_both_ways() -> None:
    """Each piece at once, in order, and counted."""
    joined = Joined()
    joined.client.feed(b"GET / HTTP/1.1\r\n\r\n", b"\x00\xff")
    joined.origin.feed(b"\x81\x02hi")
    assert joined.origin.written == [b"GET / HTTP/1.1\r\n\r\n", b"\x00\xff"]
    assert joined.client.written == [b"\x81\x02hi"]
    assert (joined.tunnel.up.passed, joined.tunnel.down.passed) == (20, 4)
    assert joined.cause == "open"


def test_what_came_early_goes_first() -> None:
    """Bytes behind either head are passed before anything newer, and count."""
    joined = Joined(b"early up", b"early down")
    joined.client.feed(b", late")
    assert joined.origin.sent == b"early up, late"
    assert joined.client.sent == b"early down"
    assert joined.tunnel.up.passed == 14


def test_a_slow_client_stops_the_origin() -> None:
    """And only the origin: the other direction goes on; what was held comes when the client reads again."""
    joined = Joined()
    joined.client.clog()
    joined.origin.feed(b"a" * (HIGH_WATER + 1), b"b")
    assert (joined.origin.reading, joined.client.reading) == (False, True)
    assert len(joined.client.sent) == HIGH_WATER + 1
    joined.client.feed(b"up")
    assert joined.origin.sent == b"up"
    joined.client.unclog()
    joined.loop.run()
    assert joined.origin.reading
    assert joined.client.sent[-1:] == b"b"


def test_a_slow_origin_stops_the_client() -> None:
    """The same the other way round."""
    joined = Joined()
    joined.origin.clog()
    joined.client.feed(b"a" * (HIGH_WATER + 1))
    assert (joined.client.reading, joined.origin.reading) == (False, True)
    joined.origin.unclog()
    assert joined.client.reading


def test_early_bytes_that_fill_the_other_side() -> None:
    """Joining does not undo the back-pressure that the early bytes themselves have caused."""
    joined = Joined(b"a" * (HIGH_WATER + 1), clogged=True)
    assert (joined.client.reading, joined.origin.reading) == (False, True)
    joined.origin.unclog()
    assert joined.client.reading


def test_half_closed_either_way() -> None:
    """One side's end is passed on, and the other may still speak; when both have ended it is over without a fault."""
    joined = Joined()
    joined.client.end()
    assert (joined.origin.ended, joined.client.ended, joined.cause) == (True, False, "open")
    joined.origin.feed(b"still here")
    assert joined.client.sent == b"still here"
    joined.origin.end()
    assert joined.client.ended
    joined.loop.run()
    assert joined.cause == ""
    assert not joined.client.aborted


@pytest.mark.parametrize("side", ["client", "origin"])
def test_a_reset_breaks_both(side: str) -> None:
    """The other side sees a break, too, and not an end."""
    joined = Joined()
    getattr(joined, side).lose(ConnectionResetError("reset"))
    joined.loop.run()
    assert joined.cause == "response_incomplete"
    assert joined.client.aborted or joined.origin.aborted


@pytest.mark.parametrize("side", ["client", "origin"])
def test_a_side_that_is_gone_ends_the_other(side: str) -> None:
    """Without an error the other is closed politely, its last bytes included."""
    joined = Joined()
    getattr(joined, side).lose()
    joined.loop.run()
    assert joined.cause == ""


def test_nothing_moves() -> None:
    """After `idle` seconds without a byte in either direction both sides are cut; every byte puts it off."""
    joined = Joined()
    joined.later(IDLE - 1)
    joined.origin.feed(b"ping")
    joined.later(IDLE - 1)
    joined.client.feed(b"pong")
    joined.later(IDLE - 1)
    assert joined.cause == "open"
    joined.later(1.5)
    assert joined.cause == "read_timeout"


def test_the_last_bytes_leave_before_the_end() -> None:
    """A client that is slow to take them has a little time; the tunnel is not over while its transport lives."""
    joined = Joined()
    joined.client.clog()
    joined.origin.feed(b"the end")
    joined.origin.lose()
    joined.loop.run()
    assert (joined.client.closed, joined.cause) == (True, "open")
    joined.client.unclog()
    joined.loop.run()
    assert joined.cause == ""
    assert not joined.client.aborted


def test_a_client_that_never_takes_the_last_bytes() -> None:
    """Is cut: a closing transport with unsent bytes would stay for ever, and count against nobody."""
    joined = Joined()
    joined.client.clog()
    joined.origin.feed(b"the end")
    joined.origin.lose()
    joined.loop.run()
    joined.later(CLOSING_SECONDS - 0.1)
    assert joined.cause == "open"
    joined.later(0.2)
    assert joined.client.aborted
    assert joined.cause == ""


def test_bytes_for_a_side_that_is_closing() -> None:
    """Are dropped, and do not prolong its end."""
    joined = Joined()
    joined.client.clog()
    joined.origin.feed(b"the end")
    joined.tunnel.close(None)
    joined.tunnel.up.data_received(b"too late")
    joined.tunnel.down.data_received(b"too late")
    assert (joined.origin.late, joined.client.late) == ([], [])
    joined.later(CLOSING_SECONDS + 0.1)
    assert joined.cause == ""


def test_pausing_a_side_that_has_gone() -> None:
    """Back-pressure that comes late touches no closed transport."""
    joined = Joined()
    joined.client.clog()
    joined.origin.feed(b"x")
    joined.tunnel.close(None)
    joined.loop.run()
    joined.tunnel.up.pause_writing()
    joined.tunnel.up.resume_writing()
    joined.tunnel.close(None)
    joined.client.unclog()
    joined.loop.run()
    assert joined.cause == ""


def test_a_transport_that_was_lost_before_the_join() -> None:
    """Its loss has been told to somebody else: the deadlines end the tunnel all the same."""
    joined = Joined()
    joined.origin.lost = True
    joined.later(IDLE + 1)
    assert joined.client.aborted
    joined.later(CLOSING_SECONDS + 1)
    assert joined.cause == "read_timeout"
