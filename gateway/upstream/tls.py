"""The TLS context with which an upstream's https endpoints are spoken to.

Made once per upstream while the configuration loads, so that its mistakes show then and handshakes share their
sessions' keys. Certificates and names are verified unless the operator says in so many words that they are not.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

from gateway.upstream.settings import UpstreamTlsConfig

# As downstream: forward secrecy and authenticated encryption only (RFC 9325 §4.2).
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


def load_tls(config: UpstreamTlsConfig, folder: Path, warn: Callable[[str], None]) -> ssl.SSLContext:
    """Paths start at `folder`. Raises ValueError saying which file is wrong and how."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if config.minimum == "1.3" else ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    if not config.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        warn("tls.verify is false: anyone on the way to the origin can pose as it")
    elif config.ca is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        _load_authorities(context, folder / config.ca)
    if config.certificate is not None:
        _load_certificate(context, folder / config.certificate, folder / config.key if config.key else None)
    return context


def _load_authorities(context: ssl.SSLContext, path: Path) -> None:
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise ValueError(f"tls.ca: {path} holds no PEM certificates") from None
    except OSError as error:
        raise ValueError(f"tls.ca: {path} cannot be read: {error.strerror}") from None


def _load_certificate(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    def no_password() -> str:
        raise ValueError(f"tls.key: {key or certificate} is encrypted: give a key without password")

    try:
        context.load_cert_chain(certificate, key, password=no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ValueError(f"tls.key: {key or certificate} is not the key of {certificate}") from None
        raise ValueError(f"tls.certificate: {certificate} with {key or 'its key inside'} is not a PEM pair") from None
    except OSError as error:
        raise ValueError(f"tls.certificate: {certificate} or its key cannot be read: {error.strerror}") from None
