"""`gateway explain`: what would happen to a request, told without sending it.

It writes the request head that a client would send, reads it with the wire's own reader and walks it down the
pipeline's own steps, so that it cannot say anything else than what the gateway does. It opens no socket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from gateway.exchange import Connection, Exchange, TlsFacts
from gateway.http.head import RequestHeadReader
from gateway.http.message import Malformed, Request, Response
from gateway.pipeline import answer
from gateway.worker import head_rules

if TYPE_CHECKING:
    from gateway.config import Loaded
    from gateway.pipeline import Site
    from gateway.server.settings import ListenerConfig

CLIENT = "127.0.0.1"  # whom the request is taken to come from
_PORTS = {"http": 80, "https": 443}


class NotARequest(ValueError):
    """What was asked cannot be written as a request at all."""


class Target(NamedTuple):
    """A URL, taken apart: `authority` is "" when only a path was given, `port` None when none was written."""

    scheme: str
    authority: str
    port: int | None
    path: str


def explain(loaded: Loaded, site: Site, wanted: tuple[str, str], headers: list[str]) -> list[str]:
    """Lines that say which listener, route, plan, and upstream or answer `wanted` (method, URL) gets.

    Raises NotARequest for what no client could send.
    """
    method, url = wanted
    target = read_url(url)
    listener = choose_listener(loaded.config.listeners, target)
    if listener is None:
        return [f"listener   none takes {target.scheme}: add one with{'' if target.scheme == 'https' else 'out'} `tls`"]
    lines = [f"listener   {target.scheme} on {listener.bind}"]
    head = write_head(method, target, headers)
    try:
        request = RequestHeadReader(head_rules(loaded.config.downstream)).read(head)
    except Malformed as fault:
        return [*lines, f"answer     {fault.status}: the request is refused by the wire: {fault.why}"]
    exchange = Exchange(connection_for(target, listener, request), request, 0.0)
    response = answer(site, exchange)
    lines.append(f"request    {_text(request.method)} {_text(request.host)}{_text(request.path)}")
    lines += _route_lines(site, exchange)
    return [*lines, *(_upstream_lines(site, exchange) if response is None else _answer_lines(exchange, response))]


def read_url(url: str) -> Target:
    """A Target from `https://host:port/path`, `host/path` is not accepted. Raises NotARequest."""
    if url.startswith("/") or url == "*":
        return Target("http", "", None, url)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise NotARequest(f"{url} is not a URL: {error}.") from None
    if parts.scheme not in _PORTS or not parts.netloc:
        raise NotARequest(f"{url} is not a URL: write https://host/path, or /path alone.")
    path = url.split("//", 1)[1].partition("#")[0].removeprefix(parts.netloc)
    return Target(parts.scheme, parts.netloc, port, path if path.startswith("/") else f"/{path}")


def choose_listener(listeners: list[ListenerConfig], target: Target) -> ListenerConfig | None:
    """The listener of the URL's scheme: the one at its port, else the first."""
    fitting = [listener for listener in listeners if (listener.tls is not None) == (target.scheme == "https")]
    port = target.port or _PORTS[target.scheme]
    return next((listener for listener in fitting if listener.bind.port == port), fitting[0] if fitting else None)


def write_head(method: str, target: Target, headers: list[str]) -> bytes:
    """The head a client would send. Raises NotARequest for a field without a colon, or with a line's end in it."""
    fields = []
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon or not name:
            raise NotARequest(f"{header!r} is not a field: write -H 'Name: value'.")
        fields.append((name, value.strip()))
    if not any(name.lower() == "host" for name, _value in fields):
        fields.insert(0, ("Host", target.authority or "localhost"))
    lines = [f"{method} {target.path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields)]
    if any(letter in line for line in lines for letter in "\r\n"):
        raise NotARequest("A line's end cannot be part of a method, URL or field.")
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")


def connection_for(target: Target, listener: ListenerConfig, request: Request) -> Connection:
    """The connection on which such a request would have come."""
    connection = Connection(CLIENT, 0, str(listener.bind), str(listener.bind), 0.0, unix=bool(listener.bind.path))
    if target.scheme == "https":
        name = _text(request.host)
        connection.tls = TlsFacts("TLSv1.3", "TLS_AES_128_GCM_SHA256", name, "http/1.1", "", None)
    return connection


def _route_lines(site: Site, exchange: Exchange) -> list[str]:
    tried = site.table.explain(exchange.request)
    lines = [f"{'routes' if at == 0 else '':<10} {line}" for at, line in enumerate(tried)]
    route = exchange.route
    if route is not site.fallback:
        lines.append(f"plan       {' · '.join(route.plan.features) or 'nothing configured'}")
    return lines


def _upstream_lines(site: Site, exchange: Exchange) -> list[str]:
    route = exchange.route
    name = route.upstream if route.split is None else route.split(exchange)
    endpoints = ", ".join(endpoint.name for endpoint in site.upstreams[name].endpoints)
    return [f"upstream   {name}: {endpoints}"]


def _answer_lines(exchange: Exchange, response: Response) -> list[str]:
    verdict, fault = exchange.verdict, exchange.fault
    if verdict is not None:
        reason = f"by {verdict.by}: {verdict.rule}"
    elif fault is not None:
        reason = str(fault)
    else:
        reason = "by the gateway itself"
    location = next((f" to {_text(value)}" for name, value in response.fields if name == b"location"), "")
    return [f"answer     {response.status}{location}, {reason}"]


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")
