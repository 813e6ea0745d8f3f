"""How a connection to an origin ended: what came last, which the event loop has not passed on, and what the end means.

A loop gives up a connection at the first write that fails, or at an end that comes while reading is paused; `http1`
asks here for what came before that: an answer given without waiting for the request body, the tail of a body that a
slow client has not had yet. The rule: it is read as strictly as any other byte, and never waited for.
"""

from __future__ import annotations

import os
import ssl
from contextlib import suppress
from typing import Any, NamedTuple

from gateway.errors import Cause

END = "end of stream"
# Bytes taken from a broken connection, and at a time. The first is more than uvloop decrypts ahead of a paused reader
# (two times 256 KiB), and bounds what is put in memory at once for a client that does not read.
MOST = 1024 * 1024
SLICE = 64 * 1024


class LastWords(NamedTuple):
    """`data`; `error`, what broke the connection; `ended`: the origin said that this was all, with a close_notify."""

    data: bytes
    error: Exception | None
    ended: bool


def last_words(transport: Any, error: Exception | None) -> LastWords:
    """What is left to read of a connection that was lost with `error`; to be asked in connection_lost."""
    tls = transport.get_extra_info("ssl_object")
    if tls is None:
        return LastWords(_unread(transport) if error is not None else b"", error, ended=False)
    if isinstance(error, ssl.SSLError):
        return LastWords(b"", error, ended=False)
    return _decrypted(tls, error)


def _unread(transport: Any) -> bytes:
    """What the kernel holds: it reports a reset behind the bytes that came before it.

    The loops close the descriptor after connection_lost. Not below TLS: there uvloop closes it first and tells us a
    turn later, when it may be another connection's; so an early answer over TLS is lost where a reset follows it before
    we read, and a further write before we see the reset.
    """
    socket = transport.get_extra_info("socket")
    if socket is None:
        return b""
    pieces: list[bytes] = []
    left = MOST
    with suppress(OSError):
        while left > 0 and (piece := os.read(socket.fileno(), SLICE)):
            pieces.append(piece)
            left -= len(piece)
    return b"".join(pieces)


def _decrypted(tls: ssl.SSLObject, error: Exception | None) -> LastWords:
    """What OpenSSL holds."""
    pieces: list[bytes] = []
    left = MOST
    ended = False
    try:
        while left > 0 and (piece := tls.read(SLICE)):
            pieces.append(piece)
            left -= len(piece)
        ended = left > 0
    except ssl.SSLWantReadError:
        pass
    except ssl.SSLError as alert:
        error = alert
    return LastWords(b"".join(pieces), error, ended)


def end_of(transport: Any, error: Exception | None, *, received: bool, first: bool) -> tuple[Cause, str]:
    """What it means that a connection ended before its response, by `error` if there is one, and what to say of it.

    `received`: some of the response had come; `first`: it was the first request on the connection.
    """
    if received:
        return Cause.RESPONSE_INCOMPLETE, str(error or END)
    if isinstance(error, ssl.SSLError):
        return Cause.TLS_FAILED, str(error)
    detail = str(error or END)
    if first and transport.get_extra_info("ssl_object") is not None:
        # With TLS 1.3 an origin refuses us behind a handshake that is complete for us, and some do so without an alert.
        detail += ", right after the TLS handshake: does the origin want a client certificate?"
    return Cause.CLOSED_BEFORE_HEAD, detail
