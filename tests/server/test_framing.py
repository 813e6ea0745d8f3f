"""How a response is delimited, and whether the connection lives on: tables of plain calls."""

from __future__ import annotations

import pytest

from gateway.deadlines import Sweep
from gateway.exchange import Connection, Exchange
from gateway.http.head import RequestHeadReader
from gateway.http.message import CHUNKED, UNTIL_CLOSE, Request, Response
from gateway.server.framing import DISCARDABLE, frame, persists
from gateway.server.request_body import RequestBody
from gateway.server.settings import DownstreamConfig
from gateway.server.wire import Wire

CLOSE = b"connection: close\r\n"
KEEP = b"connection: keep-alive\r\n"
TE = b"transfer-encoding: chunked\r\n"


def asked(method: bytes = b"GET", minor: int = 1) -> Request:
    return Request(method, b"/", b"/", None, minor)


def answered(status: int = 200, length: int = 0, body: bytes | None = None, says: str = "") -> Response:
    """`says`: the field by which the origin's head framed it."""
    response = Response(status, [], length=length, body=body)
    if says:
        name, _, value = says.partition(": ")
        response.index = {name.encode(): value.encode()}
    return response


CHUNKS = "transfer-encoding: chunked"


@pytest.mark.parametrize(
    ("request_", "response", "lines", "chunked"),
    [
        (asked(), answered(length=5), b"content-length: 5\r\n", False),
        (asked(), answered(body=b""), b"content-length: 0\r\n", False),
        (asked(), answered(205), b"content-length: 0\r\n", False),
        (asked(), answered(length=CHUNKED), TE, True),
        (asked(), answered(length=UNTIL_CLOSE), TE, True),
        (asked(minor=0), answered(length=5), b"content-length: 5\r\n" + KEEP, False),
        # The head alone, and what a GET would have had (RFC 9110 §8.6)
        (asked(b"HEAD"), answered(body=b"four"), b"content-length: 4\r\n", False),
        (asked(b"HEAD"), answered(says="content-length: 123"), b"content-length: 123\r\n", False),
        (asked(b"HEAD"), answered(says=CHUNKS), TE, False),
        (asked(b"HEAD", 0), answered(says=CHUNKS), KEEP, False),
        (asked(b"HEAD"), answered(), b"", False),
        (asked(), answered(304), b"", False),
        (asked(), answered(304, says="content-length: 123"), b"content-length: 123\r\n", False),
        # Never on these (RFC 9110 §8.6, RFC 9112 §6.1)
        (asked(), answered(204), b"", False),
        (asked(), answered(204, says="content-length: 0"), b"", False),
        (asked(b"HEAD"), answered(204, says=CHUNKS), b"", False),
    ],
)
def test_framing_of_a_kept_connection(request_: Request, response: Response, lines: bytes, *, chunked: bool) -> None:
    """Content-Length, chunks, or the head alone; the connection stays."""
    assert frame(request_, response, keep_alive=True) == (lines, chunked, True)


@pytest.mark.parametrize("request_", [asked(), asked(minor=0), asked(b"HEAD")])
@pytest.mark.parametrize("response", [answered(length=5, says="content-length: 5"), answered(204)])
def test_a_close_is_said(request_: Request, response: Response) -> None:
    """Whatever the framing, `Connection: close` is its last line where the connection ends."""
    lines, _chunked, keep_alive = frame(request_, response, keep_alive=False)
    assert lines.endswith(CLOSE)
    assert KEEP not in lines
    assert not keep_alive


@pytest.mark.parametrize("length", [CHUNKED, UNTIL_CLOSE])
@pytest.mark.parametrize("keep_alive", [True, False])
def test_an_old_client_learns_the_end_from_the_close(length: int, *, keep_alive: bool) -> None:
    """HTTP/1.0 knows no chunks: a body of unknown length ends the connection (RFC 9112 §6.1)."""
    assert frame(asked(minor=0), answered(length=length), keep_alive=keep_alive) == (CLOSE, False, False)


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize("minor", [0, 1])
def test_never_both_lengths(method: bytes, minor: int) -> None:
    """No answer to anybody says Content-Length and Transfer-Encoding at once, nor either of them twice."""
    for status in range(200, 600):
        for response in (answered(status, 3), answered(status, CHUNKED), answered(status, 0, says="content-length: 3")):
            lines = frame(asked(method, minor), response, keep_alive=True).lines
            assert lines.count(b"content-length") + lines.count(b"transfer-encoding") <= 1
            assert minor == 1 or b"transfer-encoding" not in lines


# persists()


def made_wire(**limits: object) -> Wire:
    nothing = lambda *_: None  # noqa: E731
    return Wire(
        settings=DownstreamConfig.model_validate(limits),
        reader=RequestHeadReader(),
        answer=nothing,
        forward=nothing,
        refuse=nothing,  # type: ignore[arg-type]
        finish=nothing,
        clock=lambda: 0.0,
        sweep=Sweep(),
        crashed=nothing,
    )


def made_exchange(now: float = 0.0, requests: int = 1) -> Exchange:
    connection = Connection("192.0.2.7", 1, ":80", ":80", 0.0)
    connection.requests = requests
    return Exchange(connection, asked(), now)


def made_body(length: int, fed: bytes = b"") -> RequestBody:
    body = RequestBody(length, lambda: None, 0.0, DownstreamConfig())
    body.feed(fed)
    return body


def test_a_connection_persists() -> None:
    """An ordinary request on a young connection leaves it open."""
    assert persists(made_exchange(), None, made_wire())
    assert persists(made_exchange(), made_body(3, b"abc"), made_wire())


def test_the_client_said_close() -> None:
    """Its word counts."""
    exchange = made_exchange()
    exchange.request.keep_alive = False
    assert not persists(exchange, None, made_wire())


def test_a_draining_gateway_closes() -> None:
    """While draining, every answer is the last on its connection."""
    wire = made_wire()
    wire.draining = True
    assert not persists(made_exchange(), None, wire)


def test_the_limits_of_one_connection() -> None:
    """The last allowed request closes, and so does the first one after the allowed time."""
    wire = made_wire(keepalive_requests=3, keepalive_time="10s")
    assert persists(made_exchange(requests=2), None, wire)
    assert not persists(made_exchange(requests=3), None, wire)
    assert persists(made_exchange(now=10.0), None, wire)
    assert not persists(made_exchange(now=10.1), None, wire)


@pytest.mark.parametrize(
    ("body", "keeps"),
    [
        (made_body(DISCARDABLE), True),
        (made_body(DISCARDABLE + 1), False),
        (made_body(DISCARDABLE + 5, b"12345"), True),
        (made_body(CHUNKED, b"3\r\nabc\r\n"), False),  # nobody knows how much more
        (made_body(CHUNKED, b"3\r\nabc\r\n0\r\n\r\n"), True),
    ],
)
def test_an_unread_body(body: RequestBody, *, keeps: bool) -> None:
    """A little of it is read and forgotten; more, or an unknown amount, is not worth the connection."""
    assert persists(made_exchange(), body, made_wire()) is keeps


def test_a_body_that_was_never_asked_for() -> None:
    """A client that still waits for 100 may or may not send the body: what comes next cannot be told apart."""
    exchange = made_exchange()
    exchange.request.expects_continue = True
    assert not persists(exchange, made_body(5), made_wire())
    assert persists(exchange, made_body(5, b"12345"), made_wire())
