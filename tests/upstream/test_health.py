"""Health: what is held of an endpoint after so many checks, when the next one is, and how an operator writes it."""

from __future__ import annotations

from random import Random

import pytest

from gateway.upstream.health import HealthConfig, Record, first_check, next_check
from gateway.upstream.standing import Health


def config(**keys: object) -> HealthConfig:
    return HealthConfig.model_validate(keys)


def after(record: Record, checks: str) -> str:
    """What is held after each check of `checks`, + for one that succeeds: u(p), d(own) or ?."""
    held = ""
    for check in checks:
        before = record.health
        changed = record.checked(check == "+")
        assert changed is (record.health is not before)
        held += {Health.UNKNOWN: "?", Health.UP: "u", Health.DOWN: "d"}[record.health]
    return held


@pytest.mark.parametrize(
    ("health", "checks", "held"),
    [
        (Health.UNKNOWN, "+", "u"),
        (Health.UNKNOWN, "---", "??d"),
        (Health.UNKNOWN, "--+", "??u"),
        (Health.UP, "--+--+---", "uuuuuuuud"),
        (Health.DOWN, "+-+-++", "dddddu"),
        (Health.DOWN, "-----", "ddddd"),
    ],
)
def test_rise_and_fall(health: Health, checks: str, held: str) -> None:
    """Two successes in a row bring it up and three failures take it down; the first success of all counts at once."""
    assert after(Record(config(), health), checks) == held


def test_the_time_of_the_next_check() -> None:
    """By chance a tenth more or less; the first within a second."""
    random = Random(1)
    times = [next_check(config(), random) for _ in range(1000)]
    assert min(times) >= 9
    assert max(times) <= 11
    assert max(times) - min(times) > 1.9
    assert all(0 <= first_check(config(), random) <= 1 for _ in range(100))
    assert all(0 <= first_check(config(interval="100ms"), random) <= 0.1 for _ in range(100))


def test_the_defaults() -> None:
    """Those of the product."""
    plain = config()
    assert (plain.type, plain.path, plain.interval, plain.timeout, plain.rise, plain.fall) == (
        "http", "/", 10, 3, 2, 3,
    )  # fmt: skip
    assert plain.status == [(200, 399)]


@pytest.mark.parametrize(
    ("written", "read"),
    [(200, [(200, 200)]), ("200-299", [(200, 299)]), ([200, "401-403"], [(200, 200), (401, 403)])],
)
def test_statuses(written: object, read: list[tuple[int, int]]) -> None:
    """One, a span, or a list of them."""
    assert config(status=written).status == read


@pytest.mark.parametrize(
    ("keys", "advice"),
    [
        ({"status": 99}, "200-399"),
        ({"status": "399-200"}, "lower status first"),
        ({"status": True}, "200-399"),
        ({"path": "health"}, "for example /health"),
        ({"path": "/a b"}, "%XX"),
        ({"host": "a\r\nX: y"}, "printable"),
        ({"fields": {"x y": "1"}}, "no field name|not a field name"),
        ({"fields": {"x": "1\n"}}, "printable"),
        ({"interval": "10ms"}, "at least 100ms"),
        ({"type": "tcp", "path": "/health"}, "`path` has no effect"),
        ({"rise": 0}, "greater than or equal to 1"),
    ],
)
def test_mistakes(keys: dict[str, object], advice: str) -> None:
    """Each says what to write instead."""
    with pytest.raises(ValueError, match=advice):
        config(**keys)
