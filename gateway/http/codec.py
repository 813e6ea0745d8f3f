"""Heads to bytes: the only place where a message head is rendered.

The wires call it with what they decided about framing and persistence; what is constant has been rendered before.
Values reach this point checked (parsed from a strict head, or built from validated configuration), so nothing here
can split a message.
"""

from __future__ import annotations

from gateway.http.message import Fields, Response
from gateway.http.status import STATUS_LINES

__all__ = ["render_fields", "request_head", "response_head"]

_join_pair = b": ".join
_join_lines = b"\r\n".join


def render_fields(fields: Fields | tuple[tuple[bytes, bytes], ...]) -> bytes:
    """`name: value` lines, each ended by CRLF; b"" for none."""
    return _join_lines(map(_join_pair, fields)) + b"\r\n" if fields else b""


def request_head(method: bytes, target: bytes, host: bytes, fields: Fields, lines: bytes) -> bytes:
    """A request head. `lines` are rendered field lines, framing and connection included, each ended by CRLF."""
    return b"%b %b HTTP/1.1\r\nhost: %b\r\n%b%b\r\n" % (method, target, host, lines, render_fields(fields))


def response_head(response: Response, framing: bytes) -> bytes:
    """A response head: status line, fields, the prepared block, `framing` lines, the empty line."""
    return b"%b%b%b%b\r\n" % (STATUS_LINES[response.status], render_fields(response.fields), response.block, framing)
