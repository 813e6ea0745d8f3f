"""Unusual requests that real clients send and a strict gateway must not refuse.

Part of the request corpus: its conscience. Each names what the origin must receive.
"""

from __future__ import annotations

from tests.kit.corpus.case import HOST, Case, Received, accept, get, message, post

_ROOT = Received(b"GET", b"/")

# Methods of RFC 9110, RFC 5789, WebDAV and its neighbours that a reverse proxy meets; sent without a body.
_METHODS = (
    b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"PROPFIND", b"PROPPATCH", b"MKCOL", b"COPY",
    b"MOVE", b"LOCK", b"UNLOCK", b"REPORT", b"SEARCH", b"PURGE", b"ACL", b"M-SEARCH", b"MKCALENDAR", b"SUBSCRIBE",
    b"LINK", b"UNLINK", b"SOURCE", b"QUERY", b"VERSION-CONTROL", b"BASELINE-CONTROL", b"FROB", b"X", b"F" * 32,
    b"-FROB", b"!#$%&'*+-.^_`|~0A",
)  # fmt: skip

# (name, target): passed on exactly as they are.
_TARGETS: tuple[tuple[str, bytes], ...] = (
    ("two slashes in front", b"//a/b"),
    ("two slashes within", b"/a//b"),
    ("only slashes", b"///"),
    ("slash at the end", b"/a/"),
    ("three dots", b"/.../a"),
    ("dot file", b"/.well-known/security.txt"),
    ("trailing dot", b"/a./b."),
    ("tilde", b"/~user/"),
    ("sub-delims", b"/a!$&'()*+,;=b"),
    ("colon and at sign", b"/@user:1/a"),
    ("parameters", b"/a;v=1/b;w=2,3"),
    ("escaped space", b"/a%20b"),
    ("escaped UTF-8", b"/%E2%82%AC"),
    ("escaped slash", b"/a%2Fb"),
    ("escaped percent", b"/100%25"),
    ("escaped bytes that are not UTF-8", b"/%FF%FE"),
    ("plus", b"/a+b"),
    ("empty query", b"/a?"),
    ("two question marks", b"/a??b"),
    ("question mark in query", b"/a?b?c"),
    ("slashes and dots in query", b"/a?b=/../c//d"),
    ("URL in query", b"/a?u=http://b.example/?x=y"),
    ("brackets in query", b"/a?x[]=1&x[a][b]=2"),
    ("bars and braces in query", b"/a?x={y}|z"),
    ("quotes in query", b"/a?x=\"y\"&z='w'"),
    ("angle brackets in query", b"/a?x=<y>"),
    ("backslash and caret in query", b"/a?x=\\y^z`"),
    ("lone percent in query", b"/a?x=100%"),
    ("escapes in lower case in query", b"/a?x=%e2%82%ac"),
    ("ampersands in query", b"/a?&&=&a&b=&=c"),
    ("semicolons in query", b"/a?x=1;y=2"),
    ("query of 4 KiB", b"/a?x=" + b"y" * 4096),
)

