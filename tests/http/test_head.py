"""Message heads: what is read, what is refused, and with which status."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.head import HeadRules, RequestHeadReader, ResponseHeadReader
from gateway.http.message import CHUNKED, UNTIL_CLOSE, Malformed

READER = RequestHeadReader()


def head(*lines: str, start: str = "GET / HTTP/1.1", host: str | None = "Host: h") -> bytes:
    return "".join(f"{line}\r\n" for line in [start, *([host] if host else []), *lines, ""]).encode("latin-1")


def refusal(raw: bytes, reader: RequestHeadReader = READER) -> tuple[int, str]:
    with pytest.raises(Malformed) as refused:
        reader.read(raw)
    return refused.value.status, refused.value.why


def test_an_ordinary_request():
    """Start line, fields and derived facts of a plain GET."""
    request = READER.read(
        head("Accept: */*", "X-A:\t1 ", start="GET /a/../b?x=1 HTTP/1.1", host="Host: Shop.Example.COM:8080")
    )
    assert (request.method, request.target, request.path, request.query) == (b"GET", b"/a/../b?x=1", b"/b", b"x=1")
    assert (request.authority, request.host, request.minor) == (b"Shop.Example.COM:8080", b"shop.example.com", 1)
    assert request.fields == [(b"host", b"Shop.Example.COM:8080"), (b"accept", b"*/*"), (b"x-a", b"1")]
    assert (request.length, request.keep_alive, request.upgrade) == (0, True, b"")


@pytest.mark.parametrize(
    ("start", "status"),
    [
        ("GET  / HTTP/1.1", 400), ("GET /  HTTP/1.1", 400), (" GET / HTTP/1.1", 400), ("GET\t/ HTTP/1.1", 400),
        ("GET / HTTP/1.1 ", 400), ("GET /", 400), ("GET / http/1.1", 400), ("GET / HTTP/1.10", 400), ("GET / HTTP/2.0", 505),
        ("GET / HTTP/0.9", 505), ("GET / HTTP/11", 400), ("GET / HTTP/1.", 400), ("GET / RTSP/1.0", 400), ("SOURCE / ICE/1.0", 400),
        ("GET /#f HTTP/1.1", 400), ("GET /a\x01 HTTP/1.1", 400), ("GET /\xe9 HTTP/1.1", 400), ("GET /\x7f HTTP/1.1", 400),
        ("GET * HTTP/1.1", 400), ("GET a HTTP/1.1", 400), ("GET ftp://h/ HTTP/1.1", 400), ("GET http:// HTTP/1.1", 400),
        ("GET http://u@h/ HTTP/1.1", 400), ("GET http://other/ HTTP/1.1", 400), ("Get / HTTP/1.1", 501), ("get / HTTP/1.1", 501),
        ("G\xe9T / HTTP/1.1", 400), ("G(T / HTTP/1.1", 400), (f"{'A' * 40} / HTTP/1.1", 400), ("PRI * HTTP/2.0", 505),
        (f"GET /{'a' * 9000} HTTP/1.1", 414), ("CONNECT h HTTP/1.1", 400), ("", 400),
    ],
)  # fmt: skip
def test_bad_start_lines(start, status):
    """Each is refused, with the status that says why."""
    assert refusal(head(start=start))[0] == status


@pytest.mark.parametrize(
    "line",
    [
        "A : b", " A: b", "A b", ": b", "A(: b", "A\xff: b", "A: b\x00", "A: \x01", "A: \x7f", "A: b\rc", "A: b\nB: c", "A: b\r\n c",
        "A: b\r\n\tc", "A\x00: b", "A\t: b", "A:b\r\n\r", "Host: h", "Host: x", "host: h", "Content-Length: +1", "Content-Length: -1",
        "Content-Length: 0x1", "Content-Length: 1 1", "Content-Length: 1,1", "Content-Length:", "Content-Length: 1\r\nContent-Length: 1",
        "Content-Length: 1\r\nContent-Length: 2", "Content-Length: 99999999999999999999", "Transfer-Encoding: chunked\r\nContent-Length: 1",
        "Content-Length: 1\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: identity", "Transfer-Encoding: xchunked", "Transfer-Encoding: \x0bchunked", "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding:", 'Transfer-Encoding: "chunked"', "Transfer-Encoding: chunked;q=1", "Transfer-Encoding: chunked,",
        "Connection: content-length", "Connection: host", "Connection: transfer-encoding", "Content_Length: 1", "Content_-Length: 1",
        "Transfer_Encoding: chunked", "Transfer-Encoding_: x", "_TransferEncoding: x", "Content-Length: 1\r\nContent_Length: 1",
        "Content-Type: a/b\r\nContent-Type: a/b", "Authorization: a\r\nAuthorization: b",
    ],
)  # fmt: skip
def test_bad_fields(line):
    """What two readers could understand differently is a 400, and never reaches anyone."""
    assert refusal(head(line))[0] in {400, 501}


def test_an_unknown_coding_before_chunked_is_not_implemented():
    """RFC 9112 §6.1: a coding that is not understood is answered 501; one list that is no list of codings, 400."""
    assert refusal(head("Transfer-Encoding: gzip, chunked"))[0] == 501
    for value in (", chunked", "chunked,", "chunked, chunked", "gzip, chunked, chunked"):
        assert refusal(head(f"Transfer-Encoding: {value}"))[0] == 400, value


@pytest.mark.parametrize("method", ["BREW", "X-A", "1", "!#$%&'*+-.^_`|~", "A" * 32])
def test_methods_that_nobody_knows(method):
    """RFC 9110 §9.1: what a method means is for the origin to say."""
    assert READER.read(head("Content-Length: 3", start=f"{method} / HTTP/1.1")).method == method.encode()


def test_a_later_minor_version_is_spoken_as_1_1():
    """RFC 9110 §2.5: as the highest minor version that is known."""
    request = READER.read(head(start="GET / HTTP/1.2"))
    assert (request.minor, request.keep_alive) == (1, True)


def test_names_that_only_begin_like_framing():
    """Only underscores make a likeness: without them it is another field in everyone's reading."""
    lines = ["Content-Length-Hint: 1", "X-Content-Length: 1", "ContentLength: 1", "Content.Length: 1", "Content: 1"]
    assert len(READER.read(head(*lines, "Content-Length: 0")).fields) == 7


