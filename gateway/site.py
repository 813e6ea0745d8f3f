"""build_site: a loaded configuration becomes a Site: features are built, routes compiled, upstreams made.

Called at start, by every reload, and by `gateway check` and `explain`, which serve nothing. It opens no socket and
asks no network; what it cannot build it reports with the place in the configuration.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from random import SystemRandom
from typing import Any, TypeVar

from gateway.config import Loaded
from gateway.config.problems import ConfigError, Problem
from gateway.deadlines import Sweep
from gateway.filters import (
    ORDER,
    access_log,
    error_pages,
    forwarded,
    https_redirect,
    metrics,
    real_ip,
    redirect,
    request_headers,
    request_id,
    respond,
    response_headers,
    rewrite,
    security_headers,
    trace,
)
from gateway.hooks import Hooks, Route, Shared
from gateway.http.head import HeadRules, ResponseHeadReader
from gateway.log_writer import LogOutputs, LogRehearsal
from gateway.metrics import Metrics
from gateway.pipeline import Site, build_plan
from gateway.routing import RouteConfig, compile_routes, route_names, settings_for
from gateway.server.certificates import CertificateError, CertificateStore
from gateway.upstream.pool import Wires
from gateway.upstream.resolver import Resolver
from gateway.upstream.upstream import Surroundings, Upstream, build_upstream

_T = TypeVar("_T")
FALLBACK = "-"  # the route of what matches none, in logs and metrics


def _silent(_text: str) -> None:
    """For a site that will not serve, the log has no reader."""


@dataclass(slots=True)
class Services:
    """What a process lends to its sites: they come and go, these stay."""

    clock: Callable[[], float] = time.monotonic
    sweep: Sweep = field(default_factory=Sweep)
    metrics: Metrics = field(default_factory=Metrics)
    logs: LogOutputs | LogRehearsal | None = None
    warn: Callable[[str], None] = _silent
    development_host: Callable[[str], bool] | None = None


def build_site(loaded: Loaded, services: Services | None = None, generation: int = 1) -> Site:
    """The Site of `loaded`. Raises ConfigError with all that only building finds: a missing CA file, a bad template."""
    services = services or Services()
    config = loaded.config
    building = _Building(loaded)
    shared = Shared(
        folder=loaded.folder,
        generation=generation,
        warn=services.warn,
        open_log=services.logs.open if services.logs is not None else None,
        metrics=services.metrics,
        wall=time.time,
        now=services.clock,
        development_host=services.development_host,
    )
    pages = building.attempt(("error_pages",), error_pages.build_error_reply, config.error_pages, shared)
    shared = replace(shared, error_reply=pages)
    features = _Features(building, shared)
    routes: list[Route] = []
    for at, (route, name) in enumerate(zip(config.routes, route_names(config.routes), strict=True)):
        plan = build_plan(list(features.of(route, ("routes", at), name)))
        routes.append(Route(name, plan, settings_for(route, config.defaults), route.upstream or ""))
    plan = build_plan(list(features.of(RouteConfig.model_construct(), (), FALLBACK)))
    table = compile_routes([(route.match, made) for route, made in zip(config.routes, routes, strict=True)])
    upstreams = _upstreams(building, services)
    building.finish()
    for text in table.warnings:
        services.warn(text)
    return Site(
        generation=generation,
        identify=features.identify,
        table=table,
        fallback=Route(FALLBACK, plan, config.defaults),
        routes=tuple(routes),
        upstreams={name: upstream for name, upstream in upstreams.items() if upstream is not None},
        error_reply=pages,  # type: ignore[arg-type]  # None was a mistake, and finish() has raised it
        wall=time.time,
    )


class _Features:
    """Builds the features' hooks: what all routes have in common once, and shared, what a route says for itself anew.

    Shared hooks are not only quicker to build: 5,000 routes with a copy each would not fit into the processor's cache.
    """

    def __init__(self, building: _Building, shared: Shared) -> None:
        self._building = building
        self._shared = shared
        self._config = config = building.loaded.config
        ports = {str(listener.bind): listener.redirect_to_https for listener in config.listeners}
        self._common = {"https_redirect": https_redirect.build({bind: port for bind, port in ports.items() if port})}
        for name, builder in _SITE_WIDE.items():
            self._common[name] = building.hooks((name,), builder, getattr(config, name), shared)
        self.identify = tuple(hooks.identify for hooks in self._common.values() if hooks.identify)

    def of(self, route: RouteConfig, at: tuple[str | int, ...], name: str) -> Iterator[tuple[str, Hooks]]:
        """(feature, hooks) of one route, in the order of ORDER; `at` is its place in the configuration."""
        shared = replace(self._shared, route=name)
        for feature in ORDER:
            own = getattr(route, feature, None)
            place = (*at, feature) if own is not None else (feature,)
            if feature == "metrics":
                yield feature, metrics.build(shared)
            elif feature == "access_log":
                setting = own if own is not None else self._config.access_log
                yield feature, self._building.hooks(place, access_log.build, setting, shared)
            elif own is not None:
                yield feature, self._building.hooks(place, _BUILDERS[feature], own, shared)
            elif feature in self._common:
                yield feature, self._common[feature]


# Features that the whole site has; those of _BUILDERS may stand in a route too, where they replace the site's.
_SITE_WIDE: dict[str, Callable[[Any, Shared], Hooks]] = {
    "real_ip": real_ip.build,
    "request_id": request_id.build,
    "trace": trace.build,
    "forwarded": forwarded.build,
    "request_headers": request_headers.build,
    "response_headers": response_headers.build,
    "security_headers": security_headers.build,
}
_BUILDERS: dict[str, Callable[[Any, Shared], Hooks]] = {
    "redirect": redirect.build,
    "respond": respond.build,
    "rewrite": rewrite.build,
    "request_headers": request_headers.build,
    "response_headers": response_headers.build,
    "security_headers": security_headers.build,
}


class _Building:
    """Builds one thing after the other and collects what is wrong, each with its place, so that all is told at once."""

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded
        self._problems: dict[Problem, None] = {}  # every route may meet the same one

    def attempt(self, place: tuple[str | int, ...], builder: Callable[..., _T], *arguments: Any) -> _T | None:
        """What `builder` makes, or None and a problem more."""
        try:
            return builder(*arguments)
        except (ValueError, OSError) as error:
            said = str(error).removeprefix(".".join(map(str, place)) + ": ")
            self._problems[self.loaded.problem(place, said)] = None
            return None

    def hooks(self, place: tuple[str | int, ...], builder: Callable[..., Hooks], config: Any, shared: Shared) -> Hooks:
        return self.attempt(place, builder, config, shared) or Hooks()

    def finish(self) -> None:
        """Raises ConfigError if anything was wrong."""
        if self._problems:
            raise ConfigError(list(self._problems))


def certificate_stores(loaded: Loaded, warn: Callable[[str], None]) -> list[CertificateStore | None]:
    """One per listener, None for plain ones. Raises ConfigError for certificates that cannot be served."""
    stores: list[CertificateStore | None] = []
    for at, listener in enumerate(loaded.config.listeners):
        try:
            stores.append(CertificateStore(listener.tls, loaded.folder, warn) if listener.tls is not None else None)
        except CertificateError as error:
            path = ("listeners", at, "tls", "certificates")
            raise ConfigError([loaded.problem(path, problem) for problem in error.problems]) from None
    return stores


def _upstreams(building: _Building, services: Services) -> dict[str, Upstream | None]:
    config = building.loaded.config
    around = Surroundings(
        wires=Wires(ResponseHeadReader(HeadRules(underscores="keep")), services.sweep, services.clock),
        resolver=Resolver(services.clock),
        folder=building.loaded.folder,
        warn=services.warn,
        random=SystemRandom(),
    )
    made = {}
    for name, upstream in config.upstreams.items():
        made[name] = built = building.attempt(("upstreams", name), build_upstream, name, upstream, around)
        if built is not None:
            built.register(services.metrics)
    return made
