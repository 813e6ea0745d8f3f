"""UpstreamConnection in conversation with an origin: requests, responses, bodies, reuse, deadlines."""

from __future__ import annotations

import pytest

from gateway.errors import Cause, ClientFault, UpstreamFault
from gateway.http.message import UNTIL_CLOSE
from gateway.upstream.http1 import HELD_LIMIT
from tests.kit.transport import Running
from tests.kit.upstream import REQUEST, TIMES, Answer, Wire, fault_word

GOOD = b"HTTP/1.1 200 OK\r\nServer: o\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def wire() -> Wire:
    return Wire()


def test_one_write_and_one_read_are_an_exchange(wire: Wire) -> None:
    """A keep-alive exchange costs one write, and one data_received in which the waiter is woken."""
    asked = wire.ask()
    assert wire.transport.written == [REQUEST]
    assert not asked.done
    wire.transport.feed(GOOD)
    assert asked.done
    assert asked.error is None
    assert asked.value.body == b"hello"
    assert wire.connection.reusable


def test_the_waiter_may_start_the_next_exchange_inside_the_callback(wire: Wire) -> None:
    """Whoever is woken parks and restarts the connection at once; nothing of the first exchange touches the second."""
    connection = wire.connection

    async def two() -> list[int]:
        statuses = []
        for _ in range(2):
            connection.start(b"GET", REQUEST, TIMES)
            statuses.append((await connection.wait_head()).status)
            assert connection.complete
            connection.park(60.0)
        return statuses

    running = Running(two())
    wire.transport.feed(GOOD)
    assert wire.transport.sent == REQUEST * 2
    wire.transport.feed(GOOD.replace(b"200", b"404"))
    assert running.value == [200, 404]
    assert connection.open


def test_a_body_that_is_a_whole_read_is_passed_on_as_it_came(wire: Wire) -> None:
    """Counted bodies are not copied: the sink gets the very bytes object that was read."""
    wire.ask()
    wire.transport.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n")
    pieces = [bytes([65 + at]) * 50_000 for at in range(4)]
    wire.transport.feed(*pieces)
    assert [id(piece) for piece in wire.sink.pieces] == [id(piece) for piece in pieces]
    assert wire.connection.complete


