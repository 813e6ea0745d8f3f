"""Segment: the one piece of memory that all processes of a gateway share.

The supervisor creates it before it forks; workers and control inherit the mapping and count into lanes of their own.
The rule: what is shared is aligned 8-byte words, which are never torn; what is longer is published by a word that is
written last, under a lock of the kernel's, which frees it when its holder dies.

It is always anonymous memory, never a mapped file: a file's pages stall whoever writes to them while the disk is busy
(24 ms were seen), and a full disk kills every worker (SIGBUS). What outlives a restart is written to files by those
whom it belongs to.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

WORD = 8  # bytes
PAGE = 4096
MAGIC = int.from_bytes(b"GATEWAY", "little")

# Numbers of a process live in its lane. 126 workers are more than any machine gets; the last two are not workers'.
MAX_LANES = 128
CONTROL_LANE = MAX_LANES - 1
SUPERVISOR_LANE = MAX_LANES - 2
# Words of a lane: 10,000 routes with a latency histogram each, and as much again. Untouched pages cost nothing.
LANE_SLOTS = 262_144
MAX_ENDPOINTS = 4096
ENDPOINT_WORDS = 16

LOCK_FILE = "lock"


class Region(NamedTuple):
    """A part of the segment, in bytes from its start; a multiple of the page size."""

    offset: int
    size: int


def _laid_out(sizes: dict[str, int]) -> dict[str, Region]:
    regions, offset = {}, 0
    for name, size in sizes.items():
        regions[name] = Region(offset, -(-size // PAGE) * PAGE)
        offset += regions[name].size
    return regions


# The whole layout. A feature that shares something adds its region here; LAYOUT changes with it.
REGIONS = _laid_out(
    {
        "header": PAGE,
        "catalogue": 16 * 1024 * 1024,
        "lanes": MAX_LANES * LANE_SLOTS * WORD,
        "endpoints": MAX_ENDPOINTS * ENDPOINT_WORDS * WORD,
        "board": 17 * PAGE,
        "purges": 1024 * 1024,
        "buckets": 16 * 1024 * 1024,
    }
)
SIZE = sum(region.size for region in REGIONS.values())


class Word(IntEnum):
    """Words of the header, by their place in it. Each has one writer, unless it is written under a lock."""

    MAGIC = 0
    LAYOUT = 1
    STARTED_AT = 2  # nanoseconds since the epoch: when the segment was made
    GENERATION = 3  # of the configuration in force
    DRAINING = 4  # 1 while the gateway as a whole is stopping
    CATALOGUE_LENGTH = 5  # bytes of the catalogue that are complete
    PURGE_EPOCH = 6
    LANE_TOUCHED = 128  # the first of MAX_LANES words: 1 once somebody counts in that lane


LAYOUT = zlib.crc32(repr((REGIONS, [(word.name, word.value) for word in Word])).encode())


class SegmentMismatch(Exception):
    """The memory is not laid out as this version of the gateway reads it."""


class StateInUse(Exception):
    """Another gateway works with the same state_dir."""


class Segment:
    """The shared memory, mapped. `fd` is its descriptor, `words` all of it as signed 8-byte words.

    `descriptors` are what must stay open and be named to `attach` when the process is replaced by exec.
    """

    __slots__ = ("_bytes", "_held", "_thread_lock", "fd", "words")

    def __init__(self, fd: int, held: int | None) -> None:
        self.fd = fd
        self._held = held
        mapped = mmap.mmap(fd, SIZE)
        mapped.madvise(mmap.MADV_DONTDUMP)
        self._bytes = memoryview(mapped)
        self.words = self._bytes.cast("q")
        self._thread_lock = threading.Lock()

    @classmethod
    def create(cls, folder: Path | None = None) -> Segment:
        """A new segment, all zeros. `folder` is the state_dir, which is taken for this process alone (its lock goes
        with the process) and made if only it is missing; one that cannot be written to is no error here.

        Raises StateInUse, and OSError when there is no memory."""
        held = _hold(folder) if folder is not None else None
        try:
            fd = os.memfd_create("gateway", os.MFD_CLOEXEC)
            os.ftruncate(fd, SIZE)
            segment = cls(fd, held)
        except BaseException:
            if held is not None:
                os.close(held)
            raise
        segment.write(Word.STARTED_AT, time.time_ns())
        segment.write(Word.LAYOUT, LAYOUT)
        segment.write(Word.MAGIC, MAGIC)
        return segment

    @classmethod
    def attach(cls, fd: int, held: int | None = None) -> Segment:
        """The segment behind the descriptors of another image of this process. Raises SegmentMismatch."""
        size = os.fstat(fd).st_size
        head = os.pread(fd, 2 * WORD, 0) if size == SIZE else b""
        magic, layout = (int.from_bytes(head[at : at + WORD], "little") for at in (0, WORD))
        if size != SIZE or magic != MAGIC or layout != LAYOUT:
            raise SegmentMismatch(
                f"the shared memory of the running gateway ({size} bytes, layout {layout:08x}) is not what this "
                f"version reads ({SIZE} bytes, layout {LAYOUT:08x})"
            )
        return cls(fd, held)

    @property
    def descriptors(self) -> list[int]:
        return [self.fd] if self._held is None else [self.fd, self._held]

    @property
    def holds_folder(self) -> bool:
        """Whether the state_dir could be written to, and is ours."""
        return self._held is not None

    def read(self, word: int) -> int:
        """A word of the header."""
        return self.words[word]

    def write(self, word: int, value: int) -> None:
        """Stores a word of the header: whole, or not at all."""
        self.words[word] = value

    def lane(self, number: int) -> memoryview:
        """The LANE_SLOTS words that one process counts in."""
        self.words[Word.LANE_TOUCHED + _checked(number)] = 1
        return self._lane(number)

    def touched_lanes(self) -> dict[int, memoryview]:
        """The lanes that were ever counted in, by number: reading another would make the kernel find memory for it."""
        first = Word.LANE_TOUCHED
        return {number: self._lane(number) for number in range(MAX_LANES) if self.words[first + number]}

    def region(self, name: str) -> memoryview:
        """The bytes of a region of REGIONS."""
        offset, size = REGIONS[name]
        return self._bytes[offset : offset + size]

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Holds the lock of a region against every other process and thread. For moments: whoever waits, blocks.

        The kernel's lock belongs to the process and goes with it, and with the closing of *any* descriptor of the
        segment: nobody opens it twice.
        """
        with self._thread_lock:
            fcntl.lockf(self.fd, fcntl.LOCK_EX, 1, REGIONS[name].offset)
            try:
                yield
            finally:
                fcntl.lockf(self.fd, fcntl.LOCK_UN, 1, REGIONS[name].offset)

    def close(self) -> None:
        """Closes the descriptors. The memory stays mapped as long as somebody holds a piece of it."""
        for fd in self.descriptors:
            os.close(fd)
        self._held = None
        self.fd = -1

    def _lane(self, number: int) -> memoryview:
        first = REGIONS["lanes"].offset // WORD + number * LANE_SLOTS
        return self.words[first : first + LANE_SLOTS]


def _checked(number: int) -> int:
    if not 0 <= number < MAX_LANES:
        raise ValueError(f"there are {MAX_LANES} lanes, and no lane {number}")
    return number


def _hold(folder: Path) -> int | None:
    """A descriptor whose lock says that `folder` is ours; None if nothing can be written there."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        fd = os.open(folder / LOCK_FILE, flags, 0o600)
    except OSError:
        return None
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n" % os.getpid(), 0)
    except OSError as error:
        owner = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
        os.close(fd)
        if error.errno in {errno.EACCES, errno.EAGAIN}:
            raise StateInUse(f"{folder} is in use by another gateway (process {owner or 'unknown'})") from None
        return None
    return fd
