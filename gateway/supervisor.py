"""run(): the life of the gateway as a whole, from a loaded configuration to its exit code.

The supervisor opens every socket, forks the workers and the control process from itself, the loaded template, and
answers their deaths and the signals that are sent to it; no request ever comes here. The rule: no event loop, no
threads, and nothing that waits for a child, so that whatever happens to the others, this process goes on.
"""

from __future__ import annotations

import os

import structlog

from gateway import logs
from gateway.admin.serve import BACKLOG
from gateway.config import Loaded
from gateway.state.segment import Segment, SegmentMismatch
from gateway.supervision import upgrade
from gateway.supervision.loop import Options, Supervisor
from gateway.supervision.roles import Roles
from gateway.supervision.signals import Signals
from gateway.supervision.sockets import PATIENCE, Sockets
from gateway.supervision.stopping import CANNOT_START, CLEAN
from gateway.supervision.systemd import given_sockets
from gateway.supervision.template import Template, admin_binds

__all__ = ["CANNOT_START", "CLEAN", "Options", "run"]


def run(loaded: Loaded, roles: Roles, options: Options) -> int:
    """Serves until told to end; the exit code. Raises OSError (`filename` is the address) if it cannot listen,
    StateInUse, and what `roles.template` raises."""
    logs.set_up(loaded.config.log.level, loaded.config.log.format)
    try:
        listeners = upgrade.rehearsal(os.environ)
    except upgrade.CannotUpgrade as error:
        structlog.get_logger("gateway").error(str(error))
        return CANNOT_START
    if listeners is not None:
        return _rehearse(loaded, roles, options, listeners)
    with Signals() as signals:
        return _supervise(loaded, roles, options, signals)


def _supervise(loaded: Loaded, roles: Roles, options: Options, signals: Signals) -> int:
    before = upgrade.received(os.environ)
    segment = _segment(options, before)
    given = given_sockets(os.environ)
    template = Template(loaded, roles, segment, Sockets(options.workers, given), Sockets(1, given))
    if before is not None:
        template.sockets.take_over(before.sockets)
        template.admin.take_over(before.admin)
    try:
        template.open(PATIENCE)
        template.load(loaded, before.generation + 1 if before is not None else 1)
        for name in template.sockets.leftover():
            structlog.get_logger("gateway").warning(
                "a socket was passed to the gateway that no listener names", bind=name
            )
        return Supervisor(template, options, signals, before).run()
    finally:
        template.sockets.close()
        template.admin.close()
        segment.close()


def _rehearse(loaded: Loaded, roles: Roles, options: Options, listeners: list[str]) -> int:
    """What `run` does up to the first fork, without taking anything from the gateway that runs."""
    roles.template(loaded)
    trial = Sockets(options.workers)
    try:
        admin = [(bind, BACKLOG) for bind in admin_binds(loaded)]
        wanted = [*((one.bind, one.backlog) for one in loaded.config.listeners), *admin]
        trial.open((bind, backlog) for bind, backlog in wanted if str(bind) not in listeners)
    finally:
        trial.close()
    return CLEAN


def _segment(options: Options, before: upgrade.Handover | None) -> Segment:
    if before is not None:
        try:
            return Segment.attach(*before.segment)
        except SegmentMismatch as error:
            structlog.get_logger("gateway").warning("counters begin anew", reason=str(error))
            for fd in before.segment:
                os.close(fd)
    return Segment.create(options.state_dir)
