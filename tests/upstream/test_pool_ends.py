"""How a pool lets go: tunnels, drain, the hard end, and the counters through all of it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import pytest

from gateway.errors import Cause, UpstreamFault
from gateway.upstream.http1 import UpstreamConnection
from tests.kit.transport import Running
from tests.kit.upstream import REQUEST, TIMES, House, fault_word


def test_a_tunnel_counts_until_it_is_released() -> None:
    """After detach() the socket is another's, and its place is free when the proxy says so."""
    house = House(max_open=1)
    connection = house.got()
    connection.start(b"GET", REQUEST, TIMES, upgrade=True)
    house.dial.transports[0].feed(b"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
    connection.detach()
    waiting = house.acquire()
    assert house.counts == (0, 1, 0, 0, 1)
    house.pool.release(connection)
    assert waiting.done
    assert not house.dial.transports[0].is_closing()


def test_a_drained_pool_lets_the_active_finish_and_keeps_nothing() -> None:
    """close(): idle connections go at once, active ones on release, and a late acquirer is still served."""
    house = House()
    active, idle = house.got(), house.got()
    house.pool.release(idle)
    house.pool.close()
    house.loop.run()
    assert house.counts == (0, 1, 0, 0, 0)
    late = house.got()
    house.use(active)
    for connection in (active, late):
        house.pool.release(connection)
    house.loop.run()
    assert house.pool.settled
    assert len(house.sweep) == 0


def test_the_end_cuts_everything_off() -> None:
    """abort(): exchanges under way and waiters are told that the gateway stops."""
    house = House(max_open=1)
    connection = house.got()
    connection.start(b"GET", REQUEST, TIMES)
    reading, waiting = Running(_whole(connection.wait_head())), house.acquire()
    house.pool.abort()
    house.loop.run()
    assert fault_word(waiting) == "draining"
    assert isinstance(reading.error, UpstreamFault)
    assert reading.error.cause is Cause.DRAINING
    assert house.pool.settled
    assert len(house.sweep) == 0


async def _whole(wait: Awaitable[Any]) -> Any:
    return await wait


@pytest.mark.parametrize("release", [True, False])
def test_two_hundred_exchanges_in_every_order_leave_the_counters_true(release: bool) -> None:
    """Whatever happens to connections, idle + active + closing is what is open, and all comes to rest."""
    house = House(max_open=8, queue=64, max_idle=4)
    held: list[UpstreamConnection] = []
    for step in range(200):
        running = house.acquire()
        if running.value is not None:
            held.append(running.value)
        if step % 3 == 0 and held:
            connection = held.pop(step % len(held))
            if step % 2:
                house.use(connection)
            elif release:
                connection.start(b"GET", REQUEST, TIMES)
            house.pool.release(connection)
        if step % 7 == 0:
            house.loop.run()
        held = [each for each in held if each.open]
        alive = sum(not transport.lost for transport in house.dial.transports)
        assert house.pool.open == alive <= 8
        assert house.pool.idle <= 4
    house.pool.abort()
    house.loop.run()
    assert house.counts == (0, 0, 0, 0, 0)
    assert all(transport.late == [] for transport in house.dial.transports)
