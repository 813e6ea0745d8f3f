"""Status codes: reason phrases and prepared status lines (RFC 9110 §15 and the IANA registry)."""

from __future__ import annotations

from http import HTTPStatus

REASONS: dict[int, bytes] = {status.value: status.phrase.encode() for status in HTTPStatus}
REASONS |= {
    413: b"Content Too Large",
    414: b"URI Too Long",
    416: b"Range Not Satisfiable",
    422: b"Unprocessable Content",
}

# One entry for each three-digit status that a response may carry; unknown ones have an empty reason.
STATUS_LINES: dict[int, bytes] = {
    status: b"HTTP/1.1 %d %b\r\n" % (status, REASONS.get(status, b"")) for status in range(100, 600)
}


def has_no_body(method: bytes, status: int) -> bool:
    """Whether a response of `status` to `method` ends with its head (RFC 9112 §6.3, rule 1)."""
    return method == b"HEAD" or status < 200 or status in (204, 304)
