"""Where connections come from: the PROXY protocol checked against an oracle, Unix sockets, caps, deadlines."""

from __future__ import annotations

import signal
import socket
import ssl
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from proxyprotocol.result import ProxyResult, ProxyResultIPv4, ProxyResultIPv6, ProxyResultLocal, ProxyResultUnknown
from proxyprotocol.tlv import ProxyProtocolTLV
from proxyprotocol.v1 import ProxyProtocolV1
from proxyprotocol.v2 import ProxyProtocolV2

from gateway.development import make_development_certificates
from tests.kit.http_client import Client
from tests.kit.origin import Origin
from tests.kit.process import Gateway, command, free_port, get, until, write_config

pytestmark = pytest.mark.e2e

V1, V2, STREAM = ProxyProtocolV1(), ProxyProtocolV2(), socket.SOCK_STREAM
ASK = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def from_v4(address: str = "203.0.113.9", port: int = 4711, **more: Any) -> ProxyResult:
    return ProxyResultIPv4((IPv4Address(address), port), (IPv4Address("192.0.2.1"), 443), protocol=STREAM, **more)


def from_v6(address: str = "2001:db8::9") -> ProxyResult:
    return ProxyResultIPv6((IPv6Address(address), 4711), (IPv6Address("2001:db8::1"), 443), protocol=STREAM)


class House(NamedTuple):
    """Listeners: `proxied` and `proxied_tls` trust loopback, `optional` does not insist, `distant` trusts another."""

    gateway: Gateway
    folder: Path
    ports: dict[str, int]
    tls: ssl.SSLContext

    def client(self, listener: str, first: bytes = b"") -> Client:
        tls = self.tls if listener.endswith("tls") else None
        return Client(("127.0.0.1", self.ports[listener]), tls, first=first)

    def seen(self, listener: str, header: bytes) -> str:
        """Whom the origin is told of, when a connection begins with `header`."""
        with self.client(listener, header) as client:
            return str(dict(client.ask("GET", "/").json["fields"])["x-forwarded-for"])

    def answers(self, listener: str, header: bytes) -> bool:
        """Whether a connection that begins with `header` is let in."""
        try:
            with self.client(listener) as client:
                client.send(header + ASK)
                return client.rest().startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    def metric(self, series: str) -> float:
        lines = get(self.ports["admin"], "/metrics").text.splitlines()
        return sum(float(line.removeprefix(f"{series} ")) for line in lines if line.startswith(f"{series} "))

    def refused(self, reason: str) -> float:
        return self.metric(f'gateway_connections_refused_total{{reason="{reason}"}}')

    def empty(self) -> bool:
        """Waits until the connections of other tests have ended."""
        return until(lambda: self.metric("gateway_connections_open") == 0)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("listeners")
    make_development_certificates(folder / "certs")
    names = ("plain", "proxied", "proxied_tls", "optional", "distant", "admin")
    ports = {name: free_port() for name in names}
    bind = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
    loopback: dict[str, Any] = {"trusted": ["127.0.0.0/8", "unix"]}
    with Origin() as origin, Origin(path=str(folder / "origin.sock")) as local:
        write_config(
            folder,
            workers=1,  # caps are each worker's own
            listeners=[
                {"bind": bind["plain"]},
                {"bind": bind["proxied"], "proxy_protocol": loopback},
                {"bind": bind["proxied_tls"], "proxy_protocol": loopback, "tls": {"certificates": "certs/"}},
                {"bind": bind["optional"], "proxy_protocol": {**loopback, "required": False}},
                {"bind": bind["distant"], "proxy_protocol": {"trusted": ["10.0.0.0/8"]}},
                {"bind": f"unix:{folder}/plain.sock"},
                {"bind": f"unix:{folder}/proxied.sock", "proxy_protocol": loopback},
            ],
            downstream={"head_timeout": "1s", "max_connections": 12, "max_connections_per_client": 4},
            upstreams={"app": {"endpoints": [origin.url]}, "local": {"endpoints": [local.url]}},
            routes=[{"upstream": "app"}, {"match": {"path": "/local/*"}, "upstream": "local"}],
            admin={"bind": bind["admin"]},
        )
        with Gateway(folder, "-c", "config.yaml") as gateway:
            tls = ssl.create_default_context(cafile=str(folder / "certs" / "ca.pem"))
            yield House(gateway, folder, ports, tls)


