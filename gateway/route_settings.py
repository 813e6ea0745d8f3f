"""A route as the operator writes it, and the settings that `defaults` gives to all routes.

Read while the configuration loads; `settings_for` makes what a Route carries through the exchange. The rule: a value
that a route gives replaces the default as a whole, nothing is merged.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from gateway.filters.access_log import Setting as _AccessLog
from gateway.filters.redirect import ConfigOrTarget as _Redirect
from gateway.filters.request_headers import Config as _RequestHeaders
from gateway.filters.respond import ConfigOrStatus as _Respond
from gateway.filters.response_headers import Config as _ResponseHeaders
from gateway.filters.rewrite import Config as _Rewrite
from gateway.filters.security_headers import Config as _SecurityHeaders
from gateway.http.fields import is_token
from gateway.route_match import ANY_PATH, MatchConfig
from gateway.schema import (
    AfterValidator,
    BeforeValidator,
    Duration,
    Field,
    Model,
    WithJsonSchema,
    model_validator,
    parse_size,
)
from gateway.split import Split

UNLIMITED = (1 << 63) - 1  # bytes: no body is longer, for a Content-Length has 18 digits at most
SPOOL_AFTER = 256 * 1024  # bytes held in memory where buffering is `true`: against memory bound by slow clients
_AUTHORITY = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


def _read_limit(value: object) -> int:
    return UNLIMITED if value == "unlimited" else parse_size(value)


def _read_buffer(value: object) -> int:
    if isinstance(value, bool):
        return SPOOL_AFTER if value else 0
    return parse_size(value)


def _read_statuses(value: object) -> frozenset[int]:
    if isinstance(value, frozenset):
        return value
    statuses = value if isinstance(value, list) else [value]
    for status in statuses:
        if not isinstance(status, int) or not 400 <= status <= 599:
            raise ValueError(f"{status!r} is not an error status: write numbers from 400 to 599, as in [502, 503]")
    return frozenset(statuses)


def _read_upgrades(value: object) -> frozenset[bytes]:
    if isinstance(value, frozenset):
        return value
    return frozenset(_read_upgrade(token) for token in (value if isinstance(value, list) else [value]))


def _read_upgrade(token: object) -> bytes:
    if not isinstance(token, str) or not is_token(token.encode()):
        raise ValueError(f"{token!r} is not a protocol name")
    lower = token.lower()
    if lower in {"h2c", "h2"}:
        raise ValueError(f"{token!r} is never forwarded: requests inside it would pass unseen")
    if lower == "websocket":
        raise ValueError("websocket is switched by `websocket: true | false`")
    return lower.encode()


def _read_folder(value: object) -> object:
    return Path(value) if isinstance(value, str) and value else value


def _read_host(text: str) -> str:
    if text not in {"preserve", "endpoint"} and not _AUTHORITY.fullmatch(text):
        raise ValueError(f"{text!r} is not a host: write preserve, endpoint, or a literal such as app.internal:8080")
    return text


def _size_schema(word: str | bool, example: str) -> dict[str, Any]:
    return {"type": ["string", "integer", "boolean"] if isinstance(word, bool) else ["string", "integer"],
            "examples": [example, word]}  # fmt: skip


_Limit: TypeAlias = Annotated[int, BeforeValidator(_read_limit), WithJsonSchema(_size_schema("unlimited", "1 MiB"))]
_Buffer: TypeAlias = Annotated[int, BeforeValidator(_read_buffer), WithJsonSchema(_size_schema(True, "64 KiB"))]
_Statuses: TypeAlias = Annotated[
    frozenset[int],
    BeforeValidator(_read_statuses),
    WithJsonSchema({"type": "array", "items": {"type": "integer", "minimum": 400, "maximum": 599}}),
]
_Upgrades: TypeAlias = Annotated[
    frozenset[bytes],
    BeforeValidator(_read_upgrades),
    WithJsonSchema({"type": "array", "items": {"type": "string"}}),
]
_Folder: TypeAlias = Annotated[Path, BeforeValidator(_read_folder), WithJsonSchema({"type": "string"})]
_Host: TypeAlias = Annotated[str, AfterValidator(_read_host)]


class Timeouts(Model):
    """How long the origin may take, phase by phase."""

    connect: Duration = Field(default="3s")
    """Until the TCP connection stands, its TLS handshake included; then another endpoint is tried, or 504."""
    head: Duration = Field(default="60s")
    """From the end of the request until the response's head has come; then 504."""
    read: Duration = Field(default="60s")
    """Between two pieces of the response's body; then the answer is cut off. For an event stream, make it longer."""

    tunnel: Duration = Field(default="1h")
    """How long an upgraded connection (WebSocket) may be silent in both directions."""

    @model_validator(mode="after")
    def _positive(self) -> Timeouts:
        for name in ("connect", "head", "read", "tunnel"):
            if getattr(self, name) <= 0:
                raise ValueError(f"`{name}` must be longer than nothing")
        return self


class Buffering(Model):
    """Whether a body is taken in whole before it is passed on, so that a slow client does not hold the origin."""

    request: _Buffer = Field(default=False)
    """`true`, or how many bytes are kept in memory before a file is used (`true`: 256 KiB). `false`: bodies stream."""
    response: _Buffer = Field(default=False)
    """The same for responses. Event streams and upgrades are never buffered."""
    folder: _Folder | None = None
    """Where spool files are made; by default in the system's temporary folder."""


