"""upstream_head: the client's request head as an endpoint gets it.

Made by `proxy.py` for each exchange that goes upstream: end-to-end fields only, then the route's `prepare` hooks. What
the client's fields come to is remembered with them (docs/decisions/0005), for the same fields come again.
"""

from __future__ import annotations

from typing import Any

from gateway.errors import Cause, ClientFault
from gateway.exchange import Exchange
from gateway.hooks import Route, UpstreamHead
from gateway.http.codec import render_fields
from gateway.http.message import Fields, Request
from gateway.pipeline import PLAIN_OPTIONS, nominated
from gateway.upstream.upstream import Upstream

RENDERINGS = 8  # of the same fields for different routes, kept with them: a bound, for there may be many routes


def upstream_head(exchange: Exchange, upstream: Upstream) -> UpstreamHead:
    """The client's head as the origin gets it: end-to-end fields only, edited by the route's hooks."""
    request, route = exchange.request, exchange.route
    plan = route.plan
    drop = plan.drop_request
    connection = request.index.get(b"connection")
    if connection is not None and (connection not in PLAIN_OPTIONS or len(request.index) != len(request.fields)):
        drop = drop.union(nominated(request.fields))
    inherited = request.rendered.get(drop) or _inherit(request, drop)
    target = request.path if request.query is None else b"%b?%b" % (request.path, request.query)
    head = UpstreamHead(request.method, target, _host(request, route, upstream), [], inherited)
    for prepare in plan.prepare:
        prepare(exchange, head)
    return head


def _inherit(request: Request, drop: frozenset[bytes]) -> tuple[Fields, bytes]:
    """The client's fields without `drop`, and their lines; remembered with the fields, for the same come again."""
    fields = [field for field in request.fields if field[0] not in drop]
    inherited = (fields, render_fields(fields))
    if len(request.rendered) < RENDERINGS:
        request.rendered[drop] = inherited
    return inherited


def _host(request: Request, route: Route, upstream: Upstream) -> bytes:
    """Value of the Host field; b"" for the endpoint's own."""
    policy = route.settings.host or upstream.host
    if policy == "preserve":
        return request.authority
    return b"" if policy == "endpoint" else str(policy).encode()


def upgrade_of(request: Request, route: Route) -> bytes:
    """The upgrade that will be asked of the origin, b"" for none. Raises ClientFault if it comes with a body."""
    token = request.upgrade
    if not token:
        return b""
    settings: Any = route.settings
    if not ((token == b"websocket" and settings.websocket) or token in settings.upgrades):
        return b""
    if request.length:
        raise ClientFault(Cause.MALFORMED_REQUEST, "an upgrade with a body")
    return token if token != b"websocket" or request.method == b"GET" else b""  # RFC 6455 §4.1
