"""Certificate and key files: finding, reading and decrypting them.

server/certificate_sources.py asks for them, server/certificate_pairs.py joins what is read here into pairs; all of it
happens when a configuration is loaded or a file has changed, never on the loop. Every fault is a sentence that names
the file and says what to do, and never shows a key.
"""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
)

SUFFIXES = frozenset({".pem", ".crt", ".cer", ".key"})
MAX_FILE = 1 << 20  # bytes: against a path that names a log or a disk image
MAX_FILES = 20_000  # in one folder, against the wrong folder
MAX_DEPTH = 3  # of folders: certs/live/NAME/fullchain.pem
MIN_RSA_BITS = 2048  # less is broken or soon will be, and OpenSSL refuses it at its default level

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----.*?-----END \1-----", re.DOTALL)


class CertificateFault(ValueError):
    """A file, or a pair, that cannot be served; the message begins with its path and says what to do."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path}: {what}")
        self.path = path


class Key(NamedTuple):
    """A private key: `pem` is unencrypted, `public` the SHA-256 of its public half, `kind` ecdsa, rsa or eddsa."""

    path: Path
    pem: bytes
    public: bytes
    kind: str
    bits: int


class Parsed(NamedTuple):
    """What one file holds. `locked` tells why a key in it could not be opened."""

    certificates: tuple[x509.Certificate, ...]
    keys: tuple[Key, ...]
    locked: CertificateFault | None


# Of a file: number, times, bytes. The time at which its inode changed is part of it: a key that this user may read from
# now on is news as well.
Mark: TypeAlias = tuple[int, int, int, int]


class FileReader:
    """Reads files once: a file whose mark is as it was is not opened again."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: dict[tuple[Path, str], tuple[Mark, Parsed]] = {}

    def forget_all_but(self, paths: Iterable[Path]) -> None:
        """Only files of `paths` may be asked for again: a folder in which names come and go must not fill memory."""
        kept = set(paths)
        self._seen = {key: seen for key, seen in self._seen.items() if key[0] in kept}

    def read(self, path: Path, password: str = "") -> Parsed:
        """Raises CertificateFault."""
        try:
            found = path.stat()
            mark = (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)
            seen = self._seen.get((path, password))
            if seen is not None and seen[0] == mark:
                return seen[1]
            if found.st_size > MAX_FILE:
                raise CertificateFault(path, f"{found.st_size} bytes are no certificate; the limit is 1 MiB")
            content = path.read_bytes()
        except FileNotFoundError:
            raise CertificateFault(path, "there is no such file") from None
        except PermissionError:
            raise CertificateFault(
                path, "this user may not read it; allow it with `chgrp` and `chmod g+r`, or start as the owner"
            ) from None
        except OSError as error:
            raise CertificateFault(path, f"cannot be read: {error.strerror}") from None
        parsed = parse_file(path, content, password)
        self._seen[(path, password)] = (mark, parsed)
        return parsed


