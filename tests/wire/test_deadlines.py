"""Everything that can be late, on a fake clock, by the one sweep."""

from __future__ import annotations

import pytest

from tests.kit.messages import get, head, ok
from tests.kit.site import serve

POST = b"POST / HTTP/1.1\r\nHost: h\r\n"


def test_a_connection_that_says_nothing() -> None:
    """Is closed after the head timeout, without an answer to a question nobody asked."""
    site = serve(downstream={"head_timeout": "10s"})
    assert site.client.open
    site.later(9)
    assert site.client.open
    site.later(2)
    assert site.client.closed
    assert site.client.is_silent


def test_a_head_that_drips() -> None:
    """408 ten seconds after the connection began, however regularly bytes come."""
    site = serve()
    wire = get("/", "X-Filler: " + "x" * 1000)
    for at in range(22):
        site.client >> wire[at : at + 1]
        site.later(0.5)
    assert (site.client << b"HTTP/1.1 408").get(b"connection") == b"close"
    assert site.cause == "request_timeout"
    assert site.origin.connections == 0


def test_a_later_head_that_drips() -> None:
    """The second head has its own ten seconds, from its first byte."""
    site = serve(routes=[{"respond": 204}])
    site.client >> get()
    site.client << b"HTTP/1.1 204"
    site.later(40)
    site.client >> b"GET"
    site.later(9)
    assert site.client.is_silent
    site.client >> b" /"
    site.later(2)
    site.client << b"HTTP/1.1 408"


def test_a_head_behind_another_in_one_read() -> None:
    """The deadline of a head of which only the beginning came counts from then."""
    site = serve(routes=[{"respond": 204}])
    site.client >> get() + b"GET / HT"
    site.client << b"HTTP/1.1 204"
    site.later(11)
    site.client << b"HTTP/1.1 408"


def test_an_idle_connection() -> None:
    """Is closed after 75 seconds, without a word."""
    site = serve(routes=[{"respond": 204}])
    site.client >> get()
    site.client << b"HTTP/1.1 204"
    site.later(74)
    assert site.client.open
    site.later(2)
    assert site.client.closed
    assert site.client.is_silent


def test_an_empty_line_is_no_request() -> None:
    """A stray CRLF on an idle connection does not earn a 408."""
    site = serve(routes=[{"respond": 204}])
    site.client >> get() + b"\r\n"
    site.client << b"HTTP/1.1 204"
    site.later(80)
    assert site.client.closed
    assert site.client.is_silent


def test_a_body_that_stalls() -> None:
    """408 after 30 seconds without a byte, and the origin is told nothing is coming."""
    site = serve(downstream={"min_body_rate": 0})
    site.client >> POST + b"Content-Length: 100\r\n\r\nabc"
    site.origin.raw()
    site.later(29)
    assert site.client.is_silent
    site.later(3)
    site.client << b"HTTP/1.1 408"
    assert site.client.closed
    assert site.origin.is_cut
    assert site.cause == "request_timeout"


def test_a_body_that_drips() -> None:
    """Less than 500 bytes a second are too few after ten seconds, however regularly they come."""
    site = serve()
    site.client >> POST + b"Content-Length: 100000\r\n\r\n"
    for _ in range(24):
        assert site.client.is_silent
        site.client >> b"x" * 200
        site.later(0.5)
        if site.client.closed:
            break
    site.client << b"HTTP/1.1 408"
    assert site.clock() <= 1012


def test_a_chunked_body_that_drips() -> None:
    """The same in chunks: what counts is what the chunks hold."""
    site = serve()
    site.client >> POST + b"Transfer-Encoding: chunked\r\n\r\n"
    for _ in range(24):
        site.client >> b"1;extension=%b\r\nx\r\n" % (b"y" * 200)
        site.later(0.5)
        if site.client.closed:
            break
    site.client << b"HTTP/1.1 408"
    assert site.clock() <= 1012


def test_a_body_that_is_slow_but_fast_enough() -> None:
    """500 bytes a second may go on for ever."""
    site = serve()
    site.client >> POST + b"Content-Length: 100000\r\n\r\n"
    for _ in range(100):
        site.client >> b"x" * 260
        site.later(0.5)
    assert site.client.is_silent
    assert site.client.open


