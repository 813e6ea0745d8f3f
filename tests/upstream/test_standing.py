"""What the shared words of an endpoint mean, and that every change of them is counted."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.upstream.standing import Alone, Health, Standing


@pytest.fixture
def shared() -> Alone:
    return Alone()


@pytest.fixture
def standing(shared: Alone) -> Standing:
    return Standing(shared, "app", "a:80")


def test_nothing_is_held_against_a_new_one(standing: Standing) -> None:
    """All words are zero, and that means nothing."""
    assert (standing.health, standing.drained, standing.ejected_until, standing.ejections) == (0, False, 0.0, 0)
    assert (standing.weight(3), standing.returned_at) == (3, 0.0)


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one.set_health(Health.DOWN, 1.0),
        lambda one: one.set_drained(1.0, drained=True),
        lambda one: one.set_weight(5, 1),
        lambda one: one.arrived(1.0),
    ],
)
def test_every_change_is_counted(shared: Alone, standing: Standing, change: Callable[[Standing], None]) -> None:
    """Or a worker would not look."""
    change(standing)
    assert shared.changes[0] == 1


def test_it_returns_when_it_is_up_again(standing: Standing) -> None:
    """From down, not from unknown: at the gateway's start nobody is a returner."""
    standing.set_health(Health.UP, 5.0)
    assert standing.returned_at == 0.0
    standing.set_health(Health.DOWN, 6.0)
    standing.set_health(Health.UP, 7.5)
    assert (standing.health, standing.returned_at) == (Health.UP, 7.5)


def test_it_returns_when_it_is_undrained(standing: Standing) -> None:
    """Not when it never was drained."""
    standing.set_drained(5.0, drained=False)
    assert standing.returned_at == 0.0
    standing.set_drained(6.0, drained=True)
    assert standing.drained
    standing.set_drained(7.0, drained=False)
    assert (standing.drained, standing.returned_at) == (False, 7.0)


def test_an_arrival_counts_once(standing: Standing) -> None:
    """Several workers say so, one after the other."""
    standing.arrived(5.0)
    standing.arrived(6.0)
    assert standing.returned_at == 5.0


def test_the_weight_that_the_operator_wants(standing: Standing) -> None:
    """It holds, 0 included, until the configuration says something new; the old configuration brings it back."""
    standing.set_weight(0, configured=3)
    assert standing.weight(3) == 0
    assert standing.weight(4) == 4
    standing.set_weight(9, configured=3)
    assert standing.weight(3) == 9


def test_an_ejection(standing: Standing) -> None:
    """As it was written."""
    standing.write_ejection(42.5, 2)
    assert (standing.ejected_until, standing.ejections) == (42.5, 2)