# (name, lines, what must be among the fields that arrive)
_FIELDS: tuple[tuple[str, tuple[bytes, ...], tuple[tuple[bytes, bytes], ...]], ...] = (
    ("empty value", (b"X-A:",), ((b"x-a", b""),)),
    ("value of white space", (b"X-A: \t ",), ((b"x-a", b""),)),
    ("no space after the colon", (b"X-A:b",), ((b"x-a", b"b"),)),
    ("much space around the value", (b"X-A:   \t b \t  ",), ((b"x-a", b"b"),)),
    ("tab within the value", (b"X-A: b\tc",), ((b"x-a", b"b\tc"),)),
    ("spaces within the value", (b"X-A: b   c",), ((b"x-a", b"b   c"),)),
    ("colons in the value", (b"X-A: b:c::d",), ((b"x-a", b"b:c::d"),)),
    ("colon in front of the value", (b"X-A: :b",), ((b"x-a", b":b"),)),
    ("quotes left open", (b'X-A: "b',), ((b"x-a", b'"b'),)),
    ("every character of a token", (b"X!#$%&'*+-.^`|~9: b",), ((b"x!#$%&'*+-.^`|~9", b"b"),)),
    ("one letter", (b"X: b",), ((b"x", b"b"),)),
    ("digits", (b"1: b",), ((b"1", b"b"),)),
    ("capitals", (b"X-CAPITALS: B",), ((b"x-capitals", b"B"),)),
    ("UTF-8 in the value", ("X-A: größe".encode(),), ((b"x-a", "größe".encode()),)),
    ("Latin-1 in the value", (b"X-A: gr\xf6\xdfe",), ((b"x-a", b"gr\xf6\xdfe"),)),
    ("the same name twice", (b"X-A: b", b"X-A: c"), ((b"x-a", b"b"), (b"x-a", b"c"))),
    ("cookie with odd characters", (b'Cookie: a="b c"; d=e=f; {g}=[h]; i',),
     ((b"cookie", b'a="b c"; d=e=f; {g}=[h]; i'),)),
    ("cookie of 6 KiB", (b"Cookie: a=" + b"b" * 6144,), ((b"cookie", b"a=" + b"b" * 6144),)),
    ("User-Agent empty", (b"User-Agent:",), ()),
    ("User-Agent with comments", (b"User-Agent: x/1 (y; (z))",), ((b"user-agent", b"x/1 (y; (z))"),)),
    ("Accept-Encoding with weights", (b"Accept-Encoding: gzip;q=1.0, *;q=0",),
     ((b"accept-encoding", b"gzip;q=1.0, *;q=0"),)),
    ("Range", (b"Range: bytes=0-0,-1",), ((b"range", b"bytes=0-0,-1"),)),
    ("If-None-Match list", (b'If-None-Match: W/"a", "b,c"',), ((b"if-none-match", b'W/"a", "b,c"'),)),
    ("If-Modified-Since in an old form", (b"If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT",),
     ((b"if-modified-since", b"Sunday, 06-Nov-94 08:49:37 GMT"),)),
    ("Referer with non-ASCII", ("Referer: http://b.example/ä".encode(),), ()),
    ("Authorization unknown scheme", (b"Authorization: Frob a=b,c",), ((b"authorization", b"Frob a=b,c"),)),
    ("Origin null", (b"Origin: null",), ((b"origin", b"null"),)),
    ("Content-Type without a body", (b"Content-Type: text/plain",), ((b"content-type", b"text/plain"),)),
    ("Upgrade-Insecure-Requests", (b"Upgrade-Insecure-Requests: 1",), ((b"upgrade-insecure-requests", b"1"),)),
    ("Sec-Fetch fields", (b"Sec-Fetch-Mode: navigate", b"Sec-Fetch-User: ?1"), ((b"sec-fetch-user", b"?1"),)),
    ("Priority", (b"Priority: u=0, i",), ((b"priority", b"u=0, i"),)),
    ("Date", (b"Date: Tue, 15 Nov 1994 08:12:31 GMT",), ((b"date", b"Tue, 15 Nov 1994 08:12:31 GMT"),)),
    ("name of 200 letters", (b"X-" + b"a" * 200 + b": b",), ((b"x-" + b"a" * 200, b"b"),)),
)  # fmt: skip


def _methods() -> list[Case]:
    return [
        accept(f"legitimate method: {method.decode()}", message(method + b" /x HTTP/1.1", HOST),
               "a method that applications use", "RFC 9110 §9", Received(method, b"/x"))
        for method in _METHODS
    ]  # fmt: skip


