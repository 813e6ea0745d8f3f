"""The log writer: nothing is lost that can be written, nothing waits, and what cannot be written is counted."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.log_writer import BATCH, INTERVAL, PIPE_PIECE, SHORTEST, LogOutputs, LogWriter, next_wait
from gateway.metrics import Metrics


class Reports(list[str]):
    """What a writer told of itself."""

    def __call__(self, text: str) -> None:
        self.append(text)


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest.fixture
def pipe() -> Iterator[tuple[int, str]]:
    """The reading end of a pipe, and a path that opens its writing end."""
    reader, writer = os.pipe()
    yield reader, f"/proc/self/fd/{writer}"
    os.close(writer)


def lines(count: int, length: int = 300) -> list[bytes]:
    return [b"%06d %b\n" % (number, b"x" * (length - 8)) for number in range(count)]


def test_lines_come_out_whole_and_in_order(tmp_path: Path, reports: Reports) -> None:
    """What is written before close is in the file after it, and only its group may read along."""
    path = tmp_path / "access.log"
    writer = LogWriter(str(path), reports)
    writer.start()
    for line in lines(5000):
        writer.write(line)
    writer.close()
    assert path.read_bytes() == b"".join(lines(5000))
    assert stat.S_IMODE(path.stat().st_mode) & 0o027 == 0
    assert (writer.waiting, writer.dropped, reports) == (0, 0, [])


def test_lines_appear_without_close(pipe: tuple[int, str], reports: Reports) -> None:
    """The thread writes a little later by itself: whoever reads the pipe gets the line."""
    reader, path = pipe
    writer = LogWriter(path, reports)
    writer.start()
    writer.write(b"hello\n")
    assert os.read(reader, 100) == b"hello\n"
    writer.close()
    os.close(reader)


def test_a_pipe_gets_whole_lines_in_pieces_that_cannot_tear(reports: Reports) -> None:
    """A reader of a packet-mode pipe sees each write by itself: at most PIPE_BUF bytes, ending with a newline."""
    reader, fd = os.pipe2(os.O_DIRECT)
    writer = LogWriter(f"/proc/self/fd/{fd}", reports)
    os.dup2(fd, writer._fd)  # opened by its path, the pipe has no packet mode
    for line in lines(100):
        writer.write(line)
    assert writer.flush()
    pieces: list[bytes] = []
    while len(b"".join(pieces)) < 100 * 300:
        pieces.append(os.read(reader, 1 << 16))
    assert b"".join(pieces) == b"".join(lines(100))
    assert all(len(piece) <= PIPE_PIECE and piece.endswith(b"\n") for piece in pieces)
    assert len(pieces) == 8
    for descriptor in (reader, fd):
        os.close(descriptor)
    writer.close()


def test_a_line_longer_than_a_piece_is_written_by_itself(pipe: tuple[int, str], reports: Reports) -> None:
    """It may tear among several processes, but it is not lost, and neither are its neighbours."""
    reader, path = pipe
    writer = LogWriter(path, reports)
    wanted = [*lines(3), b"y" * 9000 + b"\n", *lines(3)]
    for line in wanted:
        writer.write(line)
    assert writer.flush()
    assert os.read(reader, 1 << 20) == b"".join(wanted)
    writer.close()
    os.close(reader)


def test_a_reader_that_stopped_costs_lines_and_no_time(pipe: tuple[int, str], reports: Reports) -> None:
    """Beyond the bound lines are dropped and counted, told once; when the reader is back, lines flow again."""
    reader, path = pipe
    writer = LogWriter(path, reports, limit=100_000)
    for line in lines(2000):
        writer.write(line)
    assert writer.waiting <= 100_000
    kept = writer.waiting // 300
    assert writer.dropped == 2000 - kept
    assert len(reports) == 1
    assert "dropped" in reports[0]
    writer.start()
    seen = b""
    while len(seen) < kept * 300:
        seen += os.read(reader, 1 << 16)
    assert seen == b"".join(lines(kept))
    writer.write(b"again\n")
    assert os.read(reader, 100) == b"again\n"
    writer.close()
    assert len(reports) == 1
    os.close(reader)


def test_a_full_disk_is_told_once_and_survived(reports: Reports) -> None:
    """Each attempt fails, one report stands, and what was never written is counted at the end."""
    writer = LogWriter("/dev/full", reports)
    for line in lines(10):
        writer.write(line)
    assert not writer.flush()
    assert not writer.flush()
    assert reports == ["cannot write the log to /dev/full: No space left on device"]
    writer.close()
    assert (writer.dropped, writer.waiting) == (10, 0)


def test_a_reader_that_died_is_survived(pipe: tuple[int, str], reports: Reports) -> None:
    """EPIPE is an error like any other: kept, told once, counted."""
    reader, path = pipe
    writer = LogWriter(path, reports)
    os.close(reader)
    writer.write(b"lost\n")
    assert not writer.flush()
    writer.close()
    assert len(reports) == 1
    assert "Broken pipe" in reports[0]
    assert writer.dropped == 1


def test_after_a_failure_the_rest_follows(tmp_path: Path, reports: Reports) -> None:
    """What a failed write left over is written first, and that it works again is told."""
    path = tmp_path / "access.log"
    writer = LogWriter("/dev/full", reports)
    writer.write(b"first\n")
    assert not writer.flush()
    writer.write(b"second\n")
    writer.output = str(path)
    writer.reopen()
    assert writer.flush()
    assert path.read_bytes() == b"first\nsecond\n"
    assert reports[1:] == [f"the log is written to {path} again"]
    writer.close()


def test_reopen_follows_a_rotation(tmp_path: Path, reports: Reports) -> None:
    """After the file was moved away, new lines go into a new file of the old name."""
    path = tmp_path / "access.log"
    writer = LogWriter(str(path), reports)
    writer.write(b"old\n")
    assert writer.flush()
    path.rename(tmp_path / "access.log.1")
    writer.write(b"still old\n")
    assert writer.flush()
    writer.reopen()
    writer.write(b"new\n")
    assert writer.flush()
    assert path.read_bytes() == b"new\n"
    assert (tmp_path / "access.log.1").read_bytes() == b"old\nstill old\n"
    writer.close()


def test_a_reopen_that_fails_keeps_the_old_file(tmp_path: Path, reports: Reports) -> None:
    """A folder that is gone loses no line: the old descriptor is written on."""
    folder = tmp_path / "logs"
    folder.mkdir()
    writer = LogWriter(str(folder / "access.log"), reports)
    (folder / "access.log").rename(tmp_path / "moved.log")
    folder.rmdir()
    writer.reopen()
    writer.write(b"kept\n")
    assert writer.flush()
    assert (tmp_path / "moved.log").read_bytes() == b"kept\n"
    assert re.match(r"cannot reopen .*: No such file", reports[0])
    writer.close()


def test_what_comes_after_close_is_counted(tmp_path: Path, reports: Reports) -> None:
    """A line too late is dropped, not kept for ever."""
    writer = LogWriter(str(tmp_path / "access.log"), reports)
    writer.close()
    writer.close()
    writer.write(b"late\n")
    assert (writer.dropped, reports) == (1, [])


def test_an_output_that_cannot_be_opened_is_told_at_load(tmp_path: Path, reports: Reports) -> None:
    """The configuration is wrong then, and its loader says so."""
    with pytest.raises(FileNotFoundError):
        LogWriter(str(tmp_path / "nowhere" / "access.log"), reports)


def test_outputs_are_shared_and_measured(tmp_path: Path, reports: Reports) -> None:
    """Two routes that name one file share its writer; its drops are a metric; closing writes all of them out."""
    metrics = Metrics()
    outputs = LogOutputs(metrics, reports)
    path = str(tmp_path / "a.log")
    first = outputs.open(path)
    outputs.start()
    assert outputs.open(path) == first
    second = outputs.open(str(tmp_path / "b.log"))
    outputs.open("stdout")
    first(b"a\n")
    second(b"b\n")
    outputs.reopen()
    outputs.close()
    assert ((tmp_path / "a.log").read_text(), (tmp_path / "b.log").read_text()) == ("a\n", "b\n")
    first(b"late\n")
    assert metrics.value("gateway_access_log_dropped_total", output=path, reason="queue_full") == 1
    assert metrics.value("gateway_access_log_waiting_bytes", output="stdout") == 0


@pytest.mark.parametrize(
    ("rate", "pause"),
    [(0, INTERVAL), (1_000, INTERVAL), (10 * BATCH, INTERVAL), (50 * BATCH, 0.02), (10_000 * BATCH, SHORTEST)],
)
def test_the_busier_the_more_often(rate: int, pause: float) -> None:
    """Whatever comes in a second, about a batch of it is written at a time, from the second time on."""
    first = next_wait(INTERVAL, round(rate * INTERVAL))
    assert next_wait(first, round(rate * first)) == pytest.approx(first) == pytest.approx(pause)
