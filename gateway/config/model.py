"""SiteConfig: the whole of config.yaml, its keys in the order of the journey.

Each key is the Model of the module that reads it; this file only puts them together. `loading.py` validates against it,
`reference.py` and `schema.py` describe it.
The rule: key = module = Model. What belongs to one feature is checked there, what spans several in crosscheck.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias

from pydantic import PrivateAttr

from gateway.admin.settings import AdminConfig
from gateway.config.references import Secret
from gateway.filters.access_log import Config as AccessLogConfig
from gateway.filters.access_log import Setting as AccessLogSetting
from gateway.filters.error_pages import Config as ErrorPagesConfig
from gateway.filters.forwarded import Config as ForwardedConfig
from gateway.filters.real_ip import Config as RealIpConfig
from gateway.filters.request_headers import Config as RequestHeadersConfig
from gateway.filters.request_id import Config as RequestIdConfig
from gateway.filters.response_headers import Config as ResponseHeadersConfig
from gateway.filters.security_headers import Config as SecurityHeadersConfig
from gateway.filters.trace import Config as TraceConfig
from gateway.routing import RouteConfig, RouteSettings
from gateway.schema import Duration, Field, Model
from gateway.server.settings import DownstreamConfig, ListenerConfig
from gateway.state.key_ring import MAX_KEYS, Key
from gateway.upstream.settings import UpstreamConfig

__all__ = ["DEFAULT_BIND", "RULES_KEYS", "LogConfig", "References", "RulesConfig", "ShutdownConfig", "SiteConfig"]

MOST_WORKERS = 62  # of the machine's memory; twice as many must have a place while an upgrade is under way
WorkerCount: TypeAlias = Annotated[int, Field(ge=1, le=MOST_WORKERS)]
DEFAULT_BIND = "0.0.0.0:8080"  # a gateway is there to be reached: what a container or a sidecar needs without a word


class References(NamedTuple):
    """Which values came from `${…}` references: their paths, and what must not be shown."""

    paths: frozenset[tuple[str | int, ...]] = frozenset()
    secrets: tuple[Secret, ...] = ()


class LogConfig(Model):
    """The gateway's own log (starts, reloads, failures), on standard error. For requests see `access_log`."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe events to log."""
    format: Literal["auto", "text", "json"] = "auto"
    """`text` for people, `json` for machines; `auto` is text at a terminal and JSON elsewhere."""


class ShutdownConfig(Model):
    """How much time what is under way gets when the gateway is told to stop (SIGTERM)."""

    pre_stop: Duration = Field(default="0s")
    """How long it serves on before it drains, with `/readyz` failing already: for load balancers to notice."""
    drain: Duration = Field(default="30s")
    """For requests and their answers. No request is cut within this time."""
    stream_drain: Duration = Field(default="60s")
    """For WebSockets and other tunnels, and for event streams."""


class SiteConfig(Model):
    """Everything an operator can say, in the order of a request's journey."""

    listeners: list[ListenerConfig] = Field(default=[{"bind": DEFAULT_BIND}], min_length=1)
    """Addresses to serve."""
    downstream: DownstreamConfig = DownstreamConfig()
    """Limits and deadlines of client connections."""
    real_ip: RealIpConfig = RealIpConfig()
    """Who the client is when proxies stand before the gateway."""
    request_id: RequestIdConfig = RequestIdConfig()
    """The id of each request, on the way up, on the answer and in the logs."""
    trace: TraceConfig = TraceConfig()
    """W3C trace context."""
    upstreams: dict[str, UpstreamConfig] = Field(default={})
    """Services behind the gateway, by name."""
    routes: list[RouteConfig] = Field(default=[])
    """What to do with which requests. The most specific match wins, wherever it stands."""
    defaults: RouteSettings = RouteSettings()
    """Settings of every route that does not give its own."""
    request_headers: RequestHeadersConfig = RequestHeadersConfig()
    """Edits of the fields that go upstream; a route's own replace them."""
    response_headers: ResponseHeadersConfig = ResponseHeadersConfig()
    """Edits of the fields that go to the client; a route's own replace them."""
    forwarded: ForwardedConfig = ForwardedConfig()
    """What the upstream is told about client and connection."""
    security_headers: SecurityHeadersConfig = SecurityHeadersConfig()
    """Fields that make browsers careful; a route's own replace them."""
    error_pages: ErrorPagesConfig = ErrorPagesConfig()
    """The gateway's own error answers."""
    access_log: AccessLogSetting = AccessLogConfig()
    """One line a request, or `off`; a route's own replaces it."""
    admin: AdminConfig = AdminConfig()
    """Health, metrics and state, on a port of their own."""
    log: LogConfig = LogConfig()
    """The gateway's own log."""
    workers: Literal["auto"] | WorkerCount = "auto"
    """Processes that serve; `auto` is one for each processor that the machine, or the container's quota, has for us."""
    state_dir: str | None = Field(default=None, min_length=1)
    """A folder for what outlives a restart, such as the keys that sign cookies; relative to this file, and made if it
    is not there. One gateway at a time may use it. Without one all that is kept in memory only."""
    signing_keys: list[Key] = Field(default=[], max_length=MAX_KEYS)
    """What cookies of sticky sessions are signed with: references such as `${file:/run/secrets/signing-key}`. The first
    key signs, all of them verify, so that one can be replaced. Needed where several machines serve one site; otherwise
    `state_dir` keeps one that was made there."""
    shutdown: ShutdownConfig = ShutdownConfig()
    """How it stops."""

    _references: References = PrivateAttr(default=References())

    @property
    def references(self) -> References:
        return self._references

    def remember(self, references: References) -> SiteConfig:
        """This configuration, knowing what must not be shown (redact.py)."""
        self._references = references
        return self

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Counts only: values may be secrets, and a repr may end up in a log."""
        return [(key, len(getattr(self, key))) for key in ("listeners", "upstreams", "routes")]


class RulesConfig(Model):
    """A file in the `rules` folder beside config.yaml: more of what config.yaml may say under the same keys."""

    upstreams: dict[str, UpstreamConfig] = Field(default={})
    """Services behind the gateway, by name; a name may stand in one file only."""
    routes: list[RouteConfig] = Field(default=[])
    """Routes, added to those of config.yaml."""


RULES_KEYS = ("upstreams", "routes")
