"""AdminState: what the admin listener may know of the gateway, as functions that are called when somebody asks.

Made once by `app.py`; every page of `app.py` beside this file reads from it. The rule: the admin side reads and never
reaches into the serving side, and what it is given holds no secret.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from gateway.metrics import Metrics
from gateway.server.certificates import CertificateEntry


class Reload(NamedTuple):
    """How the last attempt to load the configuration ended; the first start counts."""

    at: float  # seconds since the epoch
    ok: bool
    text: str = ""  # what was wrong, one mistake per line


@dataclass(frozen=True, slots=True)
class AdminState:
    """Functions, all called on the event loop but `config`, which is called on a thread.

    metrics       the registry
    version       of the gateway
    ready         whether to send traffic here, and if not, why not
    generation    number of the configuration in force
    last_reload   how the last load ended
    status        more for /status, JSON values: uptime, connections, listeners
    config        the configuration in force without its secrets (config/redact.py), JSON values
    certificates  what is served over TLS
    upstreams     endpoints and their pools, JSON values
    """

    metrics: Metrics
    version: str
    ready: Callable[[], tuple[bool, Sequence[str]]]
    generation: Callable[[], int]
    last_reload: Callable[[], Reload]
    status: Callable[[], Mapping[str, Any]]
    config: Callable[[], Mapping[str, Any]]
    certificates: Callable[[], Sequence[CertificateEntry]] = tuple
    upstreams: Callable[[], Sequence[Mapping[str, Any]]] = tuple
