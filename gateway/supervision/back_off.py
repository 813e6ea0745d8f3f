"""Back-off: when a process that died is started again.

Asked by the crew for each worker and by the desk for the control process. The rule: one that served is back at once, or
within a second if it is killed again and again. Only one that dies before it serves at all waits for longer each time,
for it would keep a processor busy with dying.
"""

from __future__ import annotations

STEADY = 1.0  # seconds of service after which a death says nothing about the next start
FIRST = 0.1  # seconds before the second start in a row; each further one waits twice as long as the one before it
MOST_SERVED = 1.0  # seconds before the next start of one that did serve for a moment
MOST = 10.0  # and of one that did not


class BackOff:
    """Of one post. `quick_deaths` counts those in a row, `due` is when the next start may be."""

    __slots__ = ("due", "quick_deaths")

    def __init__(self, now: float = 0.0) -> None:
        self.quick_deaths = 0
        self.due = now

    def died(self, now: float, ready: float | None) -> float:
        """Takes in a death; seconds until the next start. `ready`: when it began to serve, None if it never did."""
        if ready is not None and now - ready >= STEADY:
            self.quick_deaths = 0
            seconds = 0.0
        else:
            self.quick_deaths += 1
            seconds = _pause(self.quick_deaths, MOST if ready is None else MOST_SERVED)
        self.due = now + seconds
        return seconds


def _pause(quick_deaths: int, most: float) -> float:
    if quick_deaths == 1:
        return 0.0
    return min(most, FIRST * 2.0 ** min(quick_deaths - 2, 32))
