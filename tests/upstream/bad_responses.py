"""Responses of an origin that is broken, lies or attacks, each with what it must come to.

BAD: the exchange fails with that cause, whole or split anywhere. LYING: the response is well framed and delivered, but
the connection must not be used again.
"""

from __future__ import annotations

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def length(value: bytes, body: bytes = b"abc") -> bytes:
    return OK + b"Content-Length: " + value + b"\r\n\r\n" + body


def field(line: bytes) -> bytes:
    return OK + line + b"\r\nContent-Length: 0\r\n\r\n"


BAD: dict[str, tuple[bytes, str]] = {
    # not a status line
    "another protocol": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "bad_response"),
    "an SMTP banner": (b"220 mail.example.com ESMTP\r\n\r\n", "bad_response"),
    "a TLS alert": (b"\x15\x03\x01\x00\x02\x02\x0a\r\n\r\n", "bad_response"),
    "an HTTP/2 preface": (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\r\n\r\n", "bad_response"),
    "a body without head (HTTP/0.9)": (b"<html>hello</html>\r\n\r\n", "bad_response"),
    "a request": (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "bad_response"),
    "HTTP/2.0": (b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", "bad_response"),
    "HTTP/0.9": (b"HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n", "bad_response"),
    "HTTP/1.2": (b"HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n", "bad_response"),
    "HTTP/1.10": (b"HTTP/1.10 200 OK\r\nContent-Length: 0\r\n\r\n", "bad_response"),
    "RTSP": (b"RTSP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "bad_response"),
    "ICY": (b"ICY 200 OK\r\nContent-Length: 0\r\n\r\n", "bad_response"),
    "lower-case http": (b"http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "bad_response"),
    "no version": (b"HTTP/ 200 OK\r\nContent-Length: 0\r\n\r\n", "bad_response"),
    "status of two digits": (b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n", "bad_response"),
    "status of four digits": (b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", "bad_response"),
    "status 099": (b"HTTP/1.1 099 No\r\nContent-Length: 0\r\n\r\n", "bad_response"),
    "status 600": (b"HTTP/1.1 600 No\r\nContent-Length: 0\r\n\r\n", "bad_response"),
    "status 999": (b"HTTP/1.1 999 No\r\nContent-Length: 0\r\n\r\n", "bad_response"),
    "negative status": (b"HTTP/1.1 -200 OK\r\nContent-Length: 0\r\n\r\n", "bad_response"),
    "status in letters": (b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n", "bad_response"),
    "two spaces before the status": (b"HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n", "bad_response"),
    "a tab before the status": (b"HTTP/1.1\t200 OK\r\nContent-Length: 0\r\n\r\n", "bad_response"),
    "a line break before it all": (b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "bad_response"),
    "a NUL in the reason": (b"HTTP/1.1 200 O\x00K\r\nContent-Length: 0\r\n\r\n", "bad_response"),
    "an escape in the reason": (b"HTTP/1.1 200 \x1b[31m\r\nContent-Length: 0\r\n\r\n", "bad_response"),
    "a bare CR in the reason": (b"HTTP/1.1 200 O\rK\r\nContent-Length: 0\r\n\r\n", "bad_response"),
    "bare line feeds": (b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", "bad_response"),
    "one bare line feed": (b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", "bad_response"),
    # fields
    "a space before the colon": (field(b"A : b"), "bad_response"),
    "a space in the name": (field(b"A b: c"), "bad_response"),
    "no colon": (field(b"nonsense"), "bad_response"),
    "an empty name": (field(b": b"), "bad_response"),
    "a folded line": (field(b"A: b\r\n c"), "bad_response"),
    "a first line that is folded": (OK + b" A: b\r\n\r\n", "bad_response"),
    "a NUL in a value": (field(b"A: b\x00c"), "bad_response"),
    "a bare CR in a value": (field(b"A: b\rSet-Cookie: c"), "bad_response"),
    "a bare LF in a value": (field(b"A: b\nSet-Cookie: c"), "bad_response"),
    "a control character in a name": (field(b"A\x01: b"), "bad_response"),
    "bytes beyond ASCII in a name": (field(b"\xc3\xa4: b"), "bad_response"),
    "parentheses in a name": (field(b"A(b): c"), "bad_response"),
    # size
    "101 fields": (OK + b"A: b\r\n" * 101 + b"Content-Length: 0\r\n\r\n", "response_head_too_large"),
    "a head of 40 KiB": (OK + b"A: " + b"b" * 40_000 + b"\r\n\r\n", "response_head_too_large"),
    "a line of 20 KiB": (field(b"A: " + b"b" * 20_000), "response_head_too_large"),
    "a reason without end": (b"HTTP/1.1 200 " + b"a" * 40_000, "response_head_too_large"),
    # length
    "two different lengths": (OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "bad_response"),
    "the same length twice": (OK + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", "bad_response"),
    "a list of lengths": (length(b"3, 3"), "bad_response"),
    "a negative length": (length(b"-3"), "bad_response"),
    "a signed length": (length(b"+3"), "bad_response"),
    "a length in hexadecimal": (length(b"0x3"), "bad_response"),
    "a length with a fraction": (length(b"3.0"), "bad_response"),
    "a length with a space inside": (length(b"3 3"), "bad_response"),
    "an empty length": (length(b""), "bad_response"),
    "a length beyond 64 bits": (length(b"18446744073709551619"), "bad_response"),
    "length and chunked": (OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "bad_response"),
    "chunked and length": (OK + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", "bad_response"),
    # coding
    "chunked twice": (OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "bad_response"),
    "chunked in two lines": (
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "bad_response"
    ),
    "gzip, chunked": (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "bad_response"),
    "chunked, then identity": (OK + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", "bad_response"),
    "identity": (OK + b"Transfer-Encoding: identity\r\n\r\nabc", "bad_response"),
    "xchunked": (OK + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "bad_response"),
    "chunked in quotes": (OK + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n', "bad_response"),
    "chunked with a vertical tab": (OK + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", "bad_response"),
    "chunked on HTTP/1.0": (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "bad_response"),
    # chunks
    "a chunk size that is none": (CHUNKED + b"xyz\r\nabc\r\n0\r\n\r\n", "bad_response"),
    "a negative chunk size": (CHUNKED + b"-3\r\nabc\r\n0\r\n\r\n", "bad_response"),
    "a chunk size with 0x": (CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n", "bad_response"),
    "a chunk size of 17 digits": (CHUNKED + b"10000000000000003\r\nabc\r\n0\r\n\r\n", "bad_response"),
    "an empty chunk size": (CHUNKED + b"\r\nabc\r\n0\r\n\r\n", "bad_response"),
    "a space before the chunk size": (CHUNKED + b" 3\r\nabc\r\n0\r\n\r\n", "bad_response"),
    "a chunk longer than its size": (CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n", "bad_response"),
    "a chunk shorter than its size": (CHUNKED + b"3\r\nab\r\n0\r\n\r\n", "bad_response"),
    "bare line feeds in chunks": (CHUNKED + b"3\nabc\n0\n\n", "bad_response"),
    "a chunk extension without end": (CHUNKED + b"3;" + b"a" * 20_000, "bad_response"),
    "a trailer that is no field": (CHUNKED + b"0\r\nnonsense\r\n\r\n", "bad_response"),
    "a folded trailer": (CHUNKED + b"0\r\nA: b\r\n c\r\n\r\n", "bad_response"),
    "trailers without end": (CHUNKED + b"0\r\n" + b"A: b\r\n" * 5000, "bad_response"),
    # 1xx
    "101 that nobody asked for": (b"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "bad_response"),
    "nine 1xx": (b"HTTP/1.1 103 Early Hints\r\n\r\n" * 9 + length(b"3"), "bad_response"),
    "garbage behind a 1xx": (b"HTTP/1.1 100 Continue\r\n\r\ngarbage\r\n\r\n", "bad_response"),
    "a body behind a 1xx": (b"HTTP/1.1 103 Early Hints\r\nContent-Length: 3\r\n\r\nabc" + length(b"0"), "bad_response"),
    # less than was promised
    "a head without end": (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n", "response_incomplete"),
    "half a version": (b"HTTP/1", "response_incomplete"),
    "a 1xx and no more": (b"HTTP/1.1 100 Continue\r\n\r\n", "response_incomplete"),
    "no body where one was promised": (length(b"3", b""), "response_incomplete"),
    "a body that is too short": (length(b"3", b"ab"), "response_incomplete"),
    "a length of 10^17": (length(b"100000000000000000"), "response_incomplete"),
    "chunks without the last": (CHUNKED + b"3\r\nabc\r\n", "response_incomplete"),
    "half a chunk": (CHUNKED + b"3\r\na", "response_incomplete"),
    "a last chunk without its end": (CHUNKED + b"0\r\n", "response_incomplete"),
    "trailers without their end": (CHUNKED + b"0\r\nA: b\r\n", "response_incomplete"),
}  # fmt: skip

SECOND = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"

# wire, what the client gets as the body
LYING: dict[str, tuple[bytes, bytes]] = {
    "a byte too many": (length(b"3", b"abcd"), b"abc"),
    "a second response": (length(b"3") + SECOND, b"abc"),
    "a response behind an empty one": (length(b"0", b"") + SECOND, b""),
    "a response behind chunks": (CHUNKED + b"3\r\nabc\r\n0\r\n\r\n" + SECOND, b"abc"),
    "a line break behind the body": (length(b"3") + b"\r\n", b"abc"),
    "a body with 204": (b"HTTP/1.1 204 No Content\r\n\r\n" + SECOND, b""),
    "a body with 304": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\n" + SECOND, b""),
}
