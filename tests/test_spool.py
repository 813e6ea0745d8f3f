"""Spool: memory, then a file, in order; who is paused and when; what happens when the disk is full."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import Cause, Fault, GatewayFault, UpstreamFault
from gateway.http.message import Fields
from gateway.spool import SLICE, Spool

ROOT = Path(__file__).resolve().parent.parent


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


def test_a_body_in_memory(tmp_path: Path) -> None:
    """What fits is passed on in its own pieces, without a file; the end is told once, with its trailers."""
    spool = Spool(str(tmp_path / "no such folder"), 100)
    for piece in letters(10, 10):
        spool.write(piece)
    assert (spool.size, spool.whole.done) == (100, False)
    spool.finish([(b"a", b"1")])
    assert (spool.whole.done, spool.drained.done) == (True, False)
    sink = Slow(spool)
    spool.drain_to(sink)
    assert (sink.pieces, sink.ends, spool.drained.done) == (letters(10, 10), [[(b"a", b"1")]], True)


def test_an_empty_body() -> None:
    """Has an end, too."""
    spool = Spool(None)
    sink = Slow(spool)
    spool.drain_to(sink)
    assert sink.ends == []
    spool.finish([])
    assert (sink.pieces, sink.ends, spool.drained.done) == ([], [[]], True)


def test_a_body_beyond_memory(tmp_path: Path) -> None:
    """Goes to a file without a name in the folder that was given, and comes back in order."""
    spool = Spool(str(tmp_path), 100)
    pieces = letters(26, 50)
    for piece in pieces:
        spool.write(piece)
    assert spool._memory <= 100
    assert spool._file is not None
    assert list(tmp_path.iterdir()) == []
    spool.finish([])
    sink = Slow(spool)
    spool.drain_to(sink)
    assert (sink.body, sink.ends) == (b"".join(pieces), [[]])
    assert spool._file is None


def test_a_file_is_read_in_slices(tmp_path: Path) -> None:
    """However large it is, SLICE bytes at a time are in memory."""
    spool = Spool(str(tmp_path), 0)
    for piece in letters(5, SLICE - 1):
        spool.write(piece)
    spool.finish([])
    sink = Slow(spool)
    spool.drain_to(sink)
    assert [len(piece) for piece in sink.pieces] == [SLICE] * 4 + [SLICE - 5]


def test_a_slow_reader_pauses_the_spool_and_nobody_else(tmp_path: Path) -> None:
    """The fast side goes on while the slow one takes a piece at a time."""
    origin = Origin()
    spool = Spool(str(tmp_path), 100, origin)
    sink = Slow(spool, 1)
    spool.drain_to(sink)
    for piece in letters(20, 30):
        spool.write(piece)
    spool.finish([])
    assert sink.pieces == letters(1, 30)
    assert (spool.whole.done, spool.drained.done, origin.calls) == (True, False, [])
    sink.read_all()
    assert (sink.body, sink.ends, spool.drained.done) == (b"".join(letters(20, 30)), [[]], True)


def test_a_fast_reader_needs_no_disk(tmp_path: Path) -> None:
    """While the reader keeps up nothing is held, however large the pieces."""
    spool = Spool(str(tmp_path / "no such folder"), 10)
    sink = Slow(spool)
    spool.drain_to(sink)
    for piece in letters(5, 1000):
        spool.write(piece)
    spool.finish([])
    assert (sink.pieces, sink.ends, spool.size) == (letters(5, 1000), [[]], 5000)


def test_a_file_that_has_been_read_is_given_back(tmp_path: Path) -> None:
    """Once the reader has caught up the file is empty again, and memory comes first: a long stream needs no disk."""
    spool = Spool(str(tmp_path), 100)
    sink = Slow(spool, 1)
    spool.drain_to(sink)
    for piece in letters(10, 50):
        spool.write(piece)
    sink.read_all()
    assert spool._file is not None
    assert (spool._written, spool._read_at, spool._file.seek(0, 2)) == (0, 0, 0)
    spool.pause()
    spool.write(b"x" * 100)
    assert spool._written == 0
    spool.write(b"y" * 100)
    assert spool._written == 100
    spool.resume()
    sink.read_all()
    spool.finish([])
    assert sink.body == b"".join(letters(10, 50)) + b"x" * 100 + b"y" * 100


def test_a_file_that_grows_too_large_pauses_the_fast_side(tmp_path: Path) -> None:
    """Beyond `most` unread bytes, once; it goes on when half of them have been read."""
    origin = Origin()
    spool = Spool(str(tmp_path), 0, origin)
    spool._most = 4 * SLICE
    sink = Slow(spool, 1)
    spool.pause()
    spool.drain_to(sink)
    for piece in letters(4, SLICE):
        spool.write(piece)
    assert origin.calls == []
    spool.write(b"z" * SLICE)
    assert origin.calls == ["pause"]
    read = 0
    while origin.calls == ["pause"]:
        spool.resume()
        read += 1
    assert (read, origin.calls) == (4, ["pause", "resume"])
    sink.read_all()
    spool.finish([])
    assert len(sink.body) == 5 * SLICE


STEPS = st.lists(st.one_of(st.integers(1, 40), st.sampled_from(["take", "drain", "pause"])), max_size=40)


@settings(max_examples=60)
@given(STEPS, st.integers(0, 80))
def test_whatever_the_order_of_events(steps: list[int | str], memory: int) -> None:
    """Writes, pauses and reads in any order: the same bytes come out, and one end."""
    spool = Spool(None, memory)
    sink = Slow(spool, 1)
    written = b""
    for at, step in enumerate(steps):
        if isinstance(step, int):
            piece = bytes([at]) * step
            written += piece
            spool.write(piece)
        elif step == "take":
            spool.resume()
        elif step == "pause":
            spool.pause()
        elif spool._sink is None:
            spool.drain_to(sink)
    spool.finish([])
    if spool._sink is None and not spool.drained.done:
        spool.drain_to(sink)
    sink.read_all()
    assert (sink.body, sink.ends, spool.size) == (written, [[]], len(written))


def test_an_abort_reaches_everybody() -> None:
    """The sink, and whoever waits for the whole or for the end; what comes later is dropped."""
    fault = UpstreamFault(Cause.RESPONSE_INCOMPLETE)
    spool = Spool(None, 10)
    sink = Slow(spool, 1)
    spool.drain_to(sink)
    spool.write(b"abc")
    spool.abort(fault)
    spool.abort(UpstreamFault(Cause.BUG))
    spool.write(b"def")
    spool.finish([])
    spool.resume()
    assert (sink.pieces, sink.ends) == ([b"abc"], [fault])
    for wait in (spool.whole, spool.drained):
        with pytest.raises(UpstreamFault):
            wait.result()
    assert (spool._memory, len(spool._pieces), spool._file) == (0, 0, None)


def test_a_sink_that_comes_too_late_hears_of_the_fault() -> None:
    """A broken body never looks like a short one."""
    fault = UpstreamFault(Cause.RESPONSE_INCOMPLETE)
    spool = Spool(None)
    spool.write(b"abc")
    spool.abort(fault)
    sink = Slow(spool)
    spool.drain_to(sink)
    assert (sink.pieces, sink.ends) == ([], [fault])


def test_closing_tells_nobody(tmp_path: Path) -> None:
    """Whoever closes has given up already: the sink is not touched again, and the file is gone."""
    spool = Spool(str(tmp_path), 0)
    sink = Slow(spool, 1)
    spool.drain_to(sink)
    for piece in letters(3, 10):
        spool.write(piece)
    spool.finish([])
    spool.close()
    spool.close()
    spool.resume()
    assert (sink.pieces, sink.ends) == (letters(1, 10), [])
    assert spool._file is None


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """Our fault, told to the sink at once and not at the end of the body."""
    spool = Spool(str(tmp_path / "no such folder"), 10)
    sink = Slow(spool, 1)
    spool.drain_to(sink)
    spool.write(b"a" * 10)
    spool.write(b"b" * 11)
    [fault] = sink.ends
    assert isinstance(fault, GatewayFault)
    assert (fault.cause, "cannot spool a body" in fault.detail) == (Cause.BUG, True)
    with pytest.raises(GatewayFault):
        spool.whole.result()


def test_a_file_that_loses_its_end(tmp_path: Path) -> None:
    """What cannot be read back breaks the body off; it is not passed on as if it were whole."""
    spool = Spool(str(tmp_path), 0)
    spool.write(b"a" * 100)
    spool.finish([])
    assert spool._file is not None
    spool._file.truncate(0)
    sink = Slow(spool)
    spool.drain_to(sink)
    [fault] = sink.ends
    assert isinstance(fault, GatewayFault)
    assert sink.pieces == []


FULL_DISK = """
import resource, signal, sys
from gateway.spool import Spool
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
class Sink:
    def write(self, chunk): spool.pause()
    def finish(self, trailers): print("finished")
    def abort(self, fault): print("aborted", fault.cause.word)
spool = Spool(sys.argv[1], 10)
spool.drain_to(Sink())
for size in (10, 10, 1000, 3000, 3000, 3000):
    spool.write(b"a" * size)
spool.finish([])
spool.resume()
spool.close()
try:
    spool.drained.result()
except Exception as error:
    print(type(error).__name__, "File too large" in str(error))
"""


def test_a_full_disk(tmp_path: Path) -> None:
    """The write that does not fit breaks the body off there and then; closing raises nothing more."""
    ran = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ran.stdout.splitlines(), ran.stderr) == (["aborted bug", "GatewayFault True"], "")