def _bodies() -> list[Case]:
    five = b"Content-Length: 5"
    length = "RFC 9112 §6.3"
    two = Received(b"GET", b"/b")
    return [
        accept("legitimate body: GET", get(five, body=b"hello"), "no meaning, and still framed", "RFC 9110 §9.3.1",
               Received(b"GET", b"/", b"hello")),
        accept("legitimate body: chunked GET", get(
            b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"), "no meaning, and still framed",
            "RFC 9110 §9.3.1", Received(b"GET", b"/", b"hello")),
        accept("legitimate body: DELETE", message(b"DELETE / HTTP/1.1", HOST, five, body=b"hello"),
               "some interfaces do", "RFC 9110 §9.3.5", Received(b"DELETE", b"/", b"hello")),
        accept("legitimate body: OPTIONS", message(b"OPTIONS / HTTP/1.1", HOST, five, body=b"hello"),
               "allowed", "RFC 9110 §9.3.7", Received(b"OPTIONS", b"/", b"hello")),
        accept("legitimate body: POST without any", post(), "no framing, no body", length, Received(b"POST", b"/")),
        accept("legitimate body: POST of length zero", post(b"Content-Length: 0"), "an empty body", length,
               Received(b"POST", b"/")),
        accept("legitimate body: GET of length zero", get(b"Content-Length: 0"), "an empty body", length, _ROOT),
        accept("legitimate body: HTTP/1.0 POST", message(b"POST / HTTP/1.0", HOST, five, body=b"hello"),
               "1.0 knows lengths", length, Received(b"POST", b"/", b"hello")),
        accept("legitimate body: every octet", post(b"Content-Length: 256", body=bytes(range(256))),
               "bodies are bytes", length, Received(b"POST", b"/", bytes(range(256)))),
        accept("legitimate body: 200 KB", post(b"Content-Length: 200000", body=b"ab" * 100_000), "below the limit",
               length, Received(b"POST", b"/", b"ab" * 100_000)),
        accept("legitimate body: form", post(
            b"Content-Type: application/x-www-form-urlencoded", b"Content-Length: 7", body=b"a=b&c=d"), "a form",
            length, Received(b"POST", b"/", b"a=b&c=d")),
        accept("legitimate body: length with white space", post(b"Content-Length: \t5 \t", body=b"hello"),
               "it is no part of the value", "RFC 9112 §5.1", Received(b"POST", b"/", b"hello")),
        accept("legitimate pipeline: two", get() + get(target=b"/b"), "answered in order", "RFC 9112 §9.3.2", _ROOT,
               two),
        accept("legitimate pipeline: five", get() + get(target=b"/b") * 4, "answered in order", "RFC 9112 §9.3.2",
               _ROOT, two, two, two, two),
        accept("legitimate pipeline: behind a body", post(five, body=b"hello") + get(target=b"/b"),
               "a body ends where it says", "RFC 9112 §9.3.2", Received(b"POST", b"/", b"hello"), two),
        accept("legitimate pipeline: behind a chunked body", post(
            b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n") + get(target=b"/b"),
            "a body ends where it says", "RFC 9112 §9.3.2", Received(b"POST", b"/", b"hello"), two),
        accept("legitimate pipeline: behind HEAD", message(b"HEAD / HTTP/1.1", HOST) + get(target=b"/b"),
               "an answer to HEAD has no body", "RFC 9110 §9.3.2", Received(b"HEAD", b"/"), two),
        accept("legitimate pipeline: an empty line between", get() + b"\r\n" + get(target=b"/b"),
               "old clients send one after a body", "RFC 9112 §2.2", _ROOT, two),
        accept("legitimate pipeline: ended by close", get() + get(b"Connection: close", target=b"/b"),
               "the last one says so", "RFC 9112 §9.6", _ROOT, two),
    ]  # fmt: skip


CASES: tuple[Case, ...] = (
    *_methods(),
    *(accept(f"legitimate target: {name}", get(target=target), "passed on as it is", "RFC 3986 §3.3",
             Received(b"GET", target)) for name, target in _TARGETS),
    *(accept(f"legitimate field: {name}", get(*lines), "passed on as it is", "RFC 9110 §5",
             Received(b"GET", b"/", fields=fields)) for name, lines, fields in _FIELDS),
    *_bodies(),
)  # fmt: skip
