"""Signals: what the operating system tells the supervisor, as numbers to be read beside everything else.

The supervisor polls `fileno` and acts on `take`. The rule: a signal is never acted on where it strikes, none is lost
however it falls (they are held back around a fork and across an exec), and as process 1, where the kernel drops every
signal nobody asked for, all that matter are asked for.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

HEEDED = (
    signal.SIGTERM,
    signal.SIGQUIT,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGCHLD,
)
# What a terminal or an init system sends to all processes of a group is meant for the supervisor: it tells the others.
_SUPERVISORS = tuple(number for number in HEEDED if number != signal.SIGCHLD)


class Signals:
    """As a context: heeds the signals, and in the end restores what was before."""

    __slots__ = ("_before", "_here", "_there")

    def __init__(self) -> None:
        self._here, self._there = socket.socketpair()
        self._here.setblocking(False)
        self._there.setblocking(False)
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Signals:
        signal.set_wakeup_fd(self._there.fileno(), warn_on_full_buffer=False)
        for number in HEEDED:
            self._before[number] = signal.signal(number, _noted)
        # Another image of this process may have held them back across its exec: now they are let in.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HEEDED)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        signal.set_wakeup_fd(-1)
        for number, action in self._before.items():
            signal.signal(number, action if action is not None else signal.SIG_DFL)
        self._here.close()
        self._there.close()

    def fileno(self) -> int:
        return self._here.fileno()

    def take(self) -> list[int]:
        """The signals that came, in their order. One that came twice before it was read may be there once."""
        taken = b""
        while True:
            try:
                taken += self._here.recv(4096)
            except BlockingIOError:
                return list(taken)

    @contextmanager
    def held_back(self) -> Iterator[Callable[[], None]]:
        """Signals wait until the end of the block. What is yielded is to be called in a child forked inside it, and
        in no other: it takes the child's own dispositions and lets signals in again."""
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, HEEDED)

        def in_child() -> None:
            signal.set_wakeup_fd(-1)  # the parent's: a signal of the child must not be read as one of the parent
            for number in _SUPERVISORS:
                signal.signal(number, signal.SIG_IGN)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._here.close()
            self._there.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

        try:
            yield in_child
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _noted(_number: int, _frame: FrameType | None) -> None:
    """The interpreter has written the number to the wakeup descriptor; nothing else is done where it strikes."""
