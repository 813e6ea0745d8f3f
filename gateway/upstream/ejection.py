"""Outlier ejection: an endpoint whose answers speak against it is left out for a while.

Each worker watches how its attempts end (`Watch.report` is an endpoint's `report`); `outlies`, `may_eject` and
`term` decide, and roster.py writes the decision where all workers read it. The rule: what the client or the gateway has
done speaks against no endpoint, and never are all of them left out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeAlias

from gateway.errors import Cause
from gateway.schema import Count, Duration, Field, Model, Share, model_validator
from gateway.upstream.retries import Statuses

# Nothing could be said to it at all.
UNREACHABLE = frozenset(
    {
        Cause.NAME_TIMEOUT, Cause.NAME_ERROR, Cause.CONNECT_REFUSED, Cause.CONNECT_TIMEOUT, Cause.TLS_FAILED,
        Cause.CERTIFICATE_REFUSED,
    }
)  # fmt: skip
FAILURES = UNREACHABLE | {
    Cause.CLOSED_BEFORE_HEAD, Cause.HEAD_TIMEOUT, Cause.READ_TIMEOUT, Cause.WRITE_TIMEOUT, Cause.BAD_RESPONSE,
    Cause.RESPONSE_HEAD_TOO_LARGE, Cause.RESPONSE_INCOMPLETE,
}  # fmt: skip
# An endpoint is gone when so many attempts in a row got no connection, over so many seconds: a restart is over sooner.
GONE_AFTER = 5
GONE_FOR = 1.0
NO_RESPONSE = 0  # the status that an attempt without one is reported with


class EjectionConfig(Model):
    """When an endpoint is left out because of how its requests end: connections that fail, time-outs, broken answers
    and the `statuses`. Each worker counts for itself; an ejection holds for all of them."""

    consecutive: Count = 5
    """So many failures in a row. One is enough for an endpoint that has just come back."""
    ratio: Share = Field(default="50%")
    """Or such a share of failures among at least `minimum` requests in `window`."""
    minimum: Count = 20
    """See `ratio`."""
    window: Duration = Field(default="10s")
    """See `ratio`."""
    time: Duration = Field(default="30s")
    """How long it is left out; twice, three times as long and so on when it fails again soon after."""
    cap: Duration = Field(default="300s")
    """How long at most, and how long it must have held out for the count to begin anew."""
    most: Share = Field(default="50%")
    """How many endpoints may be left out at a time: one in any case, and never the last. Those to which there is no
    connection at all do not count: to ask them helps nobody."""
    statuses: Statuses = Field(default=[500, 502, 503, 504])
    """Answers that count as failures, for the breaker too. 500 is among them: an endpoint that answers nothing else is
    as good as gone, and a bug that all endpoints share leaves no more than half of them out."""

    @model_validator(mode="after")
    def _check(self) -> EjectionConfig:
        if self.ratio <= 0 or self.most <= 0:
            raise ValueError("`ratio` and `most` must be more than 0%; `ejection: off` switches it off")
        if min(self.window, self.time) <= 0:
            raise ValueError("`window` and `time` must be longer than nothing")
        if self.cap < self.time:
            raise ValueError("`cap` must be at least as long as `time`")
        return self


# Told of the end of an attempt: the watch that saw it, whether it was good, the seconds that it took.
Told: TypeAlias = Callable[["Watch", bool, float], None]


class Watch:
    """How the attempts at one endpoint have ended, in one worker.

    answered, failed   in the present half of the window
    row                failures since the last answer
    unreachable        attempts in a row that did not even get a connection; `unreachable_since` the first of them
    ejected            as this worker saw it last
    told               called at every end, None while nobody listens
    """

    __slots__ = (
        "_bad", "_before", "_on_failure", "answered", "ejected", "failed", "row", "told", "unreachable",
        "unreachable_since",
    )  # fmt: skip

    def __init__(self, statuses: Collection[int], on_failure: Callable[[], None]) -> None:
        self._bad = frozenset({NO_RESPONSE, *statuses})
        self._on_failure = on_failure
        self._before = (0, 0)
        self.answered = self.failed = self.row = self.unreachable = 0
        self.unreachable_since = 0.0
        self.ejected = False
        self.told: Told | None = None

    def report(self, status: int, seconds: float, cause: Cause | None) -> None:
        """An attempt has ended: status of the response (NO_RESPONSE for none), time until then, why it failed."""
        if status in self._bad:
            self._failed(seconds, cause)
            return
        self.answered += 1
        if self.row:
            self.row = self.unreachable = 0
        if self.told is not None:
            self.told(self, True, seconds)

    def _failed(self, seconds: float, cause: Cause | None) -> None:
        if cause is not None and cause not in FAILURES:
            return
        self.failed += 1
        self.row += 1
        self.unreachable = self.unreachable + 1 if cause in UNREACHABLE else 0
        if self.told is not None:
            self.told(self, False, seconds)
        self._on_failure()

    def roll(self) -> None:
        """Half a window is over."""
        self._before = self.answered, self.failed
        self.answered = self.failed = 0

    def is_gone(self, now: float) -> bool:
        return self.unreachable >= GONE_AFTER and now - self.unreachable_since >= GONE_FOR

    @property
    def window(self) -> tuple[int, int]:
        """Attempts and failures in the window."""
        answered, failed = self._before
        answered, failed = answered + self.answered, failed + self.failed
        return answered + failed, failed


def outlies(config: EjectionConfig, watch: Watch) -> str:
    """Why the endpoint is to be ejected, "" if it is not."""
    if watch.row >= config.consecutive:
        return f"{watch.row} failures in a row"
    attempts, failed = watch.window
    if attempts >= config.minimum and failed >= config.ratio * attempts:
        return f"{failed} of {attempts} requests failed"
    return ""


def may_eject(config: EjectionConfig, *, ejected: int, endpoints: int) -> bool:
    """Whether one more may go, where `ejected` of `endpoints` are out already."""
    return ejected < max(1, int(config.most * endpoints))


def term(config: EjectionConfig, until: float, ejections: int, now: float) -> tuple[float, int]:
    """(until when, the how manieth in a row) for an endpoint whose last ejection, if any, was over at `until`."""
    count = ejections + 1 if now - until < config.cap else 1
    return now + min(config.cap, config.time * count), count
