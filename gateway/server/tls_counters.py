"""TlsCounters: how handshakes ended and why open TLS connections broke, as metrics with bounded labels.

One is made per process and shared by every TLS connection (server/tls.py, server/tls_transport.py). OpenSSL's hundreds
of reasons become a dozen words here, so that no client can invent a label.
"""

from __future__ import annotations

import ssl

from gateway.metrics import Metrics

# result -> what it means; the reference page of metrics shows them.
RESULTS = {
    "ok": "a full handshake",
    "resumed": "a handshake by session ticket",
    "silent": "the client left without a byte: a port scan, a load balancer's check",
    "closed": "the client left in the middle",
    "timeout": "not done within handshake_timeout",
    "refused": "too many handshakes at once",
    "plain_http": "an HTTP request without TLS",
    "not_tls": "bytes that are no ClientHello",
    "unknown_name": "no certificate for the name, and strict_sni is on",
    "protocol": "no application protocol in common (ALPN)",
    "version": "only versions before TLS 1.2",
    "cipher": "no cipher suite in common",
    "certificate_missing": "no client certificate, and one is required",
    "certificate_refused": "a client certificate that is not trusted",
    "alert": "the client gave up: it does not trust our certificate, for example",
    "error": "anything else",
}
BREAKS = {
    "bad_record": "a record that does not decrypt, or is no record",
    "alert": "the client sent a fatal alert",
    "flood": "the client asked for new keys without end and read no answer",
}
_REASONS = {
    "UNSUPPORTED_PROTOCOL": "version",
    "VERSION_TOO_LOW": "version",
    "WRONG_VERSION_NUMBER": "version",
    "INAPPROPRIATE_FALLBACK": "version",
    "NO_SHARED_CIPHER": "cipher",
    "NO_SUITABLE_SIGNATURE_ALGORITHM": "cipher",
    "NO_SHARED_SIGNATURE_ALGORITHMS": "cipher",
    "NO_SUITABLE_KEY_SHARE": "cipher",
    "NO_SHARED_GROUP": "cipher",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "certificate_missing",
    "CERTIFICATE_VERIFY_FAILED": "certificate_refused",
}


class TlsCounters:
    """Adds to the process's metrics; nothing else is kept."""

    __slots__ = ("_active", "_breaks", "_results", "_values", "_waiting")

    def __init__(self, metrics: Metrics) -> None:
        self._values = metrics.values
        self._results = {
            word: metrics.counter("gateway_tls_handshakes_total", "TLS handshakes by how they ended.", result=word)
            for word in RESULTS
        }
        self._breaks = {
            word: metrics.counter(
                "gateway_tls_errors_total", "Open TLS connections that broke, by reason.", reason=word
            )
            for word in BREAKS
        }
        self._active = metrics.gauge("gateway_tls_handshakes_active", "TLS handshakes under way.")
        self._waiting = metrics.gauge("gateway_tls_handshakes_waiting", "TLS handshakes that wait for their turn.")

    def ended(self, result: str) -> None:
        """A handshake ended: `result` is a key of RESULTS."""
        self._values[self._results[result]] += 1

    def failed(self, error: ssl.SSLError) -> None:
        """A handshake failed by OpenSSL's word."""
        self.ended(handshake_result(error))

    def broke(self, error: ssl.SSLError) -> None:
        """An open connection failed by OpenSSL's word."""
        self.broke_by("alert" if _is_alert(error) else "bad_record")

    def broke_by(self, reason: str) -> None:
        """An open connection failed: `reason` is a key of BREAKS."""
        self._values[self._breaks[reason]] += 1

    def moved(self, active: int, waiting: int) -> None:
        """So many more (or fewer) handshakes are under way, or wait; the gauges are sums over all listeners."""
        self._values[self._active] += active
        self._values[self._waiting] += waiting


def handshake_result(error: ssl.SSLError) -> str:
    """The key of RESULTS for an error of do_handshake."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "certificate_refused"
    if _is_alert(error):
        return "alert"
    return _REASONS.get(error.reason or "", "error")


def _is_alert(error: ssl.SSLError) -> bool:
    # OpenSSL names what the peer sent TLSV1_ALERT_… or SSLV3_ALERT_…, TLSV13_ALERT_…
    return "_ALERT_" in (error.reason or "")
