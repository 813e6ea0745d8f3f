"""Responses on their way to the client: framing, informational ones, trailers, streams, interception."""

from __future__ import annotations

import pytest

from tests.kit.messages import get, head, ok, post
from tests.kit.site import Served, serve


def _asked(**keys: object) -> Served:
    site = serve(**keys)  # type: ignore[arg-type]
    site.client >> get()
    site.origin << b"GET /"
    return site


def test_chunked_to_chunked() -> None:
    """Decoded and framed anew, passed on as it comes."""
    site = _asked()
    site.origin >> head("Transfer-Encoding: chunked")
    assert site.client.raw().endswith(b"transfer-encoding: chunked\r\n\r\n")
    site.origin >> b"3;x=y\r\nabc\r\n"
    assert site.client.raw() == b"3\r\nabc\r\n"
    site.origin >> b"00\r\n\r\n"
    assert site.client.raw() == b"0\r\n\r\n"
    assert site.client.open
    assert site.last.sent == 3


def test_many_small_chunks_are_one_write() -> None:
    """An origin that sends a chunk for every byte does not make a system call of each."""
    site = _asked()
    site.origin >> head("Transfer-Encoding: chunked") + b"1\r\nx\r\n"
    before = len(site.client.transport.written)
    site.origin >> b"1\r\nx\r\n" * 5000
    assert len(site.client.transport.written) == before + 1
    site.origin >> b"0\r\n\r\n"
    assert (site.client << b"HTTP/1.1 200").body == b"x" * 5001


def test_until_close_to_chunked() -> None:
    """A body that ends with the origin's connection reaches the client in chunks, whose connection lives on."""
    site = _asked()
    site.origin >> head("Content-Type: text/plain") + b"abc"
    site.origin >> b"def"
    site.origin.fin()
    answer = site.client << b"HTTP/1.1 200"
    assert answer.body == b"abcdef"
    assert answer.get(b"transfer-encoding") == b"chunked"
    assert site.client.open


def test_a_known_length_stays_known() -> None:
    """Content-Length is passed on, and pieces as they come."""
    site = _asked()
    site.origin >> head("Content-Length: 6") + b"ab"
    site.origin >> b"cd"
    assert site.client.raw().endswith(b"content-length: 6\r\n\r\nabcd")
    site.origin >> b"ef"
    assert site.client.raw() == b"ef"
    assert site.last.sent == 6


def test_trailers_are_passed_when_allowed() -> None:
    """Those that a recipient could mistake for the head's are dropped."""
    site = _asked()
    forbidden = (
        b"Content-Length: 1\r\nSet-Cookie: a=b\r\nTransfer-Encoding: x\r\nStrict-Transport-Security: max-age=0\r\n"
    )
    site.origin >> head("Transfer-Encoding: chunked") + b"1\r\na\r\n0\r\n" + forbidden + b"Checksum: abc\r\n\r\n"
    assert (site.client << b"HTTP/1.1 200").trailers == ((b"checksum", b"abc"),)


def test_trailers_of_a_stream() -> None:
    """The same where the end comes later than the head."""
    site = _asked()
    site.origin >> head("Transfer-Encoding: chunked") + b"1\r\na\r\n"
    site.origin >> b"0\r\nSet-Cookie: a=b\r\nServer-Timing: x\r\n\r\n"
    assert (site.client << b"HTTP/1.1 200").trailers == ((b"server-timing", b"x"),)


@pytest.mark.parametrize("how", ["at once", "streamed", "buffered"])
def test_what_is_removed_from_the_head_is_no_trailer(how: str) -> None:
    """What the route removes, sets by a constant or by a variable, or Connection names: it cannot come in behind."""
    edits = {"remove": ["X-Runtime"], "set": {"X-Site": "ours", "X-Seen": "${host}"}}
    site = serve(
        response_headers=edits, security_headers={"preset": "default"}, buffering={"response": how == "buffered"}
    )
    site.client >> get()
    site.origin << b"GET /"
    lines = "X-Runtime: 1\r\nX-Site: theirs\r\nX-Seen: no\r\nX-Hop: 1\r\nServer: s\r\nX-Powered-By: p\r\nChecksum: abc"
    whole = head("Transfer-Encoding: chunked", "Connection: X-Hop") + b"1\r\na\r\n"
    end = b"0\r\n" + lines.encode() + b"\r\n\r\n"
    if how == "at once":
        site.origin >> whole + end
    else:
        site.origin >> whole
        site.origin >> end
    answer = site.client << b"HTTP/1.1 200"
    assert answer.trailers == ((b"checksum", b"abc"),)
    assert (answer.get(b"x-site"), answer.get(b"x-seen")) == (b"ours", b"h")


