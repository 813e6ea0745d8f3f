"""LogWriter: takes finished lines from the event loop and writes them from one thread of its own.

The access log (and, once serving, every other log) ends here: `write` appends to a queue and returns, whatever the
pipe or disk does. The rule: a log never makes a request wait; beyond the bound lines are dropped, and counted.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from gateway.metrics import Metrics

MOST_HELD = 8 * 1024 * 1024  # bytes of lines that wait for a slow disk or a reader that stopped
INTERVAL = 0.1  # seconds between two writes: a wake-up per batch, none per line
SHORTEST = 0.005  # the same when there is much to write
# Bytes of such a batch. Where loop and thread share one core, the loop stands still while the kernel takes them: 1.5 MB
# every INTERVAL added 1.2 ms to the 99th percentile of a busy gateway.
BATCH = 128 * 1024
RETRY = 1.0  # seconds until a failed write is tried again
PIECE = 256 * 1024  # bytes of one write to a file: appending is atomic there (O_APPEND)
# Bytes of one write elsewhere: what several processes write into one pipe tears beyond PIPE_BUF (pipe(7)).
PIPE_PIECE = 4096
# Why a line was dropped: the label of the metric.
REFUSED = "queue_full"  # the output was too slow
LOST = "not_written"  # the output still took nothing when the gateway ended
FILE_MODE = 0o640  # a log holds addresses of people: for its group, not for the world

Report = Callable[[str], None]


def _uncounted(_reason: str, _lines: int) -> None:
    """For a writer whose losses nobody counts."""


class LogWriter:
    """One output: "stdout", "stderr" or a path (absolute; created with mode 0640, appended to).

    `write` is called on one thread (the loop's); making one raises OSError if the path cannot be opened. `report` is
    told, once each, that writing failed, that lines are being dropped, and that writing works again; it must not block
    and is called on either thread. `on_dropped` is told why and how many lines: with REFUSED on the thread of `write`,
    with LOST on the writer's own, so that each has its one writing thread where it is counted.
    """

    __slots__ = (
        "_failed", "_fd", "_full", "_held", "_lines", "_lost", "_on_dropped", "_piece", "_refused", "_reopen",
        "_report", "_rest", "_stop", "_taken", "_thread", "limit", "output",
    )  # fmt: skip

    def __init__(
        self, output: str, report: Report, limit: int = MOST_HELD, on_dropped: Callable[[str, int], None] = _uncounted
    ) -> None:
        self.output = output
        self.limit = limit
        self._report = report
        self._on_dropped = on_dropped
        self._fd, self._piece = _open(output)
        # The queue is a deque because append and popleft are atomic: the loop and the thread share no lock.
        self._lines: deque[bytes] = deque()
        self._held = 0  # bytes ever queued: written by the loop only
        self._taken = 0  # bytes ever done with: written by the thread only
        self._refused = 0  # lines dropped because the queue was full: the loop's
        self._lost = 0  # lines dropped because they could not be written before the end: the thread's
        self._full = False
        self._failed = False
        self._reopen = False
        self._rest = b""  # what a failed write left over
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def dropped(self) -> int:
        """Lines that were not written."""
        return self._refused + self._lost

    @property
    def waiting(self) -> int:
        """Bytes not yet written."""
        return self._held - self._taken

    def write(self, line: bytes) -> None:
        """Queues `line`, which ends with its newline. Never blocks, never raises."""
        held = self._held + len(line)
        if held - self._taken > self.limit:
            self._refused += 1
            self._on_dropped(REFUSED, 1)
            if not self._full:
                self._full = True
                self._report(f"{self.output} does not take log lines fast enough: the surplus is dropped, and counted")
            return
        self._held = held
        self._lines.append(line)

    def start(self) -> None:
        """Starts the thread; in a worker after the fork, since threads do not survive it. Idempotent."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"log {self.output}", daemon=True)
            self._thread.start()

    def reopen(self) -> None:
        """Opens the path anew before the next write (after a rotation). Nothing for stdout and stderr."""
        self._reopen = True

    def close(self, seconds: float = 2.0) -> None:
        """Writes what waits, for at most `seconds`, then ends. Blocks: call it off the loop. Idempotent."""
        if self._stop.is_set():
            return
        self.start()
        self._full, self.limit = True, -1  # whatever is still written is dropped and counted
        self._stop.set()
        if self._thread is not None:
            self._thread.join(seconds)
            if self._thread.is_alive():
                self._report(f"{self.output} still does not take log lines: {self.waiting} bytes are lost")

    def _run(self) -> None:
        wait = INTERVAL
        while not self._stop.wait(wait):
            before = self._taken
            taken_all = self.flush()
            wait = next_wait(wait, self._taken - before) if taken_all else RETRY
        if not self.flush():
            self._give_up()
        if self.output not in {"stdout", "stderr"}:
            os.close(self._fd)

    def flush(self) -> bool:
        """Writes all that is queued; False if the output refused some of it, which is kept for the next time.

        Blocks as long as the output does: the thread calls it (a test without a thread may).
        """
        if self._reopen:
            self._reopen = False
            self._open_anew()
        lines = self._lines
        while self._rest or lines:
            if not self._rest:
                self._rest = b"".join([lines.popleft() for _ in range(min(len(lines), 512))])
            if not self._write_rest():
                return False
        if self._full and self.limit > 0:
            self._full = False
        return True

    def _write_rest(self) -> bool:
        rest, at = self._rest, 0
        view = memoryview(rest)
        try:
            while at < len(rest):
                end = at + self._piece
                if end < len(rest):
                    end = rest.rfind(b"\n", at, end) + 1 or rest.find(b"\n", end) + 1 or len(rest)
                at += self._write_some(view[at:end])
        except OSError as error:
            if not self._failed:
                self._failed = True
                self._report(f"cannot write the log to {self.output}: {os.strerror(error.errno or errno.EIO)}")
            return False
        finally:
            self._rest = rest[at:]
            self._taken += at
        if self._failed:
            self._failed = False
            self._report(f"the log is written to {self.output} again")
        return True

    def _write_some(self, piece: memoryview) -> int:
        while True:
            try:
                return os.write(self._fd, piece)
            except BlockingIOError:  # whoever gave us this descriptor made it non-blocking
                if self._stop.is_set():
                    raise
                poll = select.poll()
                poll.register(self._fd, select.POLLOUT)
                poll.poll(1000)

    def _open_anew(self) -> None:
        if self.output in {"stdout", "stderr"}:
            return
        try:
            fresh, self._piece = _open(self.output)
        except OSError as error:
            self._report(f"cannot reopen the log {self.output}: {os.strerror(error.errno or errno.EIO)}")
            return
        os.close(self._fd)
        self._fd = fresh

    def _give_up(self) -> None:
        waiting = self._rest + b"".join(self._lines)
        self._lines.clear()
        self._rest = b""
        lost = waiting.count(b"\n")
        self._lost += lost
        self._on_dropped(LOST, lost)
        self._taken += len(waiting)


def next_wait(waited: float, written: int) -> float:
    """Seconds until about BATCH bytes have come, if `written` have come in the last `waited`."""
    return min(INTERVAL, max(SHORTEST, waited * BATCH / max(written, 1)))


class LogOutputs:
    """The writers of a process, one per output, shared by all routes and by all generations of the configuration."""

    __slots__ = ("_metrics", "_report", "_started", "_writers")

    def __init__(self, metrics: Metrics, report: Report) -> None:
        self._metrics = metrics
        self._report = report
        self._writers: dict[str, LogWriter] = {}
        self._started = False

    def open(self, output: str) -> Callable[[bytes], None]:
        """The `write` of that output. Raises OSError if it cannot be opened. Opens files: call it off the loop."""
        writer = self._writers.get(output)
        if writer is None:
            writer = self._writers[output] = LogWriter(output, self._report, on_dropped=self._dropped(output))
            self._metrics.gauge_function(
                "gateway_access_log_waiting_bytes",
                "Log lines that wait to be written.",
                lambda: writer.waiting,
                output=output,
            )
            if self._started:
                writer.start()
        return writer.write

    def _dropped(self, output: str) -> Callable[[str, int], None]:
        values = self._metrics.values
        slots = {
            reason: self._metrics.counter(
                "gateway_access_log_dropped_total",
                "Log lines that were not written: the output was too slow, or took nothing to the end.",
                output=output,
                reason=reason,
            )
            for reason in (REFUSED, LOST)
        }

        def dropped(reason: str, lines: int) -> None:
            values[slots[reason]] += lines

        return dropped

    def start(self) -> None:
        """Starts the threads of all writers, now and later ones: in a worker, after the fork."""
        self._started = True
        for writer in self._writers.values():
            writer.start()

    def reopen(self) -> None:
        """Log files were rotated (USR1)."""
        for writer in self._writers.values():
            writer.reopen()

    def close(self, seconds: float = 2.0) -> None:
        """Writes out what waits. Blocks, for at most `seconds` an output."""
        for writer in self._writers.values():
            writer.close(seconds)


class LogRehearsal:
    """Stands in for LogOutputs where nothing will be served: says whether an output could be opened, and opens none."""

    def open(self, output: str) -> Callable[[bytes], None]:
        """Nothing is written. Raises OSError as LogOutputs would."""
        path = Path(output)
        if output not in {"stdout", "stderr"}:
            if not path.parent.is_dir():
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), output)
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), output)
            if not os.access(path if path.exists() else path.parent, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), output)
        return lambda _line: None


def _open(output: str) -> tuple[int, int]:
    """Descriptor and the most bytes of one write."""
    if output == "stdout":
        fd = 1
    elif output == "stderr":
        fd = 2
    else:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
        # Non-blocking, so that a FIFO without a reader is an error and no endless wait.
        fd = os.open(Path(output), flags, FILE_MODE)
    return fd, PIECE if stat.S_ISREG(os.fstat(fd).st_mode) else PIPE_PIECE
