"""Case: raw bytes a client may send, what must become of them, and why.

The corpora beside this file are lists of cases; whoever wires them to a gateway sends `raw`, half-closes, and looks at
what an origin received. A verdict is about complete requests: a body that turns out malformed may already be under way.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from tests.kit.messages import Request

Verdict: TypeAlias = Literal["refuse", "accept", "either"]

HOST = b"Host: a.example"


class Received(NamedTuple):
    """One complete request as the origin must have received it, in substance.

    method   b"GET"
    target   path and query on the request line
    body     decoded from chunked, whichever framing was used to send it
    fields   (lower-case name, value) that must be among its fields
    never    bytes that must occur nowhere in its head or trailers, compared in lower case
    """

    method: bytes
    target: bytes
    body: bytes = b""
    fields: tuple[tuple[bytes, bytes], ...] = ()
    never: tuple[bytes, ...] = ()


def is_received(request: Request, received: Received) -> bool:
    """Whether what the origin read is, in substance, what it should have."""
    head, _, rest = request.raw.partition(b"\r\n\r\n")
    seen = (head + repr(request.trailers).encode()).lower()
    return (
        (request.method, request.target, request.body) == (received.method, received.target, received.body)
        and set(received.fields) <= set(request.fields)
        and not any(never in seen for never in received.never)
        and (rest == b"" or bool(request.body) or rest == b"0\r\n\r\n")
    )


class Case(NamedTuple):
    """What a client sends, and the verdict.

    name      unique within its corpus
    raw       all that the client sends on one connection before it half-closes
    verdict   refuse: no complete request beyond `received` reaches the origin, and the connection ends
              accept: the origin receives exactly `received`, and the client an answer to each
              either: what reaches the origin is nothing or a beginning of `received`; never anything else
    why       one sentence
    source    the section that says so, or the house rule ("house §7.4" is number 4 of its list)
    received  complete requests for the origin, in order
    status    of the refusal; 0 where any 4xx, 5xx or a bare close will do
    unfinished  more could come and make a request of it, so it is waited for, until the client closes or is too slow
    """

    name: str
    raw: bytes
    verdict: Verdict
    why: str
    source: str
    received: tuple[Received, ...] = ()
    status: int = 0
    unfinished: bool = False


def message(line: bytes, *fields: bytes, body: bytes = b"") -> bytes:
    """A request of `line` and `fields`, each ended with CRLF, and `body` as it is."""
    return b"\r\n".join((line, *fields)) + b"\r\n\r\n" + body


def get(*fields: bytes, target: bytes = b"/", body: bytes = b"") -> bytes:
    """GET with a Host field before `fields`."""
    return message(b"GET " + target + b" HTTP/1.1", HOST, *fields, body=body)


def post(*fields: bytes, body: bytes = b"", target: bytes = b"/") -> bytes:
    """POST with a Host field before `fields`; framing is the caller's."""
    return message(b"POST " + target + b" HTTP/1.1", HOST, *fields, body=body)


def chunked(body: bytes) -> bytes:
    """POST whose body is `body`, chunked by the caller's hand."""
    return post(b"Transfer-Encoding: chunked", body=body)


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n"


def refuse(name: str, raw: bytes, why: str, source: str, status: int = 0) -> Case:
    return Case(name, raw, "refuse", why, source, (), status)


def unfinished(name: str, raw: bytes, why: str, source: str) -> Case:
    """A refusal that must not come too early."""
    return Case(name, raw, "refuse", why, source, unfinished=True)


def accept(name: str, raw: bytes, why: str, source: str, *received: Received) -> Case:
    return Case(name, raw, "accept", why, source, received)


def either(name: str, raw: bytes, why: str, source: str, *received: Received) -> Case:
    return Case(name, raw, "either", why, source, received)
