"""Files: what is found, what is read, and a sentence for everything that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from gateway.server.certificate_files import MAX_DEPTH, CertificateFault, FileReader, parse_file, public_digest, scan
from tests.kit.tls import Issued, issue, put, rsa_key

HERE = Path("certs/x.pem")


def test_a_folder_is_searched(tmp_path: Path) -> None:
    """By ending, in subfolders such as certbot's live/NAME, but not in hidden ones and not without end."""
    wanted = ["a.pem", "b.CRT", "c.cer", "c.key", "live/shop.test/fullchain.pem", "live/shop.test/privkey.pem"]
    deep = "/".join("d" * (MAX_DEPTH + 1)) + "/z.pem"
    for name in [*wanted, "README", "notes.txt", "..2024/a.pem", ".hidden.pem", deep]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found, faults = scan(tmp_path)
    assert sorted(found) == sorted(tmp_path / name for name in wanted)
    assert faults == []


def test_a_missing_folder_names_the_command(tmp_path: Path) -> None:
    """The error is the command that mends it; a file in place of the folder is said too."""
    with pytest.raises(CertificateFault, match="gateway certs --make"):
        scan(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(CertificateFault, match="cannot be read"):
        scan(tmp_path / "file")


def test_all_kinds_of_blocks() -> None:
    """Certificates and keys of one file, in any order, among text and blocks that are neither."""
    one, two = issue("one.test"), issue("two.test", key=rsa_key())
    old = two.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    found = parse_file(HERE, b"a note\n" + parameters + old + two.pem + b"subject=CN=one\n" + one.pem + one.key_pem)
    assert found.certificates == (two.certificate, one.certificate)
    assert [(key.kind, key.bits) for key in found.keys] == [("rsa", 2048), ("ecdsa", 256)]
    assert found.keys[1].public == public_digest(one.certificate.public_key())
    assert found.locked is None


def test_der_is_read() -> None:
    """Windows exports DER: certificates and keys."""
    one = issue("one.test")
    assert parse_file(HERE, one.certificate.public_bytes(Encoding.DER)).certificates == (one.certificate,)
    der = one.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    assert parse_file(HERE, der).keys[0].kind == "ecdsa"


def old_locked(issued: Issued) -> bytes:
    """OpenSSL's old format, whose header has hyphens in it."""
    return bytes(
        issued.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"open"))
    )


def test_encrypted_keys() -> None:
    """Both formats need the password, say so without it, and never show it."""
    one = issue("one.test")
    for locked in (one.locked(b"open"), old_locked(one)):
        without = parse_file(HERE, one.pem + locked)
        assert without.keys == ()
        assert "password: ${file:" in str(without.locked)
        opened = parse_file(HERE, locked, "open")
        assert opened.keys[0].public == public_digest(one.certificate.public_key())
        assert b"ENCRYPTED" not in opened.keys[0].pem
        with pytest.raises(CertificateFault, match="password does not open") as caught:
            parse_file(HERE, locked, "wrong-password")
        assert "wrong-password" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (issue("a.test").pem[:300], "cut short or damaged"),
        (issue("a.test").pem.replace(b"MII", b"!!!"), "damaged"),
        (b"-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n", "key is damaged"),
        (b"0\x82\x01\x00 not DER", "damaged"),
        (rsa_key(1024), "1024 bits is too weak"),
        (ec.generate_private_key(ec.SECP256K1()), "clients do not support the curve secp256k1"),
        (dsa.generate_private_key(1024), "this kind of key"),
    ],
    ids=["cut", "damaged", "damaged key", "DER", "weak", "curve", "DSA"],
)
def test_what_cannot_be_served(content: object, said: str) -> None:
    """Each fault begins with the path and says what to do."""
    if not isinstance(content, bytes):
        content = content.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())  # type: ignore[attr-defined]
    with pytest.raises(CertificateFault, match=said) as caught:
        parse_file(HERE, content)
    assert str(caught.value).startswith("certs/x.pem: ")
    assert caught.value.path == HERE


def test_other_files_hold_nothing() -> None:
    """Text without PEM is no fault by itself; an SSH key is named for what it is; Ed25519 is a key."""
    assert parse_file(HERE, b"just a note") == ((), (), None)
    ssh = b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----\n"
    assert "SSH key" in str(parse_file(HERE, ssh).locked)
    key = ed25519.Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert parse_file(HERE, pem).keys[0].kind == "eddsa"


def test_files_are_read_once(tmp_path: Path) -> None:
    """The same parsed file again while nothing changed, another after a change, by password too."""
    reader = FileReader()
    path = put(tmp_path, "a", issue("a.test"))
    first = reader.read(path)
    assert reader.read(path) is first
    assert reader.read(path, "password") is not first
    path.write_bytes(issue("b.test").pem)
    assert reader.read(path) is not first


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing, a folder, or far too large: a sentence each."""
    reader = FileReader()
    (tmp_path / "large.pem").write_bytes(bytes((1 << 20) + 1))
    for name, said in (("none.pem", "no such file"), (".", "cannot be read"), ("large.pem", "1 MiB")):
        with pytest.raises(CertificateFault, match=said):
            reader.read(tmp_path / name)
