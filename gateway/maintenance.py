"""Maintenance: a worker answers 503 for a route, or for all of them, until it is told that it is over.

Switched by the admin side while the gateway serves, for a deploy or an outage that is known; local replies of the
routes concerned are replaced as well. The rule: while nothing is under maintenance it is not on the journey at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from gateway.exchange import Exchange, Verdict
from gateway.http.message import Response
from gateway.pipeline import deliver_reply

EVERY_ROUTE = ""
MAINTENANCE = "maintenance"  # the notices on the Board, where new workers and the next control process find them
_MESSAGE = "This service is under maintenance. Please come again later."


class Notice(NamedTuple):
    """What clients are told: `message` ("" for the usual one), and when to come again (seconds, 0 for unsaid)."""

    message: str
    retry_after: float


class Maintenance:
    """Of one worker: the notices by route, EVERY_ROUTE for all."""

    __slots__ = ("_notices",)

    def __init__(self) -> None:
        self._notices: dict[str, Notice] = {}

    def __bool__(self) -> bool:
        return bool(self._notices)

    def set(self, notices: dict[str, Any]) -> None:
        """Replaces all of them: {route: [message, seconds]}, as it comes over the channel."""
        self._notices = {route: Notice(*notice) for route, notice in notices.items()}

    def around(self, answer: Callable[[Exchange], Response | None]) -> Callable[[Exchange], Response | None]:
        """`answer`, but for exchanges whose route is under maintenance."""

        def answer_or_say(exchange: Exchange) -> Response | None:
            response = answer(exchange)
            route = exchange.route.name if exchange.route is not None else EVERY_ROUTE
            notice = self._notices.get(route) or self._notices.get(EVERY_ROUTE)
            if notice is None or exchange.fault is not None:
                return response
            reply = exchange.site.error_reply(exchange, 503, "", "", notice.message or _MESSAGE)
            reply.fields = [field for field in reply.fields if field[0] != b"retry-after"]
            if notice.retry_after:
                reply.fields.append((b"retry-after", b"%d" % max(1, round(notice.retry_after))))
            exchange.verdict = Verdict("maintenance", route or "all", reply)
            return deliver_reply(exchange, reply)

        return answer_or_say
