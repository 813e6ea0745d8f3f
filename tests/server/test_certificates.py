"""The certificate store: which certificate for which name, what is refused, and what a reload changes."""

from __future__ import annotations

import contextlib
import ssl
import time
from pathlib import Path

import pytest
from cryptography import x509

from gateway.development import make_development_certificates
from gateway.server.certificate_pairs import DEVELOPMENT_MARK
from gateway.server.certificates import CertificateError, CertificateStore, TlsConfig
from tests.kit.tls import Issued, TlsClient, client_of, issue, put, rsa_key, store_of
from tests.kit.transport import FakeClock

AUTHORITY = issue(common="Test CA", ca=True)


def shown(store: CertificateStore, name: str | None, settings: ssl.SSLContext | None = None) -> x509.Certificate:
    """The certificate that a client asking for `name` sees."""
    found = store.context_for(name or "")
    assert found is not None
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    gateway = found.wrap_bio(incoming, outgoing, server_side=True)
    client = TlsClient(settings or client_of(), name)
    while not client.done:
        incoming.write(client.step(outgoing.read()))
        with contextlib.suppress(ssl.SSLWantReadError):
            gateway.do_handshake()
    return x509.load_der_x509_certificate(client.ssl.getpeercert(binary_form=True) or b"")


def is_shown(store: CertificateStore, name: str | None, issued: Issued) -> bool:
    return shown(store, name) == issued.certificate


def test_the_most_specific_name_wins(tmp_path: Path) -> None:
    """Exact before wildcard before default; a wildcard covers one label, and not the name itself."""
    exact, wild, other = issue("a.example.com"), issue("*.example.com"), issue("aaa.test")
    put(tmp_path, "2-exact", exact)
    put(tmp_path, "3-wild", wild)
    put(tmp_path, "1-other", other)
    store = store_of(tmp_path)
    assert is_shown(store, "a.example.com", exact)
    assert is_shown(store, "b.example.com", wild)
    assert is_shown(store, "a.b.example.com", other)
    assert is_shown(store, "example.com", other)
    assert is_shown(store, None, other)


def test_the_common_name_counts_only_without_alternative_names(tmp_path: Path) -> None:
    """A subjectAltName makes the common name mean nothing."""
    modern = issue("san.test", common="cn.test")
    put(tmp_path, "b", modern)
    put(tmp_path, "a", issue(common="old.test"))
    store = store_of(tmp_path)
    assert [entry.names for entry in store.entries()] == [("old.test",), ("san.test",)]


def test_the_default_can_be_named(tmp_path: Path) -> None:
    """`default` is a name one of the certificates has; a name that none has is said, and the first is taken."""
    first, second = issue("a.test"), issue("*.b.test")
    put(tmp_path, "a", first)
    put(tmp_path, "b", second)
    assert is_shown(store_of(tmp_path), "x.test", first)
    assert is_shown(store_of(tmp_path, default="www.b.test"), "x.test", second)
    warnings: list[str] = []
    assert is_shown(store_of(tmp_path, warnings, default="c.test"), "x.test", first)
    assert "no certificate names c.test" in warnings[0]


def test_development_certificates_come_last(tmp_path: Path) -> None:
    """They are known by their mark, and never the default where there is a real one."""
    make_development_certificates(tmp_path)
    real = issue("www.test")
    put(tmp_path, "www", real)
    store = store_of(tmp_path)
    assert [entry.is_development for entry in store.entries()] == [True, False]
    assert is_shown(store, "x.test", real)
    put(tmp_path, "zz-mine", issue("localhost", days=(-1, 20)))
    store.reload()
    assert not is_shown(store, "localhost", real)
    assert store.entries()[2].path.name == "zz-mine.pem"
    assert "CN=Edge gateway" not in shown(store, "localhost").issuer.rfc4514_string()


def test_strict_names(tmp_path: Path) -> None:
    """With strict_sni there is no default."""
    put(tmp_path, "a", issue("a.test"))
    store = store_of(tmp_path, strict_sni=True)
    assert store.context_for("a.test") is not None
    assert store.context_for("b.test") is None
    assert store.context_for("") is None


