"""The TLS context with which an upstream's https endpoints are spoken to.

Made once per upstream while the configuration loads, so that its mistakes show then and handshakes share their
sessions' keys. Certificates and names are verified unless the operator says in so many words that they are not.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

from gateway.upstream.settings import UpstreamTlsConfig

# As downstream: forward secrecy and authenticated encryption only (RFC 9325 §4.2).
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


def load_tls(config: UpstreamTlsConfig, folder: Path, warn: Callable[[str], None]) -> ssl.SSLContext:
    """Paths start at `folder`. Raises ValueError with a line for each file that is wrong, saying how."""
    problems: list[str] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if config.minimum == "1.3" else ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    if not config.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        warn("tls.verify: false lets anyone on the way to the origin pose as it")
    elif config.ca is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        problems += _load_authorities(context, folder / config.ca)
    if config.certificate is not None:
        problems += _load_certificate(context, folder / config.certificate, folder / config.key if config.key else None)
    if problems:
        raise ValueError("\n".join(problems))
    return context


def _load_authorities(context: ssl.SSLContext, path: Path) -> Iterator[str]:
    """Loads them, or says why not."""
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        yield f"tls.ca: {path} holds no PEM certificates"
    except OSError as error:
        yield f"tls.ca: {path} cannot be read: {error.strerror}"


def _load_certificate(context: ssl.SSLContext, certificate: Path, key: Path | None) -> Iterator[str]:
    def no_password() -> str:
        raise ValueError(f"tls.key: {key or certificate} is encrypted: give a key without password")

    try:
        context.load_cert_chain(certificate, key, password=no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            yield f"tls.key: {key or certificate} is not the key of {certificate}"
        else:
            yield f"tls.certificate: {certificate} with {key or 'its key inside'} is not a PEM pair"
    except OSError as error:
        yield f"tls.certificate: {certificate} or its key cannot be read: {error.strerror}"
    except ValueError as error:  # its own sentence
        yield str(error)
