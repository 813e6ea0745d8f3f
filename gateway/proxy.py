"""forward(): the asynchronous half of the journey, for an exchange that no step could answer.

One straight coroutine per exchange: vet, choose an endpoint, send head and body, await the response head, accept it,
deliver it, relay the body. Every fault of either side ends here, as another attempt, an error reply or a cut.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from gateway.deadlines import Sweep
from gateway.delivery import Delivery, passed_trailers
from gateway.eager import EagerTask, Wait
from gateway.errors import Cause, Fault, GatewayFault, UpstreamFault
from gateway.exchange import Exchange
from gateway.hooks import UpstreamHead
from gateway.http.codec import request_head
from gateway.http.message import Response
from gateway.pipeline import accept, deliver, deliver_reply, refuse
from gateway.request_sender import RequestSender, body_sender
from gateway.server.turn import Turn
from gateway.spool import Disk, DiskThreads
from gateway.upstream.http1 import UpstreamConnection
from gateway.upstream.retries import FailedAttempts
from gateway.upstream.upstream import Endpoint, Upstream
from gateway.upstream_head import upgrade_of, upstream_head

# Calls back in so many seconds; the loop's call_later.
Later: TypeAlias = Callable[[float, Callable[[], None]], object]


class Proxy:
    """Takes exchanges to the origin and back. One per worker; holds nothing about any exchange.

    `later` is the running loop's unless it is given: the pause before a retry is shorter than a turn of the sweep.
    So is `disk`: the loop waits for none.
    """

    __slots__ = ("clock", "crashed", "disk", "later", "sweep")

    def __init__(
        self,
        clock: Callable[[], float],
        sweep: Sweep,
        crashed: Callable[[BaseException], None],
        later: Later | None = None,
        disk: Disk | None = None,
    ) -> None:
        self.clock = clock
        self.sweep = sweep
        self.crashed = crashed
        self.later = later or asyncio.get_running_loop().call_later
        self.disk = disk or DiskThreads(asyncio.get_running_loop())

    def forward(self, exchange: Exchange, downstream: Turn) -> _Forwarding:
        """Starts at once; what it returns can be cancelled with the client's fault."""
        return _Forwarding(self, exchange, downstream)


