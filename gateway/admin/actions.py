"""Actions: what the admin listener may ask the gateway to do, as functions that control.py gives it.

Called by `orders.py` when a write has been allowed. The rule: each answers when what was asked for has happened (or was
refused), and says what was so before and what is so now, for the audit log.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from gateway.admin.state import Reload


class Change(NamedTuple):
    """What a write has changed, as JSON values; the same twice if it was so already."""

    before: Mapping[str, Any]
    after: Mapping[str, Any]


class Maintenance(NamedTuple):
    """What clients are told: `message` ("" for the usual page), and when to come again (seconds, 0 for unsaid)."""

    message: str
    retry_after: float


class Mistake(NamedTuple):
    """One thing that is wrong. `pointer` is its place in the request body (RFC 6901, as "#/weight"), "" for none."""

    detail: str
    pointer: str = ""


class ActionRefused(Exception):
    """What was asked for does not happen: the status to answer with, why in a sentence, and each mistake.

    Of an action: 404 for an upstream, endpoint or route that is not there, 409 where the state of the gateway forbids
    it, 503 while it cannot be done. `fields` are response fields that go with the status.
    """

    def __init__(
        self, status: int, detail: str, mistakes: Sequence[Mistake] = (), fields: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.mistakes = tuple(mistakes)
        self.fields = dict(fields or {})


@dataclass(frozen=True, slots=True)
class Actions:
    """Functions, all called on the event loop. All but `reload` raise ActionRefused.

    reload       (why): reads the configuration again; how that ended. Waits for a reload that is under way
    drain        (upstream, endpoint): no new requests there; what is under way goes on. Held by name until `undrain`,
                 by every worker, over reloads; Change of {"drained": bool}
    undrain      (upstream, endpoint): takes requests again; the same Change
    weight       (upstream, endpoint, 0 to 1000): its share until the gateway ends or a reload changes the configured
                 one; 0 is a drain without its mark; Change of {"weight": int}
    log_level    ("debug" | "info" | "warning" | "error", seconds): of every process, for that long, then the
                 configuration's again; a later call replaces an earlier one; Change of {"level": str,
                 "seconds": float}, those that are left, 0.0 for no end
    maintenance  (Maintenance, or None for its end; name of a route, "" for all): Change of {"on": bool,
                 "message": str, "retry_after": float}
    """

    reload: Callable[[str], Awaitable[Reload]]
    drain: Callable[[str, str], Awaitable[Change]]
    undrain: Callable[[str, str], Awaitable[Change]]
    weight: Callable[[str, str, int], Awaitable[Change]]
    log_level: Callable[[str, float], Awaitable[Change]]
    maintenance: Callable[[Maintenance | None, str], Awaitable[Change]]
