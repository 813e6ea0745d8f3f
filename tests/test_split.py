"""A share of the requests goes elsewhere: the right share, always the same clients, and more when it grows."""

from __future__ import annotations

from collections import Counter

import pytest

from gateway.exchange import Connection, Exchange
from gateway.http.message import Request
from gateway.split import Split, chooser
from gateway.upstream.balancer import RendezvousHash


def exchange(number: int, cookie: bytes = b"") -> Exchange:
    request = Request(b"GET", b"/", b"/", None, 1)
    request.fields = [(b"cookie", cookie)] if cookie else []
    request.index = dict(request.fields)
    return Exchange(Connection(f"10.0.{number >> 8}.{number & 255}", 1, "l", "l", 0.0), request, 0.0)


def split(by: str = "client", **to: int) -> Split:
    return Split.model_validate({"to": {name: f"{share}%" for name, share in to.items()}, "by": by})


def chosen(config: Split, count: int = 8000) -> list[str]:
    choose = chooser(config, "app")
    return [choose(exchange(number)) for number in range(count)]


def test_the_share() -> None:
    """Within four standard deviations."""
    counts = Counter(chosen(split(canary=5, other=20)))
    for name, share in (("canary", 0.05), ("other", 0.2), ("app", 0.75)):
        assert abs(counts[name] - 8000 * share) < 4 * (8000 * share * (1 - share)) ** 0.5


def test_all_and_nothing() -> None:
    """The ends of the scale are exact."""
    assert set(chosen(split(canary=100))) == {"canary"}
    assert set(chosen(split(canary=0))) == {"app"}
    assert set(chosen(split(canary=50, other=50))) == {"canary", "other"}


def test_the_same_client_goes_the_same_way() -> None:
    """In every process; and when the share grows nobody comes back."""
    few, more = chosen(split(canary=5)), chosen(split(canary=25))
    assert few == chosen(split(canary=5))
    assert all(later == "canary" for now, later in zip(few, more, strict=True) if now == "canary")


def test_by_cookie() -> None:
    """Whoever has it goes its way, from anywhere; whoever has none goes by his address."""
    choose = chooser(split("cookie:user", canary=50), "app")
    ways = {user: choose(exchange(1, b"user=%d" % user)) for user in range(50)}
    assert set(ways.values()) == {"app", "canary"}
    assert all(choose(exchange(2, b"a=b; user=%d" % user)) == way for user, way in ways.items())


def test_those_of_a_share_are_at_all_endpoints() -> None:
    """A balancer that hashes the same key does not meet the same half of the clients."""

    class Place:
        weight, load = 1, 0

        def __init__(self, name: str) -> None:
            self.name = name

    choose = chooser(split(canary=10), "app")
    balancer = RendezvousHash([Place("a"), Place("b")], lambda one: one.client.encode())
    picked = [balancer.pick(exchange(number), ()) for number in range(4000) if choose(exchange(number)) == "canary"]
    counts = Counter(place.name for place in picked if place is not None)
    assert min(counts.values()) > 0.4 * len(picked)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ({"to": {}}, "at least 1"),
        ({"to": {"canary": "60%", "other": "41%"}}, "more than 100%"),
        ({"to": {"canary": 5}}, "a percentage"),
        ({"to": {"canary": "5%"}, "by": "user"}, "cookie:NAME"),
    ],
)
def test_mistakes(text: dict[str, object], advice: str) -> None:
    """Each says what to write instead."""
    with pytest.raises(ValueError, match=advice):
        Split.model_validate(text)
