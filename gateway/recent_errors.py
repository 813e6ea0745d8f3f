"""RecentErrors: the last exchanges that failed, for whoever is asked why: with their request ids, on /errors.

Told by `filters/metrics.py` of every exchange with a fault, when it is over; each worker has one, and control.py puts
what all of them know together. The rule: an exchange without a fault costs nothing here, one with a fault a tuple, and
what is kept is bounded in number and in length.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from gateway.exchange import Exchange
from gateway.log_lines import text

MOST = 64  # by worker: against an origin that is down, and a thousand clients that ask
MOST_TOLD = 256  # by all workers together
MOST_OF_A_VALUE = 256  # bytes of what a client or an origin has chosen


class _Failed(NamedTuple):
    """What is kept of an exchange: as it is, for rendering would cost more than the rest."""

    ended: float
    request_id: bytes
    client: str
    method: bytes
    host: bytes
    path: bytes
    route: str
    upstream: str
    endpoint: str
    attempts: int
    status: int
    cause: Any
    detail: str
    seconds: float


class RecentErrors:
    """Those of one worker. `wall` gives seconds since the epoch, `now` is the clock of Exchange.ended."""

    __slots__ = ("_kept", "_now", "_wall")

    def __init__(self, wall: Callable[[], float], now: Callable[[], float]) -> None:
        self._kept: deque[_Failed] = deque(maxlen=MOST)
        self._wall = wall
        self._now = now

    def __call__(self, exchange: Exchange) -> None:
        """Keeps an exchange with a fault of ours or of an upstream; a client's own (4xx) is no news."""
        fault = exchange.fault
        if fault is None or fault.cause.status < 500:
            return
        request, response, route = exchange.request, exchange.response, exchange.route
        self._kept.append(
            _Failed(
                exchange.ended,
                exchange.id,
                exchange.client,
                request.method,
                request.host[: MOST_OF_A_VALUE + 1],
                request.path[: MOST_OF_A_VALUE + 1],
                route.name,
                route.upstream,
                exchange.endpoint,
                exchange.attempts,
                fault.cause.status if response is None else response.status,
                fault.cause,
                fault.detail[: MOST_OF_A_VALUE + 1],
                exchange.ended - exchange.started,
            )
        )

    def listed(self) -> list[dict[str, Any]]:
        """JSON values, newest first."""
        since = self._wall() - self._now()
        return [_shown(one, since) for one in reversed(self._kept)]


def _shown(one: _Failed, since: float) -> dict[str, Any]:
    shown: dict[str, Any] = {"at": round(since + one.ended, 3)}
    for name, value in one._asdict().items():
        shown[name] = text(value, MOST_OF_A_VALUE) if isinstance(value, bytes | str) else value
    del shown["ended"]
    return shown | {"cause": one.cause.word, "error": one.cause.token, "seconds": round(one.seconds, 6)}


def newest(lists: Iterable[Sequence[Mapping[str, Any]]]) -> list[Mapping[str, Any]]:
    """What all workers list, as one list: newest first."""
    together = [one for listed in lists for one in listed]
    return sorted(together, key=lambda one: one["at"], reverse=True)[:MOST_TOLD]
