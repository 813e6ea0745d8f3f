"""HTTP dates: the one form that may be sent, rendered once a second."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from hypothesis import given
from hypothesis import strategies as st

from gateway.http.dates import http_date


def test_the_example_of_the_rfc() -> None:
    """RFC 9110 §5.6.7's own example, and the epoch."""
    assert http_date(784111777.0) == b"Sun, 06 Nov 1994 08:49:37 GMT"
    assert http_date(0.0) == b"Thu, 01 Jan 1970 00:00:00 GMT"


def test_a_second_is_rendered_once() -> None:
    """Fractions do not round up, and the same second is the same object."""
    first = http_date(1_000_000_000.0)
    assert http_date(1_000_000_000.999) is first
    assert http_date(1_000_000_001.0) == b"Sun, 09 Sep 2001 01:46:41 GMT"


@given(st.integers(0, 253402300799))
def test_a_date_is_29_octets_and_means_the_second(second: int) -> None:
    """Until the year 9999 every date has its fixed length and reads back as what it was."""
    date = http_date(float(second))
    assert len(date) == 29
    assert parsedate_to_datetime(date.decode()).timestamp() == second
