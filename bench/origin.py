"""An origin that streams: `python bench/origin.py PORT BYTES`.

GET of a path that begins with /stream sends BYTES bytes, any other GET 1 KB; a request with a body is read to its end,
counted, and answered with the count. It trusts whoever speaks to it and lives as long as one run.
"""

from __future__ import annotations

import asyncio
import re
import sys
from typing import cast

import uvloop

_PIECE = bytes(256 * 1024)
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_SMALL = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1024\r\n\r\n" + b"x" * 1023 + b"\n"


class Origin(asyncio.Protocol):
    """One connection: requests one after the other, no pipelining."""

    def __init__(self, stream_bytes: int) -> None:
        self._stream_bytes = stream_bytes
        self._head = b""
        self._awaited = 0  # bytes of request body still to come
        self._received = 0
        self._chunked = False
        self._unsent = 0  # bytes of response body still to go
        self._full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class descends from neither

    def data_received(self, data: bytes) -> None:
        if self._awaited or self._chunked:
            self._take(data)
            return
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            return
        head, rest = self._head[: end + 4], self._head[end + 4 :]
        self._head = b""
        self._begin(head, rest)

    def _begin(self, head: bytes, rest: bytes) -> None:
        found = _LENGTH.search(head)
        self._received = 0
        self._awaited = int(found[1]) if found else 0
        self._chunked = b"chunked" in head.lower()
        if self._awaited or self._chunked:
            self._take(rest)
        elif head.startswith(b"GET /stream"):
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n"
                % self._stream_bytes
            )
            self._unsent = self._stream_bytes
            self._send()
        else:
            self._transport.write(_SMALL)

    def _take(self, body: bytes) -> None:
        self._received += len(body)
        # A body of zeros never holds the last chunk's text, so its end may be looked for in the raw bytes.
        if body.endswith(b"0\r\n\r\n") if self._chunked else self._received >= self._awaited:
            self._awaited, self._chunked = 0, False
            text = b"%d\n" % self._received
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))

    def _send(self) -> None:
        while self._unsent and not self._full:
            piece = _PIECE if self._unsent >= len(_PIECE) else _PIECE[: self._unsent]
            self._unsent -= len(piece)
            self._transport.write(piece)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unsent = 0
        self._full = True


async def serve(port: int, stream_bytes: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Origin(stream_bytes), "127.0.0.1", port, backlog=1024)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2])))
