"""What tells clients apart where the same one is to go the same way: an address, a path, a field or a cookie.

Balancers (gateway/upstream/balancer.py) hash it, and so does the split of a route (gateway/split.py). The rule: there
is always a key; where the client sent no such field or cookie, its address counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeAlias

from gateway.exchange import Exchange
from gateway.http.fields import is_token
from gateway.schema import AfterValidator

HashKey: TypeAlias = Callable[[Exchange], bytes]


def _check(text: str) -> str:
    kind, colon, name = text.partition(":")
    if not colon and kind in {"client", "path"}:
        return text
    if kind in {"header", "cookie"} and is_token(name.encode()):
        return text
    raise ValueError(f"{text!r} is nothing to hash on: write client, path, header:NAME or cookie:NAME")


HashOn: TypeAlias = Annotated[str, AfterValidator(_check)]


def hash_key(hash_on: str) -> HashKey:
    """What `hash_on`, a HashOn, reads from an exchange."""
    kind, _, name = hash_on.partition(":")
    if kind == "path":
        return lambda exchange: exchange.request.path
    if kind == "header":
        field = name.lower().encode()
        return lambda exchange: exchange.request.index.get(field) or _client(exchange)
    if kind == "cookie":
        prefix = name.encode() + b"="
        return lambda exchange: _cookie(exchange, prefix) or _client(exchange)
    return _client


def _client(exchange: Exchange) -> bytes:
    return exchange.client.encode()


def _cookie(exchange: Exchange, prefix: bytes) -> bytes:
    """The value of the first cookie whose pair begins with `prefix` (RFC 6265 §5.4)."""
    for line in exchange.request.values(b"cookie"):
        for pair in line.split(b";"):
            stripped = pair.strip()
            if stripped.startswith(prefix):
                return stripped[len(prefix) :]
    return b""
