"""Resolver: the addresses behind an endpoint's name, asked for when a connection is made.

The system is asked in the loop's executor, so neither start nor traffic is ever blocked by a name server. An answer
holds for TTL (getaddrinfo tells none); an old one outlives a failing name server, for a service that answers at a
known address must not fall with its DNS.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence

TTL = 30.0  # seconds an answer holds
FAILURE_TTL = 1.0  # seconds before a failed name is asked for again: against a storm of look-ups under load
STALE_PATIENCE = 0.5  # seconds that a renewal may keep a connection waiting while an old answer is there


def system_addresses(host: str) -> list[str]:
    """A and AAAA of `host` in the order of RFC 6724, as the system sees it. Blocks. Raises OSError."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for _family, _type, _proto, _name, sockaddr in found]


class _Entry:
    __slots__ = ("addresses", "error", "renewal", "until")

    def __init__(self) -> None:
        self.addresses: tuple[str, ...] = ()
        self.until = float("-inf")
        self.error = ""
        self.renewal: asyncio.Task[None] | None = None


class Resolver:
    """A cache of names; they come from the configuration, so it is as small as that."""

    __slots__ = ("_entries", "_lookup", "_now", "_patience", "_ttl")

    def __init__(
        self,
        now: Callable[[], float],
        lookup: Callable[[str], Sequence[str]] = system_addresses,
        ttl: float = TTL,
        patience: float = STALE_PATIENCE,
    ) -> None:
        self._now = now
        self._lookup = lookup
        self._ttl = ttl
        self._patience = patience
        self._entries: dict[str, _Entry] = {}

    async def resolve(self, host: str) -> tuple[str, ...]:
        """Addresses in the order to try. In a Task only. Raises socket.gaierror."""
        entry = self._entries.get(host)
        if entry is None:
            entry = self._entries[host] = _Entry()
        if self._now() >= entry.until:
            renewal = entry.renewal
            if renewal is None:
                renewal = entry.renewal = asyncio.get_running_loop().create_task(self._renew(host, entry))
            if entry.addresses:
                await asyncio.wait({renewal}, timeout=self._patience)
            else:
                await asyncio.shield(renewal)  # one who gives up must not take the answer from the others
        if not entry.addresses:
            raise socket.gaierror(socket.EAI_NONAME, entry.error)
        return entry.addresses

    async def _renew(self, host: str, entry: _Entry) -> None:
        try:
            found = await asyncio.get_running_loop().run_in_executor(None, self._lookup, host)
            addresses = tuple(dict.fromkeys(found))
            if not addresses:
                raise OSError("no address")
        except (OSError, UnicodeError) as error:
            entry.error = f"{host}: {error}"
            entry.until = self._now() + FAILURE_TTL
        else:
            entry.addresses = addresses
            entry.until = self._now() + self._ttl
        finally:
            entry.renewal = None
