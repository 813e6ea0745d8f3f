"""Upstream and Endpoint: one service behind the gateway, and the places where it runs.

The proxy picks an endpoint here and takes a connection from its pool. An Upstream belongs to a site and is immutable
but for its pools and the balancer's turn; a reload keeps the whole of it if its configuration is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from random import Random
from typing import NamedTuple, cast

from gateway.errors import Cause, UpstreamFault
from gateway.exchange import Exchange
from gateway.metrics import Metrics
from gateway.upstream.balancer import make_balancer
from gateway.upstream.dial import Dialer
from gateway.upstream.pool import Dial, Pool, Wires
from gateway.upstream.resolver import Resolver
from gateway.upstream.settings import EndpointConfig, UpstreamConfig
from gateway.upstream.tls import load_tls

STATES = ("idle", "active", "connecting", "closing", "queued")


class Surroundings(NamedTuple):
    """What an upstream is built in: the worker's wires and resolver, the configuration's folder, who hears warnings."""

    wires: Wires
    resolver: Resolver
    folder: Path
    warn: Callable[[str], None]
    random: Random


class Endpoint:
    """One place that serves an upstream.

    name         "127.0.0.1:3000", "unix:/run/app.sock": unique in its upstream; the label in logs and metrics
    host_header  value of a Host field that names it
    weight       its share
    """

    __slots__ = ("host_header", "name", "pool", "weight")

    def __init__(self, name: str, host_header: bytes, weight: int, pool: Pool) -> None:
        self.name = name
        self.host_header = host_header
        self.weight = weight
        self.pool = pool

    @property
    def load(self) -> int:
        return self.pool.load

    def __repr__(self) -> str:
        return f"<Endpoint {self.name}>"


class Upstream:
    """One service.

    host     "preserve", "endpoint" or the literal to put into the Host field
    retries  further attempts allowed
    """

    __slots__ = ("_balancer", "_only", "config", "endpoints", "host", "name", "retries")

    def __init__(self, name: str, config: UpstreamConfig, endpoints: tuple[Endpoint, ...], random: Random) -> None:
        self.name = name
        self.config = config
        self.endpoints = endpoints
        self.host = config.host
        self.retries = config.retries.attempts
        self._only = endpoints[0] if len(endpoints) == 1 else None
        self._balancer = make_balancer(config.balance, endpoints, config.hash_on or "client", random)

    def pick(self, exchange: Exchange, tried: Collection[Endpoint] = ()) -> Endpoint:
        """The endpoint for this attempt, none of `tried`. Raises UpstreamFault(NO_ENDPOINT)."""
        if self._only is not None and not tried:
            return self._only
        endpoint = self._balancer.pick(exchange, tried)
        if endpoint is None:
            raise UpstreamFault(Cause.NO_ENDPOINT, f"{self.name}: all endpoints tried", sent=False)
        return cast("Endpoint", endpoint)

    def register(self, metrics: Metrics) -> None:
        """Exports the pools' counters. Once more after a reload changes nothing."""
        for endpoint in self.endpoints:
            _register_pool(metrics, endpoint.pool, self.name, endpoint.name)

    def close(self) -> None:
        """Drains the pools: idle connections go, active ones finish."""
        for endpoint in self.endpoints:
            endpoint.pool.close()

    def abort(self) -> None:
        """Cuts off every connection, at the end of the drain time."""
        for endpoint in self.endpoints:
            endpoint.pool.abort()


def build_upstream(name: str, config: UpstreamConfig, around: Surroundings) -> Upstream:
    """An upstream ready to be picked from; connects to nothing, resolves nothing. Raises ValueError."""
    context = None
    if any(endpoint.address.tls for endpoint in config.endpoints):
        try:
            context = load_tls(config.tls, around.folder, lambda text: around.warn(f"upstreams.{name}: {text}"))
        except ValueError as error:
            raise ValueError(f"upstreams.{name}: {error}") from None

    def dial(endpoint: EndpointConfig) -> Dial:
        address = endpoint.address
        server_name = config.tls.server_name or address.host
        return Dialer(address, around.resolver, context if address.tls else None, server_name).dial

    endpoints = tuple(make_endpoint(config, endpoint, dial(endpoint), around.wires) for endpoint in config.endpoints)
    return Upstream(name, config, endpoints, around.random)


def make_endpoint(config: UpstreamConfig, endpoint: EndpointConfig, dial: Dial, wires: Wires) -> Endpoint:
    """An endpoint whose connections are opened by `dial`."""
    address = endpoint.address
    return Endpoint(address.name, address.authority, endpoint.weight, Pool(config.pool, dial, wires))


def _register_pool(metrics: Metrics, pool: Pool, upstream: str, endpoint: str) -> None:
    labels = {"upstream": upstream, "endpoint": endpoint}

    def read(state: str) -> Callable[[], float]:
        return lambda: float(getattr(pool, state))

    for state in STATES:
        metrics.gauge_function(
            "gateway_upstream_connections",
            "Connections to an endpoint by state; queued are requests that wait for one.",
            read(state),
            state=state,
            **labels,
        )
    pool.values = metrics.values
    pool.connects = metrics.counter("gateway_upstream_connects_total", "Connections made to an endpoint.", **labels)
    pool.reused = metrics.counter(
        "gateway_upstream_reused_total", "Requests that found an open connection ready.", **labels
    )

    def failed(cause: Cause) -> None:
        slot = metrics.counter(
            "gateway_upstream_connect_failures_total", "Connections that could not be made.", cause=cause.word, **labels
        )
        metrics.values[slot] += 1

    pool.on_connect_failure = failed
