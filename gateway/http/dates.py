"""HTTP dates (RFC 9110 §5.6.7): IMF-fixdate out."""

from __future__ import annotations

from email.utils import formatdate
from functools import lru_cache


@lru_cache(maxsize=2)
def _render(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()


def http_date(now: float) -> bytes:
    """`now` (seconds since the epoch) as b"Fri, 20 Nov 2026 21:36:53 GMT"; rendered once a second."""
    return _render(int(now))
