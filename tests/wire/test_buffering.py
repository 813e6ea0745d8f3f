"""`buffering`: a body is taken in whole, in memory and then in a file, so that the slow side holds nobody."""

from __future__ import annotations

from pathlib import Path

from tests.kit.messages import chunked, get, head, ok, post
from tests.kit.site import Served, serve

HEAD = b"POST / HTTP/1.1\r\nHost: h\r\n"


def _asked(**buffering: object) -> Served:
    site = serve(buffering=buffering, body_limit="unlimited")
    site.client >> get()
    site.origin << b"GET /"
    return site


def test_a_request_waits_until_it_is_whole() -> None:
    """The origin hears nothing before the last byte, and then all with a length."""
    site = serve(buffering={"request": True})
    site.client >> HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
    assert site.origin.connections == 0
    site.client >> b"2\r\nde\r\n0\r\nX-T: 1\r\n\r\n"
    asked = site.origin << b"POST /"
    assert (asked.body, asked.get(b"content-length"), asked.get(b"transfer-encoding")) == (b"abcde", b"5", None)
    site.origin >> ok("hi")
    assert (site.client << b"HTTP/1.1 200").body == b"hi"


def test_an_empty_buffered_request() -> None:
    """A chunked body of nothing has the length 0."""
    site = serve(buffering={"request": True})
    site.client >> chunked()
    assert (site.origin << b"POST /").get(b"content-length") == b"0"


def test_a_large_request_goes_through_a_file(tmp_path: Path) -> None:
    """Beyond the memory that was given it spills, and arrives byte for byte."""
    site = serve(buffering={"request": "10 KiB", "folder": str(tmp_path)}, body_limit="unlimited")
    content = bytes(range(256)) * 2000
    wire = post(content)
    for at in range(0, len(wire), 50_000):
        assert site.origin.connections == 0
        site.client >> wire[at : at + 50_000]
    assert (site.origin << b"POST /").body == content
    assert list(tmp_path.iterdir()) == []


def test_a_buffered_request_and_a_slow_origin(tmp_path: Path) -> None:
    """What the origin does not take stays in the file."""
    site = serve(buffering={"request": "10 KiB", "folder": str(tmp_path)}, body_limit="unlimited")
    content = bytes(range(256)) * 4000
    site.origin.dial.hold = True
    site.client >> post(content)
    site.origin.dial.answer()
    site.origin.transport.clog()
    assert (site.origin << b"POST /").body == content


def test_a_buffered_request_beyond_its_limit() -> None:
    """413, and the origin hears nothing."""
    site = serve(buffering={"request": True}, body_limit=4)
    site.client >> HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
    site.client >> b"2\r\nde\r\n"
    site.client << b"HTTP/1.1 413"
    assert site.client.closed
    assert site.origin.connections == 0


def test_a_buffered_request_that_ends_too_soon() -> None:
    """The client goes away in the middle: nothing reaches the origin, and nothing is left."""
    site = serve(buffering={"request": True})
    site.client >> HEAD + b"Content-Length: 10\r\n\r\nabc"
    site.client.fin()
    assert site.origin.connections == 0
    assert site.cause == "client_gone"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """A body that cannot be spooled costs a 500, not the worker; the connection ends."""
    site = serve(buffering={"request": "1 KiB", "folder": str(tmp_path / "gone")}, body_limit="unlimited")
    site.client >> post(b"x" * 5000)
    site.client << b"HTTP/1.1 500"
    assert site.origin.connections == 0


def test_a_slow_client_does_not_hold_the_origin() -> None:
    """The origin's connection is free as soon as its body has been taken, while the client has hardly begun."""
    site = _asked(response=True)
    site.client.stall()
    body = bytes(range(256)) * 1000
    site.origin >> head(f"Content-Length: {len(body)}")
    for at in range(0, len(body), 32_000):
        assert site.origin.is_read
        site.origin >> body[at : at + 32_000]
    other = site.connect()
    other >> get("/other")
    site.origin << b"GET /other"
    assert site.origin.connections == 1
    assert not site.finished
    site.client.read_on()
    assert (site.client << b"HTTP/1.1 200").body == body
    assert site.client.open


def test_a_large_response_goes_through_a_file(tmp_path: Path) -> None:
    """Beyond the memory that was given it spills, and arrives byte for byte, at the client's pace."""
    site = _asked(response="10 KiB", folder=str(tmp_path))
    site.client.stall()
    body = bytes(range(256)) * 4000
    site.origin >> head("Transfer-Encoding: chunked")
    for at in range(0, len(body), 64_000):
        piece = body[at : at + 64_000]
        site.origin >> b"%x\r\n%b\r\n" % (len(piece), piece)
    site.origin >> b"0\r\nChecksum: 1\r\n\r\n"
    for _ in range(20):
        site.client.read_on()
        site.client.stall()
    site.client.read_on()
    answer = site.client << b"HTTP/1.1 200"
    assert answer.body == body
    assert answer.trailers == ((b"checksum", b"1"),)
    assert list(tmp_path.iterdir()) == []


def test_a_buffered_response_that_breaks_off() -> None:
    """The client sees it broken, not short."""
    site = _asked(response=True)
    site.origin >> head("Content-Length: 100") + b"abc"
    site.origin.fin()
    assert site.client.aborted
    assert site.cause == "response_incomplete"


def test_the_client_goes_while_the_spool_drains() -> None:
    """Nothing is left of the exchange, and the origin's connection serves the next."""
    site = _asked(response=True)
    site.client.stall()
    site.origin >> head("Content-Length: 200000")
    site.origin >> b"x" * 200_000
    site.client.reset()
    assert site.cause == "client_gone"
    other = site.connect()
    other >> get("/other")
    site.origin << b"GET /other"
    assert site.origin.connections == 1
