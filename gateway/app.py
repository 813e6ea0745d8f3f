"""run(): the life of a serving process, from a loaded configuration to its exit code.

Sockets are opened first, so that a busy port ends it before anything else is done; the data plane answers before the
admin side is even imported; signals drain it. Everything is put together here and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

import structlog

from gateway.config import Loaded
from gateway.config.redact import redacted
from gateway.http.message import Response
from gateway.log_writer import LogOutputs
from gateway.logs import set_up as set_up_logs
from gateway.metrics import Metrics
from gateway.pipeline import Site
from gateway.server.certificates import CertificateStore
from gateway.server.listener import open_socket
from gateway.server.tls import HandshakeGate, TlsLayer
from gateway.site import Services, build_site
from gateway.worker import Worker

__all__ = ["CLEAN", "DRAIN_CUT_SHORT", "build_site", "run"]

CLEAN = 0
DRAIN_CUT_SHORT = 4


def run(loaded: Loaded, started: Callable[[], None] = lambda: None) -> int:
    """Serves until SIGTERM or SIGINT; the exit code. Raises OSError (`filename` is the address) if it cannot listen."""
    import uvloop  # noqa: PLC0415 - the loop is the choice of this function alone

    sockets = _open_sockets(loaded)
    try:
        return uvloop.run(_Life(loaded, sockets).live(started))
    finally:
        for opened in sockets:
            opened.close()
        for listener in loaded.config.listeners:
            if listener.bind.path:
                _remove(listener.bind.path)


def _open_sockets(loaded: Loaded) -> list[socket.socket]:
    opened: list[socket.socket] = []
    for listener in loaded.config.listeners:
        try:
            opened.append(open_socket(listener.bind, listener.backlog))
        except OSError as error:
            for other in opened:
                other.close()
            raise OSError(error.errno, error.strerror, str(listener.bind)) from error
    return opened


def _remove(path: str) -> None:
    import os  # noqa: PLC0415

    with contextlib.suppress(OSError):
        os.unlink(path)  # noqa: PTH108 - no Path is made for one call


class _Life:
    """One run of the process."""

    def __init__(self, loaded: Loaded, sockets: list[socket.socket]) -> None:
        self._loaded = loaded
        self._sockets = sockets
        self._log = structlog.get_logger("gateway")
        self._metrics = Metrics()
        self._logs = LogOutputs(self._metrics, lambda text: self._log.warning(text))
        self._stop = asyncio.Event
        self._stores: list[CertificateStore] = []
        self._began = time.time()
        self._ready = False

    async def live(self, started: Callable[[], None]) -> int:
        loop = asyncio.get_running_loop()
        config = self._loaded.config
        set_up_logs(config.log.level, config.log.format)
        stop = asyncio.Event()
        quick = asyncio.Event()
        services = Services(
            clock=loop.time,
            metrics=self._metrics,
            logs=self._logs,
            warn=lambda text: self._log.warning(text),
            development_host=self._is_development_host,
        )
        layers = [self._tls(listener, services) for listener in config.listeners]
        site = build_site(self._loaded, services)
        worker = Worker(site, config.downstream, self._metrics, services.sweep, self._crashed)
        for listener, opened, tls in zip(config.listeners, self._sockets, layers, strict=True):
            await worker.listen(listener, opened, tls)
        worker.start()
        self._logs.start()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        loop.add_signal_handler(signal.SIGINT, lambda: (quick.set() if stop.is_set() else None, stop.set()))
        loop.add_signal_handler(signal.SIGUSR1, self._logs.reopen)
        self._ready = True
        started()
        for warning in self._loaded.warnings:
            self._log.warning(str(warning))
        admin = await self._start_admin(worker)
        await stop.wait()
        self._ready = False
        code = await self._drain(worker, quick)
        if admin is not None:
            await admin.stop()
        await worker.close()
        await loop.run_in_executor(None, self._logs.close)
        return code

    async def _drain(self, worker: Worker, quick: asyncio.Event) -> int:
        seconds = self._loaded.config.shutdown.drain
        self._log.info("draining", connections=worker.busy, seconds=seconds)
        drain = asyncio.ensure_future(worker.drain(seconds))
        hurry = asyncio.ensure_future(quick.wait())
        await asyncio.wait({drain, hurry}, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if not drain.done():
            drain.cancel()
            return DRAIN_CUT_SHORT
        if not drain.result():
            self._log.warning("the drain time is over", connections=worker.busy)
            return DRAIN_CUT_SHORT
        return CLEAN

    def _tls(self, listener: Any, services: Services) -> Callable[..., Any] | None:
        if listener.tls is None:
            return None
        store = CertificateStore(listener.tls, self._loaded.folder, services.warn)
        self._stores.append(store)
        gate = HandshakeGate(self._metrics)

        def layer(connection: Any, inner: Callable[..., Any]) -> TlsLayer:
            return TlsLayer(store, connection, inner, services.sweep, services.clock, gate)

        return layer

    def _is_development_host(self, name: str) -> bool:
        return any(entry.is_development for store in self._stores for entry in store.entries() if name in entry.names)

    def _crashed(self, error: BaseException) -> None:
        self._log.error("a bug in the gateway", exc_info=error)

    async def _start_admin(self, worker: Worker) -> Any:
        raise NotImplementedError


def _unused() -> tuple[type[Site], type[Response], Any]:
    return Site, Response, redacted
