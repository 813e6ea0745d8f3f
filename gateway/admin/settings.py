"""AdminConfig: where operators, probes and scrapers reach the gateway itself.

The key `admin` of config.yaml. The rule: what tells about the gateway is reachable from this machine only, unless the
operator says otherwise.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated

from gateway.schema import AfterValidator, Field, Model, model_validator
from gateway.server.settings import Bind, BindText

SHORTEST_TOKEN = 16  # characters: against guessing, which access.py slows down and cannot end
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 §2.1: what may follow `Bearer`


def _check_token(token: str) -> str:
    if not token:  # ${env:ADMIN_TOKEN:-} that is not set: none
        return token
    if len(token) < SHORTEST_TOKEN:
        raise ValueError(f"a token has at least {SHORTEST_TOKEN} characters: make one with `openssl rand -hex 32`")
    if not _TOKEN.fullmatch(token):
        raise ValueError("a token has letters, digits and `-._~+/` only: make one with `openssl rand -hex 32`")
    return token


class AdminTlsConfig(Model):
    """HTTPS on the admin listener; the files are read when the gateway starts or is upgraded."""

    certificate: str
    """A PEM file with the certificate chain."""
    key: str | None = None
    """A PEM file with its private key; by default it stands in the certificate's file."""
    client_ca: str | None = None
    """A PEM file with the authorities whose certificates clients must show, for reading too. Then no token is asked
    for."""


class AdminConfig(Model):
    """Health, metrics and state over HTTP, on ports of their own. Reading needs no password; changing needs a token."""

    bind: BindText | None = Field(default="127.0.0.1:9090")
    """Where everything is served: health, metrics, status, certificates, the configuration. `null` for nowhere."""
    probe: BindText | None = None
    """A second address that serves `/healthz`, `/readyz` and `/metrics` only, for kubelets and scrapers that cannot
    reach the first: `0.0.0.0:9091`."""
    hosts: list[str] = []
    """Names under which `bind` may be asked for beside `localhost` and addresses. Others are refused, or any web page
    could read along by pointing its own name here (DNS rebinding)."""
    token: Annotated[str, AfterValidator(_check_token)] | None = None
    """What `Authorization: Bearer TOKEN` must say to change anything: a reference such as
    `${file:/run/secrets/admin-token}`. Without it one is made in `state_dir`, in the file `admin-token`, where
    `gateway ctl` finds it; without either nothing can be changed over HTTP."""
    tls: AdminTlsConfig | None = None
    """HTTPS at `bind`, and client certificates in place of the token."""

    @model_validator(mode="after")
    def _check(self) -> AdminConfig:
        if self.tls is not None and (self.bind is None or self.bind.path):
            raise ValueError("`tls` goes with an address to `bind`, and a Unix socket or `null` is none: remove it")
        return self


def is_exposed(bind: Bind | None) -> bool:
    """Whether other machines may reach that address."""
    if bind is None or bind.path or bind.host == "localhost":
        return False
    try:
        return not ipaddress.ip_address(bind.host).is_loopback
    except ValueError:
        return True
