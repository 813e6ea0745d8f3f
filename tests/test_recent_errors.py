"""The last exchanges that failed."""

from __future__ import annotations

import pytest

from gateway.errors import Cause, ClientFault, UpstreamFault
from gateway.exchange import Exchange
from gateway.filters.metrics import build
from gateway.hooks import Shared
from gateway.http.message import Response
from gateway.metrics import Metrics
from gateway.recent_errors import MOST, MOST_OF_A_VALUE, MOST_TOLD, RecentErrors, newest
from tests.kit.exchanges import make_exchange


def failed(line: str = "GET /books?token=abc", ended: float = 5.0) -> Exchange:
    exchange = make_exchange(line)
    exchange.started, exchange.ended = ended - 0.25, ended
    exchange.endpoint, exchange.attempts = "10.0.0.5:3000", 2
    exchange.fault = UpstreamFault(Cause.HEAD_TIMEOUT, "no head within 60s")
    exchange.response = Response(504, [])
    return exchange


@pytest.fixture
def recent() -> RecentErrors:
    return RecentErrors(wall=lambda: 1000.0, now=lambda: 10.0)


def test_what_is_told_of_a_failure(recent: RecentErrors) -> None:
    """Enough to find it in every log; the query, where secrets are, is left out."""
    recent(failed())
    assert recent.listed() == [
        {
            "at": 995.0, "request_id": "id-1", "client": "192.0.2.7", "method": "GET", "host": "example.com",
            "path": "/books", "route": "shop", "upstream": "app", "endpoint": "10.0.0.5:3000", "attempts": 2,
            "status": 504, "cause": "head_timeout", "error": "http_response_timeout", "detail": "no head within 60s",
            "seconds": 0.25,
        }
    ]  # fmt: skip


def test_what_the_client_saw_and_what_was_the_cause(recent: RecentErrors) -> None:
    """An answer that broke off had begun with a 200; one that never began has the status of its cause."""
    broken, never = failed(), failed()
    broken.fault, broken.response = UpstreamFault(Cause.RESPONSE_INCOMPLETE), Response(200, [])
    never.response = None
    recent(broken)
    recent(never)
    assert [(one["status"], one["cause"]) for one in recent.listed()] == [
        (504, "head_timeout"),
        (200, "response_incomplete"),
    ]


@pytest.mark.parametrize("cause", [Cause.MALFORMED_REQUEST, Cause.CLIENT_GONE, Cause.NO_ROUTE])
def test_faults_of_clients_are_no_news(recent: RecentErrors, cause: Cause) -> None:
    """4xx: anybody can make as many as they like, and push the others out."""
    exchange = failed()
    exchange.fault = ClientFault(cause)
    recent(exchange)
    exchange.fault = None
    recent(exchange)
    assert recent.listed() == []


def test_memory_is_bounded(recent: RecentErrors) -> None:
    """In number and in length; what is cut says so, and no bytes are too strange to be told."""
    for number in range(3 * MOST):
        recent(failed(ended=float(number)))
    exchange = failed(ended=1e6)
    exchange.request.path = b"/" + b"\xff" * 8000
    exchange.fault = UpstreamFault(Cause.BAD_RESPONSE, "x" * 8000)
    recent(exchange)
    listed = recent.listed()
    assert len(listed) == MOST
    assert [one["at"] for one in listed[1:3]] == [990.0 + 3 * MOST - 1, 990.0 + 3 * MOST - 2]
    assert listed[0]["path"].endswith("...")
    assert len(listed[0]["path"]) < 5 * MOST_OF_A_VALUE
    assert len(listed[0]["detail"]) == MOST_OF_A_VALUE + 3


def test_all_workers_together() -> None:
    """Newest first, and no more than can be read."""
    lists = [[{"at": float(number)} for number in range(start, 1000, 3)] for start in range(3)]
    found = newest(lists)
    assert [one["at"] for one in found[:3]] == [999.0, 998.0, 997.0]
    assert len(found) == MOST_TOLD


def test_the_metrics_filter_tells_of_failures_only(recent: RecentErrors) -> None:
    """An exchange without a fault never comes here."""
    told: list[Exchange] = []
    log = build(Shared(route="shop", metrics=Metrics(), failed=told.append)).log
    assert log is not None
    fine = failed()
    fine.fault = None
    wrong = failed()
    log(fine)
    log(wrong)
    assert told == [wrong]
