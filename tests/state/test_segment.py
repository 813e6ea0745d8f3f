"""The shared memory, seen from several processes, some of which are killed."""

from __future__ import annotations

import fcntl
import mmap
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.state.segment import (
    CONTROL_LANE,
    LANE_SLOTS,
    LOCK_FILE,
    MAX_LANES,
    PAGE,
    REGIONS,
    SIZE,
    SUPERVISOR_LANE,
    Segment,
    SegmentMismatch,
    StateInUse,
    Word,
)
from tests.kit.children import KILLED, Gate, forked, kill, open_descriptors, run


@pytest.fixture
def segment() -> Iterator[Segment]:
    made = Segment.create()
    yield made
    made.close()


def test_what_one_process_writes_all_read(segment: Segment) -> None:
    """The mapping is shared with children, and still says what a dead one counted."""

    def count() -> None:
        lane = segment.lane(3)
        for _ in range(1000):
            lane[7] += 1
        lane[8] -= 5
        segment.write(Word.GENERATION, 12)

    assert run(count) == 0
    assert segment.touched_lanes().keys() == {3}
    assert (segment.touched_lanes()[3][7], segment.touched_lanes()[3][8]) == (1000, -5)
    assert segment.read(Word.GENERATION) == 12


def test_a_process_killed_while_it_counts_loses_nothing(segment: Segment) -> None:
    """Each addition is whole or has not happened; a successor counts on in the same lane."""
    gate = Gate()

    def count() -> None:
        lane = segment.lane(0)
        lane[1] = 41
        gate.open()
        while True:
            lane[0] += 0x0101010101010101
            lane[0] -= 0x0101010101010101

    for _ in range(20):
        with forked(count) as child:
            gate.pass_through()
            assert kill(child) == KILLED
        assert segment.lane(0)[0] in {0, 0x0101010101010101}
        assert segment.lane(0)[1] == 41
        segment.lane(0)[0] = 0
    gate.close()


def test_regions_follow_each_other(segment: Segment) -> None:
    """Whole pages, no overlap, nothing beyond the end; the lanes lie where their region is."""
    ends = 0
    for region in REGIONS.values():
        assert region.offset == ends
        assert region.size % PAGE == 0
        ends += region.size
    assert ends == SIZE
    segment.lane(1)[0] = 77
    lanes = REGIONS["lanes"].offset // 8
    assert segment.words[lanes + LANE_SLOTS] == 77
    assert len(segment.region("endpoints")) == REGIONS["endpoints"].size
    assert {CONTROL_LANE, SUPERVISOR_LANE} <= set(range(MAX_LANES))


@pytest.mark.parametrize("number", [-1, MAX_LANES])
def test_there_is_no_other_lane(segment: Segment, number: int) -> None:
    """A lane too many is a bug that must not write into its neighbour's region."""
    with pytest.raises(ValueError, match="no lane"):
        segment.lane(number)


def test_what_nobody_touches_costs_no_memory(segment: Segment) -> None:
    """The segment is hundreds of megabytes of which the kernel holds what is used."""
    segment.lane(5)[100] = 1
    segment.touched_lanes()
    assert os.fstat(segment.fd).st_blocks * 512 <= 4 * PAGE


def test_a_lock_dies_with_its_holder(segment: Segment) -> None:
    """The kernel gives it to the next one; nobody waits for a dead process."""
    gate = Gate()

    def hold() -> None:
        with segment.locked("catalogue"):
            gate.open()
            signal.pause()

    def is_free() -> None:
        fcntl.lockf(segment.fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, REGIONS["catalogue"].offset)

    with forked(hold) as child:
        gate.pass_through()
        with pytest.raises(BlockingIOError):
            is_free()
        with segment.locked("purges"):
            pass  # another region, another lock
        assert kill(child) == KILLED
        with segment.locked("catalogue"):
            pass
    assert run(is_free) == 0
    gate.close()


