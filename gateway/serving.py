"""serve(): what `gateway run` does with a configuration: it gives the supervisor what its processes do.

The one place where supervisor, workers and control process meet. The rule: everything slow to import that a worker
needs is imported here, before the first fork, so that a worker which follows a dead one answers at once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import structlog

from gateway import supervisor
from gateway.app import work
from gateway.changeover import build_generation, renew
from gateway.config import Loaded
from gateway.control import control, state_folder
from gateway.log_writer import LogRehearsal
from gateway.server.certificates import CertificateStore
from gateway.site import Services
from gateway.supervision.processors import usable_processors
from gateway.supervision.roles import Roles


def serve(loaded: Loaded, read: Callable[[], Loaded] | None, workers: int | None, started: Callable[[], None]) -> int:
    """Serves until told to end; the exit code. `read` reads the configuration again, None where there is no file.

    Raises ConfigError, OSError (`filename` is the address) if it cannot listen, and StateInUse.
    """
    config = loaded.config
    count = workers or (usable_processors() if config.workers == "auto" else config.workers)
    roles = Roles(work, partial(control, read=read), certificates, renew)
    return supervisor.run(loaded, roles, supervisor.Options(count, state_folder(loaded), started))


def certificates(loaded: Loaded) -> dict[str, CertificateStore]:
    """By listener: what all workers are forked with. Builds the whole site once, so that a mistake is told by this
    process, and not by each worker. Raises ConfigError."""
    services = Services(logs=LogRehearsal(), warn=structlog.get_logger("gateway").warning)
    return build_generation(loaded, services, 0).stores
