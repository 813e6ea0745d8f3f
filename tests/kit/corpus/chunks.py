"""The chunked coding itself: sizes, extensions, line ends, trailers, each broken in one way.

Part of the request corpus. The head of every case is flawless, so whatever is refused here is found after the request
was routed: the origin may have seen a beginning, and must never see an end.
"""

from __future__ import annotations

from tests.kit.corpus.case import SMUGGLED, Case, Received, accept, chunked, either, post, refuse

_CHUNKED = "RFC 9112 §7.1"
_EXTENSIONS = "RFC 9112 §7.1.1"
_TRAILERS = "RFC 9112 §7.1.2"
_END = b"0\r\n\r\n"

# (name, the size line of a chunk of five bytes, why)
_SIZES: tuple[tuple[str, bytes, str], ...] = (
    ("hexadecimal prefix", b"0x5", "1*HEXDIG has no prefix"),
    ("upper-case prefix", b"0X5", "1*HEXDIG has no prefix"),
    ("letter h", b"5h", "h is no HEXDIG"),
    ("minus sign", b"-5", "1*HEXDIG has no sign"),
    ("plus sign", b"+5", "1*HEXDIG has no sign"),
    ("space in front", b" 5", "no white space before a size"),
    ("tab in front", b"\t5", "no white space before a size"),
    ("space behind", b"5 ", "white space stands only before an extension"),
    ("tab behind", b"5\t", "white space stands only before an extension"),
    ("vertical tab behind", b"5\x0b", "VT is no HEXDIG"),
    ("two sizes", b"5 5", "two numbers are not one"),
    ("NUL behind", b"5\x00", "NUL is no HEXDIG"),
    ("NUL in front", b"\x005", "NUL is no HEXDIG"),
    ("empty", b"", "1*HEXDIG has at least one"),
    ("underscore", b"0_5", "1*HEXDIG has no underscore"),
    ("point", b"5.0", "1*HEXDIG has no point"),
    ("quoted", b'"5"', "1*HEXDIG has no quotes"),
    ("letter g", b"g", "g is no HEXDIG"),
    ("full-width digit", "\uff15".encode(), "only ASCII digits are digits"),
    ("seventeen digits", b"10000000000000005", "overflows to 5 in 64 bits"),
    ("sixteen digits, F in front", b"FFFFFFFFFFFFFFFB", "is -5 in a signed 64-bit reader"),
    ("nine digits", b"100000005", "overflows to 5 in 32 bits; larger than any body allowed"),
    ("endless zeros", b"0" * 4000 + b"5", "a size line is bounded"),
    ("bare CR behind", b"5\r", "CR alone is refused"),
    ("bare CR in front", b"\r5", "CR alone is refused"),
    ("comma", b"5,5", "1*HEXDIG has no comma"),
)

# (name, what stands between the size and CRLF, why)
_BAD_EXTENSIONS: tuple[tuple[str, bytes, str], ...] = (
    ("NUL", b";a\x00b", "an extension name is a token"),
    ("bare LF", b";a\nb", "LF alone does not end a line here: readers that stop at it see another body"),
    ("bare CR", b";a\rb", "CR alone is refused"),
    ("bare LF behind semicolon", b";\n", "the known terminator-extension smuggling"),
    ("of 20 KB", b";a=" + b"x" * 20_000, "extensions are bounded"),
    ("quote left open", b';a="x', "a quoted string ends"),
    ("LF in quotes", b';a="x\ny"', "a quoted string holds no line end"),
    ("name missing", b";=x", "an extension name is a token"),
    ("value missing", b";a=", "a value is a token or a quoted string"),
    ("control character", b";a=\x01", "a value is a token or a quoted string"),
    ("without a semicolon", b" a=b", "an extension begins with a semicolon"),
    ("8-bit token", b";\xff", "an extension name is a token"),
)

