"""One of many HTTP/1.1 clients on one event loop: it sends the bytes it is told to, and reads strictly.

The blocking client (http_client.py) is for tests that speak with one voice; this one is for crowds. What it reads must
be framed correctly, and ends in an AssertionError that says what was not.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from typing import NamedTuple

from cryptography import x509

PATIENCE = 30.0  # seconds of silence before a test fails


class Head(NamedTuple):
    """The head of an answer; names in lower case, one of each name."""

    status: int
    fields: dict[str, str]


class Answer(NamedTuple):
    """A whole answer."""

    status: int
    fields: dict[str, str]
    body: bytes


class AsyncClient:
    """One connection, opened by `connect`."""

    __slots__ = ("_reader", "_writer")

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(
        cls, port: int, tls: ssl.SSLContext | None = None, name: str = "localhost", source: str = "127.0.0.1"
    ) -> AsyncClient:
        """To 127.0.0.1:`port`, from the address `source`; with `tls`, asking for `name`."""
        async with asyncio.timeout(PATIENCE):
            streams = await asyncio.open_connection(
                "127.0.0.1", port, ssl=tls, server_hostname=name if tls else None, local_addr=(source, 0)
            )
        return cls(*streams)

    @property
    def serial(self) -> int:
        """Of the certificate that the other side has shown."""
        shown = self._writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(shown).serial_number

    def send(self, wire: bytes) -> None:
        """Sends it, unless the connection is closed already: whoever reads will see."""
        if not self._writer.is_closing():
            self._writer.write(wire)

    async def drain(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self._writer.drain()

    def request(self, method: str, target: str, *fields: str, body: bytes = b"") -> None:
        """Sends one, with a Content-Length if it has a body; `fields` as lines."""
        length = [f"Content-Length: {len(body)}"] if body else []
        self.send("\r\n".join([f"{method} {target} HTTP/1.1", "Host: localhost", *fields, *length, "", ""]).encode())
        if body:
            self.send(body)

    async def ask(self, method: str, target: str, *fields: str, body: bytes = b"") -> Answer:
        self.request(method, target, *fields, body=body)
        return await self.answer(method)

    async def answer(self, method: str = "GET") -> Answer:
        """The next final answer. Raises OSError or EOFError if the connection ends within it or before."""
        head = await self.head()
        pieces = [piece async for piece in self.body(head, method)]
        return Answer(head.status, head.fields, b"".join(pieces))

    async def head(self) -> Head:
        """The next final head; informational ones are left out, but 101 is final."""
        while True:
            async with asyncio.timeout(PATIENCE):
                line, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")[:-4].split("\r\n")
            version, status, _reason = line.split(" ", 2)
            assert version == "HTTP/1.1", line
            if status[0] != "1" or status == "101":
                named = [one.partition(":") for one in lines]
                return Head(int(status), {name.lower(): value.strip() for name, _, value in named})

    async def body(self, head: Head, method: str = "GET") -> AsyncIterator[bytes]:
        """The pieces of a body, as its head frames it (RFC 9112 §6.3)."""
        if method == "HEAD" or head.status in {101, 204, 304}:
            return
        length, coding = head.fields.get("content-length"), head.fields.get("transfer-encoding")
        assert (length is None) != (coding is None), f"no framing that keeps the connection: {head}"
        if length is not None:
            async for piece in self._pieces(int(length)):
                yield piece
            return
        assert coding == "chunked", coding
        while size := int(await self._line(), 16):
            async for piece in self._pieces(size):
                yield piece
            assert await self._line() == b""
        while await self._line():
            pass

    async def _pieces(self, size: int) -> AsyncIterator[bytes]:
        while size:
            piece = await self.read(min(size, 65536))
            if not piece:
                raise EOFError(f"the connection ended {size} bytes too early")
            size -= len(piece)
            yield piece

    async def _line(self) -> bytes:
        async with asyncio.timeout(PATIENCE):
            line = await self._reader.readuntil(b"\r\n")
        return line[:-2]

    async def read(self, most: int) -> bytes:
        """Whatever comes next; empty at the end of the connection."""
        async with asyncio.timeout(PATIENCE):
            return await self._reader.read(most)

    async def rest(self) -> bytes:
        """All until the end of the connection; a reset is an end too."""
        got = b""
        try:
            while piece := await self.read(65536):
                got += piece
        except OSError:
            pass
        return got

    def finish(self) -> None:
        """Closes the sending side, unless all is closed already."""
        if not self._writer.is_closing():
            self._writer.write_eof()

    def reset(self) -> None:
        """Is gone, with a reset."""
        opened = self._writer.get_extra_info("socket")
        with contextlib.suppress(OSError):  # it is gone already
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def close(self) -> None:
        """Closes; what the other side has not taken is forgotten."""
        if self._writer.transport.get_write_buffer_size():
            self._writer.transport.abort()
        else:
            self._writer.close()
