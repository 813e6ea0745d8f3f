"""Back-off: when a process that died is started again."""

from __future__ import annotations

from gateway.supervision.back_off import MOST, MOST_SERVED, STEADY, BackOff


def test_one_that_served() -> None:
    """Is back at once, however often."""
    back_off = BackOff()
    for now in (10.0, 20.0, 30.0):
        assert back_off.died(now, now - STEADY) == 0.0
        assert back_off.due == now


def test_one_that_never_serves() -> None:
    """Is back at once the first time, then each pause is twice the one before it, up to ten seconds."""
    back_off = BackOff()
    assert [back_off.died(0.0, None) for _ in range(10)] == [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, MOST, MOST]
    for _ in range(5000):
        assert back_off.died(1.0, None) == MOST
    assert back_off.due == 1.0 + MOST


def test_one_that_serves_for_a_moment() -> None:
    """Is back within a second."""
    back_off = BackOff()
    assert [back_off.died(0.5, 0.0) for _ in range(7)] == [0.0, 0.1, 0.2, 0.4, 0.8, MOST_SERVED, MOST_SERVED]


def test_good_service_is_forgiving() -> None:
    """After a second of service the count begins anew."""
    back_off = BackOff()
    for _ in range(5):
        back_off.died(0.0, None)
    assert back_off.died(5.0, 3.0) == 0.0
    assert back_off.quick_deaths == 0
    assert back_off.died(5.1, None) == 0.0
