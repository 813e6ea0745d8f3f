"""What operators say about the downstream side: listeners, limits and deadlines.

Read at load time by `server/listener.py` and `server/http1.py`. Every default is a number of docs/reference, and every
limit says against whom it guards.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal, NamedTuple, TypeAlias

from gateway.schema import BeforeValidator, Count, Duration, Field, Model, Network, Port, Size, WithJsonSchema
from gateway.server.certificates import TlsConfig

_BIND = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]/]*):([0-9]{1,5})")


class Bind(NamedTuple):
    """An address to listen on: `host` and `port`, or the path of a Unix socket."""

    host: str
    port: int
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_bind(value: object) -> Bind:
    """A Bind from `0.0.0.0:8080`, `[::]:8080`, `:8080`, `localhost:80` or `unix:/run/gateway.sock`."""
    if isinstance(value, Bind):
        return value
    if not isinstance(value, bool) and re.fullmatch("[0-9]{1,5}", str(value)) and int(str(value)) <= 65535:
        raise ValueError(
            f"{value} is a port alone: write for example 0.0.0.0:{value}, or 127.0.0.1:{value} for this machine only"
        )
    advice = "write for example 0.0.0.0:8080, [::]:8080 or unix:/run/gateway.sock"
    if not isinstance(value, str):
        raise ValueError(f"expected an address, found {value!r}: {advice}")
    if value.startswith("unix:"):
        path = value.removeprefix("unix:")
        if not path or len(path) > 107:
            raise ValueError(f"the path of a Unix socket has 1 to 107 characters, found {len(path)}")
        return Bind("", 0, path)
    found = _BIND.fullmatch(value)
    if found is None or int(found[2]) > 65535:
        raise ValueError(f"{value!r} is not an address to listen on: {advice}")
    host = found[1].strip("[]") or "::"  # every address, of IPv4 too
    if found[1].startswith("[") or re.fullmatch(r"[0-9.]+", host):
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise ValueError(f"{host!r} is not an IP address: {advice}") from None
    return Bind(host, int(found[2]))


BindText: TypeAlias = Annotated[
    Bind,
    BeforeValidator(parse_bind),
    WithJsonSchema({"type": "string", "examples": ["0.0.0.0:8080", "unix:/run/gateway.sock"]}),
]


class ProxyProtocolConfig(Model):
    """A listener behind a load balancer that speaks the PROXY protocol (v1 and v2)."""

    trusted: list[Network | Literal["unix"]] = Field(min_length=1)
    """Peers that may send a PROXY header, CIDR ranges or `unix`; anyone else is refused."""
    required: bool = True
    """Close a trusted peer's connection that does not begin with a PROXY header."""


class ListenerConfig(Model):
    """One address to serve."""

    bind: BindText
    """`ADDRESS:PORT`, `[IPV6]:PORT`, `:PORT` for every address of the machine, or `unix:/path`."""
    tls: TlsConfig | None = None
    """Serve HTTPS here, with these certificates."""
    redirect_to_https: bool | Port = False
    """Answer every request with a 308 to https; a number names the port to send clients to."""
    proxy_protocol: ProxyProtocolConfig | None = None
    """Expect the PROXY protocol from these peers."""
    backlog: Count = 2048
    """Connections the kernel may queue before they are accepted."""


class PathConfig(Model):
    """How strictly paths are read. Escapes of unreserved characters and dot segments are always normalised."""

    encoded_slash: Literal["keep", "reject"] = "keep"
    """`%2F` and `%5C` in a path."""
    double_slash: Literal["keep", "reject"] = "keep"
    """`//` in a path."""


class DownstreamConfig(Model):
    """Limits and deadlines of client connections."""

    head_timeout: Duration = Field(default="10s")
    """For a whole request head, from the connection or its first byte: against clients that drip."""
    body_timeout: Duration = Field(default="30s")
    """Between two pieces of a request body."""
    min_body_rate: Size = Field(default=500)
    """Bytes a second that a request body must reach after `min_body_rate_after`; 0 for none."""
    min_body_rate_after: Duration = Field(default="10s")
    """How long a request body may take to reach its rate."""
    keepalive_timeout: Duration = Field(default="75s")
    """How long an idle connection is kept."""
    keepalive_requests: Count = 10_000
    """Requests on one connection before it is closed: bounds what one connection can hold on to."""
    keepalive_time: Duration = Field(default="1h")
    """Age of a connection after which it is closed at the end of a request."""
    write_timeout: Duration = Field(default="60s")
    """How long a client may refuse to read what is written to it."""
    linger_timeout: Duration = Field(default="5s")
    """How long unread input is discarded after an error, so that the client can read the answer."""
    linger_size: Size = Field(default="1 MiB")
    """How much unread input is discarded."""
    max_head: Size = Field(default="32 KiB")
    """Bytes of a whole request head."""
    max_line: Size = Field(default="16 KiB")
    """Bytes of one field line."""
    max_fields: Count = 100
    """Fields of a request head."""
    max_uri: Size = Field(default="8 KiB")
    """Bytes of a request target."""
    max_connections: Count | None = None
    """Open connections of each worker; by default what the limit of open files leaves room for."""
    max_connections_per_client: Count | None = 1024
    """Open connections of one client address (IPv6: one /64) to each worker."""
    underscores: Literal["drop", "keep", "reject"] = "drop"
    """Request fields with `_` in their name, which WSGI and CGI cannot tell from `-`."""
    path: PathConfig = PathConfig()
    """How strictly paths are read."""
