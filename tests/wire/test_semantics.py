"""What a gateway does with methods, targets, versions and hop-by-hop fields, seen from both ends."""

from __future__ import annotations

import pytest

from tests.kit.messages import get, head, ok, post
from tests.kit.site import serve


def _message(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def test_head_has_no_body() -> None:
    """The fields of a GET, its length included, and no byte more; the connection goes on."""
    site = serve()
    site.client >> _message("HEAD /a HTTP/1.1", "Host: h") + get("/b")
    site.origin << b"HEAD /a "
    site.origin >> head("Content-Length: 1000")
    answer = site.client.answer(b"HEAD")
    assert answer is not None
    assert answer.get(b"content-length") == b"1000"
    site.origin << b"GET /b "
    site.origin >> ok("b")
    assert (site.client << b"HTTP/1.1 200").body == b"b"


def test_head_answered_here() -> None:
    """A local reply to HEAD says the length of its body and does not send it."""
    site = serve(routes=[{"respond": {"status": 200, "body": "hello"}}])
    site.client >> _message("HEAD / HTTP/1.1", "Host: h") + get()
    answer = site.client.answer(b"HEAD")
    assert answer is not None
    assert answer.get(b"content-length") == b"5"
    assert (site.client << b"HTTP/1.1 200").body == b"hello"


def test_head_of_a_chunked_answer() -> None:
    """RFC 9110 §9.3.2: the coding that a GET would have had may be said; no chunk follows."""
    site = serve()
    site.client >> _message("HEAD / HTTP/1.1", "Host: h") + get()
    site.origin << b"HEAD /"
    site.origin >> head("Transfer-Encoding: chunked")
    assert site.client.answer(b"HEAD") is not None
    site.origin << b"GET /"
    site.origin >> ok("b")
    assert (site.client << b"HTTP/1.1 200").body == b"b"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_statuses_without_a_body(status: str) -> None:
    """204 and 304 end with their head, whatever the origin says of a length."""
    site = serve()
    site.client >> get()
    site.origin << b"GET /"
    site.origin >> head("Content-Length: 5", status=status)
    answer = site.client << b"HTTP/1.1 %b" % status.encode()
    assert answer.get(b"content-length") == (None if status.startswith("204") else b"5")
    site.client >> get("/b")
    site.origin << b"GET /b"


def test_http10_client() -> None:
    """One request, one answer, then the end; the origin is spoken to in 1.1."""
    site = serve()
    site.client >> _message("GET /a HTTP/1.0")
    asked = site.origin << b"GET /a HTTP/1.1\r\n"
    assert asked.all(b"via")[0].startswith(b"1.0 ")
    site.origin >> ok("hi")
    answer = site.client << b"HTTP/1.1 200"
    assert answer.get(b"connection") == b"close"
    assert site.client.closed


def test_http10_keep_alive() -> None:
    """An HTTP/1.0 client that asks for it keeps its connection, and is told so."""
    site = serve()
    for _ in range(2):
        site.client >> _message("GET / HTTP/1.0", "Connection: keep-alive")
        site.origin << b"GET /"
        site.origin >> ok("hi")
        assert (site.client << b"HTTP/1.1 200").get(b"connection") == b"keep-alive"
        assert site.client.open


def test_http10_client_gets_no_chunks() -> None:
    """A body of unknown length ends with the connection, even if the client would keep it."""
    site = serve()
    site.client >> _message("GET / HTTP/1.0", "Connection: keep-alive")
    site.origin << b"GET /"
    site.origin >> head("Transfer-Encoding: chunked") + b"2\r\nab\r\n1\r\nc\r\n0\r\nX-T: 1\r\n\r\n"
    answer = site.client << b"HTTP/1.1 200"
    assert answer.body == b"abc"
    assert answer.get(b"transfer-encoding") is None
    assert answer.get(b"connection") == b"close"
    assert site.client.closed


def test_hop_by_hop_fields_end_here() -> None:
    """Neither the fixed ones nor what Connection names reach the other side, in both directions."""
    site = serve()
    fields = [
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "TE: trailers",
        "Proxy-Authorization: Basic eA==",
    ]
    site.client >> get("/", "Connection: keep-alive, X-Secret", "X-Secret: 1", "X-Kept: 2", *fields)
    asked = site.origin << b"GET /"
    assert asked.get(b"x-kept") == b"2"
    names = {name for name, _value in asked.fields}
    assert not names & {b"connection", b"x-secret", b"keep-alive", b"proxy-connection", b"te", b"proxy-authorization"}
    site.origin >> ok("", "Connection: keep-alive, X-Inner", "X-Inner: 1", "X-Kept: 2", "Keep-Alive: timeout=9")
    answer = site.client << b"HTTP/1.1 200"
    assert answer.get(b"x-kept") == b"2"
    assert not {name for name, _value in answer.fields} & {b"connection", b"x-inner", b"keep-alive"}


@pytest.mark.parametrize("last", ["close", "keep-alive", "Upgrade"])
def test_what_the_first_of_two_connection_fields_names(last: str) -> None:
    """A second Connection field does not hide what the first one names."""
    site = serve()
    site.client >> get("/", "Connection: X-Secret", f"Connection: {last}", "X-Secret: 1")
    assert (site.origin << b"GET /").all(b"x-secret") == []
    site.origin >> ok("", "Connection: X-Inner", f"Connection: {last}", "X-Inner: 1")
    assert (site.client << b"HTTP/1.1 200").all(b"x-inner") == []


def test_fields_with_underscores_are_dropped() -> None:
    """Behind WSGI they could not be told from those with hyphens that the gateway writes."""
    site = serve()
    site.client >> get("/", "X_Forwarded_For: 203.0.113.1", "X_A: 1", "X-B: 2")
    asked = site.origin << b"GET /"
    assert b"_" not in b"".join(name for name, _value in asked.fields)
    assert asked.get(b"x-b") == b"2"


@pytest.mark.parametrize(("policy", "passes"), [("keep", True), ("reject", False)])
def test_underscores_by_option(policy: str, *, passes: bool) -> None:
    """The operator may keep them, or refuse the request."""
    site = serve(downstream={"underscores": policy})
    site.client >> get("/", "X_A: 1")
    if passes:
        assert (site.origin << b"GET /").get(b"x_a") == b"1"
    else:
        site.client << b"HTTP/1.1 400"
        assert site.origin.is_silent


def test_via_in_both_directions() -> None:
    """RFC 9110 §7.6.3: each hop adds itself behind those before."""
    site = serve(forwarded={"via": "edge-1"})
    site.client >> get("/", "Via: 1.1 other")
    assert (site.origin << b"GET /").get(b"via") == b"1.1 other, 1.1 edge-1"
    site.origin >> ok("", "Via: 1.1 inner")
    assert (site.client << b"HTTP/1.1 200").get(b"via") == b"1.1 inner, 1.1 edge-1"


def test_a_loop_is_broken() -> None:
    """A request that has come through here twice already is answered 508 and not sent again."""
    site = serve(forwarded={"via": "edge-1"})
    site.client >> get("/", "Via: 1.1 edge-1, 1.1 edge-1")
    site.client << b"HTTP/1.1 508"
    assert site.origin.is_silent


@pytest.mark.parametrize(
    ("policy", "host"),
    [("preserve", b"shop.example:8080"), ("endpoint", b"127.0.0.1:3000"), ("inner.app", b"inner.app")],
)
def test_host_by_policy(policy: str, host: bytes) -> None:
    """The client's Host is preserved, or the endpoint's or a literal put in its place."""
    site = serve(app={"host": policy})
    site.client >> get(host="shop.example:8080")
    assert (site.origin << b"GET /").get(b"host") == host


def test_a_route_decides_about_host() -> None:
    """A route's own policy goes before the upstream's."""
    site = serve(app={"host": "endpoint"}, routes=[{"upstream": "app", "host": "preserve"}])
    site.client >> get(host="shop.example")
    assert (site.origin << b"GET /").get(b"host") == b"shop.example"


@pytest.mark.parametrize(
    ("target", "host", "forwarded"),
    [
        ("http://h/x?y", "h", b"/x?y"),
        ("HTTP://H/x", "h", b"/x"),
        ("http://h?y", "h", b"/?y"),
        ("http://h", "h", b"/"),
        ("http://h:81/a/../b", "h:81", b"/b"),
    ],
)
def test_absolute_form(target: str, host: str, forwarded: bytes) -> None:
    """RFC 9112 §3.2.2: taken, and sent on in origin-form."""
    site = serve()
    site.client >> get(target, host=host)
    site.origin << b"GET %b HTTP/1.1\r\nhost: %b\r\n" % (forwarded, host.encode())


def test_absolute_form_that_names_another_host() -> None:
    """Host and target must agree."""
    site = serve()
    site.client >> get("http://other/", host="h")
    site.client << b"HTTP/1.1 400"
    assert site.client.closed
    assert site.origin.is_silent


def test_options_asterisk() -> None:
    """Goes where `/` goes, as the asterisk form."""
    site = serve()
    site.client >> _message("OPTIONS * HTTP/1.1", "Host: h")
    site.origin << b"OPTIONS * HTTP/1.1\r\n"


def test_max_forwards() -> None:
    """RFC 9110 §7.6.2: counted down on OPTIONS, and answered here at zero."""
    site = serve()
    site.client >> _message("OPTIONS / HTTP/1.1", "Host: h", "Max-Forwards: 3")
    assert (site.origin << b"OPTIONS /").get(b"max-forwards") == b"2"
    site.origin >> ok()
    site.client << b"HTTP/1.1 200"
    site.client >> _message("OPTIONS * HTTP/1.1", "Host: h", "Max-Forwards: 0")
    assert b"GET" in ((site.client << b"HTTP/1.1 200").get(b"allow") or b"")
    assert site.origin.is_silent


@pytest.mark.parametrize("line", ["TRACE / HTTP/1.1", "CONNECT h:443 HTTP/1.1"])
def test_methods_that_are_refused(line: str) -> None:
    """TRACE shows what was added on the way; CONNECT would make an open proxy of us."""
    site = serve()
    site.client >> _message(line, "Host: h")
    site.client << b"HTTP/1.1 405"
    assert site.origin.is_silent


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (_message("frob / HTTP/1.1", "Host: h"), b"501"),
        (_message("GET / HTTP/2.0", "Host: h"), b"505"),
        (_message("GET / HTTP/1.1"), b"400"),
        (_message("GET /" + "a" * 9000 + " HTTP/1.1", "Host: h"), b"414"),
        (_message("GET / HTTP/1.1", "Host: h", "X: " + "a" * 17_000), b"431"),
        (_message("GET / HTTP/1.1", "Host: h", *["X: a"] * 100), b"431"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"a" * 40_000, b"431"),
        (b"GET /" + b"a" * 40_000, b"414"),
        (post("x", "Expect: miracles"), b"417"),
        (post("x", "Transfer-Encoding: gzip, chunked").replace(b"Content-Length: 1\r\n", b""), b"501"),
        (get("/", "Content-Length: 1", "Transfer-Encoding: chunked"), b"400"),
    ],
)
def test_refused_heads(wire: bytes, status: bytes) -> None:
    """Each is answered with the status it deserves and a close, and never forwarded."""
    site = serve()
    site.client >> wire
    answer = site.client << b"HTTP/1.1 " + status
    assert answer.get(b"connection") == b"close"
    assert site.client.closed
    assert site.origin.connections == 0


