"""The TLS context of the admin listener; it is spoken to in test_serve_tls.py."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from gateway.admin.settings import AdminTlsConfig
from gateway.admin.tls import make_admin_tls
from tests.kit.tls import issue, put


def test_certificate_key_and_clients(tmp_path: Path) -> None:
    """The key in a file of its own or in the same one; clients are asked for theirs only where an authority is named."""
    mine = issue("localhost")
    put(tmp_path, "admin", mine)
    (tmp_path / "both.pem").write_bytes(mine.pem + mine.key_pem)
    assert make_admin_tls(AdminTlsConfig(certificate="both.pem"), tmp_path).verify_mode is ssl.CERT_NONE
    config = AdminTlsConfig(certificate="admin.pem", key="admin.key", client_ca="admin.pem")
    context = make_admin_tls(config, tmp_path)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_each_wrong_file_is_named(tmp_path: Path) -> None:
    """All at once, with what is wrong with it."""
    put(tmp_path, "a", issue("localhost"))
    put(tmp_path, "b", issue("localhost"))
    (tmp_path / "locked.key").write_bytes(issue("localhost").locked(b"word"))
    (tmp_path / "none.pem").write_text("nothing")
    cases = {
        ("a.pem", "b.key"): "tls.key: .*b.key is not the key of",
        ("a.pem", "locked.key"): "tls.key: .*locked.key is encrypted",
        ("a.pem", "none.pem"): "there is no PEM certificate with its key in .*a.pem and .*none.pem",
        ("a.pem", "absent"): "a.pem and .*absent cannot be read: No such file",
    }
    for (certificate, key), why in cases.items():
        with pytest.raises(ValueError, match=why):
            make_admin_tls(AdminTlsConfig(certificate=certificate, key=key), tmp_path)
    for name, why in (("none.pem", "holds no PEM"), ("absent", "No such file")):
        wrong = AdminTlsConfig(certificate="absent", client_ca=name)
        with pytest.raises(ValueError, match=why) as caught:
            make_admin_tls(wrong, tmp_path)
        assert len(str(caught.value).splitlines()) == 2
