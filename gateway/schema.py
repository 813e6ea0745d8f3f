"""Model and the typed units of configuration: the only pydantic import below the top floor.

Every feature describes its YAML as a `Model`; `gateway/config` turns its errors into `file:line:column` messages.
Validation happens at load time only; nothing of pydantic is touched while a request is served.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, TypeAlias

import pydantic
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

__all__ = [
    "AfterValidator", "BeforeValidator", "Count", "Duration", "Field", "Model", "Network", "Port", "Rate", "Share",
    "Short", "Size", "ValidationError", "WithJsonSchema", "model_validator", "one_or_many",
]  # fmt: skip


# Typed loosely on purpose: defaults are written as an operator would ("30s") and validated into what they mean.
Field: Callable[..., Any] = pydantic.Field


class Model(BaseModel):
    """Frozen, unknown keys refused, strict types: what YAML says is what is meant."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True, validate_default=True
    )


_UNIT_SECONDS = {
    "ms": 0.001,
    "s": 1.0,
    "m": 60.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
    "y": 31536000.0,
}
_DURATION_PART = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*(ms|min|s|m|h|d|w|y)")
_UNIT_BYTES = {
    "": 1, "b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "kib": 1024, "mib": 1024**2, "gib": 1024**3,
    "k": 1024, "m": 1024**2, "g": 1024**3,
}  # fmt: skip
# Digits are bounded: against numbers that are infinite as a float, which int() refuses with an error of its own.
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([A-Za-z]*)")


def parse_duration(value: object) -> float:
    """Seconds from `30s`, `1m30s`, `250ms`, `2h`, `1d`, or a number 0. Raises ValueError with what to write instead."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if value == 0:
            return 0.0
        raise ValueError(f"a duration needs a unit: write {value}s for seconds (ms, s, m, h, d, w, y)")
    if not isinstance(value, str):
        raise ValueError("expected a duration such as 30s, 250ms or 1h")
    total, at = 0.0, 0
    text = value.strip()
    for part in _DURATION_PART.finditer(text):
        if part.start() != at:
            break
        total += float(part[1]) * _UNIT_SECONDS[part[2]]
        at = part.end()
    if at != len(text) or not text:
        raise ValueError(
            f"{value!r} is not a duration: write for example 30s, 250ms, 1m30s, 2h (units ms, s, m, h, d, w, y)"
        )
    return total


def parse_size(value: object) -> int:
    """Bytes from `512 MiB`, `64KiB`, `10 MB`, `1g`, or a whole number of bytes."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise ValueError("a size cannot be negative")
        return value
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None or found[2].lower() not in _UNIT_BYTES:
        raise ValueError(f"{value!r} is not a size: write for example 64 KiB, 1 MiB or 10 MB")
    return int(float(found[1]) * _UNIT_BYTES[found[2].lower()])


class Rate(NamedTuple):
    """So many in so many seconds: `100/15m` is Rate(100, 900.0)."""

    amount: int
    seconds: float


def parse_rate(value: object) -> Rate:
    """A Rate from `10/s`, `100/15m`, `5/1h`."""
    count, slash, window = value.partition("/") if isinstance(value, str) else ("", "", "")
    if not slash or not re.fullmatch(r"[0-9]{1,15}", count.strip()) or int(count) < 1:
        raise ValueError(f"{value!r} is not a rate: write for example 10/s or 100/15m")
    window = window.strip()
    seconds = parse_duration(window if window[:1].isdigit() else f"1{window}")
    if seconds <= 0:
        raise ValueError(f"{value!r} is not a rate: the time must be longer than nothing")
    return Rate(int(count), seconds)


def parse_share(value: object) -> float:
    """0.2 from `20%`."""
    number = value.strip().removesuffix("%") if isinstance(value, str) and value.strip().endswith("%") else ""
    if not number.isdecimal() or len(number) > 3 or int(number) > 100:
        raise ValueError(f"{value!r} is not a share: write a percentage from 0% to 100%, for example 20%")
    return int(number) / 100


def parse_network(value: object) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """An address or CIDR range; host bits set are an error, for they are nearly always a slip."""
    if not isinstance(value, str):
        raise ValueError("expected an address or a range such as 10.0.0.0/8")
    try:
        return ipaddress.ip_network(value)
    except ValueError:
        try:
            loose = ipaddress.ip_network(value, strict=False)
        except ValueError:
            raise ValueError(f"{value!r} is not an address or a range such as 10.0.0.0/8 or 2001:db8::/32") from None
        raise ValueError(f"{value!r} has bits set to the right of its prefix: write {loose}") from None


class Short:
    """In an Annotated Model: says in the JSON Schema that one scalar of type `kind` may stand for the mapping.

    The Model's BeforeValidator turns the scalar into the mapping; this is for editors only.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __get_pydantic_json_schema__(self, core_schema: Any, inner: Callable[[Any], Any]) -> dict[str, Any]:
        return {"anyOf": [{"type": self.kind}, inner(core_schema)]}


def one_or_many(value: Any) -> Any:
    """Lets an operator write `x` where a list `[x]` is meant."""
    return value if isinstance(value, list) or value is None else [value]


def _text(example: str, pattern: str | None = None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": ["string", "integer"], "examples": [example]}
    return schema | ({"pattern": pattern} if pattern else {})


Duration: TypeAlias = Annotated[float, BeforeValidator(parse_duration), WithJsonSchema(_text("30s"))]
Size: TypeAlias = Annotated[int, BeforeValidator(parse_size), WithJsonSchema(_text("1 MiB"))]
RateText: TypeAlias = Annotated[Rate, BeforeValidator(parse_rate), WithJsonSchema(_text("100/15m"))]
Network: TypeAlias = Annotated[
    ipaddress.IPv4Network | ipaddress.IPv6Network, BeforeValidator(parse_network), WithJsonSchema(_text("10.0.0.0/8"))
]
Share: TypeAlias = Annotated[
    float, BeforeValidator(parse_share), WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,3}%$"})
]
Count: TypeAlias = Annotated[int, Field(ge=1)]
Port: TypeAlias = Annotated[int, Field(ge=1, le=65535)]
