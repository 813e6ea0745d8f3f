"""Delivery: which trailers pass; streams, spools and tunnels are conversations in tests/wire."""

from __future__ import annotations

import pytest

from gateway.delivery import passed_trailers
from gateway.errors import UpstreamFault
from gateway.hooks import Plan, Route
from gateway.http.message import Fields, Response
from tests.kit.exchanges import make_exchange
from tests.kit.messages import get
from tests.kit.site import serve

TRAILERS: Fields = [(b"x-runtime", b"1"), (b"x-hop", b"1"), (b"checksum", b"abc")]


@pytest.mark.parametrize(
    ("removed", "connection", "names"),
    [
        ((), None, [b"x-runtime", b"x-hop", b"checksum"]),
        ((b"x-runtime",), None, [b"x-hop", b"checksum"]),
        ((), b"close, X-Hop", [b"x-runtime", b"checksum"]),
        ((b"x-runtime", b"checksum"), b"x-hop", []),
    ],
)
def test_which_trailers_pass(removed: tuple[bytes, ...], connection: bytes | None, names: list[bytes]) -> None:
    """Those that would have passed in the head."""
    exchange = make_exchange()
    exchange.route = Route("r", Plan(drop_response=frozenset(removed)), None)
    response = Response(200, [])
    response.index = {} if connection is None else {b"connection": connection}
    assert [name for name, _value in passed_trailers(exchange, response, TRAILERS)] == names


def test_without_trailers_nothing_is_looked_at() -> None:
    """As nearly always."""
    none: Fields = []
    assert passed_trailers(make_exchange(), Response(200, []), none) is none


def test_a_tunnel_to_another_protocol_is_refused() -> None:
    """A 101 to something that nobody asked for is the origin's fault."""
    site = serve(upgrades=["mqtt"])
    site.client >> get("/", "Connection: upgrade", "Upgrade: mqtt")
    site.origin << b"GET /"
    site.origin >> b"HTTP/1.1 101 On\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    site.client << b"HTTP/1.1 502"
    assert isinstance(site.last.fault, UpstreamFault)
    assert site.cause == "upgrade_refused"