def test_two_kinds_of_key_for_one_name(tmp_path: Path) -> None:
    """RSA and ECDSA certificates of one name share a context; the client's signatures decide."""
    modern, old = issue("a.test"), issue("a.test", key=rsa_key())
    put(tmp_path, "ecdsa", modern)
    put(tmp_path, "rsa", old)
    store = store_of(tmp_path)
    assert is_shown(store, "a.test", modern)
    settings = client_of(maximum_version=ssl.TLSVersion.TLSv1_2)
    settings.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
    assert shown(store, "a.test", settings) == old.certificate
    assert {entry.kind for entry in store.entries()} == {"ecdsa", "rsa"}


def test_the_better_of_two_for_one_name(tmp_path: Path) -> None:
    """Of two certificates of one kind, the valid one is served, then the one that lasts longest."""
    expired, short, long = (issue("a.test", days=days) for days in ((-90, -1), (-1, 30), (-1, 60)))
    for name, issued in (("1", expired), ("2", long), ("3", short)):
        put(tmp_path, name, issued)
    store = store_of(tmp_path)
    assert is_shown(store, "a.test", long)
    assert [entry.path.stem for entry in store.entries()] == ["2"]  # what no client can see is not warned of either


def test_a_worse_one_of_another_kind_is_not_served(tmp_path: Path) -> None:
    """Clients prefer ECDSA whatever its dates: an expired one must not stand before a valid RSA one."""
    put(tmp_path, "1-expired", issue("a.test", days=(-90, -1)))
    valid = issue("a.test", key=rsa_key())
    put(tmp_path, "2-valid", valid)
    put(tmp_path, "3-development", issue("a.test", organization=DEVELOPMENT_MARK))
    assert is_shown(store_of(tmp_path), "a.test", valid)


def test_an_expired_certificate_is_served_and_shouted_about(tmp_path: Path) -> None:
    """There is nothing better for its name, and some client may still take it."""
    expired = issue("a.test", days=(-90, -1))
    put(tmp_path, "a", expired)
    warnings: list[str] = []
    assert is_shown(store_of(tmp_path, warnings), "a.test", expired)
    assert len(warnings) == 1
    assert "EXPIRED" in warnings[0]


def test_all_of_certbot(tmp_path: Path) -> None:
    """The whole of /etc/letsencrypt: links into an archive of all versions; the newest is served, without a word."""
    old, new = issue("a.test", by=AUTHORITY, days=(-90, -1)), issue("a.test", by=AUTHORITY)
    archive, live = tmp_path / "archive" / "a.test", tmp_path / "live" / "a.test"
    archive.mkdir(parents=True)
    live.mkdir(parents=True)
    for version, issued in ((1, old), (2, new)):
        for name, content in (
            ("cert", issued.pem), ("chain", AUTHORITY.pem), ("fullchain", issued.pem + AUTHORITY.pem),
            ("privkey", issued.key_pem),
        ):  # fmt: skip
            (archive / f"{name}{version}.pem").write_bytes(content)
            (live / f"{name}.pem").unlink(missing_ok=True)
            (live / f"{name}.pem").symlink_to(f"../../archive/a.test/{name}{version}.pem")
    store = store_of(tmp_path)
    assert is_shown(store, "a.test", new)
    assert len(store.entries()) == 1


def test_the_settings_of_every_context(tmp_path: Path) -> None:
    """No compression, no renegotiation, no version before 1.2, suites with forward secrecy and authentication only."""
    put(tmp_path, "a", issue("a.test"))
    found = store_of(tmp_path).context_for("a.test")
    assert found is not None
    assert found.minimum_version is ssl.TLSVersion.TLSv1_2
    for option in (ssl.OP_NO_COMPRESSION, ssl.OP_NO_RENEGOTIATION, ssl.OP_CIPHER_SERVER_PREFERENCE):
        assert found.options & option
    names = {cipher["name"] for cipher in found.get_ciphers()}
    assert all(name.startswith(("TLS_", "ECDHE-")) for name in names)
    assert all("GCM" in name or "CHACHA20" in name for name in names)
    newer = store_of(tmp_path, minimum_version="TLSv1.3").context_for("a.test")
    assert newer is not None
    assert newer.minimum_version is ssl.TLSVersion.TLSv1_3


