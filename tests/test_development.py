"""Development certificates: trusted through their CA, made again in time, never over somebody else's."""

from __future__ import annotations

import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography import x509

from gateway.development import LIFE, RENEW, main, make_development_certificates
from gateway.server.certificate_files import CertificateFault
from tests.kit.tls import issue, put, store_of

DAY = 86400.0


def read(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_made(tmp_path: Path) -> None:
    """A leaf for localhost and both loopback addresses with its CA, and a key that only its owner reads."""
    folder = tmp_path / "new" / "certs"
    assert make_development_certificates(folder)
    assert set(read(folder)) == {"ca.pem", "localhost.pem", "localhost.key"}
    assert stat.S_IMODE((folder / "localhost.key").stat().st_mode) == 0o600
    leaf, root = x509.load_pem_x509_certificates((folder / "localhost.pem").read_bytes())
    assert [root] == x509.load_pem_x509_certificates((folder / "ca.pem").read_bytes())
    leaf.verify_directly_issued_by(root)
    entry = store_of(folder).entries()[0]
    assert entry.names == ("localhost", "127.0.0.1", "::1")
    assert entry.is_development
    assert (entry.not_after - entry.not_before).days <= 397
    assert entry.kind == "ecdsa"


def test_the_key_of_the_authority_is_kept_nowhere(tmp_path: Path) -> None:
    """Who trusts ca.pem trusts nothing that can still be signed: the one key on disk is the leaf's."""
    make_development_certificates(tmp_path)
    assert sum(content.count(b"PRIVATE KEY-----") for content in read(tmp_path).values()) == 2


def test_openssl_agrees(tmp_path: Path) -> None:
    """openssl verify, by its strictest rules."""
    make_development_certificates(tmp_path)
    command = [
        "openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "localhost",
        "-CAfile", tmp_path / "ca.pem", tmp_path / "localhost.pem",
    ]  # fmt: skip
    assert subprocess.run(command, capture_output=True, check=True).stdout.endswith(b": OK\n")


def test_good_ones_stay(tmp_path: Path) -> None:
    """A second start changes nothing, and neither does one a year later but for the last month."""
    start = time.time()
    assert make_development_certificates(tmp_path, start)
    before = read(tmp_path)
    assert not make_development_certificates(tmp_path, start)
    assert not make_development_certificates(tmp_path, start + LIFE.total_seconds() - RENEW.total_seconds() - DAY)
    assert read(tmp_path) == before
    assert make_development_certificates(tmp_path, start + LIFE.total_seconds() - RENEW.total_seconds() + DAY)
    assert not set(read(tmp_path).values()) & set(before.values())


@pytest.mark.parametrize("lost", ["ca.pem", "localhost.key"])
def test_incomplete_ones_are_made_again(tmp_path: Path, lost: str) -> None:
    """A missing file, or a key of an earlier time, makes all three anew."""
    make_development_certificates(tmp_path)
    (tmp_path / lost).unlink()
    assert make_development_certificates(tmp_path)
    (tmp_path / "localhost.key").write_bytes(issue("localhost").key_pem)
    assert make_development_certificates(tmp_path)
    assert not make_development_certificates(tmp_path)


def test_a_clock_that_was_ahead(tmp_path: Path) -> None:
    """Certificates from the future are of no use now."""
    make_development_certificates(tmp_path, time.time() + 10 * DAY)
    assert make_development_certificates(tmp_path)


def test_foreign_files_are_never_touched(tmp_path: Path) -> None:
    """Somebody's own localhost.pem is used as it is; a lone or damaged file is said, not overwritten."""
    put(tmp_path, "localhost", issue("localhost"))
    before = read(tmp_path)
    assert not make_development_certificates(tmp_path)
    (tmp_path / "localhost.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\ncut")
    with pytest.raises(CertificateFault, match="damaged"):
        make_development_certificates(tmp_path)
    (tmp_path / "localhost.pem").unlink()
    with pytest.raises(CertificateFault, match="a key without its certificate"):
        make_development_certificates(tmp_path)
    assert read(tmp_path) == {"localhost.key": before["localhost.key"]}


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """python -m gateway.development FOLDER: says what it made, or what is in the way."""
    folder = tmp_path / "certs"
    run = subprocess.run(
        [sys.executable, "-m", "gateway.development", folder], capture_output=True, text=True, check=True
    )
    assert "curl --cacert" in run.stdout
    assert main([str(folder)]) == 0
    assert "there already" in capsys.readouterr().out
    (folder / "localhost.pem").unlink()
    assert main([str(folder)]) == 1
    assert "without its certificate" in capsys.readouterr().err
