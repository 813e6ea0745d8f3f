"""ResponseWriter: puts the response of the exchange under way onto the transport.

`Http1` owns one per connection. Answers given while a read is being worked on are collected and leave in one write;
nothing is written before the head, and nothing at all once the transport is gone.
"""

from __future__ import annotations

from typing import Any

from gateway.exchange import Exchange
from gateway.http.chunked import chunk, last_chunk
from gateway.http.codec import response_head
from gateway.http.fields import allowed_trailers
from gateway.http.message import Fields, Response
from gateway.server.framing import frame

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
SWITCHING = 101
MOST_COLLECTED = 32  # answers of one read before they are written: so that a client that does not read is noticed


class ResponseWriter:
    """`started`: the head of the final response has left, so an error can no longer be told, only shown.
    `chunked`: the body goes out in chunks."""

    __slots__ = ("_out", "chunked", "started", "transport")

    def __init__(self) -> None:
        self.transport: Any = None
        self.started = False
        self.chunked = False
        self._out: list[bytes] | None = None

    def cork(self) -> None:
        """Collect from now on."""
        self._out = []

    def uncork(self) -> None:
        """Write what was collected, as one."""
        out, self._out = self._out, None
        if out and self.transport is not None:
            self.transport.write(out[0] if len(out) == 1 else b"".join(out))

    def send(self, piece: bytes) -> None:
        """Bytes as they are."""
        out = self._out
        if out is not None:
            out.append(piece)
            if len(out) >= MOST_COLLECTED:
                self.uncork()
                self.cork()
        elif self.transport is not None:
            self.transport.write(piece)

    def informational(self, response: Response) -> None:
        """A 1xx head; 101 is the last thing that is HTTP."""
        self.started = response.status == SWITCHING
        self.chunked = False
        self.send(response_head(response, b""))

    def head(self, exchange: Exchange, response: Response, pieces: list[bytes], *, keep_alive: bool) -> bool:
        """The final head and the pieces of the body that are there; returns whether the connection may live on."""
        self.started = True
        lines, chunked, keep_alive = frame(exchange.request, response, keep_alive=keep_alive)
        self.chunked = chunked
        head = response_head(response, lines)
        if not pieces:
            self.send(head)
        else:
            exchange.sent += sum(map(len, pieces))
            self.send(b"".join([head, *(map(chunk, pieces) if chunked else pieces)]))
        return keep_alive

    def piece(self, piece: bytes) -> None:
        """A piece of the body."""
        self.send(chunk(piece) if self.chunked else piece)

    def end(self, method: bytes, trailers: Fields) -> None:
        """The end of the body."""
        if self.chunked and method != b"HEAD":
            self.send(last_chunk(allowed_trailers(trailers) if trailers else trailers))
