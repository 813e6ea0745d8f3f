"""Path normalisation: one spelling of a path, the same for the rules that match it and for the origin that serves it.

Unreserved escapes are decoded, escapes upper-cased, dot segments removed (RFC 3986 §6.2.2); what stays ambiguous
between two readers (a backslash, an escaped NUL, `..;/`, dots beside an escaped slash) is refused. `%2F`, `%5C` and
`//` are kept, for applications use them, unless the operator says `reject`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from gateway.http.message import Malformed

# RFC 3986 pchar and "/": what needs no work, provided that there is no "%" and no segment that begins with a dot.
_PLAIN = b"/:@-._~!$&'()*+,;=0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_UNRESERVED = frozenset(b"-._~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})?")
_RAW = re.compile(rb'["<>^`{|}\[\]]')  # not allowed raw in a path, sent by browsers all the same: escaped
# A dot segment to a reader that decodes %2F or %5C, or that cuts path parameters (";...") off a segment.
_HIDDEN_DOTS = re.compile(rb"(?:^|/|%2F|%5C)\.\.?(?:;[^/]*)?(?:/|%2F|%5C|$)")


class PathRules(NamedTuple):
    """What the operator refuses beyond the rule: `downstream.path` in the configuration."""

    reject_encoded_slash: bool = False
    reject_double_slash: bool = False


def _escape(match: re.Match[bytes]) -> bytes:
    digits = match[1]
    if digits is None:
        raise Malformed("an invalid percent-escape in the path")
    octet = int(digits, 16)
    if octet == 0:
        raise Malformed("an escaped NUL in the path")
    return bytes((octet,)) if octet in _UNRESERVED else b"%" + digits.upper()


def _remove_dot_segments(path: bytes) -> bytes:
    """RFC 3986 §5.2.4 for an absolute path; ".." above the root stays at the root."""
    kept: list[bytes] = []
    segments = path.split(b"/")[1:]
    for segment in segments:
        if segment == b"..":
            if kept:
                kept.pop()
        elif segment != b".":
            kept.append(segment)
    if segments[-1] in (b".", b".."):
        kept.append(b"")
    return b"/" + b"/".join(kept)


def normalise(path: bytes, rules: PathRules) -> bytes:
    """The one spelling of `path` (absolute, without query). Raises Malformed for what cannot be read one way only."""
    if b"%" in path or b"/." in path or path.translate(None, _PLAIN):
        path = _slow(path)
    if rules.reject_double_slash and b"//" in path:
        raise Malformed("an empty path segment (//)")
    if rules.reject_encoded_slash and (b"%2F" in path or b"%5C" in path):
        raise Malformed("an escaped slash or backslash in the path")
    return path


def _slow(path: bytes) -> bytes:
    if b"\\" in path:
        raise Malformed("a backslash in the path")
    path = _RAW.sub(lambda raw: b"%%%02X" % raw[0][0], path)
    path = _remove_dot_segments(_ESCAPE.sub(_escape, path))
    if _HIDDEN_DOTS.search(path):
        raise Malformed("dot segments beside an escaped slash or a path parameter")
    return path
