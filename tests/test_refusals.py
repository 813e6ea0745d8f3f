"""Refused connections: all counted, few logged."""

from __future__ import annotations

from typing import Any

from gateway.exchange import Connection
from gateway.metrics import Metrics
from gateway.refusals import QUIET, REASONS, Refusals
from tests.kit.transport import FakeClock


def test_every_refusal_counts_and_a_flood_is_one_line() -> None:
    """The first of a reason is logged with its peer, the next only counted, until some seconds have passed."""
    metrics, clock = Metrics(), FakeClock()
    said: list[tuple[str, dict[str, Any]]] = []
    refusals = Refusals(metrics, lambda text, **facts: said.append((text, facts)), clock)
    peer = Connection("192.0.2.1", 1, "127.0.0.1:80", ":80", 0.0)
    for _ in range(5):
        refusals("client_cap", peer)
    refusals("proxy_untrusted", Connection("", 0, "unix:/g", "unix:/g", 0.0, unix=True))
    assert [facts["peer"] for _text, facts in said] == ["192.0.2.1", "unix"]
    assert "one client" in said[0][0]
    clock.advance(QUIET)
    refusals("client_cap", peer)
    assert said[-1][1]["more_since_last_time"] == 4
    assert metrics.value("gateway_connections_refused_total", reason="client_cap") == 6


def test_every_reason_can_be_told() -> None:
    """No reason is unknown to the counter or to the log."""
    said: list[str] = []
    refusals = Refusals(Metrics(), lambda text, **_facts: said.append(text), FakeClock())
    for reason in REASONS:
        refusals(reason, Connection("192.0.2.1", 1, "l", "l", 0.0))
    assert len(set(said)) == len(REASONS)
