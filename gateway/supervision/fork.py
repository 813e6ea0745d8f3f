"""Forks: makes children of the supervisor that hold nothing but what is theirs.

All ends of channels are registered here, and closed in a child unless it was given them. The rule: a descriptor that a
child keeps by accident is a death that nobody notices (the channel never ends) or a queue that nobody serves, so
everything is closed but what is named.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import NoReturn, Protocol

from gateway.state.channel import Channel
from gateway.supervision.signals import Signals

CRASHED = 70  # EX_SOFTWARE of sysexits(3): the child ended by an exception, and has printed it


class Closing(Protocol):
    """What a child may have to close."""

    def close(self) -> None:
        """Closes this process's descriptor."""


class Forks:
    """`others` gives what a child must not keep beside ends of channels: sockets that are not its own."""

    __slots__ = ("_ends", "_others", "_signals")

    def __init__(self, signals: Signals, others: Callable[[], Iterable[Closing]]) -> None:
        self._signals = signals
        self._others = others
        self._ends: set[Channel] = set()

    def pair(self) -> tuple[Channel, Channel]:
        """Both ends of a new channel. Raises OSError."""
        one, other = Channel.pair()
        self._ends |= {one, other}
        return one, other

    def take_over(self, fd: int) -> Channel:
        """An end that was opened by the image before this one."""
        os.set_inheritable(fd, False)
        end = Channel.of(fd)
        self._ends.add(end)
        return end

    def close(self, *ends: Channel) -> None:
        for end in ends:
            self._ends.discard(end)
            end.close()

    def fork(self, name: str, role: Callable[[], int], keep: Collection[Closing]) -> int:
        """The id of a child that runs `role`, ends with its result and keeps only `keep`. Raises OSError."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()  # or the child would write it once more
        with self._signals.held_back() as in_child:
            pid = os.fork()
            if pid == 0:

                def live() -> int:
                    in_child()
                    self._strip(keep)
                    return role()

                _live(name, live)
        return pid

    def _strip(self, keep: Collection[Closing]) -> None:
        kept = set(map(id, keep))
        for one in [*self._ends, *self._others()]:
            if id(one) not in kept:
                one.close()


def _live(name: str, role: Callable[[], int]) -> NoReturn:
    """All that a child does."""
    code = CRASHED
    try:
        with contextlib.suppress(OSError):
            Path("/proc/self/comm").write_text(name)  # what ps and top show; at most 15 letters
        code = role()
    except SystemExit as leave:
        code = leave.code if isinstance(leave.code, int) else CRASHED
    except BaseException:  # noqa: BLE001 - whatever it was, the supervisor's code must not go on in the child
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
