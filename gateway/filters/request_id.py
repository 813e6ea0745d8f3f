"""X-Request-ID: one name for an exchange, in the origin's log, the client's answer and ours.

Written in `identify`, sent upstream in `prepare` and downstream in `deliver`. The rule: a name is unguessable (80
random bits) and sorts by time, and one that a client made up is not taken over unless the client is trusted.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Annotated, Literal

from gateway.exchange import Exchange
from gateway.hooks import Hooks, Shared, UpstreamHead
from gateway.http.fields import is_token
from gateway.http.message import Request, Response
from gateway.schema import AfterValidator, Field, Model

# Crockford's base 32, as in a ULID: 10 characters of milliseconds, 16 of chance.
_ALPHABET = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(bytes((high, low)) for high in _ALPHABET for low in _ALPHABET)
# Any byte to a character; 256 is a multiple of 32, so all are equally likely.
_CHANCE = bytes(_ALPHABET[byte & 31] for byte in range(256))
_DRAWN = 16 * 256  # bytes of chance a read: one system call for 256 names

# Against names that do harm in logs, pages and queries of whoever reads them later.
LONGEST = 128
_SANE = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~+/=:-"


def _field_name(value: str) -> str:
    if not is_token(value.encode("utf-8")):
        raise ValueError(f"{value!r} is not a field name: write for example X-Request-ID")
    if value.lower() in ("host", "content-length", "transfer-encoding", "connection", "cookie", "set-cookie"):
        raise ValueError(f"{value!r} has a meaning of its own: write for example X-Request-ID")
    return value


class Config(Model):
    """The id of each request: where it travels, and whose is believed."""

    header: Annotated[str, AfterValidator(_field_name)] = Field(default="X-Request-ID")
    """Name of the field."""
    accept: Literal["trusted", "always", "never"] = Field(default="trusted")
    """Whose id is taken over instead of making one: that of `trusted` peers (see `real_ip`), `always`, or `never`.
    It must be 1 to 128 letters, digits or `._~+/=:-`; anything else is replaced."""
    response: bool = Field(default=True)
    """Send the id on the answer too."""


def build(config: Config, shared: Shared) -> Hooks:
    """Three hooks, or two without `response`."""
    name = config.header.lower().encode("ascii")
    make = maker(shared.wall or _no_clock)
    always, never = config.accept == "always", config.accept == "never"

    def identify(exchange: Exchange) -> None:
        if always or exchange.trusted:
            exchange.id = _told(exchange.request, name) or make()
        else:
            exchange.id = make()

    def identify_never(exchange: Exchange) -> None:
        exchange.id = make()

    def prepare(exchange: Exchange, head: UpstreamHead) -> None:
        head.fields.append((name, exchange.id))

    def deliver(exchange: Exchange, response: Response) -> None:
        # A parse error comes here without having been identified.
        if not exchange.id:
            exchange.id = make()
        response.fields.append((name, exchange.id))

    mine = frozenset({name})
    return Hooks(
        identify=identify_never if never else identify,
        prepare=prepare,
        deliver=deliver if config.response else None,
        drop_request=mine,
        drop_response=mine if config.response else frozenset(),
    )


def maker(wall: Callable[[], float]) -> Callable[[], bytes]:
    """A function that makes ids of 26 characters, sorted by `wall` (seconds since the epoch).

    Chance is drawn at the first call, never before: processes forked after `maker` do not share it, those forked after
    a first id would.
    """
    stock = b""
    at = 0
    second, prefix = -1, b""

    def make() -> bytes:
        nonlocal stock, at, second, prefix
        now = int(wall() * 1000)
        if now >> 10 != second:
            second = now >> 10
            prefix = b"".join([_PAIRS[second >> shift & 1023] for shift in (30, 20, 10, 0)])
        start = at
        at = start + 16
        if at > len(stock):
            stock = os.urandom(_DRAWN).translate(_CHANCE)
            start, at = 0, 16
        return prefix + _PAIRS[now & 1023] + stock[start:at]

    return make


def is_sane(value: bytes) -> bool:
    """Whether an id that someone else made may be taken over."""
    return 0 < len(value) <= LONGEST and not value.translate(None, _SANE)


def _told(request: Request, name: bytes) -> bytes:
    value = request.index.get(name)
    return value if value is not None and is_sane(value) else b""


def _no_clock() -> float:
    """Where the house hands over no clock the ids are as unguessable, but do not sort."""
    return 0.0
