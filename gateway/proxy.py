"""forward(): the asynchronous half of the journey, for an exchange that no step could answer.

One straight coroutine per exchange: vet, choose an endpoint, send head and body, await the response head, accept it,
deliver it, relay the body. Every fault of either side ends here, as another attempt, an error reply or a cut.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from gateway.deadlines import Sweep
from gateway.eager import EagerTask, Wait
from gateway.errors import Cause, ClientFault, Fault, GatewayFault, Retry, UpstreamFault
from gateway.exchange import Exchange
from gateway.hooks import Route, UpstreamHead
from gateway.http.codec import request_head
from gateway.http.message import Request, Response
from gateway.pipeline import accept, deliver, deliver_reply, refuse
from gateway.request_sender import RequestSender
from gateway.server.turn import Turn
from gateway.spool import Spool
from gateway.tunnel import Tunnel
from gateway.upstream.http1 import UpstreamConnection
from gateway.upstream.upstream import Endpoint, Upstream
from gateway.upstream_head import upstream_head

IDEMPOTENT = frozenset({b"DELETE", b"GET", b"HEAD", b"OPTIONS", b"PROPFIND", b"PUT", b"REPORT", b"SEARCH"})


class Proxy:
    """Takes exchanges to the origin and back. One per worker; holds nothing about any exchange."""

    __slots__ = ("clock", "crashed", "sweep")

    def __init__(self, clock: Callable[[], float], sweep: Sweep, crashed: Callable[[BaseException], None]) -> None:
        self.clock = clock
        self.sweep = sweep
        self.crashed = crashed

    def forward(self, exchange: Exchange, downstream: Turn) -> _Forwarding:
        """Starts at once; what it returns can be cancelled with the client's fault."""
        return _Forwarding(self, exchange, downstream)


