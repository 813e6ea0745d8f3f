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

from gateway.admin.tls import make_admin_tls
from gateway.config import Loaded
from gateway.config.problems import ConfigError, Problem
from gateway.deadlines import Sweep
from gateway.exchange import Exchange
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
from gateway.routing import RouteConfig, Row, compile_routes, route_names, settings_for
from gateway.server.certificates import CertificateError, CertificateStore, TlsConfig
from gateway.split import chooser
from gateway.state.endpoints import Endpoints
from gateway.upstream.building import Surroundings, build_upstream
from gateway.upstream.pool import Wires
from gateway.upstream.resolver import Resolver
from gateway.upstream.upstream import Upstream

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
    failed: Callable[[Exchange], None] | None = None
    development_host: Callable[[str], bool] | None = None
    resolver: Resolver | None = None
    endpoints: Endpoints = field(default_factory=Endpoints)
    tell: Callable[[str], None] = _silent  # what happens to upstreams while they serve


def build_site(
    loaded: Loaded, services: Services | None = None, generation: int = 1, present: Site | None = None
) -> Site:
    """The Site of `loaded`; upstreams that are unchanged since `present` are its own, pools and all.

    Raises ConfigError with all that only building finds: a missing CA file, a bad template.
    """
    services = services or Services()
    config = loaded.config
    building = _Building(loaded, services.warn)
    shared = Shared(
        folder=loaded.folder,
        generation=generation,
        warn=building.warn,
        open_log=services.logs.open if services.logs is not None else None,
        metrics=services.metrics,
        wall=time.time,
        now=services.clock,
        failed=services.failed,
        development_host=services.development_host,
    )
    pages = None
    if loaded.is_sound(("error_pages",)):
        pages = building.attempt(("error_pages",), error_pages.build_error_reply, config.error_pages, shared)
    shared = replace(shared, error_reply=pages)
    features = _Features(building, shared)
    routes: list[Route] = []
    for at, (route, name) in enumerate(zip(config.routes, route_names(config.routes), strict=True)):
        plan = build_plan(list(features.of(route, ("routes", at), name)))
        upstream = route.upstream or ""
        split = chooser(route.split, upstream) if route.split is not None else None
        routes.append(Route(name, plan, settings_for(route, config.defaults), upstream, split))
    plan = build_plan(list(features.of(RouteConfig.model_construct(), (), FALLBACK)))
    table = compile_routes([(route.match, made) for route, made in zip(config.routes, routes, strict=True)])
    upstreams = _upstreams(building, services, present)
    for row, by in table.unreachable:
        building.warn_of_unreachable(row, by)
    if config.admin.tls is not None and loaded.is_sound(("admin", "tls")):
        building.attempt(("admin",), make_admin_tls, config.admin.tls, loaded.folder)
    building.finish()
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
    """Builds one thing after the other and collects what is wrong, each with its place, so that all is told at once.

    Of the sound part of a wrong configuration it builds only what no mistake has spoiled.
    """

    def __init__(self, loaded: Loaded, warn: Callable[[str], None]) -> None:
        self.loaded = loaded
        self._warn = warn
        self._place: tuple[str | int, ...] = ()
        self._problems: dict[Problem, None] = {}  # every route may meet the same one

    def attempt(self, place: tuple[str | int, ...], builder: Callable[..., _T], *arguments: Any) -> _T | None:
        """What `builder` makes, or None and a problem more for each line of its ValueError."""
        self._place = place
        try:
            return builder(*arguments)
        except (ValueError, OSError) as error:
            self._problems |= {self.loaded.problem(place, line): None for line in str(error).splitlines()}
            return None

    def hooks(self, place: tuple[str | int, ...], builder: Callable[..., Hooks], config: Any, shared: Shared) -> Hooks:
        if not self.loaded.is_sound(place):
            return Hooks()
        return self.attempt(place, builder, config, shared) or Hooks()

    def warn(self, text: str) -> None:
        """Tells a warning about what is being built, with its position."""
        self._warn(str(self.loaded.problem(self._place, text)))

    def warn_of_unreachable(self, row: Row, by: Row) -> None:
        place, other = ("routes", row.order), ("routes", by.order)
        if self.loaded.is_sound(place) and self.loaded.is_sound(other):
            taken = f"{by} at {self.loaded.position_of(other)} takes all that it would match"
            self._warn(str(self.loaded.problem(place, f"{row} can never be reached: {taken}")))

    def finish(self) -> None:
        """Raises ConfigError if anything was wrong."""
        if self._problems:
            raise ConfigError(list(self._problems))


def certificate_stores(loaded: Loaded, warn: Callable[[str], None]) -> list[CertificateStore | None]:
    """One per listener, None for plain ones. Raises ConfigError for certificates that cannot be served."""
    stores: list[CertificateStore | None] = []
    problems: list[Problem] = []
    for at, listener in enumerate(loaded.config.listeners):
        is_served = listener.tls is not None and loaded.is_sound(("listeners", at, "tls"))
        try:
            stores.append(certificate_store(loaded, at, warn) if is_served else None)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return stores


def certificate_store(loaded: Loaded, at: int, warn: Callable[[str], None]) -> CertificateStore:
    """That of the listener at index `at`, which has `tls`. Raises ConfigError like certificate_stores."""
    tls: TlsConfig = loaded.config.listeners[at].tls  # type: ignore[assignment]  # it has
    place = ("listeners", at, "tls")

    def tell(text: str) -> None:
        warn(str(loaded.problem(place, text)))

    try:
        return CertificateStore(tls, loaded.folder, tell)
    except CertificateError as error:
        problems = dict.fromkeys(error.problems, "certificates")
    if tls.client_certificates is not None:  # read first: what was said is about its file, and there may be more to say
        problems = dict.fromkeys(problems, "client_certificates.ca")
        try:
            CertificateStore(tls.model_copy(update={"client_certificates": None}), loaded.folder, _silent)
        except CertificateError as error:
            problems |= dict.fromkeys(error.problems, "certificates")
    raise ConfigError([loaded.problem((*place, *key.split(".")), problem) for problem, key in problems.items()])


def _upstreams(building: _Building, services: Services, present: Site | None) -> dict[str, Upstream | None]:
    config = building.loaded.config
    known: dict[str, Upstream] = present.upstreams if present is not None else {}
    around = Surroundings(
        wires=Wires(ResponseHeadReader(HeadRules(underscores="keep")), services.sweep, services.clock),
        resolver=services.resolver or Resolver(services.clock),
        folder=building.loaded.folder,
        warn=building.warn,
        random=SystemRandom(),
        shared=services.endpoints,
        tell=services.tell,
    )
    made = {}
    for name, upstream in config.upstreams.items():
        before, place = known.get(name), ("upstreams", name)
        if not building.loaded.is_sound((*place, "tls")):
            continue
        made[name] = built = building.attempt(place, build_upstream, name, upstream, around, before)
        if built is not None and built is not before:
            built.register(services.metrics)
    return made
