"""Origins that are slow, broken or hostile: what they say wrong never reaches the client as right."""

from __future__ import annotations

import pytest

from tests.kit.messages import get, head, ok
from tests.kit.site import Served, serve


def _asked(**keys: object) -> Served:
    site = serve(**keys)  # type: ignore[arg-type]
    site.client >> get()
    site.origin << b"GET /"
    return site


WHOLE = {
    "counted": ok("hello", "X-A: b"),
    "chunked": head("Transfer-Encoding: chunked") + b"3\r\nhel\r\n2\r\nlo\r\n0\r\nX-T: 1\r\n\r\n",
    "informed": head("Link: </a>", status="103 Early Hints") + ok("hello"),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_response_byte_by_byte(kind: str) -> None:
    """However it is cut, the client gets the same."""
    site = _asked()
    site.origin.drip(WHOLE[kind])
    if kind == "informed":
        site.client << b"HTTP/1.1 103"
    assert (site.client << b"HTTP/1.1 200").body == b"hello"
    assert site.client.open


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("reset", [True, False])
def test_closed_at_each_byte(kind: str, *, reset: bool) -> None:
    """An origin that is gone before its last byte: 502, or a connection that is seen to break. Never a short 200."""
    wire = WHOLE[kind]
    for at in range(len(wire)):
        site = _asked(app={"retries": {"attempts": 0}})
        if at:
            site.origin >> wire[:at]
        if reset:
            site.origin.reset()
        else:
            site.origin.fin()
        answer = site.client.answer()
        if answer is not None and answer.status == 103:
            answer = site.client.answer()
        if answer is None:
            assert site.client.aborted, wire[:at]
            assert site.cause == "response_incomplete"
        else:
            assert answer.status == 502, wire[:at]
            assert site.cause in {"closed_before_head", "response_incomplete"}
        site.close()


GARBAGE = {
    "no status line": b"hello\r\n\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\n\r\n",
    "status 099": b"HTTP/1.1 099 X\r\n\r\n",
    "status 999": b"HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    "a list of lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nab",
    "length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "gzip coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunks in 1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "folded": b"HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "space before colon": b"HTTP/1.1 200 OK\r\nX-A : b\r\nContent-Length: 0\r\n\r\n",
    "NUL": b"HTTP/1.1 200 OK\r\nX-A: b\x00c\r\nContent-Length: 0\r\n\r\n",
    "bare CR": b"HTTP/1.1 200 OK\r\nX-A: b\rX-B: c\r\nContent-Length: 0\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "unasked 101": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "too many 1xx": b"HTTP/1.1 102 Processing\r\n\r\n" * 20,
    "a head of 40 KiB": b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 40_960,
    "200 fields": b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 200 + b"\r\n",
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage(kind: str) -> None:
    """502, and the connection is not used again."""
    site = _asked()
    site.origin >> GARBAGE[kind]
    while (answer := site.client.answer()) is not None and answer.status < 200:
        assert answer.status == 102
    assert answer is not None
    assert answer.status == 502
    assert site.origin.is_cut
    assert site.client.open


@pytest.mark.parametrize("rest", [b"zz\r\n", b"3\r\nabcd\r\n", b"3\nabc\n", b"-1\r\n", b"0\r\nbad trailer\r\n\r\n"])
def test_broken_chunks(rest: bytes) -> None:
    """Behind a head that has left, the client sees its connection break."""
    site = _asked()
    site.origin >> head("Transfer-Encoding: chunked") + b"3\r\nabc\r\n"
    site.origin >> rest
    assert site.client.aborted
    assert site.cause == "bad_response"
    assert site.origin.is_cut


def test_more_than_it_said() -> None:
    """What follows a complete response is nobody's answer: the next client must not get it."""
    site = _asked()
    site.origin >> ok("hello") + ok("poison")
    assert (site.client << b"HTTP/1.1 200").body == b"hello"
    assert site.origin.is_cut
    site.client >> get("/next")
    site.origin << b"GET /next"
    site.origin >> ok("right")
    assert (site.client << b"HTTP/1.1 200").body == b"right"


def test_a_response_nobody_asked_for() -> None:
    """Bytes on an idle connection close it: it is never the answer to the next request."""
    site = _asked()
    site.origin >> ok("hello")
    site.client << b"HTTP/1.1 200"
    site.origin >> ok("poison")
    assert site.origin.is_cut
    site.client >> get("/next")
    site.origin << b"GET /next"
    site.origin >> ok("right")
    assert (site.client << b"HTTP/1.1 200").body == b"right"


def test_a_body_behind_the_answer_to_head() -> None:
    """An origin that answers HEAD with a body does not get it into the next answer."""
    site = serve()
    site.client >> b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n" + get("/next")
    site.origin << b"HEAD /"
    site.origin >> ok("oops")
    assert site.client.answer(b"HEAD") is not None
    site.origin << b"GET /next"
    assert site.origin.connections == 2


def test_fewer_bytes_than_it_said() -> None:
    """A truncated body is never an answer of a smaller size."""
    site = _asked()
    site.origin >> head("Content-Length: 10") + b"hello"
    site.origin.fin()
    assert site.client.aborted
    assert site.cause == "response_incomplete"


def test_truncated_before_an_http10_client() -> None:
    """Whose answer ends with the connection: it ends with a reset, not with a FIN."""
    site = serve()
    site.client >> b"GET / HTTP/1.0\r\n\r\n"
    site.origin << b"GET /"
    site.origin >> head("Transfer-Encoding: chunked") + b"3\r\nabc\r\n"
    site.origin.fin()
    assert site.client.aborted


def test_no_head_in_time() -> None:
    """504, counted from the request's last byte."""
    site = serve(timeouts={"head": "10s"}, app={"retries": {"attempts": 0}})
    site.client >> b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na"
    site.origin.raw()
    site.later(8)
    site.client >> b"b"
    site.later(8)
    assert not site.finished
    site.later(3)
    site.client << b"HTTP/1.1 504"
    assert site.cause == "head_timeout"
    assert site.client.open


def test_a_body_that_stalls() -> None:
    """Behind a head that has left, the client sees its connection break."""
    site = _asked(timeouts={"read": "10s"})
    site.origin >> head("Content-Length: 10") + b"hel"
    site.later(9)
    site.origin >> b"lo"
    site.later(9)
    assert not site.finished
    site.later(2)
    assert site.client.aborted
    assert site.cause == "read_timeout"


def test_an_origin_that_does_not_read() -> None:
    """A request it takes no byte of ends with 504."""
    site = serve(body_limit="unlimited", timeouts={"read": "10s"})
    site.client >> b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n"
    site.origin.raw()
    site.origin.transport.clog()
    while site.client.is_read:
        site.client >> b"x" * 16_000
    site.later(11)
    site.client << b"HTTP/1.1 504"
    assert site.cause == "write_timeout"
