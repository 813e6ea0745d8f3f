"""Spool: a body held whole, or ahead of a slow reader: bounded memory, then a temporary file.

`buffering: {request, response}` puts it between the two wires, so that a slow client does not hold a worker of the
origin. It is a Sink for the side that is fast and a Source for the side that is slow, and pauses neither.
"""

from __future__ import annotations

import tempfile
from collections import deque
from typing import IO

from gateway.eager import Wait
from gateway.errors import Cause, Fault, GatewayFault
from gateway.flow import Sink, Source
from gateway.http.message import Fields

MEMORY = 256 * 1024  # bytes kept in memory before a file is used
MOST = 1 << 30  # bytes of one body in its file: against an origin that never ends, before a client that never reads
SLICE = 128 * 1024  # bytes read from the file at a time


class Spool:
    """One body on its way. `whole` wakes once `finish` was called, or fails with the fault of `abort`."""

    __slots__ = (
        "_behind", "_fault", "_file", "_folder", "_held_back", "_limit", "_memory", "_most", "_paused", "_pieces",
        "_read_at", "_sink", "_written", "drained", "size", "trailers", "whole",
    )  # fmt: skip

    def __init__(self, folder: str | None, memory: int = MEMORY, behind: Source | None = None) -> None:
        self._folder = folder
        self._limit = memory
        self._most = MOST
        self._behind = behind  # the fast side, paused when even the file has grown too large
        self._held_back = False
        self._pieces: deque[bytes] = deque()
        self._memory = 0
        self._file: IO[bytes] | None = None
        self._written = 0
        self._read_at = 0
        self._sink: Sink | None = None
        self._paused = False
        self._fault: Fault | None = None
        self.size = 0  # bytes taken in all
        self.trailers: Fields = []
        self.whole = Wait()
        self.drained = Wait()  # wakes once all has been passed on

    # -- a sink for the fast side -------------------------------------------------------------------------------------

    def write(self, chunk: bytes) -> None:
        if self._fault is not None:
            return
        self.size += len(chunk)
        in_memory = self._read_at == self._written
        if self._sink is not None and in_memory and not self._pieces and not self._paused:
            self._sink.write(chunk)  # nothing is held: no need to hold this
            return
        if in_memory and self._memory + len(chunk) <= self._limit:
            self._pieces.append(chunk)
            self._memory += len(chunk)
        else:
            self._spill(chunk)
        self._pump()

    def finish(self, trailers: Fields) -> None:
        self.trailers = trailers
        self.whole.wake()
        self._pump()

    def abort(self, fault: Fault) -> None:
        if self._fault is not None:
            return
        self._fault = fault
        sink = self._sink
        self.close()
        if sink is not None:
            sink.abort(fault)
        self.whole.fail(fault)
        self.drained.fail(fault)

    def _spill(self, chunk: bytes) -> None:
        try:
            if self._file is None:
                # Unbuffered: a full disk must show here, and not when the file is read or closed.
                self._file = tempfile.TemporaryFile(dir=self._folder, prefix="gateway-body-", buffering=0)  # noqa: SIM115
            self._file.seek(self._written)
            rest = memoryview(chunk)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self.abort(GatewayFault(Cause.BUG, f"cannot spool a body: {error}"))
            return
        self._written += len(chunk)
        if self._written - self._read_at > self._most and self._behind is not None:
            self._held_back = True
            self._behind.pause()

    # -- a source for the slow side -----------------------------------------------------------------------------------

    def drain_to(self, sink: Sink) -> None:
        """Passes all on to `sink`, now and as it comes, as fast as it takes it; then finishes it."""
        if self._fault is not None:
            sink.abort(self._fault)
            return
        self._sink = sink
        self._pump()

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        self._pump()

    def _pump(self) -> None:
        sink = self._sink
        while sink is not None and sink is self._sink and not self._paused:
            try:
                piece = self._take()
            except OSError as error:
                self.abort(GatewayFault(Cause.BUG, f"cannot read a spooled body: {error}"))
                return
            if piece:
                sink.write(piece)
            elif self.whole.done:
                self.close()
                sink.finish(self.trailers)
                self.drained.wake()
            else:
                return

    def _take(self) -> bytes:
        """The oldest piece, b"" if there is none now. Raises OSError."""
        if self._pieces:
            piece = self._pieces.popleft()
            self._memory -= len(piece)
            return piece
        if self._file is None or self._read_at == self._written:
            return b""
        self._file.seek(self._read_at)
        piece = self._file.read(min(SLICE, self._written - self._read_at))
        if not piece:
            raise OSError("the file is shorter than what was written to it")
        self._read_at += len(piece)
        if self._held_back and self._behind is not None and self._written - self._read_at < self._most // 2:
            self._held_back = False
            self._behind.resume()
        if self._read_at == self._written and not self.whole.done:  # caught up: memory again, and an empty file
            self._file.truncate(0)
            self._read_at = self._written = 0
        return piece

    def close(self) -> None:
        """Forgets all, and tells nobody. Idempotent."""
        self._sink = None
        self._pieces.clear()
        if self._file is not None:
            self._file.close()
            self._file = None
            self._read_at = self._written = 0
