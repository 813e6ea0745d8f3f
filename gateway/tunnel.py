"""Tunnel: an upgraded connection, two pipes with back-pressure (RFC 9110 §7.8; RFC 6455 for WebSocket).

After a 101 each of the two transports gets a Pipe as its protocol, and bytes pass from one to the other unread. A
tunnel ends when both directions have ended, when either side breaks, or when nothing has moved for `idle` seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from gateway.deadlines import NEVER, Sweep
from gateway.eager import Wait
from gateway.errors import Cause, Fault, UpstreamFault


class Pipe(asyncio.Protocol):
    """One end of a tunnel: what it reads, the other end writes."""

    __slots__ = ("_other", "_tunnel", "passed", "transport")

    _other: Pipe

    def __init__(self, transport: Any, tunnel: Tunnel) -> None:
        self.transport = transport
        self._tunnel = tunnel
        self.passed = 0  # bytes read here and written there

    def join(self, other: Pipe) -> None:
        self._other = other
        self.transport.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        self.passed += len(data)
        self._tunnel.moved()
        if not self._other.transport.is_closing():
            self._other.transport.write(data)

    def eof_received(self) -> bool:
        other = self._other.transport
        if other.can_write_eof() and not other.is_closing():
            other.write_eof()
        self._tunnel.ended_one()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self._tunnel.close(UpstreamFault(Cause.RESPONSE_INCOMPLETE, str(error)) if error is not None else None)

    def pause_writing(self) -> None:
        if not self._other.transport.is_closing():
            self._other.transport.pause_reading()

    def resume_writing(self) -> None:
        if not self._other.transport.is_closing():
            self._other.transport.resume_reading()


class Tunnel:
    """Two joined pipes. `over` wakes with the fault that ended them, or None."""

    __slots__ = ("_clock", "_ended", "_idle", "_sweep", "deadline", "down", "over", "up")

    def __init__(self, client: Any, origin: Any, idle: float, sweep: Sweep, clock: Callable[[], float]) -> None:
        self.up = Pipe(client, self)  # client to origin
        self.down = Pipe(origin, self)
        self._idle = idle
        self._sweep = sweep
        self._clock = clock
        self._ended = 0  # directions that have ended, of two
        self.over = Wait()
        self.deadline = clock() + idle
        sweep.add(self)

    def join(self, early_up: bytes, early_down: bytes) -> None:
        """Begins, with the bytes that either side sent behind its head."""
        self.up.join(self.down)
        self.down.join(self.up)
        if early_up:
            self.up.data_received(early_up)
        if early_down:
            self.down.data_received(early_down)
        self.up.transport.resume_reading()
        self.down.transport.resume_reading()

    def moved(self) -> None:
        self.deadline = self._clock() + self._idle

    def ended_one(self) -> None:
        """One side has said its last; the other may still speak."""
        self._ended += 1
        if self._ended == 2:
            self.close(None)

    def close(self, fault: Fault | None) -> None:
        """Ends both sides. Idempotent."""
        if self.over.done:
            return
        self.deadline = NEVER
        self._sweep.discard(self)
        for pipe in (self.up, self.down):
            if fault is None:
                pipe.transport.close()
            else:
                pipe.transport.abort()
        self.over.wake(fault)

    def expire(self, now: float) -> None:
        """Nothing has moved for too long."""
        self.close(UpstreamFault(Cause.READ_TIMEOUT, "an idle tunnel"))
