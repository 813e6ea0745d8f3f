"""Field names and list syntax that both wires need (RFC 9110 §5, §7.6.1).

Pure functions over bytes; names are lower-case everywhere. What is hop-by-hop is defined here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.http.message import Fields

# RFC 9110 §7.6.1 and what implementations have used: never passed on. Upgrade is re-made if allowed. Trailer is not one
# of them: trailers are passed on, and so is their announcement (§6.6.2).
HOP_BY_HOP = frozenset(
    {
        b"connection", b"http2-settings", b"keep-alive", b"proxy-authenticate", b"proxy-authorization",
        b"proxy-connection", b"te", b"transfer-encoding", b"upgrade",
    }
)  # fmt: skip

# Framing and routing of the message itself: rendered anew by codec.py, never copied.
FRAMING = frozenset({b"content-length", b"host", b"transfer-encoding"})

# RFC 9110 §6.5.1: what may not be said after the body; a trailer of these names is dropped. Cookies and credentials,
# and what says who the client is, are here because a filter that ran on the head has already decided on them.
NOT_IN_TRAILERS = (
    HOP_BY_HOP
    | FRAMING
    | {
        b"age", b"authorization", b"cache-control", b"cdn-cache-control", b"content-encoding", b"content-range",
        b"content-security-policy", b"content-type", b"cookie", b"date", b"expect", b"expires", b"forwarded",
        b"if-match", b"if-modified-since", b"if-none-match", b"if-range", b"if-unmodified-since", b"location",
        b"max-forwards", b"pragma", b"range", b"retry-after", b"set-cookie", b"strict-transport-security",
        b"traceparent", b"trailer", b"vary", b"via", b"warning", b"www-authenticate", b"x-real-ip", b"x-request-id",
    }
)  # fmt: skip

# RFC 9110 §5.6.2.
TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def is_token(value: bytes) -> bool:
    """Whether `value` is a non-empty RFC 9110 token."""
    return bool(value) and TOKEN.issuperset(value)


def list_tokens(value: bytes) -> list[bytes]:
    """Lower-case elements of a comma-separated list of tokens; empty elements are skipped (RFC 9110 §5.6.1)."""
    if b"," not in value:
        token = value.strip(b" \t").lower()
        return [token] if token else []
    return [token for part in value.split(b",") if (token := part.strip(b" \t").lower())]


def without(fields: Iterable[tuple[bytes, bytes]], names: frozenset[bytes] | set[bytes]) -> Fields:
    """The fields whose name is not in `names`."""
    return [field for field in fields if field[0] not in names]


def allowed_trailers(trailers: Fields) -> Fields:
    """The trailer fields that may be passed on (RFC 9110 §6.5.1)."""
    return [
        field
        for field in trailers
        if field[0] not in NOT_IN_TRAILERS and not field[0].startswith(b"x-forwarded-") and b"_" not in field[0]
    ]