class _Forwarding:
    """One exchange on its way: the coroutine `_run`, and what its steps share.

    Most exchanges have no body, find an idle connection and are answered in one read: for them no coroutine is made
    (`_begin_at_once`), which saves 2 us. Whatever turns out otherwise goes on in one, at the step it has reached.
    """

    __slots__ = (
        "_began", "_connection", "_downstream", "_endpoint", "_exchange", "_head", "_proxy", "_sender", "_settings",
        "_task", "_upgrade", "_upstream", "_wait", "done",
    )  # fmt: skip

    _began: float  # loop time at which the request was sent
    _endpoint: Endpoint | None  # picked for the attempt under way, or for the first one
    _connection: UpstreamConnection | None
    _head: UpstreamHead
    _wait: Wait

    def __init__(self, proxy: Proxy, exchange: Exchange, downstream: Turn) -> None:
        self._proxy = proxy
        self._exchange = exchange
        self._downstream = downstream
        route = exchange.route
        self._settings = route.settings
        self._upstream: Upstream = exchange.site.upstreams[route.upstream]
        self._sender: RequestSender | None = None
        self._upgrade = b""
        self._connection = None
        self._endpoint = None
        self._task: EagerTask | None = None
        self.done = False
        request = exchange.request
        if route.plan.vet or request.length or request.upgrade or not self._begin_at_once():
            self._go_on(self._run())

    def cancel(self, fault: Fault) -> None:
        """The client's side has failed: gives up at once."""
        if self._task is not None:
            self._task.cancel(fault)
        elif not self.done:
            self._wait.abandon()
            self._end(fault)

    # -- the ordinary case --------------------------------------------------------------------------------------------

    def _begin_at_once(self) -> bool:
        """Sends the request on an idle connection; False if there is none, and nothing has happened yet."""
        exchange, upstream = self._exchange, self._upstream
        try:
            self._endpoint = endpoint = upstream.pick(exchange)
            self._connection = connection = endpoint.pool.take()
            if connection is None:
                return False
            self._head = upstream_head(exchange, upstream)
            exchange.endpoint = endpoint.name
            exchange.attempts = 1
            self._began = self._ask(connection)
            self._wait = wait = connection.wait_head()
            wait.call(self._answered)
        except Exception as error:  # noqa: BLE001
            self._end(error)
        return True

    def _answered(self) -> None:
        """The response head has come, or the attempt has failed."""
        exchange = self._exchange
        connection = self._connection
        try:
            response: Response = self._wait.result()
            exchange.upstream_seconds = self._proxy.clock() - self._began
            streaming = self._deliver(connection, response)  # type: ignore[arg-type]
        except UpstreamFault as fault:
            if not self._may_retry(fault):
                self._end(fault)
            else:
                self._release()
                self._go_on(self._run())
        except Exception as error:  # noqa: BLE001
            self._end(error)
        else:
            if streaming is None:
                self._end(None)
            else:
                self._go_on(self._guarded(streaming))

    async def _guarded(self, streaming: Coroutine[Any, Any, None]) -> None:
        try:
            await streaming
        except Exception as error:  # noqa: BLE001
            self._end(error)
        else:
            self._end(None)

    def _go_on(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._task = EagerTask(coroutine, self._proxy.crashed)

    def _end(self, error: Exception | None) -> None:
        """It is over, in whatever way."""
        self.done = True
        if self._connection is not None:
            self._release()
        if error is None:
            return
        if not isinstance(error, Fault):
            self._proxy.crashed(error)
            error = GatewayFault(Cause.BUG, type(error).__name__)
        error.__traceback__ = error.__context__ = None  # its frames hold the exchange, which holds it: a cycle
        try:
            self._failed(error)
        except Exception as bug:  # noqa: BLE001 - a filter that fails on the error reply too
            self._proxy.crashed(bug)
            self._downstream.abort(error)

    # -- every other case ---------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            if await self._vetted():
                await self._attempts()
        except Exception as error:  # noqa: BLE001 - a bug of ours costs this exchange, not the worker
            self._end(error)
        else:
            self._end(None)

    def _failed(self, fault: Fault) -> None:
        exchange, downstream = self._exchange, self._downstream
        if exchange.fault is None or fault.cause is not Cause.CLIENT_GONE:
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
        exchange, upstream, timeouts = self._exchange, self._upstream, self._settings.timeouts
        request = exchange.request
        if request.upgrade:
            self._upgrade = _upgrade(request, exchange.route)
        if request.length:
            self._sender = await self._body_sender()
        self._head = upstream_head(exchange, upstream)
        tried: set[Endpoint] | tuple[()] = ()
        failure: UpstreamFault | None = None
        while True:
            # A pick is a turn: where there was no idle connection to take, the first one counts.
            endpoint = self._endpoint or upstream.pick(exchange, tried)
            self._endpoint = endpoint
            exchange.endpoint = endpoint.name
            exchange.attempts += 1
            try:
                connection = endpoint.pool.take() or await endpoint.pool.acquire(timeouts)
            except UpstreamFault as fault:
                tried = {*tried, endpoint}
                if len(tried) >= len(upstream.endpoints) or not self._may_retry(fault):
                    raise
                self._endpoint = None
                continue
            self._connection = connection
            try:
                if failure is not None and self._sender is not None and not self._sender.replayable:
                    raise failure  # while it was made, more of the body has come than is kept
                self._began = self._ask(connection)
                response = await connection.wait_head()
                exchange.upstream_seconds = self._proxy.clock() - self._began
                streaming = self._deliver(connection, response)
                if streaming is not None:
                    await streaming
                return
            except UpstreamFault as fault:
                if fault is failure or not self._may_retry(fault):
                    raise
                failure = fault
            finally:
                if self._connection is not None:
                    self._release()

    def _release(self) -> None:
        """Gives the connection back, once: after that it may be another exchange's already."""
        connection, self._connection = self._connection, None
        endpoint, self._endpoint = self._endpoint, None
        if connection is not None and endpoint is not None:
            endpoint.pool.release(connection)

    def _may_retry(self, fault: UpstreamFault) -> bool:
        """Whether another attempt is allowed (RFC 9110 §9.2.2); never once a byte of a response has come."""
        retry = fault.cause.retry
        if self._downstream.started or (self._connection is not None and self._connection.received):
            return False
        if retry is Retry.NEVER or self._exchange.attempts > self._upstream.retries:
            return False
        if self._sender is not None and not self._sender.replayable:
            return False
        return not fault.sent or (retry is Retry.IDEMPOTENT and self._exchange.request.method in IDEMPOTENT)

    async def _body_sender(self) -> RequestSender:
        """What sends the request body: as it comes, or, buffered, once it is here as a whole."""
        buffering, limit = self._settings.buffering, self._settings.body_limit
        if not buffering.request:
            drop = self._exchange.route.plan.drop_request
            return RequestSender(self._exchange.request.length, self._downstream, limit, drop=drop)
        spool = Spool(buffering.folder, buffering.request)
        try:
            self._downstream.read_body(spool, limit)
            await spool.whole
        except BaseException:
            spool.close()
            raise
        return RequestSender(spool.size, None, limit, spool)

    def _ask(self, connection: UpstreamConnection) -> float:
        """Sends the request; returns when that was."""
        head, upgrade = self._head, self._upgrade
        host = head.host or self._endpoint.host_header  # type: ignore[union-attr]  # it has been picked
        connection.on_informational = self._informational
        began = self._proxy.clock()
        if self._sender is None:
            framing = b"connection: upgrade\r\nupgrade: %b\r\n" % upgrade if upgrade else b""
            rendered = request_head(head.method, head.target, host, head.fields, head.block + framing)
            connection.start(head.method, rendered, self._settings.timeouts, upgrade=bool(upgrade))
        else:
            lines = head.block + self._sender.framing
            rendered = request_head(head.method, head.target, host, head.fields, lines)
            self._sender.send(connection, head.method, rendered, self._settings.timeouts)
        return began

    def _informational(self, response: Response) -> None:
        """Passes a 1xx on; 100 is ours to say (server/http1.py has asked for the body already)."""
        if response.status != 100:
            accept(self._exchange, response)
            self._downstream.informational(response)

    def _deliver(self, connection: UpstreamConnection, response: Response) -> Coroutine[Any, Any, None] | None:
        """Answers with `response`; returns what is still to be awaited, None if all has been said."""
        exchange, downstream, settings = self._exchange, self._downstream, self._settings
        status = response.status
        if status == 101:
            return self._tunnel(connection, response)
        if status in settings.intercept:
            reply = exchange.site.error_reply(exchange, status, "", "")
            self._release()  # kept if the origin's page is here whole, closed if it is not
            downstream.reply(deliver_reply(exchange, reply))
            return None
        accept(exchange, response)
        deliver(exchange, response)
        if connection.complete:
            pieces, trailers = connection.chunks, connection.trailers
            self._release()  # before the client's next request, which may want it
            downstream.start(response, pieces, complete=True, trailers=trailers)
            return None
        if settings.buffering.response and not response.is_event_stream:
            return self._deliver_spooled(connection, response)
        return self._stream(connection, response)

    async def _stream(self, connection: UpstreamConnection, response: Response) -> None:
        """Passes the body on as it comes."""
        downstream = self._downstream
        pieces, connection.chunks = connection.chunks, []
        downstream.start(response, pieces)
        body = connection.relay(downstream)
        downstream.follow(connection)  # behind relay(), which makes the connection read on
        await body
        trailers = connection.trailers
        self._release()
        downstream.finish(trailers)

    async def _deliver_spooled(self, connection: UpstreamConnection, response: Response) -> None:
        """Takes the body off the origin as fast as it comes, and lets the client read at its own pace."""
        downstream, buffering = self._downstream, self._settings.buffering
        spool = Spool(buffering.folder, buffering.response, connection)
        try:
            downstream.start(response, [])
            downstream.follow(spool)
            spool.drain_to(downstream)
            await connection.relay(spool)
            trailers = connection.trailers
            self._release()  # the origin is free, however slow the client
            spool.finish(trailers)
            await spool.drained
        finally:
            spool.close()

    async def _tunnel(self, connection: UpstreamConnection, response: Response) -> None:
        exchange, downstream = self._exchange, self._downstream
        upgrade = response.index.get(b"upgrade", b"")
        if upgrade.lower() != self._upgrade:
            raise UpstreamFault(Cause.UPGRADE_REFUSED, "101 to another protocol than was asked for")
        accept(exchange, response)
        deliver(exchange, response)
        response.fields += [(b"connection", b"upgrade"), (b"upgrade", upgrade)]
        idle = self._settings.timeouts.tunnel
        client, early_up = downstream.upgrade(response)
        origin, early_down = connection.detach()
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
