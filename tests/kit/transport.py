"""A fake event loop, clock and transport: protocols are tested with real bytes and without sockets.

Nothing happens by itself: `loop.run()` runs what was scheduled, `loop.clock.advance(s)` makes it later. A FakeTransport
records what a protocol does to it and keeps a real one's rules: nothing is delivered while reading is paused, a close
waits for the unsent, connection_lost comes in a later turn of the loop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from gateway.eager import EagerTask, Wait
from gateway.spool import outcome

HIGH_WATER = 64 * 1024


class FakeClock:
    """Seconds that pass when told to: `clock()`, `clock.advance(2.5)`."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> float:
        self.now += seconds
        return self.now


class FakeLoop:
    """The part of an event loop that protocols use."""

    def __init__(self, clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        self._ready: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._timers: list[tuple[float, Callable[..., object]]] = []

    def time(self) -> float:
        return self.clock()

    def call_soon(self, callback: Callable[..., object], *arguments: object) -> None:
        self._ready.append((callback, arguments))

    def call_later(self, seconds: float, callback: Callable[..., object]) -> None:
        self._timers.append((self.clock() + seconds, callback))

    def run(self) -> None:
        """Runs what was scheduled, and what that schedules."""
        due = [timer for timer in self._timers if timer[0] <= self.clock()]
        for timer in due:
            self._timers.remove(timer)
            self.call_soon(timer[1])
        while self._ready:
            callback, arguments = self._ready.popleft()
            callback(*arguments)


class FakeTransport:
    """A transport whose peer is the test.

    written     every piece written, in order; `sent` joins them, `take()` gives what came since the last take()
    reading     the protocol wants to read
    closed      close() was called; `aborted`: abort() was; `lost`: connection_lost has been called
    ended       write_eof() was called
    late        what was written after close() or abort(): a bug of the protocol
    """

    def __init__(self, protocol: Any = None, loop: FakeLoop | None = None, **extra: object) -> None:
        self.loop = loop or FakeLoop()
        self.written: list[bytes] = []
        self.late: list[bytes] = []
        self.reading = True
        self.closed = self.aborted = self.lost = self.ended = False
        self._protocol = protocol
        self._extra = extra
        self._taken = 0
        self._arrived: deque[bytes | None] = deque()  # None is the end of the stream
        self._clogged = False
        self._unsent = 0
        self._high = HIGH_WATER
        self._low = HIGH_WATER // 4
        self._waiting_for_room = False

    # What the protocol calls

    def write(self, data: bytes) -> None:
        assert isinstance(data, bytes | bytearray | memoryview), f"cannot write {type(data)}"
        if self.is_closing() or self.ended:
            self.late.append(bytes(data))
            return
        self.written.append(bytes(data))
        if self._clogged:
            self._unsent += len(data)
            if self._unsent > self._high and not self._waiting_for_room:
                self._waiting_for_room = True
                self._protocol.pause_writing()

    def writelines(self, pieces: list[bytes]) -> None:
        self.write(b"".join(pieces))

    def write_eof(self) -> None:
        self.ended = True

    def can_write_eof(self) -> bool:
        return True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        if not self.reading and not self.is_closing():
            self.reading = True
            self.loop.call_soon(self._deliver)

    def is_reading(self) -> bool:
        return self.reading

    def close(self) -> None:
        if not self.is_closing():
            self.closed = True
            if not self._unsent:
                self.loop.call_soon(self.lose)

    def abort(self) -> None:
        if not self.aborted and not self.lost:
            self.aborted = True
            self.loop.call_soon(self.lose)

    def is_closing(self) -> bool:
        return self.closed or self.aborted or self.lost

    def set_protocol(self, protocol: Any) -> None:
        self._protocol = protocol

    def get_protocol(self) -> Any:
        return self._protocol

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self._extra.get(name, default)

    def get_write_buffer_size(self) -> int:
        return self._unsent

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = HIGH_WATER if high is None else high
        self._low = self._high // 4 if low is None else low

    # What the test does

    @property
    def sent(self) -> bytes:
        return b"".join(self.written)

    def take(self) -> bytes:
        """What was written since the last call."""
        whole = self.sent
        news, self._taken = whole[self._taken :], len(whole)
        return news

    def feed(self, *pieces: bytes) -> None:
        """The peer sends; each piece is one read, as soon as the protocol reads."""
        self._arrived.extend(pieces)
        self._deliver()

    def end(self) -> None:
        """The peer sends its FIN, behind what it has sent."""
        self._arrived.append(None)
        self._deliver()

    def lose(self, error: Exception | None = None) -> None:
        """The connection is gone (a reset when `error` is given), whether the protocol reads or not."""
        if not self.lost:
            self.lost = True
            self.reading = False
            protocol, self._protocol = self._protocol, None  # a real one lets go of it, too
            protocol.connection_lost(error)

    def clog(self) -> None:
        """The peer stops reading: from now on what is written stays unsent."""
        self._clogged = True

    def unclog(self) -> None:
        """The peer reads everything."""
        self._clogged = False
        self._unsent = 0
        if self._waiting_for_room:
            self._waiting_for_room = False
            if not self.lost:
                self._protocol.resume_writing()
        if self.closed:
            self.loop.call_soon(self.lose)

    def _deliver(self) -> None:
        while self._arrived and self.reading and not self.is_closing():
            piece = self._arrived.popleft()
            if piece is not None:
                self._protocol.data_received(piece)
            elif not self._protocol.eof_received():
                self.close()


def feed(protocol: Any, *pieces: bytes) -> None:
    """Each piece as one read, whatever the transport thinks."""
    for piece in pieces:
        protocol.data_received(piece)


def splits(wire: bytes) -> Iterator[list[bytes]]:
    """`wire` in one piece, in every two pieces, and byte by byte."""
    yield [wire]
    for at in range(1, len(wire)):
        yield [wire[:at], wire[at:]]
    yield [wire[at : at + 1] for at in range(len(wire))]


class Running:
    """A coroutine run eagerly: `done`, then `value` or `error`."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.value: Any = None
        self.error: BaseException | None = None
        self.task = EagerTask(self._run(coroutine), self._crashed)

    @property
    def done(self) -> bool:
        return self.task.done

    def cancel(self, error: BaseException) -> None:
        self.task.cancel(error)

    async def _run(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        try:
            self.value = await coroutine
        except Exception as error:
            self.error = error

    def _crashed(self, error: BaseException) -> None:
        self.error = error


def spawn(coroutine: Coroutine[Any, Any, None]) -> EagerTask:
    """For `Wires.spawn`: connections are made without an event loop."""
    return EagerTask(coroutine, _raise)


def _raise(error: BaseException) -> None:
    raise error


class FakeDisk:
    """For `Spool(disk=...)`: does what it is asked at once, or in the next turn of `loop`, or, with `hold`, in `run`."""

    def __init__(self, loop: FakeLoop | None = None) -> None:
        self.hold = False
        self.jobs: deque[tuple[Callable[[], Any], Callable[[Any], None]]] = deque()
        self._loop = loop
        self._running = False

    def __call__(self, job: Callable[[], Any], done: Callable[[Any], None]) -> None:
        self.jobs.append((job, done))
        if self._loop is not None:
            self._loop.call_soon(self._go_on)
        else:
            self._go_on()

    def _go_on(self) -> None:
        if not self.hold and not self._running:
            self.run()

    def run(self, most: int = 1 << 30) -> None:
        """Does what was asked, and what that asks for, one job after the other; at most so many."""
        self._running = True
        while self.jobs and most:
            most -= 1
            job, done = self.jobs.popleft()
            done(outcome(job))
        self._running = False


class FakeDial:
    """For `Pool(dial=...)`: connects at once to FakeTransports; `hold` makes it wait for answer()."""

    def __init__(self, loop: FakeLoop | None = None) -> None:
        self.loop = loop or FakeLoop()
        self.transports: list[FakeTransport] = []
        self.seconds: list[float] = []  # the time each attempt was given
        self.hold = False
        self.fault: Exception | None = None  # what the next attempt, or the next answer, fails with
        self._held: deque[Wait] = deque()

    @property
    def held(self) -> int:
        return len(self._held)

    def answer(self, fault: Exception | None = None) -> None:
        """The oldest attempt succeeds, or fails with `fault`."""
        self.fault = fault
        self._held.popleft().wake()

    async def __call__(self, make: Callable[[], Any], seconds: float) -> Any:
        self.seconds.append(seconds)
        if self.hold:
            wait = Wait()
            self._held.append(wait)
            await wait
        fault, self.fault = self.fault, None
        if fault is not None:
            raise fault
        connection = make()
        transport = FakeTransport(connection, self.loop)
        connection.connection_made(transport)
        self.transports.append(transport)
        return connection
