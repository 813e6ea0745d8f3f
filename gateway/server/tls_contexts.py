"""TLS contexts: what OpenSSL is told to allow, and how a certificate and its key get into it.

server/certificates.py makes one for each certificate (or for an RSA and an ECDSA one of the same names) and hands them
out by server name. What is allowed is the same everywhere and has no switch to weaken it; keys go into OpenSSL by way
of memory, never of a file of ours.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

# Forward secrecy and authenticated encryption only (RFC 9325 §4.2); those of TLS 1.3 are all of this kind.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
ALPN = ("http/1.1", "http/1.0")
# One ticket: each costs 5 us of a handshake, and clients use one for several connections.
TICKETS = 1


def make_context(
    certificates: Iterable[tuple[bytes, bytes]],
    minimum: ssl.TLSVersion,
    client_ca: str = "",
    verify: ssl.VerifyMode = ssl.CERT_NONE,
) -> ssl.SSLContext:
    """A server's context for PEM (chain, key) pairs, at most one for each kind of key. Raises ssl.SSLError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = minimum
    context.set_ciphers(CIPHERS)
    context.options |= (
        ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_SINGLE_ECDH_USE
    )
    context.set_alpn_protocols(list(ALPN))
    context.num_tickets = TICKETS
    for chain, key in certificates:
        with _as_file(key + chain) as path:
            context.load_cert_chain(path)
    if client_ca:
        context.load_verify_locations(cadata=client_ca)
        context.verify_mode = verify
    return context


def check_client_ca(pem: str) -> None:
    """Raises ssl.SSLError or ValueError if OpenSSL finds no certificate in `pem`."""
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=pem)


@contextmanager
def _as_file(pem: bytes) -> Iterator[str]:
    """A path at which OpenSSL finds `pem`: in memory where the system can, so that no key is written anywhere.

    What was checked is what is loaded, even if the operator's files change in between.
    """
    if hasattr(os, "memfd_create"):
        opened = os.memfd_create("certificate", os.MFD_CLOEXEC)
        try:
            os.write(opened, pem)
            yield f"/proc/self/fd/{opened}"
        finally:
            os.close(opened)
    else:  # not Linux; readable by this user alone
        with tempfile.NamedTemporaryFile() as file:
            file.write(pem)
            file.flush()
            yield file.name
