"""Certificates to develop with: a local CA and a certificate for localhost, made in a moment.

`make run` and `python -m gateway.development certs/` call it before the gateway starts; server/certificates.py knows
what it made by the mark in the subject. The CA signs once and its key is thrown away: a browser that trusts ca.pem
trusts nothing that anybody could still sign, at the price of trusting a new one when it is made again, once a year.
"""

from __future__ import annotations

import ipaddress
import os
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.server.certificate_files import CertificateFault, parse_file
from gateway.server.certificate_pairs import DEVELOPMENT_MARK, is_marked, make_pair

CA_FILE, CHAIN_FILE, KEY_FILE = "ca.pem", "localhost.pem", "localhost.key"
HOSTS = ("localhost",)
ADDRESSES = ("127.0.0.1", "::1")
LIFE = timedelta(days=397)  # browsers take no more (CA/Browser Forum baseline requirements §6.3.2)
RENEW = timedelta(days=30)  # before the end
SKEW = timedelta(hours=1)  # for a virtual machine or a phone whose clock is behind

_SIGN_CERTIFICATES = x509.KeyUsage(
    key_cert_sign=True, crl_sign=True, digital_signature=False, content_commitment=False, key_encipherment=False,
    data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
)  # fmt: skip
_SIGN_HANDSHAKES = x509.KeyUsage(
    key_cert_sign=False, crl_sign=False, digital_signature=True, content_commitment=False, key_encipherment=False,
    data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
)  # fmt: skip


def make_development_certificates(folder: Path, wall: float | None = None) -> bool:
    """Makes ca.pem, localhost.pem (with its CA) and localhost.key in `folder`; whether it was necessary.

    What is there stays while it is good for a month more, and so do files of these names that are not ours. Raises
    CertificateFault where it cannot tell, OSError where it cannot write.
    """
    now = datetime.fromtimestamp(time.time() if wall is None else wall, UTC)
    if not _is_due(folder, now):
        return False
    folder.mkdir(parents=True, exist_ok=True)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _certificate("Edge gateway local CA", now, authority_key, None)
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = _certificate(HOSTS[0], now, key, (authority, authority_key))
    root, pem = authority.public_bytes(Encoding.PEM), leaf.public_bytes(Encoding.PEM)
    _write(folder / CA_FILE, root, 0o644)
    # The key comes last: what is cut off in between is a marked certificate without its key, and made again.
    _write(folder / CHAIN_FILE, pem + root, 0o644)
    _write(folder / KEY_FILE, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    return True


def _is_due(folder: Path, now: datetime) -> bool:
    """Whether the files are missing or soon too old; False for those that somebody else put there."""
    chain_path, key_path = folder / CHAIN_FILE, folder / KEY_FILE
    if not chain_path.exists():
        if key_path.exists():
            raise CertificateFault(
                key_path, f"is a key without its certificate ({CHAIN_FILE}); move it away if nobody needs it"
            )
        return True
    chain = parse_file(chain_path, chain_path.read_bytes())
    if not any(is_marked(certificate) for certificate in chain.certificates):
        return False
    if not key_path.exists() or not (folder / CA_FILE).exists():
        return True
    pair = make_pair(chain_path, chain.certificates, parse_file(key_path, key_path.read_bytes()).keys)
    return pair is None or pair.not_after - now < RENEW or pair.not_before > now


def _certificate(
    name: str,
    now: datetime,
    key: ec.EllipticCurvePrivateKey,
    authority: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None,
) -> x509.Certificate:
    """A CA's certificate where `authority` is None, else one for localhost signed by it."""
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, DEVELOPMENT_MARK),
            # The day, so that a person who has trusted several can tell them apart.
            x509.NameAttribute(NameOID.COMMON_NAME, name if authority else f"{name}, {now:%Y-%m-%d}"),
        ]
    )
    signer = key if authority is None else authority[1]
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if authority is None else authority[0].subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now - SKEW + LIFE)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if authority is None:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        return builder.add_extension(_SIGN_CERTIFICATES, critical=True).sign(signer, SHA256())
    names: list[x509.GeneralName] = [x509.DNSName(host) for host in HOSTS]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in ADDRESSES]
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_SIGN_HANDSHAKES, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(signer, SHA256())
    )


def _write(path: Path, content: bytes, mode: int) -> None:
    """Whole or not at all, and never readable by others for a moment: written beside, then renamed."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    opened = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(opened, "wb") as file:
            file.write(content)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def main(arguments: list[str]) -> int:
    """`python -m gateway.development FOLDER`: 0, or 1 with a sentence on standard error."""
    folder = Path(arguments[0] if arguments else "certs")
    try:
        made = make_development_certificates(folder)
    except (CertificateFault, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if made:
        sys.stdout.write(
            f"Made {folder / CHAIN_FILE} and {folder / KEY_FILE} for {', '.join(HOSTS + ADDRESSES)}.\n"
            f"To trust it: curl --cacert {folder / CA_FILE} https://localhost:8443/, or import it in a browser.\n"
        )
    else:
        sys.stdout.write(f"{folder / CHAIN_FILE} is there already.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
