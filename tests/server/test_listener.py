"""Caps and doors: who comes in, and as whom."""

from __future__ import annotations

import asyncio

import pytest

from gateway.deadlines import Sweep
from gateway.exchange import Connection
from gateway.server.listener import Caps, Door, Entrance, client_prefix
from gateway.server.proxy_protocol import MAX_V2, SIGNATURE
from gateway.server.settings import ListenerConfig
from tests.kit.transport import FakeLoop, FakeTransport

# Caps


def from_(peer: str) -> Connection:
    return Connection(peer, 1, ":80", ":80", 0.0)


@pytest.mark.parametrize(
    ("address", "prefix"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::"),
        ("2001:db8:1:3::1", "2001:db8:1:3::"),
        ("fe80::1%eth0", "fe80::"),
        ("::1", "::"),
        ("", ""),
    ],
)
def test_what_counts_as_one_client(address: str, prefix: str) -> None:
    """An IPv4 address, an IPv6 /64, and nobody in particular over a Unix socket."""
    assert client_prefix(address) == prefix


def test_the_cap_of_all() -> None:
    """One more than `total` is refused and counted; when one goes, one may come."""
    caps = Caps(2, None)
    first, second, third = from_("192.0.2.1"), from_("192.0.2.2"), from_("192.0.2.3")
    assert caps.admit(first)
    assert caps.admit(second)
    assert not caps.admit(third)
    assert (len(caps), caps.refused_total, caps.refused_client) == (2, 1, 0)
    assert third.on_lost is None
    caps.release(first)
    assert caps.admit(third)


def test_the_cap_of_one_client() -> None:
    """Counted by client: its neighbour and Unix sockets are not held to it, addresses of its /64 are."""
    caps = Caps(100, 2)
    mine = [from_("2001:db8::1"), from_("2001:db8::2"), from_("2001:db8::3")]
    assert [caps.admit(each) for each in mine] == [True, True, False]
    assert (caps.refused_total, caps.refused_client) == (0, 1)
    assert caps.admit(from_("2001:db8:0:1::1"))
    assert all(caps.admit(from_("")) for _ in range(5))


def test_a_connection_leaves_once() -> None:
    """`on_lost` may be called twice, and by a connection that was refused; the count stays right."""
    caps = Caps(10, 1)
    kept, refused = from_("192.0.2.1"), from_("192.0.2.1")
    caps.admit(kept)
    assert not caps.admit(refused)
    caps.release(refused)
    assert len(caps) == 1
    assert kept.on_lost is not None
    kept.on_lost(kept)
    kept.on_lost(kept)
    assert len(caps) == 0
    assert caps._clients == {}
    assert caps.admit(from_("192.0.2.1"))


def test_the_last_one_out() -> None:
    """`on_empty` is called when the last has gone, and only then: a drain waits for it."""
    caps, empty = Caps(10, None), []
    caps.on_empty = lambda: empty.append(len(caps))
    one, two = from_("192.0.2.1"), from_("192.0.2.2")
    caps.admit(one)
    caps.admit(two)
    caps.release(one)
    assert empty == []
    caps.release(two)
    caps.release(two)
    assert empty == [0]


# Doors


