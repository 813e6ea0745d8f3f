"""Forks that fork nothing: what the supervision package would fork is written down, and ends when the test says so."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from gateway.state.channel import Channel

_pids = itertools.count(2**22 + 1)  # beyond the most that Linux gives


class Forked(NamedTuple):
    """A child that is none. `theirs`: the first channel end it was given."""

    pid: int
    name: str
    role: Callable[[], int]
    theirs: Channel

    def heard(self) -> list[dict[str, Any]]:
        """What it was told since the last time."""
        return [body for body, _fds in self.heard_with_fds()]

    def heard_with_fds(self) -> list[tuple[dict[str, Any], int]]:
        """The same, with the number of descriptors that came along."""
        messages = self.theirs.receive()
        for fd in (fd for message in messages for fd in message.fds):
            os.close(fd)
        return [(message.body, len(message.fds)) for message in messages]


class PaperForks:
    """Looks like gateway.supervision.fork.Forks. Its children have process ids that no process has."""

    def __init__(self) -> None:
        self.forked: list[Forked] = []
        self.refuses = False
        self.closed: set[Channel] = set()
        self._made: list[Channel] = []

    def pair(self) -> tuple[Channel, Channel]:
        pair = Channel.pair()
        self._made += pair
        return pair

    def take_over(self, fd: int) -> Channel:
        self._made.append(Channel.of(fd))
        return self._made[-1]

    def close(self, *ends: Channel) -> None:
        self.closed |= set(ends)
        # The ends of children stay open, for the test to read what they were told.
        held = {forked.theirs for forked in self.forked}
        for end in ends:
            if end not in held:
                end.close()

    def __enter__(self) -> PaperForks:
        return self

    def __exit__(self, *_: object) -> None:
        for end in self._made:
            end.close()

    def fork(self, name: str, role: Callable[[], int], keep: Collection[Any]) -> int:
        if self.refuses:
            raise OSError(11, "Resource temporarily unavailable")
        self.forked.append(Forked(next(_pids), name, role, next(iter(keep))))
        return self.forked[-1].pid