class _Forwarding:
    """One exchange on its way: the coroutine `_run`, and what its steps share.

    Most exchanges have no body, find an idle connection and are answered in one read: for them no coroutine is made
    (`_begin_at_once`), which saves 2 us. Whatever turns out otherwise goes on in one, at the step it has reached.
    """

    __slots__ = (
        "_began", "_connection", "_downstream", "_endpoint", "_exchange", "_failures", "_head", "_proxy", "_sender",
        "_settings", "_task", "_upgrade", "_upstream", "_wait", "done",
    )  # fmt: skip

    _began: float  # loop time at which the attempt began, and the request was sent
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
        name = route.upstream if route.split is None else route.split(exchange)
        self._upstream: Upstream = exchange.site.upstreams[name]
        self._sender: RequestSender | None = None
        self._upgrade = b""
        self._failures: FailedAttempts | None = None
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
            try:
                endpoint = upstream.pick(exchange)
            except UpstreamFault as fault:
                endpoint = self._stand_in(fault)
                upstream = self._upstream
            self._endpoint = endpoint
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
        connection = self._connection
        try:
            response: Response = self._wait.result()
            if not self._is_answer(response):
                self._go_on(self._run())
                return
            streaming = self._deliver(connection, response)  # type: ignore[arg-type]
        except UpstreamFault as fault:
            if self._another(fault):
                self._go_on(self._run())
            else:
                self._end(fault)
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
            if isinstance(error, UpstreamFault):
                self._attempt_failed(error.cause)
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
        if self._sender is not None:
            self._sender.close()
        if self._failures is not None:
            self._failures.leave()
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
        exchange = self._exchange
        request = exchange.request
        if request.upgrade:
            self._upgrade = upgrade_of(request, exchange.route)
        if request.length:
            self._sender = await body_sender(exchange, self._downstream, self._proxy.disk)
        self._endpoint = self._endpoint or self._picked()
        self._head = upstream_head(exchange, self._upstream)
        while True:
            try:
                connection = await self._connected()
                self._began = self._ask(connection)
                response = await connection.wait_head()
                if self._is_answer(response):
                    streaming = self._deliver(connection, response)
                    if streaming is not None:
                        await streaming
                    return
            except UpstreamFault as fault:
                if not self._another(fault):
                    raise

    async def _connected(self) -> UpstreamConnection:
        """The connection for an attempt, as the failed ones before it want it."""
        exchange, failures = self._exchange, self._failures
        fresh = False
        if failures is not None:
            if failures.seconds:
                pause = Wait()
                self._proxy.later(failures.seconds, pause.wake)
                await pause
            self._endpoint, fresh = failures.endpoint, failures.fresh
        # A pick is a turn: where there was no idle connection to take, the first one counts.
        self._endpoint = endpoint = self._endpoint or self._picked()
        exchange.endpoint = endpoint.name
        exchange.attempts += 1
        self._began = self._proxy.clock()
        connection = None if fresh else endpoint.pool.take()
        if connection is None:
            connection = await endpoint.pool.acquire(self._settings.timeouts, fresh=fresh)
        self._connection = connection
        return connection

    def _picked(self) -> Endpoint:
        """Raises UpstreamFault(NO_ENDPOINT)."""
        try:
            return self._upstream.pick(self._exchange)
        except UpstreamFault as fault:
            endpoint = self._stand_in(fault)
            self._head = upstream_head(self._exchange, self._upstream)
            return endpoint

    def _stand_in(self, fault: UpstreamFault) -> Endpoint:
        """An endpoint of the upstream that answers while this one has none. Raises `fault` if there is no such."""
        upstream = self._exchange.site.upstreams.get(self._upstream.config.failover)
        if upstream is None:
            raise fault
        if self._failures is not None:
            self._failures.leave()
            self._failures = None
        self._upstream = upstream
        endpoint: Endpoint = upstream.pick(self._exchange)
        return endpoint

    def _is_answer(self, response: Response) -> bool:
        """The attempt has brought a response: whether it is the answer; if not, another attempt is to be made."""
        self._exchange.upstream_seconds = seconds = self._proxy.clock() - self._began
        if self._failures is not None:
            self._failures.over(answered=True)
        endpoint = self._endpoint
        if endpoint is not None and endpoint.report is not None:
            endpoint.report(response.status, seconds, None)
        retries = self._upstream.retries
        return not retries.statuses or retries.wanted(response) or not self._may_follow(None)

    def _another(self, fault: UpstreamFault) -> bool:
        """The attempt has failed: whether another one is to be made."""
        self._attempt_failed(fault.cause)
        follows = self._may_follow(fault)
        if follows:
            fault.__traceback__ = None  # its frames know the connection, which keeps its fault: a cycle
        return follows

    def _attempt_failed(self, cause: Cause) -> None:
        """Whoever watches the endpoint hears of it, but for what was no fault of its: a kept connection was closed."""
        connection, endpoint = self._connection, self._endpoint
        if self._failures is not None:
            self._failures.over(answered=False)
        stale = connection is not None and connection.parked and cause is Cause.CLOSED_BEFORE_HEAD
        if endpoint is not None and endpoint.report is not None and not stale:
            endpoint.report(0, self._proxy.clock() - self._began, cause)

    def _may_follow(self, fault: UpstreamFault | None) -> bool:
        """Whether another attempt may follow a failed one, or a response that is not wanted; never once a byte of a
        response has been passed on. The connection is given back then."""
        connection, sender = self._connection, self._sender
        if self._downstream.started or (sender is not None and not sender.replayable) or self._endpoint is None:
            return False
        stale = False
        if fault is not None and connection is not None:
            if connection.received:
                return False
            stale = connection.parked and fault.cause is Cause.CLOSED_BEFORE_HEAD
        failures = self._failures = self._failures or FailedAttempts(self._upstream)
        if not failures.another(self._exchange, self._endpoint, fault, stale=stale):
            return False
        if sender is not None:
            sender.hold()
        self._release()
        return True

    def _release(self) -> None:
        """Gives the connection back, once: after that it may be another exchange's already."""
        connection, self._connection = self._connection, None
        endpoint, self._endpoint = self._endpoint, None
        if connection is not None and endpoint is not None:
            endpoint.pool.release(connection)

    def _ask(self, connection: UpstreamConnection) -> float:
        """Sends the request; returns when that was."""
        head, upgrade = self._head, self._upgrade
        host = head.host or self._endpoint.host_header  # type: ignore[union-attr]  # it has been picked
        connection.on_informational = self._informational
        timeouts, retries = self._settings.timeouts, self._upstream.retries
        if retries.per_try is not None:
            timeouts = retries.times(timeouts, self._exchange)
        began = self._proxy.clock()
        if self._sender is None:
            framing = b"connection: upgrade\r\nupgrade: %b\r\n" % upgrade if upgrade else b""
            rendered = request_head(head.method, head.target, host, head.fields, head.block + framing)
            connection.start(head.method, rendered, timeouts, upgrade=bool(upgrade))
        else:
            lines = head.block + self._sender.framing
            rendered = request_head(head.method, head.target, host, head.fields, lines)
            self._sender.send(connection, head.method, rendered, timeouts)
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
        if status in settings.intercept:
            reply = exchange.site.error_reply(exchange, status, "", "")
            self._release()  # kept if the origin's page is here whole, closed if it is not
            downstream.reply(deliver_reply(exchange, reply))
            return None
        if connection.complete:
            accept(exchange, response)
            deliver(exchange, response)
            pieces, trailers = connection.chunks, passed_trailers(exchange, response, connection.trailers)
            self._release()  # before the client's next request, which may want it
            downstream.start(response, pieces, complete=True, trailers=trailers)
            return None
        delivery = Delivery(exchange, downstream, connection, response, self._release)
        if status == 101:
            return delivery.tunnel(self._upgrade, self._proxy.sweep, self._proxy.clock)
        if settings.buffering.response and not response.is_event_stream:
            return delivery.spool(self._proxy.disk)
        return delivery.stream()
