"""The pool: reuse, bounds, the line, and that nothing leaks. Its connections are on fake transports."""

from __future__ import annotations

from typing import Any

from gateway.errors import Cause, ClientFault, UpstreamFault
from tests.kit.upstream import REQUEST, TIMES, House, fault_word

REFUSED = UpstreamFault(Cause.CONNECT_REFUSED, "no", sent=False)


def test_a_new_pool_has_nothing() -> None:
    """take() never connects."""
    house = House()
    assert house.pool.take() is None
    assert house.counts == (0, 0, 0, 0, 0)
    assert house.pool.settled


def test_a_connection_goes_round() -> None:
    """acquire connects, release parks, take finds it again; each state has its counter."""
    house = House()
    connection = house.got()
    assert house.counts == (0, 1, 0, 0, 0)
    house.use(connection)
    house.pool.release(connection)
    assert house.counts == (1, 0, 0, 0, 0)
    assert house.pool.take() is connection
    assert house.counts == (0, 1, 0, 0, 0)
    assert house.pool.values == [1, 1]
    assert house.pool.load == 1


def test_acquire_prefers_what_is_idle() -> None:
    """No new connection while one is free."""
    house = House()
    connection = house.got()
    house.pool.release(connection)
    assert house.got() is connection
    assert len(house.dial.transports) == 1


def test_last_used_is_first_taken() -> None:
    """The surplus grows old at the bottom of the pile, and expires there."""
    house = House(idle_timeout="60s")
    one, two, three = house.got(), house.got(), house.got()
    for connection in (one, two, three):
        house.pool.release(connection)
    for _ in range(3):
        house.later(25.0)
        taken = house.pool.take()
        assert taken is three
        house.use(taken)
        house.pool.release(taken)
    assert house.counts == (1, 0, 0, 0, 0)
    assert house.dial.transports[0].lost
    assert house.dial.transports[1].lost


def test_an_unfinished_exchange_is_not_reused() -> None:
    """Released in the middle of a response: cut, and counted as closing until the socket is gone."""
    house = House()
    connection = house.got()
    connection.start(b"GET", REQUEST, TIMES)
    house.pool.release(connection)
    assert house.counts == (0, 0, 0, 1, 0)
    assert house.dial.transports[0].aborted
    house.loop.run()
    assert house.counts == (0, 0, 0, 0, 0)


def test_a_connection_lost_in_use_or_idle_is_forgotten() -> None:
    """The origin closes; counters follow, and the release of a lost one changes nothing."""
    house = House()
    one, two = house.got(), house.got()
    house.pool.release(two)
    for transport in house.dial.transports:
        transport.end()
    house.loop.run()
    assert house.counts == (0, 0, 0, 0, 0)
    house.pool.release(one)
    assert house.counts == (0, 0, 0, 0, 0)
    assert house.pool.take() is None


def test_a_connection_that_is_closing_is_not_taken() -> None:
    """Between the origin's FIN and connection_lost the pool already passes it over."""
    house = House()
    one, two = house.got(), house.got()
    house.pool.release(one)
    house.pool.release(two)
    house.dial.transports[1].end()
    assert house.pool.take() is one
    house.loop.run()
    assert house.counts == (0, 1, 0, 0, 0)


def test_idle_connections_are_bounded() -> None:
    """max_idle at its limit: the one too many is closed."""
    house = House(max_idle=2)
    connections = [house.got() for _ in range(3)]
    for connection in connections:
        house.pool.release(connection)
    house.loop.run()
    assert house.counts == (2, 0, 0, 0, 0)
    assert [transport.closed for transport in house.dial.transports] == [False, False, True]


def test_open_connections_are_bounded() -> None:
    """max_open at its limit: the next one waits in line."""
    house = House(max_open=2)
    first, second = house.got(), house.got()
    third = house.acquire()
    assert not third.done
    assert house.counts == (0, 2, 0, 0, 1)
    assert house.pool.load == 3
    house.use(first)
    house.pool.release(first)
    assert third.value is first
    assert house.counts == (0, 2, 0, 0, 0)
    house.pool.release(second)
    assert house.counts == (1, 1, 0, 0, 0)


def test_connections_being_made_count_as_open() -> None:
    """Three at once with room for two: two are made, one waits."""
    house = House(max_open=2)
    house.dial.hold = True
    runs = [house.acquire() for _ in range(3)]
    assert house.counts == (0, 0, 2, 0, 1)
    house.dial.answer()
    house.dial.answer()
    assert [run.done for run in runs] == [True, True, False]
    assert house.counts == (0, 2, 0, 0, 1)


def test_a_closing_connection_holds_its_place_until_it_is_gone() -> None:
    """The bound is on sockets, not on intentions; the line moves when the socket closes."""
    house = House(max_open=1)
    connection = house.got()
    waiting = house.acquire()
    connection.start(b"GET", REQUEST, TIMES)
    house.pool.release(connection)
    assert not waiting.done
    house.loop.run()
    assert waiting.done
    assert waiting.value is not connection


def test_the_line_is_served_in_order() -> None:
    """First come, first served, by released connections and by new ones."""
    house = House(max_open=1)
    connection = house.got()
    runs = [house.acquire() for _ in range(3)]
    for at in range(3):
        assert [run.done for run in runs] == [each < at for each in range(3)]
        house.use(connection)
        house.pool.release(connection)
    assert [run.value for run in runs] == [connection] * 3


def test_the_line_is_bounded() -> None:
    """queue at its limit: the next one is told at once."""
    house = House(max_open=1, queue=2)
    house.got()
    runs = [house.acquire() for _ in range(2)]
    assert house.counts == (0, 1, 0, 0, 2)
    refused = house.acquire()
    assert fault_word(refused) == "pool_exhausted"
    assert not any(run.done for run in runs)


