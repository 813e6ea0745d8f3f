"""One byte out of place, everywhere: each of the 256 octets in each position where two readers may differ over it.

These cases are made, not written: the verdict of each follows from the grammar of RFC 9112 by the byte alone. They are
too many for the wire tests; `tests/security/conformance.py` plays them against a whole gateway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.kit.corpus.case import HOST, SMUGGLED, Case, Received, accept, get, message, post, refuse

_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_SPACE = frozenset(b" \t")
_VALUE = _SPACE | frozenset(range(33, 127)) | frozenset(range(128, 256))
_ODD = (*range(33), *range(127, 256))  # octets that are no part of a token, a name or a number in anyone's reading
_WORST = (0, 1, 8, 9, 10, 11, 12, 13, 28, 31, 32, 127, 128, 133, 160, 173, 255)  # white space of some other reader
_UNDERSCORE = 95  # fields with one in their name do not reach the origin
_END = b"0\r\n\r\n"
_HIDDEN = _END + SMUGGLED
_ROOT = Received(b"GET", b"/")
_POSTED = Received(b"POST", b"/", b"hello")


def _case(place: str, octet: int, raw: bytes, received: Received | None) -> Case:
    """Accepted if the grammar takes the octet there for something, which is `received`."""
    name, why = f"{place} {octet:#04x}", "the grammar, octet by octet"
    return accept(name, raw, why, "RFC 9112", received) if received else refuse(name, raw, why, "RFC 9112")


def _around(name: bytes, value: bytes) -> tuple[tuple[str, Callable[[bytes], bytes]], ...]:
    """A field line with an octet in each of the four places around its name and its value."""
    return (
        ("before name", lambda octet: octet + name + b": " + value),
        ("before colon", lambda octet: name + octet + b": " + value),
        ("behind colon", lambda octet: name + b":" + octet + value),
        ("behind value", lambda octet: name + b": " + value + octet),
    )


def _framing() -> Iterator[Case]:
    length = b"Content-Length: %d" % len(_HIDDEN)
    for place, line in _around(b"Transfer-Encoding", b"chunked"):
        for octet in _ODD:
            written = line(bytes((octet,)))
            yield _case(f"TE and CL, {place}", octet, post(written, length, body=_HIDDEN), None)
            white = octet in _SPACE and place in ("behind colon", "behind value")
            taken = _case(f"TE alone, {place}", octet, post(written, body=b"5\r\nhello\r\n" + _END),
                          _POSTED if white else None)  # fmt: skip
            strict = white and octet == 9 and place == "behind value"  # llhttp knows no tab behind the coding
            yield taken._replace(verdict="either") if strict else taken
    for place, line in _around(b"Content-Length", b"5"):
        for octet in _ODD:
            white = octet in _SPACE and place in ("behind colon", "behind value")
            raw = post(line(bytes((octet,))), body=b"hello")
            yield _case(f"CL, {place}", octet, raw, _POSTED if white else None)


def _framing_twice() -> Iterator[Case]:
    """The same octet in two places: readers that trim one side may also trim the other."""
    name, value = b"Transfer-Encoding", b"chunked"
    length = b"Content-Length: %d" % len(_HIDDEN)
    for octet in _WORST:
        odd = bytes((octet,))
        lines = (
            ("around name", odd + name + odd + b": " + value),
            ("before name and value", odd + name + b":" + odd + value),
            ("before name, behind value", odd + name + b": " + value + odd),
            ("around colon", name + odd + b":" + odd + value),
            ("before colon, behind value", name + odd + b": " + value + odd),
            ("around value", name + b":" + odd + value + odd),
        )
        for place, line in lines:
            yield _case(f"TE and CL, {place}", octet, post(line, length, body=_HIDDEN), None)


def _first_line() -> Iterator[Case]:
    """What may stand in a first line, place by place; nothing may stand where a space or CRLF must."""
    for octet in range(256):
        odd = bytes((octet,))
        method = odd in b"ABCDEFGHIJKLMNOPQRSTUVWXYZ" or (octet in _TOKEN and not odd.isalpha())
        named = Received(b"GE" + odd + b"T", b"/") if method else None
        yield _case("within method", octet, message(b"GE" + odd + b"T / HTTP/1.1", HOST), named)
        query = 33 <= octet <= 126 and odd != b"#"
        asked = Received(b"GET", b"/?a" + odd + b"b") if query else None
        yield _case("within query", octet, get(target=b"/?a" + odd + b"b"), asked)
        path = query and odd not in b"\\%"
        if path and odd not in b"?":
            spelt = b"%%%02X" % octet if odd in b'"<>^`{|}[]' else odd
            yield _case("within path", octet, get(target=b"/a" + odd + b"b"), Received(b"GET", b"/a" + spelt + b"b"))
        elif not query:
            yield _case("within path", octet, get(target=b"/a" + odd + b"b"), None)
        if odd not in b" ":
            yield _case("for the first space", octet, message(b"GET" + odd + b"/ HTTP/1.1", HOST), None)
            yield _case("for the second space", octet, message(b"GET /" + odd + b"HTTP/1.1", HOST), None)
        if octet not in range(48, 58):
            yield _case("for the minor version", octet, message(b"GET / HTTP/1." + odd, HOST), None)
        yield _case("behind version", octet, message(b"GET / HTTP/1.1" + odd, HOST), None)
        if octet not in (10, 13) and octet not in _TOKEN:
            yield _case("in front", octet, odd + get(), None)


def _fields() -> Iterator[Case]:
    for octet in range(256):
        odd = bytes((octet,))
        named = None
        if octet in _TOKEN:
            fields = () if octet == _UNDERSCORE else ((b"x-a" + odd.lower() + b"b", b"c"),)
            named = _ROOT._replace(fields=fields)
        if odd != b":":
            yield _case("within name", octet, get(b"X-A" + odd + b"b: c"), named)
        value = _ROOT._replace(fields=((b"x-a", b"b" + odd + b"c"),)) if octet in _VALUE else None
        yield _case("within value", octet, get(b"X-A: b" + odd + b"c"), value)
        if odd not in b":":
            host = octet in frozenset(b"!$&+-.=_~") or odd.isalnum()
            yield _case("within Host", octet, message(b"GET / HTTP/1.1", b"Host: a" + odd + b"example"),
                        _ROOT if host else None)  # fmt: skip


def _chunks() -> Iterator[Case]:
    hexadecimal = frozenset(b"0123456789abcdefABCDEF")
    for octet in range(256):
        odd = bytes((octet,))
        if octet not in hexadecimal:
            for place, line in (("before size", odd + b"5"), ("behind size", b"5" + odd)):
                raw = post(b"Transfer-Encoding: chunked", body=line + b"\r\nhello\r\n" + _END)
                if odd != b";":
                    yield _case(place, octet, raw, None)
        for place, end in (("for the CR of a chunk", odd + b"\n"), ("for the LF of a chunk", b"\r" + odd)):
            if end != b"\r\n":
                raw = post(b"Transfer-Encoding: chunked", body=b"5\r\nhello" + end + _END)
                yield _case(place, octet, raw, None)


def _unlike(cases: Iterator[Case]) -> Iterator[Case]:
    """Without those that come to the same bytes."""
    seen: set[bytes] = set()
    for case in cases:
        if case.raw not in seen:
            seen.add(case.raw)
            yield case


def _all() -> Iterator[Case]:
    yield from _framing()
    yield from _framing_twice()
    yield from _first_line()
    yield from _fields()
    yield from _chunks()


PERMUTATIONS: tuple[Case, ...] = tuple(_unlike(_all()))
