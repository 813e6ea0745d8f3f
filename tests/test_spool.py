"""Spool: memory, then a file, in order; who is paused and when."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Cause, UpstreamFault
from gateway.spool import SLICE, Spool
from tests.kit.spool import Origin, Slow, letters
from tests.kit.transport import FakeDisk


def test_a_body_in_memory(tmp_path: Path) -> None:
    """What fits is passed on in its own pieces, without a file; the end is told once, with its trailers."""
    spool = Spool(FakeDisk(), str(tmp_path / "no such folder"), 100)
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
    spool = Spool(FakeDisk(), None)
    sink = Slow(spool)
    spool.drain_to(sink)
    assert sink.ends == []
    spool.finish([])
    assert (sink.pieces, sink.ends, spool.drained.done) == ([], [[]], True)


def test_a_body_beyond_memory(tmp_path: Path) -> None:
    """Goes to a file without a name in the folder that was given, and comes back in order."""
    spool = Spool(FakeDisk(), str(tmp_path), 100)
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
    spool = Spool(FakeDisk(), str(tmp_path), 0)
    for piece in letters(5, SLICE - 1):
        spool.write(piece)
    spool.finish([])
    sink = Slow(spool)
    spool.drain_to(sink)
    assert [len(piece) for piece in sink.pieces] == [SLICE] * 4 + [SLICE - 5]


def test_a_slow_reader_pauses_the_spool_and_nobody_else(tmp_path: Path) -> None:
    """The fast side goes on while the slow one takes a piece at a time."""
    origin = Origin()
    spool = Spool(FakeDisk(), str(tmp_path), 100, origin)
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
    spool = Spool(FakeDisk(), str(tmp_path / "no such folder"), 10)
    sink = Slow(spool)
    spool.drain_to(sink)
    for piece in letters(5, 1000):
        spool.write(piece)
    spool.finish([])
    assert (sink.pieces, sink.ends, spool.size) == (letters(5, 1000), [[]], 5000)


def test_a_file_that_has_been_read_is_given_back(tmp_path: Path) -> None:
    """Once the reader has caught up memory comes first, and the file begins anew: a long stream needs little disk."""
    spool = Spool(FakeDisk(), str(tmp_path), 100)
    sink = Slow(spool, 1)
    spool.drain_to(sink)
    for piece in letters(10, 50):
        spool.write(piece)
    sink.read_all()
    assert spool._file is not None
    assert (spool._written, spool._read_at, spool._file.seek(0, 2)) == (0, 0, 350)
    spool.pause()
    spool.write(b"x" * 100)
    assert spool._written == 0
    spool.write(b"y" * 100)
    assert spool._written == 100
    assert spool._file.seek(0, 2) == 350
    spool.resume()
    sink.read_all()
    spool.finish([])
    assert sink.body == b"".join(letters(10, 50)) + b"x" * 100 + b"y" * 100
    assert spool._file is None


def test_a_file_that_grows_too_large_pauses_the_fast_side(tmp_path: Path) -> None:
    """Beyond `most` unread bytes, once; it goes on when half of them have been read."""
    origin = Origin()
    spool = Spool(FakeDisk(), str(tmp_path), 0, origin)
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
    assert (read, origin.calls) == (3, ["pause", "resume"])
    sink.read_all()
    spool.finish([])
    assert len(sink.body) == 5 * SLICE


STEPS = st.lists(st.one_of(st.integers(1, 40), st.sampled_from(["take", "drain", "pause", "disk"])), max_size=40)


@given(STEPS, st.integers(0, 80), st.booleans())
def test_whatever_the_order_of_events(steps: list[int | str], memory: int, slow: bool) -> None:
    """Writes, pauses, reads and the disk's work in any order: the same bytes come out, and one end."""
    disk = FakeDisk()
    disk.hold = slow
    spool = Spool(disk, None, memory)
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
        elif step == "disk":
            disk.run(1)
        elif spool._sink is None:
            spool.drain_to(sink)
    spool.finish([])
    if spool._sink is None and not spool.drained.done:
        spool.drain_to(sink)
    disk.hold = False
    disk.run()
    sink.read_all()
    assert not disk.jobs
    assert (sink.body, sink.ends, spool.size) == (written, [[]], len(written))


def test_an_abort_reaches_everybody() -> None:
    """The sink, and whoever waits for the whole or for the end; what comes later is dropped."""
    fault = UpstreamFault(Cause.RESPONSE_INCOMPLETE)
    spool = Spool(FakeDisk(), None, 10)
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
    assert (spool._memory, len(spool._front), spool._file) == (0, 0, None)


def test_a_sink_that_comes_too_late_hears_of_the_fault() -> None:
    """A broken body never looks like a short one."""
    fault = UpstreamFault(Cause.RESPONSE_INCOMPLETE)
    spool = Spool(FakeDisk(), None)
    spool.write(b"abc")
    spool.abort(fault)
    sink = Slow(spool)
    spool.drain_to(sink)
    assert (sink.pieces, sink.ends) == ([], [fault])


def test_closing_tells_nobody(tmp_path: Path) -> None:
    """Whoever closes has given up already: the sink is not touched again, and the file is gone."""
    spool = Spool(FakeDisk(), str(tmp_path), 0)
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