def test_a_lock_is_released_when_its_block_fails(segment: Segment) -> None:
    """An exception inside leaves neither the kernel's lock nor the thread's."""
    with pytest.raises(KeyError), segment.locked("catalogue"):
        raise KeyError
    assert run(segment.locked("catalogue").__enter__) == 0
    with segment.locked("catalogue"):
        pass


def test_the_next_image_finds_what_this_one_wrote(tmp_path: Path) -> None:
    """After an exec the descriptors are all that is left, and enough; the folder is held on."""
    first = Segment.create(tmp_path)
    first.lane(2)[9] = 4
    second = Segment.attach(*first.descriptors)
    assert second.touched_lanes()[2][9] == 4
    assert second.holds_folder
    assert second.descriptors == first.descriptors
    first.close()


def test_memory_of_another_layout_is_refused() -> None:
    """A version with other regions must not read its own out of it."""
    made = Segment.create()
    made.write(Word.LAYOUT, made.read(Word.LAYOUT) ^ 1)
    with pytest.raises(SegmentMismatch, match="is not what this version reads"):
        Segment.attach(made.fd)
    made.write(Word.LAYOUT, made.read(Word.LAYOUT) ^ 1)
    Segment.attach(made.fd)
    os.ftruncate(made.fd, SIZE - mmap.PAGESIZE)
    with pytest.raises(SegmentMismatch, match=f"{SIZE - mmap.PAGESIZE} bytes"):
        Segment.attach(made.fd)
    made.close()


def test_something_else_is_no_segment(tmp_path: Path) -> None:
    """A descriptor of anything is told from a segment before it is mapped."""
    with (tmp_path / "x").open("w+b") as file:
        with pytest.raises(SegmentMismatch):
            Segment.attach(file.fileno())
        file.truncate(SIZE)
        with pytest.raises(SegmentMismatch):
            Segment.attach(file.fileno())


def test_a_folder_has_one_gateway(tmp_path: Path) -> None:
    """The second is told who has it; when the first is killed the folder is free, though its workers live on."""
    gate, leave = Gate(), Gate()

    def supervise() -> None:
        segment = Segment.create(tmp_path)
        os.fork()  # a worker: it inherits every descriptor, and outlives the supervisor
        assert segment.holds_folder
        gate.open()
        leave.pass_through()

    with forked(supervise) as child:
        gate.pass_through()
        gate.pass_through()
        with pytest.raises(StateInUse, match=rf"another gateway \(process {child}\)"):
            Segment.create(tmp_path)
        kill(child)
    segment = Segment.create(tmp_path)
    assert segment.holds_folder
    assert (tmp_path / LOCK_FILE).read_text() == f"{os.getpid()}\n"
    leave.open()
    segment.close()
    gate.close()
    leave.close()


def test_the_folder_is_made(tmp_path: Path) -> None:
    """For its owner alone."""
    segment = Segment.create(tmp_path / "state")
    assert segment.holds_folder
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    segment.close()


def test_without_a_folder_it_works_all_the_same(tmp_path: Path) -> None:
    """A path that leads nowhere, is no folder, or is a trap costs the lock and nothing else."""
    (tmp_path / "file").touch()
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / LOCK_FILE).symlink_to(tmp_path / "elsewhere")
    for folder in (None, tmp_path / "missing" / "too", tmp_path / "file", tmp_path / "link"):
        segment = Segment.create(folder)
        segment.lane(0)[0] = 1
        assert not segment.holds_folder
        segment.close()
    assert not (tmp_path / "elsewhere").exists()


def test_closing_leaves_no_descriptor(tmp_path: Path) -> None:
    """Lanes that somebody holds stay mapped, and can still be counted in."""
    before = open_descriptors()
    segment = Segment.create(tmp_path)
    lane = segment.lane(0)
    segment.close()
    lane[0] += 1
    assert lane[0] == 1
    del lane, segment
    assert open_descriptors() == before
