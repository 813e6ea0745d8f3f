"""Upstream and Endpoint: one service behind the gateway, and the places where it runs.

The proxy picks an endpoint here, takes a connection from its pool and reports how each attempt ended. Who may be picked
(roster.py), and whether anybody may (breaker.py), is decided anew when something has changed and costs nothing else; a
reload keeps the whole of an Upstream if its configuration is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from random import Random
from typing import NamedTuple, TypeAlias, cast

from gateway.deadlines import NEVER, Sweep
from gateway.errors import Cause, UpstreamFault
from gateway.exchange import Exchange
from gateway.metrics import Metrics, Values
from gateway.upstream.balancer import Balancer, make_balancer
from gateway.upstream.breaker import GONE_MOST, GONE_SECONDS, Breaker, Gate
from gateway.upstream.ejection import EjectionConfig, Told, Watch, outlies
from gateway.upstream.pool import Pool
from gateway.upstream.retries import Retries
from gateway.upstream.roster import Roster, choose, eject, pardon
from gateway.upstream.settings import UpstreamConfig
from gateway.upstream.standing import Alone, Shared, Standing

Files: TypeAlias = tuple[tuple[str, int, int, int], ...]

STATES = ("idle", "active", "connecting", "closing", "queued")

# How an attempt ended: the status of the response (0 for none), seconds since it began, the Cause if it failed. An
# attempt whose body breaks off is told twice: answered, then failed.
Report: TypeAlias = Callable[[int, float, Cause | None], None]

PATIENCE = 1.0  # seconds until an ejection that was not possible is tried again


def silent(_text: str) -> None:
    """Nobody listens."""


class Ties(NamedTuple):
    """What a serving upstream needs of its surroundings. `now`: the machine's monotonic clock."""

    shared: Shared
    now: Callable[[], float]
    tell: Callable[[str], None]
    sweep: Sweep


class Endpoint:
    """One place that serves an upstream.

    name         "127.0.0.1:3000", "unix:/run/app.sock": unique in its upstream; the label in logs and metrics
    host_header  value of a Host field that names it
    configured   its share
    weight       the one in force, as balancers see it
    report       told of every attempt, None while nobody listens
    standing     what all processes hold of it
    watch        what this one has seen of it
    """

    __slots__ = ("configured", "host_header", "name", "pool", "report", "standing", "watch", "weight")

    standing: Standing  # these two from its upstream
    watch: Watch

    def __init__(self, name: str, host_header: bytes, weight: int, pool: Pool) -> None:
        self.name = name
        self.host_header = host_header
        self.configured = self.weight = weight
        self.pool = pool
        self.report: Report | None = None

    @property
    def load(self) -> int:
        return self.pool.load

    def __repr__(self) -> str:
        return f"<Endpoint {self.name}>"