class RouteSettings(Model):
    """How exchanges of a route are carried. Under `defaults` for all routes; a route's own value replaces it whole."""

    timeouts: Timeouts = Timeouts()
    """How long the origin may take."""
    body_limit: _Limit = Field(default="1 MiB")
    """The largest request body; 413 beyond. 0 allows none, `unlimited` any."""
    buffering: Buffering = Buffering()
    """Bodies pass through as they come unless this says otherwise."""
    intercept: _Statuses = Field(default=[])
    """Statuses of the origin whose page is replaced by ours, for example `[502, 503]`."""
    websocket: bool = True
    """Whether WebSocket upgrades are tunnelled to the upstream."""
    upgrades: _Upgrades = Field(default=[])
    """Other protocols that may be upgraded to. `h2c` never is."""
    on_client_eof: Literal["answer", "cancel"] = "answer"
    """Whether a client that closes its sending side after a whole request gets its answer, or has given up."""
    host: _Host | None = None
    """The Host field that the origin sees: the client's (`preserve`), the `endpoint`'s, or a literal. Without it, what
    the upstream's `host` says."""


class RouteConfig(Model):
    """What to do with the requests that it matches: exactly one of `upstream`, `redirect`, `respond`."""

    name: str | None = Field(default=None, min_length=1, max_length=100)
    """Label in logs and metrics; unique. Without it, one is made from `match`."""
    description: str = ""
    """For people."""
    match: MatchConfig = MatchConfig()
    """Which requests. The most specific route wins, wherever it stands in the file."""
    upstream: str | None = None
    """Name of the upstream that answers."""
    split: Split | None = None
    """Send a share of the requests to other upstreams: `{to: {canary: 5%}, by: client}`."""
    redirect: _Redirect | None = None
    """Send the client elsewhere: a target, or `{to, status, keep_query}`."""
    respond: _Respond | None = None
    """Answer here: a status, or `{status, body, content_type, headers}`."""
    rewrite: _Rewrite | None = None
    """Change the path before it goes upstream."""
    request_headers: _RequestHeaders | None = None
    """Edits of the fields that go upstream; replaces the global `request_headers`."""
    response_headers: _ResponseHeaders | None = None
    """Edits of the fields that go to the client; replaces the global `response_headers`."""
    security_headers: _SecurityHeaders | None = None
    """Replaces the global `security_headers`; `off` for none."""
    access_log: _AccessLog | None = None
    """Replaces the global `access_log`; `off` for none."""
    timeouts: Timeouts | None = None
    """Replaces `defaults.timeouts`."""
    body_limit: _Limit | None = None
    """Replaces `defaults.body_limit`."""
    buffering: Buffering | None = None
    """Replaces `defaults.buffering`."""
    intercept: _Statuses | None = None
    """Replaces `defaults.intercept`."""
    websocket: bool | None = None
    """Replaces `defaults.websocket`."""
    upgrades: _Upgrades | None = None
    """Replaces `defaults.upgrades`."""
    on_client_eof: Literal["answer", "cancel"] | None = None
    """Replaces `defaults.on_client_eof`."""
    host: _Host | None = None
    """Replaces `defaults.host`."""

    @model_validator(mode="after")
    def _one_answer(self) -> RouteConfig:
        found = [key for key in ("upstream", "redirect", "respond") if getattr(self, key) is not None]
        if not found:
            raise ValueError("the route does not say what to do: add one of `upstream`, `redirect`, `respond`")
        if len(found) > 1:
            raise ValueError(f"exactly one of `upstream`, `redirect`, `respond`: found {' and '.join(found)}")
        if self.upstream is None:
            idle = [key for key in _NEEDS_UPSTREAM if getattr(self, key) is not None]
            if idle:
                raise ValueError(
                    f"`{idle[0]}` has no effect here: the route answers by `{found[0]}`, without an upstream"
                )
        return self


_NEEDS_UPSTREAM = (
    "split", "rewrite", "request_headers", "timeouts", "buffering", "intercept", "websocket", "upgrades", "host",
)  # fmt: skip


def settings_for(route: RouteConfig, defaults: RouteSettings) -> RouteSettings:
    """The settings of `route`: its own values where it gives them, else those of `defaults`."""
    own = {key: value for key in RouteSettings.model_fields if (value := getattr(route, key)) is not None}
    return defaults.model_copy(update=own) if own else defaults


def route_names(routes: Sequence[RouteConfig]) -> list[str]:
    """A unique name for each route: its own, or one made from its match. Raises ValueError if one stands twice."""
    taken: set[str] = set()
    for route in routes:
        if route.name is not None:
            if route.name in taken:
                raise ValueError(
                    f"two routes are named {route.name!r}: names label logs and metrics, give each its own"
                )
            taken.add(route.name)
    names: list[str] = []
    copies: dict[str, int] = {}
    for route in routes:
        name = route.name
        if name is None:
            made = name = _made_name(route.match)
            while name in taken:
                copies[made] = copies.get(made, 1) + 1
                name = f"{made} #{copies[made]}"
            taken.add(name)
        names.append(name)
    return names


def _made_name(match: MatchConfig) -> str:
    """`GET shop.example.com/api/*`: short, and the same after other routes have come or gone."""
    path = (match.path_regex or match.path or [ANY_PATH])[0]
    methods = f"{'|'.join(match.methods)} " if match.methods else ""
    return f"{methods}{match.host[0] if match.host else ''}{path}"[:100]
