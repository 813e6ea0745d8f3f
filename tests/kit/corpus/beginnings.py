"""Requests that stop before their end: some could still go on, the others never can.

Part of the request corpus. What can never become a request is refused at once, though its end has not come; what still
can is waited for, and neither refused nor passed on.
"""

from __future__ import annotations

from tests.kit.corpus.case import HOST, Case, chunked, get, post, refuse, unfinished

_HEAD = b"GET /a?b=c HTTP/1.1\r\n" + HOST + b"\r\nAccept: */*\r\n"
_NEVER = "no byte that may follow makes a request of it"
_STILL = "the rest may be on its way"

# (name, beginning of a head)
_HOPELESS: tuple[tuple[str, bytes], ...] = (
    ("HTTP/0.9 with LF", b"GET /\n"),
    ("HTTP/0.9 with a space", b"GET / \r\n"),
    ("LF only", b"\n"),
    ("LF ends the first line", b"GET / HTTP/1.1\nHost: a.example\n"),
    ("LF ends a field", b"GET / HTTP/1.1\r\nHost: a.example\nX-A: b\r\n"),
    ("LF LF as the end", b"GET / HTTP/1.1\r\nHost: a.example\r\n\n\n"),
    ("CR ends the first line", b"GET / HTTP/1.1\rHost: a.example"),
    ("CR ends a field", b"GET / HTTP/1.1\r\nHost: a.example\rX-A: b\r\r"),
    ("CR in a target", b"GET /\rx"),
    ("CR in front", b"\rGET / HTTP/1.1\r\n"),
    ("NUL", b"\x00"),
    ("NUL in a target", b"GET /\x00"),
    ("NUL in a field", b"GET / HTTP/1.1\r\nHost: a.exa\x00"),
    ("control character in a field", b"GET / HTTP/1.1\r\nX-A: \x01"),
    ("DEL in a field", b"GET / HTTP/1.1\r\nX-A: \x7f"),
    ("8-bit target", b"GET /\xe2\x82\xac"),
    ("fragment", b"GET /a#"),
    ("text without a line end", b"hello, world"),
    ("letters without a space", b"A" * 40),
    ("a line of text", b"220 mail.example ESMTP\r\n"),
    ("method in brackets", b"[GET] /"),
    ("empty method", b" / HTTP/1.1\r\n"),
    ("space in front", b" GET / HTTP/1.1\r\n"),
    ("tab instead of a space", b"GET\t/ HTTP/1.1\r\n"),
    ("two spaces", b"GET  /"),
    ("four words", b"GET / HTTP/1.1 "),
    ("another protocol", b"GET / RTSP/1.0\r\n"),
    ("another version", b"GET / HTTP/2.0\r\n"),
    ("status line", b"HTTP/1.1 200 OK\r\n"),
    ("space after the first line", b"GET / HTTP/1.1\r\n Host: a.example\r\n"),
    ("folded field", b"GET / HTTP/1.1\r\nHost: a.example\r\n b"),
    ("field without a colon", b"GET / HTTP/1.1\r\nHost a.example\r\n"),
    ("space before a colon", b"GET / HTTP/1.1\r\nHost : a.example\r\n"),
    ("empty field name", b"GET / HTTP/1.1\r\n: b\r\n"),
    ("8-bit field name", b"GET / HTTP/1.1\r\nH\xf6st"),
    ("field after a long one, CR", b"GET / HTTP/1.1\r\nX-A: " + b"a" * 2000 + b"\rb"),
    ("field after a long one, NUL", b"GET / HTTP/1.1\r\nX-A: " + b"a" * 2000 + b"\x00"),
    ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(64, 96))),
    ("old SSL", b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10"),
    ("HTTP/2 frames", b"\x00\x00\x12\x04\x00\x00\x00\x00\x00"),
    ("SSH", b"SSH-2.0-client_1.0\r\n"),
    ("PROXY header", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"),
    ("binary PROXY header", b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c"),
    ("nine empty lines", b"\r\n" * 9),
    ("random bytes", bytes((octet * 167 + 89) % 256 for octet in range(256))),
)

# (name, beginning of a chunked body)
_HOPELESS_BODIES: tuple[tuple[str, bytes], ...] = (
    ("sign", b"-"),
    ("prefix", b"0x"),
    ("space in front", b" "),
    ("CR, and no LF", b"5\rh"),
    ("LF", b"5\n"),
    ("seventeen digits", b"00000000000000005"),
    ("space, and no extension", b"5 x"),
    ("control character in an extension", b"5;a=\x01"),
    ("CR in an extension", b"5;a\rb"),
    ("data not ended", b"5\r\nhellox"),
    ("data ended with CR", b"5\r\nhello\rx"),
    ("data ended with LF", b"5\r\nhello\n"),
    ("second size", b"5\r\nhello\r\nz"),
    ("trailer in brackets", b"5\r\nhello\r\n0\r\n["),
    ("trailer folded", b"5\r\nhello\r\n0\r\n a"),
    ("trailer with NUL", b"5\r\nhello\r\n0\r\nX-A: \x00"),
    ("trailer ended with LF", b"5\r\nhello\r\n0\r\nX-A: b\n"),
    ("end with CR", b"5\r\nhello\r\n0\r\n\rx"),
)

# Where a request may stop, and nothing is wrong with it yet.
_CUTS = (1, 3, 4, 5, 8, 10, 11, 12, 15, 16, 18, 19, 20, 21, 23, 26, 27, 38, len(_HEAD) - 1, len(_HEAD))

# (name, beginning of a request)
_UNFINISHED: tuple[tuple[str, bytes], ...] = (
    ("nothing but a line end", b"\r\n"),
    ("three line ends", b"\r\n" * 3),
    ("a CR", b"\r"),
    ("a CR of the last line", _HEAD + b"\r"),
    ("a long field", b"GET / HTTP/1.1\r\nX-A: " + b"a" * 2000),
    ("a long field and its CR", b"GET / HTTP/1.1\r\nX-A: " + b"a" * 2000 + b"\r"),
    ("a body that is short", post(b"Content-Length: 50", body=b"hello")),
    ("a body that is not there", post(b"Content-Length: 5")),
    ("a chunked body that is not there", chunked(b"")),
    ("a size", chunked(b"5")),
    ("a size and CR", chunked(b"5\r")),
    ("a size and a space", chunked(b"5 ")),
    ("a size and an extension", chunked(b'5;a="b')),
    ("half a chunk", chunked(b"5\r\nhel")),
    ("a chunk without its line end", chunked(b"5\r\nhello")),
    ("a chunk and CR", chunked(b"5\r\nhello\r")),
    ("no last chunk", chunked(b"5\r\nhello\r\n")),
    ("half a last chunk", chunked(b"5\r\nhello\r\n0")),
    ("no trailer section", chunked(b"5\r\nhello\r\n0\r\n")),
    ("half a trailer", chunked(b"5\r\nhello\r\n0\r\nX-A: b")),
    ("half an end", chunked(b"5\r\nhello\r\n0\r\n\r")),
)

CASES: tuple[Case, ...] = (
    *(refuse(f"hopeless: {name}", raw, _NEVER, "RFC 9112 §2.2") for name, raw in _HOPELESS),
    *(refuse(f"hopeless body: {name}", chunked(raw), _NEVER, "RFC 9112 §7.1") for name, raw in _HOPELESS_BODIES),
    *(unfinished(f"unfinished: {name}", raw, _STILL, "RFC 9112 §8") for name, raw in _UNFINISHED),
    *(unfinished(f"unfinished: {cut} bytes", _HEAD[:cut], _STILL, "RFC 9112 §8") for cut in _CUTS),
    *(unfinished(f"unfinished: in a tail of {size}", get(b"X-A: b" * size)[:-2], _STILL, "RFC 9112 §8")
      for size in (90, 500)),
)  # fmt: skip
