"""Upgrade: the supervisor becomes another version of itself, with the same process id and the same sockets.

On SIGUSR2 the command line of this process is run once more with REHEARSAL set: the new code reads its configuration,
builds what workers need and ends. Only if that succeeds is this process replaced by exec; what it holds is named in
memory, whose descriptor is in HANDOVER. The rule: whatever fails before the exec changes nothing, and what fails after
it leaves the old workers serving.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterable, MutableMapping
from typing import Any, NamedTuple, NoReturn

from gateway.supervision.signals import HEEDED

REHEARSAL = "GATEWAY_REHEARSAL"  # the names of the listeners that are open, as JSON
HANDOVER = "GATEWAY_HANDOVER"  # the number of a descriptor
VERSION = 1  # of Handover and Rehearsal; another one can be upgraded to by a restart only
REHEARSAL_SECONDS = 60.0  # against a configuration that hangs on a file system
SETTLE_SECONDS = 60.0  # for the new workers to serve, before the upgrade is given up


class CannotUpgrade(Exception):
    """The new code cannot take over from the old."""


class Handover(NamedTuple):
    """All that one image of the supervisor leaves to the next; numbers are descriptors.

    segment  its descriptors
    sockets  Sockets.described(), of the workers and of the control process
    workers  Child.described(); control: the same, None if there is none
    """

    segment: list[int]
    generation: int
    sockets: dict[str, Any]
    admin: dict[str, Any]
    workers: list[dict[str, Any]]
    control: dict[str, Any] | None

    def descriptors(self) -> Iterable[int]:
        yield from self.segment
        for described in (self.sockets, self.admin):
            for fds, *_rest in described.values():
                yield from fds
        for child in [*self.workers, *([self.control] if self.control is not None else [])]:
            yield from child["fds"]


def begin_rehearsal(open_listeners: list[str]) -> int:
    """The id of a process that tries the new code; it succeeds with exit code 0. Raises OSError."""
    offer = json.dumps({"version": VERSION, "listeners": open_listeners})
    environment = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
    return os.posix_spawn(
        sys.executable,
        [sys.executable, *sys.orig_argv[1:]],
        environment | {REHEARSAL: offer},
        file_actions=[(os.POSIX_SPAWN_DUP2, 2, 1)],  # standard output is for the access log
        setsigmask=[],
        setsigdef=[*HEEDED, signal.SIGPIPE],
    )


def rehearsal(environment: MutableMapping[str, str]) -> list[str] | None:
    """The listeners that are open, if this process only tries whether it could take over; else None.
    Raises CannotUpgrade."""
    offer = environment.pop(REHEARSAL, None)
    if offer is None:
        return None
    told = json.loads(offer)
    if told["version"] != VERSION:
        raise CannotUpgrade(f"the running gateway hands over in form {told['version']}, this one takes {VERSION}")
    return list(told["listeners"])


def replace_image(handover: Handover) -> NoReturn:
    """Becomes the new code. Raises OSError, with everything as it was before.

    Signals must be held back, until the new code heeds them: it begins without dispositions, and would end.
    """
    fds = [*handover.descriptors()]
    memory = os.memfd_create("handover", 0)
    try:
        with os.fdopen(memory, "wb", closefd=False) as file:
            file.write(json.dumps({"version": VERSION, **handover._asdict()}).encode())
        for fd in fds:
            os.set_inheritable(fd, True)
        sys.stdout.flush()
        sys.stderr.flush()
        environment = {**os.environ, HANDOVER: str(memory)}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606 - there is no shell
    finally:
        for fd in fds:
            os.set_inheritable(fd, False)
        os.close(memory)


def received(environment: MutableMapping[str, str]) -> Handover | None:
    """What the image before this one left, None if there was none. Raises CannotUpgrade."""
    number = environment.pop(HANDOVER, None)
    if number is None:
        return None
    with os.fdopen(int(number), "rb") as file:
        file.seek(0)
        told = json.load(file)
    if told.pop("version") != VERSION:
        raise CannotUpgrade("the gateway before this one hands over in another form")
    handover = Handover(**told)
    for fd in handover.descriptors():
        os.set_inheritable(fd, False)
    return handover