def test_a_body_that_starts_fast_and_then_drips() -> None:
    """The rate is that of the whole: what came fast pays for what comes slowly, for a while."""
    site = serve()
    site.client >> POST + b"Content-Length: 100000\r\n\r\n" + b"x" * 10_000
    for _ in range(80):
        site.client >> b"x"
        site.later(0.5)
        if site.client.closed:
            break
    site.client << b"HTTP/1.1 408"
    assert 1019 <= site.clock() <= 1031


def test_a_slow_body_that_is_being_discarded() -> None:
    """The rest of a refused body must come as fast as any; it gets no second answer."""
    site = serve(routes=[{"respond": 204}, {"match": {"path": "/up"}, "upstream": "app"}])
    site.client >> POST + b"Content-Length: 10000\r\n\r\nabc"
    site.client << b"HTTP/1.1 204"
    for _ in range(24):
        site.client >> b"x"
        site.later(0.5)
    assert site.client.closed
    assert site.client.is_silent
    assert len(site.finished) == 1


def test_no_deadline_while_the_origin_thinks() -> None:
    """A client that has sent everything is not late, whatever the origin does."""
    site = serve(timeouts={"head": "10m"})
    site.client >> get()
    site.origin << b"GET /"
    site.later(500)
    assert site.client.open
    site.origin >> ok()
    site.client << b"HTTP/1.1 200"


def test_a_client_that_reads_nothing() -> None:
    """Is cut off a minute after it stopped; the log says why."""
    site = serve()
    site.client >> get()
    site.origin << b"GET /"
    site.client.stall()
    site.origin >> head("Content-Length: 1000000") + b"x" * 200_000
    site.later(59)
    assert not site.client.aborted
    site.later(2)
    assert site.client.aborted
    assert site.origin.is_cut
    assert site.cause == "client_stalled"


def test_a_client_that_reads_nothing_of_local_answers() -> None:
    """The same between two exchanges."""
    site = serve(routes=[{"respond": {"status": 200, "body": "x" * 10_000}}])
    site.client.stall()
    site.client >> get() * 100
    site.later(59)
    assert not site.client.aborted
    site.later(2)
    assert site.client.aborted


def test_the_end_of_an_answer_that_is_not_read() -> None:
    """A closing connection with unsent bytes is cut off when nothing moves."""
    site = serve(routes=[{"respond": {"status": 200, "body": "x" * 10_000}}], downstream={"write_timeout": "20s"})
    site.client.stall()
    site.client >> get("/", "Connection: close")
    site.later(15)
    assert not site.client.aborted
    site.later(10)
    assert site.client.aborted
    assert not site.wire.live


def test_lingering_is_bounded_in_time() -> None:
    """After an error the rest of the input is discarded for five seconds at the most."""
    site = serve()
    site.client >> b"garbage\r\n\r\n"
    site.client << b"HTTP/1.1 400"
    assert site.client.transport.ended
    for _ in range(4):
        assert not site.client.aborted
        site.client >> b"more"
        site.later(1)
    site.later(2)
    assert site.client.aborted
    assert not site.wire.live


def test_lingering_ends_with_the_client() -> None:
    """A client that has read the answer and closes ends it at once."""
    site = serve()
    site.client >> b"garbage\r\n\r\n"
    site.client.fin()
    site.client << b"HTTP/1.1 400"
    assert site.client.transport.closed
    assert not site.client.aborted
    assert not site.wire.live


def test_no_lingering_for_a_client_that_has_ended() -> None:
    """A refusal after the client's FIN has nothing to wait for."""
    site = serve(timeouts={"head": "5s"}, app={"retries": {"attempts": 0}})
    site.client >> get()
    site.client.fin()
    site.later(6)
    site.client << b"HTTP/1.1 504"
    assert site.client.transport.closed
    assert not site.wire.live


@pytest.mark.parametrize("seconds", [1, 30])
def test_a_deadline_that_another_expiry_has_moved(seconds: int) -> None:
    """Two that are late in the same sweep: what the first one mended is not broken by the second."""
    site = serve(
        timeouts={"head": f"{seconds}s"},
        downstream={"keepalive_timeout": f"{seconds}s"},
        app={"retries": {"attempts": 0}},
    )
    clients = [site.connect() for _ in range(20)]
    for client in clients:
        client >> get()
    site.later(seconds + 0.5)
    for client in clients:
        client << b"HTTP/1.1 504"
        assert client.open
