"""`gateway certs`: the certificates that are served, from the files of a configuration or from a running gateway.

Called by `cli.py`. The rule: what a running gateway serves is asked of itself, for its files may have changed since.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from gateway.admin_client import Door, NoAnswer, Question, ask
from gateway.config import Loaded
from gateway.site import certificate_stores

DAYS_TO_WORRY = 21  # of a certificate: three weekends to renew it by hand


class Served(NamedTuple):
    """A certificate; `listener` is "" where it is not known."""

    listener: str
    names: tuple[str, ...]
    issuer: str
    not_after: datetime
    path: str


def from_files(loaded: Loaded, warn: Callable[[str], None]) -> list[Served]:
    """What `loaded` would serve. Raises ConfigError."""
    stores = zip(loaded.config.listeners, certificate_stores(loaded, warn), strict=True)
    return [
        Served(str(listener.bind), entry.names, entry.issuer, entry.not_after, str(entry.path))
        for listener, store in stores
        if store is not None
        for entry in store.entries()
    ]


def from_gateway(door: Door) -> list[Served]:
    """What the gateway serves whose admin listener is at `door`. Raises NoAnswer."""
    answer = ask(door, Question("GET", "/certificates"))
    try:
        found = [
            Served("", tuple(one["names"]), one["issuer"], datetime.fromisoformat(one["not_after"]), one["path"])
            for one in answer.value
        ]
    except (ValueError, TypeError, KeyError):
        raise NoAnswer(f"What answers at {door} is not the admin listener of a gateway.") from None
    return list(dict.fromkeys(found))  # it comes once for each listener


def listing(rows: Iterable[Served], now: float) -> Iterator[str]:
    """Two lines for each certificate; `now` in seconds since the epoch."""
    for row in rows:
        days = (row.not_after - datetime.fromtimestamp(now, UTC)).days
        many = "day" if abs(days) == 1 else "days"
        left = f"{days} {many} left" if days >= 0 else f"expired {-days} {many} ago"
        worry = "  <-- renew" if days < DAYS_TO_WORRY else ""
        yield f"{row.listener}  {', '.join(row.names)}".lstrip()
        yield f"    {left}{worry}  issuer: {row.issuer}  file: {row.path}"
