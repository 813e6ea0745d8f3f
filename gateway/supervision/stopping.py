"""Stopping: from the first signal that says so to the exit code.

Advanced by the supervisor's loop with the time: unready, a pause for load balancers to notice, drain, the end of the
control process. The rule: no connection is cut within its drain time unless somebody asks twice, and however the
children behave, it ends.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple

from gateway.config.model import ShutdownConfig
from gateway.deadlines import NEVER

CLEAN = 0
DRAIN_CUT_SHORT = 4
CANNOT_START = 5
QUICK = 1.0  # seconds for what is under way when a person presses Ctrl-C
# Seconds within which a second signal is the same wish: a terminal or `timeout` may tell the group and the process.
SAME_WISH = 0.3


class Stage(Enum):
    """How far it is."""

    SERVING = auto()
    NOTICE = auto()  # serving still, but unready: whoever sends requests here is to go elsewhere
    DRAINING = auto()
    CUTTING = auto()
    CLOSING = auto()  # the workers are gone, the control process is going


class Times(NamedTuple):
    """Seconds: before the drain, for requests, for streams."""

    notice: float
    drain: float
    streams: float

    @classmethod
    def of(cls, config: ShutdownConfig, *, quick: bool) -> Times:
        return cls(0.0, QUICK, QUICK) if quick else cls(config.pre_stop, config.drain, config.stream_drain)


class Stopping:
    """Where the stop has come to. `times` counts from the first `ask` on."""

    __slots__ = ("_asked", "_drain_at", "stage", "times")

    def __init__(self) -> None:
        self.stage = Stage.SERVING
        self.times = Times(0.0, 0.0, 0.0)
        self._asked = NEVER
        self._drain_at = NEVER

    def ask(self, times: Times, now: float) -> bool:
        """Somebody wants it to stop; whether that changed anything. The second time, what is open is to be cut."""
        if self.stage is Stage.SERVING:
            self.stage = Stage.NOTICE
            self.times = times
            self._asked = now
            self._drain_at = now + times.notice
            return True
        if self.stage in {Stage.NOTICE, Stage.DRAINING} and now - self._asked >= SAME_WISH:
            self.stage = Stage.CUTTING
            return True
        return False

    def give_up(self) -> None:
        """There is nothing to drain."""
        self.stage = Stage.CUTTING

    def due(self) -> float:
        return self._drain_at if self.stage is Stage.NOTICE else NEVER

    def advance(self, now: float, *, workers: bool) -> bool:
        """Goes on to the next stage if its time has come; whether it did. `workers`: whether one lives."""
        if self.stage is Stage.NOTICE and now >= self._drain_at:
            self.stage = Stage.DRAINING
            return True
        if self.stage in {Stage.DRAINING, Stage.CUTTING} and not workers:
            self.stage = Stage.CLOSING
            return True
        return False
