"""Delivery: an origin's response on its way to the client when it is not here as a whole.

Made by `proxy.py` for a body that streams or is spooled, and for a tunnel; what came in one read it delivers itself.
The rule: the connection is given back as soon as the origin has said all, however slow the client is.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.deadlines import Sweep
from gateway.errors import Cause, UpstreamFault
from gateway.exchange import Exchange
from gateway.http.fields import list_tokens, without
from gateway.http.message import Fields, Response
from gateway.pipeline import accept, deliver
from gateway.server.turn import Turn
from gateway.spool import Disk, Spool
from gateway.tunnel import Tunnel
from gateway.upstream.http1 import UpstreamConnection


class Delivery:
    """One response of one exchange; `release` gives `connection` back."""

    __slots__ = ("_connection", "_downstream", "_exchange", "_release", "_response")

    def __init__(
        self,
        exchange: Exchange,
        downstream: Turn,
        connection: UpstreamConnection,
        response: Response,
        release: Callable[[], None],
    ) -> None:
        self._exchange = exchange
        self._downstream = downstream
        self._connection = connection
        self._response = response
        self._release = release

    def _edit(self) -> None:
        accept(self._exchange, self._response)
        deliver(self._exchange, self._response)

    async def stream(self) -> None:
        """Passes the body on as it comes."""
        downstream, connection = self._downstream, self._connection
        self._edit()
        pieces, connection.chunks = connection.chunks, []
        downstream.start(self._response, pieces)
        body = connection.relay(downstream)
        downstream.follow(connection)  # behind relay(), which makes the connection read on
        await body
        trailers = passed_trailers(self._exchange, self._response, connection.trailers)
        self._release()
        downstream.finish(trailers)

    async def spool(self, disk: Disk) -> None:
        """Takes the body off the origin as fast as it comes, and lets the client read at its own pace."""
        downstream, connection = self._downstream, self._connection
        self._edit()
        buffering = self._exchange.route.settings.buffering
        spool = Spool(disk, buffering.folder, buffering.response, connection)
        try:
            downstream.start(self._response, [])
            downstream.follow(spool)
            spool.drain_to(downstream)
            await connection.relay(spool)
            trailers = passed_trailers(self._exchange, self._response, connection.trailers)
            self._release()  # the origin is free, however slow the client
            spool.finish(trailers)
            await spool.drained
        finally:
            spool.close()

    async def tunnel(self, asked: bytes, sweep: Sweep, clock: Callable[[], float]) -> None:
        """After a 101 to the protocol that was `asked` for: bytes both ways, until they end."""
        exchange, downstream, response = self._exchange, self._downstream, self._response
        upgrade = response.index.get(b"upgrade", b"")
        if upgrade.lower() != asked:
            raise UpstreamFault(Cause.UPGRADE_REFUSED, "101 to another protocol than was asked for")
        self._edit()
        response.fields += [(b"connection", b"upgrade"), (b"upgrade", upgrade)]
        idle = exchange.route.settings.timeouts.tunnel
        client, early_up = downstream.upgrade(response)
        origin, early_down = self._connection.detach()
        tunnel = Tunnel(client, origin, idle, sweep, clock)
        tunnel.join(early_up, early_down)
        fault = await tunnel.over
        exchange.received += tunnel.up.passed
        downstream.tunnel_over(tunnel.down.passed, fault)


def passed_trailers(exchange: Exchange, response: Response, trailers: Fields) -> Fields:
    """The origin's trailer fields without those that the client would not have got in the head: what the route removes
    or sets itself, and what `Connection` names (RFC 9110 §7.6.1). The downstream wire drops what no trailer may be."""
    if not trailers:
        return trailers
    nominated = list_tokens(response.index.get(b"connection", b""))
    return without(trailers, exchange.route.plan.drop_response.union(nominated))