class Inner(asyncio.Protocol):
    """What follows a door; keeps what it gets."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.transport: object = None
        self.received = b""

    def connection_made(self, transport: object) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        self.received += data

    def connection_lost(self, error: Exception | None) -> None:
        assert self.connection.on_lost is not None
        self.connection.on_lost(self.connection)


class Hall:
    """An Entrance and who came through it."""

    def __init__(self, bind: str = "127.0.0.1:80", caps: Caps | None = None, **proxy: object) -> None:
        self.loop = FakeLoop()
        self.sweep = Sweep()
        self.inside: list[Inner] = []
        self.reports: list[str] = []
        keys: dict[str, object] = {"bind": bind}
        if proxy:
            keys["proxy_protocol"] = {"trusted": ["10.0.0.0/8", "2001:db8::/32"], **proxy}
        self.entrance = Entrance(
            config=ListenerConfig.model_validate(keys),
            name=bind,
            caps=Caps(100, None) if caps is None else caps,
            inner=self._inner,
            sweep=self.sweep,
            clock=self.loop.clock,
            report=lambda event, _connection: self.reports.append(event),
            header_timeout=10.0,
        )

    def _inner(self, connection: Connection) -> Inner:
        self.inside.append(Inner(connection))
        return self.inside[-1]

    def knock(self, peer: str | None = "10.1.2.3", *pieces: bytes) -> FakeTransport:
        """A connection from `peer` (None: over a Unix socket) that sends `pieces`."""
        door = Door(self.entrance)
        transport = FakeTransport(door, self.loop, peername="" if peer is None else (peer, 50000))
        door.connection_made(transport)
        transport.feed(*pieces)
        self.loop.run()
        return transport

    @property
    def waiting(self) -> int:
        assert len(self.sweep) == len(self.entrance.doors)
        return len(self.sweep)


LINE = b"PROXY TCP4 192.0.2.7 10.0.0.1 50001 443\r\n"


def test_an_ordinary_door() -> None:
    """Without PROXY protocol the inner protocol has the transport at once, and all that comes."""
    hall = Hall()
    transport = hall.knock("192.0.2.7", b"GET")
    [inner] = hall.inside
    assert (inner.transport, transport.get_protocol(), inner.received) == (transport, inner, b"GET")
    connection = inner.connection
    assert (connection.peer, connection.peer_port, connection.local, connection.listener) == (
        "192.0.2.7", 50000, "127.0.0.1:80", "127.0.0.1:80",
    )  # fmt: skip
    assert (connection.unix, connection.behind_proxy, connection.opened) == (False, False, hall.loop.clock())
    assert (len(hall.entrance.caps), hall.waiting) == (1, 0)


def test_an_ipv4_client_of_a_dual_stack_socket() -> None:
    """Is the IPv4 client that it is."""
    hall = Hall("[::]:80")
    hall.knock("::ffff:192.0.2.7")
    hall.knock("::1")
    assert [inner.connection.peer for inner in hall.inside] == ["192.0.2.7", "::1"]


def test_a_unix_socket() -> None:
    """Has no address; the listener is named by its path."""
    hall = Hall("unix:/run/g.sock")
    hall.knock(None)
    connection = hall.inside[0].connection
    assert (connection.peer, connection.unix, connection.local) == ("", True, "unix:/run/g.sock")


def test_a_full_house() -> None:
    """Beyond the cap the connection is reset before anything is made for it; a place is free again when one goes."""
    hall = Hall(caps=Caps(1, None))
    first, second = hall.knock(), hall.knock()
    assert (second.aborted, len(hall.inside), hall.reports) == (True, 1, ["connection_cap"])
    first.lose()
    assert not hall.knock().aborted


@pytest.mark.parametrize("size", [1, 7, 41, 1000])
def test_a_header_in_pieces(size: int) -> None:
    """The client is who the header names; what follows the header goes to the inner protocol, and nothing before."""
    hall = Hall(required=True)
    wire = LINE + b"GET / HTTP/1.1"
    transport = hall.knock("10.1.2.3", *[wire[at : at + size] for at in range(0, len(wire), size)])
    [inner] = hall.inside
    assert inner.received == b"GET / HTTP/1.1"
    assert (inner.connection.peer, inner.connection.peer_port) == ("192.0.2.7", 50001)
    assert (inner.connection.behind_proxy, transport.get_protocol(), hall.waiting) == (True, inner, 0)


def test_a_client_behind_a_proxy_counts_as_itself() -> None:
    """Caps hold for the client that the header names and not for the balancer; mapped addresses are IPv4 clients."""
    hall = Hall(caps=Caps(100, 1), required=True)
    hall.knock("10.1.2.3", LINE)
    assert hall.knock("10.1.2.4", LINE).aborted
    assert not hall.knock("10.1.2.3", LINE.replace(b"192.0.2.7", b"192.0.2.8")).aborted
    mapped = LINE.replace(b"TCP4", b"TCP6").replace(b"10.0.0.1", b"::1")
    assert hall.knock("10.1.2.3", mapped.replace(b"192.0.2.7", b"::ffff:192.0.2.7")).aborted
    assert not hall.knock("10.1.2.3", mapped.replace(b"192.0.2.7", b"::ffff:192.0.2.9")).aborted


def test_a_proxy_that_speaks_for_itself() -> None:
    """A LOCAL header (a health check) leaves the peer's own address."""
    hall = Hall(required=True)
    hall.knock("10.1.2.3", SIGNATURE + b"\x20\x00\x00\x00" + b"GET")
    [inner] = hall.inside
    assert (inner.connection.peer, inner.connection.behind_proxy, inner.received) == ("10.1.2.3", False, b"GET")


