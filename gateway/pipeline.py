"""The plan of a route, and the synchronous half of the journey: identify, route, admit, deliver, log.

`build_plan` compiles the features' hooks once per route; `answer` walks an exchange down the steps and returns a
response if one of them could answer; `deliver` makes any response ready to leave. Nothing here waits or does I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.errors import Cause, ClientFault, Fault
from gateway.exchange import Exchange
from gateway.hooks import Hooks, Plan, Route
from gateway.http.dates import http_date
from gateway.http.fields import FRAMING, HOP_BY_HOP, list_tokens
from gateway.http.message import Fields, Request, Response
from gateway.routing import RouteTable

# What the gateway itself answers for, or refuses (RFC 9110 §9.3.6, §9.3.8, §7.6.2).
_SPECIAL = frozenset({b"CONNECT", b"OPTIONS", b"TRACE"})
# Values of Connection that say nothing about other fields, where there is no second field of that name.
PLAIN_OPTIONS = frozenset({b"keep-alive", b"Keep-Alive", b"close", b"Close", b"Upgrade", b"upgrade"})
_ALLOW = b"DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"


@dataclass(slots=True)
class Site:
    """One loaded configuration, compiled; replaced as a whole by a reload, never changed.

    identify     hooks that run before routing
    fallback     route of what has none: unmatched requests, and bytes that are no request
    upstreams    name -> Upstream (gateway/upstream), shared between generations while unchanged
    error_reply  (exchange, status, token, detail[, message]) -> Response (filters/error_pages.py)
    """

    generation: int
    identify: tuple[Callable[[Exchange], None], ...]
    table: RouteTable
    fallback: Route
    routes: tuple[Route, ...]
    upstreams: dict[str, Any]
    error_reply: Callable[..., Response]
    wall: Callable[[], float]


def build_plan(features: Sequence[tuple[str, Hooks]]) -> Plan:
    """Compiles `features` ((name, hooks) in the order of filters.ORDER) into one Plan."""
    hooks = [found for _name, found in features]
    constant: dict[bytes, bytes] = {}
    defaults: dict[bytes, bytes] = {}
    for found in hooks:
        constant.update(found.set_response)
        defaults.update(found.default_response)
    defaults = {name: value for name, value in defaults.items() if name not in constant}
    drop_response = HOP_BY_HOP | FRAMING | frozenset(constant)
    drop_request = HOP_BY_HOP | FRAMING | {b"expect"}
    for found in hooks:
        drop_response |= found.drop_response
        drop_request |= found.drop_request
    lines = {name: b"%b: %b\r\n" % (name, value) for name, value in (constant | defaults).items()}
    return Plan(
        admit=tuple(found.admit for found in hooks if found.admit),
        needs=tuple(found.needs for found in hooks if found.needs),
        vet=tuple(found.vet for found in hooks if found.vet),
        prepare=tuple(found.prepare for found in hooks if found.prepare),
        accept=tuple(found.accept for found in hooks if found.accept),
        deliver=tuple(found.deliver for found in hooks if found.deliver),
        log=tuple(found.log for found in hooks if found.log),
        drop_request=drop_request,
        drop_response=drop_response,
        block=b"".join(lines.values()),
        lines=lines,
        own=frozenset(defaults),
        features=tuple(name for name, found in features if found != Hooks()),
    )


def answer(site: Site, exchange: Exchange) -> Response | None:
    """Walks `exchange` down the steps; a Response if it is answered here, None if it must be forwarded."""
    exchange.site = site
    for identify in site.identify:
        identify(exchange)
    request = exchange.request
    if request.method in _SPECIAL:
        special = _special(site, exchange)
        if special is not None:
            return special
    route = site.table.find(request) if request.path != b"*" else _find_for_asterisk(site, request)
    if route is None:
        return _no_route(site, exchange)
    exchange.route = route
    plan = route.plan
    for admit in plan.admit:
        verdict = admit(exchange)
        if verdict is not None:
            exchange.verdict = verdict
            return deliver_reply(exchange, verdict.reply)
    if request.length > 0:
        limit = route.settings.body_limit
        if limit is not None and request.length > limit:
            return refuse(site, exchange, ClientFault(Cause.BODY_TOO_LARGE, f"more than {limit} bytes"))
    return None


def _special(site: Site, exchange: Exchange) -> Response | None:
    request = exchange.request
    if request.method != b"OPTIONS":
        return refuse(site, exchange, ClientFault(Cause.METHOD_NOT_ALLOWED, request.method.decode()))
    hops = request.index.get(b"max-forwards")
    if hops is None:
        return None
    if not hops.isdigit() or len(hops) > 9:
        return refuse(site, exchange, ClientFault(Cause.MALFORMED_REQUEST, "an invalid Max-Forwards"))
    if int(hops) == 0:
        exchange.route = site.fallback
        return deliver_reply(exchange, Response(200, [(b"allow", _ALLOW)], body=b""))
    fewer = b"%d" % (int(hops) - 1)
    request.fields = [(name, fewer if name == b"max-forwards" else value) for name, value in request.fields]
    request.rendered = {}  # what others with the same fields have made of them does not hold for these
    return None


def _find_for_asterisk(site: Site, request: Request) -> Route | None:
    """`OPTIONS *` asks about the origin as a whole: it goes where "/" goes."""
    request.path = b"/"
    try:
        return site.table.find(request)
    finally:
        request.path = b"*"


def _no_route(site: Site, exchange: Exchange) -> Response:
    allowed = site.table.allowed(exchange.request)
    if not allowed:
        return refuse(site, exchange, ClientFault(Cause.NO_ROUTE))
    response = refuse(site, exchange, ClientFault(Cause.METHOD_NOT_ALLOWED, exchange.request.method.decode()))
    response.fields.append((b"allow", b", ".join(sorted(allowed))))
    return response


def refuse(site: Site, exchange: Exchange, fault: Fault) -> Response:
    """The error reply to `fault`, with the deliver steps applied; works for what was never a whole request too."""
    exchange.fault = fault
    if exchange.site is None:
        exchange.site = site
        for identify in site.identify:
            identify(exchange)
    if exchange.route is None:
        exchange.route = site.fallback
    cause = fault.cause
    status = cause.status if cause.status != 499 else 400
    return deliver_reply(exchange, site.error_reply(exchange, status, cause.token, fault.detail))


def deliver_reply(exchange: Exchange, prepared: Response) -> Response:
    """A local reply, ready to be written: prepared replies are shared, so a copy is edited. Its own fields win."""
    response = prepared.copy()
    plan: Plan = exchange.route.plan
    fitted = prepared.fitted
    if fitted is None or fitted[0] is not plan:
        fitted = prepared.fitted = _fit(prepared, plan)
    _plan, response.block, dated = fitted
    for deliver in plan.deliver:
        deliver(exchange, response)
    if not dated:
        response.fields.append((b"date", http_date(exchange.site.wall())))
    return response


def _fit(prepared: Response, plan: Plan) -> tuple[Plan, bytes, bool]:
    """(plan, the plan's constant lines that fit to `prepared`, has it a Date): the same for every use on a route."""
    names = {name for name, _value in prepared.fields}
    lines = b"".join([line for name, line in plan.lines.items() if name not in names])
    return plan, prepared.block + lines, b"date" in names


def accept(exchange: Exchange, response: Response) -> None:
    """An origin's response head, cleaned and edited: what a cache may keep."""
    plan: Plan = exchange.route.plan
    drop = plan.drop_response
    connection = response.index.get(b"connection")
    if connection is not None and (connection not in PLAIN_OPTIONS or len(response.index) != len(response.fields)):
        drop = drop.union(nominated(response.fields))
    response.fields = [field for field in response.fields if field[0] not in drop]
    for hook in plan.accept:
        hook(exchange, response)


def deliver(exchange: Exchange, response: Response) -> None:
    """An accepted response, made ready to be written."""
    plan: Plan = exchange.route.plan
    index = response.index
    if plan.own.isdisjoint(index):
        response.block = plan.block
    else:
        own = plan.own
        response.block = b"".join([line for name, line in plan.lines.items() if name not in own or name not in index])
    for hook in plan.deliver:
        hook(exchange, response)
    if b"date" not in index:
        response.fields.append((b"date", http_date(exchange.site.wall())))


def nominated(fields: Fields) -> set[bytes]:
    """Field names that `Connection` makes hop-by-hop (RFC 9110 §7.6.1)."""
    return {token for name, value in fields if name == b"connection" for token in list_tokens(value)}


def finish(exchange: Exchange) -> None:
    """The exchange is over."""
    for log in exchange.route.plan.log:
        log(exchange)
