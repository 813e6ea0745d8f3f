"""Contexts: keys reach OpenSSL through memory, and what is no CA is refused."""

from __future__ import annotations

import os
import ssl
import tempfile

import pytest

from gateway.server.tls_contexts import check_client_ca, make_context
from tests.kit.tls import issue, rsa_key


def test_keys_are_written_to_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Linux chain and key go through an anonymous memory file that is closed at once."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a temporary file was made")

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", refuse)
    one = issue("a.test")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    made = make_context([(one.pem, one.key_pem)], ssl.TLSVersion.TLSv1_2)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert made.cert_store_stats()["x509"] == 0
    assert made.num_tickets == 1


def test_systems_without_memory_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere a temporary file that only this user can read does the same."""
    monkeypatch.delattr(os, "memfd_create")
    one = issue("a.test")
    assert make_context([(one.pem, one.key_pem)], ssl.TLSVersion.TLSv1_2).minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_key_of_another_certificate_is_refused() -> None:
    """OpenSSL checks the pair once more."""
    with pytest.raises(ssl.SSLError):
        make_context([(issue("a.test").pem, issue("b.test").key_pem)], ssl.TLSVersion.TLSv1_2)


def test_clients_are_asked_as_told() -> None:
    """The authorities and the mode reach the context."""
    one, authority = issue("a.test", key=rsa_key()), issue(common="CA", ca=True)
    pair = [(one.pem, one.key_pem)]
    made = make_context(pair, ssl.TLSVersion.TLSv1_3, authority.pem.decode(), ssl.CERT_OPTIONAL)
    assert made.verify_mode is ssl.CERT_OPTIONAL
    assert made.cert_store_stats()["x509_ca"] == 1
    assert make_context(pair, ssl.TLSVersion.TLSv1_3).verify_mode is ssl.CERT_NONE


def test_what_is_no_authority() -> None:
    """Text without a certificate is an error here, not at the first client."""
    check_client_ca(issue(common="CA", ca=True).pem.decode())
    for text in ("", "nothing", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        with pytest.raises((ssl.SSLError, ValueError)):
            check_client_ca(text)
