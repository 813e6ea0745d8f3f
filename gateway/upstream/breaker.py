"""The circuit breaker: an upstream that cannot answer is left alone, and asked again a little at a time.

Upstream makes a `Gate` when nothing behind it can be reached, or when its `Breaker` says that too much fails; while
there is one, requests are answered at once with 503. The rule: whoever is down is asked by few, so that it is not
buried when it gets up; and there is always somebody who asks, so that nobody has to be told that it is back.
"""

from __future__ import annotations

from random import Random

from gateway.schema import Count, Duration, Field, Model, Share, model_validator

# Good ends after which everybody may pass again: the number let through has doubled with each of them until then.
ENOUGH = 16
# Seconds between two looks at an upstream that is gone: it is to be back in service at most two seconds after it is.
GONE_SECONDS, GONE_MOST = 0.4, 0.8


class BreakerConfig(Model):
    """When an upstream is left alone because too much of it fails: its requests are answered with 503 at once. Each
    worker decides for itself."""

    failures: Share = Field(default="50%")
    """Such a share of failures (what `ejection` counts as one, and `slower_than`) among at least `minimum` requests
    in `window`."""
    slower_than: Duration | None = None
    """Answers that take longer to begin count as failures too."""
    minimum: Count = 20
    """See `failures`."""
    window: Duration = Field(default="10s")
    """See `failures`."""
    time: Duration = Field(default="5s")
    """How long no request is let through; then one is, and if it succeeds two, four and so on until all are. Twice as
    long each time it fails again."""
    cap: Duration = Field(default="60s")
    """How long at most."""

    @model_validator(mode="after")
    def _check(self) -> BreakerConfig:
        if self.failures <= 0:
            raise ValueError("`failures` must be more than 0%")
        if min(self.window, self.time) <= 0 or self.slower_than == 0:
            raise ValueError("`window`, `time` and `slower_than` must be longer than nothing")
        if self.cap < self.time:
            raise ValueError("`cap` must be at least as long as `time`")
        return self


class Breaker:
    """Counts, for one upstream, and says when it is enough."""

    __slots__ = ("_before", "_config", "_failed", "_seen", "_until")

    def __init__(self, config: BreakerConfig, now: float) -> None:
        self._config = config
        self._seen = self._failed = 0  # in the present half of the window
        self._before = (0, 0)  # in the half before it
        self._until = now + config.window / 2

    def trips(self, good: bool, seconds: float, now: float) -> bool:
        """A request has ended: whether that was one failure too many."""
        config = self._config
        if now >= self._until:
            stale = now >= self._until + config.window / 2
            self._before = (0, 0) if stale else (self._seen, self._failed)
            self._seen = self._failed = 0
            self._until = now + config.window / 2
        self._seen += 1
        if self.is_good(good, seconds):
            return False
        self._failed += 1
        seen, failed = self._before[0] + self._seen, self._before[1] + self._failed
        return seen >= config.minimum and failed >= config.failures * seen

    def is_good(self, good: bool, seconds: float) -> bool:
        limit = self._config.slower_than
        return good and (limit is None or seconds <= limit)

    def reset(self, now: float) -> None:
        self._seen = self._failed = 0
        self._before = (0, 0)
        self._until = now + self._config.window / 2


class Gate:
    """Shut at first; then lets a few through, more as they come back well, shut again when one does not.

    `seconds`, by chance a quarter more or less, is how long it stays shut; twice as long after each failure, at most
    `most`. `reason` is for the log.
    """

    __slots__ = ("_good", "_left", "_most", "_random", "_seconds", "_until", "ajar", "reason")

    def __init__(self, reason: str, seconds: float, most: float, random: Random, now: float) -> None:
        self.reason = reason
        self.ajar = False
        self._seconds = seconds
        self._most = most
        self._random = random
        self._good = self._left = 0
        self._until = now + self._pause()

    def admits(self, now: float) -> bool:
        """Whether this request may pass."""
        if not self._left:
            if now < self._until:
                return False
            self.ajar = True
            self._left = 1  # and where none of those who went ever tells, another one follows in time
            self._until = now + self._pause()
        self._left -= 1
        return True

    def ended(self, good: bool, now: float) -> bool:
        """A request has ended; True when the gate is to go. What began before it was shut counts for nothing."""
        if not self.ajar:
            return False
        if good:
            self._good += 1
            self._left += 2
            return self._good >= ENOUGH
        self.ajar = False
        self._good = self._left = 0
        self._seconds = min(self._most, self._seconds * 2)
        self._until = now + self._pause()
        return False

    def _pause(self) -> float:
        return self._seconds * self._random.uniform(0.75, 1.25)
