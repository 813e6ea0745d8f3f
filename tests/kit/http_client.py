"""A blocking HTTP/1.1 client over real sockets: it sends exactly the bytes it is told to, and reads strictly.

Every framing error of what it reads fails the test: what a lenient client would forgive is a finding.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

PATIENCE = 30.0  # seconds of silence before a test fails


@dataclass(frozen=True, slots=True)
class Answer:
    """A response; `fields` and `trailers` with lower-case names, in order."""

    status: int
    reason: str
    fields: list[tuple[str, str]]
    body: bytes
    trailers: list[tuple[str, str]]
    informational: list[tuple[int, list[tuple[str, str]]]]

    def __getitem__(self, name: str) -> str | None:
        """Value of the field, several joined by commas; None if it is not there."""
        found = [value for key, value in self.fields if key == name.lower()]
        return ", ".join(found) if found else None

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """One connection. `address` is (host, port) or the path of a Unix socket; `first` is sent before TLS begins."""

    def __init__(
        self,
        address: tuple[str, int] | str,
        tls: ssl.SSLContext | None = None,
        server_name: str = "localhost",
        first: bytes = b"",
        receive_buffer: int = 0,
    ) -> None:
        family = (
            socket.AF_UNIX if isinstance(address, str) else socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        )
        raw = socket.socket(family, socket.SOCK_STREAM)
        raw.settimeout(PATIENCE)
        self.socket: socket.socket = raw
        try:
            if receive_buffer:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            raw.connect(address)
            if family != socket.AF_UNIX:
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if first:
                raw.sendall(first)
            if tls is not None:
                self.socket = tls.wrap_socket(raw, server_hostname=server_name)
        except BaseException:
            raw.close()
            raise
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    # -- sending ------------------------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def request(self, method: str, target: str, *fields: str, host: str = "localhost", body: bytes = b"") -> None:
        """A request with a Content-Length if it has a body; `fields` as lines."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *fields]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join([*lines, "", ""]).encode() + body)

    def ask(self, method: str, target: str, *fields: str, host: str = "localhost", body: bytes = b"") -> Answer:
        self.request(method, target, *fields, host=host, body=body)
        return self.answer(method)

    # -- reading ------------------------------------------------------------------------------------------------------

    def answer(self, method: str = "GET", take: Callable[[bytes], object] | None = None) -> Answer:
        """The next final response; its body goes to `take` piece by piece, if that is given."""
        informational = []
        while True:
            status, reason, fields = self.head()
            if status >= 200 or status == 101:
                break
            informational.append((status, fields))
        pieces: list[bytes] = []
        trailers: list[tuple[str, str]] = []
        for piece in self.body(method, status, fields, trailers):
            (take or pieces.append)(piece)
        return Answer(status, reason, fields, b"".join(pieces), trailers, informational)

    def head(self) -> tuple[int, str, list[tuple[str, str]]]:
        """The next head, informational ones too."""
        line = self._line()
        version, status, reason = line.split(" ", 2)
        assert version == "HTTP/1.1", line
        return int(status), reason, self._fields()

    def body(
        self, method: str, status: int, fields: list[tuple[str, str]], trailers: list[tuple[str, str]]
    ) -> Iterator[bytes]:
        """The pieces of a body, as the head frames it (RFC 9112 §6.3)."""
        if method == "HEAD" or status in {101, 204, 304}:
            return
        lengths = [value for name, value in fields if name == "content-length"]
        codings = [value for name, value in fields if name == "transfer-encoding"]
        assert len(lengths) + len(codings) <= 1, f"ambiguous framing: {fields}"
        if codings:
            assert codings == ["chunked"], codings
            while size := int(self._line(), 16):
                yield from self._exactly(size)
                assert self._file.read(2) == b"\r\n"
            trailers += self._fields()
        elif lengths:
            yield from self._exactly(int(lengths[0]))
        else:
            while piece := self._file.read1(65536):
                yield piece

    def chunk(self) -> bytes:
        """One chunk of a chunked body, as it was framed."""
        size = int(self._line(), 16)
        piece = self._file.read(size)
        assert len(piece) == size
        assert self._file.read(2) == b"\r\n"
        return piece

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self._file.read1(min(size, 65536))
            assert piece, f"the connection ended {size} bytes too early"
            size -= len(piece)
            yield piece

    def _fields(self) -> list[tuple[str, str]]:
        fields = []
        while line := self._line():
            name, colon, value = line.partition(":")
            assert colon, line
            fields.append((name.lower(), value.strip()))
        return fields

    def _line(self) -> str:
        line = self._file.readline(65536)
        assert line.endswith(b"\r\n"), f"the connection ended in {line!r}"
        return line[:-2].decode("latin-1")

    def rest(self) -> bytes:
        """All that comes until the end of the connection; a reset is an end too."""
        pieces = []
        try:
            while piece := self._file.read1(65536):
                pieces.append(piece)
        except ConnectionResetError:
            pass
        return b"".join(pieces)
