"""AdminState: what the admin listener may know of the gateway, as functions that are called when somebody asks.

Made once by `control.py`; every page reads from it, and every write goes through its `actions`. The rule: the admin
side never reaches into the serving side, and what it is given to show holds no secret.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from gateway.admin.actions import Actions
from gateway.metrics import Family, Metrics
from gateway.server.certificates import CertificateEntry


class Reload(NamedTuple):
    """How the last attempt to load the configuration ended; the first start counts."""

    at: float  # seconds since the epoch
    ok: bool
    text: str = ""  # what was wrong, one mistake per line


@dataclass(frozen=True, slots=True)
class AdminState:
    """Functions, all called on the event loop but `config` and `routes`, which are called on a thread.

    metrics       the registry of this process, for what is known here
    families      all metrics of all processes
    version       of the gateway
    ready         whether to send traffic here, and if not, why not
    generation    number of the configuration in force
    last_reload   how the last load ended
    status        more for /status, JSON values: uptime, connections, listeners
    config        the configuration in force without its secrets (config/redact.py), JSON values
    upstreams     endpoints, their health and pools, JSON values
    certificates  what is served over TLS
    certificate_problems  sentences: what is wrong with the files that should be served
    routes        what goes where, JSON values (`routes_shown` beside this file)
    recent_errors the last exchanges that failed, newest first, JSON values (gateway/recent_errors.py)
    actions       what may be asked for, None where nothing may
    state_dir     where a token is kept if the configuration has none
    folder        where relative paths of the configuration start
    """

    metrics: Metrics
    version: str
    ready: Callable[[], tuple[bool, Sequence[str]]]
    generation: Callable[[], int]
    last_reload: Callable[[], Reload]
    status: Callable[[], Awaitable[Mapping[str, Any]]]
    config: Callable[[], Mapping[str, Any]]
    families: Callable[[], Awaitable[Iterable[Family]]]
    upstreams: Callable[[], Awaitable[Sequence[Mapping[str, Any]]]]
    certificates: Callable[[], Sequence[CertificateEntry]] = tuple
    certificate_problems: Callable[[], Sequence[str]] = tuple
    routes: Callable[[], Sequence[Mapping[str, Any]]] = tuple
    recent_errors: Callable[[], Awaitable[Sequence[Mapping[str, Any]]]] | None = None
    actions: Actions | None = None
    state_dir: Path | None = None
    folder: Path = Path()