def test_paths_are_normalised_once_for_all() -> None:
    """What is matched is what is forwarded."""
    site = serve(routes=[{"match": {"path": "/admin/*"}, "respond": 403}, {"upstream": "app"}])
    site.client >> get("/public/%2e%2E/%61dmin/x")
    site.client << b"HTTP/1.1 403"
    site.client >> get("/a/./b/%7eu?q=%7e")
    site.origin << b"GET /a/b/~u?q=%7e "


def test_repeated_fields_keep_their_order() -> None:
    """Lines of one name are neither joined nor reordered, in both directions."""
    site = serve()
    site.client >> get("/", "X-A: 1", "X-B: 2", "X-A: 3")
    assert (site.origin << b"GET /").all(b"x-a") == [b"1", b"3"]
    site.origin >> ok("", "Set-Cookie: a=1", "Set-Cookie: b=2")
    assert (site.client << b"HTTP/1.1 200").all(b"set-cookie") == [b"a=1", b"b=2"]


def test_what_one_request_did_does_not_show_in_the_next() -> None:
    """The same field lines, again and again on different routes: each gets its own edits and nothing of the others."""
    edits = {"set": {"X-A": "edited"}, "remove": ["X-B"], "add": {"X-C": "added"}}
    site = serve(
        routes=[
            {"match": {"path": "/edited"}, "upstream": "app", "request_headers": edits, "response_headers": edits},
            {"match": {"path": "/host"}, "upstream": "app", "host": "inner"},
            {"upstream": "app"},
        ]
    )
    seen: dict[str, set[object]] = {"/edited": set(), "/host": set(), "/plain": set()}
    for _ in range(3):
        for target, outcomes in seen.items():
            site.client >> get(target, "X-A: 1", "X-B: 2", "Connection: X-D", "X-D: 3")
            asked = site.origin << b"GET "
            site.origin >> ok("", "X-A: 1", "X-B: 2", "Connection: X-D", "X-D: 3")
            answer = site.client << b"HTTP/1.1 200"
            outcomes.add(tuple(line for line in asked.fields if line[0] != b"x-request-id"))
            outcomes.add(tuple(line for line in answer.fields if line[0] not in {b"x-request-id", b"date"}))
    assert [len(outcomes) for outcomes in seen.values()] == [2, 2, 2]
    assert len(set.union(*seen.values())) == 5  # the answers on the last two are the same
    assert b"x-d" not in repr(seen).encode()


