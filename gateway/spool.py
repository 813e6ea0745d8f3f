"""Spool: a body held whole, or ahead of a slow reader: bounded memory, then a temporary file.

`buffering: {request, response}` puts it between the two wires, so that a slow client does not hold a worker of the
origin. It is a Sink for the side that is fast and a Source for the side that is slow, and pauses the fast one only when
the disk cannot follow or the file has grown too large. The loop never waits for a disk: a file is made, written, read
and closed on threads, one thing at a time for each spool.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import IO, Any, TypeAlias

from gateway.eager import Wait
from gateway.errors import Cause, Fault, GatewayFault
from gateway.flow import Sink, Source
from gateway.http.message import Fields

MEMORY = 256 * 1024  # bytes kept in memory before a file is used
MOST = 1 << 30  # bytes of one body in its file: against an origin that never ends, before a client that never reads
MOST_WAITING = 512 * 1024  # bytes that wait for the disk before the fast side is paused: against a disk that is slow
SLICE = 128 * 1024  # bytes read from the file at a time
THREADS = 2  # of a worker: what a disk cannot do at once it does not do faster when asked by more

# (job, done): runs `job` elsewhere, then done(what it returned, or the exception it raised) on the loop.
Disk: TypeAlias = Callable[[Callable[[], Any], Callable[[Any], None]], None]


class DiskThreads:
    """The Disk of a worker. Threads of its own, which are made when they are needed: those of the loop look up names,
    and a disk that hangs must not keep anybody from an origin."""

    __slots__ = ("_loop", "_threads")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._threads: ThreadPoolExecutor | None = None

    def __call__(self, job: Callable[[], Any], done: Callable[[Any], None]) -> None:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, "disk")
        working = self._loop.run_in_executor(self._threads, outcome, job)
        working.add_done_callback(lambda future: None if future.cancelled() else done(future.result()))


def outcome(job: Callable[[], Any]) -> Any:
    """What `job` returns, or the exception that it raises."""
    try:
        return job()
    except Exception as error:  # noqa: BLE001  # whoever waits must hear of it
        return error


class Spool:
    """One body on its way. `whole` wakes once all of it is here and safe, or fails with the fault of `abort`.

    The oldest bytes are in `_front`, in memory; those after them in the file, between `_read_at` and `_written`; the
    newest in `_back`, from where they go to the file.
    """

    __slots__ = (
        "_back", "_behind", "_busy", "_closed", "_complete", "_disk", "_fault", "_file", "_folder", "_front",
        "_held_back", "_limit", "_memory", "_most", "_paused", "_read_at", "_sink", "_waiting", "_written", "drained",
        "size", "trailers", "whole",
    )  # fmt: skip

    def __init__(self, disk: Disk, folder: str | None, memory: int = MEMORY, behind: Source | None = None) -> None:
        self._disk = disk
        self._folder = folder
        self._limit = memory
        self._most = MOST
        self._behind = behind  # the fast side
        self._held_back = 0  # it is paused until so few bytes are spilled
        self._front: deque[bytes] = deque()
        self._memory = 0  # bytes in _front
        self._file: IO[bytes] | None = None  # of the job under way while there is one
        self._read_at = self._written = 0
        self._back: list[bytes] = []
        self._waiting = 0  # bytes in _back and on their way to the file
        self._busy = False  # a job is under way
        self._sink: Sink | None = None
        self._paused = False
        self._fault: Fault | None = None
        self._complete = False  # `finish` was called
        self._closed = False
        self.size = 0  # bytes taken in all
        self.trailers: Fields = []
        self.whole = Wait()
        self.drained = Wait()  # wakes once all has been passed on

    # -- a sink for the fast side -------------------------------------------------------------------------------------

    def write(self, chunk: bytes) -> None:
        if self._closed:
            return
        self.size += len(chunk)
        in_memory = not self._spilled
        if self._sink is not None and in_memory and not self._front and not self._paused:
            self._sink.write(chunk)  # nothing is held: no need to hold this
            return
        if in_memory and self._memory + len(chunk) <= self._limit:
            self._front.append(chunk)
            self._memory += len(chunk)
        else:
            self._back.append(chunk)
            self._waiting += len(chunk)
            if self._spilled > self._most:
                self._hold_back(self._most // 2)
            elif self._waiting > MOST_WAITING:
                self._hold_back(self._most)
        self._go_on()

    def finish(self, trailers: Fields) -> None:
        self.trailers = trailers
        self._complete = True
        self._go_on()

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

    @property
    def _spilled(self) -> int:
        """Bytes that are in the file, or will be."""
        return self._written - self._read_at + self._waiting

    def _hold_back(self, until: int) -> None:
        """Pauses the fast side until the disk has caught up, and no more than `until` bytes are spilled."""
        if self._behind is not None:
            if not self._held_back:
                self._behind.pause()
            self._held_back = until

    # -- a source for the slow side -----------------------------------------------------------------------------------

    def drain_to(self, sink: Sink) -> None:
        """Passes all on to `sink`, now and as it comes, as fast as it takes it; then finishes it."""
        if self._fault is not None:
            sink.abort(self._fault)
        elif not self._closed:
            self._sink = sink
            self._go_on()

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        self._go_on()

    def _go_on(self) -> None:
        """Passes on what can be passed on, then asks the disk for what is next, and is called again when it is done."""
        self._pass_on()
        if not self._busy and not self._closed:
            hungry = self._sink is not None and not self._paused and not self._front
            if hungry and self._written > self._read_at:
                size = min(SLICE, self._written - self._read_at)
                self._start(partial(self._read, self._read_at, size), self._was_read)
            elif hungry and self._back:  # nothing is before them: no disk needs to see them
                self._front.extend(self._back)
                self._memory += self._waiting
                self._back, self._waiting = [], 0
                self._let_go()
                self._go_on()
            elif self._back:
                pieces, self._back = self._back, []
                self._start(partial(self._write, pieces, self._written), self._was_written)
        if self._complete and not self._waiting and not self.whole.done:
            self.whole.wake()

    def _pass_on(self) -> None:
        while (sink := self._sink) is not None and not self._paused:
            if self._front:
                piece = self._front.popleft()
                self._memory -= len(piece)
                sink.write(piece)
            elif self._complete and not self._spilled:
                self.close()
                sink.finish(self.trailers)
                self.drained.wake()
            else:
                return

    # -- the file -----------------------------------------------------------------------------------------------------

    def _start(self, job: Callable[[], Any], done: Callable[[Any], None]) -> None:
        def over(result: Any) -> None:
            self._busy = False
            if self._closed:
                self._drop()
            elif isinstance(result, Exception):
                self.abort(GatewayFault(Cause.BUG, f"cannot spool a body: {result}"))
            else:
                done(result)
                self._let_go()
                self._go_on()

        self._busy = True
        self._disk(job, over)

    def _write(self, pieces: list[bytes], at: int) -> int:
        """On a thread."""
        if self._file is None:
            # Unbuffered: a full disk must show here, and not when the file is read or closed.
            self._file = tempfile.TemporaryFile(dir=self._folder, prefix="gateway-body-", buffering=0)  # noqa: SIM115
        begin = at
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                size = os.pwrite(self._file.fileno(), rest, at)
                rest = rest[size:]
                at += size
        return at - begin

    def _was_written(self, size: int) -> None:
        self._written += size
        self._waiting -= size

    def _read(self, at: int, size: int) -> bytes:
        """On a thread."""
        piece = os.pread(self._file.fileno(), size, at)  # type: ignore[union-attr]  # it was written to
        if not piece:
            raise OSError("the file is shorter than what was written to it")
        return piece

    def _was_read(self, piece: bytes) -> None:
        self._front.append(piece)
        self._memory += len(piece)
        self._read_at += len(piece)
        if self._read_at == self._written:  # caught up: the file is written from its begin again
            self._read_at = self._written = 0

    def _let_go(self) -> None:
        if self._held_back and self._waiting <= MOST_WAITING // 2 and self._spilled <= self._held_back:
            self._held_back = 0
            if self._behind is not None:
                self._behind.resume()

    def close(self) -> None:
        """Forgets all, and tells nobody. Idempotent."""
        self._closed = True
        self._sink = None
        self._front.clear()
        self._back.clear()
        self._memory = self._waiting = self._read_at = self._written = 0
        if not self._busy:
            self._drop()

    def _drop(self) -> None:
        """Closes the file: giving the pages of a large one back takes longer than anything else here."""
        file, self._file = self._file, None
        if file is not None:
            self._disk(file.close, _nothing)


def _nothing(_result: Any) -> None:
    """Of a file that is closed nobody wants to hear."""
