"""Redirects that never end: routes that send a client back to where it came from.

Asked by `check.py` of the site it has built: the redirects are followed as a client would, through the same code that
will answer. The rule: only what is certain is told, so a target that may be served elsewhere ends the walk.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple
from urllib.parse import urljoin

from gateway.config import Loaded
from gateway.exchange import Exchange
from gateway.explain import NotARequest, connection_for, read_url, write_head
from gateway.http.head import RequestHeadReader
from gateway.http.message import Malformed
from gateway.pipeline import Site, answer
from gateway.route_match import ANY_HOST, MatchConfig
from gateway.server.settings import ListenerConfig
from gateway.worker import head_rules

HOPS = 10  # after which browsers lose patience too
SHOWN = 4  # URLs of a walk, in the message
SAMPLES = 16  # hosts and paths of one route that are tried: against a list of thousands
_ANY = "any"  # stands for `*`
_NO_HOST = "host.invalid"  # where any will do (RFC 2606)
_PORTS = {"http": 80, "https": 443}


class _Hop(NamedTuple):
    """A request of a walk: where it goes, and the listener that takes it."""

    method: str
    url: str
    listener: ListenerConfig


def endless_redirects(loaded: Loaded, site: Site) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """(path, what happens) of each redirect that a client would follow without end."""
    walker = _Walker(loaded, site)
    for at, route in enumerate(loaded.config.routes):
        if route.redirect is not None:
            chain = next(filter(None, map(walker.follow, _samples(route.match, loaded.config.listeners))), None)
            if chain:
                yield ("routes", at, "redirect"), f"it never ends: {' -> '.join(chain)}"


def _samples(match: MatchConfig, listeners: list[ListenerConfig]) -> Iterator[_Hop]:
    """Requests that `match` takes, one for each kind of listener; none where fields or queries decide."""
    if match.headers or match.query or match.path_regex:
        return
    method = "GET" if match.methods is None or "GET" in match.methods else match.methods[0]
    hosts = [_NO_HOST if host == ANY_HOST else host.replace("*", _ANY) for host in match.host or [ANY_HOST]]
    paths = [path.replace("**", _ANY).replace("*", _ANY) for path in match.path or [f"/{_ANY}"]]
    kinds = {listener.tls is not None: listener for listener in reversed(listeners) if not listener.redirect_to_https}
    for listener, host, path in product(kinds.values(), hosts[:SAMPLES], paths[:SAMPLES]):
        yield _Hop(method, f"{'https' if listener.tls is not None else 'http'}://{host}{path}", listener)


class _Walker:
    """Follows redirects through one site."""

    __slots__ = ("_hosts", "_listeners", "_reader", "_site")

    def __init__(self, loaded: Loaded, site: Site) -> None:
        config = loaded.config
        self._site = site
        self._listeners = config.listeners
        self._reader = RequestHeadReader(head_rules(config.downstream))
        self._hosts = {host for route in config.routes for host in route.match.host or () if host != ANY_HOST}

    def follow(self, hop: _Hop) -> list[str]:
        """The URLs of a walk that comes back or never ends, [] for one that does."""
        seen: list[_Hop] = []
        at: _Hop | None = hop
        while at is not None:
            again = at in seen
            seen.append(at)
            if again or len(seen) > HOPS:
                shown = [_shortened(one.url, hop.url) for one in seen]
                return shown if len(shown) <= SHOWN else [*shown[:SHOWN], "…"]
            at = self._next(at)
        return []

    def _next(self, hop: _Hop) -> _Hop | None:
        """Where the gateway sends this request, None if nowhere, or to where others may serve."""
        try:
            target = read_url(hop.url)
            request = self._reader.read(write_head(hop.method, target, []))
        except (NotARequest, Malformed):
            return None
        exchange = Exchange(connection_for(target, hop.listener, request), request, 0.0)
        response = answer(self._site, exchange)
        if response is None or exchange.verdict is None or not 300 < response.status < 400:
            return None
        location = next((value.decode("latin-1") for name, value in response.fields if name == b"location"), "")
        url = urljoin(hop.url, location)
        listener = self._listener(hop, url)
        if listener is None:
            return None
        return _Hop(hop.method if response.status in {307, 308} else "GET", url, listener)

    def _listener(self, hop: _Hop, url: str) -> ListenerConfig | None:
        """The listener of ours that takes `url`, None if it is not certain that one does."""
        try:
            here, there = read_url(hop.url), read_url(url)
        except NotARequest:
            return None
        if (there.scheme, there.authority) == (here.scheme, here.authority):
            return hop.listener
        host = there.authority.rpartition(":")[0] if there.port is not None else there.authority
        if host != here.authority and not self._is_ours(host):
            return None
        port = there.port or _PORTS[there.scheme]
        fitting = (one for one in self._listeners if (one.tls is not None) == (there.scheme == "https"))
        return next((one for one in fitting if one.bind.port == port), None)

    def _is_ours(self, host: str) -> bool:
        """Whether a route names it."""
        return host in self._hosts or f"*.{host.partition('.')[2]}" in self._hosts


def _shortened(url: str, first: str) -> str:
    """The path alone, where scheme and host are those of the walk's begin."""
    start = "/".join(first.split("/")[:3])
    return url.removeprefix(start) if url.startswith(f"{start}/") else url