HEADERS = {
    "v1 IPv4": V1.pack(from_v4()),
    "v1 IPv6": V1.pack(from_v6()),
    "v2 IPv4": V2.pack(from_v4()),
    "v2 IPv6": V2.pack(from_v6()),
    "v2 with TLVs": V2.pack(from_v4(tlv=ProxyProtocolTLV(init={4: bytes(300), 0xE0: b"own"}))),
}


@pytest.mark.parametrize("listener", ["proxied", "proxied_tls", "optional"])
@pytest.mark.parametrize("name", HEADERS)
def test_the_client_is_whom_the_oracle_reads(house: House, listener: str, name: str) -> None:
    """Headers that another implementation writes name the client, before http and before TLS."""
    header = HEADERS[name]
    oracle = (V1 if name.startswith("v1") else V2).unpack(header)
    assert isinstance(oracle.peername, tuple)
    assert house.seen(listener, header) == str(oracle.peername[0])


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", V2.pack(ProxyResultLocal()), V2.pack(ProxyResultUnknown())])
def test_a_sender_that_speaks_for_itself(house: House, header: bytes) -> None:
    """UNKNOWN and LOCAL leave the client to be whoever has connected."""
    assert house.seen("proxied", header) == "127.0.0.1"


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_may_come_in_pieces(house: House, name: str) -> None:
    """A header that comes byte by byte, the request behind it, is the same header."""
    with house.client("proxied") as client:
        for at in range(len(HEADERS[name])):
            client.send(HEADERS[name][at : at + 1])
        client.send(ASK)
        assert dict(client.answer().json["fields"])["x-forwarded-for"] in {"203.0.113.9", "2001:db8::9"}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_may_come_with_its_request(house: House, name: str) -> None:
    """Header and request in one segment are both read, once."""
    with house.client("proxied") as client:
        client.send(HEADERS[name] + ASK)
        assert client.answer().status == 200
        assert client.rest() == b""


@pytest.mark.parametrize(
    "header",
    [
        ASK,
        b"PROXY TCP4 203.0.113.9 192.0.2.1 4711\r\n",
        b"PROXY TCP4 203.0.113.999 192.0.2.1 4711 443\r\n",
        b"PROXY TCP4 2001:db8::9 192.0.2.1 4711 443\r\n",
        b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 99999\r\n",
        b"PROXY TCP4 203.0.113.9 192.0.2.1  4711 443\r\n",
        b"PROXY " + b"x" * 200,
        HEADERS["v2 IPv4"].replace(b"\x21\x11", b"\x31\x11"),
        HEADERS["v2 IPv4"].replace(b"\x21\x11", b"\x21\x99"),
    ],
)
def test_what_is_no_header_is_refused(house: House, header: bytes) -> None:
    """Where a header is required, anything else ends the connection without an answer, and is counted."""
    before = house.refused("proxy_malformed")
    with house.client("proxied") as client:
        client.send(header + b"\r\n" + ASK)
        assert client.rest() == b""
    assert house.refused("proxy_malformed") == before + 1


def test_an_untrusted_peer_is_refused(house: House) -> None:
    """A peer that may not speak for others is refused, with a header or without one."""
    before = house.refused("proxy_untrusted")
    for first in (HEADERS["v1 IPv4"], HEADERS["v2 IPv4"], b""):
        with house.client("distant") as client:
            try:
                client.send(first + ASK)
            except OSError:
                continue
            assert client.rest() == b""
    assert house.refused("proxy_untrusted") == before + 3


def test_a_header_where_none_is_expected_is_no_request(house: House) -> None:
    """On a listener without the protocol a header is a malformed request: nobody forges an address that way."""
    with house.client("plain") as client:
        client.send(HEADERS["v1 IPv4"] + ASK)
        assert client.answer().status == 400
        assert client.rest() == b""


def test_a_plain_request_where_headers_are_optional(house: House) -> None:
    """With `required: false` a trusted peer may leave the header out."""
    assert house.seen("optional", b"") == "127.0.0.1"


def test_a_header_that_does_not_come(house: House) -> None:
    """Connections that do not finish their header in time are closed."""
    starts = [b"", b"PROXY TC", HEADERS["v2 IPv4"][:14]]
    clients = [house.client("proxied") for _ in starts]
    for client, start in zip(clients, starts, strict=True):
        client.send(start)
    assert [client.rest() for client in clients] == [b""] * 3
    for client in clients:
        client.close()


