"""Sweep: every deadline of the process, checked together a few times a second instead of a timer per request.

Whoever can be late has a `deadline` (loop time, seconds; `NEVER` for none) and an `expire(now)`; setting a deadline is
one attribute write. A deadline is enforced at most one TICK late. The event loop calls `run` (app.py); tests call it
with a time of their own.
"""

from __future__ import annotations

from typing import Protocol

NEVER = float("inf")
TICK = 0.5  # seconds between two sweeps: 10,000 connections cost about 0.4 ms a sweep


class Perishable(Protocol):
    deadline: float

    def expire(self, now: float) -> None:
        """The deadline has passed. Must set a later deadline, or leave the sweep."""


class Sweep:
    """The set of all that has a deadline."""

    __slots__ = ("_members",)

    def __init__(self) -> None:
        self._members: set[Perishable] = set()

    def add(self, member: Perishable) -> None:
        self._members.add(member)

    def discard(self, member: Perishable) -> None:
        self._members.discard(member)

    def __len__(self) -> int:
        return len(self._members)

    def run(self, now: float) -> None:
        """Expires every member whose deadline is before `now`; an exception of one is raised behind the last."""
        failure: Exception | None = None
        # The copy is one step of the interpreter: a thread that builds the next site may add to the set meanwhile.
        for member in [member for member in tuple(self._members) if member.deadline <= now]:
            if member.deadline > now or member not in self._members:
                continue  # another's expiry has moved it
            try:
                member.expire(now)
            except Exception as error:  # noqa: BLE001 - one that fails must not keep the others alive
                failure = error
        if failure is not None:
            raise failure
