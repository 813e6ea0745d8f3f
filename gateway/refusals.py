"""Refusals: connections that are closed before a request was read, counted and logged.

Called by the doors of all listeners through `worker.py`. A flood must not become a flood of log lines: each reason is
logged at most once in QUIET seconds, with the number of those that were not.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.exchange import Connection
from gateway.metrics import Metrics

QUIET = 10.0  # seconds between two log lines of one reason: against an attacker that writes our log
REASONS = {
    "connection_cap": "too many connections in all (downstream.max_connections)",
    "client_cap": "too many connections of one client (downstream.max_connections_per_client)",
    "proxy_untrusted": "a peer that is not in proxy_protocol.trusted",
    "proxy_malformed": "no PROXY protocol header from a trusted peer",
}


class Refusals:
    """A callable: (reason, connection). `warn` takes a text and facts, as a structlog logger does."""

    __slots__ = ("_clock", "_silent", "_slots", "_unsaid", "_values", "_warn")

    def __init__(self, metrics: Metrics, warn: Callable[..., object], clock: Callable[[], float]) -> None:
        self._warn = warn
        self._clock = clock
        self._values = metrics.values
        self._slots = {
            reason: metrics.counter(
                "gateway_connections_refused_total", "Connections closed before a request was read.", reason=reason
            )
            for reason in REASONS
        }
        self._silent = dict.fromkeys(REASONS, float("-inf"))  # until when
        self._unsaid = dict.fromkeys(REASONS, 0)

    def __call__(self, reason: str, connection: Connection) -> None:
        self._values[self._slots[reason]] += 1
        now = self._clock()
        if now < self._silent[reason]:
            self._unsaid[reason] += 1
            return
        unsaid, self._unsaid[reason] = self._unsaid[reason], 0
        self._silent[reason] = now + QUIET
        self._warn(
            f"connection refused: {REASONS[reason]}",
            peer=connection.peer or "unix",
            listener=connection.listener,
            more_since_last_time=unsaid,
        )
