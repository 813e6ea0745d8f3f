"""The TLS context of an upstream: what it demands, and the mistakes that show at load."""

from __future__ import annotations

import re
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.upstream.settings import UpstreamTlsConfig
from gateway.upstream.tls import load_tls
from tests.kit.certificates import Authority


def load(folder: Path, **keys: object) -> tuple[ssl.SSLContext, list[str]]:
    warnings: list[str] = []
    return load_tls(UpstreamTlsConfig.model_validate(keys), folder, warnings.append), warnings


def test_verification_is_the_default(tmp_path: Path) -> None:
    """Certificate and name are checked, TLS 1.2 is the least, and nobody is warned of anything."""
    context, warnings = load(tmp_path)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert warnings == []


def test_only_ciphers_with_forward_secrecy_and_authentication(tmp_path: Path) -> None:
    """RFC 9325 §4.2: ECDHE and AEAD, or TLS 1.3's own."""
    context, _ = load(tmp_path)
    for cipher in context.get_ciphers():
        assert cipher["aead"]
        assert cipher["protocol"] == "TLSv1.3" or cipher["name"].startswith("ECDHE-")


def test_no_verification_is_said_aloud(tmp_path: Path) -> None:
    """`verify: false` works, with a warning."""
    context, warnings = load(tmp_path, verify=False)
    assert context.verify_mode is ssl.CERT_NONE
    assert not context.check_hostname
    assert len(warnings) == 1
    assert "pose as it" in warnings[0]


def test_own_authorities_replace_the_systems(tmp_path: Path) -> None:
    """With `ca` only that authority is trusted; the path starts at the configuration's folder."""
    Authority(tmp_path)
    context, _ = load(tmp_path, ca="ca.pem", minimum="1.3")
    assert len(context.get_ca_certs()) == 1
    assert context.minimum_version == ssl.TLSVersion.TLSv1_3


def test_a_client_certificate(tmp_path: Path) -> None:
    """In one file with its key, or in two."""
    both = Authority(tmp_path).issue("gateway")
    load(tmp_path, certificate=both.name)
    load(tmp_path, certificate=both.name, key=both.name)


def test_mistakes_in_files(tmp_path: Path) -> None:
    """Each names the key, the file, and what is wrong with it."""
    authority = Authority(tmp_path)
    one, other = authority.issue("one"), authority.issue("other")
    (tmp_path / "junk.pem").write_text("junk")
    locked = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    )
    (tmp_path / "locked.pem").write_bytes(locked)
    for keys, message in (
        ({"ca": "none.pem"}, f"tls.ca: {tmp_path}/none.pem cannot be read: No such file"),
        ({"ca": "junk.pem"}, f"tls.ca: {tmp_path}/junk.pem holds no PEM certificates"),
        ({"certificate": "none.pem"}, "cannot be read: No such file"),
        ({"certificate": "junk.pem"}, "is not a PEM pair"),
        ({"certificate": one.name, "key": other.name}, f"tls.key: {other} is not the key of {one}"),
        ({"certificate": one.name, "key": "locked.pem"}, "is encrypted"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            load(tmp_path, **keys)


def test_mistakes_in_several_files_are_told_together(tmp_path: Path) -> None:
    """One line for each."""
    with pytest.raises(ValueError, match="cannot be read") as wrong:
        load(tmp_path, ca="a.pem", certificate="b.pem")
    assert [line.split(":")[0] for line in str(wrong.value).splitlines()] == ["tls.ca", "tls.certificate"]