# (name, the whole body, why)
_BODIES: tuple[tuple[str, bytes, str], ...] = (
    ("size line ended with LF", b"5\nhello\r\n" + _END, "LF alone does not end a line here"),
    ("size line ended with CR", b"5\rhello\r\n" + _END, "CR alone does not end a line"),
    ("data ended with LF", b"5\r\nhello\n" + _END, "CRLF ends a chunk"),
    ("data ended with CR", b"5\r\nhello\r" + _END, "CRLF ends a chunk"),
    ("data not ended", b"5\r\nhello" + _END, "CRLF ends a chunk"),
    ("data ended by two other bytes", b"5\r\nhelloXX" + _END, "readers that skip two bytes see another body"),
    ("data longer than its size", b"5\r\nhello world\r\n" + _END, "CRLF must follow the fifth byte"),
    ("data shorter than its size", b"9\r\nhello\r\n" + _END, "CRLF must follow the ninth byte"),
    ("last chunk ended with LF", b"5\r\nhello\r\n0\n\n", "LF alone does not end a line here"),
    ("last line ended with LF", b"5\r\nhello\r\n0\r\n\n", "LF alone does not end a line here"),
    ("last line ended with CR", b"5\r\nhello\r\n0\r\n\rX", "CR alone does not end a line"),
    ("empty line in front", b"\r\n5\r\nhello\r\n" + _END, "a body begins with a size"),
    ("empty line between chunks", b"5\r\nhello\r\n\r\n" + _END, "a size follows each chunk"),
    ("not chunked at all", b"hello", "h is no HEXDIG"),
    ("request instead of a chunk", SMUGGLED, "G is no HEXDIG"),
    ("minus zero as last chunk", b"5\r\nhello\r\n-0\r\n\r\n", "1*HEXDIG has no sign"),
    ("prefixed zero as last chunk", b"5\r\nhello\r\n0x0\r\n\r\n", "1*HEXDIG has no prefix"),
    ("two CR before an extension", b"5\r\r;a\r\nhello\r\n" + _END, "CR alone is refused"),
    ("size with text behind", b"5these-bytes\r\nhello\r\n" + _END, "1*HEXDIG ends the size"),
    ("underscore in the last size", b"5\r\nhello\r\n0_2e\r\n\r\n" + SMUGGLED, "1*HEXDIG has no underscore"),
    ("ended by an empty line", b"5\r\nhello\r\n\r\n" + SMUGGLED, "a size follows each chunk"),
    ("begun with empty lines", b"\r\n\r\n" + SMUGGLED, "a body begins with a size"),
)

# (name, the trailer lines, why)
_BAD_TRAILERS: tuple[tuple[str, bytes, str], ...] = (
    ("without a colon", b"Checksum\r\n", "a field line has a colon"),
    ("space before colon", b"Checksum : x\r\n", "no space is allowed before the colon"),
    ("empty name", b": x\r\n", "a field name is not empty"),
    ("folded", b"Checksum: x\r\n y\r\n", "line folding is refused"),
    ("leading space", b" Checksum: x\r\n", "line folding is refused"),
    ("NUL in value", b"Checksum: x\x00\r\n", "NUL is never part of a field value"),
    ("bare CR", b"Checksum: x\ry\r\n", "CR alone is refused"),
    ("bare LF", b"Checksum: x\nContent-Length: 5\r\n", "LF alone does not end a line here"),
    ("name not a token", b"Check(sum): x\r\n", "a field name is a token"),
    ("8-bit name", b"Ch\xe9cksum: x\r\n", "a field name is a token"),
    ("request line", b"GET /smuggled HTTP/1.1\r\n", "a field line has a colon after its name"),
    ("of 100 KB", b"Checksum: " + b"x" * 100_000 + b"\r\n", "trailers are bounded"),
    ("Content-Length", b"Content-Length: 50\r\n", "framing is never said behind the body"),
    ("Transfer-Encoding", b"Transfer-Encoding: identity\r\n", "framing is never said behind the body"),
    ("Host", b"Host: evil.example\r\n", "routing is never said behind the body"),
    ("a thousand of them", b"".join(b"X-%d: y\r\n" % number for number in range(1000)), "trailers are bounded"),
)

# (name, trailer line, what must not reach the origin's head or trailer)
_FORBIDDEN_TRAILERS: tuple[tuple[str, bytes], ...] = (
    ("Connection", b"Connection: close"),
    ("Authorization", b"Authorization: Bearer forged"),
    ("X-Forwarded-For", b"X-Forwarded-For: 203.0.113.9"),
    ("Cookie", b"Cookie: admin=1"),
    ("CF-Connecting-IP", b"CF-Connecting-IP: 203.0.113.9"),
    ("True-Client-IP", b"True-Client-IP: 203.0.113.9"),
    ("X_Real_IP", b"X_Real_IP: 203.0.113.9"),
    ("Max-Forwards", b"Max-Forwards: 3"),
)


def _extension(between: bytes) -> bytes:
    return chunked(b"5" + between + b"\r\nhello\r\n" + _END)


