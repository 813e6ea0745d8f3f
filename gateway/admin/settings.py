"""AdminConfig: where operators, probes and scrapers reach the gateway itself.

The key `admin` of config.yaml. The rule: what tells about the gateway is reachable from this machine only, unless the
operator says otherwise.
"""

from __future__ import annotations

import ipaddress

from gateway.schema import Field, Model
from gateway.server.settings import Bind, BindText


class AdminConfig(Model):
    """Health, metrics and state over HTTP, on ports of their own; read-only and without a password."""

    bind: BindText | None = Field(default="127.0.0.1:9090")
    """Where everything is served: health, metrics, status, certificates, the configuration. `null` for nowhere."""
    probe: BindText | None = None
    """A second address that serves `/healthz`, `/readyz` and `/metrics` only, for kubelets and scrapers that cannot
    reach the first: `0.0.0.0:9091`."""
    hosts: list[str] = []
    """Names under which `bind` may be asked for beside `localhost` and addresses. Others are refused, or any web page
    could read along by pointing its own name here (DNS rebinding)."""


def is_exposed(bind: Bind | None) -> bool:
    """Whether other machines may reach that address."""
    if bind is None or bind.path or bind.host == "localhost":
        return False
    try:
        return not ipaddress.ip_address(bind.host).is_loopback
    except ValueError:
        return True
