"""When an endpoint is left out: what counts against it, how many may go, and for how long."""

from __future__ import annotations

import pytest

from gateway.errors import Cause
from gateway.upstream.ejection import EjectionConfig, Watch, may_eject, outlies, term

RULES = EjectionConfig()


def config(**keys: object) -> EjectionConfig:
    return EjectionConfig.model_validate(keys)


@pytest.fixture
def watch() -> Watch:
    return Watch(RULES.statuses, lambda: None)


def end(watch: Watch, *ends: int | Cause) -> Watch:
    for one in ends:
        watch.report(0 if isinstance(one, Cause) else one, 0.1, one if isinstance(one, Cause) else None)
    return watch


@pytest.mark.parametrize(
    "failure",
    [Cause.CONNECT_REFUSED, Cause.HEAD_TIMEOUT, Cause.CLOSED_BEFORE_HEAD, Cause.BAD_RESPONSE, 500, 502, 503, 504],
)
def test_five_in_a_row(watch: Watch, failure: int | Cause) -> None:
    """Whatever kind of failure it is."""
    assert outlies(RULES, end(watch, *[failure] * 4)) == ""
    assert outlies(RULES, end(watch, failure)) == "5 failures in a row"


@pytest.mark.parametrize("answer", [200, 301, 404, 501])
def test_an_answer_between_them(watch: Watch, answer: int) -> None:
    """What a program with a bug answers speaks for the endpoint: it is there."""
    end(watch, *[502] * 4, answer, *[502] * 4)
    assert outlies(RULES, watch) == ""


@pytest.mark.parametrize("cause", [Cause.CLIENT_GONE, Cause.POOL_EXHAUSTED, Cause.DRAINING, Cause.BUG])
def test_what_is_not_its_fault(watch: Watch, cause: Cause) -> None:
    """The client's doing, our own limits and our own mistakes count for nothing, and interrupt no row."""
    end(watch, *[502] * 4, *[cause] * 10)
    assert outlies(RULES, watch) == ""
    assert outlies(RULES, end(watch, 502)) != ""


def test_half_of_at_least_twenty(watch: Watch) -> None:
    """A share of failures, over the present half of the window and the one before it."""
    end(watch, *[502, 200] * 9, 502)
    assert outlies(RULES, watch) == ""
    watch.roll()
    assert outlies(RULES, end(watch, 502)) == "11 of 20 requests failed"
    watch.roll()
    watch.roll()
    assert outlies(RULES, end(watch, 200, 502)) == ""


def test_the_end_of_an_attempt_is_told() -> None:
    """To whoever counts failures, and to whoever listens for every end."""
    failures: list[int] = []
    told: list[tuple[bool, float]] = []
    watch = Watch(RULES.statuses, lambda: failures.append(1))
    watch.told = lambda _watch, good, seconds: told.append((good, seconds))
    end(watch, 200, 503, Cause.CLIENT_GONE, Cause.CONNECT_TIMEOUT)
    assert told == [(True, 0.1), (False, 0.1), (False, 0.1)]
    assert len(failures) == 2


def test_gone(watch: Watch) -> None:
    """Five attempts in a row without a connection, over a second; a 502 shows that somebody is there."""
    watch.unreachable_since = 10.0
    end(watch, *[Cause.CONNECT_REFUSED] * 5)
    assert not watch.is_gone(10.9)
    assert watch.is_gone(11.0)
    assert not end(watch, 502).is_gone(20.0)


@pytest.mark.parametrize(
    ("endpoints", "ejected", "allowed"),
    [(2, 0, True), (2, 1, False), (3, 1, False), (4, 1, True), (10, 4, True), (10, 5, False)],
)
def test_at_most_half(endpoints: int, ejected: int, allowed: bool) -> None:
    """Of those that are configured; half of three is one."""
    assert may_eject(RULES, ejected=ejected, endpoints=endpoints) is allowed


def test_one_may_go_in_any_case() -> None:
    """A tenth of three is none, and would make the rule say nothing."""
    assert may_eject(config(most="10%"), ejected=0, endpoints=3)


def test_longer_each_time() -> None:
    """30 seconds, 60, and so on up to the cap; from the beginning for one that has held out as long as that."""
    now, until, count = 1000.0, 0.0, 0
    terms = []
    for _ in range(12):
        until, count = term(RULES, until, count, now)
        terms.append(until - now)
        now = until + 1
    assert terms[:3] == [30, 60, 90]
    assert terms[-1] == 300
    assert term(RULES, until, count, until + 300) == (until + 330, 1)


@pytest.mark.parametrize(
    ("keys", "advice"),
    [
        ({"ratio": "0%"}, "ejection: off"),
        ({"most": "0%"}, "ejection: off"),
        ({"window": "0s"}, "longer than nothing"),
        ({"time": "10m"}, "at least as long as `time`"),
        ({"statuses": [404]}, "no failure of a server"),
        ({"consecutive": 0}, "greater than or equal to 1"),
    ],
)
def test_mistakes(keys: dict[str, object], advice: str) -> None:
    """Each says what to write instead."""
    with pytest.raises(ValueError, match=advice):
        config(**keys)
