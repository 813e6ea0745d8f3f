"""Listener and Door: sockets, and the first decisions about a connection.

A Door is the protocol of every accepted socket for its first moment: it counts the connection against the caps, reads
the PROXY header where one is expected, makes the Connection, and hands the transport to the TLS layer or to Http1.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import stat
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gateway.deadlines import NEVER, Sweep
from gateway.exchange import Connection
from gateway.server.proxy_protocol import MAX_V2, NotProxyError, read_proxy_header
from gateway.server.settings import Bind, ListenerConfig

_NO_SUCH_ADDRESS = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)  # a kernel without IPv6, or a machine without that address


class Caps:
    """Open connections, in all and by client: one IPv4 address, or one IPv6 /64."""

    __slots__ = ("_clients", "_open", "_per_client", "_total", "on_empty", "refused_client", "refused_total")

    def __init__(self, total: int, per_client: int | None) -> None:
        self._total = total
        self._per_client = per_client
        self._clients: dict[str, int] = {}
        self._open: dict[Connection, str] = {}
        self.on_empty: Callable[[], None] | None = None  # called when the last connection has gone
        self.refused_total = 0
        self.refused_client = 0

    def __len__(self) -> int:
        return len(self._open)

    def limit(self, total: int, per_client: int | None) -> None:
        """Other caps, for the connections to come."""
        self._total = total
        self._per_client = per_client

    def admit(self, connection: Connection) -> bool:
        """Counts `connection` in; False (and counted) where that would pass a cap."""
        if len(self._open) >= self._total:
            self.refused_total += 1
            return False
        client = client_prefix(connection.peer)
        held = self._clients.get(client, 0)
        if client and self._per_client is not None and held >= self._per_client:
            self.refused_client += 1
            return False
        self._clients[client] = held + 1
        self._open[connection] = client
        connection.on_lost = self.release
        return True

    def release(self, connection: Connection) -> None:
        """Counts `connection` out. May be called twice."""
        client = self._open.pop(connection, None)
        if client is not None:
            held = self._clients[client] - 1
            if held:
                self._clients[client] = held
            else:
                del self._clients[client]
            if not self._open and self.on_empty is not None:
                self.on_empty()


def client_prefix(address: str) -> str:
    """What counts as one client: the address itself, for IPv6 its /64 (one subscriber); "" for Unix sockets."""
    if ":" not in address:
        return address
    return str(ipaddress.IPv6Address(int(ipaddress.IPv6Address(address.partition("%")[0])) >> 64 << 64))


@dataclass(slots=True)
class Entrance:
    """What the doors of one listener share.

    inner   (connection) -> the protocol that follows: Http1, or a TlsLayer around one
    report  (event, connection): a refused connection, for log and metrics
    """

    config: ListenerConfig
    name: str
    caps: Caps
    inner: Callable[[Connection], asyncio.Protocol]
    sweep: Sweep
    clock: Callable[[], float]
    report: Callable[[str, Connection], None]
    header_timeout: float
    trusted: tuple[Any, ...] = ()
    doors: set[Any] = field(default_factory=set)

    def speaks_proxy(self, connection: Connection) -> bool:
        """Whether a PROXY header is to be read from this peer."""
        settings = self.config.proxy_protocol
        if settings is None:
            return False
        if connection.unix:
            return "unix" in settings.trusted
        address = ipaddress.ip_address(connection.peer.partition("%")[0])
        return any(not isinstance(network, str) and address in network for network in settings.trusted)


class Door(asyncio.Protocol):
    """The first protocol of an accepted socket."""

    __slots__ = ("_connection", "_entrance", "_held", "_transport", "deadline")

    def __init__(self, entrance: Entrance) -> None:
        self._entrance = entrance
        self._connection: Connection | None = None
        self._transport: Any = None
        self._held = b""
        self.deadline = NEVER

    def connection_made(self, transport: Any) -> None:
        entrance = self._entrance
        connection = _connection(transport, entrance)
        settings = entrance.config.proxy_protocol
        if settings is None:
            self._enter(transport, connection)
        elif entrance.speaks_proxy(connection):
            self._transport, self._connection = transport, connection
            self.deadline = entrance.clock() + entrance.header_timeout
            entrance.sweep.add(self)
            entrance.doors.add(self)
        else:
            entrance.report("proxy_untrusted", connection)
            transport.abort()

    def data_received(self, data: bytes) -> None:
        connection = self._connection
        if connection is None:
            return
        held = self._held = self._held + data
        settings = self._entrance.config.proxy_protocol
        try:
            header = read_proxy_header(held)
        except NotProxyError:
            if settings is not None and not settings.required:
                self._leave()
                self._enter(self._transport, connection, held)
            else:
                self._entrance.report("proxy_malformed", connection)
                self._transport.abort()
            return
        if header is None:
            if len(held) > MAX_V2:
                self._transport.abort()
            return
        if header.address:
            connection.peer, connection.peer_port = header.address, header.port
            connection.unix = False
            connection.behind_proxy = True
        self._leave()
        self._enter(self._transport, connection, held[header.size :])

    def connection_lost(self, error: Exception | None) -> None:
        self._leave()

    def expire(self, now: float) -> None:
        """The PROXY header did not come in time."""
        self.deadline = NEVER
        self._transport.abort()

    def drain(self) -> None:
        self._transport.abort()

    def _leave(self) -> None:
        self._entrance.sweep.discard(self)
        self._entrance.doors.discard(self)
        self._connection = None

    def _enter(self, transport: Any, connection: Connection, first: bytes = b"") -> None:
        entrance = self._entrance
        full = entrance.caps.refused_total
        if not entrance.caps.admit(connection):
            entrance.report("connection_cap" if entrance.caps.refused_total > full else "client_cap", connection)
            transport.abort()
            return
        inner = entrance.inner(connection)
        transport.set_protocol(inner)
        inner.connection_made(transport)
        if first and not transport.is_closing():
            inner.data_received(first)


def _connection(transport: Any, entrance: Entrance) -> Connection:
    now = entrance.clock()
    peer = transport.get_extra_info("peername")
    if isinstance(peer, tuple):
        address = peer[0]
        if address.startswith("::ffff:") and "." in address:  # an IPv4 client of a dual-stack socket
            address = address[7:]
        return Connection(address, peer[1], str(entrance.config.bind), entrance.name, now)
    return Connection("", 0, str(entrance.config.bind), entrance.name, now, unix=True)


# For create_unix_server: from Python 3.13 on, whoever closes its server would take the path away from all the other
# processes that serve the same socket.
KEEP_PATH: Mapping[str, Any] = MappingProxyType({"cleanup_socket": False} if sys.version_info >= (3, 13) else {})


def open_socket(bind: Bind, backlog: int, *, siblings: bool = False) -> socket.socket:
    """A listening socket. Raises OSError; a stale Unix socket of a dead process is replaced.

    With `siblings` more may be opened beside it (`open_sibling`); it still fails wherever another process listens.

    `[::]` and `:PORT` are every address: where the machine has no IPv6, every IPv4 address. Of a name the first address
    counts that the machine has.
    """
    if bind.path:
        return _open_unix(bind.path, backlog)
    hosts = (bind.host, "0.0.0.0") if bind.host == "::" else (bind.host,)
    found = [
        (family, address)
        for host in hosts
        for family, _kind, _protocol, _name, address in socket.getaddrinfo(
            host, bind.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    ]
    for family, address in found[:-1]:
        try:
            return _open_inet(family, address, backlog, siblings=siblings)
        except OSError as error:
            if error.errno not in _NO_SUCH_ADDRESS:
                raise
    return _open_inet(*found[-1], backlog, siblings=siblings)


def open_sibling(first: socket.socket, backlog: int) -> socket.socket:
    """One more socket at the address of `first`; the kernel spreads new connections over them. Raises OSError."""
    return _open_inet(first.family, first.getsockname(), backlog, beside=True, siblings=True)


def _open_inet(
    family: int, address: Any, backlog: int, *, siblings: bool = False, beside: bool = False
) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if address[0] == "::" else 1)
        # Only behind the first one's bind: before it, the kernel would let two gateways listen side by side, each with
        # a half of the connections, where one of them is a mistake.
        if beside:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        opened.bind(address)
        if siblings:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        opened.listen(backlog)
        opened.setblocking(False)
    except BaseException:
        opened.close()
        raise
    return opened


def _open_unix(path: str, backlog: int) -> socket.socket:
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if Path(path).exists() and stat.S_ISSOCK(Path(path).stat().st_mode) and _is_stale(path):
            Path(path).unlink()
        opened.bind(path)
        Path(path).chmod(0o660)
        opened.listen(backlog)
        opened.setblocking(False)
    except BaseException:
        opened.close()
        raise
    return opened


def _is_stale(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a full queue must not hold up the start
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
        return False
