"""Spool and its disk: one that takes its time, one that is full, and the threads that wait for it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import Cause, GatewayFault, UpstreamFault
from gateway.spool import MOST_WAITING, DiskThreads, Spool
from tests.kit.spool import Origin, Slow, letters
from tests.kit.transport import FakeDisk

ROOT = Path(__file__).resolve().parent.parent


def test_nothing_waits_for_the_disk(tmp_path: Path) -> None:
    """Pieces are taken while it works, go to it together when it is ready, and come out in order."""
    disk = FakeDisk()
    disk.hold = True
    spool = Spool(disk, str(tmp_path), 100)
    for piece in letters(26, 50):
        spool.write(piece)
    assert (len(disk.jobs), spool._written) == (1, 0)
    disk.run(1)
    assert (len(disk.jobs), spool._written) == (1, 50)
    disk.run(1)
    assert (len(disk.jobs), spool._written) == (0, 23 * 50 + 50)
    spool.finish([])
    sink = Slow(spool)
    spool.drain_to(sink)
    assert sink.body == b"".join(letters(2, 50))
    disk.run()
    assert (sink.body, sink.ends) == (b"".join(letters(26, 50)), [[]])


def test_a_body_is_whole_when_it_is_safe(tmp_path: Path) -> None:
    """A request is not begun while its end may still not fit on the disk."""
    disk = FakeDisk()
    disk.hold = True
    spool = Spool(disk, str(tmp_path), 10)
    spool.write(b"a" * 20)
    spool.finish([])
    assert not spool.whole.done
    disk.run()
    assert spool.whole.done
    spool.close()
    disk.run()
    assert spool._file is None


def test_what_the_disk_has_not_taken_yet_may_pass_it_by(tmp_path: Path) -> None:
    """A reader that has caught up gets what waits for the disk at once."""
    disk = FakeDisk()
    disk.hold = True
    spool = Spool(disk, str(tmp_path), 0)
    sink = Slow(spool)
    spool.pause()
    spool.drain_to(sink)
    spool.write(b"one")
    spool.resume()
    spool.write(b"two")
    disk.run(1)  # has written
    spool.write(b"three")
    disk.run(1)  # has read
    assert sink.body == b"onetwothree"
    assert not disk.jobs
    spool.finish([])
    disk.run()


def test_a_slow_disk_pauses_the_fast_side(tmp_path: Path) -> None:
    """What waits for it in memory is bounded, and it goes on when half of that is written."""
    disk, origin = FakeDisk(), Origin()
    disk.hold = True
    spool = Spool(disk, str(tmp_path), 0, origin)
    spool._most = 2 * MOST_WAITING  # the file may be half full, and nobody reads it
    for _ in range(4):
        spool.write(b"x" * (MOST_WAITING // 4))
    assert origin.calls == []
    spool.write(b"x")
    spool.write(b"x")
    assert origin.calls == ["pause"]
    disk.run(1)
    assert origin.calls == ["pause"]
    disk.run()
    assert origin.calls == ["pause", "resume"]
    spool.close()
    disk.run()


@pytest.mark.parametrize("ends", ["close", "abort"])
def test_an_end_while_the_disk_works(tmp_path: Path, ends: str) -> None:
    """The file is closed behind the job that uses it, never beneath it: its number may be a socket's by then."""
    disk = FakeDisk()
    disk.hold = True
    spool = Spool(disk, str(tmp_path), 0)
    spool.write(b"abc")
    disk.run()
    spool.write(b"def")
    file = spool._file
    assert file is not None
    if ends == "close":
        spool.close()
    else:
        spool.abort(UpstreamFault(Cause.RESPONSE_INCOMPLETE))
    assert not file.closed
    disk.run(1)
    assert not file.closed
    disk.run()
    assert file.closed
    assert not disk.jobs


async def test_threads(tmp_path: Path) -> None:
    """In a worker it is done beside the loop, and what goes wrong comes back as what it is."""
    disk = DiskThreads(asyncio.get_running_loop())
    results: list[Any] = []
    there = asyncio.Event()

    def done(result: Any) -> None:
        results.append(result)
        if len(results) == 2:
            there.set()

    disk(threading.current_thread, done)
    disk((tmp_path / "none").read_bytes, done)
    await there.wait()
    thread, error = sorted(results, key=lambda result: isinstance(result, OSError))
    assert thread.name.startswith("disk")
    assert isinstance(error, FileNotFoundError)


async def test_a_body_through_threads(tmp_path: Path) -> None:
    """Twelve megabytes, in order, with a reader that stops now and then; the loop is never blocked by it."""
    spool = Spool(DiskThreads(asyncio.get_running_loop()), str(tmp_path), 1000)
    sink = Slow(spool, 1)
    pieces = [bytes([at % 251]) * 60_000 for at in range(200)]
    for at, piece in enumerate(pieces):
        spool.write(piece)
        if at == 20:
            spool.drain_to(sink)
        await asyncio.sleep(0)
    spool.finish([])
    while not spool.drained.done:
        spool.resume()
        await asyncio.sleep(0)
    assert (sink.body, sink.ends) == (b"".join(pieces), [[]])


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """Our fault, told to the sink at once and not at the end of the body."""
    spool = Spool(FakeDisk(), str(tmp_path / "no such folder"), 10)
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
    spool = Spool(FakeDisk(), str(tmp_path), 0)
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
from gateway.spool import Spool, outcome
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
class Sink:
    def write(self, chunk): spool.pause()
    def finish(self, trailers): print("finished")
    def abort(self, fault): print("aborted", fault.cause.word)
spool = Spool(lambda job, done: done(outcome(job)), sys.argv[1], 10)
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
