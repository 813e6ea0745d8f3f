"""The contract of a feature: `build(config, shared) -> Hooks`, compiled per route into a Plan.

A feature is one file in `gateway/filters/` with a `Config` Model (its YAML) and `build`. A hook that is not configured
is not in the plan, so an unused feature costs nothing. Hooks are synchronous and do no I/O, `vet` alone may wait.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from gateway.exchange import Exchange, Verdict
from gateway.http.codec import render_fields
from gateway.http.message import Fields, Response
from gateway.metrics import Metrics


class UpstreamHead:
    """The request head about to be sent to an endpoint: what `prepare` hooks edit.

    target  b"/path?query" to put on the request line
    host    value of the Host field (sent first)
    fields  what hooks add; a hook that replaces a name lists it in `drop_request`
    block   the client's end-to-end fields, rendered; `drop` takes some out
    """

    __slots__ = ("_inherited", "block", "fields", "host", "method", "target")

    def __init__(
        self, method: bytes, target: bytes, host: bytes, fields: Fields, inherited: tuple[Fields, bytes] = ([], b"")
    ) -> None:
        self.method = method
        self.target = target
        self.host = host
        self.fields = fields
        self._inherited, self.block = inherited

    def drop(self, wanted: Callable[[bytes], bool]) -> None:
        """Takes out every field for whose name `wanted` is true: for names that are not known at load time."""
        self.fields[:] = [field for field in self.fields if not wanted(field[0])]
        self._inherited = [field for field in self._inherited if not wanted(field[0])]
        self.block = render_fields(self._inherited)


class Hooks(NamedTuple):
    """What one feature does on one route, by phase; all optional.

    identify   (exchange): who is it? Runs before routing: only global configuration may provide it.
    admit      (exchange) -> Verdict or None: may it go on?
    needs      (exchange) -> bool: must `vet` be awaited for this exchange?
    vet        async (exchange) -> Verdict or None: checks that must wait.
    prepare    (exchange, head): edits the upstream request head.
    accept     (exchange, response): edits the origin's response head, before the cache.
    deliver    (exchange, response): edits any response head, after the cache, so on hits and local replies too.
    log        (exchange): the exchange is over.
    drop_request, drop_response    names never passed to the origin / to the client (constant: cheaper than a hook)
    set_response   constant fields of the response, rendered once: (name, value), replacing the origin's same name
    default_response  the same, but an origin's own field of that name wins
    """

    identify: Callable[[Exchange], None] | None = None
    admit: Callable[[Exchange], Verdict | None] | None = None
    needs: Callable[[Exchange], bool] | None = None
    vet: Callable[[Exchange], Awaitable[Verdict | None]] | None = None
    prepare: Callable[[Exchange, UpstreamHead], None] | None = None
    accept: Callable[[Exchange, Response], None] | None = None
    deliver: Callable[[Exchange, Response], None] | None = None
    log: Callable[[Exchange], None] | None = None
    drop_request: frozenset[bytes] = frozenset()
    drop_response: frozenset[bytes] = frozenset()
    set_response: tuple[tuple[bytes, bytes], ...] = ()
    default_response: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Shared:
    """What the house hands to every `build`: facts about the site and callables to the floors above.

    folder       of config.yaml; relative paths in the configuration start there
    generation   of the site being built
    route        name of the route the hooks are for, "" for global ones
    warn         (text): reported at load, once
    error_reply  (exchange, status, token, detail) -> Response: the negotiated error page (filters/error_pages)
    open_log     (output) -> (line: bytes) -> None: a writer that never blocks, for "stdout", "stderr" or a path
    metrics      the registry: slots are taken at build, `metrics.values[slot] += n` per request
    wall         () -> seconds since the epoch
    now          () -> seconds on the clock of Exchange.now, .started and .ended
    memory       what features remember across the routes of a site: {(feature, ...): bounded by its owner}
    failed       (exchange): told of each one that is over and has a fault, None where nobody asks for them
    development_host  (server name) -> bool: is it served with a development certificate? Asked once per name
    """

    folder: Path = field(default_factory=Path.cwd)
    generation: int = 0
    route: str = ""
    warn: Callable[[str], None] = print
    error_reply: Callable[..., Response] | None = None
    open_log: Callable[[str], Callable[[bytes], None]] | None = None
    metrics: Metrics | None = None
    wall: Callable[[], float] | None = None
    now: Callable[[], float] | None = None
    memory: dict[tuple[str, ...], dict[Any, Any]] = field(default_factory=dict)
    failed: Callable[[Exchange], None] | None = None
    development_host: Callable[[str], bool] | None = None


class Plan(NamedTuple):
    """A route's compiled hooks: what `pipeline.build` makes of the features' Hooks, in the order of filters.ORDER."""

    admit: tuple[Callable[[Exchange], Verdict | None], ...] = ()
    needs: tuple[Callable[[Exchange], bool], ...] = ()
    vet: tuple[Callable[[Exchange], Awaitable[Verdict | None]], ...] = ()
    prepare: tuple[Callable[[Exchange, UpstreamHead], None], ...] = ()
    accept: tuple[Callable[[Exchange, Response], None], ...] = ()
    deliver: tuple[Callable[[Exchange, Response], None], ...] = ()
    log: tuple[Callable[[Exchange], None], ...] = ()
    drop_request: frozenset[bytes] = frozenset()
    drop_response: frozenset[bytes] = frozenset()
    block: bytes = b""  # all constant response fields, rendered
    lines: Mapping[bytes, bytes] = MappingProxyType({})  # the same, by name
    own: frozenset[bytes] = frozenset()  # names in `lines` that an origin's own field replaces
    features: tuple[str, ...] = ()  # names of the configured features, for `gateway explain`


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the routing table, immutable within a site.

    name      unique; the label in logs and metrics
    plan      its hooks
    settings  the route's typed settings (gateway/routing.py: RouteSettings): timeouts, body limit, buffering
    upstream  name of the upstream, "" when the route answers by itself
    split     names the upstream of an exchange, None where it is always the same
    """

    name: str
    plan: Plan
    settings: Any
    upstream: str = ""
    split: Callable[[Exchange], str] | None = None
