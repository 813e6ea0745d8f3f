"""What the browser is told to guard against: HSTS, frames, sniffing, referrers, permissions, isolation, CSP.

Nearly all are constant fields of the plan; only HSTS, which depends on scheme and host, is a `deliver` hook. The rule:
the default preset breaks no ordinary site, and an origin's own word wins unless `origin: replace` says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

from gateway.exchange import Exchange
from gateway.hooks import Hooks, Shared
from gateway.http.address import parse_node
from gateway.http.csp import check_csp, parse_csp, policy_of, render_csp
from gateway.http.fields import is_token
from gateway.http.message import Response
from gateway.schema import AfterValidator, BeforeValidator, Duration, Model, WithJsonSchema, model_validator

HSTS = b"strict-transport-security"
# Hosts whose HSTS decision is remembered. Against a flood of invented Host fields: then all are forgotten.
REMEMBERED = 1024

# Asking for hardware from inside a third party's frame is what no ordinary site needs. Cameras, payment and sensors are
# left alone: embedded calls, check-outs and 360° videos use them.
_DEFAULT_PERMISSIONS = "bluetooth=(self), hid=(self), midi=(self), serial=(self), usb=(self)"
_STRICT_PERMISSIONS = (
    "accelerometer=(), bluetooth=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), hid=(), "
    "magnetometer=(), microphone=(), midi=(), payment=(), serial=(), usb=()"
)
# Long enough to protect, and short enough to undo; two years in `strict`.
_HSTS_SECONDS = {"off": 15552000, "default": 15552000, "strict": 63072000}
_PRELOAD_SECONDS = 31536000  # what the list of browsers asks for
# Per preset: field -> value.
_PRESETS: dict[str, dict[str, str]] = {
    "off": {},
    "default": {
        "x-content-type-options": "nosniff",
        "x-frame-options": "SAMEORIGIN",
        "referrer-policy": "strict-origin-when-cross-origin",
        "permissions-policy": _DEFAULT_PERMISSIONS,
        "cross-origin-opener-policy": "same-origin-allow-popups",
    },
    "strict": {
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "same-origin",
        "permissions-policy": _STRICT_PERMISSIONS,
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "content-security-policy": "base-uri 'self'; frame-ancestors 'none'; object-src 'none'",
    },
}
_BANNERS = ("server", "x-powered-by")


def _off(value: object) -> object:
    """`off` is a text in YAML 1.2; False is what a generated file may hold."""
    return "off" if value is False else value


def _policy(value: object) -> object:
    """The rendered policy of a mapping or a text; every problem in one message."""
    problems: list[str] = []
    if value is None or value is False or value == "off":
        return _off(value)
    if isinstance(value, str):
        policy, problems = parse_csp(value)
    elif isinstance(value, Mapping):
        for name, words in value.items():
            listed = isinstance(words, list) and all(isinstance(word, str) for word in words)
            if not (isinstance(name, str) and (words is None or isinstance(words, str) or listed)):
                raise ValueError(f"{name}: write a list of sources, for example [\"'self'\", https://cdn.example.com]")
        policy = policy_of(value)
    else:
        raise ValueError("write a mapping of directives, for example default-src: [\"'self'\"], or the policy as text")
    problems += check_csp(policy)
    if problems:
        raise ValueError("; ".join(problems))
    return render_csp(policy).decode("ascii")


def _permissions(value: object) -> object:
    """Permissions-Policy from a mapping (`camera: []`, `usb: [self, https://x]`, `fullscreen: "*"`) or a text."""
    if isinstance(value, Mapping):
        parts = []
        for name, allowed in value.items():
            words = [allowed] if isinstance(allowed, str) else (allowed or [])
            if not (isinstance(name, str) and name.replace("-", "").isalnum()) or not isinstance(words, list):
                raise ValueError(f"{name!r}: write a feature and its list, for example camera: [] or usb: [self]")
            parts.append(f"{name}={_allow_list(name, words)}")
        return ", ".join(parts)
    value = _off(value)
    if isinstance(value, str) and value != "off" and (not value.strip() or not _printable(value)):
        raise ValueError(f"{value!r} is not a policy: write for example camera=(), usb=(self)")
    return value


def _allow_list(name: str, words: list[Any]) -> str:
    rendered = []
    for word in words:
        bare = word.strip("'\"") if isinstance(word, str) else ""
        if bare == "*" and len(words) == 1:
            return "*"
        if bare in ("self", "src"):
            rendered.append(bare)
        elif bare.startswith(("https://", "http://")) and '"' not in bare and " " not in bare:
            rendered.append(f'"{bare}"')
        elif bare == "none" and len(words) == 1:
            return "()"
        else:
            raise ValueError(f"{name}: {word!r} is not self, * or an origin such as https://example.com")
    return f"({' '.join(rendered)})"


def _printable(value: str) -> bool:
    return value.isascii() and value.isprintable()


def _name(value: str) -> str:
    if not is_token(value.encode("utf-8")):
        raise ValueError(f"{value!r} is not a field name: write for example server")
    return value.lower()


Off: TypeAlias = Literal["off"]
_LISTS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, {"type": "null"}]}
_SCHEMA = WithJsonSchema(
    {"anyOf": [{"type": "string"}, {"type": "object", "additionalProperties": _LISTS}, {"type": "null"}]}
)
Csp: TypeAlias = Annotated[str | None, BeforeValidator(_policy), _SCHEMA]
Permissions: TypeAlias = Annotated[str | None, BeforeValidator(_permissions), _SCHEMA]
FieldName: TypeAlias = Annotated[str, AfterValidator(_name)]


class Hsts(Model):
    """Strict-Transport-Security (RFC 6797). Sent over https only, and never for localhost, addresses or a development
    certificate."""

    max_age: Duration | None = None
    """How long browsers will refuse plain http, from their last visit: 180d, or 2y with `preset: strict`."""
    include_subdomains: bool = False
    """For every subdomain too: be sure that all of them serve https."""
    preload: bool = False
    """Ask to be built into browsers; needs `include_subdomains` and at least one year, and is hard to undo."""


ReferrerPolicy: TypeAlias = Literal[
    "no-referrer", "no-referrer-when-downgrade", "origin", "origin-when-cross-origin", "same-origin", "strict-origin",
    "strict-origin-when-cross-origin", "unsafe-url", "off",
]  # fmt: skip
OpenerPolicy: TypeAlias = Literal[
    "unsafe-none", "same-origin-allow-popups", "same-origin", "noopener-allow-popups", "off"
]


class Config(Model):
    """Security fields of every answer. `security_headers: strict` is short for `{preset: strict}`, and so are the
    others. Each field replaces what the preset says, `off` leaves it out."""

    preset: Annotated[Literal["default", "strict", "off"], BeforeValidator(_off)] = "default"
    """`default` breaks no ordinary site, `strict` is for sites written with it in mind, `off` begins with nothing."""
    origin: Literal["keep", "replace"] = "keep"
    """What becomes of a field that the origin sends itself: `keep` lets it win, `replace` puts ours in its place."""
    hsts: Annotated[Hsts | Off | None, BeforeValidator(_off)] = None
    """Strict-Transport-Security, or `off`."""
    content_type_options: Annotated[Literal["nosniff", "off"] | None, BeforeValidator(_off)] = None
    """X-Content-Type-Options."""
    frame_options: Annotated[Literal["DENY", "SAMEORIGIN", "off"] | None, BeforeValidator(_off)] = None
    """X-Frame-Options; a `frame-ancestors` in `csp` takes its place in browsers of this decade."""
    referrer_policy: Annotated[ReferrerPolicy | None, BeforeValidator(_off)] = None
    """Referrer-Policy."""
    permissions_policy: Permissions = None
    """Permissions-Policy, as a mapping (`{camera: [], usb: [self]}`) or as text."""
    coop: Annotated[OpenerPolicy | None, BeforeValidator(_off)] = None
    """Cross-Origin-Opener-Policy."""
    corp: Annotated[Literal["same-origin", "same-site", "cross-origin", "off"] | None, BeforeValidator(_off)] = None
    """Cross-Origin-Resource-Policy."""
    coep: Annotated[Literal["unsafe-none", "require-corp", "credentialless", "off"] | None, BeforeValidator(_off)] = (
        None
    )
    """Cross-Origin-Embedder-Policy."""
    csp: Csp = None
    """Content-Security-Policy, as a mapping (`{default-src: ["'self'"], img-src: ["'self'", "data:"]}`) or as text."""
    csp_report_only: Csp = None
    """Content-Security-Policy-Report-Only: browsers report what it would block, and block nothing."""
    remove: list[FieldName] | None = None
    """Fields of the origin that clients do not get: [server, x-powered-by], or none with `preset: off`."""

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, value: Any) -> Any:
        return {"preset": _off(value)} if isinstance(value, (str, bool)) else value

    @model_validator(mode="after")
    def _preloadable(self) -> Config:
        if isinstance(self.hsts, Hsts) and self.hsts.preload:
            age = _HSTS_SECONDS[self.preset] if self.hsts.max_age is None else self.hsts.max_age
            if age < _PRELOAD_SECONDS or not self.hsts.include_subdomains:
                raise ValueError("hsts: preload needs include_subdomains: true and a max_age of at least 1y")
        return self

    def hsts_value(self) -> bytes:
        """The value of Strict-Transport-Security, b"" for none."""
        if self.hsts == "off" or (self.hsts is None and self.preset == "off"):
            return b""
        hsts = self.hsts or Hsts()
        age = _HSTS_SECONDS[self.preset] if hsts.max_age is None else hsts.max_age
        tail = b"; includeSubDomains" * hsts.include_subdomains + b"; preload" * hsts.preload
        return b"max-age=%d%b" % (age, tail)


_FIELDS = (
    ("content_type_options", "x-content-type-options"),
    ("frame_options", "x-frame-options"),
    ("referrer_policy", "referrer-policy"),
    ("permissions_policy", "permissions-policy"),
    ("coop", "cross-origin-opener-policy"),
    ("corp", "cross-origin-resource-policy"),
    ("coep", "cross-origin-embedder-policy"),
    ("csp", "content-security-policy"),
    ("csp_report_only", "content-security-policy-report-only"),
)


def build(config: Config, shared: Shared) -> Hooks:
    """Constant fields, names to remove, and a `deliver` hook where HSTS may have to be said."""
    preset = _PRESETS[config.preset]
    constant = []
    for attribute, field in _FIELDS:
        value = getattr(config, attribute) or preset.get(field, "off")
        if value != "off":
            constant.append((field.encode(), value.encode("ascii")))
    banners: Sequence[str] = () if config.preset == "off" else _BANNERS
    drop = frozenset(name.encode() for name in (banners if config.remove is None else config.remove))
    replace = config.origin == "replace"
    hsts = config.hsts_value()
    return Hooks(
        deliver=_hsts(hsts, shared) if hsts else None,
        drop_response=drop | {HSTS} if hsts and replace else drop,
        set_response=tuple(constant) if replace else (),
        default_response=() if replace else tuple(constant),
    )


def _hsts(value: bytes, shared: Shared) -> Callable[[Exchange, Response], None]:
    line = (HSTS, value)
    known: dict[bytes, bool] = {}

    def decide(exchange: Exchange, host: bytes) -> bool:
        if len(known) >= REMEMBERED:
            known.clear()
        known[host] = allowed = _may_insist(host.decode("latin-1"), shared)
        return allowed

    def deliver(exchange: Exchange, response: Response) -> None:
        if exchange.scheme != "https":
            return
        host = exchange.request.host
        allowed = known.get(host)
        if allowed is None:
            allowed = decide(exchange, host)
        if not allowed:
            return
        # Not `index`: what was dropped is still in it, and what an earlier filter set is not. RFC 6797 §7.1: one only.
        for name, _value in response.fields:
            if name == HSTS:
                return
        response.fields.append(line)

    return deliver


def _may_insist(host: str, shared: Shared) -> bool:
    """Whether browsers may be told to refuse plain http of `host` (RFC 6797 §8.1.1: never for addresses)."""
    name = host.removesuffix(".")
    if not name or name == "localhost" or name.endswith(".localhost") or parse_node(host.encode("latin-1")):
        return False
    return shared.development_host is None or not shared.development_host(name)
