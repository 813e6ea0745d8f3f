"""Finished: exchanges that are over, until their log step is run.

The log hooks of one exchange cost half as much when they run for many exchanges in a row (measured: 3.1 instead of
6.7 us, docs/explanation/performance.md), so they wait for BATCH of them, or for PATIENCE. An exchange is not changed
any more once it is here, and its end was stamped before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.exchange import Exchange
from gateway.pipeline import finish

BATCH = 64  # exchanges logged in a row: a pause of a quarter of a millisecond at the most
PATIENCE = 0.05  # seconds that a line may wait on a gateway with little to do


class Finished:
    """A callable: takes an exchange that is over. `later(seconds, callback)` is the loop's call_later."""

    __slots__ = ("_crashed", "_later", "_waiting")

    def __init__(
        self, later: Callable[[float, Callable[[], None]], Any], crashed: Callable[[BaseException], None]
    ) -> None:
        self._later = later
        self._crashed = crashed
        self._waiting: list[Exchange] = []

    def __call__(self, exchange: Exchange) -> None:
        waiting = self._waiting
        waiting.append(exchange)
        if len(waiting) >= BATCH:
            self.flush()
        elif len(waiting) == 1:
            self._later(PATIENCE, self.flush)

    def flush(self) -> None:
        """Runs the log hooks of all that wait."""
        waiting, self._waiting = self._waiting, []
        for exchange in waiting:
            try:
                finish(exchange)
            except Exception as error:  # noqa: BLE001 - a bug in a log hook must not cost the other lines
                self._crashed(error)
