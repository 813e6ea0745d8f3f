"""Requests that are well-formed and still dangerous: upgrades, expectations, hop-by-hop fields, forged identity.

Part of the request corpus. Most are accepted; what matters is what the origin must not see of them.
"""

from __future__ import annotations

from tests.kit.corpus.case import HOST, SMUGGLED, Case, Received, accept, either, get, message, post, refuse

_UPGRADE = "RFC 9110 §7.8"
_CONNECTION = "RFC 9110 §7.6.1"
_EXPECT = "RFC 9110 §10.1.1"
_FORWARDS = "RFC 9110 §7.6.2"
_WEBSOCKET = (
    b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)  # fmt: skip
_H2C = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")
_ROOT = Received(b"GET", b"/")


def _root(*never: bytes, fields: tuple[tuple[bytes, bytes], ...] = ()) -> Received:
    return Received(b"GET", b"/", fields=fields, never=never)


def _upgrades() -> list[Case]:
    tunnel = "the body would become tunnel bytes (house §7.7)"
    return [
        refuse("upgrade: websocket with a body", message(
            b"GET / HTTP/1.1", HOST, *_WEBSOCKET, b"Content-Length: 5", body=b"hello"), tunnel, _UPGRADE),
        refuse("upgrade: websocket with a request for a body", message(
            b"GET / HTTP/1.1", HOST, *_WEBSOCKET, b"Content-Length: %d" % len(SMUGGLED), body=SMUGGLED),
            tunnel, _UPGRADE),
        refuse("upgrade: websocket with a chunked body", message(
            b"GET / HTTP/1.1", HOST, *_WEBSOCKET, b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
            tunnel, _UPGRADE),
        refuse("upgrade: websocket by POST with a body", post(
            *_WEBSOCKET, b"Content-Length: 5", body=b"hello"), tunnel, _UPGRADE),
        accept("upgrade: websocket by POST", post(*_WEBSOCKET), "a WebSocket is asked for by GET", "RFC 6455 §4.1",
               Received(b"POST", b"/", never=(b"upgrade:",))),
        accept("upgrade: h2c is not forwarded", get(*_H2C),
               "an origin that switched would hide every later request", "RFC 9113 §3.1",
               _root(b"h2c", b"http2-settings", b"upgrade:")),
        either("upgrade: h2c with a body", post(*_H2C, b"Content-Length: 5", body=b"hello"),
               "an ordinary request, or refused", "RFC 9113 §3.1",
               Received(b"POST", b"/", b"hello", never=(b"h2c", b"http2-settings"))),
        accept("upgrade: h2c without Connection", get(b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"),
               "hop-by-hop in any case", _UPGRADE, _root(b"h2c", b"http2-settings")),
        accept("upgrade: h2c in capitals", get(b"Connection: upgrade, http2-settings", b"Upgrade: H2C",
               b"HTTP2-Settings: AAMAAABk"), "tokens compare without case", _UPGRADE, _root(b"h2c", b"http2-settings")),
        either("upgrade: h2c behind websocket", get(b"Connection: Upgrade", b"Upgrade: websocket, h2c",
               b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
               "h2c is never offered to an origin", _UPGRADE, _root(b"h2c")),
        accept("upgrade: websocket without Connection", get(*_WEBSOCKET[1:]),
               "not asked for: Upgrade is dropped", _UPGRADE, _root(b"upgrade:")),
        accept("upgrade: unknown protocol", get(b"Connection: Upgrade", b"Upgrade: frob/1"),
               "not listed: an ordinary request", _UPGRADE, _root(b"frob")),
        accept("upgrade: TLS", get(b"Connection: Upgrade", b"Upgrade: TLS/1.0"),
               "not listed: an ordinary request", "RFC 2817", _root(b"tls/1.0")),
        accept("upgrade: on HTTP/1.0", message(b"GET / HTTP/1.0", HOST, b"Connection: Upgrade", b"Upgrade: h2c"),
               "Upgrade of a 1.0 request is ignored", _UPGRADE, _root(b"h2c")),
    ]  # fmt: skip


def _connection() -> list[Case]:
    dropped = "what Connection names ends here"
    return [
        accept("connection: names a field", get(b"Connection: X-Secret", b"X-Secret: 1"), dropped, _CONNECTION,
               _root(b"x-secret")),
        accept("connection: names two fields", get(b"Connection: close, X-A, X-B", b"X-A: 1", b"X-B: 2", b"X-C: 3"),
               dropped, _CONNECTION, _root(b"x-a", b"x-b", fields=((b"x-c", b"3"),))),
        accept("connection: twice", get(b"Connection: X-A", b"Connection: X-B", b"X-A: 1", b"X-B: 2"), dropped,
               _CONNECTION, _root(b"x-a", b"x-b")),
        accept("connection: twice, the last one plain", get(
            b"Connection: X-A, Content-Type", b"Connection: keep-alive", b"X-A: 1"),
            "a second field does not hide what the first one names", _CONNECTION, _root(b"x-a")),
        accept("connection: twice, the first one plain", get(
            b"Connection: close", b"Connection: X-A", b"X-A: 1", body=SMUGGLED),
            "close counts wherever it stands", _CONNECTION, _root(b"x-a")),
        accept("connection: empty members", get(b"Connection: , X-A ,,", b"X-A: 1"), dropped, _CONNECTION,
               _root(b"x-a")),
        accept("connection: keep-alive field", get(b"Connection: keep-alive", b"Keep-Alive: timeout=1000"), dropped,
               _CONNECTION, _root(b"timeout=1000")),
        accept("connection: Proxy-Connection", get(b"Proxy-Connection: keep-alive"), "never passed on",
               "RFC 9112 Appendix C.2.2", _root(b"proxy-connection")),
        accept("connection: Proxy-Authorization", get(b"Proxy-Authorization: Basic eA=="), "meant for this hop",
               "RFC 9110 §11.7.2", _root(b"proxy-authorization")),
        accept("connection: TE trailers", get(b"Connection: TE", b"TE: trailers, gzip"),
               "codings are between neighbours", "RFC 9110 §10.1.4", _root(b"gzip")),
        either("connection: names Host", get(b"Connection: Host"), "never an option; the origin needs its Host",
               _CONNECTION, _ROOT),
        either("connection: names Cache-Control", get(b"Connection: Cache-Control", b"Cache-Control: no-store"),
               "never an option", _CONNECTION, _ROOT),
        either("connection: names X-Forwarded-For", get(b"Connection: X-Forwarded-For"),
               "must not strip what the gateway adds", _CONNECTION, _ROOT),
        either("connection: names Authorization", get(b"Connection: Authorization", b"Authorization: Basic eA=="),
               "strips it, as asked", _CONNECTION, _ROOT),
        accept("connection: close, then more", get(b"Connection: close", body=SMUGGLED),
               "nothing is read after a last request", "RFC 9112 §9.6", _ROOT),
        accept("connection: HTTP/1.0, then more", message(b"GET / HTTP/1.0", HOST, body=SMUGGLED),
               "without keep-alive a 1.0 request is the last", "RFC 9112 §9.3", _ROOT),
        accept("connection: HTTP/1.0 keep-alive, then more", message(
            b"GET / HTTP/1.0", HOST, b"Connection: keep-alive", body=SMUGGLED), "asked to persist", "RFC 9112 §9.3",
            _ROOT, Received(b"GET", b"/smuggled")),
        Case("connection: garbage behind a request", get(body=b"\x00\x01garbage\r\n\r\n"), "refuse",
             "the first is answered, the rest refused", "RFC 9112 §9.3.2", (_ROOT,)),
        Case("connection: bare body behind a GET", get(body=b"x=1&y=2"), "refuse",
             "without framing there is no body: the rest is no request", "RFC 9112 §6.3", (_ROOT,)),
        Case("connection: body one byte longer than said", post(b"Content-Length: 5", body=b"hello!"), "refuse",
             "the rest is no request, though it may become one", "RFC 9112 §6.3", (Received(b"POST", b"/", b"hello"),),
             unfinished=True),
        Case("connection: a malformed second request", get(body=b"GET / HTTP/1.1\r\n\r\n"), "refuse",
             "the first is answered, the second has no Host", "RFC 9112 §9.3.2", (_ROOT,), 400),
    ]  # fmt: skip


def _expectations() -> list[Case]:
    five = Received(b"POST", b"/", b"hello")
    length = b"Content-Length: 5"
    return [
        accept("expect: 100-continue", post(b"Expect: 100-continue", length, body=b"hello"),
               "a client need not wait", _EXPECT, five),
        accept("expect: capitals", post(b"Expect: 100-Continue", length, body=b"hello"),
               "compares without case", _EXPECT, five),
        accept("expect: without a body", get(b"Expect: 100-continue"), "nothing to wait for", _EXPECT, _ROOT),
        accept("expect: chunked", post(
            b"Expect: 100-continue", b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"),
            "framing does not matter", _EXPECT, five),
        accept("expect: on HTTP/1.0", message(
            b"POST / HTTP/1.0", HOST, b"Expect: 100-continue", length, body=b"hello"), "ignored there", _EXPECT, five),
        refuse("expect: something else", post(b"Expect: 200-ok", length, body=b"hello"), "417", _EXPECT, 417),
        refuse("expect: two members", post(b"Expect: 100-continue, x", length, body=b"hello"), "417", _EXPECT, 417),
        refuse("expect: twice", post(b"Expect: 100-continue", b"Expect: x", length, body=b"hello"),
               "one would be met and the other not", _EXPECT),
        either("expect: empty", post(b"Expect:", length, body=b"hello"), "no expectation, or 417", _EXPECT, five),
        either("expect: with a space", post(b"Expect: 100 continue", length, body=b"hello"), "417", _EXPECT),
    ]  # fmt: skip


def _identity() -> list[Case]:
    untrusted = "nobody is trusted by default"
    source = "house: real_ip"
    forged = b"203.0.113.66"
    lines = (
        b"X-Forwarded-For: ", b"X-Real-IP: ", b"X-Client-IP: ", b"True-Client-IP: ", b"CF-Connecting-IP: ",
        b"Forwarded: for=", b"X-Forwarded-Host: ", b"X-Forwarded-Server: ",
    )  # fmt: skip
    strict = {b"X-Forwarded-For: ", b"X-Real-IP: ", b"Forwarded: for=", b"X-Forwarded-Host: "}
    cases = [
        accept(f"identity: {line.decode()}", get(line + forged), untrusted, source, _root(forged))
        if line in strict
        else accept(f"identity: {line.decode()}", get(line + forged), "passed on, or stripped", source, _ROOT)
        for line in lines
    ]
    cases += [
        accept("identity: X-Forwarded-Proto", get(b"X-Forwarded-Proto: https-forged"), untrusted, source,
               _root(b"https-forged")),
        accept("identity: X-Forwarded-Port", get(b"X-Forwarded-Port: 44399"), untrusted, source, _root(b"44399")),
        accept("identity: X-Request-ID", get(b"X-Request-ID: forged-by-the-client"), untrusted, "house: request_id",
               _root(b"forged-by-the-client")),
        accept("identity: X_Forwarded_For", get(b"X_Forwarded_For: " + forged), "behind WSGI it is X-Forwarded-For",
               "house: underscores", _root(forged)),
        accept("identity: X-Forwarded_For", get(b"X-Forwarded_For: " + forged), "behind WSGI it is X-Forwarded-For",
               "house: underscores", _root(forged)),
        accept("identity: two X-Forwarded-For", get(b"X-Forwarded-For: 192.0.2.1", b"X-Forwarded-For: " + forged),
               untrusted, source, _root(forged)),
        accept("identity: Proxy", get(b"Proxy: http://b.example"), "becomes HTTP_PROXY behind CGI", "CVE-2016-5385",
               _ROOT),
    ]  # fmt: skip
    return cases


def _forwards() -> list[Case]:
    return [
        accept("max-forwards: on GET", get(b"Max-Forwards: 0"), "ignored there", _FORWARDS, _ROOT),
        either("max-forwards: zero on OPTIONS", message(b"OPTIONS / HTTP/1.1", HOST, b"Max-Forwards: 0"),
               "answered here, never forwarded", _FORWARDS),
        either("max-forwards: zero on OPTIONS *", message(b"OPTIONS * HTTP/1.1", HOST, b"Max-Forwards: 0"),
               "answered here, never forwarded", _FORWARDS),
        refuse("max-forwards: on TRACE", message(b"TRACE / HTTP/1.1", HOST, b"Max-Forwards: 5"),
               "TRACE shows what was added on the way", "RFC 9110 §9.3.8", 405),
        refuse("max-forwards: TRACE with a body", message(
            b"TRACE / HTTP/1.1", HOST, b"Content-Length: 5", body=b"hello"), "TRACE has no body", "RFC 9110 §9.3.8"),
        either("max-forwards: not a number", message(b"OPTIONS / HTTP/1.1", HOST, b"Max-Forwards: x"),
               "garbage: refused or passed on", _FORWARDS, Received(b"OPTIONS", b"/")),
    ]  # fmt: skip


CASES: tuple[Case, ...] = (*_upgrades(), *_connection(), *_expectations(), *_identity(), *_forwards())
