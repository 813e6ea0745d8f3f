"""The two sides of a Spool: a sink that takes a piece at a time, and a source that remembers what it was told."""

from __future__ import annotations

from gateway.errors import Fault
from gateway.http.message import Fields
from gateway.spool import Spool


class Slow:
    """A Sink that pauses its spool after each `room` bytes, and asserts that a sink's contract is kept."""

    def __init__(self, spool: Spool, room: int | None = None) -> None:
        self.spool = spool
        self.room = room
        self.pieces: list[bytes] = []
        self.ends: list[Fields | Fault] = []

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    def write(self, chunk: bytes) -> None:
        assert chunk, "an empty piece"
        assert not self.ends, "a piece after the end"
        self.pieces.append(chunk)
        if self.room is not None:
            self.spool.pause()

    def finish(self, trailers: Fields) -> None:
        assert not self.ends, "a second end"
        self.ends.append(trailers)

    def abort(self, fault: Fault) -> None:
        assert not self.ends, "a second end"
        self.ends.append(fault)

    def read_all(self) -> None:
        while self.spool._paused:
            self.spool.resume()


class Origin:
    """A Source that is told to pause."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pause(self) -> None:
        self.calls.append("pause")

    def resume(self) -> None:
        self.calls.append("resume")


def letters(count: int, size: int) -> list[bytes]:
    """Pieces that can be told apart."""
    return [bytes([97 + at % 26]) * size for at in range(count)]
