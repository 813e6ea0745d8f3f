"""Certificates for the run: a local authority and one P-256 leaf for localhost, made anew each time.

Every proxy serves the same pair, so a handshake costs each of them the same mathematics. Nothing is kept.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_LIFE = dt.timedelta(days=2)


class Pair(NamedTuple):
    """Files of one certificate: chain and key apart, and both in one file (HAProxy's way)."""

    folder: Path  # holds nothing but `certificate` and `key`
    certificate: Path
    key: Path
    together: Path


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + _LIFE)
    )


def make_pair(folder: Path) -> Pair:
    """A P-256 leaf for localhost and 127.0.0.1, signed by an authority that is forgotten at once."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    key = ec.generate_private_key(ec.SECP256R1())
    authority_name = _name("bench authority")
    authority = (
        _builder(authority_name, authority_name, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))]
    leaf = (
        _builder(_name("localhost"), authority_name, key.public_key())
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    chain = leaf.public_bytes(serialization.Encoding.PEM) + authority.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    certs = folder / "certs"
    certs.mkdir()
    pair = Pair(certs, certs / "localhost.crt", certs / "localhost.key", folder / "together.pem")
    pair.certificate.write_bytes(chain)
    pair.key.write_bytes(secret)
    pair.key.chmod(0o600)
    pair.together.write_bytes(chain + secret)
    pair.together.chmod(0o600)
    return pair
