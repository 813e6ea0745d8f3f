"""How a response is delimited downstream, and whether the connection lives on (RFC 9112 §6, §9.3).

Called once per response by `server/http1.py`, just before the head is rendered. Pure functions: the same facts always
give the same framing.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from gateway.exchange import Exchange
from gateway.http.message import Request, Response
from gateway.http.status import has_no_body
from gateway.server.request_body import RequestBody
from gateway.server.wire import Wire

DISCARDABLE = 64 * 1024  # unread body bytes that are read and forgotten to keep a connection: against paying for more


class Framing(NamedTuple):
    """`lines` to render after the fields; `chunked` whether pieces are sent as chunks; `keep_alive` the outcome."""

    lines: bytes
    chunked: bool
    keep_alive: bool


@lru_cache(maxsize=1024)
def _counted(length: int) -> Framing:
    """What nearly all responses get; the same lengths come again."""
    return Framing(b"content-length: %d\r\n" % length, chunked=False, keep_alive=True)


def frame(request: Request, response: Response, *, keep_alive: bool) -> Framing:
    """The framing of `response`; `keep_alive` says what else (limits, drain, unread body) would allow."""
    length = response.length
    chunked = False
    bodiless = has_no_body(request.method, response.status)
    if keep_alive and length >= 0 and not bodiless and request.minor == 1:
        return _counted(length)
    if bodiless:
        lines = _length_without_body(request, response)
    elif length >= 0:
        lines = b"content-length: %d\r\n" % length
    elif request.minor == 1:
        lines, chunked = b"transfer-encoding: chunked\r\n", True
    else:  # an HTTP/1.0 client learns the end from the close
        lines, keep_alive = b"", False
    if not keep_alive:
        lines += b"connection: close\r\n"
    elif request.minor == 0:
        lines += b"connection: keep-alive\r\n"
    return Framing(lines, chunked, keep_alive)


def _length_without_body(request: Request, response: Response) -> bytes:
    """What a GET would have had, where it is known (RFC 9110 §8.6); 204 and 1xx must not say it."""
    if response.status == 204 or response.status < 200:
        return b""
    if response.body is not None:
        return b"content-length: %d\r\n" % len(response.body)
    known = response.index.get(b"content-length")
    if known is not None:
        return b"content-length: %b\r\n" % known
    if request.method == b"HEAD" and b"transfer-encoding" in response.index and request.minor == 1:
        return b"transfer-encoding: chunked\r\n"
    return b""


def persists(exchange: Exchange, body: RequestBody | None, wire: Wire) -> bool:
    """Whether the connection may take another request after this one."""
    request, connection, settings = exchange.request, exchange.connection, wire.settings
    if not request.keep_alive or wire.draining or connection.requests >= settings.keepalive_requests:
        return False
    if exchange.now - connection.opened > settings.keepalive_time:
        return False
    if body is None or body.complete:
        return True
    if request.expects_continue:
        return False  # whether the client sends the body after all cannot be known
    return body.remaining is not None and body.remaining <= DISCARDABLE
