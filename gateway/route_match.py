"""What a route matches, as the operator writes it: hosts, path patterns, methods, fields, query.

Read by route_settings.py while the configuration loads and compiled by routing.py into tables. The rule: everything
is brought into the one spelling that requests have (http/path.py), so that matching compares bytes and nothing else.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias
from urllib.parse import quote as percent_encode

from gateway.field_edits import check_twice
from gateway.http.fields import is_token
from gateway.http.head import KNOWN_METHODS
from gateway.http.message import Malformed
from gateway.http.path import PathRules, normalise
from gateway.patterns import compile_regex, quote
from gateway.schema import AfterValidator, BeforeValidator, Model, WithJsonSchema, model_validator, one_or_many

ANY_HOST = "*"
ANY_PATH = "/*"
MAX_NAME = 253  # letters of a host name (RFC 1035 §2.3.4)
_NAME = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_ASCII = "".join(map(chr, range(0x21, 0x7F)))


def read_host(text: str) -> str:
    """`example.com`, `*.example.com`, `*` or an address, in the spelling of Request.host. Raises ValueError."""
    if "://" in text or "/" in text:
        raise ValueError(f"{text!r} is not a host: write the name alone, for example {_name_in(text)}")
    name = text.lower().removesuffix(".")
    if name == ANY_HOST:
        return name
    try:
        address = ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        pass
    else:
        return str(address) if address.version == 4 else f"[{address}]"
    if not name.isascii():
        raise ValueError(f"{text!r} is not in the form that browsers send: write {_punycode(name)}")
    if ":" in name:
        raise ValueError(f"{text!r}: the port is not part of what is matched: write {name.partition(':')[0]}")
    if "*" in name.removeprefix("*."):
        raise ValueError(
            f"{text!r}: the only wildcard is a leading `*.`, for example *.example.com (or * for any host)"
        )
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME:
        raise ValueError(f"{text!r} is not a host name: write for example example.com or *.example.com")
    return name


def _name_in(text: str) -> str:
    return text.partition("://")[2].partition("/")[0].partition(":")[0] or text.partition("/")[0] or "example.com"


def _punycode(name: str) -> str:
    try:
        return name.encode("idna").decode()
    except UnicodeError:
        return "its xn--… form"


def read_path(text: str) -> str:
    """A path pattern in one spelling: `/a`, `/a/*`, `/a/*/b`, `/a/**/b`. Raises ValueError with what to write."""
    if text in {"*", "**"}:
        return ANY_PATH
    if not text.startswith("/"):
        raise ValueError(f"{text!r}: a path begins with a slash: write /{text}")
    for mark, why in (
        ("?", "the query is matched by `query`"),
        ("#", "a fragment is never sent"),
        ("{", "for one segment of any name write *"),
        ("[", "character classes need `path_regex`"),
    ):
        if mark in text:
            raise ValueError(f"{text!r}: {mark!r} cannot be in a path: {why}")
    segments = text.split("/")[1:]
    if any(segment in {".", ".."} for segment in segments):
        raise ValueError(f"{text!r}: dot segments are removed from every request: write the path they lead to")
    if any("**" in segment and segment != "**" for segment in segments):
        raise ValueError(f"{text!r}: `**` stands for whole segments: write it between slashes, as in /a/**/b")
    tail = segments[-1] in {"*", "**"}
    if segments[-1] == "*":
        segments.pop()
    while tail and segments and segments[-1] == "**":
        segments.pop()
    spelled = "".join(f"/{segment}" for segment in segments)
    try:
        plain = normalise(percent_encode(spelled, safe=_ASCII).encode(), PathRules()).decode() if spelled else ""
    except Malformed as fault:
        raise ValueError(f"{text!r} can never match: requests with {fault.why} are refused") from None
    return f"{plain}/*" if tail else plain


def _read_method(text: str) -> str:
    method = text.encode()
    if method in {b"CONNECT", b"TRACE"}:
        raise ValueError(f"{text} is refused before routing, so no route can match it")
    if method not in KNOWN_METHODS:
        upper = text.upper()
        known = upper.encode() in KNOWN_METHODS
        raise ValueError(
            f"{text!r} is not a method: " + (f"write {upper}" if known else "write for example GET or POST")
        )
    return text


def _read_regex(text: str) -> str:
    compile_regex(text)
    if not text.lstrip("^").startswith(("/", "(", ".", "[", "\\")):
        raise ValueError(f"{text!r}: the whole path is compared, and it begins with a slash: write /{text.lstrip('^')}")
    return text


class FieldMatch(NamedTuple):
    """What a field or query value must be: `kind` says how `text` is compared."""

    kind: Literal["exact", "glob", "regex", "present", "absent"]
    text: str = ""

    def __str__(self) -> str:
        return self.kind if self.kind in {"present", "absent"} else f"{self.kind} {self.text!r}"


def read_field_match(value: object) -> FieldMatch:
    """From `value`, `val*`, `present`, `absent`, or a mapping with one of exact, glob, regex. Raises ValueError."""
    if isinstance(value, FieldMatch):
        return value
    if isinstance(value, str):
        if value == "present":
            return FieldMatch("present")
        if value == "absent":
            return FieldMatch("absent")
        return FieldMatch("glob" if "*" in value else "exact", value)
    if isinstance(value, dict) and len(value) == 1:
        ((kind, text),) = value.items()
        if isinstance(text, str) and kind in {"exact", "glob", "regex"}:
            if kind == "regex":
                compile_regex(text)
            return FieldMatch(kind, text)
    if isinstance(value, (int, float)):
        raise ValueError(f"{value!r} is not text: put it in quotes")
    raise ValueError("expected a value, a value with *, `present`, `absent`, or {regex: …}")


def _read_field_name(name: str) -> str:
    if not is_token(name.encode()):
        raise ValueError(f"{name!r} is not a field name")
    if name.lower() == "host":
        raise ValueError("the Host field is matched by `host`")
    return name.lower()


def _list_schema(example: str) -> dict[str, Any]:
    return {
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}],
        "examples": [example],
    }


def _not_empty(values: list[str]) -> list[str]:
    if not values:
        raise ValueError("an empty list matches nothing: leave the key out to match all")
    return values


_Wanted: TypeAlias = Annotated[
    FieldMatch,
    BeforeValidator(read_field_match),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "properties": {kind: {"type": "string"} for kind in ("exact", "glob", "regex")},
                    "additionalProperties": False,
                    "minProperties": 1,
                    "maxProperties": 1,
                },
            ],
            "examples": ["value", "val*", "present", "absent", {"regex": "[0-9]+"}],
        }
    ),
]
_Hosts: TypeAlias = Annotated[
    list[Annotated[str, AfterValidator(read_host)]],
    AfterValidator(_not_empty),
    BeforeValidator(one_or_many),
    WithJsonSchema(_list_schema("*.example.com")),
]
_Paths: TypeAlias = Annotated[
    list[Annotated[str, AfterValidator(read_path)]],
    AfterValidator(_not_empty),
    BeforeValidator(one_or_many),
    WithJsonSchema(_list_schema("/api/*")),
]
_Regexes: TypeAlias = Annotated[
    list[Annotated[str, AfterValidator(_read_regex)]],
    AfterValidator(_not_empty),
    BeforeValidator(one_or_many),
    WithJsonSchema(_list_schema("/v[0-9]+/.*")),
]
_Methods: TypeAlias = Annotated[
    list[Annotated[str, AfterValidator(_read_method)]],
    AfterValidator(_not_empty),
    BeforeValidator(one_or_many),
    WithJsonSchema(_list_schema("GET")),
]
_Fields: TypeAlias = Annotated[
    dict[Annotated[str, AfterValidator(_read_field_name)], _Wanted], BeforeValidator(check_twice)
]


class MatchConfig(Model):
    """What a request must be for the route to take it. All keys given must hold; without any, every request matches."""

    host: _Hosts | None = None
    """Host, or list of hosts: exact (`example.com`), `*.example.com` (one or more labels before it, not `example.com`
    itself) or `*`. Case and port do not matter."""
    path: _Paths | None = None
    """Path, or list of paths: exact (`/a`), everything at and below (`/a/*` matches `/a`, `/a/` and `/a/b/c`), `*`
    within a segment (`/files/*.jpg`, `/users/*/orders`), `**` for any number of segments (`/a/**/b`). Compared with
    the normalised path, case-sensitive."""
    path_regex: _Regexes | None = None
    """Regular expression, or list of them, that the whole path must match: RE2 syntax, linear time."""
    methods: _Methods | None = None
    """Methods, for example `[GET, POST]`. GET implies HEAD."""
    headers: _Fields = {}
    """Request fields and what they must be: a value, a value with `*`, `present`, `absent`, or `{regex: …}` (the
    whole value). Of a field that is repeated, any one value will do."""
    query: dict[str, _Wanted] = {}
    """Query parameters and what they must be, as for `headers`; names and values are compared percent-decoded."""

    @model_validator(mode="after")
    def _one_kind_of_path(self) -> MatchConfig:
        if self.path is not None and self.path_regex is not None:
            raise ValueError("both `path` and `path_regex`: write two routes, or one pattern")
        return self


class PathPattern(NamedTuple):
    """A path glob, taken apart at its slashes.

    segments  up to the first `**`, the trailing `/*` left out
    deep      the segments from the first `**` on, () for none
    tail      it ends in `/*`: everything below matches too
    """

    segments: tuple[bytes, ...]
    deep: tuple[bytes, ...]
    tail: bool


def is_exact(path: str) -> bool:
    """Whether the pattern is a plain path, for a dictionary."""
    return "*" not in path


def take_apart(path: str) -> PathPattern:
    """The PathPattern of a pattern that `read_path` returned."""
    segments = tuple(path.encode().split(b"/")[1:])
    tail = segments[-1] == b"*"
    if tail:
        segments = segments[:-1]
    at = segments.index(b"**") if b"**" in segments else len(segments)
    return PathPattern(segments[:at], segments[at:], tail)


def glob_regex(path: str) -> str:
    """The regular expression that says the same as the path pattern: the definition of what it matches."""
    pattern = take_apart(path)
    parts: list[bytes] = []
    for segment in pattern.segments + pattern.deep:
        if segment == b"**":
            parts.append(b"(?:/.*)?")
        elif segment == b"*":
            parts.append(b"/[^/]+")
        else:
            parts.append(b"/" + b"[^/]*".join(quote(piece) for piece in segment.split(b"*")))
    if pattern.tail:
        parts.append(b"(?:/.*)?")
    return f"(?s:{b''.join(parts).decode()})"
