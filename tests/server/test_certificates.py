"""The certificate store: which certificate for which name, what is refused, and what a reload changes."""

from __future__ import annotations

import contextlib
import os
import shutil
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from gateway.development import make_development_certificates
from gateway.server.certificate_pairs import DEVELOPMENT_MARK
from gateway.server.certificates import CertificateError, CertificateStore, TlsConfig
from tests.kit.tls import Issued, TlsClient, client_of, issue, put, rsa_key, store_of

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


def test_files_may_be_listed(tmp_path: Path) -> None:
    """A folder, a file whose key lies beside it, a file that holds both, and a pair with a password."""
    (tmp_path / "folder").mkdir()
    put(tmp_path / "folder", "one", issue("one.test"))
    put(tmp_path, "two", issue("two.test"))
    three, four = issue("three.test"), issue("four.test")
    (tmp_path / "three.pem").write_bytes(three.key_pem + three.pem)
    (tmp_path / "four.crt").write_bytes(four.pem)
    (tmp_path / "secret.bin").write_bytes(four.locked(b"open sesame"))
    listed = [
        "folder",
        "two.pem",
        "three.pem",
        {"certificate": "four.crt", "key": "secret.bin", "password": "open sesame"},
    ]
    config = TlsConfig.model_validate({"certificates": listed})
    store = CertificateStore(config, tmp_path, pytest.fail)
    assert [name for entry in store.entries() for name in entry.names] == [
        "one.test", "four.test", "three.test", "two.test",
    ]  # fmt: skip
    assert set(store.watched()) == {tmp_path, tmp_path / "folder"}
    assert "open sesame" not in repr(config)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("missing.pem", "there is no such folder"),
        ({"certificate": "a.pem", "key": "b.key"}, "no key for this certificate"),
        ({"certificate": "a.pem", "key": "missing.key"}, "there is no such file"),
        ({"certificate": "b.key", "key": "b.key"}, "holds no certificate"),
    ],
)
def test_a_listed_certificate_must_be_good(tmp_path: Path, entry: Any, said: str) -> None:
    """What an operator names and what cannot be served stops the start, with a sentence."""
    put(tmp_path, "good", issue("good.test"))
    put(tmp_path, "a", issue("a.test"))
    (tmp_path / "b.key").write_bytes(issue("b.test").key_pem)
    config = TlsConfig.model_validate({"certificates": ["good.pem", entry]})
    with pytest.raises(CertificateError, match=said) as caught:
        CertificateStore(config, tmp_path, print)
    assert len(caught.value.problems) >= 1


def test_an_empty_folder_names_the_command(tmp_path: Path) -> None:
    """The error of a first start is the command that mends it."""
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(CertificateError, match="gateway certs --make"):
            store_of(folder)


def test_one_broken_certificate_does_not_take_the_others_down(tmp_path: Path) -> None:
    """In a folder it is a warning; only where nothing is left it is an error."""
    good = issue("good.test")
    put(tmp_path, "good", good)
    bad = put(tmp_path, "bad", issue("bad.test"))
    bad.with_suffix(".key").write_bytes(issue("other.test").key_pem)
    warnings: list[str] = []
    store = store_of(tmp_path, warnings)
    assert [entry.names for entry in store.entries()] == [("good.test",)]
    assert len(warnings) == 1
    assert "bad.key is the key of another certificate" in warnings[0]
    (tmp_path / "good.key").unlink()
    with pytest.raises(CertificateError) as caught:
        store_of(tmp_path)
    assert len(caught.value.problems) == 2


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
    store = store_of(tmp_path)
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
    assert store.context_for("a.test") is kept
    assert store.context_for("b.test") is not old
    assert is_shown(store, "b.test", renewed)
    (tmp_path / "c.pem").unlink()
    assert store.reload().removed == (str(tmp_path / "c.pem"),)
    assert store.context_for("c.test") is kept  # the default


def test_reload_reads_changed_files_only(tmp_path: Path) -> None:
    """A file whose size, time and inode are the same is not opened: its content may even be gone."""
    path = put(tmp_path, "a", issue("a.test"))
    store = store_of(tmp_path)
    found = path.stat()
    with path.open("r+b") as file:
        file.write(b"-" * found.st_size)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert store.reload() == ((), (), ())


@pytest.mark.parametrize("how", ["damaged", "other key", "no key", "half written", "locked", "a log", "all gone"])
def test_reload_keeps_the_old_one_when_the_new_one_is_broken(tmp_path: Path, how: str) -> None:
    """Whatever happens to the files, the certificate that worked is served on, and the fault is reported."""
    old = issue("a.test")
    path = put(tmp_path, "a", old)
    put(tmp_path, "b", issue("b.test"))
    store = store_of(tmp_path)
    before = store.context_for("a.test")
    new = issue("a.test")
    if how == "damaged":
        path.write_bytes(old.pem[:100] + b"!!!" + old.pem[103:])
    elif how == "other key":
        path.write_bytes(new.pem)
    elif how == "no key":
        path.with_suffix(".key").unlink()
    elif how == "half written":
        path.write_bytes(new.pem[:200])
    elif how == "locked":
        path.with_suffix(".key").write_bytes(old.locked(b"secret"))
    elif how == "a log":
        path.write_bytes(bytes(2 << 20))
    else:
        shutil.rmtree(tmp_path)
    report = store.reload()
    assert len(report.problems) == 1, report
    assert (report.added, report.removed) == ((), ())
    assert store.context_for("a.test") is before
    assert [entry.names for entry in store.entries()] == [("a.test",), ("b.test",)]


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("content", [b"", b"\0" * 700, b"just a note", b"key"])
def test_reload_keeps_the_old_one_when_its_file_holds_none(tmp_path: Path, content: bytes, *, listed: bool) -> None:
    """A served file that is emptied or overwritten is a fault, at every reload; only deleting it ends its service."""
    old = issue("a.test")
    path = put(tmp_path, "a", old)
    put(tmp_path, "b", issue("b.test"))
    pairs = [{"certificate": f"{name}.pem", "key": f"{name}.key"} for name in "ab"]
    settings: dict[str, Any] = {"certificates": pairs} if listed else {}
    store = store_of(tmp_path, **settings)
    before = store.context_for("a.test")
    path.write_bytes(old.key_pem if content == b"key" else content)
    for _ in range(2):
        report = store.reload()
        assert len(report.problems) == 1, report
        assert report.problems[0].startswith(f"{path}: holds no certificate any more")
        assert (report.added, report.removed) == ((), ())
        assert store.context_for("a.test") is before
    if not listed:
        path.unlink()
        assert store.reload() == ((), (str(path),), ())


def test_reload_follows_swapped_links(tmp_path: Path) -> None:
    """Kubernetes swaps a link to a hidden folder; the new certificate is found by the same names."""
    first, second = tmp_path / "..1", tmp_path / "..2"
    new = issue("a.test")
    for folder, issued in ((first, issue("a.test")), (second, new)):
        folder.mkdir()
        (folder / "tls.crt").write_bytes(issued.pem)
        (folder / "tls.key").write_bytes(issued.key_pem)
    (tmp_path / "..data").symlink_to(first.name)
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    store = store_of(tmp_path)
    assert len(store.entries()) == 1
    (tmp_path / "..data").unlink()
    (tmp_path / "..data").symlink_to(second.name)
    assert store.reload().problems == ()
    assert is_shown(store, "a.test", new)


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