def test_a_unix_socket_serves(house: House) -> None:
    """A Unix socket answers; its client has no address, and the log says `unix`."""
    with Client(str(house.folder / "plain.sock")) as client:
        answer = client.ask("GET", "/over-unix")
    assert answer.status == 200
    assert "x-forwarded-for" not in dict(answer.json["fields"])
    assert house.gateway.logged(path="/over-unix")["client"] == "unix"


def test_a_header_on_a_unix_socket(house: House) -> None:
    """A proxy on the same machine may speak for its clients over a Unix socket."""
    with Client(str(house.folder / "proxied.sock"), first=HEADERS["v2 IPv6"]) as client:
        assert dict(client.ask("GET", "/").json["fields"])["x-forwarded-for"] == "2001:db8::9"


def test_an_upstream_on_a_unix_socket(house: House) -> None:
    """An origin may listen on a Unix socket."""
    answer = get(house.ports["plain"], "/local/x")
    assert (answer.status, answer.json["line"]) == (200, "GET /local/x HTTP/1.1")
    assert house.gateway.logged(path="/local/x")["upstream"] == f"unix:{house.folder}/origin.sock"


def test_one_client_has_a_cap(house: House) -> None:
    """A client's fifth connection is refused and counted, another client's first is not; IPv6 counts by /64."""
    assert house.empty()
    before = house.refused("client_cap")
    clients = []
    for number in range(4):
        clients.append(house.client("proxied", V1.pack(from_v6(f"2001:db8:0:7::{number + 1}"))))
        assert clients[-1].ask("GET", "/").status == 200
    assert not house.answers("proxied", V1.pack(from_v6("2001:db8:0:7:ffff::1")))
    assert house.refused("client_cap") == before + 1
    assert house.answers("proxied", V1.pack(from_v6("2001:db8:0:8::1")))
    for client in clients:
        client.close()
    assert until(lambda: house.answers("proxied", V1.pack(from_v6("2001:db8:0:7:ffff::1"))))


def test_all_together_have_a_cap(house: House) -> None:
    """The thirteenth connection is refused, whoever it is; when one ends there is room again."""
    assert house.empty()
    before = house.refused("connection_cap")
    clients = []
    for number in range(12):
        clients.append(house.client("proxied", V1.pack(from_v4(f"198.51.100.{number}"))))
        assert clients[-1].ask("GET", "/").status == 200
    assert not house.answers("plain", b"")
    assert house.refused("connection_cap") == before + 1
    clients.pop().close()
    assert until(lambda: house.answers("plain", b""))
    for client in clients:
        client.close()


def test_a_silent_client_is_closed(house: House) -> None:
    """A connection that says nothing is closed when its time for a head is over; half a head gets a 408."""
    with house.client("plain") as silent, house.client("plain") as slow:
        slow.send(b"GET / HTTP/1.1\r\nHost: lo")
        assert slow.answer().status == 408
        assert slow.rest() == b""
        assert silent.rest() == b""


def test_a_socket_file_is_there_while_it_serves(tmp_path: Path) -> None:
    """A stale socket of a killed gateway is replaced, a living one is taken, and a clean end removes it."""
    path = tmp_path / "gateway.sock"
    write_config(tmp_path, listeners=[{"bind": f"unix:{path}"}], routes=[{"respond": 204}])
    first = Gateway(tmp_path, "-c", "config.yaml").started()
    assert path.stat().st_mode & 0o777 == 0o660
    code, _out, err = command("run", "-c", "config.yaml", folder=tmp_path)
    assert code == 3
    assert f"unix:{path} is taken by another process" in err
    first.signal(signal.SIGKILL)
    first.ended(-signal.SIGKILL)
    assert path.exists()
    with Gateway(tmp_path, "-c", "config.yaml"), Client(str(path)) as client:
        assert client.ask("GET", "/").status == 204
    assert not path.exists()


def test_a_client_that_resets_costs_nothing(house: House) -> None:
    """Resets in the middle of anything leave no traceback, and the next client is served."""
    for sent in (b"", b"GET / HT", HEADERS["v1 IPv4"][:9]):
        with house.client("proxied") as client:
            if sent:
                client.send(sent)
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    assert house.seen("proxied", HEADERS["v1 IPv4"]) == "203.0.113.9"