# -- what is listed ---------------------------------------------------------------------------------------------------


def test_an_empty_folder_names_the_command(tmp_path: Path) -> None:
    """The error of a first start is the command that mends it."""
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(CertificateError, match="gateway certs --make"):
            store_of(folder)


def test_what_openssl_refuses(tmp_path: Path) -> None:
    """A certificate that OpenSSL does not take is a sentence too, not a traceback later."""
    weak = issue(common="Weak CA", ca=True, by=AUTHORITY, key=rsa_key(1024))
    put(tmp_path, "a", issue("a.test", by=weak), weak)
    with pytest.raises(CertificateError, match="OpenSSL refuses it"):
        store_of(tmp_path)


def test_the_authority_of_clients_must_be_good(tmp_path: Path) -> None:
    """A CA file that is missing or no PEM stops the start."""
    put(tmp_path, "a", issue("a.test"))
    (tmp_path / "empty.txt").write_text("nothing")
    for name in ("empty.txt", "missing.txt"):
        with pytest.raises(CertificateError, match=r"client_certificates\.ca"):
            store_of(tmp_path, client_certificates={"ca": str(tmp_path / name)})


# -- reload -----------------------------------------------------------------------------------------------------------


def test_reload_keeps_what_did_not_change(tmp_path: Path) -> None:
    """The same SSLContext, so the same ticket keys; changed, new and removed certificates are reported."""
    put(tmp_path, "a", issue("a.test"))
    put(tmp_path, "b", issue("b.test"))
    warnings: list[str] = []
    store = store_of(tmp_path, warnings)
    kept, old = store.context_for("a.test"), store.context_for("b.test")
    assert store.reload() == ((), (), ())
    assert store.context_for("a.test") is kept
    renewed = issue("b.test")
    put(tmp_path, "b", renewed)
    put(tmp_path, "c", issue("c.test"))
    report = store.reload()
    assert report.added == (str(tmp_path / "b.pem"), str(tmp_path / "c.pem"))
    assert report.removed == (str(tmp_path / "b.pem"),)
    assert report.problems == ()
    assert warnings == []
    assert store.context_for("a.test") is kept
    assert store.context_for("b.test") is not old
    assert is_shown(store, "b.test", renewed)
    (tmp_path / "c.pem").unlink()
    (tmp_path / "c.key").unlink()
    assert store.reload().removed == (str(tmp_path / "c.pem"),)
    assert store.context_for("c.test") is kept  # the default
    assert warnings == ["no certificate any more for c.test: its files were deleted, or name other hosts"]


def test_the_calendar_alone_may_change_what_is_served(tmp_path: Path) -> None:
    """A certificate for tomorrow is served when tomorrow comes, and each day's news is said once."""
    today, tomorrow = issue("a.test", days=(-90, 2)), issue("a.test", days=(1, 90))
    put(tmp_path, "1", today)
    put(tmp_path, "2", tomorrow)
    warnings: list[str] = []
    clock = FakeClock(time.time())
    store = CertificateStore(TlsConfig(certificates=str(tmp_path)), tmp_path, warnings.append, clock)
    for _ in range(2):
        assert is_shown(store, "a.test", today)
        assert [text.partition(" in ")[2] for text in warnings] == ["1 days: renew it"]
        store.reload()
    clock.advance(1.5 * 24 * 3600)
    assert store.reload().problems == ()
    assert is_shown(store, "a.test", tomorrow)
    assert len(warnings) == 1


def test_reload_of_the_authority_of_clients(tmp_path: Path) -> None:
    """Another CA for clients makes new contexts; a broken one is reported and the old one stays."""
    put(tmp_path, "a", issue("a.test"))
    ca = tmp_path / "clients.txt"
    ca.write_bytes(AUTHORITY.pem)
    store = store_of(tmp_path, client_certificates={"ca": str(ca)})
    before = store.context_for("a.test")
    ca.write_bytes(b"broken")
    assert len(store.reload().problems) == 1
    assert store.context_for("a.test") is before
    ca.write_bytes(issue(common="Other CA", ca=True).pem)
    assert store.reload().problems == ()
    assert store.context_for("a.test") is not before
