"""Unfinished input: nothing that can become a request is refused, and what cannot is, however it comes."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.head import RequestHeadReader
from gateway.http.message import Malformed
from gateway.http.partial import LOOKED_AT, judge_field_line, judge_head, judge_size_line
from tests.kit.corpus.requests import ACCEPTED

HEAD = b"GET /a?b=c HTTP/1.1\r\nHost: h\r\nX:\r\nY: \xff\t " + b"z" * 2 * LOOKED_AT + b"\r\n\r\n"
READER = RequestHeadReader()


def drip(head: bytes) -> None:
    """Judges `head` byte by byte, as it is while it is not whole."""
    judged = 0
    for end in range(1, len(head) + 1):
        judged = judge_head(bytearray(head[:end]), judged, end - 1)


def test_every_beginning_of_a_head() -> None:
    """At once or byte by byte, up to the last but one."""
    for end in range(1, len(HEAD)):
        judge_head(HEAD[:end], 0, 0)
    drip(HEAD[:-1])


@pytest.mark.parametrize("case", [case for case in ACCEPTED if case.raw[:1] != b"\r"], ids=lambda case: case.name)
def test_every_beginning_of_what_is_accepted(case) -> None:
    """Whatever the reader takes was never in danger before its end came."""
    end = case.raw.find(b"\r\n\r\n") + 4
    for cut in range(1, min(end, 2 * LOOKED_AT)):
        judge_head(case.raw[:cut], 0, 0)
    judge_head(case.raw[: end - 1], 0, 0)


@given(
    st.lists(
        st.sampled_from([b"GET", b" ", b"/", b"HTTP/1.1", b"\r\n", b"\n", b"\r", b":", b"A", b"\x00", b"h"]),
        max_size=14,
    )
)
def test_no_stricter_than_the_reader(parts: list[bytes]) -> None:
    """What is refused on the way is refused at the end."""
    head = b"".join(parts) + b"\r\nHost: h\r\n\r\n"
    if head.find(b"\r\n\r\n") + 4 != len(head):
        return
    try:
        drip(head[:-1])
    except Malformed:
        with pytest.raises(Malformed):
            READER.read(head)


@pytest.mark.parametrize(
    "hopeless",
    [
        b"\n", b" GET", b"GET\t", b"GET  ", b"GET / HTTP/1.1 ", b"GET / http", b"GET /\r\n", b"GET / HTTP/1.1\n", b"GET / HTTP/1.1\r\n H",
        b"GET / HTTP/1.1\r\nH ", b"GET / HTTP/1.1\r\nH\r", b"GET / HTTP/1.1\r\nH: a\rX", b"GET / HTTP/1.1\r\nH: a\r\n\rX", b"\x16\x03\x01",
        b"GET / HTTP/1.1\r\nH: a\nX", b"GET / HTTP/1.1\r\nH: a\r\n\n", b"A" * 33, b"GET / HTTP/1.1\r\n:", b"G\xc9", b"GET /\x7f", b"GET /#",
        b"A" * 2 * LOOKED_AT, b"GET / HTTP/1.1\r\nX X" + b"a" * 2 * LOOKED_AT,
        *(b"GET / HTTP/1.1\r\nX: " + b"a" * LOOKED_AT + end for end in (b"\x00", b"\rb", b"\n", b"\x7f", b"\r\n ")),
    ],
)  # fmt: skip
def test_hopeless_heads(hopeless: bytes) -> None:
    """Refused whole, and refused no later when they drip."""
    with pytest.raises(Malformed):
        judge_head(hopeless, 0, 0)
    with pytest.raises(Malformed):
        drip(hopeless)


def test_another_version_has_its_own_status() -> None:
    """As if the head had been whole."""
    with pytest.raises(Malformed) as refused:
        judge_head(b"GET / HTTP/2.0\r\n", 0, 0)
    assert refused.value.status == 505


@pytest.mark.parametrize(
    "line", [b"", b"5", b"00aF", b"5\r", b"5 ", b"5\t;", b"5;", b'5;a="b;\xff', b"5 ; a = b\r", b"0"]
)
def test_beginnings_of_a_size_line(line: bytes) -> None:
    """A size, then nothing or an extension."""
    judge_size_line(line, 0)


@pytest.mark.parametrize(
    "line", [b"x", b"-", b" 5", b"0x", b"5x", b"5 x", b"5\rx", b"5\n", b"1" * 17, b"5;\x00", b"5;a\rb", b"\r"]
)
def test_what_is_no_beginning_of_a_size_line(line: bytes) -> None:
    """Nothing that follows makes it one."""
    with pytest.raises(Malformed):
        judge_size_line(line, 0)


def test_beginnings_of_a_field_line() -> None:
    """Or of the empty line at the end."""
    for line in (b"", b"\r", b"A", b"A:", b"A: b\r", b"A:" + b" " * 2 * LOOKED_AT + b"\r"):
        judge_field_line(line, 0)
    for line in (b" ", b":", b"A ", b"A\r", b"\rA", b"A: \x01", b"A: b\rc", b"A:" + b" " * 2 * LOOKED_AT + b"\rb"):
        with pytest.raises(Malformed):
            judge_field_line(line, 0)


def test_a_long_line_costs_no_more_than_its_bytes() -> None:
    """A client that sends byte by byte does not make us read its line again for each."""

    def seconds(size: int) -> float:
        head = bytearray(b"GET / HTTP/1.1\r\nX: ")
        judged = judge_head(head, 0, 0)
        began = time.perf_counter()
        for _ in range(size):
            head += b"a"
            judged = judge_head(head, judged, len(head) - 1)
        return time.perf_counter() - began

    assert min(seconds(16_000) for _ in range(3)) < 12 * min(seconds(4_000) for _ in range(3))