@pytest.mark.parametrize(
    "host",
    [
        None, "Host:", "Host: a b", "Host: \xe9",
    ],
)  # fmt: skip
def test_bad_hosts(host):
    """Exactly one well-formed Host on HTTP/1.1; tests/http/test_authority.py knows them all."""
    assert refusal(head(host=host))[0] == 400


def test_the_name_to_route_by():
    """Case, port and a trailing dot do not matter for it."""
    assert READER.read(head(host="Host: H.Example.:80")).host == b"h.example"


def test_http_1_0_needs_no_host():
    """RFC 9112 §3.2: only HTTP/1.1 clients must send it."""
    request = READER.read(head(start="GET / HTTP/1.0", host=None))
    assert (request.host, request.authority, request.keep_alive) == (b"", b"", False)


def test_absolute_form_agrees_with_host():
    """RFC 9112 §3.2.2: the target's authority counts, and must be the Host."""
    request = READER.read(head(start="GET HTTP://h/a?b HTTP/1.1"))
    assert (request.path, request.query, request.host) == (b"/a", b"b", b"h")
    assert READER.read(head(start="GET http://h HTTP/1.1")).path == b"/"
    assert READER.read(head(start="GET http://h?x HTTP/1.1")).query == b"x"
    assert READER.read(head(start="OPTIONS http://h HTTP/1.1")).path == b"*"
    assert READER.read(head(start="GET http://h:80/ HTTP/1.1")).authority == b"h"


