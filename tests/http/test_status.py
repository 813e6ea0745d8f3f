"""Status codes: their phrases, their lines, and which of them end with the head."""

from __future__ import annotations

import re

import pytest

from gateway.errors import Cause
from gateway.http.status import REASONS, STATUS_LINES, has_no_body


def test_phrases_are_those_of_the_rfc() -> None:
    """RFC 9110 renamed four phrases that older registries, and Python's, have otherwise."""
    assert REASONS[200] == b"OK"
    assert REASONS[413] == b"Content Too Large"
    assert REASONS[414] == b"URI Too Long"
    assert REASONS[416] == b"Range Not Satisfiable"
    assert REASONS[422] == b"Unprocessable Content"


def test_every_status_of_a_cause_has_a_phrase() -> None:
    """What the gateway itself answers is named; 499 is logged and never sent."""
    assert [cause.word for cause in Cause if cause.status != 499 and not REASONS.get(cause.status)] == []


def test_every_status_has_a_line() -> None:
    """One whole status line for each of 100 to 599, unknown ones with an empty phrase (RFC 9112 §4)."""
    assert set(STATUS_LINES) == set(range(100, 600))
    for status, line in STATUS_LINES.items():
        assert re.fullmatch(rb"HTTP/1\.1 %d [\x20-\x7e]*\r\n" % status, line)
    assert STATUS_LINES[204] == b"HTTP/1.1 204 No Content\r\n"
    assert STATUS_LINES[599] == b"HTTP/1.1 599 \r\n"


@pytest.mark.parametrize(
    ("method", "status", "bare"),
    [
        (b"GET", 100, True),
        (b"GET", 101, True),
        (b"GET", 103, True),
        (b"POST", 204, True),
        (b"GET", 304, True),
        (b"HEAD", 200, True),
        (b"HEAD", 404, True),
        (b"GET", 200, False),
        (b"GET", 205, False),  # has a body of length zero, which must be said (RFC 9110 §15.3.6)
        (b"GET", 206, False),
        (b"OPTIONS", 200, False),
        (b"head", 200, False),  # methods are case-sensitive
    ],
)
def test_who_has_no_body(method: bytes, status: int, *, bare: bool) -> None:
    """Answers to HEAD, all 1xx, 204 and 304, and no others (RFC 9112 §6.3)."""
    assert has_no_body(method, status) is bare
