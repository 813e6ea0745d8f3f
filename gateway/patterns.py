"""The operator's patterns, compiled: regular expressions in linear time (RE2) and globs over bytes.

Floor 1, so that routes, rewrites and rules read a pattern the same way; compiled at load, applied to request bytes.
The rule: no pattern of an operator can be made slow by what a client sends, so nothing here backtracks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import re2

Regex: TypeAlias = Any  # a compiled pattern of google-re2, which ships no types

MAX_PATTERN = 4096  # characters: against a pasted list that belongs into a table
_MAX_MEMORY = 16 << 20  # bytes one pattern may take; RE2 says "pattern too large" beyond

_REFUSED = (
    ("invalid perl operator: (?=", "look-ahead (?=…) does not exist here"),
    ("invalid perl operator: (?!", "look-ahead (?!…) does not exist here"),
    ("invalid perl operator: (?<", "look-behind (?<…) does not exist here"),
    ("invalid perl operator: (?>", "atomic groups (?>…) do not exist here and are not needed: write (?:…)"),
    ("bad repetition operator: *+", "possessive repetition does not exist here and is not needed: write *"),
    ("bad repetition operator: ++", "possessive repetition does not exist here and is not needed: write +"),
    ("bad repetition operator: ?+", "possessive repetition does not exist here and is not needed: write ?"),
    ("invalid repetition size", "a repetition counts to 1000 at most"),
    ("pattern too large", "the pattern is too large: shorten it, or lower its {n,m} counts"),
)


def compile_regex(text: str) -> Regex:
    """`text` as a compiled RE2 pattern over bytes. Raises ValueError saying which construct is refused, and why."""
    if not text:
        raise ValueError("an empty pattern matches nothing that is useful: leave the key out")
    if len(text) > MAX_PATTERN:
        raise ValueError(f"a pattern of {len(text)} characters: at most {MAX_PATTERN} are allowed")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_MEMORY
    options.encoding = re2.Options.Encoding.LATIN1  # one byte is one character: paths and fields are bytes
    try:
        return re2.compile(text.encode(), options)
    except re2.error as error:
        reason = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else str(error)
        raise ValueError(f"{text!r} is not a usable pattern: {_advice(reason)}") from None


def _advice(reason: str) -> str:
    if reason.startswith("invalid escape sequence: \\") and reason[-1:].isdigit():
        return f"the back-reference {reason[-2:]} does not exist here (patterns run in linear time, RE2 syntax)"
    for beginning, advice in _REFUSED:
        if reason.startswith(beginning):
            return f"{advice} (patterns run in linear time, RE2 syntax)"
    return f"{reason} (RE2 syntax)"


def quote(text: bytes) -> bytes:
    """`text` as a pattern that matches these bytes and nothing else."""
    return b"".join(bytes((octet,)) if _is_word(octet) else b"\\x%02x" % octet for octet in text)


def _is_word(octet: int) -> bool:
    return octet < 128 and (chr(octet).isalnum() or octet == 95)


def compile_glob(glob: bytes) -> Callable[[bytes], Any]:
    """A test of whole values for `glob`, in which `*` stands for any bytes: two comparisons for one `*`, else RE2."""
    pieces = glob.split(b"*")
    if len(pieces) == 1:
        return glob.__eq__
    if len(pieces) > 2:
        pattern = b".*".join(quote(piece) for piece in pieces)
        return compile_regex(f"(?s:{pattern.decode()})").fullmatch  # type: ignore[no-any-return]
    before, after = pieces
    shortest = len(before) + len(after)

    def test(value: bytes) -> bool:
        return len(value) >= shortest and value.startswith(before) and value.endswith(after)

    return test
