"""Requests and connections leave no reference cycles: gateway/app.py sets the collector to run rarely, and relies on it.

Whatever they held would otherwise stay until the next collection: up to 50,000 objects, their bodies included.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gateway.exchange import Connection
from gateway.metrics import Metrics
from gateway.server.certificates import CertificateStore
from gateway.server.http1 import Http1
from gateway.server.tls import HandshakeGate, TlsLayer
from tests.kit.messages import get, head, ok, post
from tests.kit.site import Served, serve
from tests.kit.tls import TlsClient, client_of, issue, put, store_of
from tests.kit.transport import FakeTransport

REQUESTS = 100
MADE_OF = ("gateway.server", "gateway.exchange", "gateway.proxy", "gateway.tunnel", "gateway.eager", "gateway.http")


@pytest.fixture
def collector() -> Iterator[None]:
    """Nothing is collected but by the test."""
    gc.collect()
    gc.disable()
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


def forwarded(site: Served) -> None:
    site.client >> get()
    site.origin << b"GET /"
    site.origin >> ok()
    site.client << b"HTTP/1.1 200"


def with_a_body(site: Served) -> None:
    site.client >> post(b"some body")
    site.origin << b"POST /"
    site.origin >> ok()
    site.client << b"HTTP/1.1 200"


def in_pieces(site: Served) -> None:
    wire = post(b"some body")
    site.client >> wire[:-5]
    site.client >> wire[-5:]
    site.origin << b"POST /"
    site.origin >> ok()
    site.client << b"HTTP/1.1 200"


def streamed(site: Served) -> None:
    site.client >> get()
    site.origin << b"GET /"
    site.origin >> head("Transfer-Encoding: chunked")
    site.origin >> b"3\r\nabc\r\n"
    site.origin >> b"0\r\n\r\n"
    site.client << b"HTTP/1.1 200"


def with_hints(site: Served) -> None:
    site.client >> get()
    site.origin << b"GET /"
    site.origin >> b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok()
    site.client << b"HTTP/1.1 103"
    site.client << b"HTTP/1.1 200"


def asked_again(site: Served) -> None:
    site.client >> get()
    site.origin << b"GET /"
    site.origin.reset()
    site.later(0.5)
    site.origin << b"GET /"
    site.origin >> ok()
    site.client << b"HTTP/1.1 200"


def refused(site: Served) -> None:
    site.client >> b"TRACE / HTTP/1.1\r\nHost: h\r\n\r\n"
    site.client << b"HTTP/1.1 405"


def intercepted(site: Served) -> None:
    site.client >> get()
    site.origin << b"GET /"
    site.origin >> ok("page", status="404 Not Found")
    site.client << b"HTTP/1.1 404"


def pipelined(site: Served) -> None:
    site.client >> get() * 2
    for _ in range(2):
        site.origin << b"GET /"
        site.origin >> ok()
        site.client << b"HTTP/1.1 200"


JOURNEYS = [forwarded, with_a_body, in_pieces, streamed, with_hints, asked_again, refused, intercepted, pipelined]


@pytest.mark.parametrize("buffering", [{}, {"request": True, "response": True}], ids=["streaming", "buffered"])
@pytest.mark.parametrize("journey", JOURNEYS, ids=lambda journey: journey.__name__)
@pytest.mark.usefixtures("collector")
def test_a_request_leaves_nothing_behind(journey: Callable[[Served], None], buffering: dict[str, bool]) -> None:
    """After 100 of them the collector finds nothing that is not gone already."""
    site = serve(buffering=buffering, intercept=[404])
    for _ in range(3):  # what is made once: the connections, and what is remembered of heads
        journey(site)
    site.finished.clear()
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    for _ in range(REQUESTS):
        journey(site)
    site.finished.clear()
    gc.collect()
    assert Counter(type(each).__qualname__ for each in gc.garbage) == {}


# -- connections ------------------------------------------------------------------------------------------------------


class Secure:
    """A client connection over TLS."""

    def __init__(self, site: Served, store: CertificateStore) -> None:
        connection = Connection("192.0.2.7", 50000, "127.0.0.1:443", "web", site.clock())
        gate = HandshakeGate(Metrics())
        layer = TlsLayer(store, connection, lambda known: Http1(known, site.wire), site.sweep, site.clock, gate)
        self.transport = FakeTransport(layer, site.loop)
        layer.connection_made(self.transport)
        self.tls = TlsClient(client_of())
        wire = self.tls.step()
        while wire:
            self.transport.feed(wire)
            wire = b"" if self.tls.done else self.tls.step(self.transport.take())

    def __rshift__(self, plain: bytes) -> None:
        self.transport.feed(self.tls.encrypt(plain))
        self.transport.loop.run()

    def raw(self) -> bytes:
        self.transport.loop.run()
        return self.tls.decrypt(self.transport.take())

    def fin(self) -> None:
        self.transport.feed(self.tls.goodbye())
        self.transport.end()
        self.transport.loop.run()

    def reset(self) -> None:
        self.transport.lose(ConnectionResetError(104, "reset by peer"))
        self.transport.loop.run()


def left_when_idle(site: Served, client: Any) -> None:
    client >> get()
    site.origin.serve(ok())
    assert client.raw().startswith(b"HTTP/1.1 200")
    client.fin()


def said_close(site: Served, client: Any) -> None:
    client >> get("/", "Connection: close")
    site.origin.serve(ok())
    assert client.raw().startswith(b"HTTP/1.1 200")
    client.fin()


def was_no_request(site: Served, client: Any) -> None:
    client >> b"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n"
    assert client.raw().startswith(b"HTTP/1.1 400")
    client.fin()


def sent_half_a_head(site: Served, client: Any) -> None:
    client >> get()[:-5]
    client.reset()


def sent_half_a_body(site: Served, client: Any) -> None:
    client >> post(b"x" * 100)[:-10]
    assert site.origin.raw()
    client.reset()


def body_was_refused(site: Served, client: Any) -> None:
    client >> b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    assert client.raw().startswith(b"HTTP/1.1 400")
    client.fin()


def left_while_waiting(site: Served, client: Any) -> None:
    client >> get()
    site.origin << b"GET /"
    client.reset()


def left_in_the_answer(site: Served, client: Any) -> None:
    client >> get()
    site.origin << b"GET /"
    site.origin >> ok("x" * 100)[:-10]
    assert client.raw()
    client.reset()


def origin_left_in_the_answer(site: Served, client: Any) -> None:
    client >> get()
    site.origin << b"GET /"
    site.origin >> ok("x" * 100)[:-10]
    site.origin.reset()
    client.raw()


def was_too_slow(site: Served, client: Any) -> None:
    client >> get()[:-5]
    site.later(11)
    assert client.raw().startswith(b"HTTP/1.1 408")
    client.fin()


def was_a_tunnel(site: Served, client: Any) -> None:
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    client >> get("/", "Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", key)
    site.origin << b"GET /"
    site.origin >> head("Connection: upgrade", "Upgrade: websocket", status="101 Switching Protocols")
    client >> b"hello"
    site.origin >> b"you"
    assert client.raw().endswith(b"you")
    client.fin()
    site.origin.fin()


ENDS = [
    left_when_idle, said_close, was_no_request, sent_half_a_head, sent_half_a_body, body_was_refused,
    left_while_waiting, left_in_the_answer, origin_left_in_the_answer, was_too_slow, was_a_tunnel,
]  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> CertificateStore:
    folder = tmp_path_factory.mktemp("certs")
    put(folder, "localhost", issue("localhost"))
    return store_of(folder)


def alive() -> Counter[str]:
    """What there is of what a connection is made of, collected or not."""
    kinds = (each.__class__ for each in gc.get_objects())
    return Counter(kind.__qualname__ for kind in kinds if kind.__module__.startswith(MADE_OF))


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
@pytest.mark.usefixtures("collector")
def test_a_connection_leaves_nothing_behind(
    end: Callable[[Served, Any], None], secure: bool, store: CertificateStore
) -> None:
    """However it ends, all that was made for it is gone with its transport, without the collector."""
    site = serve()

    def live() -> None:
        end(site, Secure(site, store) if secure else site.connect())
        site.loop.run()
        site.finished.clear()

    live()  # what is made once
    gc.collect()
    before = alive()
    gc.set_debug(gc.DEBUG_SAVEALL)
    live()
    assert alive() - before == {}
    gc.collect()
    assert Counter(type(each).__qualname__ for each in gc.garbage) == {}
