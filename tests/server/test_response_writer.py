"""ResponseWriter: what leaves in one write, what is counted as sent, what comes after the transport."""

from __future__ import annotations

import pytest

from gateway.http.message import CHUNKED, Response
from gateway.server.response_writer import CONTINUE, MOST_COLLECTED, ResponseWriter
from tests.kit.exchanges import make_exchange
from tests.kit.transport import FakeTransport


@pytest.fixture
def transport() -> FakeTransport:
    return FakeTransport()


@pytest.fixture
def writer(transport: FakeTransport) -> ResponseWriter:
    writer = ResponseWriter()
    writer.transport = transport
    return writer


def test_a_head_and_its_body_are_one_write(writer: ResponseWriter, transport: FakeTransport) -> None:
    """The pieces that are there travel with the head, and only they are counted."""
    exchange = make_exchange()
    assert writer.head(exchange, Response(200, [(b"a", b"1")], length=6), [b"abc", b"def"], keep_alive=True)
    assert transport.written == [b"HTTP/1.1 200 OK\r\na: 1\r\ncontent-length: 6\r\n\r\nabcdef"]
    assert (exchange.sent, writer.started, writer.chunked) == (6, True, False)


def test_chunks(writer: ResponseWriter, transport: FakeTransport) -> None:
    """A body of unknown length goes out in chunks; the coding is not counted."""
    exchange = make_exchange()
    writer.head(exchange, Response(200, [], length=CHUNKED), [b"abc"], keep_alive=True)
    writer.piece(b"de")
    writer.end(b"GET", [(b"checksum", b"1")])
    assert transport.sent.endswith(b"\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nchecksum: 1\r\n\r\n")
    assert exchange.sent == 3


def test_trailers_that_may_not_be_passed_on(writer: ResponseWriter, transport: FakeTransport) -> None:
    """Only those of RFC 9110 §6.5.1 are written, wherever they come from."""
    writer.head(make_exchange(), Response(200, [], length=CHUNKED), [], keep_alive=True)
    transport.take()
    writer.end(b"GET", [(b"set-cookie", b"a=b"), (b"checksum", b"1")])
    assert transport.take() == b"0\r\nchecksum: 1\r\n\r\n"


def test_a_counted_body_has_no_end_of_its_own(writer: ResponseWriter, transport: FakeTransport) -> None:
    """With Content-Length nothing is written behind the last piece, trailers least of all."""
    writer.head(make_exchange(), Response(200, [], length=2), [], keep_alive=True)
    writer.piece(b"ok")
    transport.take()
    writer.end(b"GET", [(b"checksum", b"1")])
    assert transport.take() == b""


def test_head_requests_get_no_last_chunk(writer: ResponseWriter, transport: FakeTransport) -> None:
    """The answer to HEAD ends with its head, whatever framing it announces."""
    writer.head(make_exchange("HEAD /"), Response(200, [], length=CHUNKED), [], keep_alive=True)
    transport.take()
    writer.end(b"HEAD", [])
    assert transport.take() == b""


def test_whether_the_connection_lives_on(writer: ResponseWriter) -> None:
    """What the framing decides is handed back: HTTP/1.0 learns the end of a stream from the close."""
    old = make_exchange("GET /", None)
    assert not writer.head(old, Response(200, [], length=CHUNKED), [], keep_alive=True)
    assert not writer.chunked
    assert not writer.head(make_exchange(), Response(200, []), [], keep_alive=False)


def test_answers_of_one_read_leave_together(writer: ResponseWriter, transport: FakeTransport) -> None:
    """Between cork and uncork nothing is written, then all of it at once, in order."""
    writer.cork()
    for body in (b"a", b"b", b"c"):
        writer.head(make_exchange(), Response(200, [], length=1), [body], keep_alive=True)
    assert transport.written == []
    writer.uncork()
    assert len(transport.written) == 1
    assert [head[-1:] for head in transport.sent.split(b"HTTP/1.1 200")[1:]] == [b"a", b"b", b"c"]
    writer.send(b"d")
    assert transport.written[1:] == [b"d"]


def test_nothing_collected_is_nothing_written(writer: ResponseWriter, transport: FakeTransport) -> None:
    """No empty write; uncorking what was never corked does no harm."""
    writer.cork()
    writer.uncork()
    writer.uncork()
    assert transport.written == []


def test_collecting_is_bounded(writer: ResponseWriter, transport: FakeTransport) -> None:
    """After MOST_COLLECTED answers they are written, so that a client that does not read is noticed."""
    writer.cork()
    for _ in range(MOST_COLLECTED + 1):
        writer.send(b"x")
    assert transport.written == [b"x" * MOST_COLLECTED]
    writer.uncork()
    assert transport.written[1:] == [b"x"]


def test_informational_answers_start_nothing(writer: ResponseWriter, transport: FakeTransport) -> None:
    """After a 103 an error can still be told; after a 101 there is no HTTP any more."""
    writer.informational(Response(103, [(b"link", b"</a>")]))
    assert transport.take() == b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    assert not writer.started
    writer.informational(Response(101, [(b"upgrade", b"websocket")]))
    assert transport.take() == b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n"
    assert (writer.started, writer.chunked) == (True, False)
    writer.piece(b"frame")
    assert transport.take() == b"frame"


def test_continue_is_a_whole_head() -> None:
    """RFC 9110 §15.2.1: a status line and an empty line."""
    assert CONTINUE == b"HTTP/1.1 100 Continue\r\n\r\n"


def test_without_a_transport_nothing_happens() -> None:
    """What is said to a client that has gone is dropped, corked or not."""
    writer = ResponseWriter()
    exchange = make_exchange()
    writer.cork()
    writer.head(exchange, Response(200, [], length=2), [b"ok"], keep_alive=True)
    writer.uncork()
    writer.piece(b"more")
    writer.end(b"GET", [])
    assert writer.started
