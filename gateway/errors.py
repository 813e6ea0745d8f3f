"""What can go wrong, in one table, and the three exceptions that say whose fault it was.

Errors are raised on floors 5 and 6 only and caught in two places: `proxy.forward` (retry or reply) and `server/http1`
(reply or close). The same word (`Cause.token`) stands in the log, the metrics, the admin page and `Proxy-Status`.
"""

from __future__ import annotations

from enum import Enum


class Retry(Enum):
    """When another attempt is allowed (house rule; RFC 9110 §9.2.2)."""

    NEVER = "never"
    OTHER_ENDPOINT = "other endpoint"  # nothing was sent: any method, at another endpoint if there is one
    IDEMPOTENT = "idempotent"  # idempotent methods, no response byte received, body still held whole


class Cause(Enum):
    """One reason for a failed exchange: `word` (ours), `status`, `token` (RFC 9209 §2.3), `retry`.

    `word` is unique; several causes share a token. A status of 499 is logged, never sent.
    """

    def __init__(self, word: str, status: int, token: str, retry: Retry) -> None:
        self.word = word
        self.status = status
        self.token = token
        self.retry = retry

    MALFORMED_REQUEST = ("malformed_request", 400, "http_request_error", Retry.NEVER)
    HEAD_TOO_LARGE = ("head_too_large", 431, "http_request_error", Retry.NEVER)
    URI_TOO_LONG = ("uri_too_long", 414, "http_request_error", Retry.NEVER)
    BODY_TOO_LARGE = ("body_too_large", 413, "http_request_error", Retry.NEVER)
    EXPECTATION_FAILED = ("expectation_failed", 417, "http_request_error", Retry.NEVER)
    NOT_IMPLEMENTED = ("not_implemented", 501, "http_request_error", Retry.NEVER)
    METHOD_NOT_ALLOWED = ("method_not_allowed", 405, "http_request_error", Retry.NEVER)
    VERSION_UNSUPPORTED = ("version_unsupported", 505, "http_request_error", Retry.NEVER)
    REQUEST_TIMEOUT = ("request_timeout", 408, "http_request_error", Retry.NEVER)
    CLIENT_GONE = ("client_gone", 499, "-", Retry.NEVER)
    CLIENT_STALLED = ("client_stalled", 499, "-", Retry.NEVER)
    NO_ROUTE = ("no_route", 404, "destination_not_found", Retry.NEVER)
    MISDIRECTED = ("misdirected", 421, "destination_not_found", Retry.NEVER)
    NAME_TIMEOUT = ("name_timeout", 504, "dns_timeout", Retry.OTHER_ENDPOINT)
    NAME_ERROR = ("name_error", 502, "dns_error", Retry.OTHER_ENDPOINT)
    NO_ENDPOINT = ("no_endpoint", 503, "destination_unavailable", Retry.NEVER)
    POOL_EXHAUSTED = ("pool_exhausted", 503, "connection_limit_reached", Retry.NEVER)
    CONNECT_REFUSED = ("connect_refused", 502, "connection_refused", Retry.OTHER_ENDPOINT)
    CONNECT_TIMEOUT = ("connect_timeout", 504, "connection_timeout", Retry.OTHER_ENDPOINT)
    TLS_FAILED = ("tls_failed", 502, "tls_protocol_error", Retry.NEVER)
    CERTIFICATE_REFUSED = ("certificate_refused", 502, "tls_certificate_error", Retry.NEVER)
    CLOSED_BEFORE_HEAD = ("closed_before_head", 502, "connection_terminated", Retry.IDEMPOTENT)
    HEAD_TIMEOUT = ("head_timeout", 504, "http_response_timeout", Retry.IDEMPOTENT)
    READ_TIMEOUT = ("read_timeout", 504, "connection_read_timeout", Retry.IDEMPOTENT)
    WRITE_TIMEOUT = ("write_timeout", 504, "connection_write_timeout", Retry.NEVER)
    BAD_RESPONSE = ("bad_response", 502, "http_protocol_error", Retry.NEVER)
    RESPONSE_HEAD_TOO_LARGE = ("response_head_too_large", 502, "http_response_header_section_size", Retry.NEVER)
    RESPONSE_INCOMPLETE = ("response_incomplete", 502, "http_response_incomplete", Retry.NEVER)
    UPGRADE_REFUSED = ("upgrade_refused", 502, "http_upgrade_failed", Retry.NEVER)
    LOOP = ("loop", 508, "proxy_loop_detected", Retry.NEVER)
    DRAINING = ("draining", 503, "destination_unavailable", Retry.NEVER)
    BUG = ("bug", 500, "proxy_internal_error", Retry.NEVER)


# Statuses that http/ gives to Malformed; anything else is a malformed request.
_OF_STATUS = {
    413: Cause.BODY_TOO_LARGE,
    414: Cause.URI_TOO_LONG,
    417: Cause.EXPECTATION_FAILED,
    431: Cause.HEAD_TOO_LARGE,
    501: Cause.NOT_IMPLEMENTED,
    505: Cause.VERSION_UNSUPPORTED,
}


def cause_of(status: int) -> Cause:
    """The Cause of a Malformed request, by the status it deserves."""
    return _OF_STATUS.get(status, Cause.MALFORMED_REQUEST)


class Fault(Exception):
    """A failed exchange: `cause` says which row of the table, `detail` is for the log and never for the client."""

    def __init__(self, cause: Cause, detail: str = "") -> None:
        super().__init__(f"{cause.word}: {detail}" if detail else cause.word)
        self.cause = cause
        self.detail = detail


class ClientFault(Fault):
    """The client sent what must be refused, or went away."""


class UpstreamFault(Fault):
    """The origin, or the way to it, failed. `sent` is False only if not one byte of the request was written."""

    def __init__(self, cause: Cause, detail: str = "", *, sent: bool = True) -> None:
        super().__init__(cause, detail)
        self.sent = sent


class GatewayFault(Fault):
    """We failed: a bug, or a limit of this machine."""
