"""Who may be asked: health, ejection, drain, weights, panic and the slow start, as one decision."""

from __future__ import annotations

from random import Random

import pytest

from gateway.deadlines import NEVER, Sweep
from gateway.errors import Cause
from gateway.upstream.building import make_endpoint
from gateway.upstream.ejection import GONE_AFTER
from gateway.upstream.pool import Pool
from gateway.upstream.roster import FINE, choose, eject, pardon
from gateway.upstream.settings import UpstreamConfig
from gateway.upstream.standing import Alone, Health
from gateway.upstream.upstream import Endpoint, Ties, Upstream
from tests.kit.transport import FakeDial, FakeLoop
from tests.kit.upstream import fake_wires


class House:
    """An upstream whose endpoints are a, b, c, ... and its time."""

    def __init__(self, count: int, **keys: object) -> None:
        loop = FakeLoop()
        self.shared = Alone()
        urls = [{"url": f"http://{name}", "weight": 2} for name in "abcdefgh"[:count]]
        self.config = UpstreamConfig.model_validate({"endpoints": urls, "health": {}, **keys})
        endpoints = tuple(
            make_endpoint(one, Pool(self.config.pool, FakeDial(loop), fake_wires(loop, Sweep())))
            for one in self.config.endpoints
        )
        ties = Ties(self.shared, lambda: 0.0, print, Sweep())
        self.upstream = Upstream("app", self.config, endpoints, Random(1), ties)

    def __getitem__(self, name: str) -> Endpoint:
        return next(one for one in self.upstream.endpoints if one.name == f"{name}:80")

    def chosen(self, now: float = 1000.0) -> str:
        return "".join(endpoint.name[0] for endpoint in choose(self.upstream.endpoints, self.config, now).weights)

    def eject(self, name: str, now: float = 1000.0) -> float:
        return eject(self[name], self.upstream.endpoints, self.config, self.shared, now)


def test_all_of_them() -> None:
    """When nothing speaks against any, with their weights, for ever."""
    roster = choose(House(3).upstream.endpoints, House(3).config, 0.0)
    assert list(roster.weights.values()) == [2, 2, 2]
    assert (roster.panic, roster.until) == (False, NEVER)


def test_one_that_is_down() -> None:
    """As long as checks are configured: what an earlier configuration found is not believed for ever."""
    house = House(3)
    house["b"].standing.set_health(Health.DOWN, 0.0)
    assert house.chosen() == "ac"
    unchecked = house.config.model_copy(update={"health": None})
    assert len(choose(house.upstream.endpoints, unchecked, 0.0).weights) == 3


def test_one_that_is_ejected() -> None:
    """Until its time is over, and as long as ejection is configured."""
    house = House(3)
    assert house.eject("b") == 30.0
    assert house.chosen(1029.9) == "ac"
    assert choose(house.upstream.endpoints, house.config, 1000.0).until == 1030.0
    assert house.chosen(1030.0) == "abc"
    off = house.config.model_copy(update={"ejection": "off"})
    assert len(choose(house.upstream.endpoints, off, 1000.0).weights) == 3


def test_one_that_returns_is_on_probation() -> None:
    """Its next failure is one too many."""
    house = House(3)
    house.eject("b")
    assert house.chosen(1000.0) == "ac"
    assert house["b"].watch.ejected
    assert house.chosen(1031.0) == "abc"
    assert (house["b"].watch.row, house["b"].watch.ejected) == (4, False)


def test_drained_ones_get_nothing() -> None:
    """Neither by panic: the operator has said so. Nor those with a weight of zero."""
    house = House(3)
    house["a"].standing.set_drained(0.0, drained=True)
    house["b"].standing.set_weight(0, configured=2)
    assert house.chosen() == "c"
    house["c"].standing.set_health(Health.DOWN, 0.0)
    assert house.chosen() == "c"
    house["c"].standing.set_drained(0.0, drained=True)
    assert house.chosen() == ""


@pytest.mark.parametrize(
    ("share", "down", "chosen", "panic"),
    [
        ("50%", "a", "bcd", False),
        ("50%", "ab", "cd", False),
        ("50%", "abc", "abcd", True),
        ("50%", "abcd", "abcd", True),
        ("0%", "abcd", "", False),
        ("100%", "a", "abcd", True),
    ],
)
def test_panic(share: str, down: str, chosen: str, panic: bool) -> None:
    """When too few are well, all are asked."""
    house = House(4, panic=share)
    for name in down:
        house[name].standing.set_health(Health.DOWN, 0.0)
    assert house.chosen() == chosen
    assert choose(house.upstream.endpoints, house.config, 0.0).panic is panic


def test_who_may_be_ejected() -> None:
    """Half of them, never the last that is well, nobody twice, and no only one."""
    house = House(4)
    assert [house.eject(name) for name in "aabc"] == [30.0, 0.0, 30.0, 0.0]
    assert house.eject("c", 1030.0) == 30.0
    house = House(3)
    for name in "bc":
        house[name].standing.set_health(Health.DOWN, 0.0)
    assert house.eject("a") == 0.0
    assert House(1).eject("a") == 0.0
    assert House(2, ejection="off").eject("a") == 0.0


def dead(endpoint: Endpoint, since: float) -> None:
    """Nobody has been there for longer than a restart takes."""
    for _ in range(GONE_AFTER):
        endpoint.watch.report(0, 0.0, Cause.CONNECT_REFUSED)
    endpoint.watch.unreachable_since = since


def test_the_dead_may_all_be_ejected_but_the_last() -> None:
    """To ask them helps nobody, whatever the share of those that may go."""
    house = House(4)
    for name in "abcd":
        dead(house[name], 990.0)
    assert [house.eject(name) for name in "abcd"] == [30.0, 30.0, 30.0, 0.0]


def test_panic_does_not_ask_the_dead() -> None:
    """What checks say may be wrong, what a worker has seen itself is not; only if all are dead it asks all."""
    house = House(4)
    for name in "abc":
        house[name].standing.set_health(Health.DOWN, 0.0)
    dead(house["b"], 990.0)
    assert house.chosen(990.5) == "abcd"
    assert house.chosen(991.0) == "acd"
    for name in "acd":
        dead(house[name], 990.0)
        house[name].standing.set_health(Health.DOWN, 0.0)
    assert house.chosen(991.0) == "abcd"


def test_an_ejection_and_a_pardon_are_known_to_all() -> None:
    """The change is counted; a pardon leaves the memory of how often it was."""
    house = House(2)
    before = house.shared.changes[0]
    house.eject("a")
    assert house.shared.changes[0] == before + 1
    pardon(house.upstream.endpoints, house.shared, 1010.0)
    assert house.shared.changes[0] == before + 2
    assert house.chosen(1010.0) == "ab"
    assert house.eject("a", 1020.0) == 60.0


def test_a_slow_start() -> None:
    """From a tenth of its weight to all of it, whyever it is new; then weights are plain again."""
    house = House(2, slow_start="10s")
    house["a"].standing.arrived(1000.0)

    def weights(now: float) -> list[int]:
        return list(choose(house.upstream.endpoints, house.config, now).weights.values())

    assert weights(1000.0) == [2 * FINE // 10, 2 * FINE]
    assert weights(1005.0) == [2 * FINE // 2, 2 * FINE]
    assert weights(1010.0) == [2, 2]
    assert choose(house.upstream.endpoints, house.config, 1000.0).until == 1001.0
    house.eject("b", 2000.0)
    assert weights(2033.0) == [2 * FINE, 2 * FINE * 3 // 10]
