"""Requests and exchanges for tests, read from bytes by the real reader, so that they look as they do in service."""

from __future__ import annotations

from gateway.exchange import ClientCertificate, Connection, Exchange, TlsFacts
from gateway.hooks import Plan, Route, UpstreamHead
from gateway.http.head import RequestHeadReader
from gateway.http.message import Request


def make_request(line: str = "GET /", host: str | None = "example.com", *fields: str) -> Request:
    """The request of `GET /path?query`; without a host it is HTTP/1.0."""
    version = "1.1" if host is not None else "1.0"
    lines = [f"{line} HTTP/{version}", *([f"Host: {host}"] if host is not None else []), *fields, "", ""]
    return RequestHeadReader().read("\r\n".join(lines).encode("latin-1"))


def make_exchange(line: str = "GET /", host: str | None = "example.com", *fields: str) -> Exchange:
    """An exchange on the plain listener `:80`, on the route `shop` to the upstream `app`."""
    connection = Connection("192.0.2.7", 50000, "127.0.0.1:80", ":80", 0.0)
    exchange = Exchange(connection, make_request(line, host, *fields), 0.0)
    exchange.id = b"id-1"
    exchange.route = make_route("shop", "app")
    return exchange


def make_route(name: str, upstream: str = "") -> Route:
    """A route without hooks."""
    return Route(name, Plan(), None, upstream)


def make_head(exchange: Exchange) -> UpstreamHead:
    """The head that would go upstream, all fields but Host kept."""
    request = exchange.request
    target = request.path if request.query is None else request.path + b"?" + request.query
    fields = [field for field in request.fields if field[0] != b"host"]
    return UpstreamHead(request.method, target, request.authority, fields)


def make_tls(*, verified: bool | None = True) -> TlsFacts:
    """The facts of a TLS 1.3 connection; `verified` None for one without a client certificate."""
    certificate = None
    if verified is not None:
        certificate = ClientCertificate("CN=ann,O=Ex", "CN=ca", "0a", "ab" * 32, verified, "")
    return TlsFacts("TLSv1.3", "TLS_AES_128_GCM_SHA256", "example.com", "http/1.1", "t13d", certificate)
