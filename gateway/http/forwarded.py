"""The Forwarded field and its X-Forwarded-For elder: grammar in, grammar out (RFC 7239).

`filters/real_ip.py` reads with it, `filters/forwarded.py` writes with it. The rule: a chain is read from its right end,
for that is the end which the nearest proxy wrote, so nothing further left can change how it is understood.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gateway.http.fields import is_token

# Against a trusted peer that passes on a forged chain: what lies further left is not looked at. No real path has more.
MOST_ELEMENTS = 32
MOST_BYTES = 4096
# Against quadratic reading of a field full of commas inside quotes: one element is never longer.
LONGEST_ELEMENT = 512

# Stricter readers ask for quotes around ":" and "[" (RFC 7239 §4); proxies that forget them are common, and reading
# them cannot be ambiguous, since neither character separates anything here.
_VALUE = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z:\[\]]+"
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_PAIR = re.compile(rb"[ \t]*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)=(" + _VALUE + rb"|" + _QUOTED + rb")[ \t]*")
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)


class ForwardedElement(NamedTuple):
    """One hop: `node` asked (`for`), at `by`, for `host`, over `proto`; unquoted values, b"" for an absent one."""

    node: bytes = b""
    by: bytes = b""
    host: bytes = b""
    proto: bytes = b""


def parse_element(text: bytes) -> ForwardedElement | None:
    """A forwarded-element (RFC 7239 §4), or None if `text` is none, is empty, or names a parameter twice."""
    pairs: dict[bytes, bytes] = {}
    at = 0
    while True:
        pair = _PAIR.match(text, at)
        if pair is None:
            return None
        name, value = pair[1].lower(), pair[2]
        if name in pairs:
            return None
        pairs[name] = _ESCAPED.sub(rb"\1", value[1:-1]) if value.startswith(b'"') else value
        at = pair.end()
        if at == len(text):
            return ForwardedElement(
                pairs.get(b"for", b""), pairs.get(b"by", b""), pairs.get(b"host", b""), pairs.get(b"proto", b"")
            )
        if text[at] != 0x3B:  # ";"
            return None
        at += 1


def forwarded_from_right(values: Iterable[bytes]) -> Iterator[ForwardedElement | None]:
    """The elements of one or several Forwarded fields, last first; None once, at the end, where reading must stop.

    A comma inside a quoted string looks like a separator: the shortest tail that is a whole element is taken, so bytes
    that a client put before a proxy's element (an open quote, say) cannot swallow it.
    """
    text = b",".join(values)
    end, left = len(text), MOST_ELEMENTS
    floor = max(0, end - MOST_BYTES)
    while end > 0:
        comma = end
        element = None
        while element is None:
            comma = text.rfind(b",", floor, comma)
            left -= 1
            cut = comma < 0 and floor > 0
            if cut or left < 0 or end - comma > LONGEST_ELEMENT:
                yield None
                return
            part = text[comma + 1 : end]
            if not part.strip(b" \t"):
                break
            element = parse_element(part)
            if element is None and comma < 0:
                yield None
                return
        if element is not None:
            yield element
        end = comma


def list_from_right(values: Iterable[bytes]) -> Iterator[bytes]:
    """The elements of one or several X-Forwarded-For (or -Proto) fields, last first, trimmed; empty ones are skipped.

    Ends early, as if nothing stood further left, after MOST_ELEMENTS or MOST_BYTES.
    """
    text = b",".join(values)
    parts = text[-MOST_BYTES:].rsplit(b",", MOST_ELEMENTS)
    # The first part of what was cut off may be half an address.
    whole = len(text) <= MOST_BYTES and len(parts) <= MOST_ELEMENTS
    for part in reversed(parts if whole else parts[1:]):
        trimmed = part.strip(b" \t")
        if trimmed:
            yield trimmed


def quote(value: bytes) -> bytes:
    """A parameter's value: as it is where it is a token, else a quoted-string (RFC 9110 §5.6.4)."""
    if is_token(value):
        return value
    return b'"%b"' % value.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


def format_node(address: str) -> bytes:
    """The node of an address (RFC 7239 §6): IPv6 in brackets, b"unknown" for ""."""
    if not address:
        return b"unknown"
    return b"[%b]" % address.encode("ascii") if ":" in address else address.encode("ascii")


def format_element(element: ForwardedElement) -> bytes:
    """`for=…;by=…;host=…;proto=…`, quoted where needed, without the absent parameters."""
    pairs = ((b"for", element.node), (b"by", element.by), (b"host", element.host), (b"proto", element.proto))
    return b";".join(b"%b=%b" % (name, quote(value)) for name, value in pairs if value)
