"""Heads as bytes: every piece in its place, each line ended once, and what was written can be read again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.http.codec import render_fields, request_head, response_head
from gateway.http.head import RequestHeadReader, ResponseHeadReader
from gateway.http.message import Response

NAMES = st.from_regex(r"x-[a-z0-9-]{1,12}", fullmatch=True).map(str.encode)
VALUES = st.from_regex(r"([!-~]([ -~]{0,20}[!-~])?)?", fullmatch=True).map(str.encode)
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=8)


def test_fields() -> None:
    """One line each, CRLF behind every one, nothing for none."""
    assert render_fields([]) == b""
    assert render_fields(()) == b""
    assert render_fields([(b"a", b"1")]) == b"a: 1\r\n"
    assert render_fields(((b"a", b"1"), (b"a", b""), (b"b", b"2"))) == b"a: 1\r\na: \r\nb: 2\r\n"


def test_a_request_head() -> None:
    """Host comes first, then the lines rendered before, then the fields; without fields no empty line slips in."""
    head = request_head(b"POST", b"/a?b", b"h:1", [(b"x", b"y")], b"content-length: 3\r\n")
    assert head == b"POST /a?b HTTP/1.1\r\nhost: h:1\r\ncontent-length: 3\r\nx: y\r\n\r\n"
    assert request_head(b"GET", b"/", b"", [], b"") == b"GET / HTTP/1.1\r\nhost: \r\n\r\n"


def test_a_response_head() -> None:
    """Status line, fields, the prepared block, the framing; the origin's own reason phrase is not repeated."""
    response = Response(404, [(b"x", b"y")], reason=b"Gone fishing")
    response.block = b"server: gateway\r\n"
    head = response_head(response, b"content-length: 0\r\n")
    assert head == b"HTTP/1.1 404 Not Found\r\nx: y\r\nserver: gateway\r\ncontent-length: 0\r\n\r\n"
    assert response_head(Response(299, []), b"") == b"HTTP/1.1 299 \r\n\r\n"
    assert response_head(Response(101, []), b"").startswith(b"HTTP/1.1 101 Switching Protocols\r\n")


@given(FIELDS)
def test_a_rendered_request_is_read_as_it_was(fields: list[tuple[bytes, bytes]]) -> None:
    """What the codec writes, the strict reader takes, and finds the same fields in the same order."""
    request = RequestHeadReader().read(request_head(b"GET", b"/p?q=1", b"example.com", fields, b""))
    assert (request.method, request.path, request.query, request.authority) == (b"GET", b"/p", b"q=1", b"example.com")
    assert request.fields == [(b"host", b"example.com"), *fields]


@given(FIELDS, st.integers(200, 599))
def test_a_rendered_response_is_read_as_it_was(fields: list[tuple[bytes, bytes]], status: int) -> None:
    """The same for responses, whatever their status."""
    head = response_head(Response(status, list(fields)), b"content-length: 7\r\n")
    response = ResponseHeadReader().read(head, b"GET")
    assert response.status == status
    assert response.fields == [*fields, (b"content-length", b"7")]
    assert response.length == (0 if status in {204, 304} else 7)