def test_max_forwards_is_counted_from_what_was_sent() -> None:
    """Each time: a remembered head is not counted down further."""
    site = serve()
    for _ in range(3):
        site.client >> _message("OPTIONS / HTTP/1.1", "Host: h", "Max-Forwards: 3")
        assert (site.origin << b"OPTIONS /").get(b"max-forwards") == b"2"
        site.origin >> ok()
        site.client << b"HTTP/1.1 200"


def test_max_forwards_of_another_method() -> None:
    """A GET with the same field lines, on which it means nothing, does not fix what an OPTIONS sends."""
    site = serve()
    for method, expected in (("GET", b"3"), ("OPTIONS", b"2"), ("GET", b"3"), ("OPTIONS", b"2")):
        site.client >> _message(f"{method} / HTTP/1.1", "Host: h", "Max-Forwards: 3")
        assert (site.origin << method.encode()).get(b"max-forwards") == expected
        site.origin >> ok()
        site.client << b"HTTP/1.1 200"


def test_an_expectation_each_time() -> None:
    """Each request that expects 100 is told so."""
    site = serve()
    for _ in range(3):
        site.client >> _message("POST / HTTP/1.1", "Host: h", "Expect: 100-continue", "Content-Length: 2")
        site.client << b"HTTP/1.1 100"
        site.client >> b"ab"
        site.origin << b"POST /"
        site.origin >> ok()
        site.client << b"HTTP/1.1 200"


def test_half_closed_once_is_not_for_ever() -> None:
    """The end of one connection does not close another whose head is the same."""
    site = serve()
    site.client >> get()
    site.client.fin()
    site.origin << b"GET /"
    site.origin >> ok()
    site.client << b"HTTP/1.1 200"
    other = site.connect()
    for _ in range(2):
        other >> get()
        site.origin << b"GET /"
        site.origin >> ok()
        other << b"HTTP/1.1 200"
        assert other.open
