"""Changeover: how a worker passes from the configuration it serves to the next one.

`prepare` builds the next Site on a thread while the present one serves, `commit` swaps it in within one turn of the
loop, `abort` drops it: the two phases of a reload (gateway/reload.py). The rule: what did not change lives on,
connections, tunnels, pools and TLS contexts included; what went away drains, with a deadline.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.config import Loaded
from gateway.config.parcel import unpack
from gateway.pipeline import Site
from gateway.server.certificates import CertificateStore, TlsConfig
from gateway.server.settings import ListenerConfig
from gateway.server.tls import HandshakeGate, TlsLayer
from gateway.server.wire import Standing
from gateway.site import Services, build_site, certificate_store
from gateway.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.exchange import Connection

# Seconds that the building thread may keep the interpreter from the loop; 5 ms, as Python has it, would cost each of a
# request's three callbacks that much.
SWITCH = 0.0002

FREED_AT_ONCE = 50  # routes: 1 ms
FREED_EVERY = 0.01  # seconds

Sockets = Mapping[str, Sequence[socket.socket]]  # by listener


class Generation(NamedTuple):
    """A configuration and all that was made of it. `stores`: certificates by listener, of those with TLS."""

    loaded: Loaded
    site: Site
    stores: dict[str, CertificateStore]


class Changeover:
    """Of one worker. `present` is what it serves."""

    def __init__(self, worker: Worker, services: Services, first: Generation) -> None:
        self.present = first
        self._worker = worker
        self._services = services
        self._gates: dict[str, HandshakeGate] = {}
        self._next: Generation | None = None
        self._sockets: Sockets = {}  # of what is prepared, or being prepared

    async def listen(self, sockets: Sockets) -> None:
        """Opens the listeners of the first configuration."""
        for listener in self.present.loaded.config.listeners:
            await self._worker.listen(listener, sockets[str(listener.bind)], self._layer(listener, self.present))

    async def prepare(self, parcel: bytes, number: int, sockets: Sockets) -> None:
        """Builds generation `number`; `sockets` are those of new listeners. Raises ConfigError, and LookupError if it
        is given up meanwhile (for another one, say) or a listener has no socket."""
        self.abort()
        self._sockets = sockets
        try:
            with _polite():
                made = await asyncio.get_running_loop().run_in_executor(None, self._build, parcel, number)
        except BaseException:
            if self._sockets is sockets:
                self.abort()
            raise
        names = {str(listener.bind) for listener in made.loaded.config.listeners}
        if self._sockets is not sockets:
            _drain(made.site, self.present.site)
            raise LookupError("given up meanwhile")
        self._next = made
        if missing := names - self._worker.listeners - sockets.keys():
            self.abort()
            raise LookupError(f"no sockets for {', '.join(sorted(missing))}")

    def _build(self, parcel: bytes, number: int) -> Generation:
        loaded, present = unpack(parcel), self.present
        return build_generation(loaded, self._services, number, present)

    async def commit(self, number: int) -> None:
        """Serves what was prepared. Raises LookupError if that is not generation `number`."""
        made = self._next
        if made is None or made.site.generation != number:
            raise LookupError(f"generation {number} was not prepared")
        sockets, self._next, self._sockets = self._sockets, None, {}
        before, self.present = self.present, made
        worker, config = self._worker, made.loaded.config
        worker.change(made.site, config.downstream)
        listeners = {str(listener.bind): listener for listener in config.listeners}
        for name in worker.listeners - listeners.keys():
            await worker.close_listener(name)
            self._gates.pop(name, None)
        for name, listener in listeners.items():
            layer = self._layer(listener, made)
            if name in worker.listeners:
                worker.change_listener(listener, layer)
                _close({name: sockets.get(name, ())})
            else:
                await worker.listen(listener, sockets[name], layer)
        self._retire(before, made)
        _let_go(list(before.site.routes))

    def abort(self) -> None:
        """What was prepared, or is being prepared, will not be served."""
        made, sockets, self._next, self._sockets = self._next, self._sockets, None, {}
        _close(sockets)
        if made is not None:
            _drain(made.site, self.present.site)

    def _layer(self, listener: ListenerConfig, generation: Generation) -> Callable[..., TlsLayer] | None:
        name = str(listener.bind)
        store = generation.stores.get(name)
        if store is None:
            return None
        gate = self._gates.get(name)
        if gate is None:
            gate = self._gates[name] = HandshakeGate(self._services.metrics, store.max_handshakes)
        services = self._services

        def layer(connection: Connection, inner: Callable[[Connection], asyncio.Protocol]) -> TlsLayer:
            return TlsLayer(store, connection, inner, services.sweep, services.clock, gate)

        return layer

    def _retire(self, before: Generation, after: Generation) -> None:
        """What is served no more ends when its exchanges do, at the latest when a stop would cut them."""
        shutdown = after.loaded.config.shutdown
        later = asyncio.get_running_loop().call_later
        pools = _drain(before.site, after.site)
        if pools:
            later(shutdown.drain, lambda: [pool.abort() for pool in pools])
        gone = {route.name for route in before.site.routes} - {route.name for route in after.site.routes}
        if gone:
            later(shutdown.stream_drain, self._cut_streams, gone, after.site.generation)

    def _cut_streams(self, routes: set[str], since: int) -> None:
        for connection in list(self._worker.wire.live):
            exchange = connection.exchange
            if (
                exchange is not None
                and connection.standing is Standing.STREAM
                and exchange.route.name in routes
                and exchange.site.generation < since
            ):
                connection.cut()


def _let_go(held: list[Any]) -> None:
    """Drops routes that are served no more, a few at a time: to free thousands of them in one go, with all that was
    made of them, would stop the loop for 0.1 s."""
    del held[-FREED_AT_ONCE:]
    if held:
        asyncio.get_running_loop().call_later(FREED_EVERY, _let_go, held)


def build_generation(
    loaded: Loaded,
    services: Services,
    number: int,
    present: Generation | None = None,
    stores: Mapping[str, CertificateStore] = MappingProxyType({}),
) -> Generation:
    """All that is made of a configuration, with what is unchanged since `present` taken over. Raises ConfigError.

    `stores` are certificates that were read already, by listener, before the fork: perhaps long ago.
    """
    known = dict(stores)
    renew(known)
    if present is not None:
        before = {str(one.bind): one.tls for one in present.loaded.config.listeners}
        known = {name: store for name, store in present.stores.items() if before[name] == _tls(loaded, name)}
    made = {}
    for at, listener in enumerate(loaded.config.listeners):
        if listener.tls is not None:
            name = str(listener.bind)
            made[name] = known.get(name) or certificate_store(loaded, at, services.warn)
    site = build_site(loaded, services, number, present.site if present is not None else None)
    return Generation(loaded, site, made)


def renew(stores: Mapping[str, CertificateStore]) -> None:
    """Certificate files may have changed: reads them. Blocks: on a thread, where there is a loop."""
    for store in stores.values():
        store.warn = _unsaid
        store.reload()


def _unsaid(_text: str) -> None:
    """What there is to say of certificates the control process says, once for all."""


def _tls(loaded: Loaded, name: str) -> TlsConfig | None:
    return next((one.tls for one in loaded.config.listeners if str(one.bind) == name), None)


def _drain(site: Site, other: Site) -> list[Any]:
    """Closes the pools of `site` that are not of `other` too, and returns them; retires such upstreams."""
    for name, upstream in site.upstreams.items():
        if other.upstreams.get(name) is not upstream:
            upstream.retire()
    kept = {endpoint.pool for upstream in other.upstreams.values() for endpoint in upstream.endpoints}
    gone = [
        endpoint.pool
        for upstream in site.upstreams.values()
        for endpoint in upstream.endpoints
        if endpoint.pool not in kept
    ]
    for pool in gone:
        pool.close()
    return gone


def _close(sockets: Sockets) -> None:
    for opened in sockets.values():
        for one in opened:
            one.close()


@contextmanager
def _polite() -> Iterator[None]:
    """While a thread builds, the loop gets the interpreter back quickly."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)
