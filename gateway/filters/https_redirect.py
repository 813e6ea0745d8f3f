"""Plain listeners that send browsers to https: `redirect_to_https` of a listener.

An `admit` hook before all others. The rule: only a well-formed host is sent back, and a certificate authority's
challenge is never sent away (RFC 8555 §8.3).
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.exchange import Exchange, Verdict
from gateway.hooks import Hooks
from gateway.http.message import Response
from gateway.http.template import uri_bytes

_CHALLENGE = b"/.well-known/acme-challenge/"
_HOST_BYTES = b"-._0123456789abcdefghijklmnopqrstuvwxyz"
_ADDRESS_BYTES = b"0123456789abcdef:."
_NO_HOST = Response(400, [(b"content-type", b"text/plain; charset=utf-8")], body=b"This request names no host.\n")


def build(listeners: Mapping[str, int | bool]) -> Hooks:
    """`listeners` maps a listener's name to the https port that its clients see (True: 443); others are left alone."""
    ports = {
        name: b"" if port is True or port == 443 else b":%d" % port
        for name, port in listeners.items()
        if port is not False
    }
    if not ports:
        return Hooks()

    def admit(exchange: Exchange) -> Verdict | None:
        port = ports.get(exchange.connection.listener)
        if port is None or exchange.scheme == "https":  # https also when a trusted proxy before us says so
            return None
        request = exchange.request
        path = request.path
        if path.startswith(_CHALLENGE):
            return None
        host = request.host
        if not _is_host(host):
            return Verdict("https_redirect", "no host", _NO_HOST)
        location = b"https://%b%b%b" % (host, port, b"/" if path == b"*" else uri_bytes(path))
        if request.query is not None:
            location = b"%b?%b" % (location, uri_bytes(request.query))
        return Verdict(
            "https_redirect", exchange.connection.listener, Response(308, [(b"location", location)], body=b"")
        )

    return Hooks(admit=admit)


def _is_host(host: bytes) -> bool:
    """A name or address and nothing else: the head allows more (RFC 3986 reg-name) than browsers agree on."""
    if host.startswith(b"["):
        return host.endswith(b"]") and not host[1:-1].translate(None, _ADDRESS_BYTES)
    return bool(host) and not host.translate(None, _HOST_BYTES)
