"""Counters: OpenSSL's reasons become a dozen words, and nothing a client does makes another."""

from __future__ import annotations

import ssl

import pytest

from gateway.metrics import Metrics
from gateway.server.tls_counters import BREAKS, RESULTS, TlsCounters, handshake_result


def error(reason: str, kind: type[ssl.SSLError] = ssl.SSLError) -> ssl.SSLError:
    made = kind(1, f"[SSL: {reason}] whatever")
    made.reason = reason
    return made


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("UNSUPPORTED_PROTOCOL", "version"),
        ("NO_SHARED_CIPHER", "cipher"),
        ("TLSV1_ALERT_UNKNOWN_CA", "alert"),
        ("SSLV3_ALERT_CERTIFICATE_UNKNOWN", "alert"),
        ("PEER_DID_NOT_RETURN_A_CERTIFICATE", "certificate_missing"),
        ("A_REASON_OF_TOMORROW", "error"),
        ("", "error"),
    ],
)
def test_reasons_become_words(reason: str, word: str) -> None:
    """Known reasons have a word of their own, all others share one."""
    assert handshake_result(error(reason)) == word


def test_refused_certificates() -> None:
    """OpenSSL has a class for them, whatever the reason."""
    assert handshake_result(error("WHATEVER", ssl.SSLCertVerificationError)) == "certificate_refused"


def test_every_word_is_a_series_from_the_start() -> None:
    """Rates need a zero before the first event; the set of labels never grows."""
    metrics = Metrics()
    counters = TlsCounters(metrics)
    counters.failed(error("NEVER_SEEN"))
    counters.ended("ok")
    counters.broke(error("TLSV1_ALERT_DECODE_ERROR"))
    counters.broke(error("NEVER_SEEN"))
    counters.moved(3, 0)
    TlsCounters(metrics).moved(-1, 2)
    series = {family.name: len(family.samples) for family in metrics.families()}
    assert series["gateway_tls_handshakes_total"] == len(RESULTS)
    assert series["gateway_tls_errors_total"] == len(BREAKS)
    assert metrics.value("gateway_tls_handshakes_total", result="error") == 1
    assert metrics.value("gateway_tls_handshakes_total", result="ok") == 1
    assert metrics.value("gateway_tls_errors_total", reason="alert") == 1
    assert metrics.value("gateway_tls_errors_total", reason="bad_record") == 1
    assert metrics.value("gateway_tls_handshakes_active") == 2
    assert metrics.value("gateway_tls_handshakes_waiting") == 2