def test_asterisk_form_is_for_options():
    """RFC 9112 §3.2.4."""
    assert READER.read(head(start="OPTIONS * HTTP/1.1")).path == b"*"


@pytest.mark.parametrize(
    ("lines", "start", "expected"),
    [
        (["Content-Length: 5"], "POST / HTTP/1.1", 5),
        (["Content-Length: 0"], "POST / HTTP/1.1", 0),
        (["Content-Length: 007"], "GET / HTTP/1.1", 7),
        (["Transfer-Encoding: chunked"], "POST / HTTP/1.1", CHUNKED),
        (["Transfer-Encoding: CHUNKED "], "GET / HTTP/1.1", CHUNKED),
    ],
)
def test_body_lengths(lines, start, expected):
    """RFC 9112 §6.3, for any method."""
    assert READER.read(head(*lines, start=start)).length == expected


def test_chunked_is_not_for_http_1_0():
    """RFC 9112 §6.1: an HTTP/1.0 message with it has faulty framing."""
    assert refusal(head("Transfer-Encoding: chunked", start="POST / HTTP/1.0"))[0] == 400


@pytest.mark.parametrize(
    ("start", "lines", "keep"),
    [
        ("GET / HTTP/1.1", [], True), ("GET / HTTP/1.1", ["Connection: close"], False), ("GET / HTTP/1.1", ["Connection: x, Close"], False),
        ("GET / HTTP/1.1", ["Connection: x", "Connection: close"], False), ("GET / HTTP/1.0", [], False),
        ("GET / HTTP/1.0", ["Connection: Keep-Alive"], True), ("GET / HTTP/1.1", ["Connection: keep-alive"], True),
    ],
)  # fmt: skip
def test_persistence(start, lines, keep):
    """RFC 9112 §9.3."""
    assert READER.read(head(*lines, start=start)).keep_alive is keep


def test_expectations():
    """100-continue counts where there is a body; anything else is a 417; HTTP/1.0 has none."""
    assert READER.read(head("Expect: 100-Continue", "Content-Length: 1")).expects_continue
    assert not READER.read(head("Expect: 100-continue")).expects_continue
    assert refusal(head("Expect: 200-ok"))[0] == 417
    assert not READER.read(head("Expect: x", "Content-Length: 1", start="POST / HTTP/1.0")).expects_continue


def test_upgrade_needs_the_connection_option():
    """RFC 9110 §7.8: an Upgrade that Connection does not list is a field like any other."""
    assert READER.read(head("Connection: Upgrade", "Upgrade: WebSocket")).upgrade == b"websocket"
    assert READER.read(head("Upgrade: websocket")).upgrade == b""
    assert READER.read(head("Connection: upgrade", "Upgrade: websocket", start="GET / HTTP/1.0")).upgrade == b""


def test_limits_of_the_head():
    """Number of fields, length of a line, length of the target: each at its limit and one beyond."""
    rules = HeadRules(max_line=64, max_fields=4, max_uri=32)
    reader = RequestHeadReader(rules)
    assert len(reader.read(head("A: 1", "B: 1", "C: 1")).fields) == 4
    assert refusal(head("A: 1", "B: 1", "C: 1", "D: 1"), reader)[0] == 431
    assert reader.read(head("A: " + "x" * 59)).index[b"a"] == b"x" * 59
    assert refusal(head("A: " + "x" * 60), reader)[0] == 431
    assert reader.read(head(start=f"GET /{'a' * 31} HTTP/1.1"))
    assert refusal(head(start=f"GET /{'a' * 32} HTTP/1.1"), reader)[0] == 414


