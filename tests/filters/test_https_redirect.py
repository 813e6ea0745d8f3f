"""https_redirect: plain listeners send browsers to https, and certificate authorities nowhere."""

from __future__ import annotations

import pytest

from gateway.filters.https_redirect import build
from gateway.hooks import Hooks
from gateway.http.message import Response
from tests.kit.exchanges import make_exchange, make_tls


def reply(line: str, host: str | None = "Example.com:8080", port: int | bool = True) -> Response | None:
    """The answer on the listener `:80`, None where the request goes on."""
    hooks = build({":80": port, ":8080": True})
    assert hooks.admit is not None
    verdict = hooks.admit(make_exchange(line, host))
    return verdict.reply if verdict is not None else None


def location(line: str, host: str = "Example.com:8080", port: int | bool = True) -> bytes:
    """Where a request on the listener `:80` is sent."""
    found = reply(line, host, port)
    assert found is not None
    assert (found.status, found.body) == (308, b"")
    return dict(found.fields)[b"location"]


def test_target() -> None:
    """Host without its port, the https port unless it is 443, path and query."""
    assert location("GET /a?b=1") == b"https://example.com/a?b=1"
    assert location("GET /?") == b"https://example.com/?"
    assert location("POST /a", port=8443) == b"https://example.com:8443/a"
    assert location("GET /a", port=443) == b"https://example.com/a"
    assert location("GET //evil.example/") == b"https://example.com//evil.example/"
    assert location("GET /a", "[::1]:80") == b"https://[::1]/a"
    assert location("OPTIONS *") == b"https://example.com/"
    assert location('GET /a?q="[x]') == b"https://example.com/a?q=%22%5Bx%5D"


def test_challenges_stay() -> None:
    """RFC 8555 §8.3: a challenge is answered over plain HTTP."""
    assert reply("GET /.well-known/acme-challenge/token") is None
    assert reply("GET /.well-known/acme-challenge") is not None


def test_only_the_listeners_that_were_named() -> None:
    """Another listener, TLS, and a trusted proxy that speaks of https are left alone."""
    hooks = build({":80": True})
    assert hooks.admit is not None
    other = make_exchange()
    other.connection.listener = ":81"
    assert hooks.admit(other) is None
    proxied = make_exchange()
    proxied.scheme = "https"
    assert hooks.admit(proxied) is None
    encrypted = make_exchange()
    encrypted.connection.tls, encrypted.scheme = make_tls(), "https"
    assert hooks.admit(encrypted) is None


def test_none_configured_costs_nothing() -> None:
    """No listener, no hook."""
    assert build({}) == Hooks()
    assert build({":80": False}) == Hooks()


@pytest.mark.parametrize("host", [b"", b"a;b.example", b"a'b", b"a%2f", b"a/b", b"[::1].x", b"a\r\nb", b"\xff"])
def test_hosts_that_are_not_sent_back(host: bytes) -> None:
    """No host, or one that browsers might read differently, is refused instead of repeated."""
    exchange = make_exchange()
    exchange.request.host = host  # the reader lets few of these through; this filter does not rely on it
    admit = build({":80": True}).admit
    assert admit is not None
    verdict = admit(exchange)
    assert verdict is not None
    assert verdict.reply.status == 400


def test_http_1_0_without_a_host() -> None:
    """There is no https address to send such a client to."""
    found = reply("GET /", None)
    assert found is not None
    assert found.status == 400
