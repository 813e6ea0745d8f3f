"""Worker: everything that serves in one process, put together: site, wires, listeners, sweep, log.

Made by `app.py` inside a running event loop. It opens no socket itself (it is given them, so that whoever holds them
can outlive it), swaps its Site as one reference, and drains without cutting an exchange within the time it is given.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import structlog

from gateway.deadlines import TICK, Sweep
from gateway.errors import ClientFault
from gateway.exchange import Connection, Exchange
from gateway.finished import Finished
from gateway.http.head import HeadRules, RequestHeadReader
from gateway.http.message import Response
from gateway.http.path import PathRules
from gateway.maintenance import Maintenance
from gateway.metrics import Metrics
from gateway.pipeline import Site, answer, refuse
from gateway.proxy import Proxy
from gateway.refusals import Refusals
from gateway.server.http1 import Http1
from gateway.server.listener import KEEP_PATH, Caps, Door, Entrance
from gateway.server.settings import DownstreamConfig, ListenerConfig
from gateway.server.wire import Live, Standing, Wire

# Seconds that idle connections are left open at the end of a listener, for a request that may be on its way.
IDLE_SECONDS = 2.0
DOOR_SECONDS = 0.5  # the same for one that is to begin with a PROXY header, which comes at once
MOST_TURNS = 200  # of the loop to accept what waits in a queue that is given up, against a flood of connections
LAST_WORDS = 0.5  # seconds for connections that were cut to be gone, so that each has its line in the log
WRITE_HIGH_WATER = 64 * 1024  # bytes written but not yet taken by the client before its origin is paused


class Worker:
    """One serving process. `site` may be replaced at any time: an exchange keeps the one it began with."""

    def __init__(
        self,
        site: Site,
        settings: DownstreamConfig,
        metrics: Metrics,
        sweep: Sweep,
        crashed: Callable[[BaseException], None],
    ) -> None:
        self.site = site
        self.metrics = metrics
        self.sweep = sweep
        self.crashed = crashed
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._servers: dict[str, list[asyncio.AbstractServer]] = {}  # by listener
        self._entrances: dict[str, Entrance] = {}
        self._tick: asyncio.TimerHandle | None = None
        self.caps = Caps(settings.max_connections or connection_room(), settings.max_connections_per_client)
        self._refusals = Refusals(metrics, structlog.get_logger("gateway").warning, time.monotonic)
        self._proxy = Proxy(time.monotonic, sweep, crashed)
        self.maintenance = Maintenance()
        self._finished = Finished(self._loop.call_later, crashed)
        self.wire = Wire(
            settings=settings,
            reader=RequestHeadReader(head_rules(settings)),
            answer=partial(answer, site),
            forward=self._proxy.forward,
            refuse=self._refuse,
            finish=self._finished,
            clock=time.monotonic,
            sweep=sweep,
            crashed=crashed,
        )
        _register(self)

    def _refuse(self, exchange: Exchange, fault: ClientFault) -> Response:
        return refuse(self.site, exchange, fault)

    async def listen(
        self, config: ListenerConfig, opened: Sequence[socket.socket], tls: Callable[..., Any] | None
    ) -> None:
        """Serves `opened`, all sockets of one listener. `tls` wraps an inner protocol factory into one that speaks TLS
        first."""
        name = str(config.bind)
        self._entrances[name] = Entrance(
            config=config,
            name=name,
            caps=self.caps,
            inner=self._inner(tls),
            sweep=self.sweep,
            clock=time.monotonic,
            report=self._refusals,
            header_timeout=self._settings.head_timeout,
        )
        for one in opened:
            await self.open_door(name, one)

    async def open_door(self, name: str, opened: socket.socket) -> asyncio.AbstractServer:
        """One socket more for the listener of that name; closing what is returned closes `opened`."""
        entrance = self._entrances[name]
        server: asyncio.AbstractServer
        if opened.family == socket.AF_UNIX:
            server = await self._loop.create_unix_server(lambda: Door(entrance), sock=opened, **KEEP_PATH)
        else:
            server = await self._loop.create_server(
                lambda: Door(entrance), sock=opened, backlog=entrance.config.backlog
            )
        self._servers.setdefault(name, []).append(server)
        return server

    def _inner(self, tls: Callable[..., Any] | None) -> Callable[[Connection], asyncio.Protocol]:
        wire = self.wire

        def plain(connection: Connection) -> asyncio.Protocol:
            return Http1(connection, wire)

        return plain if tls is None else lambda connection: tls(connection, plain)

    # -- another configuration ----------------------------------------------------------------------------------------

    def change(self, site: Site, settings: DownstreamConfig) -> None:
        """Serves `site` from the next request on; connections, and what is under way on them, stay."""
        self.site = site
        self._ask(site)
        if settings != self._settings:
            self._settings = self.wire.settings = settings
            self.wire.reader = RequestHeadReader(head_rules(settings))
            self.caps.limit(settings.max_connections or connection_room(), settings.max_connections_per_client)

    def maintain(self, notices: dict[str, Any]) -> None:
        """From the next request on, other routes than before are under maintenance (Maintenance.set)."""
        self.maintenance.set(notices)
        self._ask(self.site)

    def _ask(self, site: Site) -> None:
        answering = partial(answer, site)
        self.wire.answer = self.maintenance.around(answering) if self.maintenance else answering

    def change_listener(self, config: ListenerConfig, tls: Callable[..., Any] | None) -> None:
        """The same address with other settings, for the connections to come."""
        entrance = self._entrances[str(config.bind)]
        entrance.config = config
        entrance.inner = self._inner(tls)
        entrance.header_timeout = self._settings.head_timeout

    async def close_listener(self, name: str) -> None:
        """Accepts no more there; what is open ends when its exchange does."""
        entrance = self._entrances.pop(name)
        await self._stop_accepting(self._servers.pop(name, ()))
        open_still = [one for one in self.wire.live if one.connection.listener == name]
        self._loop.call_later(IDLE_SECONDS, _drain, [*entrance.doors, *open_still])

    async def _stop_accepting(self, servers: Iterable[asyncio.AbstractServer]) -> None:
        """What waits in the queues is accepted first: nobody else may, and those clients believe they are connected."""
        poll = select.poll()
        for server in servers:
            for opened in server.sockets:  # type: ignore[attr-defined]  # AbstractServer's have them all
                poll.register(opened.fileno(), select.POLLIN)
        for _turn in range(MOST_TURNS):
            await asyncio.sleep(0)
            if not poll.poll(0):
                break
        for server in servers:
            server.close()

    @property
    def listeners(self) -> frozenset[str]:
        """Names of those that are served."""
        return frozenset(self._entrances)

    def start(self) -> None:
        """Begins the sweep."""
        self._sweep_once()

    def _sweep_once(self) -> None:
        try:
            self.sweep.run(time.monotonic())
        except Exception as error:  # noqa: BLE001 - deadlines must go on being enforced, whatever one of them did
            self.crashed(error)
        self._tick = self._loop.call_later(TICK, self._sweep_once)

    @property
    def busy(self) -> int:
        """Connections that have not ended."""
        return len(self.caps)

    async def drain(self, seconds: float, stream_seconds: float = 0.0, idle_seconds: float = 0.0) -> bool:
        """Accepts no more, lets what is open finish for at most `seconds`, tunnels and event streams for at most
        `stream_seconds`, both from now; True if nothing was cut. For `idle_seconds` of them idle connections stay open:
        whoever asks meanwhile is answered, and told to ask on another connection next time."""
        self.wire.draining = True
        await self._stop_accepting([server for servers in self._servers.values() for server in servers])
        empty = asyncio.Event()
        self.caps.on_empty = empty.set
        await self._emptied(empty, idle_seconds)
        if any(entrance.doors for entrance in self._entrances.values()):  # not counted: their PROXY header is due
            await asyncio.sleep(min(idle_seconds, DOOR_SECONDS))
        _drain([*(door for entrance in self._entrances.values() for door in entrance.doors), *self.wire.live])
        await self._emptied(empty, min(seconds, stream_seconds) - idle_seconds)
        if stream_seconds < seconds:
            streams = [connection for connection in self.wire.live if connection.standing is Standing.STREAM]
            for connection in streams:
                connection.cut()
            await self._emptied(empty, seconds - stream_seconds)
            return not streams and all(connection.standing is Standing.NOTHING for connection in self.wire.live)
        standing = [connection.standing for connection in self.wire.live]
        if Standing.STREAM not in standing or stream_seconds == seconds:
            return all(one is Standing.NOTHING for one in standing)
        late = [connection for connection in self.wire.live if connection.standing is Standing.EXCHANGE]
        for connection in late:
            connection.cut()
        await self._emptied(empty, stream_seconds - seconds)
        return not late and all(connection.standing is Standing.NOTHING for connection in self.wire.live)

    async def _emptied(self, empty: asyncio.Event, seconds: float) -> None:
        if self.busy:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(empty.wait(), seconds)

    async def close(self) -> None:
        """Cuts what is left, stops the sweep, closes the upstream connections."""
        for connection in list(self.wire.live):
            connection.cut()
        for upstream in self.site.upstreams.values():
            upstream.close()
        end = self._loop.time() + LAST_WORDS
        while self.busy and self._loop.time() < end:  # noqa: ASYNC110 - both ends of a tunnel, one after the other
            await asyncio.sleep(0.005)
        if self._tick is not None:
            self._tick.cancel()
        self._finished.flush()


def _drain(connections: Iterable[Live | Door]) -> None:
    for connection in connections:
        connection.drain()


def head_rules(settings: DownstreamConfig) -> HeadRules:
    """The rules of the head reader, as the operator set them."""
    path = PathRules(settings.path.encoded_slash == "reject", settings.path.double_slash == "reject")
    return HeadRules(settings.max_line, settings.max_fields, settings.max_uri, settings.underscores, path)


def connection_room() -> int:
    """Connections that the limit of open files leaves room for: two descriptors each, and some for ourselves."""
    import resource  # noqa: PLC0415 - absent on Windows, where nothing else here runs either

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return max(64, min((soft - 128) // 2, 1_000_000))


def _register(worker: Worker) -> None:
    metrics = worker.metrics
    metrics.gauge_function(
        "gateway_connections_open", "Downstream connections that are open.", lambda: float(len(worker.caps))
    )
