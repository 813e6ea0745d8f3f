"""Split: a share of a route's requests goes to other upstreams, for trying out a new version on a few.

The proxy asks once per request which upstream it is, on routes that have a `split`. The rule: the same client goes the
same way, and who was sent to the new version stays there when its share grows.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import TypeAlias

from gateway.exchange import Exchange
from gateway.hash_key import HashOn, hash_key
from gateway.schema import Field, Model, Share, model_validator

# Another hash than the balancers', or those of a share would all be at the same few endpoints.
_PERSON = b"gateway split"

ChooseUpstream: TypeAlias = Callable[[Exchange], str]


class Split(Model):
    """Sends a share of the requests elsewhere."""

    to: dict[str, Share] = Field(min_length=1)
    """Names of upstreams, each with its share of the requests: `{canary: 5%}`. The others go to the route's
    `upstream`. By their order: whoever raises the share of the last one moves nobody else."""
    by: HashOn = "client"
    """What decides who goes where: `client` (the address), `header:NAME`, `cookie:NAME` or `path`."""

    @model_validator(mode="after")
    def _check(self) -> Split:
        if sum(self.to.values()) > 1.0001:  # a sum of floats
            raise ValueError("the shares of `to` are more than 100% together")
        return self


def chooser(split: Split, upstream: str) -> ChooseUpstream:
    """Names the upstream for an exchange; `upstream` is for those in no share."""
    read = hash_key(split.by)
    bounds, total = [], 0.0
    for name, share in split.to.items():
        total += share
        bounds.append((int(total * 2**64), name))

    def choose(exchange: Exchange) -> str:
        point = int.from_bytes(blake2b(read(exchange), digest_size=8, person=_PERSON).digest(), "big")
        for bound, name in bounds:
            if point < bound:
                return name
        return upstream

    return choose