def test_early_hints_are_passed_on() -> None:
    """RFC 8297: 103 goes to the client at once, the final answer behind it."""
    site = _asked()
    site.origin >> head("Link: </a.css>; rel=preload", status="103 Early Hints")
    hints = site.client << b"HTTP/1.1 103 Early Hints\r\n"
    assert hints.get(b"link") == b"</a.css>; rel=preload"
    assert hints.get(b"content-length") is None
    site.origin >> head(status="102 Processing") + ok("hi")
    site.client << b"HTTP/1.1 102 Processing\r\n"
    assert (site.client << b"HTTP/1.1 200").body == b"hi"


def test_the_origins_continue_is_not_passed_on() -> None:
    """100 is ours to say: the body has been asked for already."""
    site = serve()
    site.client >> post("abc")
    site.origin << b"POST /"
    site.origin >> head(status="100 Continue") + ok("hi")
    assert (site.client << b"HTTP/1.1 200").body == b"hi"


def test_no_informational_answers_for_http10() -> None:
    """RFC 9110 §15.2: an HTTP/1.0 client does not know them."""
    site = serve()
    site.client >> b"GET / HTTP/1.0\r\n\r\n"
    site.origin << b"GET /"
    site.origin >> head(status="103 Early Hints") + ok("hi")
    assert (site.client << b"HTTP/1.1 200").body == b"hi"


def test_event_streams_pass_unbuffered() -> None:
    """Each event leaves as it comes, where responses are buffered too."""
    site = _asked(buffering={"response": True})
    site.origin >> head("Content-Type: text/event-stream")
    site.client.raw()
    for event in (b"data: 1\n\n", b"data: 2\n\n"):
        site.origin >> event
        assert event in site.client.raw()


def test_intercepted_statuses() -> None:
    """The origin's page is replaced by ours; its connection is kept if the page was whole."""
    site = _asked(intercept=[502, 503])
    site.origin >> ok("the origin's stack trace", "X-Secret: 1", status="503 Service Unavailable")
    answer = site.client << b"HTTP/1.1 503"
    assert b"stack trace" not in answer.raw
    assert answer.get(b"x-secret") is None
    assert site.client.open
    site.client >> get("/next")
    site.origin << b"GET /next"
    assert site.origin.connections == 1


def test_an_intercepted_page_is_not_waited_for() -> None:
    """Where it has not come whole, the origin's connection is given up."""
    site = _asked(intercept=[500])
    site.origin >> head("Content-Length: 1000000", status="500 Internal Server Error") + b"x"
    site.client << b"HTTP/1.1 500"
    assert site.origin.is_cut
    site.client >> get("/next")
    site.origin << b"GET /next"


def test_other_statuses_are_not_intercepted() -> None:
    """What is not listed passes."""
    site = _asked(intercept=[502])
    site.origin >> ok("mine", status="500 Internal Server Error")
    assert (site.client << b"HTTP/1.1 500").body == b"mine"


@pytest.mark.parametrize("status", ["200 OK", "299 Odd", "404 ", "599 X"])
def test_statuses_pass(status: str) -> None:
    """The number is passed on, known or not, with or without a reason."""
    site = _asked()
    site.origin >> ok("x", status=status)
    assert (site.client << b"HTTP/1.1 %b " % status[:3].encode()).body == b"x"


def test_date_is_added_only_where_it_is_missing() -> None:
    """RFC 9110 §6.6.1: a recipient with a clock adds it; the origin's own stays."""
    site = _asked()
    site.origin >> ok()
    assert (site.client << b"HTTP/1.1 200").get(b"date") is not None
    site.client >> get()
    site.origin << b"GET /"
    site.origin >> ok("", "Date: Tue, 15 Nov 1994 08:12:31 GMT")
    assert (site.client << b"HTTP/1.1 200").get(b"date") == b"Tue, 15 Nov 1994 08:12:31 GMT"


def test_http10_origin() -> None:
    """An HTTP/1.0 answer is read to the end of its connection, which is not used again."""
    site = _asked()
    site.origin >> b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi"
    assert (site.client << b"HTTP/1.1 200").body == b"hi"
    site.client >> get()
    site.origin << b"GET /"
    assert site.origin.connections == 2


def test_request_ids() -> None:
    """Made here, the same for the origin, the client and the log."""
    site = serve()
    site.client >> get("/", "X-Request-ID: forged")
    made = (site.origin << b"GET /").get(b"x-request-id")
    assert made is not None
    assert made != b"forged"
    site.origin >> ok()
    assert (site.client << b"HTTP/1.1 200").get(b"x-request-id") == made
    assert made in site.log[0]
