"""Request and Response: what the wire reads and writes, as values.

They are made by `http/head.py` (from bytes) or by the gateway itself (local replies), travel on the Exchange through
every step, and are turned back into bytes by `http/codec.py`. Field names are always lower-case bytes; a field list
keeps order and duplicates, `index` is the last value by name for quick look-ups.
"""

from __future__ import annotations

from typing import Any, TypeAlias

Field: TypeAlias = tuple[bytes, bytes]
Fields: TypeAlias = list[Field]

# `length` of a message body when it is not a count of bytes (RFC 9112 §6).
CHUNKED = -1
UNTIL_CLOSE = -2


class Malformed(ValueError):
    """Bytes that are not the HTTP message they claim to be.

    `status` is the answer a client deserves (400, 413, 414, 417, 431, 501, 505); the wire maps it to a Cause.
    """

    def __init__(self, why: str, status: int = 400) -> None:
        super().__init__(why)
        self.why = why
        self.status = status


class Request:
    """One request head, checked and normalised.

    method     b"GET"; case-sensitive, a token of at most 32 octets without lower-case letters
    target     the request-target as received
    path       normalised absolute path (http/path.py); b"*" only for OPTIONS *
    query      bytes after "?", or None where there was no "?"
    authority  the Host field's value as received ("host[:port]"), b"" when absent (HTTP/1.0)
    host       host of the authority, lower-case, without port, trailing dot or IPv6 brackets kept: b"[::1]"
    minor      1 for HTTP/1.1, 0 for HTTP/1.0
    fields     lower-case names, order and duplicates kept; Host included
    index      {name: last value}; look-ups only, never changed
    length     bytes of the body, 0 for none, CHUNKED
    keep_alive whether the client lets the connection live on (RFC 9112 §9.3)
    upgrade    lower-case token of an Upgrade that Connection lists, or b""
    expects_continue  Expect: 100-continue on HTTP/1.1
    rendered   {names left out: (fields, their lines)} of the fields as they go upstream; shared with them
    """

    __slots__ = (
        "authority", "expects_continue", "fields", "host", "index", "keep_alive", "length", "method", "minor", "path",
        "query", "rendered", "target", "upgrade",
    )  # fmt: skip

    def __init__(self, method: bytes, target: bytes, path: bytes, query: bytes | None, minor: int) -> None:
        self.method = method
        self.target = target
        self.path = path
        self.query = query
        self.minor = minor
        self.authority = b""
        self.host = b""
        self.fields: Fields = []
        self.index: dict[bytes, bytes] = {}
        self.length = 0
        self.keep_alive = minor == 1
        self.upgrade = b""
        self.expects_continue = False
        self.rendered: dict[frozenset[bytes], tuple[Fields, bytes]] = {}

    def values(self, name: bytes) -> list[bytes]:
        """All values of the lower-case field `name`, in order."""
        return [value for key, value in self.fields if key == name]

    def __repr__(self) -> str:
        return f"<Request {self.method.decode('latin-1')} {self.target.decode('latin-1')}>"


class Response:
    """One response head, from the origin or made here; `body` is set on local replies only.

    status, reason   200, b"OK"
    fields           lower-case names, order and duplicates kept; framing fields (content-length, transfer-encoding,
                     connection) are left out: the wire that writes it renders them from `length`
    index            {name: last value} of the head as received (framing fields included); {} on local replies
    length           bytes of the body, 0 for none, CHUNKED, UNTIL_CLOSE
    block            field lines already rendered ("name: value\\r\\n" repeated), appended verbatim to the head
    body             whole body of a local reply, None where the body is streamed
    fitted           of a prepared reply: what pipeline.py worked out for the route it was last used on
    """

    __slots__ = ("block", "body", "fields", "fitted", "index", "length", "minor", "reason", "status")

    def __init__(
        self, status: int, fields: Fields, *, reason: bytes = b"", length: int = 0, body: bytes | None = None
    ) -> None:
        self.status = status
        self.reason = reason
        self.fields = fields
        self.index: dict[bytes, bytes] = {}
        self.length = len(body) if body is not None else length
        self.body = body
        self.block = b""
        self.minor = 1
        self.fitted: tuple[Any, bytes, bool] | None = None

    @property
    def is_event_stream(self) -> bool:
        """An endless body of events (WHATWG HTML, server-sent events): never buffered, and its client's to end."""
        return self.index.get(b"content-type", b"")[:17].lower() == b"text/event-stream"

    def copy(self) -> Response:
        """A copy whose `fields` may be changed: prepared replies are shared by all exchanges."""
        twin = Response(self.status, self.fields.copy(), reason=self.reason, length=self.length, body=self.body)
        twin.block = self.block
        return twin

    def __repr__(self) -> str:
        return f"<Response {self.status} length={self.length}>"
