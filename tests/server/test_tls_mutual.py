"""Client certificates and resumed sessions: what a client brings along, and what it may leave out."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from gateway.server.certificates import CertificateStore
from tests.kit.tls import Issued, Served, TlsClient, client_of, issue, put, store_of

AUTHORITY = issue(common="Test CA", ca=True)
LEAF = issue("localhost", by=AUTHORITY)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> CertificateStore:
    folder = tmp_path_factory.mktemp("certs")
    put(folder, "localhost", LEAF)
    return store_of(folder)


def trusting(**settings: Any) -> ssl.SSLContext:
    return client_of(AUTHORITY.pem, **settings)


@pytest.fixture
def mutual(tmp_path: Path) -> Any:
    put(tmp_path, "localhost", LEAF)
    (tmp_path / "ca.txt").write_bytes(AUTHORITY.pem)
    return lambda mode: store_of(tmp_path, client_certificates={"ca": str(tmp_path / "ca.txt"), "mode": mode})


def presenting(folder: Path, issued: Issued, **settings: Any) -> ssl.SSLContext:
    path = put(folder, "client", issued)
    made = trusting(**settings)
    made.load_cert_chain(path, path.with_suffix(".key"))
    return made


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("mode", ["request", "require"])
def test_a_client_certificate_is_described(
    mutual: Any, tmp_path_factory: pytest.TempPathFactory, mode: str, version: ssl.TLSVersion
) -> None:
    """Subject, issuer, serial and fingerprint of a trusted client's certificate are facts of the connection."""
    store = mutual(mode)
    alice = issue("alice", by=AUTHORITY, organization="Sales, Inc.")
    served = Served(store)
    served.shake(TlsClient(presenting(tmp_path_factory.mktemp("client"), alice, maximum_version=version)))
    assert served.connection.tls is not None
    found = served.connection.tls.certificate
    assert found is not None
    assert found.subject == "CN=alice,O=Sales\\, Inc."
    assert found.issuer == "CN=Test CA"
    assert found.serial == f"{alice.certificate.serial_number:x}"
    assert len(found.fingerprint) == 64
    assert found.pem.encode() == alice.pem
    assert found.verified


def test_no_certificate_where_one_is_required(mutual: Any) -> None:
    """`require` refuses, `request` lets in, `off` does not ask."""
    for mode, result in (("require", "certificate_missing"), ("request", "ok"), ("off", "ok")):
        served = Served(mutual(mode))
        client = TlsClient(trusting())
        served.transport.feed(client.step())
        served.transport.feed(client.step(served.transport.take()))
        assert served.results() == {result: 1}
        if result == "ok":
            assert served.connection.tls is not None
            assert served.connection.tls.certificate is None
        else:
            assert served.transport.closed
            assert served.inners == []


@pytest.mark.parametrize("mode", ["request", "require"])
def test_an_untrusted_client_certificate(mutual: Any, tmp_path_factory: pytest.TempPathFactory, mode: str) -> None:
    """A certificate of another CA is refused by both modes."""
    mallory = issue("alice", by=issue(common="Test CA", ca=True))
    served = Served(mutual(mode))
    client = TlsClient(presenting(tmp_path_factory.mktemp("client"), mallory))
    served.transport.feed(client.step())
    served.transport.feed(client.step(served.transport.take()))
    assert served.results() == {"certificate_refused": 1}
    assert served.inners == []


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_are_resumed(store: CertificateStore, version: ssl.TLSVersion) -> None:
    """A client that comes back saves the signature, before and after a reload that changed nothing."""
    settings = trusting(minimum_version=version, maximum_version=version)
    first = Served(store)
    client = first.shake(TlsClient(settings))
    first.inner.transport.write(b"x")
    client.decrypt(first.transport.take())
    assert not client.ssl.session_reused
    for _ in range(2):
        again = Served(store)
        client = again.shake(TlsClient(settings, session=client.ssl.session))
        again.inner.transport.write(b"x")
        client.decrypt(again.transport.take())
        assert client.ssl.session_reused
        assert again.results() == {"resumed": 1}
        store.reload()
