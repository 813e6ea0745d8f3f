"""forward(): the asynchronous half of the journey, for an exchange that no step could answer.

One straight coroutine per exchange: vet, choose an endpoint, send head and body, await the response head, accept it,
deliver it, relay the body. Every fault of either side ends here, as another attempt, an error reply or a cut.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.deadlines import Sweep
from gateway.eager import EagerTask
from gateway.errors import Cause, ClientFault, Fault, GatewayFault, Retry, UpstreamFault
from gateway.exchange import Exchange
from gateway.hooks import Route, UpstreamHead
from gateway.http.codec import request_head
from gateway.http.message import Request, Response
from gateway.pipeline import accept, deliver, deliver_reply, nominated, refuse
from gateway.request_sender import RequestSender
from gateway.server.http1 import Http1
from gateway.spool import Spool
from gateway.tunnel import Tunnel
from gateway.upstream.http1 import UpstreamConnection
from gateway.upstream.upstream import Endpoint, Upstream

IDEMPOTENT = frozenset({b"DELETE", b"GET", b"HEAD", b"OPTIONS", b"PROPFIND", b"PUT", b"REPORT", b"SEARCH"})
EVENT_STREAM = b"text/event-stream"
# Connection options that say nothing about other fields.
_PLAIN_OPTIONS = frozenset({b"keep-alive", b"Keep-Alive", b"close", b"Upgrade", b"upgrade"})


class Proxy:
    """Takes exchanges to the origin and back. One per worker; holds nothing about any exchange."""

    __slots__ = ("clock", "crashed", "sweep")

    def __init__(self, clock: Callable[[], float], sweep: Sweep, crashed: Callable[[BaseException], None]) -> None:
        self.clock = clock
        self.sweep = sweep
        self.crashed = crashed

    def forward(self, exchange: Exchange, downstream: Http1) -> EagerTask:
        """Starts at once; what it returns can be cancelled with the client's fault."""
        return EagerTask(_Forwarding(self, exchange, downstream).run(), self.crashed)


