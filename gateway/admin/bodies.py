"""The bodies of writes: what may stand in them, and what is wrong with one that was sent.

Read by `writes.py` before anything is done. The rule: unknown keys are refused, every mistake is told at once, and each
with its place (a JSON Pointer), so that a program can show it where it belongs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal
from urllib.parse import quote

import orjson

from gateway.admin.actions import ActionRefused, Mistake
from gateway.schema import AfterValidator, Duration, Field, Model, ValidationError

MOST_BYTES = 64 * 1024  # of a body, against one that would fill the memory of the control process
MOST_SHOWN = 20  # mistakes told of one body
LONGEST_LOUD = 24 * 3600.0  # seconds that a changed log level may stay: a forgotten `debug` fills disks

_PLAIN = "~!$&'()*+,;=:@"  # may stand in a fragment as it is (RFC 3986 §3.5)
_SENTENCES = {"extra_forbidden": "unknown key", "missing": "this key is required and missing"}


def _check_length(seconds: float) -> float:
    if not 1.0 <= seconds <= LONGEST_LOUD:
        raise ValueError("write a time from 1s to 24h")
    return seconds


def _check_delay(seconds: float) -> float:
    if seconds > 30 * 86400.0:
        raise ValueError("write at most 30d")
    return seconds


class WeightBody(Model):
    """The share of an endpoint."""

    weight: int = Field(ge=0, le=1000)
    """In proportion to the weights of the others; 0 for no new requests."""


class LogLevelBody(Model):
    """How much the gateway's own log tells for a while."""

    level: Literal["debug", "info", "warning", "error"]
    """The least severe events to log."""
    seconds: Annotated[Duration, AfterValidator(_check_length)] = Field(default="10m", alias="for")
    """After this time the level of the configuration holds again."""


class MaintenanceBody(Model):
    """The gateway answers 503 by itself."""

    on: bool = True
    """`false` is the same as DELETE."""
    message: str = Field(default="", max_length=1000)
    """What visitors read; by default the usual page."""
    retry_after: Annotated[Duration, AfterValidator(_check_delay)] = Field(default="0s")
    """When programs should come again (Retry-After): `5m`; `0s` says nothing."""


def read_body(body: bytes, model: type[Model]) -> Model:
    """A body as its Model. Raises ActionRefused: 400 for what is no JSON, 422 with every mistake for the rest."""
    try:
        value = orjson.loads(body)
    except ValueError as error:
        raise ActionRefused(400, f"the body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ActionRefused(422, "the body must be an object", [Mistake('write {"key": value}', "#")])
    try:
        return model.model_validate(value)
    except ValidationError as error:
        mistakes = [_mistake(one) for one in error.errors(include_url=False, include_input=False)]
    raise ActionRefused(422, "the body is not what is expected here", mistakes[:MOST_SHOWN])


def _mistake(error: Any) -> Mistake:
    said = _SENTENCES.get(error["type"]) or error["msg"].removeprefix("Value error, ")
    return Mistake(said, pointer(error["loc"]))


def pointer(path: Sequence[str | int]) -> str:
    """A place in a JSON document as a URI fragment (RFC 6901 §6): "#/weight"."""
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in path)
    return "#" + "".join(f"/{quote(step, safe=_PLAIN)}" for step in steps)
