"""Unfinished input: whether the bytes so far can still become a request head or a line of a chunked body.

`server/head_buffer.py` and `chunked.py` ask where the end has not come, so that garbage is answered at once and not
when the deadline is over; what is whole never passes here. Every beginning of what the readers take is let through.
"""

from __future__ import annotations

import re

from gateway.http.head import LONGEST_METHOD, TCHAR, request_line
from gateway.http.message import Malformed

# Bytes of an unfinished line that are read from its beginning each time it grows; of a longer one only what is new,
# against clients that send byte by byte to have their line read again for each.
LOOKED_AT = 512
_VALUE = rb"[\t\x20-\x7e\x80-\xff]*"
_VERSION = rb"(?:H(?:T(?:T(?:P(?:/(?:[0-9](?:\.(?:[0-9]\r?)?)?)?)?)?)?)?)?"
_FIRST_LINE = re.compile(rb"%b{1,%d}(?: (?:[\x21\x22\x24-\x7e]+(?: %b)?)?)?" % (TCHAR, LONGEST_METHOD, _VERSION))
_FIELD_LINES = re.compile(rb"(?:%b+:%b\r\n)*" % (TCHAR, _VALUE))
_FIELD_LINE = re.compile(rb"(?:%b+(?::%b\r?)?|\r)?" % (TCHAR, _VALUE))
_SIZE_LINE = re.compile(rb"(?:[0-9A-Fa-f]{1,16}(?:\r|[ \t]+|[ \t]*;%b\r?)?)?" % _VALUE)
_NEVER = re.compile(rb"[\x00-\x08\x0a-\x0c\x0e-\x1f\x7f]|\r(?!\Z)")


def judge_head(head: bytes | bytearray, judged: int, seen: int) -> int:
    """Where the last, unfinished line of `head` begins: every line before it is well-formed. Raises Malformed.

    `head` has no end yet. The lines before `judged`, an earlier result, are not looked at again; `seen` bytes of it
    were there at that time.
    """
    unfinished = head.rfind(b"\n") + 1
    if unfinished > judged:
        if not judged:
            request_line(head)
            judged = head.find(b"\n") + 1
        if not _FIELD_LINES.fullmatch(head, judged, unfinished):
            raise Malformed("not a field line")
    _judge(_FIELD_LINE if unfinished else _FIRST_LINE, head, unfinished, seen)
    return unfinished


def judge_size_line(line: bytes, seen: int) -> None:
    """Refuses what no chunk-size line begins with; `seen` bytes of it were let through before. Raises Malformed."""
    _judge(_SIZE_LINE, line, 0, seen)


def judge_field_line(line: bytes, seen: int) -> None:
    """Refuses what no field line begins with, nor an empty one; `seen` as above. Raises Malformed."""
    _judge(_FIELD_LINE, line, 0, seen)


def _judge(grammar: re.Pattern[bytes], line: bytes | bytearray, begin: int, seen: int) -> None:
    looked_at = begin + LOOKED_AT
    if seen <= looked_at and grammar.fullmatch(line, begin, looked_at) is None:
        raise Malformed("not the beginning of a line")
    # A CR that was the last byte then must have been the end of the line.
    if len(line) > looked_at and _NEVER.search(line, max(begin, seen - 1)) is not None:
        raise Malformed("a control character")
