"""Active health checks: what is asked of an endpoint, and when its answers change what is held of it.

The control process runs them (gateway/health_checks.py) and says to all workers what came of it. The rule: one check
that fails, or succeeds, changes nothing; only the very first success does, so that a start need not wait.
"""

from __future__ import annotations

import re
from random import Random
from typing import Annotated, Literal, NamedTuple, TypeAlias

from gateway.http.fields import is_token
from gateway.schema import (
    AfterValidator,
    BeforeValidator,
    Count,
    Duration,
    Field,
    Model,
    WithJsonSchema,
    model_validator,
    one_or_many,
)
from gateway.upstream.standing import Health

JITTER = 0.1  # share of the interval, both ways: against all gateways asking at the same moment
FIRST = 1.0  # seconds at most until the first check


class Statuses(NamedTuple):
    """From `least` to `most`, both included."""

    least: int
    most: int


def _read_statuses(value: object) -> Statuses:
    found = re.fullmatch(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?", str(value))
    if found is None or isinstance(value, bool):
        raise ValueError(f"{value!r}: write a status or a span of them, for example 200 or 200-399")
    span = Statuses(int(found[1]), int(found[2] or found[1]))
    if span.least > span.most:
        raise ValueError(f"{value!r}: write the lower status first")
    return span


def _check_path(text: str) -> str:
    if not re.fullmatch(r"/[!-~]*", text) or "#" in text:
        raise ValueError(f"{text!r} is not a path: write for example /health; other characters than ASCII as %XX")
    return text


def _check_text(text: str) -> str:
    if not text or not text.isprintable() or not text.isascii():
        raise ValueError(f"{text!r} cannot stand in a field: write printable ASCII")
    return text


def _check_fields(fields: dict[str, str]) -> dict[str, str]:
    for name, value in fields.items():
        if not is_token(name.encode()):
            raise ValueError(f"{name!r} is not a field name")
        _check_text(value)
    return {name.lower(): value for name, value in fields.items()}


_Statuses: TypeAlias = Annotated[
    list[Annotated[Statuses, BeforeValidator(_read_statuses)]],
    BeforeValidator(one_or_many),
    WithJsonSchema({"type": ["integer", "string", "array"], "examples": ["200-399"]}),
]
_Fields: TypeAlias = Annotated[dict[str, str], AfterValidator(_check_fields)]


class HealthConfig(Model):
    """Asks each endpoint, once per machine, on a connection of its own."""

    type: Literal["http", "tls", "tcp"] = "http"
    """`http` asks for `path`; `tls` makes a handshake and `tcp` a connection only."""
    path: Annotated[str, AfterValidator(_check_path)] = "/"
    """What to GET."""
    host: Annotated[str, AfterValidator(_check_text)] | None = None
    """The Host field; by default the endpoint's own."""
    status: _Statuses = Field(default="200-399")
    """Statuses that are well: one, a span, or a list of them."""
    fields: _Fields = Field(default={})
    """Fields that the answer must have, with these values, for example `{X-Ready: "yes"}`."""
    body: str = ""
    """A text that must stand in the first 64 KiB of the answer's body."""
    interval: Duration = Field(default="10s")
    """From one check to the next, by chance a tenth more or less."""
    timeout: Duration = Field(default="3s")
    """For a whole check."""
    rise: Count = 2
    """So many that succeed in a row, and an endpoint that was down is up."""
    fall: Count = 3
    """So many that fail in a row, and it is down."""

    @model_validator(mode="after")
    def _check(self) -> HealthConfig:
        if min(self.interval, self.timeout) < 0.1:
            raise ValueError("`interval` and `timeout` must be at least 100ms")
        asks = {"path", "host", "status", "fields", "body"} & self.model_fields_set
        if self.type != "http" and asks:
            raise ValueError(f"`{min(asks)}` has no effect with `type: {self.type}`: remove it")
        return self


class Record:
    """What the checks of one endpoint have come to. `health` is what is held of it."""

    __slots__ = ("_config", "_row", "health")

    def __init__(self, config: HealthConfig, health: Health) -> None:
        self._config = config
        self._row = 0  # against `health`
        self.health = health

    def checked(self, good: bool) -> bool:
        """A check has ended: whether that has changed what is held of the endpoint."""
        if self.health is (Health.UP if good else Health.DOWN):
            self._row = 0
            return False
        self._row += 1
        enough = self._config.fall if not good else self._config.rise if self.health is Health.DOWN else 1
        if self._row < enough:
            return False
        self._row = 0
        self.health = Health.UP if good else Health.DOWN
        return True


def next_check(config: HealthConfig, random: Random) -> float:
    """Seconds until then."""
    return config.interval * random.uniform(1 - JITTER, 1 + JITTER)


def first_check(config: HealthConfig, random: Random) -> float:
    """Seconds until then: soon, and not all at once."""
    return random.uniform(0, min(FIRST, config.interval))
