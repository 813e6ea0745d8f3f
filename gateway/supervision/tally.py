"""Tally: what the supervisor itself counts, and what it puts right in the numbers of a process that died.

In a lane of its own of the shared segment; the control process adds it up with the others'. The rule: what a dead
process counted stays counted, what it had open is open no more.
"""

from __future__ import annotations

from gateway.metrics import Metrics
from gateway.state.catalogue import Catalogue
from gateway.state.segment import SUPERVISOR_LANE, Segment
from gateway.state.totals import zero_gauges


class Tally:
    """Of one gateway, upgrades included."""

    __slots__ = ("_catalogue", "_deaths", "_metrics", "_segment", "_serving")

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._catalogue = Catalogue(segment)
        self._metrics = metrics = Metrics(segment.lane(SUPERVISOR_LANE), self._catalogue.claim)
        self._serving = metrics.gauge("gateway_workers", "Workers that serve.")
        self._deaths = {
            kind: metrics.counter("gateway_worker_restarts_total", "Processes that died unasked.", kind=kind)
            for kind in ("worker", "control")
        }

    def serving(self, workers: int) -> None:
        self._metrics.values[self._serving] = workers

    def died(self, kind: str, lane: int, *, expected: bool) -> None:
        """A process's end; `kind` is worker or control."""
        zero_gauges(self._catalogue, self._segment.lane(lane))
        if not expected:
            self._metrics.values[self._deaths[kind]] += 1
