"""Another attempt: exactly where the table of causes allows it, and never a POST twice."""

from __future__ import annotations

import pytest

from tests.kit.messages import get, head, ok, post
from tests.kit.site import serve, warm

IDEMPOTENT = [b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS"]


def _bodiless(method: bytes) -> bytes:
    return method + b" /a HTTP/1.1\r\nHost: h\r\n\r\n"


def test_refused_at_one_endpoint() -> None:
    """Nothing was sent, so any request goes to another endpoint."""
    site = serve(endpoints=2)
    site.origins[0].refusals = site.origins[1].refusals = 1
    site.client >> post("abc")
    assert site.origins[0].is_silent
    assert site.origins[1].is_silent
    site.client << b"HTTP/1.1 502"
    assert site.last.attempts == 2


@pytest.mark.parametrize("refusing", [0, 1])
def test_refused_and_served_by_the_other(refusing: int) -> None:
    """A POST too: not one byte of it was written."""
    site = serve(endpoints=2)
    site.origins[refusing].refusals = 10
    for _ in range(2):
        site.client >> post("abc")
        assert (site.origins[1 - refusing] << b"POST /").body == b"abc"
        site.origins[1 - refusing] >> ok()
        site.client << b"HTTP/1.1 200"


def test_refused_where_there_is_no_other() -> None:
    """One endpoint: asked again after a pause, then 502, with the cause in the log."""
    site = serve()
    site.origin.refusals = 2
    site.client >> get()
    assert site.client.is_silent
    site.later(0.5)
    site.client << b"HTTP/1.1 502"
    assert (site.cause, site.last.attempts) == ("connect_refused", 2)


@pytest.mark.parametrize("method", IDEMPOTENT)
def test_a_stale_connection(method: bytes) -> None:
    """An origin that closes its idle connection just as a request comes is asked once more."""
    site = warm()
    site.client >> _bodiless(method)
    assert site.origin << method
    site.origin.fin()
    site.origin << method
    assert site.origin.connections == 2
    site.origin >> head("Content-Length: 0")
    assert site.client.answer(method) is not None
    assert (site.cause, site.last.attempts) == ("", 2)


@pytest.mark.parametrize("method", [b"POST", b"PATCH", b"LOCK"])
def test_never_twice(method: bytes) -> None:
    """What is not idempotent is answered 502 once a byte of it was written."""
    site = warm()
    site.client >> _bodiless(method)
    site.origin << method
    site.origin.fin()
    site.client << b"HTTP/1.1 502"
    assert (site.cause, site.last.attempts) == ("closed_before_head", 1)
    assert site.origin.connections == 1


@pytest.mark.parametrize("content", ["", "abc", "x" * 100_000])
def test_a_post_is_never_sent_twice(content: str) -> None:
    """With any body, whole or not, and to any endpoint."""
    site = serve(endpoints=2)
    site.client >> post(content)
    first = next(origin for origin in site.origins if not origin.is_silent)
    first << b"POST /"
    first.reset()
    site.client << b"HTTP/1.1 502"
    assert all(origin.is_silent for origin in site.origins)


def test_an_idempotent_request_with_its_body() -> None:
    """A PUT whose body is still held whole is sent again, byte for byte."""
    site = warm()
    site.client >> post("hello", method="PUT")
    assert (site.origin << b"PUT /").body == b"hello"
    site.origin.fin()
    assert (site.origin << b"PUT /").body == b"hello"
    site.origin >> ok()
    site.client << b"HTTP/1.1 200"


def test_a_chunked_body_is_sent_again_with_its_trailers() -> None:
    """The same framing, the same pieces, the same end."""
    site = warm()
    site.client >> b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX-T: 1\r\n\r\n"
    first = site.origin << b"PUT /"
    site.origin.fin()
    again = site.origin << b"PUT /"
    assert (again.body, again.trailers) == (first.body, first.trailers) == (b"ab", ((b"x-t", b"1"),))


def test_a_body_that_goes_on_during_the_second_attempt() -> None:
    """What had come is sent again, and what comes now follows it."""
    site = warm()
    site.client >> b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nab"
    site.origin.raw()
    site.client >> b"cd"
    site.origin.fin()
    site.client >> b"ef"
    assert (site.origin << b"PUT /").body == b"abcdef"


def test_a_body_that_is_not_held_any_more() -> None:
    """More than 64 KiB are not kept: 502."""
    site = warm(body_limit="unlimited")
    site.client >> post(b"x" * 100_000, method="PUT")
    site.origin << b"PUT /"
    site.origin.fin()
    site.client << b"HTTP/1.1 502"
    assert site.origin.is_silent


def test_a_body_waits_between_two_attempts() -> None:
    """While the second connection is made nothing is read, for what is held must stay whole."""
    site = warm(body_limit="unlimited")
    site.client >> b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 160002\r\n\r\nab"
    site.origin.raw()
    site.origin.dial.hold = True
    site.origin.fin()
    assert not site.client.is_read
    for _ in range(10):
        site.client >> b"x" * 16_000
    site.origin.dial.answer()
    assert (site.origin << b"PUT /").body == b"ab" + b"x" * 160_000
    site.origin >> ok()
    site.client << b"HTTP/1.1 200"


def test_a_body_that_waits_for_an_attempt_that_fails() -> None:
    """The client is read again, and gets its answer and its next request served."""
    site = warm(body_limit="unlimited")
    site.client >> b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nab"
    site.origin.raw()
    site.origin.refusals = 2
    site.origin.fin()
    site.later(0.5)
    site.client << b"HTTP/1.1 502"
    site.client >> b"cdef" + get("/next")
    site.origin << b"GET /next"


def test_a_client_that_was_paused_reads_on_at_the_second_attempt() -> None:
    """An origin that stopped reading and then closed does not leave the client's body stuck."""
    site = warm()
    site.origin.transport.clog()
    fields = b"".join(b"X-%d: %b\r\n" % (at, b"y" * 8000) for at in range(3))
    site.client >> b"PUT / HTTP/1.1\r\nHost: h\r\n%bContent-Length: 60001\r\n\r\n" % fields
    site.client >> b"x" * 60_000
    assert not site.client.is_read
    site.origin.raw()
    site.origin.fin()
    assert site.client.is_read
    site.client >> b"x"
    assert (site.origin << b"PUT /").body == b"x" * 60_001


def test_only_once() -> None:
    """Two failures are the end of it."""
    site = warm()
    site.client >> get()
    for _ in range(2):
        site.origin << b"GET /"
        site.origin.fin()
    site.client << b"HTTP/1.1 502"
    assert site.last.attempts == 2


@pytest.mark.parametrize("begun", [b"H", b"HTTP/1.1 200 OK\r\n", head("Link: </a>", status="103 Early Hints")])
def test_no_second_attempt_once_a_byte_has_come(begun: bytes) -> None:
    """A response that had begun is not asked for again, whether it breaks off or never goes on."""
    for stalls in (False, True):
        site = warm(timeouts={"head": "5s"})
        site.client >> get()
        site.origin << b"GET /"
        site.origin >> begun
        if stalls:
            site.later(6)
        else:
            site.origin.fin()
        assert site.last.attempts == 1
        assert site.origin.is_silent
        if b"103" in begun:
            site.client << b"HTTP/1.1 103"
        site.client << (b"HTTP/1.1 504" if stalls else b"HTTP/1.1 502")


def test_head_timeout_of_an_idempotent_request() -> None:
    """Asked once more, then 504."""
    site = serve(timeouts={"head": "5s"})
    site.client >> get()
    site.origin << b"GET /"
    site.later(6)
    site.origin << b"GET /"
    site.later(6)
    site.client << b"HTTP/1.1 504"
    assert (site.cause, site.last.attempts) == ("head_timeout", 2)


def test_one_that_hangs_is_not_asked_again_where_there_is_another() -> None:
    """The second attempt goes elsewhere, and at once."""
    site = serve(endpoints=2, timeouts={"head": "5s"})
    site.client >> get()
    first = next(origin for origin in site.origins if not origin.is_silent)
    other = next(origin for origin in site.origins if origin is not first)
    first << b"GET /"
    site.later(5)
    other << b"GET /"


def test_head_timeout_of_a_post() -> None:
    """504 at once."""
    site = serve(timeouts={"head": "5s"})
    site.client >> post("abc")
    site.origin << b"POST /"
    site.later(6)
    site.client << b"HTTP/1.1 504"
    assert site.origin.is_silent


@pytest.mark.parametrize("garbage", [b"garbage\r\n\r\n", b"HTTP/2.0 200 OK\r\n\r\n"])
def test_a_bad_response_is_not_asked_for_again(garbage: bytes) -> None:
    """An origin that speaks something else will do so again."""
    site = serve(endpoints=2)
    site.client >> get()
    asked = next(origin for origin in site.origins if not origin.is_silent)
    asked << b"GET /"
    asked >> garbage
    site.client << b"HTTP/1.1 502"
    assert (site.cause, site.last.attempts) == ("bad_response", 1)


def test_turns_are_taken_also_without_idle_connections() -> None:
    """Round robin is fair whether or not there is a connection to take: one request, one turn."""
    site = serve(endpoints=2)
    served = []
    for _ in range(4):
        site.client >> get()
        origin = next(origin for origin in site.origins if not origin.is_silent)
        served.append(origin.name)
        origin << b"GET /"
        origin >> ok()
        site.client << b"HTTP/1.1 200"
    assert served == [served[0], served[1]] * 2
    assert served[0] != served[1]


def test_a_stale_connection_is_followed_by_a_new_one() -> None:
    """The others have been idle for as long, and may be as dead: none of them is taken."""
    site = serve()
    clients = [site.connect() for _ in range(3)]
    for client in clients:
        client >> get("/warm")
    for _ in clients:
        site.origin << b"GET /warm"
        site.origin >> ok()
    assert site.origin.connections == 3
    site.client >> get()
    site.origin << b"GET /"
    site.origin.fin()
    site.origin << b"GET /"
    assert site.origin.connections == 4
    site.origin >> ok()
    site.client << b"HTTP/1.1 200"


def test_a_stale_connection_to_an_endpoint_that_has_gone() -> None:
    """The endpoint is asked over a new connection; as it refuses, another one is asked: nothing more was sent."""
    site = serve(endpoints=2, app={"balance": "first"})
    site.client >> get("/warm")
    site.origin << b"GET /warm"
    site.origin >> ok()
    site.client << b"HTTP/1.1 200"
    site.client >> get()
    site.origin << b"GET /"
    site.origin.refusals = 1
    site.origin.fin()
    site.origins[1] << b"GET /"
    site.origins[1] >> ok()
    site.client << b"HTTP/1.1 200"
    assert site.last.attempts == 3


def test_a_full_pool() -> None:
    """Who waits too long for a connection is answered 503; nobody is asked twice."""
    site = serve(app={"pool": {"max_open": 1, "queue": 1, "queue_timeout": "2s"}})
    first, second, third = site.client, site.connect(), site.connect()
    first >> get("/1")
    second >> post("x")
    third >> get("/3")
    third << b"HTTP/1.1 503"
    assert site.cause == "pool_exhausted"
    site.later(3)
    second << b"HTTP/1.1 503"
    site.origin << b"GET /1"
    site.origin >> ok()
    first << b"HTTP/1.1 200"
