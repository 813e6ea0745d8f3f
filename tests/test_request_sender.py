"""RequestSender: framing, what travels with the head, what can be sent again, and to whom."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import Cause, ClientFault, UpstreamFault
from gateway.flow import Sink
from gateway.http.message import CHUNKED
from gateway.request_sender import REPLAY, RequestSender
from gateway.spool import Spool
from tests.kit.transport import HIGH_WATER, FakeDisk
from tests.kit.upstream import TIMES, Wire

HEAD = b"PUT / HTTP/1.1\r\nhost: o\r\n\r\n"


class Downstream:
    """A client whose body the test plays: `ready` is there when the body is asked for."""

    def __init__(self, *ready: bytes, whole: bool = False) -> None:
        self.ready = ready
        self.whole = whole
        self.sink: Any = None
        self.limit: int | None = None
        self.calls: list[str] = []

    def read_body(self, sink: Sink, limit: int | None) -> None:
        assert self.sink is None, "asked twice for one body"
        self.sink, self.limit = sink, limit
        for piece in self.ready:
            sink.write(piece)
        if self.whole:
            sink.finish([])

    def pause(self) -> None:
        self.calls.append("pause")

    def resume(self) -> None:
        self.calls.append("resume")


def sender(length: int, downstream: Downstream | None, spool: Spool | None = None) -> RequestSender:
    client: Any = downstream
    return RequestSender(length, client, 1000, spool)


def send(sender: RequestSender, wire: Wire | None = None) -> Wire:
    wire = wire or Wire()
    sender.send(wire.connection, b"PUT", HEAD, TIMES)
    return wire


def test_a_small_body_travels_with_its_head() -> None:
    """One write of head and body; the limit of the route is passed on to whoever counts."""
    client = Downstream(b"abc", b"def", whole=True)
    sending = sender(6, client)
    assert sending.framing == b"content-length: 6\r\n"
    wire = send(sending)
    assert wire.transport.written == [HEAD + b"abcdef"]
    assert (client.limit, sending.replayable) == (1000, True)


def test_a_body_that_comes_later() -> None:
    """What is there goes with the head, the rest as it comes; the end arms the wait for the answer."""
    client = Downstream(b"abc")
    wire = send(sender(6, client))
    assert wire.transport.written == [HEAD + b"abc"]
    client.sink.write(b"def")
    client.sink.finish([])
    assert wire.transport.written == [HEAD + b"abc", b"def"]
    assert wire.connection.deadline == wire.clock() + TIMES.head


def test_chunks() -> None:
    """A body of unknown length goes out in chunks of its own, with its trailers."""
    client = Downstream(b"abc")
    sending = sender(CHUNKED, client)
    assert sending.framing == b"transfer-encoding: chunked\r\n"
    wire = send(sending)
    client.sink.write(b"de")
    client.sink.finish([(b"checksum", b"1")])
    assert wire.transport.sent == HEAD + b"3\r\nabc\r\n2\r\nde\r\n0\r\nchecksum: 1\r\n\r\n"


def test_a_whole_chunked_body() -> None:
    """Its last chunk travels with the head."""
    wire = send(sender(CHUNKED, Downstream(b"abc", whole=True)))
    assert wire.transport.written == [HEAD + b"3\r\nabc\r\n0\r\n\r\n"]


def test_the_source_feels_the_origin() -> None:
    """An origin that does not read pauses the client."""
    client = Downstream(b"abc")
    wire = send(sender(1 << 20, client))
    wire.transport.clog()
    client.sink.write(b"a" * (HIGH_WATER + 1))
    assert client.calls == ["pause"]
    wire.transport.unclog()
    assert client.calls == ["pause", "resume"]


def test_another_attempt_sends_the_same() -> None:
    """All that was read of the body is sent again, the rest follows to the new connection alone."""
    client = Downstream(b"abc")
    sending = sender(9, client)
    first = send(sending)
    client.sink.write(b"def")
    first.transport.lose(ConnectionResetError())
    second = send(sending)
    client.sink.write(b"ghi")
    client.sink.finish([])
    assert first.transport.sent == HEAD + b"abcdef"
    assert second.transport.written == [HEAD + b"abcdef", b"ghi"]


@pytest.mark.parametrize("length", [6, CHUNKED])
def test_another_attempt_with_a_whole_body(length: int) -> None:
    """The end is sent again, too, and the answer is waited for at once."""
    sending = sender(length, Downstream(b"abc", b"def", whole=True))
    first, second = send(sending), send(sending)
    assert second.transport.sent == first.transport.sent
    assert second.connection.deadline == second.clock() + TIMES.head


def test_another_attempt_reads_on() -> None:
    """The failed connection may have paused the client; nobody else would ever let it go on."""
    client = Downstream()
    sending = sender(REPLAY, client)
    first = send(sending)
    first.transport.clog()
    client.sink.write(b"a" * (REPLAY - len(HEAD)))
    first.transport.write(b"x" * len(HEAD) * 2)
    assert client.calls == ["pause"]
    assert sending.replayable
    first.transport.lose(ConnectionResetError())
    send(sending)
    assert client.calls == ["pause", "resume"]


def test_too_much_to_send_again() -> None:
    """REPLAY bytes are kept, framing included; beyond them nothing is, and another attempt is out of the question."""
    client = Downstream(b"a" * REPLAY)
    sending = sender(REPLAY + 1, client)
    send(sending)
    kept = sending.replayable
    client.sink.write(b"b")
    assert (kept, sending.replayable, sending._copy) == (True, False, [])


def test_a_body_with_a_hole_is_never_sent() -> None:
    """Of what is not held any more there is no other attempt, whoever asks for one."""
    client = Downstream(b"a" * REPLAY)
    sending = sender(REPLAY + 1, client)
    send(sending)
    client.sink.write(b"b")
    wire = Wire()
    with pytest.raises(UpstreamFault):
        send(sending, wire)
    assert wire.transport.written == []


def test_between_two_attempts_nothing_is_read() -> None:
    """The source is held, and goes on with the next attempt; a body without a source has nothing to hold."""
    client = Downstream(b"abc")
    sending = sender(6, client)
    send(sending)
    sending.hold()
    assert client.calls == ["pause"]
    send(sending)
    assert client.calls == ["pause", "resume"]
    sender(0, None, spooled()).hold()
    sender(0, None).hold()


def test_a_body_that_breaks_off() -> None:
    """The origin must not take a part for the whole: its connection is cut."""
    client = Downstream(b"abc")
    sending = sender(6, client)
    wire = send(sending)
    asked = wire.connection.wait_head()
    sending.abort(ClientFault(Cause.CLIENT_GONE))
    assert wire.transport.aborted
    with pytest.raises(ClientFault):
        asked.result()


def test_a_body_over_its_limit() -> None:
    """Nothing has been sent, so the connection is as good as new."""

    class Over(Downstream):
        def read_body(self, sink: Sink, limit: int | None) -> None:
            raise ClientFault(Cause.BODY_TOO_LARGE)

    wire = Wire()
    with pytest.raises(ClientFault):
        send(sender(6, Over()), wire)
    assert (wire.transport.written, wire.connection.open) == ([], True)


def test_an_abort_before_anything() -> None:
    """There is no connection yet, and nobody to tell."""
    sender(6, Downstream()).abort(ClientFault(Cause.CLIENT_GONE))


# Buffered bodies


def spooled(*pieces: bytes, memory: int = 1 << 20) -> Spool:
    spool = Spool(FakeDisk(), None, memory)
    for piece in pieces:
        spool.write(piece)
    spool.finish([])
    return spool


def test_a_small_buffered_body() -> None:
    """Travels with its head, and can be sent again although the spool is empty then."""
    spool = spooled(b"abc", b"def")
    sending = sender(spool.size, None, spool)
    first, second = send(sending), send(sending)
    assert first.transport.written == second.transport.written == [HEAD + b"abcdef"]


def test_a_large_buffered_body() -> None:
    """Follows its head as fast as the origin takes it, and is not kept in memory once more."""
    body = bytes(range(256)) * (REPLAY // 64)
    spool = spooled(body, memory=0)
    wire = Wire()
    wire.transport.clog()
    sending = sender(spool.size, None, spool)
    send(sending, wire)
    assert len(wire.transport.sent) < len(HEAD) + len(body)
    for _ in range(len(body) // HIGH_WATER):
        wire.transport.unclog()
    assert spool.drained.done
    assert wire.transport.sent == HEAD + body
    assert not sending.replayable
    assert wire.connection.deadline == wire.clock() + TIMES.head


def test_an_empty_buffered_body() -> None:
    """Says its length of zero and is over with its head."""
    sending = sender(0, None, spooled())
    assert sending.framing == b"content-length: 0\r\n"
    wire = send(sending)
    assert wire.transport.written == [HEAD]
    assert wire.connection.deadline == wire.clock() + TIMES.head


def test_a_spool_that_breaks_cuts_the_request() -> None:
    """What cannot be read back from the disk is never sent as if it were whole."""
    spool = spooled(b"a" * (REPLAY + 1), memory=0)
    assert spool._file is not None
    spool._file.truncate(0)
    wire = Wire()
    sending = sender(spool.size, None, spool)
    send(sending, wire)
    assert wire.transport.aborted
    with pytest.raises(Exception, match="bug"):
        wire.connection.wait_head().result()
    assert not isinstance(wire.connection._fault, UpstreamFault)