class Upstream:
    """One service.

    host      "preserve", "endpoint" or the literal to put into the Host field
    retries   rules and budget of further attempts
    files     what tells the TLS files that were read from other ones
    deadline  for the Sweep: when time alone changes something
    """

    __slots__ = (
        "_balancer", "_breaker", "_changes", "_ejects", "_gate", "_only", "_patience", "_random", "_roll_at", "_roster",
        "_seen", "_ties", "config", "deadline", "ejected", "endpoints", "files", "host", "name", "refused", "retries",
        "values",
    )  # fmt: skip

    _balancer: Balancer

    def __init__(
        self,
        name: str,
        config: UpstreamConfig,
        endpoints: tuple[Endpoint, ...],
        random: Random,
        ties: Ties | None = None,
    ) -> None:
        self.name = name
        self.config = config
        self.endpoints = endpoints
        self.host = config.host
        self.retries = Retries(config.retries, random)
        self.files: Files = ()
        self.values: Values = [0] * (1 + len(endpoints))
        self.refused, self.ejected = 0, {endpoint: at for at, endpoint in enumerate(endpoints, 1)}  # slots
        self._random = random
        self._ties = ties = ties or Ties(Alone(), lambda: 0.0, silent, Sweep())
        self._changes = ties.shared.changes
        self._seen = -1
        self._gate: Gate | None = None
        rules = config.ejection
        self._ejects = rules if isinstance(rules, EjectionConfig) and len(endpoints) > 1 else None
        self._patience = 0.0
        now = ties.now()
        self._roll_at = now + self._ejects.window / 2 if self._ejects is not None else NEVER
        self._breaker = Breaker(config.breaker, now) if config.breaker is not None else None
        statuses = (rules if isinstance(rules, EjectionConfig) else EjectionConfig()).statuses
        for endpoint in endpoints:
            endpoint.standing = Standing(ties.shared, name, endpoint.name)
            endpoint.watch = Watch(statuses, partial(self._failed, endpoint))
            endpoint.report = endpoint.watch.report
        self._listen(self._count if self._breaker is not None else None)
        self._roster = Roster({}, panic=False, until=NEVER)
        self._only: Endpoint | None = None
        self._balancer = make_balancer("first", (), "client", random)
        self._choose(now)

    @property
    def load(self) -> int:
        """Exchanges under way."""
        return sum(endpoint.load for endpoint in self.endpoints)

    @property
    def shut(self) -> str:
        """Why requests are answered with 503 at once, "" if they are not."""
        return self._gate.reason if self._gate is not None else ""

    def pick(self, exchange: Exchange) -> Endpoint:
        """The endpoint for an attempt. Raises UpstreamFault(NO_ENDPOINT)."""
        if self._changes[0] != self._seen or self._gate is not None:
            self._look()
        if self._only is not None:
            return self._only
        endpoint = cast("Endpoint | None", self._balancer.pick(exchange, ()))
        if endpoint is None:
            raise self._refusal("all are drained, or down")
        return endpoint

    def other(self, exchange: Exchange, tried: Collection[Endpoint]) -> Endpoint | None:
        """An endpoint that is none of `tried`, None if there is none."""
        return cast("Endpoint | None", self._balancer.pick(exchange, tried))

    # -- who may be picked --------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Something has changed, or nobody but a few may pass. Raises UpstreamFault(NO_ENDPOINT)."""
        now = self._ties.now()
        if self._changes[0] != self._seen:
            self._choose(now)
        if self._gate is not None and not self._gate.admits(now):
            raise self._refusal(self._gate.reason)

    def _refusal(self, why: str) -> UpstreamFault:
        self.values[self.refused] += 1
        return UpstreamFault(Cause.NO_ENDPOINT, f"{self.name}: {why}", sent=False)

    def _choose(self, now: float) -> None:
        with self._ties.shared.locked():  # what was written before the count of changes is seen with it
            self._seen = self._changes[0]
            roster = choose(self.endpoints, self.config, now)
        before, self._roster = self._roster, roster
        self.deadline = min(roster.until, self._roll_at)
        if roster.panic and not before.panic:
            self._ties.tell(f"upstream {self.name}: too few endpoints are well: all are asked")
        if roster.weights == before.weights:
            return
        for endpoint, weight in roster.weights.items():
            endpoint.weight = weight
        chosen = tuple(roster.weights)
        self._only = chosen[0] if len(chosen) == 1 else None
        self._balancer = make_balancer(self.config.balance, chosen, self.config.hash_on or "client", self._random)

    def expire(self, now: float) -> None:
        """For the Sweep: an ejection is over, or half a window."""
        if now >= self._roll_at and self._ejects is not None:
            self._roll_at = now + self._ejects.window / 2
            for endpoint in self.endpoints:
                endpoint.watch.roll()
        self._choose(now)

    # -- how attempts end ---------------------------------------------------------------------------------------------

    def _failed(self, endpoint: Endpoint) -> None:
        """An attempt there has failed, and its watch knows."""
        now = self._ties.now()
        watch = endpoint.watch
        if watch.unreachable == 1:
            watch.unreachable_since = now
        if self._gate is not None:
            return  # those who look whether it is back must find every endpoint
        if self._ejects is not None and not watch.ejected and now >= self._patience:
            why = outlies(self._ejects, watch)
            if why:
                self._eject(endpoint, why, now)
        if watch.is_gone(now):
            self._choose(now)
            if self._is_gone(now):
                pardon(self.endpoints, self._ties.shared, now)
                gate = Gate("no endpoint can be reached", GONE_SECONDS, GONE_MOST, self._random, now)
                self._shut(gate, self._reach)

    def _eject(self, endpoint: Endpoint, why: str, now: float) -> None:
        seconds = eject(endpoint, self.endpoints, self.config, self._ties.shared, now)
        if seconds:
            self.values[self.ejected[endpoint]] += 1
            self._ties.tell(f"upstream {self.name}: {endpoint.name} is left out for {seconds:g}s: {why}")
        else:
            self._patience = now + PATIENCE

    def _is_gone(self, now: float) -> bool:
        asked = self._roster.weights
        return bool(asked) and all(endpoint.watch.is_gone(now) for endpoint in asked)

    # What a Watch tells, as `told`: nothing is asked for while there is neither a gate nor a breaker.

    def _count(self, _watch: Watch, good: bool, seconds: float) -> None:
        now, rules = self._ties.now(), self.config.breaker
        if self._breaker is not None and rules is not None and self._breaker.trips(good, seconds, now):
            gate = Gate("too many requests failed", rules.time, rules.cap, self._random, now)
            self._shut(gate, self._try)

    def _try(self, _watch: Watch, good: bool, seconds: float) -> None:
        """Behind the breaker's gate a request counts as before it."""
        now = self._ties.now()
        well = self._breaker is not None and self._breaker.is_good(good, seconds)
        if self._gate is not None and self._gate.ended(well, now):
            self._open(now)

    def _reach(self, watch: Watch, _good: bool, _seconds: float) -> None:
        """Behind the gate of an upstream that is gone any response shows that it is back."""
        now = self._ties.now()
        if not watch.unreachable:
            self._open(now)
        elif self._gate is not None:
            self._gate.ended(False, now)

    def _open(self, now: float) -> None:
        self._gate = None
        if self._breaker is not None:
            self._breaker.reset(now)
        self._listen(self._count if self._breaker is not None else None)
        self._ties.tell(f"upstream {self.name}: requests are let through again")

    def _shut(self, gate: Gate, told: Told) -> None:
        self._gate = gate
        self._listen(told)
        self._ties.tell(f"upstream {self.name}: {gate.reason}: all but a few requests are answered with 503")

    def _listen(self, told: Told | None) -> None:
        for endpoint in self.endpoints:
            endpoint.watch.told = told

    def register(self, metrics: Metrics) -> None:
        """Exports the counters. Once more after a reload changes nothing."""
        self.retries.register(metrics, self.name)
        self.values = metrics.values
        self.refused = metrics.counter(
            "gateway_upstream_refused_total",
            "Requests answered with 503 because no endpoint is to be asked now.",
            upstream=self.name,
        )
        for endpoint in self.endpoints:
            _register_pool(metrics, endpoint.pool, self.name, endpoint.name)
            self.ejected[endpoint] = metrics.counter(
                "gateway_upstream_ejections_total",
                "How often an endpoint was left out because of how its requests ended.",
                upstream=self.name,
                endpoint=endpoint.name,
            )

    def retire(self) -> None:
        """Another has taken its place: what it serves still goes on, but time changes nothing any more."""
        self._ties.sweep.discard(self)

    def close(self) -> None:
        """Drains the pools: idle connections go, active ones finish."""
        self.retire()
        for endpoint in self.endpoints:
            endpoint.pool.close()

    def abort(self) -> None:
        """Cuts off every connection, at the end of the drain time."""
        for endpoint in self.endpoints:
            endpoint.pool.abort()


def _register_pool(metrics: Metrics, pool: Pool, upstream: str, endpoint: str) -> None:
    labels = {"upstream": upstream, "endpoint": endpoint}

    def read(state: str) -> Callable[[], float]:
        return lambda: float(getattr(pool, state))

    for state in STATES:
        metrics.gauge_function(
            "gateway_upstream_connections",
            "Connections to an endpoint by state; queued are requests that wait for one.",
            read(state),
            state=state,
            **labels,
        )
    pool.values = metrics.values
    pool.connects = metrics.counter("gateway_upstream_connects_total", "Connections made to an endpoint.", **labels)
    pool.reused = metrics.counter(
        "gateway_upstream_reused_total", "Requests that found an open connection ready.", **labels
    )

    def failed(cause: Cause) -> None:
        slot = metrics.counter(
            "gateway_upstream_connect_failures_total", "Connections that could not be made.", cause=cause.word, **labels
        )
        metrics.values[slot] += 1

    pool.on_connect_failure = failed
