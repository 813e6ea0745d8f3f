"""Child: what the supervisor knows of one process that it has forked.

Made by crew.py and desk.py when they fork, read back after an upgrade. The rule: telling a child something never fails
and never waits; one that does not listen is noticed by its deadline (`kill_at`).
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Sequence
from typing import Any

from gateway.deadlines import NEVER
from gateway.state.channel import Channel, ChannelClosed


class Child:
    """One process.

    lane         of the segment
    channel      our end; None once the other one is closed
    pair         (control's end, worker's end) of a worker's channel with the control process, kept for later ones
    started      when it was forked; `ready`: since when it serves, None if not yet
    predecessor  forked by the image before this one
    adopts       shares of others whose sockets it serves as well
    clean        False if it says that it had to cut something off
    failure      why it says that it cannot serve
    kill_at      when it is killed, if it still lives
    """

    __slots__ = (
        "adopts", "channel", "clean", "draining", "failure", "kill_at", "lane", "pair", "pid", "predecessor", "ready",
        "share", "started",
    )  # fmt: skip

    def __init__(
        self, pid: int, channel: Channel, started: float, *, share: int, lane: int, pair: tuple[Channel, ...] = ()
    ) -> None:
        self.pid = pid
        self.share = share
        self.lane = lane
        self.channel: Channel | None = channel
        self.pair = pair
        self.started = started
        self.ready: float | None = None
        self.predecessor = False
        self.draining = False
        self.adopts: set[int] = set()
        self.clean = True
        self.failure = ""
        self.kill_at = NEVER

    @property
    def serves(self) -> bool:
        """Whether it accepts connections."""
        return self.ready is not None and not self.draining

    @property
    def ends(self) -> tuple[Channel, ...]:
        """All ends of its channels that the supervisor holds."""
        return (*self.pair, self.channel) if self.channel is not None else self.pair

    def tell(self, body: dict[str, Any], fds: Sequence[int] = ()) -> None:
        if self.channel is not None:
            with contextlib.suppress(ChannelClosed):
                self.channel.send(body, fds)

    def kill(self) -> None:
        """At once. Its end is learnt from waitpid, as any other's."""
        self.kill_at = NEVER
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def described(self) -> dict[str, Any]:
        """For another image of this process (`taken_over`). Raises ValueError for one that has hung up."""
        if self.channel is None:
            raise ValueError(f"process {self.pid} has closed its channel")
        return {
            "pid": self.pid,
            "share": self.share,
            "lane": self.lane,
            "fds": [self.channel.fileno(), *(end.fileno() for end in self.pair)],
            "started": self.started,
            "ready": self.ready,
            "draining": self.draining,
            "kill_at": None if self.kill_at == NEVER else self.kill_at,
            "adopts": sorted(self.adopts),
        }

    @classmethod
    def taken_over(cls, told: dict[str, Any], channel: Channel, pair: tuple[Channel, ...]) -> Child:
        """What `described` gave in the image before this one, with the ends of its channels."""
        child = cls(told["pid"], channel, told["started"], share=told["share"], lane=told["lane"], pair=pair)
        child.ready = told["ready"]
        child.draining = told["draining"]
        child.kill_at = NEVER if told["kill_at"] is None else told["kill_at"]
        child.adopts = set(told["adopts"])
        return child


def cause_of_death(status: int) -> str:
    """In words, from the status of waitpid."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