def test_chunked_bodies_are_decoded_and_trailers_kept_apart(wire: Wire) -> None:
    """Chunks, an extension and trailers: the body is decoded and the trailers are not among the head's fields."""
    asked = wire.ask()
    wire.transport.feed(CHUNKED + b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nChecksum: 9\r\n\r\n")
    assert asked.value.body == b"abcde"
    assert asked.value.trailers == ((b"checksum", b"9"),)
    assert wire.connection.reusable


def test_a_body_without_length_ends_with_the_connection(wire: Wire) -> None:
    """Close-delimited: everything up to the end of the stream, and no reuse."""
    asked = wire.ask()
    wire.transport.feed(b"HTTP/1.1 200 OK\r\n\r\nab", b"cd")
    assert not asked.done
    wire.transport.end()
    assert asked.value.body == b"abcd"
    assert not wire.connection.reusable
    wire.loop.run()
    assert wire.lost == 1


def test_a_reset_is_not_the_end_of_a_body_without_length(wire: Wire) -> None:
    """Only an orderly end completes a close-delimited body; a reset has cut it."""
    asked = wire.ask()
    wire.transport.feed(b"HTTP/1.1 200 OK\r\n\r\nab")
    wire.transport.lose(ConnectionResetError("reset"))
    assert fault_word(asked) == "response_incomplete"


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
def test_responses_without_body(wire: Wire, method: bytes, status: int) -> None:
    """HEAD, 204 and 304 have no body whatever Content-Length says (RFC 9112 §6.3)."""
    asked = wire.ask(method)
    wire.transport.feed(b"HTTP/1.1 %d X\r\nContent-Length: 5\r\n\r\n" % status)
    assert asked.value.status == status
    assert asked.value.body == b""
    assert wire.connection.reusable


def test_informational_responses_come_before_the_final_one(wire: Wire) -> None:
    """100 and 103 are reported in order; the waiter sees the final response only."""
    asked = wire.ask()
    wire.transport.feed(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
    assert [each.status for each in wire.informational] == [100, 103]
    assert wire.informational[1].fields == [(b"link", b"</a>")]
    assert not asked.done
    wire.transport.feed(GOOD)
    assert asked.value.informational == (100, 103)


def test_eight_informational_responses_are_bearable(wire: Wire) -> None:
    """The bound is eight; the ninth fails (bad_responses.py)."""
    asked = wire.ask()
    wire.transport.feed(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 8 + GOOD)
    assert len(asked.value.informational) == 8


def test_closing_inside_an_informational_callback_ends_it(wire: Wire) -> None:
    """The listener may give the exchange up; what follows in the same read is not looked at."""
    asked = wire.ask()
    wire.connection.on_informational = lambda response: wire.connection.close()
    wire.transport.feed(b"HTTP/1.1 103 Early Hints\r\n\r\n" + GOOD)
    assert asked.error is not None
    assert wire.transport.aborted


def test_an_upgrade_that_was_asked_for(wire: Wire) -> None:
    """101 wakes the waiter; bytes behind it are handed over with the transport, and the connection lets go."""
    asked = wire.ask(upgrade=True)
    wire.transport.feed(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nfra", b"me"
    )
    assert asked.value.status == 101
    transport, leftover = wire.connection.detach()
    assert transport is wire.transport  # type: ignore[comparison-overlap]
    assert leftover == b"frame"
    assert wire.connection.detached
    assert len(wire.sweep) == 0
    wire.connection.close()
    assert not wire.transport.is_closing()


def test_tunnel_bytes_before_detach_are_bounded(wire: Wire) -> None:
    """An origin that floods the tunnel before anyone holds its other end is paused."""
    wire.ask(upgrade=True)
    wire.transport.feed(
        b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", b"a" * (HELD_LIMIT + 1), b"more"
    )
    assert not wire.transport.reading


@pytest.mark.parametrize(
    ("head", "reusable"),
    [
        (b"HTTP/1.1 200 OK\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: CLOSE\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: keep-alive\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: x, close\r\n", False),
        (b"HTTP/1.0 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n", True),
    ],
)
def test_persistence(wire: Wire, head: bytes, reusable: bool) -> None:
    """`close` and HTTP/1.0 are honoured (RFC 9112 §9.3)."""
    wire.ask()
    wire.transport.feed(head + b"Content-Length: 0\r\n\r\n")
    assert wire.connection.complete
    assert wire.connection.reusable is reusable


def test_stray_bytes_on_an_idle_connection_close_it(wire: Wire) -> None:
    """A response that no request asked for is never taken for the next one's."""
    wire.ask()
    wire.transport.feed(GOOD)
    wire.connection.park(60.0)
    wire.transport.feed(GOOD)
    assert wire.transport.closed
    assert not wire.connection.open
    wire.connection.start(b"POST", REQUEST, TIMES)
    waiting = Running(_head(wire))
    assert fault_word(waiting) == "closed_before_head"
    assert isinstance(waiting.error, UpstreamFault)
    assert waiting.error.sent is False
    assert wire.transport.sent == REQUEST


async def _head(wire: Wire) -> object:
    return await wire.connection.wait_head()


def test_bytes_between_the_end_and_the_release_close_it(wire: Wire) -> None:
    """Excess that comes a read later, before the pool has the connection back, has the same effect."""
    wire.ask()
    wire.transport.feed(GOOD, b"x")
    assert wire.transport.closed
    assert not wire.connection.reusable


def test_a_request_body_is_written_as_given_and_the_head_deadline_begins_at_its_end(wire: Wire) -> None:
    """While the client is still sending, the origin owes nothing; after finish it has `head` seconds."""
    asked = wire.ask(b"POST", body=True)
    wire.connection.write(b"abc")
    wire.later(1000.0)
    assert not asked.done
    wire.connection.write(b"def")
    wire.connection.finish([])
    assert wire.transport.sent == REQUEST + b"abcdef"
    assert wire.connection.bytes_sent == len(REQUEST) + 6
    wire.later(TIMES.head - 1)
    assert not asked.done
    wire.later(1.0)
    assert fault_word(asked) == "head_timeout"
    assert wire.transport.aborted


def test_an_early_answer_is_delivered_and_the_connection_not_reused(wire: Wire) -> None:
    """An origin may refuse a body it has not read; the rest of the body is dropped."""
    asked = wire.ask(b"POST", body=True)
    wire.connection.write(b"a")
    wire.transport.feed(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
    assert asked.value == Answer(413, ((b"content-length", b"2"),), b"no", (), ())
    assert not wire.connection.reusable
    wire.connection.write(b"b")
    wire.connection.finish([])
    assert wire.transport.sent == REQUEST + b"a"
    assert not wire.connection.reusable


def test_an_upgrade_before_the_request_is_sent_is_refused(wire: Wire) -> None:
    """A 101 in the middle of a request body would turn the rest of the body into tunnel bytes."""
    asked = wire.ask(b"POST", body=True, upgrade=True)
    wire.transport.feed(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
    assert fault_word(asked) == "bad_response"


def test_an_aborted_request_never_looks_complete(wire: Wire) -> None:
    """A client that goes in the middle of its body cuts the origin off; the waiter gets the client's fault."""
    asked = wire.ask(b"POST", body=True)
    wire.connection.write(b"half")
    fault = ClientFault(Cause.CLIENT_GONE)
    wire.connection.abort(fault)
    assert asked.error is fault
    assert wire.transport.aborted
    wire.connection.write(b"more")
    wire.loop.run()
    assert wire.transport.late == []
    assert wire.lost == 1


def test_close_twice_and_after_the_loss(wire: Wire) -> None:
    """close() is idempotent, and harmless on a dead connection."""
    wire.connection.close()
    wire.connection.close()
    wire.loop.run()
    wire.connection.close()
    wire.connection.abort(UpstreamFault(Cause.DRAINING))
    assert wire.lost == 1
    assert not wire.transport.aborted


def test_lengths_are_told_with_the_head(wire: Wire) -> None:
    """Response.length follows RFC 9112 §6.3, and index holds the head as received."""
    wire.connection.start(b"GET", REQUEST, TIMES)
    head = Running(_head(wire))
    wire.transport.feed(b"HTTP/1.1 200 OK\r\nServer: a\r\n\r\n")
    assert head.value.length == UNTIL_CLOSE
    assert head.value.index == {b"server": b"a"}