def parse_file(path: Path, content: bytes, password: str = "") -> Parsed:
    """Certificates and keys of a PEM or DER file. Raises CertificateFault."""
    certificates: list[x509.Certificate] = []
    keys: list[Key] = []
    locked: CertificateFault | None = None
    try:
        if content[:1] == b"0":  # DER: an ASN.1 sequence
            return _parse_der(path, content)
        for block in _BLOCK.finditer(content):
            label = block[1]
            if label in {b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE"}:
                certificates.append(_load_certificate(block[0]))
            elif label == b"OPENSSH PRIVATE KEY":
                locked = CertificateFault(path, "is an SSH key, not a TLS key")
            elif label.endswith(b"PRIVATE KEY"):
                if b"ENCRYPTED" in block[0] and not password:
                    locked = CertificateFault(
                        path,
                        "the key is encrypted; set `password: ${file:/run/secrets/key-password}` under tls, or decrypt "
                        f"it with `openssl pkey -in {path} -out {path.stem}-plain.key`",
                    )
                else:
                    keys.append(_load_key(path, block[0], password))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if isinstance(error, CertificateFault):
            raise
        raise CertificateFault(path, f"is damaged or not PEM: {_first_line(error)}") from None
    if not (certificates or keys or locked) and b"-----BEGIN" in content:
        raise CertificateFault(path, "has a PEM block that is cut short or damaged: copy the file again")
    return Parsed(tuple(certificates), tuple(keys), locked)


def _parse_der(path: Path, content: bytes) -> Parsed:
    try:
        return Parsed((x509.load_der_x509_certificate(content),), (), None)
    except ValueError:
        key = load_der_private_key(content, None)
        return Parsed((), (_key(path, key),), None)


def _load_certificate(pem: bytes) -> x509.Certificate:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old roots in chains have odd serial numbers; nothing for us to say
        return x509.load_pem_x509_certificate(pem.replace(b"X509 CERT", b"CERT").replace(b"TRUSTED CERT", b"CERT"))


def _load_key(path: Path, pem: bytes, password: str) -> Key:
    try:
        loaded = load_pem_private_key(pem, password.encode() if b"ENCRYPTED" in pem else None)
    except ValueError as error:
        if b"ENCRYPTED" in pem:
            raise CertificateFault(path, "the password does not open the key") from None
        raise CertificateFault(path, f"the key is damaged: {_first_line(error)}") from None
    return _key(path, loaded)


def _key(path: Path, loaded: object) -> Key:
    bits = 0
    if isinstance(loaded, rsa.RSAPrivateKey):
        kind, bits = "rsa", loaded.key_size
        if bits < MIN_RSA_BITS:
            raise CertificateFault(
                path,
                f"an RSA key of {bits} bits is too weak; ask for a certificate with a P-256 key "
                f"(or RSA of at least {MIN_RSA_BITS} bits)",
            )
    elif isinstance(loaded, ec.EllipticCurvePrivateKey):
        kind, bits = "ecdsa", loaded.key_size
        if loaded.curve.name not in {"secp256r1", "secp384r1", "secp521r1"}:
            raise CertificateFault(path, f"clients do not support the curve {loaded.curve.name}; use a P-256 key")
    elif isinstance(loaded, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)):
        kind = "eddsa"
    else:
        raise CertificateFault(path, "this kind of key cannot be used for TLS; use a P-256 key")
    pem = loaded.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Key(path, pem, public_digest(loaded.public_key()), kind, bits)


def public_digest(key: PublicKeyTypes) -> bytes:
    """SHA-256 of a public key in its one DER form: equal for a certificate and its private key."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def scan(folder: Path) -> tuple[list[Path], list[CertificateFault]]:
    """The certificate and key files of `folder` and of folders in it, and a fault for each of these that is closed.

    Hidden ones are left out; they are also the versions behind a Kubernetes mount (`..data`), which are reached by
    their links. Raises CertificateFault.
    """
    found: list[Path] = []
    faults: list[CertificateFault] = []
    try:
        _scan(folder, 0, found, faults)
    except FileNotFoundError:
        raise CertificateFault(
            folder,
            f"there is no such folder; make development certificates with "
            f"`gateway certs --make {folder}`, or name the folder your certificates are in",
        ) from None
    except OSError as error:
        raise CertificateFault(folder, f"cannot be read: {error.strerror}") from None
    return found, faults


def _scan(folder: Path, depth: int, found: list[Path], faults: list[CertificateFault]) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            if (
                entry.name.startswith(".") or entry.name == "lost+found"
            ):  # the second: of a mounted volume, for root only
                continue
            if os.path.isdir(entry):  # noqa: PTH112  # unlike is_dir, False for a link to where we may not look
                if depth < MAX_DEPTH:
                    try:
                        _scan(Path(entry.path), depth + 1, found, faults)
                    except OSError as error:
                        faults.append(CertificateFault(Path(entry.path), f"cannot be read: {error.strerror}"))
            elif is_named_like_one(entry.name):
                if len(found) >= MAX_FILES:
                    raise CertificateFault(folder, f"more than {MAX_FILES} files; is this the right folder?")
                found.append(Path(entry.path))


def is_named_like_one(name: str) -> bool:
    """Whether a file's name ends as those of certificates and keys do."""
    return os.path.splitext(name)[1].lower() in SUFFIXES  # noqa: PTH122  # thousands of times: no Path for it
