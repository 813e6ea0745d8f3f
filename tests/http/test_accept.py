"""Accept: the client's weights, then our order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.accept import MOST_RANGES, negotiate, parse_accept, parse_weight

JSON, HTML, TEXT = 0, 1, 2
OFFERS = ((b"application/problem+json", b"application/json"), (b"text/html",), (b"text/plain",))
BROWSER = b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "offer"),
    [
        (None, JSON),
        (b"", JSON),
        (b"*/*", JSON),
        (BROWSER, HTML),
        (b"text/html", HTML),
        (b"TEXT/HTML; Q=1", HTML),
        (b"application/json, text/plain, */*", JSON),
        (b"application/json", JSON),
        (b"application/problem+json;q=0.1, text/html;q=0.2", HTML),
        (b"text/plain", TEXT),
        (b"text/*", HTML),
        (b"text/*, text/html;q=0", TEXT),
        (b"text/*;q=0.5, text/plain", TEXT),
        (b"*/*;q=0.1, text/plain;q=0.2", TEXT),
        (b"application/*", JSON),
        (b"*/*, application/problem+json;q=0, application/json;q=0", HTML),
        (b"image/png", JSON),
        (b"*/*;q=0", JSON),
        (b"nonsense", JSON),
        (b",,;;,", JSON),
        (b"text/html;level=1;q=0.4, text/plain;q=0.5", TEXT),
    ],
)
def test_choices(accept: bytes | None, offer: int) -> None:
    """The most specific range gives the weight, ties go to our order, and nobody is refused."""
    assert negotiate(accept, OFFERS) == offer


@pytest.mark.parametrize(
    ("text", "weight"),
    [
        (b"1", 1000), (b"1.000", 1000), (b"0", 0), (b"0.", 0), (b"0.5", 500), (b"0.05", 50), (b"0.999", 999),
        (b"0.0005", 1000), (b"2", 1000), (b"-1", 1000), (b"", 1000), (b"0.x", 1000), (b"nan", 1000),
    ],
)  # fmt: skip
def test_weights(text: bytes, weight: int) -> None:
    """Thousandths; what is no qvalue counts as if it were absent."""
    assert parse_weight(text) == weight


def test_reading_is_bounded() -> None:
    """No more ranges than any browser sends are read."""
    assert len(parse_accept(b",".join(b"a/%d" % number for number in range(1000)))) <= MOST_RANGES


@given(st.binary(max_size=2000))
def test_any_bytes_are_answered(accept: bytes) -> None:
    """Whatever the field holds, one of the offers is chosen."""
    assert negotiate(accept, OFFERS) in (JSON, HTML, TEXT)
