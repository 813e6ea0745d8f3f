"""EndpointAddress: the URL of an endpoint, taken apart.

Read once, while the configuration loads; an endpoint is a place to connect to and nothing more. What else a URL can
say (path, query, user, fragment) is refused with the place where it belongs.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import NamedTuple

_HOST = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?"
)
_PORTS = {"http": 80, "https": 443}
_FORMS = "write http://host:port, https://host:port or unix:/path/to/socket"


class EndpointAddress(NamedTuple):
    """Where an endpoint is: `path` of a Unix socket, or `host` (without brackets, lower-case) and `port`."""

    host: str
    port: int
    tls: bool
    path: str = ""

    @property
    def name(self) -> str:
        """The label in logs and metrics: "127.0.0.1:3000", "[::1]:3000", "unix:/run/app.sock"."""
        return f"unix:{self.path}" if self.path else f"{self._bracketed}:{self.port}"

    @property
    def authority(self) -> bytes:
        """Value of a Host field that names the endpoint (RFC 9110 §7.2)."""
        if self.path:
            return b"localhost"
        default = self.port == (443 if self.tls else 80)
        return (self._bracketed if default else self.name).encode()

    @property
    def literal(self) -> bool:
        """`host` is an IP address: there is no name to resolve."""
        return not self.path and _is_address(self.host)

    @property
    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


def parse_endpoint(url: str) -> EndpointAddress:
    """The address that `url` names. Raises ValueError with what to write instead."""
    scheme, colon, rest = url.partition(":")
    scheme = scheme.lower()
    if colon and scheme in {"unix", "http+unix"}:
        return _unix(url, rest)
    if not colon or scheme not in _PORTS or not rest.startswith("//"):
        if "://" in url:
            raise ValueError(f"{url!r}: {scheme} is not spoken to an endpoint: {_FORMS}")
        meant = f"127.0.0.1:{url.strip(':')}" if url.strip(":").isdigit() else url or "app:3000"
        raise ValueError(f"{url!r} is not an endpoint: {_FORMS}, for example http://{meant}")
    authority = rest[2:]
    for mark, what, advice in (
        ("#", "a fragment", "leave it away"),
        ("?", "a query", "leave it away"),
        ("/", "a path", "leave it away, a trailing / too; `rewrite` of a route puts a prefix before paths"),
        ("@", "a user or password", "send credentials with the route's `request_headers`"),
    ):
        if mark in authority:
            raise ValueError(f"{url!r}: an endpoint has no room for {what}: {advice}")
    host, port = _split(url, authority)
    return EndpointAddress(
        _host(url, host), _port(url, port) if port is not None else _PORTS[scheme], scheme == "https"
    )


def _unix(url: str, rest: str) -> EndpointAddress:
    path = rest[2:] if rest.startswith("///") else rest
    if not path.startswith("/") or path.startswith("//") or path.endswith("/"):
        raise ValueError(f"{url!r}: a Unix socket has an absolute path: write unix:/run/app.sock")
    if "?" in path or "#" in path or "\0" in path:
        raise ValueError(f"{url!r}: leave away what follows the socket's path")
    if len(path.encode()) > 107:  # sun_path of unix(7), less its NUL
        raise ValueError(f"{url!r}: the path of a Unix socket has at most 107 bytes")
    return EndpointAddress("", 0, tls=False, path=path)


def _split(url: str, authority: str) -> tuple[str, str | None]:
    if authority.startswith("["):
        host, bracket, port = authority[1:].partition("]")
        if not bracket or (port and port[0] != ":"):
            raise ValueError(f"{url!r}: an IPv6 address stands in brackets: write http://[::1]:3000")
        if ":" not in host:
            raise ValueError(f"{url!r}: brackets are for IPv6 addresses only: write http://{host}{port}")
        return host, port[1:] if port else None
    if authority.count(":") > 1:
        raise ValueError(f"{url!r}: an IPv6 address stands in brackets: write http://[::1]:3000")
    host, colon, port = authority.partition(":")
    return host, port if colon else None


def _host(url: str, host: str) -> str:
    if not host:
        raise ValueError(f"{url!r} names no host: {_FORMS}")
    if ":" in host or re.fullmatch(r"[0-9.]+", host):
        if not _is_address(host):
            raise ValueError(f"{url!r}: {host} is not an IP address")
        return str(ip_address(host))
    if not host.isascii():
        raise ValueError(f"{url!r}: write the host in its ASCII form ({host.encode('idna').decode()})")
    if not _HOST.fullmatch(host):
        raise ValueError(f"{url!r}: {host} is not a host name")
    return host.lower()


def _port(url: str, port: str) -> int:
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535):
        raise ValueError(f"{url!r}: {port or 'nothing'} is not a port: write a number from 1 to 65535")
    return int(port)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
