"""make_admin_tls: the TLS context of the admin listener, with client certificates where the operator wants them.

Made when the listener starts, and by every check of a configuration, so that its mistakes show then. The rule: what is
allowed is what the data plane allows (server/tls_contexts.py); a client certificate is asked of everybody or of nobody.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from gateway.admin.settings import AdminTlsConfig
from gateway.server.tls_contexts import make_context


def make_admin_tls(config: AdminTlsConfig, folder: Path) -> ssl.SSLContext:
    """Paths start at `folder`. Raises ValueError with a line for each file that is wrong."""
    context = make_context((), ssl.TLSVersion.TLSv1_2)
    problems = [_load_certificate(context, folder / config.certificate, folder / (config.key or config.certificate))]
    if config.client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        problems.append(_load_authorities(context, folder / config.client_ca))
    if any(problems):
        raise ValueError("\n".join(filter(None, problems)))
    return context


def _load_certificate(context: ssl.SSLContext, certificate: Path, key: Path) -> str:
    """What is wrong, or ""."""
    both = f"{certificate} and {key}" if key != certificate else f"{certificate}"

    def no_password() -> str:
        raise ValueError(f"tls.key: {key} is encrypted: give a key without password")

    try:
        context.load_cert_chain(certificate, key, password=no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return f"tls.key: {key} is not the key of {certificate}"
        return f"tls.certificate: there is no PEM certificate with its key in {both}"
    except OSError as error:
        return f"tls.certificate: {both} cannot be read: {error.strerror}"
    except ValueError as error:
        return str(error)
    return ""


def _load_authorities(context: ssl.SSLContext, path: Path) -> str:
    """What is wrong, or ""."""
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        return f"tls.client_ca: {path} holds no PEM certificates"
    except OSError as error:
        return f"tls.client_ca: {path} cannot be read: {error.strerror}"
    return ""
