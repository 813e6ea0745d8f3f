"""Alive and ready."""

from __future__ import annotations

from gateway.admin.health import liveness, readiness
from gateway.admin.state import AdminState
from tests.kit.admin import FakeGateway


def state_of(*reasons: str) -> AdminState:
    gateway = FakeGateway()
    gateway.reasons += reasons
    return gateway.state


def test_alive_asks_nobody() -> None:
    """Whoever can answer is alive."""
    assert liveness() == (200, {"status": "alive"})


def test_ready() -> None:
    """200 when nothing speaks against it."""
    assert readiness(state_of()) == (200, {"status": "ready"})


def test_not_ready_says_why() -> None:
    """503 and every reason."""
    assert readiness(state_of("draining", "no listener")) == (
        503,
        {"status": "not ready", "reasons": ["draining", "no listener"]},
    )