def _well_formed() -> list[Case]:
    body, hello = Received(b"POST", b"/", b"hello world"), Received(b"POST", b"/", b"hello")
    rows: tuple[tuple[str, bytes, str, str, Received], ...] = (
        ("one chunk", b"5\r\nhello\r\n" + _END, "the plain form", _CHUNKED, hello),
        ("two chunks", b"5\r\nhello\r\n6\r\n world\r\n" + _END, "pieces join", _CHUNKED, body),
        ("no chunk", _END, "an empty body", _CHUNKED, Received(b"POST", b"/")),
        ("eleven chunks of one byte", b"".join(b"1\r\n%c\r\n" % octet for octet in b"hello world") + _END,
         "pieces join", _CHUNKED, body),
        ("lower-case size", b"b\r\nhello world\r\n" + _END, "HEXDIG in either case", _CHUNKED, body),
        ("upper-case size", b"B\r\nhello world\r\n" + _END, "HEXDIG in either case", _CHUNKED, body),
        ("zeros in front of the size", b"00005\r\nhello\r\n" + _END, "1*HEXDIG allows zeros", _CHUNKED, hello),
        ("three zeros as last chunk", b"5\r\nhello\r\n000\r\n\r\n", "last-chunk is 1*0", _CHUNKED, hello),
        ("extension name", b"5;flag\r\nhello\r\n" + _END, "unknown extensions are ignored", _EXTENSIONS, hello),
        ("extension value", b"5;a=b\r\nhello\r\n" + _END, "unknown extensions are ignored", _EXTENSIONS, hello),
        ("extension quoted", b'5;a="b c"\r\nhello\r\n' + _END, "a value may be quoted", _EXTENSIONS, hello),
        ("extension with white space", b"5 ; a = b\r\nhello\r\n" + _END, "BWS is allowed", _EXTENSIONS, hello),
        ("extension with an escaped quote", b'5;a="b\\"c"\r\nhello\r\n' + _END, "quoted pair", _EXTENSIONS, hello),
        ("two extensions", b"5;a;b=c\r\nhello\r\n" + _END, "there may be several", _EXTENSIONS, hello),
        ("extension on the last chunk", b"5\r\nhello\r\n0;a=b\r\n\r\n", "allowed there too", _EXTENSIONS, hello),
        ("CRLF within the data", b"9\r\n0\r\n\r\nabcd\r\n" + _END, "data is counted, not searched", _CHUNKED,
         Received(b"POST", b"/", b"0\r\n\r\nabcd")),
        ("a request within the data", b"%x\r\n%b\r\n" % (len(SMUGGLED), SMUGGLED) + _END,
         "data is counted, not searched", _CHUNKED, Received(b"POST", b"/", SMUGGLED)),
        ("trailer", b"5\r\nhello\r\n0\r\nChecksum: abc\r\n\r\n", "passed on or dropped", _TRAILERS, hello),
        ("trailer that looks like a request line", b"5\r\nhello\r\n0\r\nX:POST / HTTP/1.1\r\n\r\n",
         "a field like any other", _TRAILERS, hello),
        ("trailer with an empty value", b"5\r\nhello\r\n0\r\nChecksum:\r\n\r\n", "as in a head", _TRAILERS, hello),
        ("a second request behind", b"5\r\nhello\r\n" + _END + SMUGGLED, "it begins after the trailers", _CHUNKED,
         hello),
    )  # fmt: skip
    cases = [accept(f"chunks: {name}", chunked(raw), why, source, reading) for name, raw, why, source, reading in rows]
    last = cases.pop()
    cases.append(last._replace(received=(hello, Received(b"GET", b"/smuggled"))))
    coding = (b"Transfer-Encoding: Chunked", b"transfer-encoding: CHUNKED", b"Transfer-Encoding:\tchunked")
    cases += [
        accept(f"chunks: {line!r}", post(line, body=b"5\r\nhello\r\n" + _END),
               "codings compare without case; white space around a value is not part of it", "RFC 9112 §7", hello)
        for line in coding
    ]  # fmt: skip
    return cases


def _trailers() -> list[Case]:
    return [
        accept(f"trailer {name} is dropped", chunked(b"5\r\nhello\r\n0\r\n" + line + b"\r\n\r\n"),
               "what frames, routes or identifies is never taken from a trailer", "RFC 9110 §6.5.1",
               Received(b"POST", b"/", b"hello", never=(line.lower(),)))
        for name, line in _FORBIDDEN_TRAILERS
    ]  # fmt: skip


CASES: tuple[Case, ...] = (
    *(refuse(f"chunk size: {name}", chunked(size + b"\r\nhello\r\n" + _END), why, _CHUNKED)
      for name, size, why in _SIZES),
    *(refuse(f"chunk extension: {name}", _extension(between), why, _EXTENSIONS)
      for name, between, why in _BAD_EXTENSIONS),
    *(refuse(f"chunked body: {name}", chunked(body), why, _CHUNKED) for name, body, why in _BODIES),
    *(refuse(f"trailer: {name}", chunked(b"5\r\nhello\r\n0\r\n" + lines + b"\r\n"), why, _TRAILERS)
      for name, lines, why in _BAD_TRAILERS),
    either("chunks: white space behind the coding",
           post(b"Transfer-Encoding: chunked \t", body=b"5\r\nhello\r\n" + _END),
           "no part of the value, and a disguise all the same", "RFC 9112 §5.1", Received(b"POST", b"/", b"hello")),
    either("chunk extension: lone semicolon", _extension(b";"), "RFC 2616 allowed it; never another body", _EXTENSIONS,
           Received(b"POST", b"/", b"hello")),
    *_well_formed(),
    *_trailers(),
)  # fmt: skip
