"""The ways to choose an endpoint: each is a class with one method, `pick(exchange, tried)`.

Upstream.pick asks its balancer once per attempt. Weights count everywhere, endpoints in `tried` are never chosen, and
None says that there is none left.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from hashlib import blake2b
from itertools import accumulate
from math import log
from random import Random
from typing import Protocol

from gateway.exchange import Exchange
from gateway.hash_key import HashKey, hash_key


class Choice(Protocol):
    """What a balancer knows of an endpoint."""

    @property
    def name(self) -> str: ...
    @property
    def weight(self) -> int: ...
    @property
    def load(self) -> int:
        """Exchanges under way."""


class Balancer(Protocol):
    def pick(self, exchange: Exchange, tried: Collection[Choice]) -> Choice | None: ...


class First:
    """The first in the configuration's order; the others are spare."""

    __slots__ = ("_choices",)

    def __init__(self, choices: Sequence[Choice]) -> None:
        self._choices = choices

    def pick(self, exchange: Exchange, tried: Collection[Choice]) -> Choice | None:
        for choice in self._choices:
            if choice not in tried:
                return choice
        return None


class RoundRobin:
    """Smooth weighted round robin: weights 5, 1, 1 give a a b a c a a, never five in a row and then the others."""

    __slots__ = ("_choices", "_current")

    def __init__(self, choices: Sequence[Choice]) -> None:
        self._choices = choices
        self._current = [0] * len(choices)

    def pick(self, exchange: Exchange, tried: Collection[Choice]) -> Choice | None:
        current = self._current
        best, total = -1, 0
        for at, choice in enumerate(self._choices):
            if tried and choice in tried:
                continue
            weight = choice.weight
            total += weight
            current[at] += weight
            if best < 0 or current[at] > current[best]:
                best = at
        if best < 0:
            return None
        current[best] -= total
        return self._choices[best]


class RandomChoice:
    """By chance, in proportion to the weights."""

    __slots__ = ("_draw",)

    def __init__(self, choices: Sequence[Choice], random: Random) -> None:
        self._draw = _Draw(choices, random)

    def pick(self, exchange: Exchange, tried: Collection[Choice]) -> Choice | None:
        return self._draw.without(tried).one()


class LeastRequests:
    """The power of two choices (Mitzenmacher 2001): of two drawn by weight, the less busy for its weight.

    Unlike the least busy of all, it does not send every worker's next request to the same endpoint.
    """

    __slots__ = ("_draw",)

    def __init__(self, choices: Sequence[Choice], random: Random) -> None:
        self._draw = _Draw(choices, random)

    def pick(self, exchange: Exchange, tried: Collection[Choice]) -> Choice | None:
        drawn = (self._draw.without(tried) if tried else self._draw).two()
        if drawn is None:
            return None
        one, other = drawn
        return other if other.load * one.weight < one.load * other.weight else one


class _Draw:
    """Draws by weight, from the running sums of the weights."""

    __slots__ = ("_choices", "_random", "_sums")

    def __init__(self, choices: Sequence[Choice], random: Random) -> None:
        self._choices = choices
        self._random = random
        self._sums = list(accumulate(choice.weight for choice in choices))

    def without(self, tried: Collection[Choice]) -> _Draw:
        if not tried:
            return self
        return _Draw([choice for choice in self._choices if choice not in tried], self._random)

    def one(self) -> Choice | None:
        if not self._choices:
            return None
        return self._choices[bisect_right(self._sums, int(self._random.random() * self._sums[-1]))]

    def two(self) -> tuple[Choice, Choice] | None:
        """Two different ones (or the same twice if there is one only), the first as by `one`."""
        choices, sums = self._choices, self._sums
        if len(choices) < 2:
            return (choices[0], choices[0]) if choices else None
        draw = self._random.random
        total = sums[-1]
        first = bisect_right(sums, int(draw() * total))
        weight = choices[first].weight
        # The second is drawn from a scale on which the first has no width.
        point = int(draw() * (total - weight))
        if point >= sums[first] - weight:
            point += weight
        return choices[first], choices[bisect_right(sums, point)]


class RendezvousHash:
    """Highest random weight (Thaler and Ravishankar 1998): a key stays with its endpoint while that one is there.

    The same in every worker and on every machine with the same configuration; when an endpoint goes, only its own keys
    move. Weighted as by Schindelhauer and Schomaker (2005): score = weight / -ln(hash).
    """

    __slots__ = ("_choices", "_key")

    def __init__(self, choices: Sequence[Choice], key: HashKey) -> None:
        self._key = key
        self._choices = [(choice, _digest_key(choice.name)) for choice in choices]

    def pick(self, exchange: Exchange, tried: Collection[Choice]) -> Choice | None:
        key = self._key(exchange)
        best, top = None, -1.0
        for choice, salt in self._choices:
            if tried and choice in tried:
                continue
            number = int.from_bytes(blake2b(key, digest_size=8, key=salt).digest(), "big")
            score = choice.weight / -log((number + 1) / (2**64 + 1))
            if score > top:
                best, top = choice, score
        return best


def _digest_key(name: str) -> bytes:
    return blake2b(name.encode(), digest_size=32).digest()


def make_balancer(balance: str, choices: Sequence[Choice], hash_on: str, random: Random) -> Balancer:
    """The balancer that the configuration names (settings.Balance)."""
    kinds: dict[str, Callable[[], Balancer]] = {
        "first": lambda: First(choices),
        "hash": lambda: RendezvousHash(choices, hash_key(hash_on)),
        "least_requests": lambda: LeastRequests(choices, random),
        "random": lambda: RandomChoice(choices, random),
        "round_robin": lambda: RoundRobin(choices),
    }
    return kinds[balance]()
