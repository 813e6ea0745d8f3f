"""Processes forked from the test, for what several processes do to one memory.

The rule: a child never comes back into the test (it ends by `os._exit`), and none outlives it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

KILLED = -signal.SIGKILL

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1  # prctl(2): a child ends with its parent, also when a run is cut off


def fork(work: Callable[[], object]) -> int:
    """Runs `work` in a child, whose process id is returned. Its exit code is 1 if `work` raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the test's other threads do nothing that a child needs
        pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def wait(pid: int) -> int:
    """The exit code of a child; minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def run(work: Callable[[], object]) -> int:
    """Forks, waits, and gives the exit code."""
    return wait(fork(work))


@contextmanager
def forked(work: Callable[[], object]) -> Iterator[int]:
    """A child for the length of a block, then killed."""
    pid = fork(work)
    try:
        yield pid
    finally:
        with suppress(ChildProcessError):  # it was waited for already, and its id may be another's
            if os.waitpid(pid, os.WNOHANG)[0] == 0:
                kill(pid)


def kill(pid: int) -> int:
    """Ends a child as an operator's `kill -9` would."""
    os.kill(pid, signal.SIGKILL)
    return wait(pid)


def open_descriptors() -> int:
    """How many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


class Gate:
    """Lets one process wait for another: a pipe."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()

    def open(self) -> None:
        os.write(self._write, b".")

    def pass_through(self) -> None:
        assert os.read(self._read, 1) == b"."

    def close(self) -> None:
        os.close(self._read)
        os.close(self._write)
