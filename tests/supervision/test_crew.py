"""Crew: who is started when, who stands in for whom, and how they end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.config.model import MOST_WORKERS
from gateway.deadlines import NEVER
from gateway.server.settings import Bind
from gateway.state.channel import Channel
from gateway.supervision.child import Child
from gateway.supervision.crew import GRACE, ORPHANED, Crew, Surroundings
from gateway.supervision.sockets import Sockets
from tests.kit.forks import Forked, PaperForks

KILLED = 9


class Floor:
    """A crew of `workers` on paper, and what it told of comings and goings."""

    def __init__(self, workers: int = 2, now: float = 0.0) -> None:
        self.forks = PaperForks()
        self.sockets = Sockets(workers)
        self.sockets.open([(Bind("127.0.0.1", 0), 10)])
        self.joined: list[Child] = []
        self.left: list[Child] = []
        around = Surroundings(self.forks, self.sockets, self.role, self.joined.append, self.left.append)  # type: ignore[arg-type]
        self.crew = Crew(workers, around, now)

    def role(self, share: int, lane: int, supervisor: Channel, control: Channel) -> tuple[Any, list[Any]]:
        return lambda: share, []

    def serve(self, now: float = 0.0) -> None:
        """All that were forked begin to serve."""
        self.crew.keep_up(now)
        for child in list(self.crew.children.values()):
            self.crew.told(child, {"tell": "ready"}, now)

    def of(self, share: int) -> Child:
        return next(child for child in self.crew.children.values() if child.share == share)

    def paper(self, child: Child) -> Forked:
        return next(forked for forked in self.forks.forked if forked.pid == child.pid)

    def dies(self, share: int, now: float, status: int = KILLED) -> Child:
        child = self.of(share)
        self.crew.died(child, status, now)
        return child

    def __enter__(self) -> Floor:
        return self

    def __exit__(self, *_: object) -> None:
        self.sockets.close()
        self.forks.__exit__()


@pytest.fixture
def floor() -> Iterator[Floor]:
    with Floor() as made:
        yield made


def test_a_worker_for_each_share(floor: Floor) -> None:
    """Each on a lane of its own, named for ps, its end of the supervisor's channel closed here."""
    floor.serve()
    assert [forked.name for forked in floor.forks.forked] == ["gateway-0", "gateway-1"]
    assert [(child.share, child.lane) for child in floor.joined] == [(0, 0), (1, 1)]
    assert {forked.theirs for forked in floor.forks.forked} <= floor.forks.closed
    assert floor.crew.is_complete
    assert floor.crew.has_settled
    assert floor.crew.due() == NEVER


def test_a_death_after_service(floor: Floor) -> None:
    """Is answered at once, on the lane that is free."""
    floor.serve(0.0)
    dead = floor.dies(0, now=5.0)
    assert floor.left == [dead]
    assert floor.crew.due() == 5.0
    floor.crew.keep_up(5.0)
    assert floor.of(0).pid != dead.pid
    assert floor.of(0).lane == 0


def test_a_worker_that_never_serves(floor: Floor) -> None:
    """Is hopeless after three times, with the reason it gave itself."""
    for turn in range(3):
        floor.crew.keep_up(float(turn))
        assert floor.crew.hopeless == ""
        floor.crew.told(floor.of(1), {"tell": "failed", "text": "no such file"}, float(turn))
        floor.dies(1, float(turn), status=1 << 8)
    assert floor.crew.hopeless == "no such file"
    assert not floor.crew.ever_ready
    assert not floor.crew.has_settled
    floor.crew.told(floor.of(0), {"tell": "ready"}, 3.0)
    assert floor.crew.has_settled  # as far as it can
    assert not floor.crew.is_complete


def test_no_process_left(floor: Floor) -> None:
    """A fork that fails is tried again later, and leaves no channel open."""
    floor.forks.refuses = True
    floor.crew.keep_up(0.0)
    floor.crew.keep_up(0.0)
    assert floor.crew.children == {}
    assert floor.crew.due() == pytest.approx(0.1)
    assert len(floor.forks.closed) == 2 * 2 * 4
    floor.forks.refuses = False
    floor.serve(1.0)
    assert floor.crew.is_complete


def test_standing_in(floor: Floor) -> None:
    """A share that nobody serves is served by another worker after a moment, until its own is back."""
    floor.serve(0.0)
    floor.dies(0, now=5.0)
    floor.forks.refuses = True
    floor.crew.keep_up(5.0)
    assert floor.crew.due() <= 5.0 + ORPHANED
    floor.crew.keep_up(5.0 + ORPHANED)
    adopter = floor.of(1)
    told = {"tell": "adopt", "of": 0, "binds": floor.sockets.names}
    assert floor.paper(adopter).heard_with_fds() == [(told, 1)]
    floor.forks.refuses = False
    floor.crew.keep_up(16.0)
    assert adopter.adopts == {0}
    floor.crew.told(floor.of(0), {"tell": "ready"}, 16.0)
    assert floor.paper(adopter).heard() == [{"tell": "unadopt", "of": 0}]
    assert adopter.adopts == set()


def test_a_stand_in_that_dies() -> None:
    """Is followed by another one."""
    with Floor(workers=3) as floor:
        floor.serve(0.0)
        floor.dies(0, now=5.0)
        floor.forks.refuses = True
        floor.crew.keep_up(5.0)
        floor.crew.keep_up(5.5)
        first = floor.of(1) if floor.of(1).adopts else floor.of(2)
        floor.dies(first.share, now=6.0)
        floor.crew.keep_up(6.5)
        last = next(iter(floor.crew.children.values()))
        assert last.adopts == {0, first.share}


