"""The breaker trips on too many failures, and its gate lets a few through until they come back well."""

from __future__ import annotations

from random import Random

import pytest

from gateway.upstream.breaker import ENOUGH, Breaker, BreakerConfig, Gate


def config(**keys: object) -> BreakerConfig:
    return BreakerConfig.model_validate(keys)


def trips(breaker: Breaker, *ends: bool, now: float = 0.0, seconds: float = 0.1) -> bool:
    """Whether the last of them trips it."""
    return [breaker.trips(good, seconds, now) for good in ends][-1]


def test_half_of_at_least_twenty() -> None:
    """A share of failures means little among few."""
    breaker = Breaker(config(), 0.0)
    assert not trips(breaker, *[True] * 9, *[False] * 10)
    assert trips(breaker, False)


def test_many_failures_among_more_successes() -> None:
    """It is their share that counts."""
    breaker = Breaker(config(), 0.0)
    assert not trips(breaker, *[True] * 60, *[False] * 59)
    assert trips(breaker, False)


def test_old_failures_are_forgotten() -> None:
    """The window rolls by halves; what lies two halves back does not count, nor what came before a quiet time."""
    breaker = Breaker(config(), 0.0)
    assert not trips(breaker, *[False] * 19)
    assert trips(breaker, False, now=5.0)
    assert not trips(breaker, *[False] * 19, now=100.0)
    breaker.reset(100.0)
    assert not trips(breaker, *[False] * 19, now=100.0)


def test_a_slow_answer_is_a_failure() -> None:
    """Where the operator says what is slow."""
    assert not trips(Breaker(config(), 0.0), *[True] * 30, seconds=60.0)
    assert trips(Breaker(config(slower_than="2s"), 0.0), *[True] * 20, seconds=2.1)
    assert not trips(Breaker(config(slower_than="2s"), 0.0), *[True] * 20, seconds=2.0)


def test_a_gate_is_shut_and_lets_one_through() -> None:
    """Nobody before its time, then one; another one follows in time if the first never tells."""
    gate = Gate("down", 4.0, 60.0, Random(1), 0.0)
    assert not gate.admits(2.9)
    assert [gate.admits(5.0) for _ in range(5)] == [True, False, False, False, False]
    assert not gate.admits(7.9)
    assert gate.admits(10.1)


def test_a_gate_opens_with_each_success() -> None:
    """Two for one that came back well, until it has gone."""
    gate = Gate("down", 4.0, 60.0, Random(1), 0.0)
    assert gate.admits(5.0)
    assert not gate.ended(True, 5.0)
    assert [gate.admits(5.0) for _ in range(3)] == [True, True, False]
    assert not any(gate.ended(True, 5.0) for _ in range(ENOUGH - 2))
    assert gate.ended(True, 5.0)


def test_a_gate_shuts_again_for_longer() -> None:
    """One failure is enough, and each doubles the time up to its most."""
    gate = Gate("down", 4.0, 10.0, Random(1), 0.0)
    now, waited = 0.0, []
    for _ in range(4):
        began = now
        while not gate.admits(now):
            now += 0.01
        waited.append(now - began)
        assert not gate.ended(False, now)
    assert 3 <= waited[0] <= 5.01
    assert 6 <= waited[1] <= 10.01
    assert all(7.5 <= seconds <= 12.51 for seconds in waited[2:])


def test_what_began_before_counts_for_nothing() -> None:
    """Late failures of the time before neither prolong it nor open it."""
    gate = Gate("down", 4.0, 60.0, Random(1), 0.0)
    for _ in range(100):
        assert not gate.ended(False, 1.0)
        assert not gate.ended(True, 1.0)
    assert not gate.admits(1.0)
    assert gate.admits(5.0)


@pytest.mark.parametrize(
    ("keys", "advice"),
    [
        ({"failures": "0%"}, "more than 0%"),
        ({"slower_than": "0s"}, "longer than nothing"),
        ({"time": "2m"}, "at least as long as `time`"),
        ({"minimum": 0}, "greater than or equal to 1"),
    ],
)
def test_mistakes(keys: dict[str, object], advice: str) -> None:
    """Each says what to write instead."""
    with pytest.raises(ValueError, match=advice):
        config(**keys)
