"""Exchanges that are over wait for company: how long, how many, and what a bug costs."""

from __future__ import annotations

from collections.abc import Callable

from gateway.exchange import Exchange
from gateway.finished import BATCH, PATIENCE, Finished
from gateway.hooks import Hooks, Route
from gateway.pipeline import build_plan
from tests.kit.exchanges import make_exchange


class Logged:
    """A Finished whose timer the test rings, and what it logged."""

    def __init__(self) -> None:
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.lines: list[Exchange] = []
        self.crashes: list[BaseException] = []
        self.finished = Finished(lambda seconds, callback: self.timers.append((seconds, callback)), self.crashes.append)
        self._route = Route("shop", build_plan([("log", Hooks(log=self._log))]), None)

    def _log(self, exchange: Exchange) -> None:
        if exchange.id == b"bad":
            raise ValueError("a bug in a log hook")
        self.lines.append(exchange)

    def over(self, count: int = 1, name: bytes = b"good") -> list[Exchange]:
        exchanges = []
        for _ in range(count):
            exchange = make_exchange()
            exchange.id, exchange.route = name, self._route
            exchanges.append(exchange)
            self.finished(exchange)
        return exchanges


def test_a_lone_exchange_is_logged_in_time() -> None:
    """The first that waits asks for one timer; those that join it ask for none."""
    logged = Logged()
    exchanges = logged.over(3)
    assert logged.lines == []
    [(seconds, ring)] = logged.timers
    assert seconds == PATIENCE
    ring()
    assert logged.lines == exchanges


def test_a_full_batch_does_not_wait() -> None:
    """BATCH exchanges are logged at once, in their order; the timer finds nothing more to do."""
    logged = Logged()
    exchanges = logged.over(BATCH)
    assert logged.lines == exchanges
    [(_seconds, ring)] = logged.timers
    ring()
    assert len(logged.lines) == BATCH


def test_the_next_batch_has_a_timer_of_its_own() -> None:
    """What comes after a flush is not left behind."""
    logged = Logged()
    logged.over(BATCH + 1)
    assert (len(logged.lines), len(logged.timers)) == (BATCH, 2)
    logged.timers[-1][1]()
    assert len(logged.lines) == BATCH + 1


def test_a_bug_costs_its_own_line_only() -> None:
    """The others of the batch are logged, and the bug is told."""
    logged = Logged()
    before, _bad, after = logged.over(), logged.over(1, b"bad"), logged.over()
    logged.finished.flush()
    assert logged.lines == before + after
    assert [str(error) for error in logged.crashes] == ["a bug in a log hook"]


def test_flushing_twice_logs_once() -> None:
    """The end of the process may come while a timer is still set."""
    logged = Logged()
    logged.over(2)
    logged.finished.flush()
    logged.finished.flush()
    assert len(logged.lines) == 2