def test_sockets_that_changed(floor: Floor) -> None:
    """Are given anew to whoever stands in."""
    floor.serve(0.0)
    floor.dies(0, now=5.0)
    floor.forks.refuses = True
    floor.crew.keep_up(5.3)
    floor.sockets.open([(Bind("127.0.0.1", 0, ""), 10)])
    floor.crew.sockets_changed()
    floor.crew.keep_up(6.0)
    floor.crew.keep_up(6.3)
    told = floor.paper(floor.of(1)).heard()
    assert [body["tell"] for body in told] == ["adopt", "unadopt", "adopt"]


def test_fewer_workers_than_sockets() -> None:
    """As after an upgrade: one of them serves the sockets that are left over, until their listener is gone."""
    with Floor(workers=1) as floor:
        wider = Sockets(2)
        wider.open([(Bind("127.0.0.1", 0), 10)])
        floor.sockets.close()
        floor.sockets.take_over(
            {name: [[os.dup(fd) for fd in fds], *rest] for name, (fds, *rest) in wider.described().items()}
        )
        wider.close()
        floor.serve(0.0)
        assert floor.crew.due() == ORPHANED
        floor.crew.keep_up(ORPHANED)
        assert floor.of(0).adopts == {1}
        floor.crew.sockets_changed()
        floor.crew.keep_up(1.0)
        assert floor.crew.due() == 1.0 + ORPHANED
        floor.sockets.keep([])
        floor.crew.keep_up(2.0)
        assert floor.crew.due() == NEVER


def test_a_drain(floor: Floor) -> None:
    """Each is told its times and killed a moment after the longer one; nobody follows them."""
    floor.serve(0.0)
    floor.crew.is_stopping = True
    floor.crew.drain(floor.crew.children.values(), 3.0, 6.0, 10.0)
    assert floor.paper(floor.of(0)).heard() == [{"tell": "drain", "seconds": 3.0, "streams": 6.0}]
    assert floor.crew.due() == 16.0 + GRACE
    floor.crew.told(floor.of(0), {"tell": "drained", "clean": True}, 11.0)
    floor.dies(0, 11.0, status=0)
    assert not floor.crew.cut
    floor.crew.keep_up(16.0 + GRACE)  # the other one is killed, and counts as cut
    assert floor.crew.cut
    floor.dies(1, 18.0)
    assert floor.crew.children == {}
    floor.crew.keep_up(30.0)
    assert len(floor.forks.forked) == 2


@pytest.mark.parametrize(("clean", "status"), [(False, 0), (True, KILLED)])
def test_what_counts_as_cut(floor: Floor, clean: bool, status: int) -> None:
    """A worker that says so, and one that dies while it drains."""
    floor.serve(0.0)
    floor.crew.is_stopping = True
    floor.crew.drain(floor.crew.children.values(), 3.0, 6.0, 10.0)
    floor.crew.told(floor.of(0), {"tell": "drained", "clean": clean}, 11.0)
    floor.dies(0, 11.0, status)
    assert floor.crew.cut


def test_cutting(floor: Floor) -> None:
    """All are told to end at once, and killed if they do not."""
    floor.serve(0.0)
    floor.crew.is_stopping = True
    floor.crew.quit(10.0)
    assert floor.paper(floor.of(1)).heard() == [{"tell": "quit"}]
    assert floor.crew.due() == 10.0 + GRACE


def predecessor(floor: Floor, share: int, lane: int) -> Child:
    """A worker of the image before this one."""
    child = Child(100 + share, floor.forks.pair()[0], 0.0, share=share, lane=lane, pair=floor.forks.pair())
    child.predecessor, child.ready = True, 0.0
    floor.crew.take_over(child)
    return child


def test_an_upgrade(floor: Floor) -> None:
    """New workers take free lanes; those of the image before are known apart, and drain when told."""
    old = [predecessor(floor, share, share) for share in (0, 1)]
    floor.crew.keep_up(1.0)
    assert sorted(child.lane for child in floor.joined) == [2, 3]
    assert floor.crew.predecessors == old
    assert floor.crew.ever_ready
    floor.crew.drain(old, 1.0, 1.0, 2.0)
    assert floor.crew.predecessors == []


def test_an_upgrade_that_failed(floor: Floor) -> None:
    """The old workers have their posts back; new ones that serve drain, the others are killed."""
    old = [predecessor(floor, share, share) for share in (0, 1)]
    floor.crew.keep_up(1.0)
    new = list(floor.joined)
    floor.crew.told(new[0], {"tell": "ready"}, 1.0)
    floor.crew.reinstate(5.0, 5.0, 2.0)
    assert floor.paper(new[0]).heard()[-1]["tell"] == "drain"
    assert all(child.draining for child in new)
    assert floor.crew.predecessors == []
    assert floor.crew.is_complete
    for child in new:
        floor.crew.died(child, KILLED, 3.0)
    floor.crew.died(old[0], KILLED, 4.0)  # from now on it is one as any other
    assert floor.crew.due() < NEVER


def test_room_for_an_upgrade(floor: Floor) -> None:
    """There is none while the workers of several upgrades drain: each needs a lane."""
    floor.serve(0.0)
    assert floor.crew.has_room
    for share in range(MOST_WORKERS + 1):
        predecessor(floor, share, 10 + share)
    assert not floor.crew.has_room
