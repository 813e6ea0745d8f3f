"""Sink and Source: how body bytes move between the two wires without either knowing the other.

The downstream protocol is the source of the request body and the sink of the response body; the upstream connection is
the reverse; a spool (buffering) is both. A source calls its sink; a sink that is full calls `pause` on its source.
Every method is synchronous, and none may be called after `finish` or `abort`.
"""

from __future__ import annotations

from typing import Protocol

from gateway.errors import Fault
from gateway.http.message import Fields


class Source(Protocol):
    """Where body bytes come from."""

    def pause(self) -> None:
        """Stop reading: the sink is full. Idempotent."""

    def resume(self) -> None:
        """Go on reading. Idempotent."""


class Sink(Protocol):
    """Where body bytes go to."""

    def write(self, chunk: bytes) -> None:
        """Take a piece of the body (never empty); the sink keeps no reference to a buffer that changes."""

    def finish(self, trailers: Fields) -> None:
        """The body is complete; `trailers` is [] for almost all."""

    def abort(self, fault: Fault) -> None:
        """The body will never be complete."""
