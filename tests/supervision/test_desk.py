"""Desk: the control process is started, started again, told things and relieved."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.deadlines import NEVER
from gateway.supervision.desk import GRACE, Desk
from tests.kit.forks import PaperForks

KILLED = 9


@pytest.fixture
def forks() -> Iterator[PaperForks]:
    with PaperForks() as made:
        yield made


@pytest.fixture
def desk(forks: PaperForks) -> Desk:
    return Desk(forks, lambda end: (lambda: 0, []), 0.0)  # type: ignore[arg-type]


def test_a_death(desk: Desk, forks: PaperForks) -> None:
    """Is answered at once; one that dies over and over waits for longer each time."""
    desk.keep_up(0.0)
    assert [forked.name for forked in forks.forked] == ["gateway-control"]
    assert desk.due() == NEVER
    desk.died(KILLED, 5.0)
    assert desk.due() == 5.0
    for now in (5.0, 5.1):
        desk.keep_up(now)
        desk.died(KILLED, now)
    assert desk.due() == pytest.approx(5.2)
    desk.died(KILLED, 6.0)  # nobody is there: nothing happens
    assert desk.due() == pytest.approx(5.2)


def test_a_reload_outlives_the_process(desk: Desk, forks: PaperForks) -> None:
    """It is told again to the one that follows, until one says that it is done."""
    desk.reload()
    desk.keep_up(0.0)
    assert forks.forked[0].heard() == [{"tell": "reload"}]
    desk.died(KILLED, 2.0)
    desk.keep_up(2.0)
    assert forks.forked[1].heard() == [{"tell": "reload"}]
    desk.wants_reload = False
    desk.died(KILLED, 4.0)
    desk.keep_up(4.0)
    assert forks.forked[2].heard() == []


def test_a_relief(desk: Desk, forks: PaperForks) -> None:
    """It is told to end, killed if it does not, and followed by another at once."""
    desk.keep_up(0.0)
    desk.relieve(0.1)
    desk.relieve(0.2)
    assert forks.forked[0].heard() == [{"tell": "quit"}]
    assert desk.due() == 0.1 + GRACE
    desk.keep_up(0.1 + GRACE)  # killed
    desk.died(KILLED, 2.2)
    desk.keep_up(2.2)
    assert len(forks.forked) == 2


def test_a_closed_desk(desk: Desk, forks: PaperForks) -> None:
    """Nobody follows."""
    desk.keep_up(0.0)
    desk.is_closed = True
    desk.relieve(0.0)
    desk.died(0, 0.1)
    desk.keep_up(5.0)
    assert len(forks.forked) == 1
    assert desk.due() == NEVER
    desk.relieve(6.0)
    desk.tell({"tell": "drain"})


def test_no_process_left(desk: Desk, forks: PaperForks) -> None:
    """It is tried again later."""
    forks.refuses = True
    for now in (0.0, 0.0, 0.1):
        desk.keep_up(now)
    assert desk.due() > 0.1
    forks.refuses = False
    desk.keep_up(1.0)
    assert desk.child is not None


def test_descriptors_ride_along(desk: Desk, forks: PaperForks) -> None:
    """A new worker's channel reaches the control process."""
    desk.keep_up(0.0)
    one, _other = forks.pair()
    desk.tell({"tell": "worker"}, [one.fileno()])
    assert forks.forked[0].heard_with_fds() == [({"tell": "worker"}, 1)]
