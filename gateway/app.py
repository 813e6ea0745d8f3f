"""work(): the life of a worker process, from the fork to its exit code.

The supervisor forks it with its sockets and two channels; everything that serves is put together here and nowhere
else. What the supervisor says (drain, end) and what the control process asks (the two phases of a reload, numbers for
the admin pages) is answered beside the requests, on the same loop.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import time
from base64 import b64decode
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import structlog
import uvloop

from gateway import logs
from gateway.changeover import Changeover, build_generation, renew
from gateway.config import ConfigError
from gateway.log_writer import LogOutputs
from gateway.maintenance import MAINTENANCE
from gateway.metrics import Metrics
from gateway.recent_errors import RecentErrors
from gateway.site import Services
from gateway.state.board import Board
from gateway.state.catalogue import Catalogue
from gateway.state.channel import ChannelClosed, Message
from gateway.state.endpoints import Endpoints
from gateway.state.peer import Peer
from gateway.state.segment import Word
from gateway.state.totals import zero_gauges
from gateway.supervision.roles import WorkerRole
from gateway.upstream.resolver import Resolver
from gateway.upstream.standing import Health
from gateway.worker import IDLE_SECONDS, Worker

if TYPE_CHECKING:
    from gateway.server.certificates import CertificateEntry

CLEAN = 0
DRAIN_CUT_SHORT = 4
CANNOT_SERVE = 1  # the supervisor is told why
# Collections are rare: requests leave no cycles behind (a test sees to it), and what was loaded is frozen.
GC_THRESHOLDS = (50_000, 20, 100)


def work(role: WorkerRole) -> int:
    """Serves until told to end; the exit code."""
    config = role.loaded.config
    logs.set_up(config.log.level, config.log.format)
    return uvloop.run(_Life(role).live())


class _Life:
    """One worker: what has to be known from its start to its end."""

    def __init__(self, role: WorkerRole) -> None:
        self._role = role
        self._log = structlog.get_logger("gateway").bind(worker=role.share)
        lane, catalogue = role.segment.lane(role.lane), Catalogue(role.segment)
        zero_gauges(catalogue, lane)  # of a predecessor
        self._metrics = Metrics(lane, catalogue.claim)
        self._logs = LogOutputs(self._metrics, self._log.warning)
        self._stop, self._hurry = asyncio.Event(), asyncio.Event()
        self._drain_seconds = (role.loaded.config.shutdown.drain, role.loaded.config.shutdown.stream_drain)
        self._adopted: dict[int, list[asyncio.AbstractServer]] = {}  # by share
        self._tasks: set[asyncio.Task[None]] = set()
        self._recent = RecentErrors(time.time, time.monotonic)
        self._level: Literal["debug", "info", "warning", "error"] | None = None  # None for the configuration's

    async def live(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
            loop.add_signal_handler(number, lambda: None)  # the supervisor's affair, whoever else the terminal told
        loop.add_signal_handler(signal.SIGUSR1, self._logs.reopen)
        supervisor = Peer(self._role.supervisor, self._told, self._alone)
        try:
            await self._start()
        except (ConfigError, OSError) as error:
            supervisor.tell({"tell": "failed", "text": str(error)})
            return CANNOT_SERVE
        self._control = Peer(self._role.control, self._asked)
        supervisor.tell({"tell": "ready", "generation": self._role.generation})
        await self._stop.wait()
        clean = await self._drain()
        await self._worker.close()
        await loop.run_in_executor(None, self._logs.close)
        with suppress(ChannelClosed):  # it may be the reason
            supervisor.tell({"tell": "drained", "clean": clean})
        self._control.close()
        supervisor.close()
        return CLEAN if clean else DRAIN_CUT_SHORT

    async def _start(self) -> None:
        role = self._role
        self._services = services = Services(
            metrics=self._metrics,
            logs=self._logs,
            warn=self._log.warning,
            development_host=self._is_development_host,
            resolver=Resolver(time.monotonic),
            endpoints=Endpoints(role.segment),
            tell=self._log.warning,
            failed=self._recent,
        )
        build = partial(build_generation, role.loaded, services, role.generation, stores=role.template)
        first = await asyncio.get_running_loop().run_in_executor(None, build)
        self._worker = worker = Worker(
            first.site, role.loaded.config.downstream, self._metrics, services.sweep, self._crashed
        )
        self._changeover = Changeover(worker, services, first)
        worker.maintain(Board(role.segment).read().get(MAINTENANCE, {}))
        self._logs.start()
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        worker.start()
        await self._changeover.listen(role.sockets)  # last: from here on whatever fails costs requests

    def _crashed(self, error: BaseException) -> None:
        self._log.error("a bug in the gateway", exc_info=error)

    def _certificates(self) -> list[CertificateEntry]:
        return [entry for store in self._changeover.present.stores.values() for entry in store.entries()]

    def _is_development_host(self, name: str) -> bool:
        return any(entry.is_development for entry in self._certificates() if name in entry.names)

    # -- what the supervisor says -------------------------------------------------------------------------------------

    def _told(self, message: Message) -> None:
        """A message of the supervisor."""
        body = message.body
        match body.get("tell"):
            case "drain":
                self._drain_seconds = body["seconds"], body["streams"]
                self._stop.set()
            case "quit":
                self._hurry.set()
                self._stop.set()
            case "adopt":
                self._begin(self._adopt(body, [socket.socket(fileno=fd) for fd in message.fds]))
            case "unadopt":
                for server in self._adopted.pop(body["of"], ()):
                    server.close()
            case "reopen":
                self._logs.reopen()

    async def _adopt(self, body: dict[str, Any], opened: list[socket.socket]) -> None:
        """Serves the sockets of a worker that cannot, so that nobody waits in their queues."""
        servers = self._adopted.setdefault(body["of"], [])
        for name, one in zip(body["binds"], opened, strict=True):
            if name in self._worker.listeners:
                servers.append(await self._worker.open_door(name, one))
            else:
                one.close()

    def _alone(self) -> None:
        """The supervisor is gone: nobody holds the sockets any more, and another gateway may be about to."""
        self._log.error("the supervisor is gone: draining")
        self._stop.set()

    # -- what the control process asks --------------------------------------------------------------------------------

    def _asked(self, message: Message) -> None:
        """A message of the control process."""
        self._begin(self._answer(message))

    async def _answer(self, message: Message) -> None:
        body, changeover = message.body, self._changeover
        match body.get("ask") or body.get("tell"):
            case "prepare":
                self._control.answer(message, await self._prepare(body, message.fds))
            case "commit":
                try:
                    await changeover.commit(body["generation"])
                except LookupError as error:
                    self._control.answer(message, {"ok": False, "text": str(error)})
                    return
                gc.freeze()  # a full collection over thousands of routes would stop the worker for 0.1 s and more
                self._set_up_logs()
                self._control.answer(message, {})
            case "abort":
                changeover.abort()
            case "renew":
                await asyncio.get_running_loop().run_in_executor(None, renew, changeover.present.stores)
            case "gauges":
                self._control.answer(message, {"value": self._metrics.functions()})
            case "status":
                self._control.answer(message, {"value": self._status()})
            case "errors":
                self._control.answer(message, {"value": self._recent.listed()})
            case "maintenance":
                self._worker.maintain(body["notices"])
            case "log_level":
                self._level = body["level"] or None
                self._set_up_logs()
            case "upstreams":
                known = changeover.present.site.upstreams.values()
                self._control.answer(message, {"value": [upstream_status(one) for one in known]})

    async def _prepare(self, body: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        opened = [socket.socket(fileno=fd) for fd in fds]
        sockets = {name: [one] for name, one in zip(body["binds"], opened, strict=True)}
        try:
            await self._changeover.prepare(b64decode(body["parcel"]), body["generation"], sockets)
        except ConfigError as error:
            return {"ok": False, "problems": [str(problem) for problem in error.problems]}
        except LookupError as error:
            return {"ok": False, "problems": [str(error)]}
        return {"ok": True}

    def _begin(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, ChannelClosed):
            self._crashed(error)

    def _set_up_logs(self) -> None:
        config = self._changeover.present.loaded.config.log
        logs.set_up(self._level or config.level, config.format)

    def _status(self) -> dict[str, Any]:
        worker = self._worker
        return {
            "pid": os.getpid(),
            "generation": worker.site.generation,
            "listeners": sorted(worker.listeners),
            "connections": worker.busy,
            "draining": worker.wire.draining,
        }

    # -- the end ------------------------------------------------------------------------------------------------------

    async def _drain(self) -> bool:
        """Lets what is open finish; whoever is in a hurry, or the end of the drain time, cuts it."""
        worker = self._worker
        seconds, streams = self._drain_seconds
        self._log.info("draining", connections=worker.busy, seconds=seconds, streams=streams)
        # After an upgrade nobody waits for this worker; at a stop somebody does.
        idle = min(IDLE_SECONDS, seconds / 4) if self._role.segment.read(Word.DRAINING) else seconds / 2
        drain = asyncio.ensure_future(worker.drain(seconds, streams, idle))
        impatience = asyncio.ensure_future(self._hurry.wait())
        await asyncio.wait({drain, impatience}, return_when=asyncio.FIRST_COMPLETED)
        impatience.cancel()
        if drain.done() and drain.result():
            return True
        drain.cancel()
        self._log.warning("connections are cut", connections=worker.busy)
        return False


def upstream_status(upstream: Any) -> dict[str, Any]:
    """One upstream as one worker sees it, for the admin side."""
    return {
        "name": upstream.name,
        "endpoints": [_endpoint_status(endpoint, upstream.config) for endpoint in upstream.endpoints],
    }


def _endpoint_status(endpoint: Any, config: Any) -> dict[str, Any]:
    standing = endpoint.standing
    shown = {
        "name": endpoint.name,
        "weight": standing.weight(endpoint.configured),
        "drained": standing.drained,
        "ejected": config.ejection != "off" and standing.ejected_until > time.monotonic(),
        "connections": {state: getattr(endpoint.pool, state) for state in ("idle", "active", "connecting", "queued")},
    }
    return shown if config.health is None else shown | {"healthy": standing.health is not Health.DOWN}
