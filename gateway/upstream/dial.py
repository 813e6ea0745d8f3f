"""Dialer: opens connections to one endpoint, and says in the gateway's words why it could not.

The pool calls it; TCP, TLS and Unix sockets are told apart here and nowhere else. Resolving, connecting and the TLS
handshake share one deadline, and every exception of the system and of `ssl` is mapped in `connect_fault`.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable

from gateway.errors import Cause, UpstreamFault
from gateway.upstream.address import EndpointAddress
from gateway.upstream.http1 import UpstreamConnection
from gateway.upstream.resolver import Resolver

# Limits of this machine, not failures of the origin: descriptors, ports, memory.
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN})


def connect_fault(error: Exception, *, resolving: bool = False, tls: bool = False) -> UpstreamFault:
    """The fault that `error`, raised while connecting, stands for. Nothing was sent."""
    cause = Cause.CONNECT_REFUSED
    if isinstance(error, TimeoutError):
        cause = Cause.NAME_TIMEOUT if resolving else Cause.CONNECT_TIMEOUT
    elif isinstance(error, ssl.SSLCertVerificationError):
        cause = Cause.CERTIFICATE_REFUSED
    elif isinstance(error, ssl.SSLError) or (
        tls and isinstance(error, (ConnectionResetError, ConnectionAbortedError, BrokenPipeError))
    ):
        cause = Cause.TLS_FAILED  # a TLS peer that hangs up in the handshake
    elif isinstance(error, socket.gaierror):
        cause = Cause.NAME_ERROR
    elif isinstance(error, OSError) and error.errno in _EXHAUSTED:
        cause = Cause.POOL_EXHAUSTED
    return UpstreamFault(cause, str(error) or type(error).__name__, sent=False)


class Dialer:
    """Connects to one endpoint. `context` is for TLS, `server_name` what it asks for and verifies."""

    __slots__ = ("_address", "_context", "_resolver", "_server_name")

    def __init__(
        self, address: EndpointAddress, resolver: Resolver, context: ssl.SSLContext | None, server_name: str
    ) -> None:
        self._address = address
        self._resolver = resolver
        self._context = context
        self._server_name = server_name if context is not None else None

    async def dial(self, make: Callable[[], UpstreamConnection], seconds: float) -> UpstreamConnection:
        """A connection that stands within `seconds`. In a Task only. Raises UpstreamFault."""
        loop = asyncio.get_running_loop()
        address = self._address
        resolving = not address.path and not address.literal
        try:
            async with asyncio.timeout(seconds):
                if address.path:
                    return (await loop.create_unix_connection(make, address.path))[1]
                until = loop.time() + seconds
                hosts = await self._resolver.resolve(address.host) if resolving else (address.host,)
                resolving = False
                return await self._try_each(make, hosts, until)
        except Exception as error:  # whatever went wrong, this endpoint cannot be reached
            raise connect_fault(error, resolving=resolving, tls=self._context is not None) from error

    async def _try_each(
        self, make: Callable[[], UpstreamConnection], hosts: tuple[str, ...], until: float
    ) -> UpstreamConnection:
        """One address after the other; each may use its share of the time that is left, so that a dead one in front
        does not hide those behind it."""
        loop = asyncio.get_running_loop()
        failure: Exception = OSError("no address")
        for at, host in enumerate(hosts):
            share = (until - loop.time()) / (len(hosts) - at)
            try:
                async with asyncio.timeout(share):
                    return (
                        await loop.create_connection(
                            make, host, self._address.port, ssl=self._context, server_hostname=self._server_name
                        )
                    )[1]
            except ssl.SSLError:
                raise  # it is there, and not the one we want
            except OSError as error:
                failure = error
        try:
            raise failure
        finally:
            del failure  # it knows this frame, which knows it: a cycle
