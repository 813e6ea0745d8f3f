"""The table of causes against the house's own table and against RFC 9209's registry."""

from __future__ import annotations

import re
from http import HTTPStatus

import pytest

from gateway.errors import Cause, ClientFault, Fault, GatewayFault, Retry, UpstreamFault, cause_of

# RFC 9209 §2.3.1 to §2.3.32: the registered error types and the status each recommends; None: "an appropriate 4xx".
REGISTERED: dict[str, int | None] = {
    "dns_timeout": 504,
    "dns_error": 502,
    "destination_not_found": 500,
    "destination_unavailable": 503,
    "destination_ip_prohibited": 502,
    "destination_ip_unroutable": 502,
    "connection_refused": 502,
    "connection_terminated": 502,
    "connection_timeout": 504,
    "connection_read_timeout": 504,
    "connection_write_timeout": 504,
    "connection_limit_reached": 503,
    "tls_protocol_error": 502,
    "tls_certificate_error": 502,
    "tls_alert_received": 502,
    "http_request_error": None,
    "http_request_denied": 403,
    "http_response_incomplete": 502,
    "http_response_header_section_size": 502,
    "http_response_header_size": 502,
    "http_response_body_size": 502,
    "http_response_trailer_section_size": 502,
    "http_response_trailer_size": 502,
    "http_response_transfer_coding": 502,
    "http_response_content_coding": 502,
    "http_response_timeout": 504,
    "http_upgrade_failed": 502,
    "http_protocol_error": 502,
    "proxy_internal_response": 500,
    "proxy_internal_error": 500,
    "proxy_configuration_error": 500,
    "proxy_loop_detected": 502,
}
# Where the gateway answers otherwise than recommended, and why.
OTHERWISE = {
    Cause.NO_ROUTE: "404: the client asked for what is not here, and is told so",
    Cause.MISDIRECTED: "421: RFC 9110 §15.5.20 has a status of its own for it",
    Cause.NOT_IMPLEMENTED: "501: the method or coding is unknown, which is ours to say (RFC 9110 §15.6.2)",
    Cause.VERSION_UNSUPPORTED: "505: RFC 9110 §15.6.6",
    Cause.LOOP: "508: RFC 5842 §7.2 has a status of its own for it",
}
# Everything else is never tried again.
RETRIED = {
    Cause.NAME_TIMEOUT: Retry.OTHER_ENDPOINT,
    Cause.NAME_ERROR: Retry.OTHER_ENDPOINT,
    Cause.CONNECT_REFUSED: Retry.OTHER_ENDPOINT,
    Cause.CONNECT_TIMEOUT: Retry.OTHER_ENDPOINT,
    Cause.CLOSED_BEFORE_HEAD: Retry.IDEMPOTENT,
    Cause.HEAD_TIMEOUT: Retry.IDEMPOTENT,
    Cause.READ_TIMEOUT: Retry.IDEMPOTENT,
}


def test_words_are_unique_and_say_the_name() -> None:
    """One word per cause, the name in lower case: it is a label in logs and metrics."""
    assert len({cause.word for cause in Cause}) == len(Cause)
    for cause in Cause:
        assert cause.word == cause.name.lower()
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", cause.word)


def test_no_two_names_for_one_cause() -> None:
    """An Enum folds equal rows into one silently; every name must be a row of its own."""
    assert [name for name, cause in Cause.__members__.items() if cause.name != name] == []


@pytest.mark.parametrize("cause", list(Cause), ids=lambda cause: cause.word)
def test_tokens_are_registered(cause: Cause) -> None:
    """What stands in Proxy-Status is a token of RFC 9209's registry; what is never sent has none."""
    if cause.status == 499:
        assert cause.token == "-"
    else:
        assert cause.token in REGISTERED


@pytest.mark.parametrize("cause", list(Cause), ids=lambda cause: cause.word)
def test_statuses_are_the_recommended_ones(cause: Cause) -> None:
    """The status RFC 9209 recommends for the token, or one whose reason stands in this file."""
    if cause.status == 499:
        return
    assert 400 <= HTTPStatus(cause.status) <= 599
    recommended = REGISTERED[cause.token]
    follows = 400 <= cause.status < 500 if recommended is None else cause.status == recommended
    assert follows is (cause not in OTHERWISE)


@pytest.mark.parametrize("cause", list(Cause), ids=lambda cause: cause.word)
def test_retry_classes(cause: Cause) -> None:
    """Another attempt is the exception, and each exception is named (RFC 9110 §9.2.2)."""
    assert cause.retry is RETRIED.get(cause, Retry.NEVER)


def test_what_the_client_did_is_never_retried() -> None:
    """A bad request stays bad at another endpoint."""
    assert {cause.retry for cause in Cause if cause.status < 500} == {Retry.NEVER}


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (400, Cause.MALFORMED_REQUEST),
        (413, Cause.BODY_TOO_LARGE),
        (414, Cause.URI_TOO_LONG),
        (417, Cause.EXPECTATION_FAILED),
        (431, Cause.HEAD_TOO_LARGE),
        (501, Cause.NOT_IMPLEMENTED),
        (505, Cause.VERSION_UNSUPPORTED),
        (418, Cause.MALFORMED_REQUEST),
    ],
)
def test_the_cause_of_what_could_not_be_read(status: int, cause: Cause) -> None:
    """The answer that http/ found fitting becomes the cause with that very status; anything else is malformed."""
    assert cause_of(status) is cause
    assert cause.status == (status if status != 418 else 400)


def test_a_fault_speaks_for_the_log() -> None:
    """Its text is the word, and the detail where there is one."""
    assert str(Fault(Cause.BUG)) == "bug"
    fault = UpstreamFault(Cause.CONNECT_REFUSED, "127.0.0.1:1")
    assert str(fault) == "connect_refused: 127.0.0.1:1"
    assert (fault.cause, fault.detail) == (Cause.CONNECT_REFUSED, "127.0.0.1:1")


def test_whose_fault() -> None:
    """Three kinds, none of which is another; whoever does not say otherwise has sent something."""
    kinds = (ClientFault, UpstreamFault, GatewayFault)
    assert all(issubclass(kind, Fault) for kind in kinds)
    assert not any(issubclass(one, other) for one in kinds for other in kinds if one is not other)
    assert UpstreamFault(Cause.CLOSED_BEFORE_HEAD).sent
    assert not UpstreamFault(Cause.CLOSED_BEFORE_HEAD, sent=False).sent