def test_field_names_with_underscores():
    """WSGI cannot tell X_Real_IP from X-Real-IP: dropped by default, kept or refused on request."""
    raw = head("X_Real_IP: 6.6.6.6", "X-Real-IP: 1.1.1.1")
    request = READER.read(raw)
    assert request.fields == [(b"host", b"h"), (b"x-real-ip", b"1.1.1.1")]
    assert b"x_real_ip" not in request.index
    assert len(RequestHeadReader(HeadRules(underscores="keep")).read(raw).fields) == 3
    assert refusal(raw, RequestHeadReader(HeadRules(underscores="reject")))[0] == 400
    for rule in ("drop", "keep", "reject"):
        assert refusal(head("Content_Length: 1"), RequestHeadReader(HeadRules(underscores=rule)))[0] == 400


@given(st.integers(0, 200))
def test_one_message_leaves_nothing_for_the_next(at):
    """A refused head, whatever is wrong with it, does not change how the next one is read."""
    good = head("Accept: */*", "Content-Length: 3", start="POST /x HTTP/1.1")
    broken = bytearray(good)
    broken[at % len(broken)] = 0
    with pytest.raises(Malformed):
        READER.read(bytes(broken))
    assert READER.read(good).length == 3


def response(*lines: str, start: str = "HTTP/1.1 200 OK") -> bytes:
    return "".join(f"{line}\r\n" for line in [start, *lines, ""]).encode("latin-1")


@pytest.mark.parametrize(
    "start",
    [
        "HTTP/2.0 200 OK", "HTTP/1.2 200 OK", "RTSP/1.0 200 OK", "HTTP/1.1 099 X", "HTTP/1.1 999 X", "HTTP/1.1 600 X", "HTTP/1.1 20 X",
        "HTTP/1.1 2000 X", "HTTP/1.1  200 OK", "HTTP/1.1 200 O\x01K", "http/1.1 200 OK", "200 OK", "HTTP/1.1 abc", "ICY 200 OK",
    ],
)  # fmt: skip
def test_bad_status_lines(start):
    """The origin is not trusted either."""
    with pytest.raises(Malformed):
        ResponseHeadReader().read(response(start=start), b"GET")


@pytest.mark.parametrize(
    ("method", "start", "lines", "expected"),
    [
        (b"GET", "HTTP/1.1 200 OK", ["Content-Length: 5"], 5),
        (b"GET", "HTTP/1.1 200 OK", ["Transfer-Encoding: chunked"], CHUNKED),
        (b"GET", "HTTP/1.1 200 OK", [], UNTIL_CLOSE),
        (b"HEAD", "HTTP/1.1 200 OK", ["Content-Length: 5"], 0),
        (b"GET", "HTTP/1.1 204 No Content", ["Content-Length: 0"], 0),
        (b"GET", "HTTP/1.1 304 Not Modified", ["Content-Length: 5"], 0),
        (b"GET", "HTTP/1.1 103 Early Hints", ["Link: </x>"], 0),
        (b"GET", "HTTP/1.1 200", ["Content-Length: 5"], 5),
    ],
)
def test_response_lengths(method, start, lines, expected):
    """RFC 9112 §6.3."""
    assert ResponseHeadReader().read(response(*lines, start=start), method).length == expected


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 5", "Transfer-Encoding: chunked"], ["Transfer-Encoding: gzip, chunked"], ["Transfer-Encoding: gzip"],
        ["Content-Length: 5", "Content-Length: 5"], ["Content-Length: 5, 5"], ["Content-Length: -5"], ["Content-Length: 5 x"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
    ],
)  # fmt: skip
def test_ambiguous_responses(lines):
    """A response that can be read as two is none."""
    with pytest.raises(Malformed):
        ResponseHeadReader().read(response(*lines), b"GET")


def test_chunked_responses_are_not_for_http_1_0():
    """An HTTP/1.0 origin cannot have meant it."""
    with pytest.raises(Malformed):
        ResponseHeadReader().read(response("Transfer-Encoding: chunked", start="HTTP/1.0 200 OK"), b"GET")
