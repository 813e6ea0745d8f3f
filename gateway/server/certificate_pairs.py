"""Pairs: a certificate with its key and its chain, ready to be served, and what there is to say about them.

server/certificate_sources.py asks here for all pairs that its files hold; certificate_files.py reads those. A pair is
believed only when the key is the certificate's own by its public half: names of files are for people, and for messages.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

from gateway.exchange import ClientCertificate
from gateway.server.certificate_files import CertificateFault, Key, Parsed, public_digest

# In the subject of what gateway/development.py makes: HSTS is not sent for it, and it is the last choice of all.
DEVELOPMENT_MARK = "Edge gateway development certificate"
SLOW_RSA_BITS = 4096  # a signature with more takes longer than all the rest of a handshake
SOON = timedelta(days=14)

_NAME = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?")


class Pair(NamedTuple):
    """A certificate that can be served. `chain` and `key` are PEM, the chain in the order of RFC 8446 §4.4.2.

    digest    of chain and key: equal digests need no new context
    kind      ecdsa, rsa or eddsa
    names     of the subjectAltName: lower-case host names, wildcards, addresses
    notes     warnings, each a sentence that begins with the path
    """

    path: Path
    key_path: Path
    digest: bytes
    kind: str
    chain: bytes
    key: bytes
    names: tuple[str, ...]
    issuer: str  # RFC 4514
    not_before: datetime
    not_after: datetime
    fingerprint: str  # SHA-256 of the DER form, lower-case hexadecimal
    is_development: bool
    notes: tuple[str, ...]


def join_pairs(files: dict[Path, Parsed], unread: Collection[Path] = ()) -> Iterator[Pair | CertificateFault]:
    """Every pair in `files`, and a fault for each certificate that should have been one, in the order of the paths.

    A certificate whose key lies in no file is a fault unless it is a CA's own, or the leaf of another file that has
    been paired (certbot writes cert.pem and fullchain.pem): then it is left out without a word. So is one whose key is
    probably in a file of `unread`, about which somebody else complains.
    """
    keys = [key for parsed in files.values() for key in parsed.keys]
    best: dict[str, Pair] = {}
    for path, parsed in sorted(files.items()):
        if not parsed.certificates:
            if parsed.locked is not None and not parsed.keys:
                yield parsed.locked
            continue
        try:
            pair = make_pair(path, parsed.certificates, keys)
        except CertificateFault as fault:
            yield fault
            continue
        if pair is None:
            missing = _missing_key(path, parsed, files)
            if missing is not None and not any(name in unread for name in key_names(path)):
                yield missing
        elif pair.fingerprint not in best or len(best[pair.fingerprint].chain) < len(pair.chain):
            best[pair.fingerprint] = pair
    yield from best.values()


def make_pair(path: Path, certificates: Sequence[x509.Certificate], keys: Iterable[Key]) -> Pair | None:
    """The pair of the first certificate of `path` for which `keys` has the key; None if there is no such.

    Raises CertificateFault for a certificate that cannot be served.
    """
    by_public = {key.public: key for key in keys}
    for leaf in certificates:
        try:
            key = by_public.get(public_digest(leaf.public_key()))
        except (ValueError, UnsupportedAlgorithm):
            continue
        if key is not None:
            try:
                return _pair(path, leaf, list(certificates), key)
            except ValueError as error:
                if isinstance(error, CertificateFault):
                    raise
                raise CertificateFault(path, f"the certificate is damaged: {error}") from None
    return None


def _missing_key(path: Path, parsed: Parsed, files: dict[Path, Parsed]) -> CertificateFault | None:
    if all(is_authority(certificate) for certificate in parsed.certificates):
        return None
    beside = [name for name in key_names(path) if name in files]
    if parsed.locked is not None:
        return parsed.locked
    for name in beside:
        if files[name].locked:
            return None  # reported for itself
        if files[name].keys:
            return CertificateFault(
                path,
                f"{name.name} is the key of another certificate; put the key this certificate was made with "
                f"beside it (compare `openssl x509 -noout -pubkey -in {path}` and `openssl pkey -pubout -in {name}`)",
            )
    return CertificateFault(
        path, f"no key for this certificate; put it in the same folder, for example as {path.stem}.key"
    )


def key_names(path: Path) -> list[Path]:
    """Where the key of `path` lies by custom: x.key, x-key.pem, x.crt.key, and certbot's privkey.pem."""
    stem = path.stem
    return [
        path.with_name(name)
        for name in (f"{stem}.key", f"{stem}-key.pem", f"{stem}.pem", f"{path.name}.key", "privkey.pem", "tls.key")
        if name != path.name
    ]


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether it is a CA's own certificate, which needs no key here."""
    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except (x509.ExtensionNotFound, ValueError):
        return False


