"""Where a request body ends: Transfer-Encoding and Content-Length in every disguise that made two readers disagree.

Part of the request corpus. Each disguised coding is sent beside a Content-Length (CL.TE, TE.CL) and alone, with a
request hidden in the bytes that one of the readings leaves over.
"""

from __future__ import annotations

from tests.kit.corpus.case import HOST, SMUGGLED, Case, Received, accept, either, get, message, post, refuse

_FRAMING = "RFC 9112 §6.1"
_LENGTH = "RFC 9112 §6.3"
_FIVE = Received(b"POST", b"/", b"hello")

# (name, field lines, why): a Transfer-Encoding that is not exactly `chunked`, or not exactly a field.
_DISGUISES: tuple[tuple[str, tuple[bytes, ...], str], ...] = (
    ("space before colon", (b"Transfer-Encoding : chunked",), "no space is allowed before the colon"),
    ("tab before colon", (b"Transfer-Encoding\t: chunked",), "no tab is allowed before the colon"),
    ("vertical tab before value", (b"Transfer-Encoding:\x0bchunked",), "VT is not optional white space"),
    ("form feed before value", (b"Transfer-Encoding:\x0cchunked",), "FF is not optional white space"),
    ("vertical tab after value", (b"Transfer-Encoding: chunked\x0b",), "VT is a control character"),
    ("NUL after value", (b"Transfer-Encoding: chunked\x00",), "NUL is never part of a field value"),
    ("NUL within value", (b"Transfer-Encoding: chu\x00nked",), "NUL is never part of a field value"),
    ("NUL within name", (b"Transfer-\x00Encoding: chunked",), "NUL is not a token character"),
    ("DEL after value", (b"Transfer-Encoding: chunked\x7f",), "DEL is a control character"),
    ("no-break space before value", (b"Transfer-Encoding:\xa0chunked",), "0xA0 is not optional white space"),
    ("byte 0xFF after value", (b"Transfer-Encoding: chunked\xff",), "not the token chunked"),
    ("double quotes", (b'Transfer-Encoding: "chunked"',), "a coding is a token, not a quoted string"),
    ("single quotes", (b"Transfer-Encoding: 'chunked'",), "another token than chunked"),
    ("xchunked", (b"Transfer-Encoding: xchunked",), "another token than chunked"),
    ("chunkedx", (b"Transfer-Encoding: chunkedx",), "another token than chunked"),
    ("x chunked", (b"Transfer-Encoding: x chunked",), "two tokens without a comma"),
    ("chunked x", (b"Transfer-Encoding: chunked x",), "two tokens without a comma"),
    ("parameter", (b"Transfer-Encoding: chunked;q=1",), "chunked has no parameters"),
    ("identity", (b"Transfer-Encoding: identity",), "identity was removed from HTTP"),
    ("empty", (b"Transfer-Encoding:",), "a coding list has at least one member"),
    ("only a comma", (b"Transfer-Encoding: ,",), "a coding list has at least one member"),
    ("chunked, identity", (b"Transfer-Encoding: chunked, identity",), "chunked must be last"),
    ("identity, chunked", (b"Transfer-Encoding: identity, chunked",), "identity is no coding"),
    ("chunked, gzip", (b"Transfer-Encoding: chunked, gzip",), "chunked must be last"),
    ("gzip", (b"Transfer-Encoding: gzip",), "the last coding of a request must be chunked"),
    ("gzip, chunked", (b"Transfer-Encoding: gzip, chunked",), "only chunked is understood here: 501"),
    ("chunked twice in a list", (b"Transfer-Encoding: chunked, chunked",), "chunked must not be applied twice"),
    ("trailing comma", (b"Transfer-Encoding: chunked,",), "exactly `chunked` is taken (house §7.4)"),
    ("leading comma", (b"Transfer-Encoding: , chunked",), "exactly `chunked` is taken (house §7.4)"),
    ("two fields", (b"Transfer-Encoding: chunked",) * 2, "chunked must not be applied twice"),
    ("chunked then identity", (b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"), "chunked is not last"),
    ("identity then chunked", (b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked"), "identity is no coding"),
    ("other case twice", (b"Transfer-Encoding: chunked", b"transfer-ENCODING: x"), "names compare without case"),
    ("folded value", (b"Transfer-Encoding:", b" chunked"), "line folding is refused"),
    ("folded with a tab", (b"Transfer-Encoding:", b"\tchunked"), "line folding is refused"),
    ("folded after value", (b"Transfer-Encoding: chunked", b" , identity"), "line folding is refused"),
    ("folded into another field", (b"X-Filler: a", b" Transfer-Encoding: chunked"), "line folding is refused"),
    ("ended with LF only", (b"Transfer-Encoding: chunked\nX-Filler: a",), "LF alone does not end a line here"),
    ("begun after LF only", (b"X-Filler: a\nTransfer-Encoding: chunked",), "LF alone does not end a line here"),
    ("begun after CR only", (b"X-Filler: a\rTransfer-Encoding: chunked",), "CR alone is refused"),
    ("CR within value", (b"Transfer-Encoding: chun\rked",), "CR alone is refused"),
    ("CR before CRLF", (b"Transfer-Encoding: chunked\r",), "CR alone is refused"),
    ("CR before value", (b"Transfer-Encoding:\rchunked",), "CR alone is refused"),
    ("backspace in name", (b"Transfer-Encoding\x08: chunked",), "a control character in a name"),
    ("Unicode hyphen in name", (b"Transfer\xe2\x80\x90Encoding: chunked",), "0xE2 is not a token character"),
    ("Kelvin sign", (b"Transfer-Encoding: chun\xe2\x84\xaaed",), "U+212A lower-cases to k in some languages"),
    ("no colon", (b"Transfer-Encoding chunked",), "a field line has a colon"),
    ("equals sign", (b"Transfer-Encoding=chunked",), "a field line has a colon"),
    ("two colons", (b"Transfer-Encoding:: chunked",), "the value begins with a colon, so it is not chunked"),
    ("colon first", (b":Transfer-Encoding: chunked",), "a field name is not empty"),
    ("8-bit name", (b"\xefTransfer-Encoding: chunked",), "0xEF is not a token character"),
)


def _disguised() -> list[Case]:
    cases = []
    for name, lines, why in _DISGUISES:
        hidden = b"0\r\n\r\n" + SMUGGLED
        both = post(b"Content-Length: %d" % len(hidden), *lines, body=hidden)
        cases.append(refuse(f"CL and TE, {name}", both, why, _FRAMING))
        first = post(*lines, b"Content-Length: 4", body=b"5c\r\nGPOST / HTTP/1.1\r\n\r\n0\r\n\r\n")
        cases.append(refuse(f"TE and CL, {name}", first, why, _FRAMING))
        cases.append(refuse(f"TE alone, {name}", post(*lines, body=hidden), why, _FRAMING))
    return cases


def _both() -> list[Case]:
    both = "Content-Length beside Transfer-Encoding: ambiguous framing"
    codings = (b"chunked", b"Chunked", b"\tchunked", b" chunked \t")
    cases = [
        refuse(f"CL.TE {coding!r}", post(
            b"Content-Length: 6", b"Transfer-Encoding:" + coding, body=b"0\r\n\r\nG"), both, _LENGTH, 400)
        for coding in codings
    ]  # fmt: skip
    cases += [
        refuse("TE.CL", post(
            b"Transfer-Encoding: chunked", b"Content-Length: 4",
            body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)), both, _LENGTH, 400),
        refuse("CL 0 and TE", post(
            b"Content-Length: 0", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), both, _LENGTH, 400),
        refuse("GET with CL and TE", get(
            b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), both, _LENGTH, 400),
        refuse("TE on HTTP/1.0", message(
            b"POST / HTTP/1.0", HOST, b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
            "HTTP/1.0 has no transfer codings", _FRAMING, 400),
        refuse("TE and CL on HTTP/1.0", message(
            b"POST / HTTP/1.0", HOST, b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
            "HTTP/1.0 has no transfer codings", _FRAMING, 400),
        refuse("TE on HTTP/1.0 keep-alive", message(
            b"POST / HTTP/1.0", HOST, b"Connection: keep-alive", b"Transfer-Encoding: chunked",
            body=b"0\r\n\r\n" + SMUGGLED), "HTTP/1.0 has no transfer codings", _FRAMING, 400),
    ]  # fmt: skip
    return cases


# (name, value, why): not 1*DIGIT, or more than one number.
_LENGTHS: tuple[tuple[str, bytes, str], ...] = (
    ("plus sign", b"+5", "a length is digits only"),
    ("minus sign", b"-5", "a length is digits only"),
    ("minus zero", b"-0", "a length is digits only"),
    ("hexadecimal", b"0x5", "a length is digits only"),
    ("hexadecimal letter", b"a", "a length is digits only"),
    ("octal prefix", b"0o5", "a length is digits only"),
    ("point", b"5.0", "a length is digits only"),
    ("exponent", b"5e0", "a length is digits only"),
    ("underscore", b"1_0", "a length is digits only"),
    ("two numbers", b"5 6", "two numbers are not one"),
    ("the same number twice", b"5 5", "two numbers are not one"),
    ("list of two", b"5, 6", "two values disagree"),
    ("list with an empty member", b"5,", "not 1*DIGIT"),
    ("list with a sign", b"5, +5", "not 1*DIGIT"),
    ("semicolon", b"5;", "not 1*DIGIT"),
    ("quoted", b'"5"', "not 1*DIGIT"),
    ("empty", b"", "not 1*DIGIT"),
    ("word", b"five", "not 1*DIGIT"),
    ("vertical tab", b"\x0b5", "VT is not optional white space"),
    ("form feed", b"5\x0c", "FF is not optional white space"),
    ("NUL", b"5\x00", "NUL is never part of a field value"),
    ("no-break space", b"\xa05", "0xA0 is not optional white space"),
    ("Arabic digit", "\u0665".encode(), "only ASCII digits are digits"),
    ("full-width digit", "\uff15".encode(), "only ASCII digits are digits"),
    ("just above 64 bits", b"18446744073709551621", "overflows to 5 in 64 bits"),
    ("just above signed 64 bits", b"9223372036854775813", "overflows in a signed 64-bit reader"),
    ("forty digits", b"5" * 40, "overflows every integer type"),
    ("bare CR", b"5\r", "CR alone is refused"),
    ("bare CR between", b"5\r6", "CR alone is refused"),
    ("folded", b"5\r\n 6", "line folding is refused"),
    ("folded empty", b"\r\n 5", "line folding is refused"),
    ("bare LF", b"5\nX-Filler: a", "LF alone does not end a line here"),
)


def _lengths() -> list[Case]:
    cases = [
        refuse(f"CL {name}", post(b"Content-Length: " + value, body=b"hello"), why, _LENGTH)
        for name, value, why in _LENGTHS
    ]
    cases += [
        refuse("CL beyond the body limit and 32 bits", post(b"Content-Length: 4294967301", body=b"hello"),
               "overflows to 5 in 32 bits; larger than any body allowed", _LENGTH, 413),
        refuse("two CL that differ", post(b"Content-Length: 5", b"Content-Length: 6", body=b"hello"),
               "two values disagree", _LENGTH, 400),
        refuse("two CL that differ, other case", post(b"Content-Length: 0", b"content-length: 5", body=b"hello"),
               "names compare without case", _LENGTH, 400),
        refuse("two CL, zero first", post(
            b"Content-Length: 0", b"Content-Length: %d" % len(SMUGGLED), body=SMUGGLED),
            "two values disagree: a request would hide in the body", _LENGTH, 400),
        refuse("CL space before colon", post(b"Content-Length : 5", body=b"hello"),
               "no space is allowed before the colon", "RFC 9112 §5.1", 400),
        refuse("CL tab before colon", post(b"Content-Length\t: 5", body=b"hello"),
               "no tab is allowed before the colon", "RFC 9112 §5.1", 400),
        *(refuse(f"CL {name}, and TE", post(b"Content-Length: " + value, b"Transfer-Encoding: chunked",
                 body=b"0\r\n\r\n" + SMUGGLED), why, _LENGTH) for name, value, why in _LENGTHS),
        refuse("two CL, the first empty", post(b"Content-Length:", b"Content-Length: 5", body=b"hello"),
               "two values disagree", _LENGTH, 400),
        refuse("CL without a colon", post(b"Content-Length 5", body=b"hello"), "a field line has a colon",
               "RFC 9112 §5", 400),
        refuse("TE cut in two lines", post(b"Transfer-", b"Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n"),
               "a field line has a colon", "RFC 9112 §5", 400),
        refuse("CL after LF only", post(b"X-Filler: a\nContent-Length: 5", body=b"hello"),
               "LF alone does not end a line here", "RFC 9112 §2.2"),
        refuse("CL folded into another field", post(b"X-Filler: a", b" Content-Length: 5", body=b"hello"),
               "line folding is refused", "RFC 9112 §5.2", 400),
        either("two CL that agree", post(b"Content-Length: 5", b"Content-Length: 5", body=b"hello"),
               "may be read as one; never as two", _LENGTH, _FIVE),
        either("list of two CL that agree", post(b"Content-Length: 5, 5", body=b"hello"),
               "may be read as one; never as two", _LENGTH, _FIVE),
        either("CL with leading zeros", post(b"Content-Length: 005", body=b"hello"),
               "1*DIGIT allows zeros in front; octal is a misreading", "RFC 9110 §8.6", _FIVE),
        either("CL named by Connection", post(b"Connection: Content-Length", b"Content-Length: 5", body=b"hello"),
               "a body whose length is removed on the way would become a request", "RFC 9110 §7.6.1", _FIVE),
        either("TE named by Connection", post(
            b"Connection: Transfer-Encoding", b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"),
            "a body whose framing is removed on the way would become a request", "RFC 9110 §7.6.1", _FIVE),
    ]  # fmt: skip
    return cases


def _hidden() -> list[Case]:
    """Names that only look like framing: refused where another reader would obey them, passed on where none would."""
    body = b"0\r\n\r\n"
    length = b"Content-Length: 5"
    likenesses = (
        b"Transfer_Encoding: chunked", b"Transfer__Encoding: chunked", b"Transfer-_Encoding: chunked",
        b"_Transfer-Encoding: chunked", b"Transfer-Encoding_: chunked", b"Content_Length: 2", b"Content__Length: 2",
        b"CONTENT_LENGTH: 2",
    )  # fmt: skip
    others = (b"Transfer.Encoding: chunked", b"Transfer-%45ncoding: chunked", b"Content-Length-Hint: 2")
    return [
        *(refuse(f"likeness: {line.decode()}", post(length, line, body=body),
                 "behind WSGI it is framing", "house: underscores", 400)
          for line in likenesses),
        *(refuse(f"likeness alone: {line.decode()}", post(line, body=body),
                 "behind WSGI it is framing", "house: underscores", 400)
          for line in likenesses),
        *(accept(line.decode(), post(length, line, body=b"hello"), "another field", "RFC 9112 §6.1", _FIVE)
          for line in others),
        accept("X-Transfer-Encoding", post(length, b"X-Transfer-Encoding: chunked", body=body),
               "another field", "RFC 9112 §6.1", Received(b"POST", b"/", body)),
        accept("Content-Encoding: chunked", post(length, b"Content-Encoding: chunked", body=body),
               "another field", "RFC 9110 §8.4", Received(b"POST", b"/", body)),
        accept("TE: chunked", post(length, b"TE: chunked", body=body),
               "TE says what a client accepts; it frames nothing", "RFC 9110 §10.1.4", Received(b"POST", b"/", body)),
        accept("CL 0 hides nothing", post(b"Content-Length: 0", body=SMUGGLED),
               "what follows a body of no bytes is the next request", "RFC 9112 §6.3",
               Received(b"POST", b"/"), Received(b"GET", b"/smuggled")),
        accept("body that looks like a request", post(b"Content-Length: %d" % len(SMUGGLED), body=SMUGGLED),
               "within its length a body is a body", "RFC 9112 §6.3", Received(b"POST", b"/", SMUGGLED)),
    ]  # fmt: skip


CASES: tuple[Case, ...] = (*_disguised(), *_both(), *_lengths(), *_hidden())