def test_whoever_is_not_trusted() -> None:
    """Is reset: neither its header nor its request is read."""
    hall = Hall(required=True)
    for peer in ("192.0.2.7", "2001:db9::1", None):
        assert hall.knock(peer, LINE).aborted
    assert (hall.reports, hall.inside, hall.waiting) == (["proxy_untrusted"] * 3, [], 0)
    assert not hall.knock("2001:db8::1%eth0", LINE).aborted


def test_a_trusted_unix_socket() -> None:
    """The word `unix` trusts whoever may open the socket; behind a header it is no Unix client any more."""
    hall = Hall("unix:/run/g.sock", trusted=["unix"])
    hall.knock(None, LINE)
    connection = hall.inside[0].connection
    assert (connection.peer, connection.unix, connection.behind_proxy) == ("192.0.2.7", False, True)
    assert hall.knock("10.1.2.3", LINE).aborted


def test_no_header_where_one_is_required() -> None:
    """Is reset as soon as it is certain."""
    hall = Hall(required=True)
    assert hall.knock("10.1.2.3", b"GET / HTTP/1.1\r\n\r\n").aborted
    assert hall.knock("10.1.2.3", LINE.replace(b"192", b"999")).aborted
    assert (hall.reports, hall.inside, hall.waiting) == (["proxy_malformed"] * 2, [], 0)


def test_no_header_where_one_may_be() -> None:
    """The first bytes are the request's; the peer is the client."""
    hall = Hall(required=False)
    hall.knock("10.1.2.3", b"P", b"OST / HTTP/1.1")
    hall.knock("10.1.2.3", LINE, b"GET")
    assert [(inner.connection.peer, inner.received) for inner in hall.inside] == [
        ("10.1.2.3", b"POST / HTTP/1.1"),
        ("192.0.2.7", b"GET"),
    ]


def test_a_header_that_does_not_come() -> None:
    """Has `header_timeout` from the connection on; drops do not prolong it."""
    hall = Hall(required=True)
    transport = hall.knock("10.1.2.3", LINE[:3])
    hall.sweep.run(hall.loop.clock.advance(9.9))
    transport.feed(LINE[3:5])
    assert (transport.aborted, hall.waiting) == (False, 1)
    hall.sweep.run(hall.loop.clock.advance(0.2))
    hall.loop.run()
    assert (transport.aborted, hall.waiting) == (True, 0)


def test_a_header_without_end() -> None:
    """What is held for one connection is bounded."""
    hall = Hall(required=True)
    transport = hall.knock("10.1.2.3", SIGNATURE + b"\x21\x11\x10\x01", b"a" * MAX_V2)
    assert (transport.aborted, hall.inside) == (True, [])


def test_draining_and_losing_a_waiting_door() -> None:
    """A connection that has said nothing yet is not waited for, and one that goes by itself is forgotten."""
    hall = Hall(required=True)
    drained, gone = hall.knock(), hall.knock()
    assert hall.waiting == 2
    for door in list(hall.entrance.doors):
        door.drain()
    gone.lose(ConnectionResetError())
    hall.loop.run()
    assert (drained.aborted, hall.waiting, len(hall.entrance.caps)) == (True, 0, 0)
