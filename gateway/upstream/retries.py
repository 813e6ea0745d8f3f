"""Retries: whether, when and where a request that has failed upstream is sent again.

Each upstream has one `Retries`, its rules and the budget that all its exchanges share; an exchange whose first attempt
fails gets a `FailedAttempts`, which the proxy asks after each one. The rule (RFC 9110 §9.2.2): what is not idempotent
is never repeated once a byte of it was written.
"""

from __future__ import annotations

from collections.abc import Collection
from random import Random
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeAlias

from gateway.errors import Retry, UpstreamFault
from gateway.exchange import Exchange
from gateway.http.message import Response
from gateway.metrics import Metrics, Values
from gateway.schema import (
    BeforeValidator,
    Duration,
    Field,
    Model,
    Share,
    WithJsonSchema,
    model_validator,
    parse_duration,
)
from gateway.upstream.timeouts import Timeouts

if TYPE_CHECKING:
    from gateway.upstream.upstream import Endpoint, Upstream

# RFC 9110 §9.2.2 and RFC 4918, less the methods that change more than one resource.
IDEMPOTENT = frozenset({b"DELETE", b"GET", b"HEAD", b"OPTIONS", b"PROPFIND", b"PUT", b"REPORT", b"SEARCH"})


class Span(NamedTuple):
    """From `least` to `most` seconds."""

    least: float
    most: float


def _read_span(value: object) -> Span:
    if not isinstance(value, str):
        raise ValueError("expected a span of time such as 25ms-250ms")
    least, _, most = value.partition("-")
    span = Span(parse_duration(least), parse_duration(most or least))
    if span.least > span.most:
        raise ValueError(f"{value!r}: write the shorter time first")
    return span


def _read_statuses(value: object) -> frozenset[int]:
    statuses = value if isinstance(value, list) else [value]
    for status in statuses:
        if not isinstance(status, int) or not 500 <= status <= 599:
            raise ValueError(f"{status!r} is no failure of a server: write numbers from 500 to 599, as in [502, 503]")
    return frozenset(statuses)


_Span: TypeAlias = Annotated[
    Span, BeforeValidator(_read_span), WithJsonSchema({"type": "string", "examples": ["25ms-250ms"]})
]
Statuses: TypeAlias = Annotated[
    frozenset[int],
    BeforeValidator(_read_statuses),
    WithJsonSchema({"type": "array", "items": {"type": "integer", "minimum": 500, "maximum": 599}}),
]


class RetriesConfig(Model):
    """Further attempts when an endpoint fails before it has answered."""

    attempts: int = Field(default=1, ge=0, le=5)
    """How many, beyond the first. Only requests that are safe to repeat are ever sent twice."""
    statuses: Statuses = Field(default=[])
    """Answers that count as failures too, for example `[502, 503, 504]`, where the request is safe to repeat. One with
    a `Retry-After` is passed on: the origin wants to be left alone."""
    per_try_timeout: Duration | None = None
    """How long an attempt that another may follow waits for the head of the response; the last one has `timeouts.head`
    of the route, as all have without this."""
    jitter: _Span = Field(default="25ms-250ms")
    """How long to wait, by chance, before an endpoint that failed is asked again. Another endpoint is asked at once,
    and so is one that merely closed a connection kept from an earlier request."""
    budget: Share = Field(default="20%")
    """How many of the requests under way at the upstream may be repeated ones at a time; the others are answered with
    their failure. Against retries that keep a failing service down."""
    budget_floor: int = Field(default=3, ge=0)
    """How many may be repeated at a time however few are under way."""

    @model_validator(mode="after")
    def _check(self) -> RetriesConfig:
        if self.per_try_timeout is not None and self.per_try_timeout <= 0:
            raise ValueError("`per_try_timeout` must be longer than nothing")
        return self


class TryTimes(NamedTuple):
    """The timeouts (seconds) of an attempt that another may follow."""

    connect: float
    head: float
    read: float


