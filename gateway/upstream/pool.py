"""Pool: the connections to one endpoint, and who waits for one.

The proxy takes a connection, or awaits one, and releases it when its exchange is over. Every open connection is in
exactly one place and every bound is checked against a counter with a name; `_serve` alone decides who gets what, first
come, first served.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, TypeAlias, cast

from gateway.deadlines import NEVER, Sweep
from gateway.eager import Wait
from gateway.errors import Cause, UpstreamFault
from gateway.http.head import ResponseHeadReader
from gateway.metrics import Values
from gateway.upstream.http1 import UpstreamConnection
from gateway.upstream.settings import PoolConfig
from gateway.upstream.timeouts import Timeouts

GONE, IDLE, ACTIVE, CLOSING = range(4)  # UpstreamConnection.place

# Opens a connection with the protocol that the factory makes, within so many seconds; raises UpstreamFault only.
Dial: TypeAlias = Callable[[Callable[[], UpstreamConnection], float], Coroutine[Any, Any, UpstreamConnection]]


class Wires(NamedTuple):
    """What a worker lends to its connections. `spawn` runs a connecting coroutine; None for a Task of the loop."""

    reader: ResponseHeadReader
    sweep: Sweep
    now: Callable[[], float]
    spawn: Callable[[Coroutine[Any, Any, None]], object] | None = None


class _Waiter:
    """An acquirer in line."""

    __slots__ = ("deadline", "fresh", "seconds", "wait")

    def __init__(self, deadline: float, seconds: float, *, fresh: bool) -> None:
        self.wait = Wait()
        self.deadline = deadline
        self.seconds = seconds  # that a connection made for it may take
        self.fresh = fresh  # takes a new connection only


class Pool:
    """Connections of one endpoint; last used, first taken, so that the surplus grows old and expires.

    connecting  connections being made
    connects, reused  slots of `values`: connections made, exchanges that found one ready
    on_connect_failure  called with the Cause
    """

    __slots__ = (
        "_connections", "_dial", "_idle", "_limits", "_places", "_retired", "_tasks", "_waiters", "_wires",
        "connecting", "connects", "deadline", "on_connect_failure", "reused", "values",
    )  # fmt: skip

    def __init__(self, limits: PoolConfig, dial: Dial, wires: Wires) -> None:
        self._limits = limits
        self._dial = dial
        self._wires = wires
        self._places = [0, 0, 0, 0]
        self._idle: list[UpstreamConnection] = []
        self._waiters: deque[_Waiter] = deque()
        self._connections: set[UpstreamConnection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._retired = False
        self.connecting = 0
        self.values: Values = [0, 0]
        self.connects = 0
        self.reused = 1
        self.on_connect_failure: Callable[[Cause], None] | None = None
        self.deadline = NEVER
        wires.sweep.add(self)

    # The counters

    @property
    def idle(self) -> int:
        return self._places[IDLE]

    @property
    def active(self) -> int:
        return self._places[ACTIVE]

    @property
    def closing(self) -> int:
        """Closed by us, still known to the kernel."""
        return self._places[CLOSING]

    @property
    def open(self) -> int:
        return self._places[IDLE] + self._places[ACTIVE] + self._places[CLOSING]

    @property
    def queued(self) -> int:
        """Acquirers for whom not even a connection is being made."""
        return max(0, len(self._waiters) - self.connecting)

    @property
    def load(self) -> int:
        """Exchanges that have a connection or wait for one."""
        return self._places[ACTIVE] + len(self._waiters)

    @property
    def settled(self) -> bool:
        """Nothing is open, being made or waited for."""
        return not (self.open or self.connecting or self._waiters)

    # The proxy's side

    def take(self) -> UpstreamConnection | None:
        """The idle connection that was used last, if there is one."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection.open:
                places = self._places
                places[IDLE] -= 1
                places[ACTIVE] += 1
                connection.place = ACTIVE
                self.values[self.reused] += 1
                return connection
            self._move(connection, CLOSING)
            connection.close()
        return None

    async def acquire(self, timeouts: Timeouts, *, fresh: bool = False) -> UpstreamConnection:
        """A connection, new or released by another; new in any case if `fresh`: one that was kept has proved stale, and
        those below it have been idle for longer. For an EagerTask; may be cancelled at any time.

        Raises UpstreamFault, `sent` False: POOL_EXHAUSTED, or why no connection could be made.
        """
        connection = None if fresh else self.take()
        if connection is not None:
            return connection
        in_line = len(self._waiters) - self.connecting
        if in_line >= self._limits.queue and self.open + self.connecting >= self._limits.max_open:
            raise UpstreamFault(Cause.POOL_EXHAUSTED, f"{self._limits.queue} exchanges in line", sent=False)
        waiter = _Waiter(self._wires.now() + self._limits.queue_timeout, timeouts.connect, fresh=fresh)
        self._waiters.append(waiter)
        self.deadline = min(self.deadline, waiter.deadline)
        self._serve()
        try:
            return cast("UpstreamConnection", await waiter.wait)
        finally:
            if waiter in self._waiters:  # cancelled: who serves or refuses a waiter takes it out first
                self._waiters.remove(waiter)

    def release(self, connection: UpstreamConnection) -> None:
        """The exchange on `connection` is over, in whatever way: exactly once for each take() or acquire()."""
        if connection.place != ACTIVE:
            return  # lost meanwhile
        if connection.detached:
            self._move(connection, GONE)
            self._connections.discard(connection)
            self._serve()
        elif not connection.reusable:
            self._move(connection, CLOSING)
            connection.close()
        elif self._waiters and (waiter := next((each for each in self._waiters if not each.fresh), None)) is not None:
            connection.park(self._limits.idle_timeout)
            self._waiters.remove(waiter)
            waiter.wait.wake(connection)
        elif not self._retired and len(self._idle) < self._limits.max_idle:
            connection.park(self._limits.idle_timeout)
            places = self._places
            places[ACTIVE] -= 1
            places[IDLE] += 1
            connection.place = IDLE
            self._idle.append(connection)
            if self._waiters:
                self._serve()
        else:
            self._move(connection, CLOSING)
            connection.close()

    # The house's side

    def close(self) -> None:
        """Drains: what is idle goes, what is active finishes, who still comes is served and nothing is kept."""
        self._retired = True
        idle, self._idle = self._idle, []
        for connection in idle:
            self._move(connection, CLOSING)
            connection.close()
        self._leave()

    def abort(self) -> None:
        """The end: cuts everything off."""
        waiters, self._waiters = self._waiters, deque()
        for task in list(self._tasks):
            task.cancel()
        for connection in list(self._connections):
            connection.abort(UpstreamFault(Cause.DRAINING, "the gateway stops"))
        for waiter in waiters:
            waiter.wait.fail(UpstreamFault(Cause.DRAINING, "the gateway stops", sent=False))
        self.close()

    def expire(self, now: float) -> None:
        """For the Sweep: those who have been in line for too long."""
        queued = list(self._waiters)[self.connecting :]
        late = [waiter for waiter in queued if waiter.deadline <= now]
        self.deadline = min((waiter.deadline for waiter in self._waiters if waiter.deadline > now), default=NEVER)
        for waiter in late:
            self._waiters.remove(waiter)
        for waiter in late:
            waiter.wait.fail(
                UpstreamFault(Cause.POOL_EXHAUSTED, f"in line for {self._limits.queue_timeout:g}s", sent=False)
            )

    # State

    def _move(self, connection: UpstreamConnection, place: int) -> None:
        places = self._places
        places[connection.place] -= 1
        places[place] += 1
        connection.place = place

    def _serve(self) -> None:
        """Starts as many connections as there are acquirers without one, within the bound; where idle ones fill it,
        they make room, the oldest first: whoever is in line then takes none but new ones."""
        while self.queued and self.open + self.connecting < self._limits.max_open:
            connecting = self._connect(self._waiters[self.connecting].seconds)
            self.connecting += 1
            if self._wires.spawn is not None:
                self._wires.spawn(connecting)
            else:
                task = asyncio.get_running_loop().create_task(connecting)
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        while self._idle and self.queued > self.closing:
            oldest = self._idle.pop(0)
            self._move(oldest, CLOSING)
            oldest.close()

    def _make(self) -> UpstreamConnection:
        wires = self._wires
        return UpstreamConnection(wires.reader, wires.sweep, wires.now, self._lost)

    async def _connect(self, seconds: float) -> None:
        """Makes one connection for whoever is first in line when it stands."""
        fault = UpstreamFault(Cause.DRAINING, "the gateway stops", sent=False)
        connection = None
        try:
            connection = await self._dial(self._make, seconds)
            if not connection.open:
                fault, connection = UpstreamFault(Cause.CONNECT_REFUSED, "closed at once", sent=False), None
        except UpstreamFault as error:
            fault = error
        finally:
            self.connecting -= 1
            self._connected(connection, fault)

    def _connected(self, connection: UpstreamConnection | None, fault: UpstreamFault) -> None:
        waiter = self._waiters.popleft() if self._waiters else None
        if connection is not None:
            self.values[self.connects] += 1
            self._connections.add(connection)
            self._move(connection, ACTIVE)
            if waiter is not None:
                waiter.wait.wake(connection)
            else:  # whoever wanted it has got another, or has gone
                self.release(connection)
            return
        if self.on_connect_failure is not None:
            self.on_connect_failure(fault.cause)
        self._serve()
        if waiter is not None:
            waiter.wait.fail(fault)
        self._leave()

    def _lost(self, connection: UpstreamConnection) -> None:
        """Its socket is closed."""
        if connection.place == IDLE and connection in self._idle:
            self._idle.remove(connection)
        if connection.place != GONE:
            self._move(connection, GONE)
            self._connections.discard(connection)
            self._serve()
        self._leave()

    def _leave(self) -> None:
        if self._retired and self.settled:
            self._wires.sweep.discard(self)
