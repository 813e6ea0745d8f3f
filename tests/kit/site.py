"""serve(): a real Site behind a real Http1, between a Client and Origins that the test plays.

It puts together what gateway/worker.py does in a process, on a fake clock and fake transports. Time passes only by
`later`, deadlines are enforced by the real Sweep, and a bug that the gateway would survive fails the test.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gateway.config import SiteConfig, quick
from gateway.deadlines import TICK
from gateway.exchange import Connection, Exchange
from gateway.http.head import RequestHeadReader
from gateway.pipeline import answer, finish, refuse
from gateway.proxy import Proxy
from gateway.routing import RouteSettings
from gateway.server.http1 import Http1
from gateway.server.wire import Wire
from gateway.site import Services, build_site
from gateway.upstream.pool import Pool, Wires
from gateway.upstream.upstream import Endpoint
from gateway.worker import head_rules
from tests.kit.messages import get, ok
from tests.kit.transport import FakeDisk, FakeLoop, spawn
from tests.kit.wire import Client, Origin

PEER = "192.0.2.7"


class _Logs:
    """Access logs that keep their lines."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def open(self, _output: str) -> Any:
        return self.lines.append


class Served:
    """A gateway in the hands of a test.

    client, origin    the first connection and the first endpoint; `connect()` and `origins` for more
    finished          exchanges that are over, in order
    crashes           bugs that the gateway caught; they fail the test unless `bugs_expected`
    log               lines of the access log
    """

    def __init__(self, config: SiteConfig) -> None:
        self.loop = FakeLoop()
        self.clock = self.loop.clock
        self.config = config
        self.finished: list[Exchange] = []
        logs: Any = _Logs()
        self.log: list[bytes] = logs.lines
        self.services = Services(clock=self.clock, logs=logs)
        self.sweep = self.services.sweep
        self.metrics = self.services.metrics
        loaded = quick("http://127.0.0.1:3000", ["127.0.0.1:8080"], [], None)
        self.site = build_site(replace(loaded, config=config), self.services)
        self.crashes: list[BaseException] = []
        self.bugs_expected = False
        self.origins = [
            self._origin(endpoint, upstream.config.pool)
            for upstream in self.site.upstreams.values()
            for endpoint in upstream.endpoints
        ]
        self.proxy = Proxy(self.clock, self.sweep, self._crashed, self.loop.call_later, FakeDisk(self.loop))
        self.wire = Wire(
            settings=config.downstream,
            reader=RequestHeadReader(head_rules(config.downstream)),
            answer=lambda exchange: answer(self.site, exchange),
            forward=self.proxy.forward,
            refuse=lambda exchange, fault: refuse(self.site, exchange, fault),
            finish=self._finish,
            clock=self.clock,
            sweep=self.sweep,
            crashed=self._crashed,
        )
        self._client: Client | None = None

    def _origin(self, endpoint: Endpoint, limits: Any) -> Origin:
        origin = Origin(self.loop, endpoint.name)
        wires = Wires(_reader(endpoint), self.sweep, self.clock, spawn)
        endpoint.pool = Pool(limits, origin.connect, wires)
        return origin

    def _finish(self, exchange: Exchange) -> None:
        self.finished.append(exchange)
        finish(exchange)

    @property
    def origin(self) -> Origin:
        return self.origins[0]

    @property
    def client(self) -> Client:
        if self._client is None:
            self._client = self.connect()
        return self._client

    def connect(self, peer: str = PEER) -> Client:
        """Another client connection."""
        connection = Connection(peer, 50000, "127.0.0.1:8080", "127.0.0.1:8080", self.clock())
        return Client(Http1(connection, self.wire), self.loop)

    def later(self, seconds: float) -> None:
        """Time passes, and the sweep runs as often as it does in a process."""
        until = self.clock() + seconds
        while self.clock() < until:
            self.sweep.run(self.clock.advance(min(TICK, until - self.clock())))
            self.loop.run()

    def close(self) -> None:
        """Ends everything, so that no coroutine of one test is collected in another."""
        for connection in list(self.wire.live):
            connection.cut()
        self.loop.run()
        for upstream in self.site.upstreams.values():
            upstream.abort()
        self.loop.run()

    def _crashed(self, error: BaseException) -> None:
        self.crashes.append(error)
        if not self.bugs_expected:
            raise error

    @property
    def last(self) -> Exchange:
        """The exchange that ended last."""
        self.loop.run()
        return self.finished[-1]

    @property
    def cause(self) -> str:
        """The word of the fault that the last exchange ended with, "" for none."""
        fault = self.last.fault
        return fault.cause.word if fault is not None else ""


def _reader(endpoint: Endpoint) -> Any:
    return endpoint.pool._wires.reader


def serve(*, endpoints: int = 1, **keys: Any) -> Served:
    """A gateway with the keys of a configuration. Without `routes`, everything goes to the upstream `app`.

    `endpoints`  of `app`, unless `upstreams` says more
    Keys of the route settings (`buffering`, `timeouts`, ...) are put under `defaults`; `app` is merged into `app`.
    """
    defaults = {key: keys.pop(key) for key in list(keys) if key in RouteSettings.model_fields}
    urls = [f"http://127.0.0.1:{3000 + at}" for at in range(endpoints)]
    app = {"endpoints": urls, "balance": "round_robin", **keys.pop("app", {})}
    config = {
        "listeners": [{"bind": "127.0.0.1:8080"}],
        "upstreams": {"app": app},
        "routes": [{"upstream": "app"}],
        "defaults": defaults,
        "security_headers": "off",
        **keys,
    }
    served = Served(SiteConfig.model_validate(config))
    _open.append(served)
    return served


def warm(**keys: Any) -> Served:
    """A gateway with one idle connection to its origin."""
    site = serve(**keys)
    site.client >> get("/warm")
    site.origin << b"GET /warm"
    site.origin >> ok()
    site.client << b"HTTP/1.1 200"
    return site


_open: list[Served] = []


def close_all() -> None:
    """Closes what serve() made; a fixture calls it after each test."""
    while _open:
        _open.pop().close()