class Retries:
    """The rules of one upstream, and how many of its exchanges are at a further attempt.

    attempts   allowed beyond the first
    statuses   of responses that are asked for again
    per_try    seconds for the response head in an attempt that another may follow, None for the route's
    in_flight  exchanges at a further attempt, or waiting for it
    """

    __slots__ = (
        "_budget", "_floor", "_jitter", "_random", "answered", "attempts", "failed", "in_flight", "over_budget",
        "per_try", "statuses", "values",
    )  # fmt: skip

    def __init__(self, config: RetriesConfig, random: Random) -> None:
        self.attempts = config.attempts
        self.statuses = config.statuses
        self.per_try = config.per_try_timeout
        self._jitter = config.jitter
        self._budget = config.budget
        self._floor = config.budget_floor
        self._random = random
        self.in_flight = 0
        self.values: Values = [0, 0, 0]  # of the metrics, once registered; and the slots that count there
        self.answered, self.failed, self.over_budget = range(3)

    def begin(self, active: int) -> bool:
        """Takes a place in the budget of `active` exchanges, if there is one."""
        if self.in_flight + 1 > max(self._floor, self._budget * active):
            self.values[self.over_budget] += 1
            return False
        self.in_flight += 1
        return True

    def pause(self) -> float:
        """Seconds to wait before an endpoint is asked again: by chance, so that those who failed together do not come
        back together."""
        return self._random.uniform(*self._jitter)

    def times(self, timeouts: Timeouts, exchange: Exchange) -> Timeouts:
        """The timeouts of the attempt that begins now, where there is a `per_try`."""
        if self.per_try is None or exchange.attempts > self.attempts or exchange.request.method not in IDEMPOTENT:
            return timeouts
        return TryTimes(timeouts.connect, min(self.per_try, timeouts.head), timeouts.read)

    def wanted(self, response: Response) -> bool:
        """Whether an answer counts as one: False for those to ask for again, if that is allowed."""
        return response.status not in self.statuses or response.index.get(b"retry-after", b"0") != b"0"

    def register(self, metrics: Metrics, upstream: str) -> None:
        """Counts in `metrics` from now on."""

        def slot(result: str) -> int:
            return metrics.counter(
                "gateway_upstream_retries_total",
                "Further attempts by result: answered, failed, or over_budget (not made).",
                upstream=upstream,
                result=result,
            )

        self.values = metrics.values
        self.answered, self.failed, self.over_budget = slot("answered"), slot("failed"), slot("over_budget")


class FailedAttempts:
    """What an exchange remembers of the attempts that failed, and what follows from it for the next one.

    endpoint  to ask next, None to pick any
    seconds   to wait before
    fresh     the connection must be a new one
    """

    __slots__ = ("_counted", "_stale", "_tried", "_upstream", "endpoint", "fresh", "seconds")

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._tried: Collection[Endpoint] = ()
        self._counted = False  # among Retries.in_flight
        self._stale = False  # one of them was no failure of its endpoint
        self.endpoint: Endpoint | None = None
        self.seconds = 0.0
        self.fresh = False

    def another(self, exchange: Exchange, endpoint: Endpoint, fault: UpstreamFault | None, *, stale: bool) -> bool:
        """Whether there is to be one more attempt after the one at `endpoint`, and if so, how.

        `fault` is None for an answer that is not wanted; `stale`: the origin has closed a kept connection.
        """
        upstream = self._upstream
        retries = upstream.retries
        retry, sent = (Retry.IDEMPOTENT, True) if fault is None else (fault.cause.retry, fault.sent)
        if retry is Retry.NEVER:
            return False
        if sent and (retry is not Retry.IDEMPOTENT or exchange.request.method not in IDEMPOTENT):
            return False
        # Behind a stale connection stands, at times, an endpoint that has gone: that costs one attempt, and not two.
        if exchange.attempts > retries.attempts + (self._stale and not sent):
            return False
        if not retries.begin(upstream.load):
            return False
        self._counted = True
        self.fresh = stale
        self.seconds = 0.0
        if stale:
            self._stale = True
            self.endpoint = endpoint
            return True
        self._tried = {*self._tried, endpoint}
        self.endpoint = upstream.other(exchange, self._tried)
        if self.endpoint is None:
            self._tried = ()
            self.seconds = retries.pause()
        return True

    def over(self, *, answered: bool) -> None:
        """An attempt is over; the first one, which was no further attempt, counts for nothing."""
        if self._counted:
            self.leave()
            retries = self._upstream.retries
            retries.values[retries.answered if answered else retries.failed] += 1

    def leave(self) -> None:
        """Gives back the place in the budget."""
        if self._counted:
            self._counted = False
            self._upstream.retries.in_flight -= 1