class _Forwarding:
    """One exchange on its way: the coroutine `run`, and what its steps share."""

    __slots__ = (
        "_connection",
        "_downstream",
        "_endpoint",
        "_exchange",
        "_head",
        "_proxy",
        "_sender",
        "_settings",
        "_upgrade",
    )

    _endpoint: Endpoint
    _connection: UpstreamConnection
    _head: UpstreamHead

    def __init__(self, proxy: Proxy, exchange: Exchange, downstream: Http1) -> None:
        self._proxy = proxy
        self._exchange = exchange
        self._downstream = downstream
        self._settings = exchange.route.settings
        self._sender: RequestSender | None = None
        self._upgrade = b""

    async def run(self) -> None:
        try:
            if not self._exchange.route.plan.vet or await self._vetted():
                await self._attempts()
        except Fault as fault:
            self._failed(fault)
        except Exception as error:  # noqa: BLE001 - a bug of ours costs this exchange, not the worker
            self._proxy.crashed(error)
            self._failed(GatewayFault(Cause.BUG, type(error).__name__))

    def _failed(self, fault: Fault) -> None:
        exchange, downstream = self._exchange, self._downstream
        exchange.fault = fault
        if downstream.started:
            downstream.abort(fault)
        elif fault.cause.status != 499:
            downstream.reply(refuse(exchange.site, exchange, fault))

    async def _vetted(self) -> bool:
        exchange = self._exchange
        plan = exchange.route.plan
        if any(needs(exchange) for needs in plan.needs):
            for vet in plan.vet:
                verdict = await vet(exchange)
                if verdict is not None:
                    exchange.verdict = verdict
                    self._downstream.reply(deliver_reply(exchange, verdict.reply))
                    return False
        return True

    async def _attempts(self) -> None:
        """Asks one endpoint after the other, as long as the table of errors.py allows."""
        exchange = self._exchange
        request, route = exchange.request, exchange.route
        upstream: Upstream = exchange.site.upstreams[route.upstream]
        if request.upgrade:
            self._upgrade = _upgrade(request, route)
        if request.length:
            self._sender = await self._body_sender()
        self._head = _upstream_head(exchange, upstream)
        tried: set[Endpoint] = set()
        while True:
            self._endpoint = endpoint = upstream.pick(exchange, tried)
            exchange.endpoint = endpoint.name
            exchange.attempts += 1
            try:
                connection = endpoint.pool.take()
                if connection is None:
                    connection = await endpoint.pool.acquire(self._settings.timeouts)
            except UpstreamFault as fault:
                tried.add(endpoint)
                if len(tried) >= len(upstream.endpoints) or not self._may_retry(fault, upstream):
                    raise
                continue
            self._connection = connection
            try:
                await self._deliver(await self._ask())
                return
            except UpstreamFault as fault:
                if self._downstream.started or not self._may_retry(fault, upstream):
                    raise
            finally:
                endpoint.pool.release(connection)

    def _may_retry(self, fault: UpstreamFault, upstream: Upstream) -> bool:
        """Whether another attempt is allowed (RFC 9110 §9.2.2)."""
        retry = fault.cause.retry
        if retry is Retry.NEVER or self._exchange.attempts > upstream.retries:
            return False
        if self._sender is not None and not self._sender.replayable:
            return False
        return not fault.sent or (retry is Retry.IDEMPOTENT and self._exchange.request.method in IDEMPOTENT)

    async def _body_sender(self) -> RequestSender:
        """What sends the request body: as it comes, or, buffered, once it is here as a whole."""
        buffering, limit = self._settings.buffering, self._settings.body_limit
        if not buffering.request:
            return RequestSender(self._exchange.request.length, self._downstream, limit)
        spool = Spool(buffering.folder, buffering.request)
        self._downstream.read_body(spool, limit)
        try:
            await spool.whole
        except BaseException:
            spool.close()
            raise
        return RequestSender(spool.size, None, limit, spool)

    async def _ask(self) -> Response:
        """Sends the request and awaits the final response head."""
        clock, connection, head = self._proxy.clock, self._connection, self._head
        timeouts = self._settings.timeouts
        host = head.host or self._endpoint.host_header
        connection.on_informational = self._informational
        began = clock()
        if self._sender is None:
            upgrade = self._upgrade
            framing = b"connection: upgrade\r\nupgrade: %b\r\n" % upgrade if upgrade else b""
            rendered = request_head(head.method, head.target, host, head.fields, framing)
            connection.start(head.method, rendered, timeouts, upgrade=bool(upgrade))
        else:
            rendered = request_head(head.method, head.target, host, head.fields, self._sender.framing)
            self._sender.send(connection, head.method, rendered, timeouts)
        response: Response = await connection.wait_head()
        self._exchange.upstream_seconds = clock() - began
        return response

    def _informational(self, response: Response) -> None:
        """Passes a 1xx on; 100 is ours to say (server/http1.py has asked for the body already)."""
        if response.status != 100:
            accept(self._exchange, response)
            self._downstream.informational(response)

    async def _deliver(self, response: Response) -> None:
        exchange, downstream, connection, settings = self._exchange, self._downstream, self._connection, self._settings
        if response.status == 101:
            await self._tunnel(response)
            return
        if response.status in settings.intercept:
            reply = exchange.site.error_reply(exchange, response.status, "", "")
            connection.close()
            downstream.reply(deliver_reply(exchange, reply))
            return
        accept(exchange, response)
        deliver(exchange, response)
        if connection.complete:
            pieces, trailers = connection.chunks, connection.trailers
            self._endpoint.pool.release(connection)  # before the client's next request, which may want it
            downstream.start(response, pieces, complete=True, trailers=trailers)
        elif settings.buffering.response and response.index.get(b"content-type", b"")[:17].lower() != EVENT_STREAM:
            await self._deliver_spooled(response)
        else:
            pieces, connection.chunks = connection.chunks, []
            downstream.start(response, pieces)
            downstream.follow(connection)
            await connection.relay(downstream)
            trailers = connection.trailers
            self._endpoint.pool.release(connection)
            downstream.finish(trailers)

    async def _deliver_spooled(self, response: Response) -> None:
        """Takes the body off the origin as fast as it comes, and lets the client read at its own pace."""
        downstream, connection, buffering = self._downstream, self._connection, self._settings.buffering
        spool = Spool(buffering.folder, buffering.response, connection)
        try:
            downstream.start(response, [])
            downstream.follow(spool)
            spool.drain_to(downstream)
            await connection.relay(spool)
            trailers = connection.trailers
            self._endpoint.pool.release(connection)  # the origin is free, however slow the client
            spool.finish(trailers)
            await spool.drained
        finally:
            spool.close()

    async def _tunnel(self, response: Response) -> None:
        exchange, downstream = self._exchange, self._downstream
        upgrade = response.index.get(b"upgrade", b"")
        accept(exchange, response)
        deliver(exchange, response)
        response.fields += [(b"connection", b"upgrade"), (b"upgrade", upgrade)]
        idle = self._settings.timeouts.tunnel
        client, early_up = downstream.upgrade(response)
        origin, early_down = self._connection.detach()
        tunnel = Tunnel(client, origin, idle, self._proxy.sweep, self._proxy.clock)
        tunnel.join(early_up, early_down)
        fault = await tunnel.over
        exchange.received += tunnel.up.passed
        downstream.tunnel_over(tunnel.down.passed, fault)


def _upgrade(request: Request, route: Route) -> bytes:
    """The upgrade that will be asked of the origin, b"" for none. Raises ClientFault if it comes with a body."""
    token = request.upgrade
    if not token:
        return b""
    settings: Any = route.settings
    if not ((token == b"websocket" and settings.websocket) or token in settings.upgrades):
        return b""
    if request.length:
        raise ClientFault(Cause.MALFORMED_REQUEST, "an upgrade with a body")
    return token


def _upstream_head(exchange: Exchange, upstream: Upstream) -> UpstreamHead:
    """The client's head as the origin gets it: end-to-end fields only, edited by the route's hooks."""
    request, route = exchange.request, exchange.route
    plan = route.plan
    drop = plan.drop_request
    connection = request.index.get(b"connection")
    if connection is not None and connection not in _PLAIN_OPTIONS:
        drop = drop.union(nominated(request.fields))
    fields = [field for field in request.fields if field[0] not in drop]
    target = request.path if request.query is None else b"%b?%b" % (request.path, request.query)
    head = UpstreamHead(request.method, target, _host(request, route, upstream), fields)
    for prepare in plan.prepare:
        prepare(exchange, head)
    return head


def _host(request: Request, route: Route, upstream: Upstream) -> bytes:
    """Value of the Host field; b"" for the endpoint's own."""
    policy = route.settings.host or upstream.host
    if policy == "preserve":
        return request.authority
    return b"" if policy == "endpoint" else str(policy).encode()
