"""HealthChecks: asks every endpoint whose upstream has `health` whether it is well, and tells all workers.

Run by the control process, so that each endpoint is asked once per machine however many workers there are. The rule:
the checks of what a reload did not change go on as if nothing had happened; what is found stands in the shared words,
where a worker reads it before its next request, and where it outlives this process.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from gateway.metrics import Metrics
from gateway.upstream.building import tls_files
from gateway.upstream.health import Record, first_check, next_check
from gateway.upstream.probe import Target, probe
from gateway.upstream.settings import UpstreamTlsConfig
from gateway.upstream.standing import Health, Shared, Standing
from gateway.upstream.tls import load_tls
from gateway.upstream.upstream import Files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.upstream.settings import UpstreamConfig


class _Check(NamedTuple):
    """All that a check depends on: where it is the same, the check goes on."""

    upstream: str
    target: Target
    tls: UpstreamTlsConfig
    folder: Path


class _Tls:
    """The context for an https endpoint, made anew when a file it was made of has changed."""

    __slots__ = ("_check", "_files", "context", "problem")

    def __init__(self, check: _Check) -> None:
        self._check = check
        self._files: Files | None = None
        self.context: ssl.SSLContext | None = None
        self.problem = ""

    def look(self) -> None:
        """Reads files: on a thread."""
        check = self._check
        files = tls_files(check.tls, check.folder)
        if files == self._files:
            return
        self._files = files
        try:
            self.context, self.problem = load_tls(check.tls, check.folder, lambda _text: None), ""
        except ValueError as error:
            self.problem = str(error)


class HealthChecks:
    """One per control process. `tell` hears of every change, and whether it is a good one."""

    def __init__(self, shared: Shared, metrics: Metrics, tell: Callable[[str, bool], None], random: Random) -> None:
        self._shared = shared
        self._metrics = metrics
        self._tell = tell
        self._random = random
        self._running: dict[tuple[str, str], tuple[_Check, asyncio.Task[None]]] = {}
        self._standings: dict[tuple[str, str], Standing] = {}
        labels = ("upstream", "endpoint")
        metrics.gauge_series(
            "gateway_upstream_endpoint_healthy",
            "Endpoints with active checks: 0 if they say it is down.",
            labels,
            lambda: [(key, self._standings[key].health is not Health.DOWN) for key in self._running],
        )
        metrics.gauge_series(
            "gateway_upstream_endpoint_ejected", "1 while an endpoint is left out by `ejection`.", labels, self._ejected
        )
        metrics.gauge_series(
            "gateway_upstream_endpoint_drained",
            "1 while an endpoint is drained by the admin API.",
            labels,
            lambda: [(key, standing.drained) for key, standing in self._standings.items()],
        )

    def change(self, upstreams: Mapping[str, UpstreamConfig], folder: Path) -> None:
        """Another configuration is in force. On the event loop."""
        wanted = {(check.upstream, check.target.address.name): check for check in _checks(upstreams, folder)}
        self._standings = {
            (name, endpoint.address.name): Standing(self._shared, name, endpoint.address.name)
            for name, config in upstreams.items()
            for endpoint in config.endpoints
        }
        for key, (check, task) in list(self._running.items()):
            if wanted.get(key) == check:
                del wanted[key]
                continue
            task.cancel()
            del self._running[key]
            if key not in wanted:  # nobody will say when it is up again
                Standing(self._shared, *key).set_health(Health.UNKNOWN, time.monotonic())
        for key, check in wanted.items():
            task = asyncio.ensure_future(self._watch(check, self._standings[key]))
            task.add_done_callback(self._ended)
            self._running[key] = check, task

    def close(self) -> None:
        """Stops all checks; what they have found stays."""
        for _check, task in self._running.values():
            task.cancel()
        self._running.clear()

    async def _watch(self, check: _Check, standing: Standing) -> None:
        health, name = check.target.health, check.target.address.name
        passed, failed = (self._counter(check, result) for result in ("passed", "failed"))
        record = Record(health, standing.health)
        await asyncio.sleep(first_check(health, self._random))
        tls = _Tls(check)
        while True:
            if check.target.address.tls:
                await asyncio.get_running_loop().run_in_executor(None, tls.look)
            problem = tls.problem or await probe(check.target, tls.context)
            self._metrics.values[failed if problem else passed] += 1
            if record.checked(not problem):
                standing.set_health(record.health, time.monotonic())
                said = f"is down: {problem}" if problem else "is up"
                self._tell(f"upstream {check.upstream}: {name} {said}", not problem)
            await asyncio.sleep(next_check(health, self._random))

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._tell(f"a bug in the gateway: a health check has crashed: {error!r}", False)

    def _counter(self, check: _Check, result: str) -> int:
        return self._metrics.counter(
            "gateway_upstream_health_checks_total",
            "Active checks by result: passed or failed.",
            upstream=check.upstream,
            endpoint=check.target.address.name,
            result=result,
        )

    def _ejected(self) -> Iterator[tuple[tuple[str, str], bool]]:
        now = time.monotonic()
        for key, standing in self._standings.items():
            yield key, standing.ejected_until > now


def _checks(upstreams: Mapping[str, UpstreamConfig], folder: Path) -> Iterator[_Check]:
    for name, config in upstreams.items():
        if config.health is not None:
            for endpoint in config.endpoints:
                address = endpoint.address
                target = Target(address, config.health, config.tls.server_name or address.host)
                yield _Check(name, target, config.tls, folder)