def test_no_line_at_all() -> None:
    """queue: 0 refuses whoever finds all busy, and nobody else."""
    house = House(max_open=1, queue=0)
    connection = house.got()
    assert fault_word(house.acquire()) == "pool_exhausted"
    house.pool.release(connection)
    assert house.got() is connection


def test_waiting_in_line_ends() -> None:
    """queue_timeout at its limit, each waiter by its own clock."""
    house = House(max_open=1, queue_timeout="5s")
    house.got()
    early = house.acquire()
    house.later(3.0)
    late = house.acquire()
    house.later(1.9)
    assert not early.done
    house.later(0.1)
    assert fault_word(early) == "pool_exhausted"
    assert not late.done
    house.later(3.0)
    assert fault_word(late) == "pool_exhausted"
    assert house.counts == (0, 1, 0, 0, 0)


def test_who_has_a_connection_coming_is_not_timed_out_by_the_line() -> None:
    """The connect deadline is the dialer's; the line's is for those for whom nothing is being made."""
    house = House(queue_timeout="1s")
    house.dial.hold = True
    running = house.acquire()
    house.later(2.0)
    assert not running.done
    house.dial.answer()
    assert running.done


def test_a_released_connection_goes_to_the_first_even_while_it_connects() -> None:
    """Whoever is first gets what comes first; the connection made for it is kept for the next."""
    house = House()
    connection = house.got()
    house.dial.hold = True
    running = house.acquire()
    house.pool.release(connection)
    assert running.value is connection
    assert house.counts == (0, 1, 1, 0, 0)
    house.dial.answer()
    assert house.counts == (1, 1, 0, 0, 0)


def test_a_refused_connection_is_told_to_the_first_in_line() -> None:
    """One failure, one answer; the others have their own attempts, and the failure is counted."""
    house = House()
    failures: list[Cause] = []
    house.pool.on_connect_failure = failures.append
    house.dial.hold = True
    first, second = house.acquire(), house.acquire()
    house.dial.answer(REFUSED)
    assert fault_word(first) == "connect_refused"
    assert not second.done
    house.dial.answer()
    assert second.done
    assert failures == [Cause.CONNECT_REFUSED]
    assert house.counts == (0, 1, 0, 0, 0)


def test_a_failed_attempt_makes_room_for_the_line() -> None:
    """At the bound, the place of a failed connection goes to who waits."""
    house = House(max_open=1)
    house.dial.hold = True
    first, second = house.acquire(), house.acquire()
    assert house.counts == (0, 0, 1, 0, 1)
    house.dial.answer(REFUSED)
    assert first.error is REFUSED
    assert house.dial.held == 1
    house.dial.answer()
    assert second.done


def test_each_connection_has_the_time_of_the_route_it_is_made_for() -> None:
    """timeouts.connect reaches the dialer, for those in line too."""
    house = House(max_open=1)
    house.dial.hold = True
    house.acquire(1.5)
    house.acquire(9.0)
    house.dial.answer(REFUSED)
    assert house.dial.seconds == [1.5, 9.0]


def test_an_origin_that_accepts_and_closes_is_refused() -> None:
    """A connection that is dead before anyone has it is a failed attempt, and nothing was sent."""
    house = House()

    async def dial(make: Any, seconds: float) -> Any:
        connection = await house.dial(make, seconds)
        house.dial.transports[-1].end()
        return connection

    house.pool._dial = dial
    assert fault_word(house.acquire()) == "connect_refused"
    house.loop.run()
    assert house.counts == (0, 0, 0, 0, 0)


# A new connection, whatever there is


def test_a_fresh_connection_is_a_new_one() -> None:
    """Idle ones are passed over, and stay where they are."""
    house = House()
    kept = [house.got(), house.got()]
    for connection in kept:
        house.pool.release(connection)
    fresh = house.acquire(fresh=True).value
    assert fresh not in kept
    assert (fresh.parked, kept[0].parked) == (False, True)
    assert house.counts == (2, 1, 0, 0, 0)
    assert house.pool.values == [3, 0]


def test_a_released_connection_is_not_a_fresh_one() -> None:
    """Who waits for a new one lets others take what is given back, and then gets its own."""
    house = House(max_open=2)
    first, second = house.got(), house.got()
    fresh, plain = house.acquire(fresh=True), house.acquire()
    house.use(first)
    house.pool.release(first)
    assert plain.value is first
    assert not fresh.done
    house.use(second)
    house.pool.release(second)
    house.loop.run()
    assert fresh.value not in (None, first, second)
    assert house.counts == (0, 2, 0, 0, 0)


def test_idle_connections_make_room_for_a_fresh_one() -> None:
    """At the bound the oldest is closed, and no more of them than are needed."""
    house = House(max_open=3)
    kept = [house.got() for _ in range(3)]
    for connection in kept:
        house.pool.release(connection)
    fresh = house.acquire(fresh=True)
    assert house.counts == (2, 0, 0, 1, 1)
    house.loop.run()
    assert fresh.value not in (None, *kept)
    assert [transport.closed for transport in house.dial.transports] == [True, False, False, False]
    assert house.counts == (2, 1, 0, 0, 0)


def test_cancelled_waiters_leak_nothing() -> None:
    """Cancelled in line or while connecting: the line is shorter, and the connection that comes is kept."""
    house = House(max_open=1)
    house.dial.hold = True
    connecting, queued = house.acquire(), house.acquire()
    gone = ClientFault(Cause.CLIENT_GONE)
    queued.cancel(gone)
    assert queued.error is gone
    connecting.cancel(gone)
    assert house.counts == (0, 0, 1, 0, 0)
    house.dial.answer()
    assert house.counts == (1, 0, 0, 0, 0)
    assert house.pool.load == 0
