"""Template: what children are forked with: configuration, what was built of it, sockets, shared memory.

The supervisor is the loaded template itself; a reload that was agreed on changes it for those who are forked later. The
rule: a child is given what its configuration names and nothing else, so that no socket stays open in a process that
does not know it.
"""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from gateway.admin.serve import BACKLOG
from gateway.config import Loaded
from gateway.server.settings import Bind, parse_bind
from gateway.state.channel import MOST_FDS, Channel
from gateway.state.segment import CONTROL_LANE, Segment, Word
from gateway.supervision.roles import ControlRole, CrewEntry, Roles, WorkerRole
from gateway.supervision.sockets import Sockets

Forked = tuple[Callable[[], int], list[Any]]  # what a child runs, and what it keeps open


class Template:
    """`loaded` is what the next child is forked with, `generation` its number."""

    def __init__(self, loaded: Loaded, roles: Roles, segment: Segment, sockets: Sockets, admin: Sockets) -> None:
        self.loaded = loaded
        self.generation = 0
        self.segment = segment
        self.sockets = sockets
        self.admin = admin
        self._roles = roles
        self._made: Any = None

    def open(self, patience: float) -> None:
        """Opens the sockets of the configuration. Raises OSError, `filename` being the address."""
        config = self.loaded.config
        self.sockets.open(((listener.bind, listener.backlog) for listener in config.listeners), patience)
        self.admin.open(((bind, BACKLOG) for bind in admin_binds(self.loaded)), patience)

    def load(self, loaded: Loaded, generation: int) -> None:
        """Forks with `loaded` from now on. Raises what Roles.template raises, with everything as it was before."""
        self._made = self._roles.template(loaded)
        self.loaded, self.generation = loaded, generation
        self.segment.write(Word.GENERATION, generation)
        # What is frozen is not looked at by the collector, so a child's memory stays the parent's for longer; what was
        # frozen for the configuration before this one may be garbage by now.
        gc.unfreeze()
        gc.collect()
        gc.freeze()

    def keep_sockets(self) -> None:
        """Closes those that the configuration does not name."""
        self.sockets.keep(str(listener.bind) for listener in self.loaded.config.listeners)
        self.admin.keep(map(str, admin_binds(self.loaded)))

    def worker(self, share: int, lane: int, supervisor: Channel, control: Channel) -> Forked:
        named = {str(listener.bind) for listener in self.loaded.config.listeners}
        sockets = {name: opened for name, opened in self.sockets.of(share).items() if name in named}
        role = WorkerRole(
            share, lane, self.generation, self.loaded, self._made, self.segment, sockets, supervisor, control
        )
        return partial(self._roles.worker, role), [one for opened in sockets.values() for one in opened]

    def control(self, supervisor: Channel, crew: Sequence[CrewEntry]) -> Forked:
        named = set(map(str, admin_binds(self.loaded)))
        sockets = {name: opened[0] for name, opened in self.admin.of(0).items() if name in named}
        role = ControlRole(
            CONTROL_LANE, self.generation, self.loaded, self._made, self.segment, sockets, supervisor, crew
        )
        return partial(self._roles.control, role), [*sockets.values(), *(entry.channel for entry in crew)]

    def renew(self) -> None:
        """Files behind the template have changed."""
        self._roles.renew(self._made)

    def answer_sockets(self, wanted: Sequence[tuple[str, int]]) -> tuple[dict[str, Any], list[int]]:
        """Opens listeners that a coming configuration adds: the answer to the control process, and its descriptors,
        for each listener those of all shares."""
        opened: list[list[socket.socket]] = []
        errors = []
        for name, backlog in wanted:
            try:
                self.sockets.open([(parse_bind(name), backlog)])
                opened.append(self.sockets.of_listener(name))
            except (OSError, ValueError) as error:
                errors.append(
                    [name, os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)]
                )
        fds = [one.fileno() for some in opened for one in some]
        if len(fds) > MOST_FDS:
            errors = [[wanted[0][0], f"{len(fds)} sockets at once are more than {MOST_FDS}: ask for fewer"]]
        if errors:
            return {"ok": False, "errors": errors}, []
        return {"ok": True, "counts": list(map(len, opened))}, fds


def admin_binds(loaded: Loaded) -> list[Bind]:
    """Where the control process listens."""
    admin = loaded.config.admin
    return [bind for bind in (admin.bind, admin.probe) if bind is not None]
