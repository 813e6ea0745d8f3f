"""What the proxy sends of a client's head, and when it asks for no coroutine; the conversations are in tests/wire."""

from __future__ import annotations

import pytest

from gateway.errors import Cause, ClientFault, UpstreamFault
from gateway.exchange import Exchange
from gateway.hooks import UpstreamHead
from gateway.http.head import RequestHeadReader
from gateway.proxy import upstream_head
from gateway.upstream.retries import IDEMPOTENT
from tests.kit.exchanges import make_exchange
from tests.kit.messages import get, head, ok
from tests.kit.site import Served, serve


def _head(site: Served, *fields: str, target: str = "/") -> UpstreamHead:
    exchange: Exchange = make_exchange()
    exchange.request = RequestHeadReader().read(get(target, *fields))
    exchange.site, exchange.route = site.site, site.site.routes[0]
    return upstream_head(exchange, site.site.upstreams["app"])


def test_the_target_is_the_normal_path_and_the_query_as_it_was() -> None:
    """An empty query is kept, a missing one is not made."""
    site = serve()
    assert _head(site, target="/a/../%62?%62").target == b"/b?%62"
    assert _head(site, target="/a?").target == b"/a?"
    assert _head(site, target="/a").target == b"/a"


def test_the_host_of_the_endpoint_is_left_to_the_attempt() -> None:
    """It differs from endpoint to endpoint."""
    assert _head(serve()).host == b"h"
    assert _head(serve(app={"host": "endpoint"})).host == b""
    assert _head(serve(app={"host": "inner:81"})).host == b"inner:81"


@pytest.mark.parametrize("method", [b"POST", b"PATCH", b"LOCK", b"CONNECT", b"COPY", b"MOVE"])
def test_methods_that_are_never_repeated(method: bytes) -> None:
    """RFC 9110 §9.2.2, and what WebDAV does to more than one resource."""
    assert method not in IDEMPOTENT


def test_a_pooled_connection_needs_no_task() -> None:
    """An ordinary request on an idle connection is asked and answered by callbacks."""
    site = serve()
    forwarded = []
    forward = site.wire.forward
    site.wire.forward = lambda exchange, turn: forwarded.append(forward(exchange, turn)) or forwarded[-1]  # type: ignore[func-returns-value]
    for _ in range(2):
        site.client >> get()
        site.origin << b"GET /"
        site.origin >> ok()
    first, second = forwarded
    assert first.done
    assert second.done
    assert first._task is not None
    assert second._task is None


def test_faults_are_told_apart() -> None:
    """The client's fault ends the exchange without an answer when the client is gone; the origin's has one."""
    site = serve()
    site.client >> get()
    site.client.reset()
    assert isinstance(site.last.fault, ClientFault)
    site.origin.refusals = 2
    other = site.connect()
    other >> get()
    site.later(0.5)
    assert isinstance(site.last.fault, UpstreamFault)
    other << b"HTTP/1.1 502"


def test_every_attempt_is_reported_where_it_ends() -> None:
    """Status, seconds and cause, once for each attempt; a body that breaks off is told behind its head."""
    site = serve(endpoints=2, app={"balance": "first"})
    told: list[tuple[int, int, float, Cause | None]] = []
    for at, endpoint in enumerate(site.site.upstreams["app"].endpoints):
        endpoint.report = lambda *outcome, at=at: told.append((at, *outcome))
    site.origin.refusals = 1
    site.client >> get()
    site.origins[1] << b"GET /"
    site.later(1)
    site.origins[1] >> ok()
    assert told == [(0, 0, 0.0, Cause.CONNECT_REFUSED), (1, 200, 1.0, None)]
    for _ in range(2):  # one that has to connect, and one that finds a connection
        told.clear()
        site.client >> get()
        site.origin << b"GET /"
        site.later(1)
        site.origin >> ok()
        assert told == [(0, 200, 1.0, None)]
    told.clear()
    site.client >> get()
    site.origin << b"GET /"
    site.origin >> head("Content-Length: 5")
    site.origin.fin()
    assert told == [(0, 200, 0.0, None), (0, 0, 0.0, Cause.RESPONSE_INCOMPLETE)]


def test_a_client_that_goes_is_no_failure_of_the_endpoint() -> None:
    """Nothing is reported of an attempt that the client ended."""
    site = serve()
    told: list[int] = []
    site.site.upstreams["app"].endpoints[0].report = lambda status, _seconds, _cause: told.append(status)
    site.client >> get()
    site.client.reset()
    assert site.cause == "client_gone"
    assert told == []
