"""The sweep: all deadlines, one pass."""

from __future__ import annotations

from gateway.deadlines import NEVER, Sweep


class Member:
    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.expired: list[float] = []

    def expire(self, now: float) -> None:
        self.expired.append(now)
        self.deadline = NEVER


def test_only_what_is_late_expires_and_only_once():
    """A deadline in the past expires at the next sweep; one in the future, or NEVER, does not."""
    late, soon, never = Member(1.0), Member(3.0), Member(NEVER)
    sweep = Sweep()
    for member in (late, soon, never):
        sweep.add(member)
    sweep.run(2.0)
    sweep.run(2.5)
    assert (late.expired, soon.expired, never.expired) == ([2.0], [], [])
    sweep.run(3.0)
    assert soon.expired == [3.0]


def test_a_member_may_leave_while_others_expire():
    """An expiry that removes other members does not disturb the sweep."""
    sweep = Sweep()
    other = Member(1.0)

    class Leaver(Member):
        def expire(self, now: float) -> None:
            sweep.discard(self)
            sweep.discard(other)

    sweep.add(other)
    sweep.add(Leaver(1.0))
    sweep.run(2.0)
    assert len(sweep) == 0
    sweep.discard(other)
