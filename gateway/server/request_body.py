"""RequestBody: the bytes of one request body between the downstream wire and whoever reads them.

Made by `server/http1.py` when a head announces a body; it decodes the framing, holds at most HIGH_WATER bytes until a
sink is attached, then passes pieces straight through. Nothing is read twice, and nothing beyond the body is touched.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.errors import Cause, ClientFault
from gateway.flow import Sink
from gateway.http.chunked import ChunkedReader
from gateway.http.fields import FRAMING, allowed_trailers
from gateway.http.message import CHUNKED, Fields, Malformed
from gateway.server.settings import DownstreamConfig

HIGH_WATER = 64 * 1024  # bytes held before reading pauses: what a client may put in memory ahead of a slow origin
UNLIMITED = 1 << 62


class RequestBody:
    """One body. `complete` once its end was read; `received` counts decoded bytes."""

    __slots__ = (
        "_chunked", "_held", "_limit", "_pause", "_remaining", "_settings", "_sink", "begun", "complete", "discarding",
        "held", "last", "received", "trailers",
    )  # fmt: skip

    def __init__(self, length: int, pause: Callable[[], None], begun: float, settings: DownstreamConfig) -> None:
        self._chunked = ChunkedReader() if length == CHUNKED else None
        self._remaining = max(0, length)
        self._pause = pause
        self._limit = UNLIMITED
        self._held: list[bytes] = []
        self._sink: Sink | None = None
        self.held = 0  # bytes in _held
        self._settings = settings
        self.begun = begun  # loop time, seconds; later by all the time in which we did not read
        self.last = begun  # loop time of the last read
        self.received = 0
        self.complete = False
        self.discarding = False
        self.trailers: Fields = []

    @property
    def remaining(self) -> int | None:
        """Bytes still to come, None if only the client knows."""
        return None if self._chunked is not None else self._remaining

    def feed(self, data: bytes) -> bytes:
        """Takes what belongs to the body, returns the rest. Raises ClientFault."""
        if self.complete:
            return data
        if self._chunked is None:
            if len(data) <= self._remaining:
                piece, rest = data, b""
            else:
                piece, rest = data[: self._remaining], data[self._remaining :]
            self._remaining -= len(piece)
            if piece:
                self._take(piece)
            if not self._remaining:
                self._end()
            return rest
        try:
            pieces = self._chunked.feed(data)
        except Malformed as malformed:
            raise ClientFault(Cause.MALFORMED_REQUEST, malformed.why) from None
        if pieces:  # as one: a client that sends a chunk for every byte must not make a system call of each
            self._take(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if self._chunked.complete:
            if self._chunked.trailers:
                self.trailers = _passable(self._chunked.trailers)
            self._end()
            return self._chunked.leftover
        if self.received + self._chunked.announced > self._limit and not self.discarding:
            raise ClientFault(Cause.BODY_TOO_LARGE)
        return b""

    def attach(self, sink: Sink, limit: int) -> None:
        """Passes held and later pieces to `sink`. Raises ClientFault if more than `limit` bytes came, or will come."""
        self._limit = limit
        announced = self._chunked.announced if self._chunked is not None else 0
        if self.received + announced > limit:
            raise ClientFault(Cause.BODY_TOO_LARGE)
        self._sink = sink
        held, self._held, self.held = self._held, [], 0
        for piece in held:
            sink.write(piece)
        if self.complete:
            sink.finish(self.trailers)

    def late(self, now: float) -> bool:
        """Whether nothing has come for too long, or too little in all."""
        settings = self._settings
        elapsed = now - self.begun
        slow = elapsed >= settings.min_body_rate_after and self.received < settings.min_body_rate * elapsed
        return slow or now - self.last >= settings.body_timeout

    def due(self, checked: float) -> float:
        """When to look again, if it was not late at `checked`. A read does not put it off, or a drip would for ever."""
        return min(self.last + self._settings.body_timeout, checked + self._settings.min_body_rate_after)

    def was_paused(self, since: float, now: float) -> None:
        """The time during which we did not read is not the client's."""
        self.begun += now - since
        self.last = now

    def discard(self) -> None:
        """The answer has been given: read the rest and forget it."""
        self.discarding = True
        self._sink = None
        self._held.clear()
        self.held = 0

    def forget(self) -> None:
        """Nothing more will come, and nobody is to be paused."""
        self.discard()
        self._pause = _nobody

    def _take(self, piece: bytes) -> None:
        self.received += len(piece)
        if self.discarding:
            return
        if self.received > self._limit:
            raise ClientFault(Cause.BODY_TOO_LARGE)
        if self._sink is not None:
            self._sink.write(piece)
            return
        self._held.append(piece)
        self.held += len(piece)
        if self.held >= HIGH_WATER:
            self._pause()

    def _end(self) -> None:
        self.complete = True
        if self._sink is not None and not self.discarding:
            self._sink.finish(self.trailers)


def _passable(trailers: Fields) -> Fields:
    """What of `trailers` goes on. Raises ClientFault for those that some reader would take for framing or Host."""
    if not FRAMING.isdisjoint(name for name, _value in trailers):
        raise ClientFault(Cause.MALFORMED_REQUEST, "framing or Host in the trailer section")
    return allowed_trailers(trailers)


def _nobody() -> None:
    """Whom to pause when the connection is over."""
