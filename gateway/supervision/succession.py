"""Succession: one image of the supervisor follows another, and its workers follow the other's.

Before the exec: a rehearsal, watched beside everything else. After it: the new workers start on the sockets that the
old ones serve, and only when all of them serve are the old ones drained and is the control process replaced. The rule:
until then the old ones stay at their posts, so that new code which does not work is a line in the log and nothing more.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import Any

import structlog

from gateway.deadlines import NEVER
from gateway.supervision import upgrade
from gateway.supervision.child import Child, cause_of_death
from gateway.supervision.crew import Crew
from gateway.supervision.desk import Desk
from gateway.supervision.fork import Forks
from gateway.supervision.stopping import Times
from gateway.supervision.template import Template


class Succession:
    """`is_open`: there was an image before this one, and its workers have not been told to end yet."""

    __slots__ = ("_crew", "_deadline", "_desk", "_log", "_rehearsal", "_template", "is_open")

    def __init__(self, template: Template, crew: Crew, desk: Desk) -> None:
        self._template = template
        self._crew = crew
        self._desk = desk
        self._log = structlog.get_logger("gateway")
        self._rehearsal: int | None = None  # its process id
        self._deadline = NEVER
        self.is_open = False

    def due(self) -> float:
        return self._deadline

    # -- the old image ------------------------------------------------------------------------------------------------

    def begin(self, now: float) -> str:
        """Starts a rehearsal; why not, if it does not."""
        if self.is_open or self._rehearsal is not None:
            return "another upgrade is under way"
        if not self._crew.has_room:
            return "workers of the last upgrade are draining still"
        try:
            self._rehearsal = upgrade.begin_rehearsal([*self._template.sockets.names, *self._template.admin.names])
        except OSError as error:
            return f"the new code cannot be started: {error.strerror}"
        self._deadline = now + upgrade.REHEARSAL_SECONDS
        self._log.info("upgrade: the new code is tried", pid=self._rehearsal)
        return ""

    def rehearsed(self, pid: int, status: int) -> bool:
        """A process has ended that was none of the crew: whether it was a rehearsal that went well."""
        if pid != self._rehearsal:
            return False
        self._rehearsal = None
        self._deadline = NEVER
        if status != 0:
            self._log.error(
                "upgrade given up: the new code cannot take over, and what ran before runs on",
                reason=cause_of_death(status),
            )
        return status == 0

    def hand_over(self) -> None:
        """Becomes the new code. Returns only where that fails."""
        template, control = self._template, self._desk.child
        handover = upgrade.Handover(
            template.segment.descriptors,
            template.generation,
            template.sockets.described(),
            template.admin.described(),
            [child.described() for child in self._crew.children.values() if child.channel is not None],
            control.described() if control is not None and control.channel is not None else None,
        )
        try:
            upgrade.replace_image(handover)
        except OSError as error:
            self._log.error("upgrade given up: what ran before runs on", reason=str(error))

    def stop(self) -> None:
        """The gateway stops: there will be no upgrade."""
        self.is_open = False
        self._deadline = NEVER
        self._end_rehearsal()

    def _end_rehearsal(self) -> None:
        if self._rehearsal is not None:
            with suppress(ProcessLookupError):
                os.kill(self._rehearsal, signal.SIGKILL)

    # -- the new image ------------------------------------------------------------------------------------------------

    def take_over(self, before: upgrade.Handover, forks: Forks, now: float) -> None:
        """Takes over the processes of the image before this one."""
        self.is_open = True
        self._deadline = now + upgrade.SETTLE_SECONDS
        for told in before.workers:
            child = _taken_over(told, forks)
            child.predecessor = True
            self._crew.take_over(child)
        if before.control is not None:
            self._desk.child = _taken_over(before.control, forks)

    def keep_up(self, now: float) -> bool | None:
        """Does what is due. Once, when it is decided who serves: True for the new workers, False for the old ones."""
        if self._rehearsal is not None:
            if now >= self._deadline:
                self._deadline = NEVER
                self._end_rehearsal()
            return None
        if not self.is_open:
            return None
        reason = self._crew.hopeless or ("they were not ready in time" if now >= self._deadline else "")
        if not self._crew.is_complete and not reason:
            return None
        self.is_open = False
        self._deadline = NEVER
        times = Times.of(self._template.loaded.config.shutdown, quick=False)
        if reason:
            self._log.error("upgrade given up: the new workers do not serve, and the old ones serve on", reason=reason)
            self._crew.reinstate(times.drain, times.streams, now)
        else:
            self._log.info("upgraded: the new workers serve, the old ones drain")
            self._crew.drain(self._crew.predecessors, times.drain, times.streams, now)
            self._template.keep_sockets()
            self._desk.relieve(now)
        return not reason


def _taken_over(told: dict[str, Any], forks: Forks) -> Child:
    channel, *pair = map(forks.take_over, told["fds"])
    return Child.taken_over(told, channel, tuple(pair))