def _pair(path: Path, leaf: x509.Certificate, given: list[x509.Certificate], key: Key) -> Pair:
    names = _names(leaf)
    if not names:
        raise CertificateFault(path, "the certificate names no host; ask for one with a subjectAltName")
    chain = _order(leaf, given)
    pem = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain)
    return Pair(
        path=path,
        key_path=key.path,
        digest=hashlib.sha256(pem + key.pem).digest(),
        kind=key.kind,
        chain=pem,
        key=key.pem,
        names=names,
        issuer=leaf.issuer.rfc4514_string(),
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        fingerprint=leaf.fingerprint(SHA256()).hex(),
        is_development=is_marked(leaf),
        notes=tuple(_chain_notes(path, chain, given)) + tuple(_key_notes(path, key)),
    )


def _order(leaf: x509.Certificate, given: list[x509.Certificate]) -> list[x509.Certificate]:
    """Leaf first, then each issuer; a self-signed root is left out, for whoever trusts it has it."""
    chain = [leaf]
    while chain[-1].subject != chain[-1].issuer:
        issuer = next((one for one in given if one.subject == chain[-1].issuer and one not in chain), None)
        if issuer is None or issuer.subject == issuer.issuer:
            break
        chain.append(issuer)
    return chain


def _chain_notes(path: Path, chain: list[x509.Certificate], given: list[x509.Certificate]) -> Iterator[str]:
    if given[: len(chain)] != chain:
        yield f"{path}: the certificates are not in order (the host's own first, then each issuer); served in order"
    strangers = [
        one for one in given if one not in chain and not (one.subject == one.issuer and one.subject == chain[-1].issuer)
    ]
    if strangers:
        names = "; ".join(one.subject.rfc4514_string() for one in strangers)
        yield f"{path}: left out, for the certificate's chain does not need it: {names}"
    if len(given) == 1 and chain[0].subject != chain[0].issuer and _tells_issuer(chain[0]):
        yield (
            f"{path}: the issuer's certificate is missing, so many clients will not trust this one; use the full chain "
            "(certbot's fullchain.pem)"
        )


def _key_notes(path: Path, key: Key) -> Iterator[str]:
    if key.kind == "eddsa":
        yield f"{path}: browsers do not support Ed25519 and Ed448 certificates; use a P-256 key"
    elif key.kind == "rsa" and key.bits > SLOW_RSA_BITS:
        yield f"{path}: RSA with {key.bits} bits makes handshakes slow; a P-256 key is as strong and far faster"


def time_notes(pair: Pair, now: datetime) -> Iterator[str]:
    """What the calendar has to say about a pair: it is served all the same, for a client may still accept it."""
    left = pair.not_after - now
    if left <= timedelta(0):
        yield (
            f"{pair.path}: EXPIRED on {pair.not_after:%Y-%m-%d}: clients refuse it; renew it now "
            f"(names: {', '.join(pair.names)})"
        )
    elif pair.not_before > now:
        yield (
            f"{pair.path}: not valid before {pair.not_before:%Y-%m-%d %H:%M} UTC: clients refuse it until then; "
            "is this machine's clock right?"
        )
    elif left < min(SOON, (pair.not_after - pair.not_before) / 4):
        yield f"{pair.path}: expires on {pair.not_after:%Y-%m-%d}, in {left.days} days: renew it"


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    """Host names and addresses of the subjectAltName; the common name only where there is none (RFC 6125 §6.4.4)."""
    try:
        alternative = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        common = [str(part.value).lower() for part in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        return tuple(name for name in common[:1] if _NAME.fullmatch(name))
    hosts = [name.lower().removesuffix(".") for name in alternative.get_values_for_type(x509.DNSName)]
    addresses = [str(address) for address in alternative.get_values_for_type(x509.IPAddress)]
    return tuple(dict.fromkeys([name for name in hosts if _NAME.fullmatch(name)] + addresses))


def _tells_issuer(leaf: x509.Certificate) -> bool:
    """Whether it names a place to fetch its issuer from, as those of public CAs do: then that issuer is no root."""
    try:
        access = leaf.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except x509.ExtensionNotFound:
        return False
    return any(one.access_method == AuthorityInformationAccessOID.CA_ISSUERS for one in access)


def is_marked(certificate: x509.Certificate) -> bool:
    """Whether gateway/development.py made it."""
    marks = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return any(mark.value == DEVELOPMENT_MARK for mark in marks)


def describe(der: bytes) -> ClientCertificate:
    """The facts of a client certificate in DER form that OpenSSL has verified."""
    certificate = x509.load_der_x509_certificate(der)
    return ClientCertificate(
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        serial=f"{certificate.serial_number:x}",
        fingerprint=hashlib.sha256(der).hexdigest(),
        verified=True,
        pem=certificate.public_bytes(Encoding.PEM).decode("ascii"),
    )
