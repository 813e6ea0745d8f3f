"""UpstreamConnection under pressure: what is held, who is paused, and which deadline runs meanwhile."""

from __future__ import annotations

import pytest

from tests.kit.transport import Running
from tests.kit.upstream import REQUEST, TIMES, Collected, Wire, fault_word

GOOD = b"HTTP/1.1 200 OK\r\nServer: o\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def wire() -> Wire:
    return Wire()


class Speaker:
    """A Source that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pause(self) -> None:
        self.told.append("pause")

    def resume(self) -> None:
        self.told.append("resume")


def test_the_source_of_the_request_is_paused_while_the_origin_does_not_read(wire: Wire) -> None:
    """Back-pressure: pause at the transport's high water, resume when the origin reads; and a deadline in between."""
    speaker = Speaker()
    asked = wire.ask(b"POST", body=True)
    wire.connection.body_source = speaker
    wire.transport.clog()
    wire.connection.write(b"a" * 100_000)
    assert speaker.told == ["pause"]
    wire.later(TIMES.read - 1)
    wire.transport.unclog()
    assert speaker.told == ["pause", "resume"]
    wire.later(TIMES.read * 10)
    assert not asked.done
    wire.transport.clog()
    wire.connection.write(b"a" * 100_000)
    wire.connection.finish([])
    wire.later(TIMES.read)
    assert fault_word(asked) == "write_timeout"


def test_a_response_while_the_request_is_clogged_is_not_the_basis_of_reuse(wire: Wire) -> None:
    """All was written, but not all has left: the next request would stand behind the rest."""
    wire.transport.clog()
    wire.ask(b"POST", body=True)
    wire.connection.write(b"a" * 100_000)
    wire.connection.finish([])
    wire.transport.feed(GOOD)
    assert wire.connection.complete
    assert not wire.connection.reusable


def test_a_body_nobody_takes_is_held_up_to_the_bound(wire: Wire) -> None:
    """Before relay() reading pauses at 64 KiB and no deadline runs; relay hands all over and goes on."""
    connection, transport = wire.connection, wire.transport
    connection.start(b"GET", REQUEST, TIMES)
    transport.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n")
    transport.feed(*[b"a" * 50_000] * 4)
    assert sum(map(len, connection.chunks)) == 100_000
    assert not transport.reading
    wire.later(10_000.0)
    relay = Running(_relay(wire))
    assert transport.reading
    wire.loop.run()
    assert relay.done
    assert relay.error is None
    assert len(wire.sink.body) == 200_000
    assert connection.reusable


async def _relay(wire: Wire) -> None:
    await wire.connection.relay(wire.sink)


def test_a_held_body_that_is_complete_leaves_the_connection_reading(wire: Wire) -> None:
    """The bound and the end in the same read: the idle connection must see its origin's close."""
    connection, transport = wire.connection, wire.transport
    connection.start(b"GET", REQUEST, TIMES)
    transport.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"a" * 99_999, b"a")
    assert not transport.reading
    Running(_relay(wire))
    wire.loop.run()
    assert connection.complete
    connection.park(60.0)
    assert transport.reading


def test_a_full_sink_pauses_the_origin_and_no_deadline_runs(wire: Wire) -> None:
    """The client's slowness is not the origin's fault; after resume the read deadline runs again."""
    wire.sink = Collected(wire.connection, room=3)
    asked = wire.ask()
    wire.transport.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n", b"abc", b"def")
    assert wire.sink.body == b"abc"
    assert not wire.transport.reading
    wire.later(TIMES.read * 100)
    assert not asked.done
    wire.sink.room = None
    wire.connection.resume()
    wire.later(TIMES.read - 1)
    assert asked.value.body == b"abcdef"


def test_a_sink_that_pauses_on_held_bytes_stays_paused(wire: Wire) -> None:
    """relay() finds a sink that is full at once: reading does not go on behind its back."""
    connection, transport = wire.connection, wire.transport
    connection.start(b"GET", REQUEST, TIMES)
    transport.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"a" * 70_000, b"a" * 30_000)
    wire.sink = Collected(connection, room=1)
    relay = Running(_relay(wire))
    wire.loop.run()
    assert not transport.reading
    assert len(wire.sink.body) == 70_000
    connection.resume()
    wire.loop.run()
    assert relay.done
    assert len(wire.sink.body) == 100_000


def test_a_sink_may_close_while_it_takes(wire: Wire) -> None:
    """The client goes while it is given what one read brought, as one piece: nothing more is written to the sink."""

    class Leaving(Collected):
        def write(self, chunk: bytes) -> None:
            super().write(chunk)
            wire.connection.close()

    wire.sink = Leaving()
    asked = wire.ask()
    wire.transport.feed(CHUNKED, b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n")
    assert wire.sink.pieces == [b"abc"]
    assert asked.error is not None
    assert wire.transport.aborted


@pytest.mark.parametrize(
    ("fed", "word"),
    [
        (b"", "head_timeout"),
        (b"HTTP/1.1 2", "head_timeout"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "head_timeout"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "read_timeout"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "read_timeout"),
        (CHUNKED + b"3\r\nab", "read_timeout"),
        (b"HTTP/1.1 200 OK\r\n\r\nab", "read_timeout"),
    ],
)
def test_an_origin_that_stalls(wire: Wire, fed: bytes, word: str) -> None:
    """Whatever phase it stalls in, the sweep ends it with the cause of that phase."""
    asked = wire.ask()
    if fed:
        wire.transport.feed(fed)
    wire.later(29.0)
    assert not asked.done
    wire.later(31.0)
    assert fault_word(asked) == word
    assert wire.transport.aborted
    assert wire.lost == 1
    assert len(wire.sweep) == 0


def test_the_read_deadline_is_between_two_reads(wire: Wire) -> None:
    """A slow origin that keeps sending is never late, however long the whole takes."""
    asked = wire.ask()
    wire.transport.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n")
    for _ in range(20):
        wire.later(29.0)
        wire.transport.feed(b"a")
    assert asked.value.body == b"a" * 20


def test_an_idle_connection_expires(wire: Wire) -> None:
    """Parked for 60 seconds and not a sweep longer; the close is polite."""
    wire.ask()
    wire.transport.feed(GOOD)
    wire.connection.park(60.0)
    wire.later(59.0)
    assert wire.connection.open
    wire.later(1.0)
    assert wire.transport.closed
    assert not wire.transport.aborted
    assert wire.lost == 1


def test_the_origin_may_shorten_the_idle_time(wire: Wire) -> None:
    """Keep-Alive: timeout=5 closes a second before the origin would, so that no POST meets its close."""
    wire.ask()
    wire.transport.feed(b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5, max=100\r\nContent-Length: 0\r\n\r\n")
    wire.connection.park(60.0)
    wire.later(3.9)
    assert wire.connection.open
    wire.later(0.1)
    assert wire.transport.closed


def test_a_close_that_hangs_becomes_an_abort(wire: Wire) -> None:
    """A peer that does not read holds a polite close open: five seconds, then it is cut."""
    wire.transport.clog()
    wire.ask(b"POST", body=True)
    wire.connection.write(b"a" * 10)
    wire.connection.finish([])
    wire.transport.feed(GOOD)
    wire.connection.close()
    wire.later(4.0)
    assert wire.lost == 0
    wire.later(1.0)
    assert wire.transport.aborted
    assert wire.lost == 1
