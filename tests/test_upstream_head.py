"""The head that goes upstream: what is left out, what is remembered, which Host is sent."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gateway.errors import ClientFault
from gateway.exchange import Connection, Exchange
from gateway.hooks import Plan, Route, UpstreamHead
from gateway.http.head import RequestHeadReader
from gateway.upstream_head import RENDERINGS, upgrade_of, upstream_head

READER = RequestHeadReader()


def exchange_of(*lines: str, host: str | None = None, plan: Plan | None = None) -> Exchange:
    raw = "\r\n".join(["GET /a/../b?c=d HTTP/1.1", "Host: h:8080", *lines, "", ""]).encode()
    exchange = Exchange(Connection("192.0.2.1", 1, "l", "l", 0.0), READER.read(raw), 0.0)
    exchange.route = Route(
        "r", plan or Plan(drop_request=frozenset({b"host", b"connection"})), SimpleNamespace(host=host)
    )
    return exchange


def upstream(host: str = "preserve") -> Any:
    return SimpleNamespace(host=host)


def test_the_normal_path_and_the_end_to_end_fields_go_up() -> None:
    """The path that was matched is the path that is sent; what the plan drops is not."""
    head = upstream_head(exchange_of("X-A: 1", "Accept: */*"), upstream())
    assert (head.method, head.target, head.host) == (b"GET", b"/b?c=d", b"h:8080")
    assert head.block == b"x-a: 1\r\naccept: */*\r\n"
    assert head.fields == []


@pytest.mark.parametrize("line", ["Connection: X-A", "Connection: close, x-a", "Connection: x-a\r\nConnection: close"])
def test_what_connection_names_stays_here(line: str) -> None:
    """RFC 9110 §7.6.1, in every spelling; and it is not what the next request without it gets."""
    assert upstream_head(exchange_of("X-A: 1", "X-B: 2", line), upstream()).block == b"x-b: 2\r\n"
    assert upstream_head(exchange_of("X-A: 1", "X-B: 2"), upstream()).block == b"x-a: 1\r\nx-b: 2\r\n"


@pytest.mark.parametrize(
    ("route", "site", "sent"),
    [
        (None, "preserve", b"h:8080"), (None, "endpoint", b""), (None, "app.internal", b"app.internal"),
        ("preserve", "endpoint", b"h:8080"), ("endpoint", "preserve", b""), ("x:1", "preserve", b"x:1"),
    ],
)  # fmt: skip
def test_whose_host_is_sent(route: str | None, site: str, sent: bytes) -> None:
    """A route's own word counts before the upstream's; b"" stands for the endpoint's."""
    assert upstream_head(exchange_of(host=route), upstream(site)).host == sent


def test_renderings_are_remembered_with_the_fields_and_bounded() -> None:
    """The same fields for the same route are rendered once; many routes do not fill the memory."""
    first, second = exchange_of("X-R: 1"), exchange_of("X-R: 1")
    assert first.request.rendered is second.request.rendered
    upstream_head(first, upstream())
    remembered = dict(first.request.rendered)
    upstream_head(second, upstream())
    assert dict(second.request.rendered) == remembered
    for number in range(RENDERINGS + 5):
        upstream_head(exchange_of("X-R: 1", plan=Plan(drop_request=frozenset({b"x%d" % number}))), upstream())
    assert len(first.request.rendered) == RENDERINGS


def test_a_hook_that_drops_does_not_change_what_others_get() -> None:
    """`UpstreamHead.drop` edits one head, not the fields that all share."""

    def prepare(_exchange: Exchange, head: UpstreamHead) -> None:
        head.drop(lambda name: name.startswith(b"x-"))
        head.fields.append((b"x-new", b"1"))

    drop = frozenset({b"host"})
    edited = upstream_head(exchange_of("X-D: 1", "B: 2", plan=Plan(drop_request=drop, prepare=(prepare,))), upstream())
    plain = upstream_head(exchange_of("X-D: 1", "B: 2", plan=Plan(drop_request=drop)), upstream())
    assert (edited.block, edited.fields) == (b"b: 2\r\n", [(b"x-new", b"1")])
    assert (plain.block, plain.fields) == (b"x-d: 1\r\nb: 2\r\n", [])


@pytest.mark.parametrize(
    ("asked", "websocket", "listed", "upgrade"),
    [
        ("websocket", True, (), b"websocket"), ("WebSocket", True, (), b"websocket"), ("websocket", False, (), b""),
        ("mqtt", True, (), b""), ("mqtt", True, (b"mqtt",), b"mqtt"),
    ],
)  # fmt: skip
def test_the_upgrade_that_is_passed_on(asked: str, websocket: bool, listed: tuple[bytes, ...], upgrade: bytes) -> None:
    """WebSocket unless it is switched off, others only where they are listed."""
    exchange = exchange_of("Connection: upgrade", f"Upgrade: {asked}")
    route = Route("r", Plan(), SimpleNamespace(websocket=websocket, upgrades=frozenset(listed)))
    assert upgrade_of(exchange.request, route) == upgrade


def test_a_websocket_is_asked_for_by_get() -> None:
    """RFC 6455 §4.1; with another method it is an ordinary request."""
    exchange = exchange_of("Connection: upgrade", "Upgrade: websocket")
    exchange.request.method = b"POST"
    route = Route("r", Plan(), SimpleNamespace(websocket=True, upgrades=frozenset()))
    assert upgrade_of(exchange.request, route) == b""


def test_an_upgrade_with_a_body_is_refused() -> None:
    """Its bytes would be the tunnel's."""
    exchange = exchange_of("Connection: upgrade", "Upgrade: websocket")
    exchange.request.length = 5
    with pytest.raises(ClientFault):
        upgrade_of(exchange.request, Route("r", Plan(), SimpleNamespace(websocket=True, upgrades=frozenset())))
