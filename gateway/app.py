"""run(): the life of a serving process, from a loaded configuration to its exit code.

Sockets are opened first, so that a busy port ends it before anything else is done; requests are answered before the
admin side is even imported; signals drain it. Everything is put together here and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from gateway import __version__, logs
from gateway.config import Loaded, redacted
from gateway.log_writer import LogOutputs
from gateway.metrics import Metrics
from gateway.server.certificates import CertificateEntry, CertificateStore
from gateway.server.listener import open_socket
from gateway.server.settings import ListenerConfig
from gateway.server.tls import HandshakeGate, TlsLayer
from gateway.site import Services, build_site, certificate_stores
from gateway.watch import look, watch
from gateway.worker import Worker

if TYPE_CHECKING:
    from gateway.admin.serve import AdminSockets, Running
    from gateway.admin.state import AdminState
    from gateway.exchange import Connection

__all__ = ["CLEAN", "DRAIN_CUT_SHORT", "build_site", "certificate_stores", "run"]

CLEAN = 0
DRAIN_CUT_SHORT = 4
# Collections are rare: requests leave no cycles behind (a test sees to it), and what was loaded is frozen.
GC_THRESHOLDS = (50_000, 20, 100)


def run(loaded: Loaded, started: Callable[[], None] = lambda: None) -> int:
    """Serves until SIGTERM or SIGINT; the exit code. Raises OSError (`filename` is the address) if it cannot listen."""
    import uvloop  # noqa: PLC0415 - whoever only checks or explains does not pay for it

    from gateway.admin.serve import open_sockets as open_admin  # noqa: PLC0415

    logs.set_up(loaded.config.log.level, loaded.config.log.format)
    life = _Life(loaded)
    sockets = _open_sockets(loaded.config.listeners)
    try:
        admin = open_admin(loaded.config.admin)
        return uvloop.run(life.live(sockets, admin, started))
    finally:
        for opened in sockets:
            opened.close()
        for listener in loaded.config.listeners:
            if listener.bind.path:
                with contextlib.suppress(OSError):
                    Path(listener.bind.path).unlink()


def _open_sockets(listeners: Sequence[ListenerConfig]) -> list[socket.socket]:
    opened: list[socket.socket] = []
    for listener in listeners:
        try:
            opened.append(open_socket(listener.bind, listener.backlog))
        except OSError as error:
            for other in opened:
                other.close()
            raise OSError(error.errno, error.strerror, str(listener.bind)) from error
    return opened


class _Life:
    """One run of the process: what has to be known from its start to its end."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._log = structlog.get_logger("gateway")
        self._metrics = Metrics()
        self._logs = LogOutputs(self._metrics, self._log.warning)
        self._stores = certificate_stores(loaded, self._log.warning)
        self._seen = look(self._watched())
        self._began = time.time()
        self._serving = False

    async def live(self, sockets: list[socket.socket], admin_sockets: AdminSockets, started: Callable[[], None]) -> int:
        loop = asyncio.get_running_loop()
        stop, hurry = asyncio.Event(), asyncio.Event()

        def told() -> None:
            if stop.is_set():
                hurry.set()
            stop.set()

        loop.add_signal_handler(signal.SIGTERM, told)
        loop.add_signal_handler(signal.SIGINT, told)
        loop.add_signal_handler(signal.SIGUSR1, self._logs.reopen)
        worker = await self._start(sockets)
        started()
        for warning in self._loaded.warnings:
            self._log.warning(str(warning))
        admin = await self._start_admin(worker, admin_sockets)
        watching = asyncio.ensure_future(watch(self._watched(), self._renew, self._seen))
        watching.add_done_callback(self._stopped_watching)
        await stop.wait()
        self._serving = False
        watching.cancel()
        code = await self._drain(worker, hurry)
        await worker.close()
        await admin.stop()
        await loop.run_in_executor(None, self._logs.close)
        return code

    async def _start(self, sockets: list[socket.socket]) -> Worker:
        config = self._loaded.config
        services = Services(
            metrics=self._metrics,
            logs=self._logs,
            warn=self._log.warning,
            development_host=self._is_development_host,
        )
        layers = [self._tls(store, services) for store in self._stores]
        site = build_site(self._loaded, services)
        worker = Worker(site, config.downstream, self._metrics, services.sweep, self._crashed)
        self._logs.start()
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        for listener, opened, layer in zip(config.listeners, sockets, layers, strict=True):
            await worker.listen(listener, opened, layer)
        worker.start()
        self._serving = True
        return worker

    def _tls(self, store: CertificateStore | None, services: Services) -> Callable[..., TlsLayer] | None:
        if store is None:
            return None
        gate = HandshakeGate(self._metrics, store.max_handshakes)

        def layer(connection: Connection, inner: Callable[[Connection], asyncio.Protocol]) -> TlsLayer:
            return TlsLayer(store, connection, inner, services.sweep, services.clock, gate)

        return layer

    def _renew(self) -> None:
        """Certificate files have changed."""
        for store in filter(None, self._stores):
            report = store.reload()
            for problem in report.problems:
                self._log.error(f"{problem} (what was served before is served still)")
            if report.added or report.removed:
                self._log.info("certificates changed", added=report.added, removed=report.removed)

    def _stopped_watching(self, task: asyncio.Future[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._crashed(error)

    def _certificates(self) -> list[CertificateEntry]:
        return [entry for store in self._stores if store is not None for entry in store.entries()]

    def _watched(self) -> list[Path]:
        return [path for store in self._stores if store is not None for path in store.watched()]

    def _is_development_host(self, name: str) -> bool:
        return any(entry.is_development for entry in self._certificates() if name in entry.names)

    def _crashed(self, error: BaseException) -> None:
        self._log.error("a bug in the gateway", exc_info=error)

    # -- the admin side -----------------------------------------------------------------------------------------------

    async def _start_admin(self, worker: Worker, sockets: AdminSockets) -> Running:
        from gateway.admin.serve import start_admin  # noqa: PLC0415

        return await start_admin(self._loaded.config.admin, self._admin_state(worker), sockets)

    def _admin_state(self, worker: Worker) -> AdminState:
        from gateway.admin.state import AdminState, Reload  # noqa: PLC0415

        config = self._loaded.config
        return AdminState(
            metrics=self._metrics,
            version=__version__,
            ready=lambda: (self._serving, () if self._serving else ("draining",)),
            generation=lambda: worker.site.generation,
            last_reload=lambda: Reload(self._began, ok=True),
            status=lambda: {
                "uptime_seconds": round(time.time() - self._began, 3),
                "connections": worker.busy,
                "draining": worker.wire.draining,
                "listeners": [str(listener.bind) for listener in config.listeners],
                "routes": len(worker.site.routes),
            },
            config=lambda: redacted(config),
            certificates=self._certificates,
            upstreams=lambda: [upstream_status(upstream) for upstream in worker.site.upstreams.values()],
        )

    # -- the end ------------------------------------------------------------------------------------------------------

    async def _drain(self, worker: Worker, hurry: asyncio.Event) -> int:
        """Lets what is open finish; a second signal, or the end of the drain time, cuts it."""
        shutdown = self._loaded.config.shutdown
        self._log.info("draining", connections=worker.busy, seconds=shutdown.drain, streams=shutdown.stream_drain)
        drain = asyncio.ensure_future(worker.drain(shutdown.drain, shutdown.stream_drain))
        impatience = asyncio.ensure_future(hurry.wait())
        await asyncio.wait({drain, impatience}, return_when=asyncio.FIRST_COMPLETED)
        impatience.cancel()
        if drain.done() and drain.result():
            return CLEAN
        drain.cancel()
        self._log.warning("connections are cut", connections=worker.busy)
        return DRAIN_CUT_SHORT


def upstream_status(upstream: Any) -> dict[str, Any]:
    """One upstream for the admin side."""
    return {
        "name": upstream.name,
        "endpoints": [
            {
                "name": endpoint.name,
                "weight": endpoint.weight,
                "connections": {
                    state: getattr(endpoint.pool, state) for state in ("idle", "active", "connecting", "queued")
                },
            }
            for endpoint in upstream.endpoints
        ],
    }
