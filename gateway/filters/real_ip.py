"""Who the client is when proxies stand before us.

First hook of `identify`: it settles `client`, `scheme`, `trusted` and `chain` for every later step. The rule: nobody is
believed unless configured, and a chain is believed from its right end only as far as trusted proxies wrote it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from ipaddress import ip_network
from itertools import islice
from typing import Annotated, Literal

from gateway.exchange import Connection, Exchange
from gateway.hooks import Hooks, Shared, UpstreamHead
from gateway.http.address import AddressSet, parse_node
from gateway.http.fields import is_token
from gateway.http.forwarded import forwarded_from_right, list_from_right
from gateway.http.message import Request
from gateway.schema import AfterValidator, BeforeValidator, Field, Model, Network, one_or_many

# RFC 1918, RFC 4193 and the loopback: what `private` stands for.
PRIVATE = tuple(
    ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "fc00::/7", "::1/128")
)
# Clients whose text has been read before. Against a flood of new addresses: the oldest are forgotten.
REMEMBERED = 4096
_SCHEMES = {b"http": "http", b"https": "https"}
_KEY = "real_ip"

# The verified addresses, nearest first, and the scheme that the last of them used ("" when not told).
Finding = tuple[list[str], str]


def _field_name(value: str) -> str:
    name = value.lower()
    if not is_token(name.encode("utf-8")):
        raise ValueError(f"{value!r} is not a field name: write for example x-forwarded-for or cf-connecting-ip")
    if name in ("host", "connection", "authorization", "cookie", "via"):
        raise ValueError(f"{value!r} does not carry an address: write for example x-forwarded-for or cf-connecting-ip")
    return name


class Config(Model):
    """Which peers may say who the client is, and in which field."""

    trusted: Annotated[list[Network | Literal["private", "unix"]], BeforeValidator(one_or_many)] = Field(default=[])
    """Addresses and ranges of your own proxies or of your CDN; `private` for RFC 1918, RFC 4193 and loopback addresses;
    `unix` for peers on Unix sockets. Nobody by default."""
    header: Annotated[str, AfterValidator(_field_name)] = Field(default="x-forwarded-for")
    """Where trusted peers put the client: `x-forwarded-for`, `forwarded` (RFC 7239), or the name of a CDN's single
    field such as `cf-connecting-ip`, `true-client-ip` or `x-real-ip`."""


def build(config: Config, shared: Shared) -> Hooks:
    """No hook at all when nobody is trusted."""
    if not config.trusted:
        return Hooks()
    ranges = AddressSet(_networks(config))
    unix = "unix" in config.trusted
    name = config.header.encode()
    read = _reader(name, ranges)
    mine = object()  # connections outlive a reload: what an older site decided does not count

    def decide(connection: Connection) -> bool:
        trusted = unix if connection.unix else ranges.holds(connection.peer)
        connection.identity[_KEY] = (mine, trusted)
        return trusted

    def identify(exchange: Exchange) -> None:
        connection = exchange.connection
        known = connection.identity.get(_KEY)
        if not (known[1] if known is not None and known[0] is mine else decide(connection)):
            return
        exchange.trusted = True
        chain, scheme = read(exchange.request)
        if chain:
            exchange.client = chain[-1]
            exchange.chain = ", ".join(reversed(chain)).encode("ascii")
        if scheme:
            exchange.scheme = scheme

    if name in (b"x-forwarded-for", b"forwarded"):
        return Hooks(identify=identify)

    def prepare(exchange: Exchange, head: UpstreamHead) -> None:
        if exchange.chain:
            head.fields.append((name, exchange.client.encode("ascii")))

    return Hooks(identify=identify, prepare=prepare, drop_request=frozenset({name}))


def _networks(config: Config) -> Iterator[Network]:
    for entry in config.trusted:
        if entry == "private":
            yield from PRIVATE
        elif not isinstance(entry, str):
            yield entry


def _reader(name: bytes, ranges: AddressSet) -> Callable[[Request], Finding]:
    @lru_cache(maxsize=REMEMBERED)
    def judge(node: bytes) -> tuple[str, bool]:
        text = parse_node(node)
        return text, ranges.holds(text)

    def read_list(request: Request) -> Finding:
        chain: list[str] = []
        if name in request.index:
            for node in list_from_right(request.values(name)):
                text, trusted = judge(node)
                if text:
                    chain.append(text)
                if not trusted:
                    break
        return chain, _proto(request, len(chain))

    def read_forwarded(request: Request) -> Finding:
        chain: list[str] = []
        scheme = ""
        if name in request.index:
            for element in forwarded_from_right(request.values(name)):
                text, trusted = judge(element.node) if element is not None else ("", False)
                if element is None:
                    break
                # A hidden or unknown node ends the chain, but its scheme was told by a proxy that is believed.
                scheme = _SCHEMES.get(element.proto.lower(), "")
                if text:
                    chain.append(text)
                if not trusted:
                    break
        return chain, scheme

    def read_single(request: Request) -> Finding:
        # Two copies of a field that a CDN sets: one of them is the client's own.
        values = request.values(name) if name in request.index else ()
        text = judge(values[0])[0] if len(values) == 1 else ""
        return ([text] if text else []), _proto(request, 1)

    if name == b"x-forwarded-for":
        return read_list
    return read_forwarded if name == b"forwarded" else read_single


def _proto(request: Request, hops: int) -> str:
    """The scheme by X-Forwarded-Proto; where every proxy appended to it, the one that stands `hops` from the right."""
    value = request.index.get(b"x-forwarded-proto")
    if value is None:
        return ""
    known = _SCHEMES.get(value)
    if known is not None and len(request.fields) == len(request.index):
        return known
    values = list(islice(list_from_right(request.values(b"x-forwarded-proto")), max(hops, 1)))
    return _SCHEMES.get(values[-1].lower(), "") if values else ""
