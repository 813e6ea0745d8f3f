"""build_upstream: one entry of the configuration becomes an Upstream, with what is unchanged taken over.

Called for every Site that is built, on a thread at a reload. The rule: it connects to nothing and resolves nothing, so
that a configuration can be tried without harm.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import NamedTuple

from gateway.upstream.dial import Dialer
from gateway.upstream.pool import Dial, Pool, Wires
from gateway.upstream.resolver import Resolver
from gateway.upstream.settings import EndpointConfig, UpstreamConfig, UpstreamTlsConfig
from gateway.upstream.standing import Alone, Shared
from gateway.upstream.tls import load_tls
from gateway.upstream.upstream import Endpoint, Files, Ties, Upstream, silent


class Surroundings(NamedTuple):
    """What an upstream is built in: the worker's wires and resolver, the configuration's folder, who hears what is
    wrong with it, chance, the words that processes share, and who hears what happens to it later."""

    wires: Wires
    resolver: Resolver
    folder: Path
    warn: Callable[[str], None]
    random: Random
    shared: Shared | None = None
    tell: Callable[[str], None] = silent


def build_upstream(
    name: str, config: UpstreamConfig, around: Surroundings, present: Upstream | None = None
) -> Upstream:
    """An upstream ready to be picked from; connects to nothing, resolves nothing. Raises ValueError.

    What is unchanged since `present` is taken from it: the whole of it, or the pools of endpoints that stay.
    """
    files = tls_files(config.tls, around.folder)
    if present is not None and (present.config, present.files) == (config, files):
        return present
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

    pools: dict[str, Pool] = {}
    if present is not None and (present.config.pool, present.config.tls, present.files) == (
        config.pool, config.tls, files,
    ):  # fmt: skip
        pools = {one.url: known.pool for one, known in zip(present.config.endpoints, present.endpoints, strict=True)}
    endpoints = tuple(
        make_endpoint(endpoint, pools.get(endpoint.url) or Pool(config.pool, dial(endpoint), around.wires))
        for endpoint in config.endpoints
    )
    ties = Ties(around.shared or Alone(), around.wires.now, around.tell, around.wires.sweep)
    made = Upstream(name, config, endpoints, around.random, ties)
    made.files = files
    if present is not None and config.slow_start:
        known = {endpoint.name for endpoint in present.endpoints}
        for endpoint in endpoints:
            if endpoint.name not in known:
                endpoint.standing.arrived(ties.now())
    ties.sweep.add(made)
    return made


def tls_files(config: UpstreamTlsConfig, folder: Path) -> Files:
    """Path, inode, time and size of each file that is named; a missing one is told of by whoever reads it."""
    found = []
    for name in (config.ca, config.certificate, config.key):
        if name is not None:
            with suppress(OSError):
                stat = (folder / name).stat()
                found.append((name, stat.st_ino, stat.st_mtime_ns, stat.st_size))
    return tuple(found)


def make_endpoint(endpoint: EndpointConfig, pool: Pool) -> Endpoint:
    """An endpoint with its connections."""
    address = endpoint.address
    return Endpoint(address.name, address.authority, endpoint.weight, pool)
