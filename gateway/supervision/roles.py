"""What the supervisor gives each process it forks.

Filled in by crew.py and control.py of this package, read by the worker and the control process proper. The rule: what
a role names is all that the process has; every other descriptor of the supervisor is closed in it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from gateway.config import Loaded
from gateway.state.channel import Channel
from gateway.state.segment import Segment


class WorkerRole(NamedTuple):
    """One worker.

    share       whose sockets it has, 0 to N-1; during an upgrade two workers have the same share
    lane        of the segment: where it counts
    generation  number of `loaded`
    template    what Roles.template made of `loaded`, before the fork
    sockets     listening sockets by listener, one or several
    supervisor  messages from and to the supervisor; its end means that the supervisor is gone
    control     messages from and to whichever control process there is; it never ends
    """

    share: int
    lane: int
    generation: int
    loaded: Loaded
    template: Any
    segment: Segment
    sockets: Mapping[str, Sequence[socket.socket]]
    supervisor: Channel
    control: Channel


class CrewEntry(NamedTuple):
    """A worker as the control process is told of it."""

    lane: int
    share: int
    pid: int
    channel: Channel


class ControlRole(NamedTuple):
    """The control process. `sockets`: of the admin listeners, by address; the rest as in WorkerRole."""

    lane: int
    generation: int
    loaded: Loaded
    template: Any
    segment: Segment
    sockets: Mapping[str, socket.socket]
    supervisor: Channel
    crew: Sequence[CrewEntry]


def _nothing(_template: Any) -> None:
    """For templates that nothing behind can change."""


class Roles(NamedTuple):
    """What the processes do. Both run in the forked child; what they return is its exit code.

    template  run in the supervisor for each configuration, before anything is forked with it: builds what all workers
              can share (certificates and their session tickets). Raises what `gateway check` would say.
    renew     run in the supervisor when files behind the template have changed: later children are forked with what
              the present ones serve. Never raises for what the files hold
    """

    worker: Callable[[WorkerRole], int]
    control: Callable[[ControlRole], int]
    template: Callable[[Loaded], Any]
    renew: Callable[[Any], None] = _nothing
