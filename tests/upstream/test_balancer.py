"""Choosing an endpoint: exact where there is a rule, statistical (and seeded) where there is chance."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from gateway.exchange import Connection, Exchange
from gateway.hash_key import hash_key
from gateway.http.message import Request
from gateway.upstream.balancer import (
    Balancer,
    First,
    LeastRequests,
    RandomChoice,
    RendezvousHash,
    RoundRobin,
    make_balancer,
)


class Place:
    """An endpoint as far as a balancer sees it."""

    def __init__(self, name: str, weight: int = 1, load: int = 0) -> None:
        self.name = name
        self.weight = weight
        self.load = load


def exchange(
    client: str = "192.0.2.1", path: bytes = b"/", fields: list[tuple[bytes, bytes]] | None = None
) -> Exchange:
    request = Request(b"GET", path, path, None, 1)
    request.fields = fields or []
    request.index = dict(request.fields)
    return Exchange(Connection(client, 1, "l", "l", 0.0), request, 0.0)


def places(*weights: int) -> list[Place]:
    return [Place(chr(ord("a") + at), weight) for at, weight in enumerate(weights)]


def picks(balancer: Balancer, count: int, tried: set[Place] | None = None) -> str:
    names = []
    for _ in range(count):
        chosen = balancer.pick(exchange(), tried or set())
        assert chosen is not None
        names.append(chosen.name)
    return "".join(names)


def test_first() -> None:
    """Always the first, unless it was tried."""
    three = places(1, 1, 1)
    assert picks(First(three), 3) == "aaa"
    assert picks(First(three), 1, {three[0]}) == "b"


def test_round_robin_is_a_cycle() -> None:
    """Equal weights take turns."""
    assert picks(RoundRobin(places(1, 1, 1)), 7) == "abcabca"


def test_weighted_round_robin_is_smooth() -> None:
    """5:1:1 is spread out, exactly as the algorithm says, and exactly proportional in each round."""
    balancer = RoundRobin(places(5, 1, 1))
    assert picks(balancer, 14) == "aabacaa" * 2
    assert Counter(picks(RoundRobin(places(4, 3, 2)), 90)) == {"a": 40, "b": 30, "c": 20}


def test_round_robin_goes_round_those_that_are_left() -> None:
    """A tried endpoint is left out, and the others keep their proportion."""
    three = places(1, 2, 1)
    assert Counter(picks(RoundRobin(three), 30, {three[0]})) == {"b": 20, "c": 10}


def test_random_follows_the_weights() -> None:
    """Within four standard deviations of 1:2:7."""
    counts = Counter(picks(RandomChoice(places(1, 2, 7), Random(1)), 10_000))
    for name, share in (("a", 0.1), ("b", 0.2), ("c", 0.7)):
        assert abs(counts[name] - 10_000 * share) < 4 * (10_000 * share * (1 - share)) ** 0.5


def test_least_requests_spreads_idle_endpoints_by_weight() -> None:
    """With nothing under way the weights alone decide."""
    counts = Counter(picks(LeastRequests(places(1, 3), Random(2)), 10_000))
    assert abs(counts["b"] - 7500) < 4 * (10_000 * 0.75 * 0.25) ** 0.5


def test_least_requests_of_two_takes_the_less_busy() -> None:
    """With two endpoints both are always drawn, so the busy one is never taken."""
    assert picks(LeastRequests([Place("a", load=3), Place("b", load=2)], Random(3)), 50) == "b" * 50


def test_least_requests_weighs_the_load() -> None:
    """Six under way at weight 4 is less than two at weight 1."""
    assert picks(LeastRequests([Place("a", 4, 6), Place("b", 1, 2)], Random(4)), 50) == "a" * 50


def test_least_requests_never_takes_the_busiest_of_three() -> None:
    """Two different ones are drawn each time, so the busiest always loses."""
    three = [Place("a", load=9), Place("b", load=1), Place("c", load=1)]
    assert "a" not in picks(LeastRequests(three, Random(5)), 1000)


def test_least_requests_draws_two_different_ones_whatever_the_weights() -> None:
    """The heavy one is nearly always drawn first; if it were compared with itself it would win while busiest."""
    for heavy in range(3):
        three = [Place(name, 1000 if at == heavy else 1, 0) for at, name in enumerate("abc")]
        three[heavy].load = 5000
        assert "abc"[heavy] not in picks(LeastRequests(three, Random(6)), 2000)


def test_least_requests_evens_out() -> None:
    """A thousand requests that never end spread far more evenly than chance would."""
    many = places(*[1] * 10)
    balancer = LeastRequests(many, Random(7))
    for _ in range(1000):
        chosen = balancer.pick(exchange(), ())
        assert isinstance(chosen, Place)
        chosen.load += 1
    assert max(place.load for place in many) - min(place.load for place in many) <= 5


def test_hash_is_stable_and_spread_by_weight() -> None:
    """The same client meets the same endpoint; many clients spread by weight."""
    balancer = RendezvousHash(places(1, 1, 2), hash_key("client"))
    counts: Counter[str] = Counter()
    for number in range(8000):
        once = balancer.pick(exchange(f"192.0.{number >> 8}.{number & 255}"), ())
        assert once is not None
        counts[once.name] += 1
    assert balancer.pick(exchange("192.0.2.7"), ()) is balancer.pick(exchange("192.0.2.7"), ())
    for name, share in (("a", 0.25), ("b", 0.25), ("c", 0.5)):
        assert abs(counts[name] - 8000 * share) < 4 * (8000 * share * (1 - share)) ** 0.5


def test_hash_is_the_same_in_every_process() -> None:
    """Known answers: nothing of the process (hash seeds) goes in."""
    balancer = RendezvousHash(places(1, 1, 1), hash_key("client"))
    names = [balancer.pick(exchange(f"192.0.2.{number}"), ()) for number in range(12)]
    assert "".join(each.name for each in names if each is not None) == "cbcbbaacbabc"


def test_hash_moves_only_the_keys_of_the_endpoint_that_went() -> None:
    """Rendezvous: who was not at the lost endpoint stays, and its keys go to all the others."""
    four = places(1, 1, 1, 1)
    balancer = RendezvousHash(four, hash_key("client"))
    fled: Counter[str] = Counter()
    for number in range(2000):
        each = exchange(f"10.0.{number >> 8}.{number & 255}")
        before, after = balancer.pick(each, ()), balancer.pick(each, {four[1]})
        assert before is not None
        assert after is not None
        if before is four[1]:
            fled[after.name] += 1
        else:
            assert after is before
    assert set(fled) == {"a", "c", "d"}


@pytest.mark.parametrize("balance", ["first", "hash", "least_requests", "random", "round_robin"])
def test_tried_endpoints_are_never_chosen_again(balance: str) -> None:
    """Whatever the way: all are found one after the other, and then none."""
    three = places(1, 5, 2)
    balancer = make_balancer(balance, three, "client", Random(8))
    tried: set[Place] = set()
    for _ in three:
        chosen = balancer.pick(exchange(), tried)
        assert isinstance(chosen, Place)
        assert chosen not in tried
        tried.add(chosen)
    assert balancer.pick(exchange(), tried) is None
