"""Crew: the workers, one for each share: started, started again, drained, and stood in for.

The supervisor calls it with what has happened and with the time. The rule: no share's sockets are without a worker for
longer than ORPHANED while another one lives; and whatever the others do, a death is answered at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import structlog

from gateway.config.model import MOST_WORKERS
from gateway.deadlines import NEVER
from gateway.state.channel import MOST_FDS, Channel
from gateway.state.segment import SUPERVISOR_LANE
from gateway.supervision.back_off import BackOff
from gateway.supervision.child import Child, cause_of_death
from gateway.supervision.fork import Forks
from gateway.supervision.sockets import Sockets

ORPHANED = 0.1  # seconds that connections may wait in a queue which nobody serves, before another worker takes it on
HOPELESS = 3  # starts in a row of a worker that never served, before that is called a failure
GRACE = 2.0  # seconds beyond its drain time before a worker is killed


class Post:
    """A share and who serves it."""

    __slots__ = ("back_off", "child", "reason", "share")

    def __init__(self, share: int, now: float) -> None:
        self.share = share
        self.child: Child | None = None
        self.back_off = BackOff(now)
        self.reason = ""  # of its last death


class Surroundings(NamedTuple):
    """What the crew needs of the supervisor.

    role     (share, lane, end of the supervisor's channel, end of the control's) -> what the child runs, and the
             sockets it keeps
    joined   a worker was forked; left: it is gone
    """

    forks: Forks
    sockets: Sockets
    role: Callable[[int, int, Channel, Channel], tuple[Callable[[], int], list[Any]]]
    joined: Callable[[Child], None]
    left: Callable[[Child], None]


class Crew:
    """All workers. `children` by process id; `cut` once one has cut a connection off while the
    gateway stops."""

    def __init__(self, workers: int, around: Surroundings, now: float) -> None:
        self._around = around
        self._posts = [Post(share, now) for share in range(workers)]
        self._orphaned: dict[int, float] = {}  # shares that nobody serves: since when
        self._log = structlog.get_logger("gateway")
        self.children: dict[int, Child] = {}
        self.is_stopping = False
        self.ever_ready = False
        self.cut = False

    # -- what the supervisor asks -------------------------------------------------------------------------------------

    @property
    def serving(self) -> list[Child]:
        return [child for child in self.children.values() if child.serves]

    @property
    def predecessors(self) -> list[Child]:
        """Workers of the image before this one that have not been told to end."""
        return [child for child in self.children.values() if child.predecessor and not child.draining]

    @property
    def is_complete(self) -> bool:
        """Whether each post has a worker that serves."""
        return all(post.child is not None and post.child.serves for post in self._posts)

    @property
    def has_settled(self) -> bool:
        """Whether all that can start have: each post has a worker that serves, or is being stood in for."""
        return bool(self.serving) and all(
            (post.child is not None and post.child.serves) or post.back_off.quick_deaths >= HOPELESS
            for post in self._posts
        )

    @property
    def hopeless(self) -> str:
        """Why a worker cannot be started, after some attempts; "" while there is hope."""
        posts = (post for post in self._posts if post.child is None or post.child.ready is None)
        return next((post.reason for post in posts if post.back_off.quick_deaths >= HOPELESS), "")

    @property
    def has_room(self) -> bool:
        """Whether there are lanes for as many workers more."""
        return len(self.children) + MOST_WORKERS <= SUPERVISOR_LANE

    def due(self) -> float:
        """When `keep_up` has something to do."""
        times = [child.kill_at for child in self.children.values()]
        if not self.is_stopping:
            times += [post.back_off.due for post in self._posts if post.child is None]
            if self.serving:
                times += [since + ORPHANED for since in self._orphaned.values()]
        return min(times, default=NEVER)

    def keep_up(self, now: float) -> None:
        """Does what is due."""
        for child in self.children.values():
            if child.kill_at <= now:
                self._log.error("a worker does not end and is killed", pid=child.pid, share=child.share)
                self.cut = self.cut or self.is_stopping
                child.kill()
        if self.is_stopping:
            return
        for post in self._posts:
            if post.child is None and post.back_off.due <= now:
                self._start(post, now)
        self._look_after_orphans(now)

    # -- starts and deaths --------------------------------------------------------------------------------------------

    def _start(self, post: Post, now: float) -> None:
        forks = self._around.forks
        taken = {child.lane for child in self.children.values()}
        lane = next(lane for lane in range(SUPERVISOR_LANE) if lane not in taken)
        ours, theirs = forks.pair()
        control, worker = forks.pair()
        role, keep = self._around.role(post.share, lane, theirs, worker)
        try:
            pid = forks.fork(f"gateway-{post.share}", role, [theirs, worker, *keep])
        except OSError as error:  # no memory, or no process ids left
            forks.close(ours, theirs, control, worker)
            post.reason = str(error)
            seconds = post.back_off.died(now, None)
            self._log.error("a worker cannot be forked", share=post.share, reason=post.reason, again_in=seconds)
            return
        forks.close(theirs)
        post.child = Child(pid, ours, now, share=post.share, lane=lane, pair=(control, worker))
        self.children[pid] = post.child
        self._around.joined(post.child)

    def take_over(self, child: Child) -> None:
        """A worker of the image before this one. It has no post, unless it is reinstated."""
        self.children[child.pid] = child
        self.ever_ready = self.ever_ready or child.ready is not None

    def told(self, child: Child, body: dict[str, Any], now: float) -> None:
        """What a worker says of itself."""
        match body.get("tell"):
            case "ready" if child.ready is None:
                child.ready = now
                self.ever_ready = True
                self._look_after_orphans(now)
            case "failed":
                child.failure = str(body.get("text", ""))
            case "drained":
                child.clean = bool(body.get("clean"))

    def died(self, child: Child, status: int, now: float) -> None:
        """A worker's end; if it was not asked for, the next one is started when it is due."""
        del self.children[child.pid]
        self._around.forks.close(*child.ends)
        reason = child.failure or cause_of_death(status)
        expected = child.draining or self.is_stopping
        if self.is_stopping and (status != 0 or not child.clean):
            self.cut = True
        post = next((post for post in self._posts if post.child is child), None)
        if post is not None:
            post.child = None
        if not expected:
            seconds = 0.0
            if post is not None:
                post.reason = reason
                seconds = post.back_off.died(now, child.ready)
            self._log.error(
                "a worker died", share=child.share, pid=child.pid, reason=reason,
                served=round(now - child.ready, 1) if child.ready is not None else 0, again_in=seconds,
            )  # fmt: skip
        self._around.left(child)
        if not self.is_stopping:
            self._look_after_orphans(now)

    # -- shares without a worker --------------------------------------------------------------------------------------

    def _look_after_orphans(self, now: float) -> None:
        serving = self.serving
        served = {child.share for child in serving}
        shares = range(self._around.sockets.shares)
        self._orphaned = {share: since for share, since in self._orphaned.items() if share in shares}
        for share in shares:
            adopter = next((child for child in serving if share in child.adopts), None)
            if share in served:
                self._orphaned.pop(share, None)
                if adopter is not None:
                    self._end_adoption(adopter, share)
            elif adopter is None and self._orphaned.setdefault(share, now) + ORPHANED <= now and serving:
                self._adopt(min(serving, key=lambda child: len(child.adopts)), share)

    def _adopt(self, child: Child, share: int) -> None:
        del self._orphaned[share]
        child.adopts.add(share)
        alone = self._around.sockets.of_share_alone(share)
        if alone:
            # Where none has died yet, one is just slower to start than the others.
            has_died = any(post.reason for post in self._posts if post.share == share)
            say = self._log.warning if has_died else self._log.debug
            say("a worker stands in for another", share=share, pid=child.pid)
        names = list(alone)
        for some in (names[at : at + MOST_FDS] for at in range(0, len(names), MOST_FDS)):
            child.tell({"tell": "adopt", "of": share, "binds": some}, [alone[name].fileno() for name in some])

    def _end_adoption(self, child: Child, share: int) -> None:
        child.adopts.discard(share)
        child.tell({"tell": "unadopt", "of": share})

    def sockets_changed(self) -> None:
        """Who stands in for another lets go; what there is now is given out again."""
        for child in self.serving:
            for share in list(child.adopts):
                self._end_adoption(child, share)

    # -- ends ---------------------------------------------------------------------------------------------------------

    def drain(self, children: Iterable[Child], seconds: float, streams: float, now: float) -> None:
        """Tells workers to accept no more and to end with their last connection, or after the given times."""
        for child in children:
            child.draining = True
            child.adopts.clear()
            child.tell({"tell": "drain", "seconds": seconds, "streams": streams})
            child.kill_at = now + max(seconds, streams) + GRACE

    def quit(self, now: float) -> None:
        """Tells all workers to cut what is open and to end."""
        for child in self.children.values():
            child.draining = True
            child.tell({"tell": "quit"})
            child.kill_at = min(child.kill_at, now + GRACE)

    def reinstate(self, seconds: float, streams: float, now: float) -> None:
        """The successors are no good: they go, and the workers of the image before this one stay at their posts."""
        successors = [child for child in self.children.values() if not child.predecessor]
        self.drain([child for child in successors if child.serves], seconds, streams, now)
        for child in successors:
            if not child.draining:
                child.draining = True
                child.kill()
        for post in self._posts:
            post.child = next((child for child in self.predecessors if child.share == post.share), None)
        for child in self.predecessors:
            child.predecessor = False
        self._look_after_orphans(now)
