"""Request bodies on their way to the origin: framing, trailers, limits, expectations and early answers."""

from __future__ import annotations

import pytest

from tests.kit.messages import chunked, chunks, get, head, ok, post
from tests.kit.site import serve

HEAD = b"POST / HTTP/1.1\r\nHost: h\r\n"


def test_a_small_body_travels_with_its_head() -> None:
    """Head and body that came in one read leave in one write."""
    site = serve()
    site.client >> post("hello")
    asked = site.origin << b"POST /"
    assert (asked.body, asked.get(b"content-length")) == (b"hello", b"5")
    assert len(site.origin.transport.written) == 1


def test_a_body_streams() -> None:
    """Each piece is passed on when it comes, before the body is whole."""
    site = serve()
    site.client >> HEAD + b"Content-Length: 6\r\n\r\nab"
    assert site.origin.raw().endswith(b"\r\n\r\nab")
    site.client >> b"cd"
    assert site.origin.raw() == b"cd"
    site.client >> b"ef"
    assert site.origin.raw() == b"ef"
    site.origin >> ok("done")
    assert (site.client << b"HTTP/1.1 200").body == b"done"
    assert site.last.received == 6


def test_a_chunked_body() -> None:
    """Decoded and framed anew: what the origin reads is exactly our chunked coding, not the client's."""
    site = serve()
    site.client >> HEAD + b'Transfer-Encoding: Chunked\r\n\r\n0003 ; a="b"\r\nabc\r\n'
    site.client >> b"000\r\n\r\n"
    asked = site.origin << b"POST /"
    assert asked.body == b"abc"
    assert asked.get(b"transfer-encoding") == b"chunked"
    assert asked.raw.endswith(b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n")


def test_many_small_chunks_are_one_write() -> None:
    """A client that sends a chunk for every byte does not make a system call of each."""
    site = serve()
    site.client >> HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    site.client >> b"1\r\nx\r\n" * 5000
    before = len(site.origin.transport.written)
    assert before <= 3
    site.client >> b"0\r\n\r\n"
    assert (site.origin << b"POST /").body == b"x" * 5000


def test_trailers_are_passed_when_allowed() -> None:
    """What identifies is dropped; the rest arrives as trailers, and was announced."""
    site = serve()
    forbidden = ("Authorization: x", "X-Forwarded-For: 1.2.3.4", "X_A: 1")
    identity = ("CF-Connecting-IP: 1.2.3.4", "True-Client-IP: 1.2.3.4", "X-Client-IP: 1.2.3.4")
    lines = "".join(f"{line}\r\n" for line in (*forbidden, *identity, "Checksum: abc"))
    site.client >> chunked(b"abc", fields=("Trailer: Checksum",), trailers=lines)
    asked = site.origin << b"POST /"
    assert (asked.trailers, asked.get(b"trailer")) == (((b"checksum", b"abc"),), b"Checksum")


def test_what_connection_names_is_no_trailer() -> None:
    """It is for us alone, in the head and behind the body (RFC 9110 §7.6.1)."""
    site = serve()
    site.client >> chunked(b"abc", fields=("Connection: X-Hop",), trailers="X-Hop: 1\r\nChecksum: abc\r\n")
    assert (site.origin << b"POST /").trailers == ((b"checksum", b"abc"),)


@pytest.mark.parametrize("line", ["Content-Length: 3", "Transfer-Encoding: x", "Host: x"])
def test_framing_in_a_trailer(line: str) -> None:
    """Is meant for a reader that would believe it: refused, and the origin never sees the end."""
    site = serve()
    site.client >> chunked(b"abc", trailers=f"{line}\r\n")
    site.client << b"HTTP/1.1 400"
    assert site.origin.request() is None


def test_a_chunk_that_is_too_large() -> None:
    """Refused when it says so, not when it has come."""
    site = serve(body_limit="1 KiB")
    site.client >> HEAD + b"Transfer-Encoding: chunked\r\n\r\n401\r\nab"
    site.client << b"HTTP/1.1 413"
    assert site.origin.request() is None


def test_get_with_a_body() -> None:
    """Has no meaning, and is framed all the same."""
    site = serve()
    site.client >> post("abc", method="GET") + get("/next")
    assert (site.origin << b"GET / ").body == b"abc"
    site.origin >> ok()
    site.origin << b"GET /next"


def test_continue_is_asked_for() -> None:
    """The client hears 100 when its body is wanted; the origin is not bothered with the expectation."""
    site = serve()
    site.client >> HEAD + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    site.client << b"HTTP/1.1 100 Continue\r\n\r\n"
    site.client >> b"hi"
    asked = site.origin << b"POST /"
    assert asked.all(b"expect") == []
    assert asked.body == b"hi"
    site.origin >> ok()
    assert (site.client << b"HTTP/1.1 200").get(b"connection") is None


def test_no_continue_where_the_body_is_refused() -> None:
    """A route without room for the body answers at once; whether the client sends it cannot be known, so it closes."""
    site = serve(body_limit=10)
    site.client >> HEAD + b"Expect: 100-continue\r\nContent-Length: 11\r\n\r\n"
    assert (site.client << b"HTTP/1.1 413").get(b"connection") == b"close"
    assert site.origin.connections == 0


def test_no_continue_for_a_body_that_is_here() -> None:
    """A client that did not wait needs no leave."""
    site = serve()
    site.client >> HEAD + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\nhi"
    site.origin << b"POST /"
    assert site.client.is_silent


def test_no_continue_for_http10() -> None:
    """RFC 9110 §10.1.1: an expectation of HTTP/1.0 is ignored."""
    site = serve()
    site.client >> b"POST / HTTP/1.0\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    assert site.client.is_silent
    site.client >> b"hi"
    site.origin << b"POST /"


def test_too_long_by_content_length() -> None:
    """413 before a byte of it is read, and the origin hears nothing."""
    site = serve(body_limit="1 KiB")
    site.client >> HEAD + b"Content-Length: 100000\r\n\r\n"
    assert (site.client << b"HTTP/1.1 413").get(b"connection") == b"close"
    assert site.cause == "body_too_large"
    assert site.origin.connections == 0


def test_a_little_too_long() -> None:
    """A refused body of less than 64 KiB is read and forgotten, so that the connection can go on."""
    site = serve(body_limit=4)
    site.client >> post("abcdefgh") + get("/next")
    assert (site.client << b"HTTP/1.1 413").get(b"connection") is None
    site.origin << b"GET /next"


def test_just_long_enough() -> None:
    """The limit itself passes, by length and in chunks."""
    site = serve(body_limit=4)
    site.client >> post("abcd")
    assert (site.origin << b"POST /").body == b"abcd"
    site.origin >> ok()
    site.client << b"HTTP/1.1 200"
    site.client >> chunked(b"ab", b"cd")
    assert (site.origin << b"POST /").body == b"abcd"


def test_too_long_in_chunks() -> None:
    """413 when the limit is passed; the origin's connection is cut before it has seen an end."""
    site = serve(body_limit=4)
    site.client >> HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n"
    assert b"abcd" in site.origin.raw()
    site.client >> b"1\r\ne\r\n"
    site.client << b"HTTP/1.1 413"
    assert site.client.closed
    assert site.origin.is_cut
    assert site.cause == "body_too_large"


def test_too_long_at_once() -> None:
    """The same where all of it came in one read: the origin receives nothing at all of the request."""
    site = serve(body_limit=4)
    site.client >> chunked(b"abcdefgh")
    site.client << b"HTTP/1.1 413"
    assert site.origin.request() is None


@pytest.mark.parametrize("rest", [b"5\r\nhelloXX", b"zz\r\n", b"5\nhello\r\n0\r\n\r\n", b"0\r\nbad trailer\r\n\r\n"])
@pytest.mark.parametrize("together", [True, False])
def test_malformed_chunks(rest: bytes, *, together: bool) -> None:
    """400 and a close; the origin never sees the end of such a body, and what follows is not a request."""
    site = serve()
    begin = HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"
    for wire in (begin + rest + get("/smuggled"),) if together else (begin, rest + get("/smuggled")):
        site.client >> wire
    site.client << b"HTTP/1.1 400"
    assert site.client.closed
    assert site.origin.request() is None
    assert site.cause == "malformed_request"
    assert len(site.finished) == 1


def test_answered_before_the_body_is_here() -> None:
    """An early answer is passed on; a short rest of the body is read and forgotten, and the connection goes on."""
    site = serve()
    site.client >> HEAD + b"Content-Length: 10\r\n\r\nabc"
    site.origin.raw()
    site.origin >> ok("no", status="403 Forbidden")
    assert (site.client << b"HTTP/1.1 403").get(b"connection") is None
    assert site.origin.is_cut
    site.client >> b"defghij" + get("/next")
    site.origin << b"GET /next"
    site.origin >> ok("yes")
    assert (site.client << b"HTTP/1.1 200").body == b"yes"


def test_answered_before_a_long_body() -> None:
    """More than 64 KiB is not read for nothing: the answer says close, and the rest is discarded within bounds."""
    site = serve()
    site.client >> HEAD + b"Content-Length: 1000000\r\n\r\nabc"
    site.origin.raw()
    site.origin >> ok("no", status="403 Forbidden")
    assert (site.client << b"HTTP/1.1 403").get(b"connection") == b"close"
    assert site.client.transport.ended
    assert not site.client.aborted
    site.client >> b"x" * 500_000
    assert not site.client.aborted
    site.client >> b"x" * 600_000
    assert site.client.aborted


def test_answered_before_a_chunked_body() -> None:
    """Its length cannot be known: the answer says close."""
    site = serve()
    site.client >> HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n"
    site.origin.raw()
    site.origin >> ok("no", status="403 Forbidden")
    assert (site.client << b"HTTP/1.1 403").get(b"connection") == b"close"
    assert site.client.closed


def test_the_body_goes_on_while_the_answer_streams() -> None:
    """An origin may answer while it still reads: both directions pass on."""
    site = serve()
    site.client >> HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n"
    site.origin.raw()
    site.origin >> head("Transfer-Encoding: chunked") + b"1\r\nA\r\n"
    assert site.client.raw().endswith(b"1\r\nA\r\n")
    site.client >> b"1\r\nb\r\n"
    assert site.origin.raw() == b"1\r\nb\r\n"
    site.origin >> b"1\r\nB\r\n"
    assert site.client.raw() == b"1\r\nB\r\n"
    site.client >> b"0\r\n\r\n"
    assert site.origin.raw() == b"0\r\n\r\n"
    site.origin >> b"0\r\n\r\n"
    assert site.client.raw() == b"0\r\n\r\n"


def test_a_local_answer_to_a_request_with_a_body() -> None:
    """The body is read and forgotten, and the next request is answered."""
    site = serve(routes=[{"respond": 204}])
    site.client >> HEAD + b"Content-Length: 5\r\n\r\n"
    site.client << b"HTTP/1.1 204"
    site.client >> b"hel"
    site.client >> b"lo" + get()
    site.client << b"HTTP/1.1 204"


def test_a_body_that_looks_like_a_request() -> None:
    """Within its length a body is a body, byte for byte."""
    site = serve()
    hidden = get("/smuggled")
    site.client >> post(hidden) + chunked(hidden)
    assert (site.origin << b"POST /").body == hidden
    site.origin >> ok()
    assert (site.origin << b"POST /").body == hidden
    site.origin >> ok()
    assert site.origin.is_silent


def test_the_size_of_a_body_in_chunks_of_any_size() -> None:
    """A megabyte in pieces of all sizes arrives as it was."""
    site = serve(body_limit="2 MiB")
    content = bytes(range(256)) * 2048
    wire = (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks(content[:1000], content[1000:300_000], content[300_000:])
    )
    size, at = 1, 0
    while at < len(wire):
        site.client >> wire[at : at + size]
        at, size = at + size, size * 2 + 1
    assert (site.origin << b"POST /").body == content
