"""control(): the life of the control process, beside the workers: admin pages, watched files, reloads.

The supervisor forks it and forks it anew if it dies; workers serve on meanwhile. It answers for all of them: numbers
are added up over the shared segment, and what only a worker knows it is asked for, within a deadline. The rule: nothing
that happens here can hold up a request.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, Any

import structlog

from gateway import __version__, logs
from gateway.admin.routes import routes_shown
from gateway.admin.serve import AdminSockets, start_admin
from gateway.admin.state import AdminState
from gateway.config import Loaded, redacted
from gateway.health_checks import HealthChecks
from gateway.metrics import Family, Metrics
from gateway.operations import Operations
from gateway.recent_errors import newest
from gateway.reload import Crew, Reloader, ReloadError
from gateway.routing import route_names
from gateway.state.board import Board
from gateway.state.catalogue import Catalogue
from gateway.state.channel import Channel, ChannelClosed, Message
from gateway.state.endpoints import Endpoints
from gateway.state.peer import Peer
from gateway.state.totals import families
from gateway.supervision.roles import ControlRole
from gateway.watch import CALENDAR, look, watch

if TYPE_CHECKING:
    from gateway.server.certificates import CertificateEntry, CertificateStore

GREET_SECONDS = 120.0  # for a worker to build its site
AGAIN = 1.0  # seconds until a worker that could not be brought up to date is tried again
PULSE = 2.0  # seconds between two questions to a worker how it is, and for its answer
HUNG = 12.0  # seconds of silence before a worker is ended: longer than any pause that a busy machine makes
ASK_SECONDS = 0.5  # for a worker's answer to an admin page; one that is busier is left out


def control(role: ControlRole, read: Callable[[], Loaded] | None) -> int:
    """Runs until the supervisor ends it; the exit code. `read` reads the configuration again, None without a file."""
    config = role.loaded.config
    logs.set_up(config.log.level, config.log.format)
    asyncio.run(_Life(role, read).live())
    return 0


class _Life:
    """One control process."""

    def __init__(self, role: ControlRole, read: Callable[[], Loaded] | None) -> None:
        self._role = role
        self._read_again = read
        self._log = structlog.get_logger("gateway")
        self._catalogue = Catalogue(role.segment)
        self._metrics = Metrics(role.segment.lane(role.lane), self._catalogue.claim)
        self._metrics.gauge_function("gateway_draining", "1 while the gateway stops.", lambda: float(self._draining))
        self._crew: dict[int, Crew] = {}
        self._serving: set[int] = set()  # lanes of workers that answer
        self._draining = False
        self._stop = asyncio.Event()
        self._began = time.time()
        self._tasks: set[asyncio.Task[Any]] = set()
        # Looked at by the watches again and again: changed in place when another configuration is in force.
        self._files = list(role.loaded.watched)
        self._certificate_files = watched_certificates(role.template)
        self._stores = dict(role.template)
        for store in self._stores.values():
            store.warn = self._log.warning  # one process speaks of them: this one

    async def live(self) -> None:
        role = self._role
        loop = asyncio.get_running_loop()
        seen = await loop.run_in_executor(None, look, self._files)
        self._supervisor = Peer(role.supervisor, self._told, self._stop.set)
        self._reloader = Reloader(
            (role.loaded, role.generation), self._read, self._supervisor, self._crew.values, self._committed
        )
        endpoints = Endpoints(role.segment)
        self._operations = Operations(self._reloader, self._crew.values, endpoints, Board(role.segment))
        self._checks = HealthChecks(endpoints, self._metrics, self._tell, SystemRandom())
        self._checks.change(role.loaded.config.upstreams, role.loaded.folder)
        for lane, share, pid, channel in role.crew:
            self._join(lane, share, pid, channel)
        self._spawn(self._reloader.resume())
        config = role.loaded.config.admin
        opened = AdminSockets(role.sockets.get(str(config.bind)), role.sockets.get(str(config.probe)))
        admin = await start_admin(config, self._admin_state(), opened)

        def changed() -> None:
            with suppress(CancelledError):  # the gateway stops
                asyncio.run_coroutine_threadsafe(self._reloader.reload("files have changed"), loop).result()

        def renewed() -> bool:
            with suppress(CancelledError):
                return asyncio.run_coroutine_threadsafe(self._renew(), loop).result()
            return True

        self._spawn(watch(self._files, changed, seen))
        # They were read before the fork, each worker's at another time: once more for all.
        self._spawn(watch(self._certificate_files, renewed, {}, CALENDAR))
        await self._stop.wait()
        self._checks.close()
        await admin.stop()

    def _tell(self, text: str, good: bool) -> None:
        """Of a health check."""
        (self._log.info if good else self._log.warning)(text)

    def _spawn(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._log.error("a bug in the gateway", exc_info=error)

    # -- the crew -----------------------------------------------------------------------------------------------------

    def _join(self, lane: int, share: int, pid: int, channel: Channel) -> None:
        """A worker more; that it serves is known when it answers."""
        one = self._crew[lane] = Crew(Peer(channel, _nothing), share, pid)
        self._spawn(self._greet(lane, one))

    async def _greet(self, lane: int, one: Crew) -> None:
        """Until it serves what all others do, or is gone."""
        while self._crew.get(lane) is one:
            try:
                answer = await one.peer.ask({"ask": "status"}, seconds=GREET_SECONDS)
                await self._reloader.catch_up(one, answer.body["value"])
            except ChannelClosed:
                return
            except (ReloadError, TimeoutError) as error:
                self._log.error("a worker is behind the others", pid=one.pid, reason=str(error) or "no answer")
                await asyncio.sleep(AGAIN)
            else:
                self._operations.welcome(one)
                self._serving.add(lane)
                await self._watch_over(lane, one)
                return

    async def _watch_over(self, lane: int, one: Crew) -> None:
        """Asks a worker that serves now and then how it is; one that lives and does not answer is ended."""
        silent = 0.0
        while self._crew.get(lane) is one and not self._draining:
            await asyncio.sleep(PULSE)
            try:
                await one.peer.ask({"ask": "status"}, seconds=PULSE)
            except ChannelClosed:
                return
            except TimeoutError:
                silent += 2 * PULSE
                self._serving.discard(lane)
                self._log.warning("a worker does not answer", pid=one.pid, seconds=silent)
                if silent >= HUNG:
                    self._supervisor.tell({"tell": "hung", "pid": one.pid})
                    return
            else:
                silent = 0.0
                if self._crew.get(lane) is one:
                    self._serving.add(lane)

    def _leave(self, lane: int) -> None:
        one = self._crew.pop(lane, None)
        self._serving.discard(lane)
        if one is not None:
            one.peer.close()

    async def _ask_all(self, what: str) -> list[Any]:
        """The values of all workers that answer in time."""

        async def ask(one: Crew) -> Any:
            try:
                return (await one.peer.ask({"ask": what}, seconds=ASK_SECONDS)).body["value"]
            except (ChannelClosed, TimeoutError):
                return None

        answers = await asyncio.gather(*map(ask, list(self._crew.values())))
        return [answer for answer in answers if answer is not None]

    def _told(self, message: Message) -> None:
        """What the supervisor says."""
        body = message.body
        match body.get("tell"):
            case "worker":
                self._join(body["lane"], body["share"], body["pid"], Channel.of(message.fds[0]))
            case "gone":
                self._leave(body["lane"])
            case "reload":
                self._spawn(self._reload())
            case "drain":
                self._draining = True
            case "quit":
                self._stop.set()

    # -- files --------------------------------------------------------------------------------------------------------

    async def _reload(self) -> None:
        """The supervisor was sent SIGHUP, and is told when that is done: systemd waits for it."""
        await self._reloader.reload("SIGHUP")
        self._supervisor.tell({"tell": "reloaded"})

    def _read(self) -> Loaded:
        read = self._read_again
        return read() if read is not None else self._reloader.loaded

    def _committed(self, loaded: Loaded, stores: Mapping[str, CertificateStore]) -> None:
        """Another configuration is in force."""
        self._operations.set_up_logs()
        self._stores = dict(stores)
        self._files[:] = loaded.watched
        self._certificate_files[:] = watched_certificates(stores)
        self._checks.change(loaded.config.upstreams, loaded.folder)
        for lane, one in self._crew.items():
            self._spawn(self._greet(lane, one))  # should it have failed to take it up

    async def _renew(self) -> bool:
        """Certificate files have changed: False if some could not be read."""
        loop = asyncio.get_running_loop()
        reports = [await loop.run_in_executor(None, store.reload) for store in self._stores.values()]
        self._supervisor.tell({"tell": "renew"})  # what it forks from now on begins with them
        for one in self._crew.values():
            one.peer.tell({"tell": "renew"})
        for report in reports:
            for problem in report.problems:
                self._log.error(f"{problem} (what was served before is served still)")
            if report.added or report.removed:
                self._log.info("certificates changed", added=report.added, removed=report.removed)
        return not any(report.problems for report in reports)

    # -- the admin side -----------------------------------------------------------------------------------------------

    def _admin_state(self) -> AdminState:
        return AdminState(
            metrics=self._metrics,
            version=__version__,
            ready=self._ready,
            generation=lambda: self._reloader.generation,
            last_reload=lambda: self._reloader.last,
            status=self._status,
            config=lambda: redacted(self._reloader.loaded.config),
            families=self._families,
            certificates=self._certificates,
            certificate_problems=lambda: [text for store in self._stores.values() for text in store.problems],
            upstreams=self._upstreams,
            routes=self._routes,
            recent_errors=self._recent_errors,
            actions=self._operations.actions(),
            state_dir=state_folder(self._role.loaded),
            folder=self._role.loaded.folder,
        )

    def _ready(self) -> tuple[bool, tuple[str, ...]]:
        if self._draining:
            return False, ("draining",)
        return (True, ()) if self._serving else (False, ("no worker serves",))

    async def _status(self) -> dict[str, Any]:
        config = self._reloader.loaded.config
        workers = await self._ask_all("status")
        return {
            "uptime_seconds": round(time.time() - self._began, 3),
            "connections": sum(worker["connections"] for worker in workers),
            "draining": self._draining,
            "listeners": [str(listener.bind) for listener in config.listeners],
            "routes": len(config.routes),
            "workers": workers,
        }

    async def _families(self) -> list[Family]:
        return families(
            self._catalogue, self._role.segment, [self._metrics.functions(), *await self._ask_all("gauges")]
        )

    def _certificates(self) -> list[CertificateEntry]:
        return [entry for store in self._stores.values() for entry in store.entries()]

    def _routes(self) -> list[dict[str, Any]]:
        config = self._reloader.loaded.config
        return routes_shown(route_names(config.routes), redacted(config))

    async def _recent_errors(self) -> list[Mapping[str, Any]]:
        return newest(await self._ask_all("errors"))

    async def _upstreams(self) -> list[dict[str, Any]]:
        return merged_upstreams(await self._ask_all("upstreams"))


def state_folder(loaded: Loaded) -> Path | None:
    """The folder for what outlives a restart, None without one."""
    name = loaded.config.state_dir
    return loaded.folder / name if name is not None else None


def _nothing(_message: Message) -> None:
    """Workers only answer."""


def watched_certificates(stores: Mapping[str, CertificateStore]) -> list[Path]:
    """Every path whose change calls for reading certificates again."""
    return list(dict.fromkeys(path for store in stores.values() for path in store.watched()))


def merged_upstreams(seen: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """What each worker sees of the upstreams, as one: connections are added up."""
    merged: dict[str, dict[str, Any]] = {}
    for worker in seen:
        for upstream in worker:
            endpoints = merged.setdefault(upstream["name"], {})
            for endpoint in upstream["endpoints"]:
                known = endpoints.setdefault(endpoint["name"], endpoint | {"connections": {}})
                for state, number in endpoint["connections"].items():
                    known["connections"][state] = known["connections"].get(state, 0) + number
    return [{"name": name, "endpoints": list(endpoints.values())} for name, endpoints in merged.items()]
