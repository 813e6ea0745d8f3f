"""Farewell: the last protocol of a downstream connection, from the final answer to the end of the socket.

`Http1` hands its transport over when it has said its last word. After an error the peer may still be sending: a reset
would destroy the answer before it is read, so a bounded amount of input is discarded first (RFC 9112 §9.6). A peer
that takes nothing is cut off by the deadline, for a transport with unsent data never closes by itself.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from gateway.exchange import Connection
from gateway.server.wire import Standing, Wire


class Farewell(asyncio.Protocol):
    """Closes `transport`; with `linger`, half-closes and discards input until the peer closes too."""

    __slots__ = ("_begun", "_discarded", "_transport", "_unsent", "_wire", "connection", "deadline")

    def __init__(self, transport: Any, connection: Connection, wire: Wire, *, linger: bool) -> None:
        self._transport = transport
        self.connection = connection
        self._wire = wire
        self._discarded = 0
        self._unsent = transport.get_write_buffer_size()
        self._begun = wire.clock()
        self.deadline = wire.clock() + wire.settings.linger_timeout
        wire.sweep.add(self)
        wire.live.add(self)
        transport.set_protocol(self)
        if linger and transport.can_write_eof():
            transport.resume_reading()
            transport.write_eof()
        else:
            transport.close()

    def data_received(self, data: bytes) -> None:
        self._discarded += len(data)
        if self._discarded > self._wire.settings.linger_size:
            self._transport.abort()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._wire.sweep.discard(self)
        self._wire.live.discard(self)
        if self.connection.on_lost is not None:
            self.connection.on_lost(self.connection)

    def expire(self, now: float) -> None:
        """Enough, unless the peer is still taking what was written, or has not yet had the time for it."""
        settings = self._wire.settings
        before, self._unsent = self._unsent, self._transport.get_write_buffer_size()
        self.deadline = now + settings.linger_timeout
        patient = self._unsent < before or now < self._begun + settings.write_timeout
        if not self._unsent or not patient:
            self._transport.abort()

    @property
    def standing(self) -> Standing:
        return Standing.EXCHANGE if self._transport.get_write_buffer_size() else Standing.NOTHING

    @property
    def exchange(self) -> None:
        """None is under way any more."""

    def drain(self) -> None:
        """On its way out already."""

    def cut(self) -> None:
        self._transport.abort()


def has_unread(transport: Any) -> bool:
    """Whether the kernel holds bytes of the peer that the loop has not seen: closing now would be a reset for one who
    has just asked."""
    opened = transport.get_extra_info("socket")
    if opened is None:
        return False
    import fcntl  # noqa: PLC0415 - absent on Windows, where nothing that drains runs either
    import termios  # noqa: PLC0415

    return int.from_bytes(fcntl.ioctl(opened.fileno(), termios.FIONREAD, bytes(4)), sys.byteorder) > 0
