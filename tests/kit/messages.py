"""HTTP/1.1 messages as the tests read and write them: a reader that shares no line with the gateway's, and shorthands.

The two ends of a wire conversation use it to cut what arrived into whole messages. It is strict where the gateway must
be correct (framing, line ends) and says what is wrong in an AssertionError, for then the gateway has lied.
"""

from __future__ import annotations

import re
from typing import NamedTuple

Lines = tuple[tuple[bytes, bytes], ...]


class Request(NamedTuple):
    """One whole request, as an origin received it; names in lower case."""

    raw: bytes
    method: bytes
    target: bytes
    fields: Lines
    body: bytes
    trailers: Lines

    def all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.fields if key == name]

    def get(self, name: bytes) -> bytes | None:
        """The one value of a field, None if it is not there."""
        found = self.all(name)
        assert len(found) < 2, f"{name!r} stands {len(found)} times"
        return found[0] if found else None


class Response(NamedTuple):
    """One whole response, as a client received it; names in lower case."""

    raw: bytes
    status: int
    fields: Lines
    body: bytes
    trailers: Lines

    def all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.fields if key == name]

    def get(self, name: bytes) -> bytes | None:
        """The one value of a field, None if it is not there."""
        found = self.all(name)
        assert len(found) < 2, f"{name!r} stands {len(found)} times"
        return found[0] if found else None


def read_request(wire: bytes) -> Request | None:
    """The first whole request on `wire`, None if there is not one yet."""
    head = _head(wire)
    if head is None:
        return None
    line, fields, at = head
    words = line.split(b" ")
    assert (len(words), words[-1]) == (3, b"HTTP/1.1"), f"no request line: {line!r}"
    found = _body(wire, at, fields, until_close=False)
    if found is None:
        return None
    body, trailers, end = found
    return Request(wire[:end], words[0], words[1], fields, body, trailers)


def read_response(wire: bytes, method: bytes = b"GET", *, closed: bool = False) -> Response | None:
    """The first whole response (1xx too) on `wire`; `closed` says that nothing more will come."""
    head = _head(wire)
    if head is None:
        return None
    line, fields, at = head
    assert re.match(rb"HTTP/1\.1 [1-5][0-9]{2} ", line), f"no status line: {line!r}"
    status = int(line[9:12])
    if method == b"HEAD" or status < 200 or status in (204, 304):
        return Response(wire[:at], status, fields, b"", ())
    names = {name for name, _value in fields}
    if not names & {b"content-length", b"transfer-encoding"}:
        return Response(wire, status, fields, wire[at:], ()) if closed else None
    found = _body(wire, at, fields, until_close=True)
    if found is None:
        return None
    body, trailers, end = found
    return Response(wire[:end], status, fields, body, trailers)


def _head(wire: bytes) -> tuple[bytes, Lines, int] | None:
    end = wire.find(b"\r\n\r\n")
    if end < 0:
        return None
    lines = wire[:end].split(b"\r\n")
    return lines[0], _fields(lines[1:]), end + 4


def _fields(lines: list[bytes]) -> Lines:
    fields = []
    for line in lines:
        name, colon, value = line.partition(b":")
        assert colon, f"no field line: {line!r}"
        assert re.fullmatch(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name), f"no field name: {line!r}"
        assert not any(octet < 32 and octet != 9 for octet in line), f"a control character: {line!r}"
        fields.append((name.lower(), value.strip(b" \t")))
    return tuple(fields)


def _body(wire: bytes, at: int, fields: Lines, *, until_close: bool) -> tuple[bytes, Lines, int] | None:
    """(body, trailers, where the message ends), None if it has not ended."""
    codings = [value for name, value in fields if name == b"transfer-encoding"]
    lengths = [value for name, value in fields if name == b"content-length"]
    assert len(codings) + len(lengths) < 2, f"two framings: {fields!r}"
    if codings:
        assert codings == [b"chunked"], f"an unknown coding: {codings!r}"
        return _chunks(wire, at)
    length = int(lengths[0]) if lengths else 0
    return (wire[at : at + length], (), at + length) if len(wire) >= at + length else None


def _chunks(wire: bytes, at: int) -> tuple[bytes, Lines, int] | None:
    body = b""
    while True:
        end = wire.find(b"\r\n", at)
        if end < 0:
            return None
        size = int(wire[at:end], 16)
        at = end + 2
        if not size:
            break
        if len(wire) < at + size + 2:
            return None
        body += wire[at : at + size]
        assert wire[at + size : at + size + 2] == b"\r\n", "a chunk that does not end where it said"
        at += size + 2
    if wire[at : at + 2] == b"\r\n":
        return body, (), at + 2
    end = wire.find(b"\r\n\r\n", at)
    return None if end < 0 else (body, _fields(wire[at:end].split(b"\r\n")), end + 4)


def get(target: str = "/", *fields: str, host: str = "h") -> bytes:
    """A GET request: `get("/a", "Accept: */*")`."""
    return _request("GET", target, host, fields, b"")


def post(body: bytes | str, *fields: str, target: str = "/", method: str = "POST") -> bytes:
    """A request with a body of Content-Length."""
    content = body.encode() if isinstance(body, str) else body
    return _request(method, target, "h", (*fields, f"Content-Length: {len(content)}"), content)


def chunked(*pieces: bytes, fields: tuple[str, ...] = (), trailers: str = "") -> bytes:
    """A POST with a chunked body."""
    return _request("POST", "/", "h", (*fields, "Transfer-Encoding: chunked"), chunks(*pieces, trailers=trailers))


def chunks(*pieces: bytes, trailers: str = "") -> bytes:
    """A chunked body."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + f"0\r\n{trailers}\r\n".encode()


def _request(method: str, target: str, host: str, fields: tuple[str, ...], body: bytes) -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/1.1", f"Host: {host}", *fields, "", ""]).encode("latin-1") + body


def ok(body: str | bytes = "", *fields: str, status: str = "200 OK") -> bytes:
    """A response of Content-Length: `ok("hi", "Cache-Control: max-age=60")`."""
    content = body.encode() if isinstance(body, str) else body
    return head(*fields, f"Content-Length: {len(content)}", status=status) + content


def head(*fields: str, status: str = "200 OK") -> bytes:
    """A response head alone."""
    return "\r\n".join([f"HTTP/1.1 {status}", *fields, "", ""]).encode("latin-1")
