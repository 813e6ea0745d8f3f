"""What an origin says about the life of its connection."""

from __future__ import annotations

import pytest

from gateway.deadlines import NEVER
from gateway.http.head import ResponseHeadReader
from gateway.upstream.keep_alive import idle_hint, keeps_alive


@pytest.mark.parametrize(
    ("line", "fields", "lives"),
    [
        (b"HTTP/1.1", b"", True),
        (b"HTTP/1.0", b"", False),
        (b"HTTP/1.0", b"Connection: keep-alive\r\n", True),
        (b"HTTP/1.0", b"Connection: keep-alive, close\r\n", False),
        (b"HTTP/1.1", b"Connection: close, keep-alive\r\n", False),
        (b"HTTP/1.1", b"Connection: keep-alive\r\nConnection: close\r\n", False),
        (b"HTTP/1.1", b"Connection: close\r\nConnection: keep-alive\r\n", False),
        (b"HTTP/1.1", b"Connection: closed\r\n", True),
        (b"HTTP/1.1", b"Connection: \r\n", True),
    ],
)
def test_keeps_alive(line: bytes, fields: bytes, lives: bool) -> None:
    """RFC 9112 §9.3: close wins, wherever it stands."""
    response = ResponseHeadReader().read(line + b" 200 OK\r\n" + fields + b"\r\n", b"GET")
    assert keeps_alive(response) is lives


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        (None, NEVER),
        (b"timeout=5", 4.0),
        (b"timeout=5, max=100", 4.0),
        (b"max=100, Timeout = 15", 14.0),
        (b"timeout=1", 0.5),
        (b"timeout=0", 0.0),
        (b"timeout=-1", NEVER),
        (b"timeout=abc", NEVER),
        (b"timeout=99999999999999999999", NEVER),
        (b"max=100", NEVER),
        (b"", NEVER),
    ],
)
def test_idle_hint(field: bytes | None, seconds: float) -> None:
    """A second less than announced; what cannot be read is no announcement."""
    assert idle_hint(field) == seconds
