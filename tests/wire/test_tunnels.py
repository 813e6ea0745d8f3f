"""WebSocket and other upgrades: two pipes with back-pressure, an idle deadline, and an end."""

from __future__ import annotations

import pytest

from tests.kit.messages import get, head, ok
from tests.kit.site import Served, serve

HANDSHAKE = get(
    "/chat",
    "Connection: keep-alive, Upgrade",
    "Upgrade: WebSocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
SWITCH = head("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Accept: x", status="101 Switching Protocols")


def _open(**keys: object) -> Served:
    site = serve(**keys)  # type: ignore[arg-type]
    site.client >> HANDSHAKE
    site.origin << b"GET /chat "
    site.origin >> SWITCH
    site.client << b"HTTP/1.1 101 Switching Protocols\r\n"
    return site


def test_the_handshake() -> None:
    """Upgrade and Connection are made anew on both sides, and nothing else of the handshake is lost."""
    site = serve()
    site.client >> HANDSHAKE
    asked = site.origin << b"GET /chat HTTP/1.1\r\n"
    assert (asked.get(b"connection"), asked.get(b"upgrade")) == (b"upgrade", b"websocket")
    assert asked.get(b"sec-websocket-key") == b"dGhlIHNhbXBsZSBub25jZQ=="
    site.origin >> SWITCH
    answer = site.client << b"HTTP/1.1 101 "
    assert (answer.get(b"connection"), answer.get(b"upgrade")) == (b"upgrade", b"websocket")
    assert answer.get(b"sec-websocket-accept") == b"x"
    assert (answer.get(b"content-length"), answer.get(b"transfer-encoding")) == (None, None)


def test_bytes_pass_both_ways() -> None:
    """Unread and unchanged, and counted."""
    site = _open()
    site.client >> b"\x81\x05hello"
    assert site.origin.raw() == b"\x81\x05hello"
    site.origin >> b"\x81\x02yo"
    assert site.client.raw() == b"\x81\x02yo"
    site.client.fin()
    site.origin.fin()
    assert (site.last.received, site.last.sent) == (7, 4)
    assert site.cause == ""


def test_bytes_that_come_too_early() -> None:
    """What either side sends behind its head is not lost."""
    site = serve()
    site.client >> HANDSHAKE + b"early"
    site.origin << b"GET /chat"
    site.client >> b"er"
    site.origin >> SWITCH + b"bird"
    assert site.origin.raw() == b"earlyer"
    site.client << b"HTTP/1.1 101"
    assert site.client.raw() == b"bird"


def test_a_refused_upgrade() -> None:
    """Any other answer is an ordinary one, and the connection goes on as HTTP."""
    site = serve()
    site.client >> HANDSHAKE + get("/next")
    site.origin << b"GET /chat"
    site.origin >> ok("no", status="403 Forbidden")
    assert (site.client << b"HTTP/1.1 403").body == b"no"
    site.origin << b"GET /next"


def test_another_protocol_than_was_asked_for() -> None:
    """RFC 9110 §7.8: an origin may switch only to what was asked for."""
    site = serve()
    site.client >> HANDSHAKE
    site.origin << b"GET /chat"
    site.origin >> SWITCH.replace(b"websocket", b"h2c")
    site.client << b"HTTP/1.1 502"
    assert site.cause == "upgrade_refused"
    assert site.origin.is_cut


@pytest.mark.parametrize(
    ("keys", "fields"),
    [
        ({}, ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")),
        ({}, ("Connection: Upgrade", "Upgrade: frob")),
        ({}, ("Upgrade: websocket",)),
        ({"websocket": False}, ("Connection: Upgrade", "Upgrade: websocket")),
    ],
)
def test_upgrades_that_are_not_passed_on(keys: dict[str, object], fields: tuple[str, ...]) -> None:
    """The request is an ordinary one, without a trace of the upgrade."""
    site = serve(**keys)  # type: ignore[arg-type]
    site.client >> get("/", *fields)
    names = {name for name, _value in (site.origin << b"GET /").fields}
    assert not names & {b"upgrade", b"connection", b"http2-settings"}
    site.origin >> ok()
    site.client << b"HTTP/1.1 200"


def test_other_upgrades_when_listed() -> None:
    """A protocol that the operator lists is tunnelled like WebSocket."""
    site = serve(upgrades=["frob"])
    site.client >> get("/", "Connection: Upgrade", "Upgrade: frob")
    assert (site.origin << b"GET /").get(b"upgrade") == b"frob"
    site.origin >> head("Connection: Upgrade", "Upgrade: frob", status="101 X") + b"hi"
    site.client << b"HTTP/1.1 101"
    assert site.client.raw() == b"hi"


def test_an_upgrade_with_a_body() -> None:
    """Is refused: its bytes would become tunnel bytes."""
    site = serve()
    site.client >> HANDSHAKE[:-2] + b"Content-Length: 5\r\n\r\nhello"
    site.client << b"HTTP/1.1 400"
    assert site.origin.connections == 0


def test_a_client_that_has_ended_gets_no_tunnel() -> None:
    """Half a tunnel would wait for an hour."""
    site = serve()
    site.client >> HANDSHAKE
    site.client.fin()
    site.origin << b"GET /chat"
    site.origin >> SWITCH
    assert site.origin.is_cut
    assert site.client.closed


def test_a_slow_client_stops_the_origin() -> None:
    """Back-pressure from end to end, in this direction,"""
    site = _open()
    site.client.stall()
    while site.origin.is_read:
        site.origin >> b"x" * 16_000
    site.client.read_on()
    assert site.origin.is_read


def test_a_slow_origin_stops_the_client() -> None:
    """and in the other."""
    site = _open()
    site.origin.transport.clog()
    while site.client.is_read:
        site.client >> b"x" * 16_000
    site.origin.transport.unclog()
    assert site.client.is_read


def test_half_closed() -> None:
    """The end of one direction is passed on; the other goes on until it ends too."""
    site = _open()
    site.client.fin()
    assert site.origin.transport.ended
    site.origin >> b"last words"
    assert site.client.raw() == b"last words"
    assert not site.finished
    site.origin.fin()
    assert site.client.closed
    assert len(site.finished) == 1


@pytest.mark.parametrize("who", ["client", "origin"])
def test_a_reset_ends_both(who: str) -> None:
    """The other side is reset too, and the exchange is logged once."""
    site = _open()
    end = getattr(site, who)
    end.reset()
    assert site.client.closed
    assert site.origin.is_cut
    assert len(site.finished) == 1
    assert not site.wire.live


def test_idle() -> None:
    """A tunnel in which nothing moves for its time is closed; any byte in either direction begins it anew."""
    site = _open(timeouts={"tunnel": "60s"})
    site.later(50)
    site.client >> b"ping"
    site.later(50)
    site.origin >> b"pong"
    site.later(50)
    assert not site.finished
    site.later(12)
    assert site.client.closed
    assert site.origin.is_cut
    assert len(site.finished) == 1


def test_the_end_that_is_not_read() -> None:
    """A client that takes no more bytes is cut off some seconds after the tunnel has ended."""
    site = _open()
    site.client.stall()
    site.origin >> b"x" * 1000
    site.origin.fin()
    site.client.fin()
    assert not site.client.aborted
    site.later(10)
    assert site.client.aborted
    assert not site.wire.live


def test_the_caps_count_a_closing_tunnel() -> None:
    """A connection is counted until its socket is gone."""
    site = _open()
    lost: list[object] = []
    http1 = next(iter(site.wire.live))
    http1.connection.on_lost = lost.append  # type: ignore[attr-defined]
    site.client.stall()
    site.origin >> b"x" * 1000
    site.origin.fin()
    site.client.fin()
    assert lost == []
    site.client.read_on()
    assert lost
    assert not site.wire.live


def test_cut_at_the_end_of_the_drain_time() -> None:
    """A tunnel that does not end by itself is cut, and logged."""
    site = _open()
    for connection in list(site.wire.live):
        connection.cut()
    assert site.client.aborted
    assert site.origin.is_cut
    assert len(site.finished) == 1


def test_the_pool_counts_tunnels() -> None:
    """A tunnel's connection never goes back to the pool."""
    site = _open()
    site.client.fin()
    site.origin.fin()
    other = site.connect()
    other >> get("/next")
    site.origin << b"GET /next"
    assert site.origin.connections == 2
