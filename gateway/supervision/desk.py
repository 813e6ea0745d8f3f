"""Desk: the control process, as the supervisor keeps it: started, started again, told things.

What is told while nobody sits at the desk is lost, but for what must not be: a reload that was asked for. The rule: the
gateway serves on without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import structlog

from gateway.deadlines import NEVER
from gateway.state.channel import Channel
from gateway.state.segment import CONTROL_LANE
from gateway.supervision.back_off import BackOff
from gateway.supervision.child import Child, cause_of_death
from gateway.supervision.fork import Forks

GRACE = 2.0  # seconds to end in, before it is killed


class Desk:
    """`child` is the control process, None while there is none.

    role  (its end of the supervisor's channel) -> what it runs, and what it keeps open
    """

    def __init__(
        self, forks: Forks, role: Callable[[Channel], tuple[Callable[[], int], list[Any]]], now: float
    ) -> None:
        self._forks = forks
        self._role = role
        self._back_off = BackOff(now)
        self._log = structlog.get_logger("gateway")
        self.child: Child | None = None
        self.is_closed = False
        self.wants_reload = False  # asked for, and not done yet

    def due(self) -> float:
        if self.child is not None:
            return self.child.kill_at
        return NEVER if self.is_closed else self._back_off.due

    def keep_up(self, now: float) -> None:
        """Does what is due."""
        if self.child is not None:
            if self.child.kill_at <= now:
                self._log.error("the control process does not end and is killed", pid=self.child.pid)
                self.child.kill()
        elif not self.is_closed and self._back_off.due <= now:
            self._start(now)

    def _start(self, now: float) -> None:
        ours, theirs = self._forks.pair()
        role, keep = self._role(theirs)
        try:
            pid = self._forks.fork("gateway-control", role, [theirs, *keep])
        except OSError as error:
            self._forks.close(ours, theirs)
            seconds = self._back_off.died(now, None)
            self._log.error("the control process cannot be forked", reason=str(error), again_in=seconds)
            return
        self._forks.close(theirs)
        self.child = Child(pid, ours, now, share=0, lane=CONTROL_LANE)
        self.child.ready = now  # it says nothing, and nobody waits for it
        if self.wants_reload:
            self.tell({"tell": "reload"})

    def tell(self, body: dict[str, Any], fds: Sequence[int] = ()) -> None:
        if self.child is not None:
            self.child.tell(body, fds)

    def reload(self) -> None:
        """Passes on SIGHUP; told again to the next one if this one dies over it."""
        self.wants_reload = True
        self.tell({"tell": "reload"})

    def died(self, status: int, now: float) -> None:
        """Its end; unless the desk is closed, the next one is started when it is due."""
        child, self.child = self.child, None
        if child is None:
            return
        self._forks.close(*child.ends)
        if child.draining:
            self._back_off.due = now
        else:
            seconds = self._back_off.died(now, child.ready)
            self._log.error(
                "the control process died: requests are served on, reloads and the admin pages wait for the next one",
                pid=child.pid, reason=cause_of_death(status), again_in=seconds,
            )  # fmt: skip

    def relieve(self, now: float) -> None:
        """The control process is to end; unless the desk is closed, another one follows."""
        if self.child is not None and not self.child.draining:
            self.child.draining = True
            self.child.tell({"tell": "quit"})
            self.child.kill_at = now + GRACE
