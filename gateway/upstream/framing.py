"""Where a response head and a response body end, for what does not come in one read (RFC 9112 §6).

`http1` feeds these; together with `ChunkedReader`, which has the same shape, they are the three kinds of body. They
count and cut and know neither sockets nor exchanges; what was received is passed on as the same bytes objects.
"""

from __future__ import annotations

from typing import TypeAlias

from gateway.http.chunked import ChunkedReader
from gateway.http.head import ResponseHeadReader
from gateway.http.message import CHUNKED, UNTIL_CLOSE, Fields, Malformed, Response

HEAD_LIMIT = 32 * 1024  # bytes of one response head, against an origin that fills our memory before it says anything
INFORMATIONAL_LIMIT = 8  # 1xx responses before the final one, against an origin that never gets to the point
END_OF_HEAD = b"\r\n\r\n"


class ResponseHeads:
    """The response heads of one exchange: 1xx as many as are bearable, then the final one (RFC 9110 §15.2)."""

    __slots__ = ("_informational", "_method", "_partial", "_reader", "rest")

    def __init__(self, reader: ResponseHeadReader) -> None:
        self._reader = reader
        self.begin(b"")

    def begin(self, method: bytes) -> None:
        """A request of that method has been sent."""
        self._method = method
        self._informational = 0
        self._partial: bytearray | None = None
        self.rest = b""

    def read(self, data: bytes) -> Response | None:
        """The next head, `length` set and what follows it in `rest`; None if more is needed. Raises Malformed."""
        end = data.find(END_OF_HEAD) + 4 if self._partial is None else 0
        if not 4 <= end <= HEAD_LIMIT:
            if not data or (end := self._gather(data)) < 4:
                return None
            data, self._partial = bytes(self._partial or b""), None
        response = self._reader.read(data[:end], self._method)
        if response.status < 200:
            self._informational += 1
            if self._informational > INFORMATIONAL_LIMIT:
                raise Malformed(f"more than {INFORMATIONAL_LIMIT} informational responses")
        self.rest = data[end:]
        return response

    def _gather(self, data: bytes) -> int:
        """Keeps the beginning of a head, judged as far as it goes, so that garbage need not wait for the deadline."""
        partial = self._partial
        if partial is None:
            partial = self._partial = bytearray()
        before = len(partial)
        partial += data
        end = partial.find(END_OF_HEAD, max(0, before - 3)) + 4
        if 4 <= end <= HEAD_LIMIT:
            return end
        if not b"HTTP/1.".startswith(partial[:7]):
            raise Malformed("not an HTTP/1.x status line")
        if len(partial) > HEAD_LIMIT:
            raise Malformed(f"a response head of more than {HEAD_LIMIT} bytes", 431)
        if partial.count(b"\n") != partial.count(b"\r\n"):
            raise Malformed("a bare line feed")
        return 0


class CountedBody:
    """A body of Content-Length bytes."""

    __slots__ = ("_remaining", "complete", "leftover", "trailers")

    def __init__(self, length: int) -> None:
        self._remaining = length
        self.complete = not length
        self.leftover = b""
        self.trailers: Fields = []

    def feed(self, data: bytes) -> list[bytes]:
        remaining = self._remaining
        size = len(data)
        if size < remaining:
            self._remaining = remaining - size
            return [data]
        self._remaining = 0
        self.complete = True
        if size == remaining:
            return [data]
        self.leftover = data[remaining:]
        return [data[:remaining]] if remaining else []


class UnboundedBody:
    """A body that ends with the connection."""

    __slots__ = ("complete", "leftover", "trailers")

    def __init__(self) -> None:
        self.complete = False
        self.leftover = b""
        self.trailers: Fields = []

    def feed(self, data: bytes) -> list[bytes]:
        return [data]


Body: TypeAlias = CountedBody | UnboundedBody | ChunkedReader


def body_of(length: int) -> Body:
    """The reader of a body of `length` (Response.length)."""
    if length == CHUNKED:
        return ChunkedReader()
    return UnboundedBody() if length == UNTIL_CLOSE else CountedBody(length)
