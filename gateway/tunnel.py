"""Tunnel: an upgraded connection, two pipes with back-pressure (RFC 9110 §7.8; RFC 6455 for WebSocket).

After a 101 each of the two transports gets a Pipe as its protocol, and bytes pass from one to the other unread. A
tunnel ends when both directions have ended, when either side breaks, or when nothing has moved for `idle` seconds; it
is over when both transports are gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from gateway.deadlines import NEVER, Sweep
from gateway.eager import Wait
from gateway.errors import Cause, Fault, UpstreamFault

CLOSING_SECONDS = 5.0  # until a polite close becomes an abort, against a peer that does not take the last bytes


class Pipe(asyncio.Protocol):
    """One end of a tunnel: what it reads, the other end writes. `full`: its transport takes no more for now."""

    __slots__ = ("_other", "_tunnel", "full", "passed", "transport")

    _other: Pipe

    def __init__(self, transport: Any, tunnel: Tunnel) -> None:
        self.transport = transport
        self._tunnel = tunnel
        self.passed = 0  # bytes read here and written there
        self.full = False

    def join(self, other: Pipe) -> None:
        self._other = other
        self.transport.set_protocol(self)

    def read(self) -> None:
        """Reads from now on, unless the other end is full already."""
        if not self._other.full:
            self.transport.resume_reading()

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
        tunnel = self._tunnel
        del self._tunnel, self._other  # a transport's last call: no cycle is left behind
        tunnel.lost_one(UpstreamFault(Cause.RESPONSE_INCOMPLETE, str(error)) if error is not None else None)

    def pause_writing(self) -> None:
        self.full = True
        if not self._other.transport.is_closing():
            self._other.transport.pause_reading()

    def resume_writing(self) -> None:
        self.full = False
        if not self._other.transport.is_closing():
            self._other.transport.resume_reading()


class Tunnel:
    """Two joined pipes. `over` wakes with the fault that ended them, or None, when neither has a transport any more."""

    __slots__ = ("_clock", "_closing", "_ended", "_fault", "_idle", "_lost", "_sweep", "deadline", "down", "over", "up")

    def __init__(self, client: Any, origin: Any, idle: float, sweep: Sweep, clock: Callable[[], float]) -> None:
        self.up = Pipe(client, self)  # client to origin
        self.down = Pipe(origin, self)
        self._idle = idle
        self._sweep = sweep
        self._clock = clock
        self._ended = 0  # directions that have ended, of two
        self._lost = 0  # transports that are gone, of two
        self._closing = False
        self._fault: Fault | None = None
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
        self.up.read()
        self.down.read()

    def moved(self) -> None:
        if not self._closing:
            self.deadline = self._clock() + self._idle

    def ended_one(self) -> None:
        """One side has said its last; the other may still speak."""
        self._ended += 1
        if self._ended == 2:
            self.close(None)

    def lost_one(self, fault: Fault | None) -> None:
        """One transport is gone, and the other has nobody to speak to."""
        self._lost += 1
        self.close(fault)
        if self._lost == 2:
            self._end()

    def close(self, fault: Fault | None) -> None:
        """Ends both sides: at once for a fault, else when what was written has left. Idempotent."""
        if self._closing:
            return
        self._closing = True
        self._fault = fault
        self.deadline = self._clock() + CLOSING_SECONDS
        for pipe in (self.up, self.down):
            if fault is None:
                pipe.transport.close()
            else:
                pipe.transport.abort()

    def expire(self, now: float) -> None:
        """Nothing has moved for too long, or a side does not take its last bytes."""
        if self._closing:
            self.up.transport.abort()
            self.down.transport.abort()
            self._end()
        else:
            self.close(UpstreamFault(Cause.READ_TIMEOUT, "an idle tunnel"))

    def _end(self) -> None:
        self.deadline = NEVER
        self._sweep.discard(self)
        self.over.wake(self._fault)
