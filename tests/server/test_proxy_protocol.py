"""PROXY protocol headers: the grammar of both versions, every split, and another implementation as oracle."""

from __future__ import annotations

import contextlib
import struct
from ipaddress import ip_address
from socket import SOCK_STREAM

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from proxyprotocol import ProxyProtocolChecksumError, ProxyProtocolIncompleteError, ProxyProtocolSyntaxError
from proxyprotocol.result import ProxyResultIPv4, ProxyResultIPv6
from proxyprotocol.v1 import ProxyProtocolV1
from proxyprotocol.v2 import ProxyProtocolV2

from gateway.server.proxy_protocol import (
    MAX_V1,
    MAX_V2,
    SIGNATURE,
    NotProxyError,
    ProxyHeader,
    read_proxy_header,
)

HTTP = b"GET / HTTP/1.1\r\n"
LOCAL, PROXY = 0x20, 0x21
TCP4, UDP4, TCP6, UDP6, UNIX, UNIX_DGRAM, UNSPEC = 0x11, 0x12, 0x21, 0x22, 0x31, 0x32, 0x00
V4 = bytes([192, 0, 2, 7, 10, 0, 0, 1]) + struct.pack("!HH", 50000, 443)
V6 = ip_address("2001:db8::7").packed + ip_address("::1").packed + struct.pack("!HH", 50000, 443)
MAPPED = ip_address("::ffff:192.0.2.7").packed + ip_address("::1").packed + struct.pack("!HH", 50000, 443)


def v2(command: int, family: int, block: bytes = b"", *, length: int | None = None) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(block) if length is None else length) + block


GOOD_V1 = [
    (b"PROXY TCP4 192.0.2.7 10.0.0.1 50000 443\r\n", "192.0.2.7", 50000),
    (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255", 65535),
    (b"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", "0.0.0.0", 0),
    (b"PROXY TCP6 2001:db8::7 ::1 50000 443\r\n", "2001:db8::7", 50000),
    (b"PROXY TCP6 2001:0DB8:0:0:0:0:0:7 ::1 1 2\r\n", "2001:db8::7", 1),
    (b"PROXY TCP6 " + b"ffff:" * 7 + b"ffff " + b"ffff:" * 7 + b"ffff 65535 65535\r\n", "ffff:" * 7 + "ffff", 65535),
    (b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:10.0.0.1 50000 443\r\n", "192.0.2.7", 50000),
    (b"PROXY UNKNOWN\r\n", "", 0),
    (b"PROXY UNKNOWN ffff::1 ::2 1 2\r\n", "", 0),
    (b"PROXY UNKNOWN " + b"x" * (MAX_V1 - 16) + b"\r\n", "", 0),
]
GOOD_V2 = [
    (v2(PROXY, TCP4, V4), "192.0.2.7", 50000),
    (v2(PROXY, UDP4, V4), "192.0.2.7", 50000),
    (v2(PROXY, TCP4, V4 + b"\x04\x00\x02ab"), "192.0.2.7", 50000),
    (v2(PROXY, TCP6, V6), "2001:db8::7", 50000),
    (v2(PROXY, UDP6, V6 + b"\x20\x00\x00"), "2001:db8::7", 50000),
    (v2(PROXY, TCP6, MAPPED), "192.0.2.7", 50000),
    (v2(PROXY, UNIX, b"/a".ljust(108, b"\0") + b"/b".ljust(108, b"\0")), "", 0),
    (v2(PROXY, UNIX_DGRAM, bytes(216)), "", 0),
    (v2(PROXY, UNSPEC), "", 0),
    (v2(PROXY, UNSPEC, b"whatever"), "", 0),
    (v2(LOCAL, UNSPEC), "", 0),
    (v2(LOCAL, TCP4, V4), "", 0),
    (v2(LOCAL, 0xFF, b"skipped"), "", 0),
    (v2(PROXY, TCP4, V4 + b"\x04\x0f\xf1" + bytes(4081)), "192.0.2.7", 50000),
]
GOOD = GOOD_V1 + GOOD_V2


@pytest.mark.parametrize(("header", "address", "port"), GOOD)
def test_headers(header: bytes, address: str, port: int) -> None:
    """The client's address and port, and exactly the bytes of the header, whatever comes behind it."""
    expected = ProxyHeader(address, port, len(header))
    assert read_proxy_header(header) == expected
    assert read_proxy_header(header + HTTP) == expected
    assert read_proxy_header(header + header) == expected


@pytest.mark.parametrize("header", [header for header, _address, _port in GOOD])
def test_every_split(header: bytes) -> None:
    """However little has come, the answer is to wait, and it is never taken for something else."""
    for at in range(len(header)):
        assert read_proxy_header(header[:at]) is None


BAD_V1 = [
    b"PROXY  TCP4 192.0.2.7 10.0.0.1 50000 443\r\n",
    b"PROXY TCP4 192.0.2.7  10.0.0.1 50000 443\r\n",
    b"PROXY TCP4 192.0.2.7 10.0.0.1 50000 443 \r\n",
    b"PROXY TCP4 192.0.2.7 10.0.0.1 50000\r\n",
    b"PROXY TCP4 192.0.2.7 10.0.0.1 50000 443 1\r\n",
    b"PROXY TCP4\t192.0.2.7 10.0.0.1 50000 443\r\n",
    b"PROXY TCP4 192.0.2.7 10.0.0.1 50000 443\r\r\n",
    b"PROXY tcp4 192.0.2.7 10.0.0.1 50000 443\r\n",
    b"PROXY TCP5 192.0.2.7 10.0.0.1 50000 443\r\n",
    b"PROXY UDP4 192.0.2.7 10.0.0.1 50000 443\r\n",
    b"PROXY UNKNOWNS\r\n",
    b"PROXY \r\n",
    b"PROXY TCP4\r\n",
    # Addresses: of the named family, as inet_pton reads them
    b"PROXY TCP4 ::1 10.0.0.1 50000 443\r\n",
    b"PROXY TCP4 192.0.2.7 ::1 50000 443\r\n",
    b"PROXY TCP6 192.0.2.7 ::1 50000 443\r\n",
    b"PROXY TCP6 ::1 192.0.2.7 50000 443\r\n",
    b"PROXY TCP4 192.0.2.256 10.0.0.1 50000 443\r\n",
    b"PROXY TCP4 192.0.2 10.0.0.1 50000 443\r\n",
    b"PROXY TCP4 192.0.02.7 10.0.0.1 50000 443\r\n",
    b"PROXY TCP4 3221225991 10.0.0.1 50000 443\r\n",
    b"PROXY TCP4 192.0.2.7/24 10.0.0.1 50000 443\r\n",
    b"PROXY TCP6 [::1] ::1 50000 443\r\n",
    b"PROXY TCP6 fe80::1%eth0 ::1 50000 443\r\n",
    b"PROXY TCP6 ::1 fe80::1%1 50000 443\r\n",
    b"PROXY TCP6 1::2::3 ::1 50000 443\r\n",
    b"PROXY TCP4 evil 10.0.0.1 50000 443\r\n",
    b"PROXY TCP4 192.0.2.7\xa0 10.0.0.1 50000 443\r\n",
    # Ports: 0 to 65535, decimal, no sign, no leading zero
    b"PROXY TCP4 192.0.2.7 10.0.0.1 65536 443\r\n",
    b"PROXY TCP4 192.0.2.7 10.0.0.1 50000 65536\r\n",
    b"PROXY TCP4 192.0.2.7 10.0.0.1 -1 443\r\n",
    b"PROXY TCP4 192.0.2.7 10.0.0.1 +1 443\r\n",
    b"PROXY TCP4 192.0.2.7 10.0.0.1 01 443\r\n",
    b"PROXY TCP4 192.0.2.7 10.0.0.1 1_0 443\r\n",
    b"PROXY TCP4 192.0.2.7 10.0.0.1 0x1 443\r\n",
    b"PROXY TCP4 192.0.2.7 10.0.0.1  443\r\n",
    "PROXY TCP4 192.0.2.7 10.0.0.1 ٣ 443\r\n".encode(),
    b"PROXY TCP4 192.0.2.7 10.0.0.1 " + b"9" * 60 + b" 443\r\n",
    # Length
    b"PROXY UNKNOWN " + b"x" * (MAX_V1 - 15) + b"\r\n",
    b"PROXY " + b"x" * MAX_V1,
]
BAD_V2 = [
    v2(0x22, TCP4, V4),  # a command that does not exist
    v2(0x2F, TCP4, V4),
    v2(0x11, TCP4, V4),  # version 1 in a version 2 header
    v2(0x31, TCP4, V4),
    v2(0x01, TCP4, V4),
    v2(PROXY, 0x10, V4),  # an address without a transport
    v2(PROXY, 0x13, V4),
    v2(PROXY, 0x01, V4),  # a transport without an address
    v2(PROXY, 0x41, V4),
    v2(PROXY, 0xFF, V4),
    v2(PROXY, TCP4, V4[:11]),  # a block too short for its family
    v2(PROXY, TCP4),
    v2(PROXY, TCP6, V6[:35]),
    v2(PROXY, TCP6, V4),
    v2(PROXY, TCP4, V4, length=4097),  # TLVs without end
    v2(LOCAL, UNSPEC, length=65535),
]
NOT_AT_ALL = [
    HTTP,
    b"PROXYTCP4 ",
    b"proxy TCP4 192.0.2.7 10.0.0.1 50000 443\r\n",
    b" PROXY UNKNOWN\r\n",
    b"\r\nPROXY UNKNOWN\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    SIGNATURE[:-1] + b"\r",
    b"\r\n\r\n\x00\r\nQUIT\r\n",
    b"\r\n\r\nGET / HTTP/1.1\r\n",
]


@pytest.mark.parametrize("wire", BAD_V1 + BAD_V2 + NOT_AT_ALL)
def test_what_is_no_header(wire: bytes) -> None:
    """A guess would be a spoofed address: everything that is not exactly the grammar is refused, and stays so."""
    for more in (b"", HTTP):
        with pytest.raises(NotProxyError):
            read_proxy_header(wire + more)


@pytest.mark.parametrize("wire", BAD_V1 + BAD_V2 + NOT_AT_ALL)
def test_no_part_of_a_refused_header_is_a_header(wire: bytes) -> None:
    """Cut anywhere it is either refused already or still waited for."""
    for at in range(len(wire)):
        with contextlib.suppress(NotProxyError):
            assert read_proxy_header(wire[:at]) is None


def test_waiting_is_bounded() -> None:
    """A peer can make us hold a version 1 line or a whole version 2 header, and nothing beyond."""
    assert read_proxy_header(b"PROXY " + b"x" * (MAX_V1 - 7)) is None
    with pytest.raises(NotProxyError):
        read_proxy_header(b"PROXY " + b"x" * (MAX_V1 - 6))
    longest = v2(LOCAL, UNSPEC, bytes(MAX_V2 - 16))
    assert read_proxy_header(longest[:-1]) is None
    assert read_proxy_header(longest) == ("", 0, MAX_V2)


# Against another implementation

V4_ADDRESS = st.ip_addresses(v=4)
V6_ADDRESS = st.ip_addresses(v=6)
PORT = st.integers(0, 65535)
ENDS_V4 = st.tuples(V4_ADDRESS, V4_ADDRESS, PORT, PORT)
ENDS_V6 = st.tuples(V6_ADDRESS, V6_ADDRESS, PORT, PORT)


@given(st.one_of(ENDS_V4, ENDS_V6), st.sampled_from([ProxyProtocolV1(), ProxyProtocolV2()]))
def test_what_others_write_we_read(ends: tuple[object, ...], writer: ProxyProtocolV1 | ProxyProtocolV2) -> None:
    """Headers packed by the oracle (version 2 with a checksum in a TLV) are read as what was packed."""
    source, target, port, other = ends
    made = ProxyResultIPv4 if source.version == 4 else ProxyResultIPv6  # type: ignore[attr-defined]
    header = writer.pack(made((source, port), (target, other), protocol=SOCK_STREAM))  # type: ignore[arg-type]
    address = str(getattr(source, "ipv4_mapped", None) or source)
    assert read_proxy_header(header + HTTP) == (address, port, len(header))


def oracle(header: bytes) -> tuple[str, int] | None:
    """The client as the other implementation reads a whole header; None where it refuses or wants more."""
    reader = ProxyProtocolV2() if header.startswith(SIGNATURE) else ProxyProtocolV1()
    try:
        result = reader.unpack(header)
    except (ProxyProtocolSyntaxError, ProxyProtocolIncompleteError, ValueError, struct.error):
        return None
    except ProxyProtocolChecksumError as error:  # checking it is optional (§2.2.3)
        result = error.result
    if not isinstance(result, ProxyResultIPv4 | ProxyResultIPv6):
        return "", 0
    source, port = result.source
    return str(getattr(source, "ipv4_mapped", None) or source), port


def check_against_oracle(header: bytes) -> None:
    """Whatever we accept, the oracle accepts and reads the same (the other way round we may be stricter)."""
    try:
        found = read_proxy_header(header)
    except NotProxyError:
        return
    if found is not None:
        assert oracle(header[: found.size]) == (found.address, found.port)


MUTATION = st.tuples(st.integers(0, 60), st.integers(0, 255))


@given(st.sampled_from([header for header, _a, _p in GOOD_V1]), st.lists(MUTATION, min_size=1, max_size=3))
@example(b"PROXY TCP4 192.0.2.7 10.0.0.1 50000 443\r\n", [(10, ord("6"))])
def test_mutated_lines(header: bytes, mutations: list[tuple[int, int]]) -> None:
    """A version 1 line with some octets replaced is refused, or means to us what it means to others."""
    wire = bytearray(header)
    for at, octet in mutations:
        wire[at % len(wire)] = octet
    check_against_oracle(bytes(wire))


@given(st.sampled_from([header for header, _a, _p in GOOD_V2[:-1]]), st.lists(MUTATION, min_size=1, max_size=3))
def test_mutated_binary_headers(header: bytes, mutations: list[tuple[int, int]]) -> None:
    """The same for version 2, where the oracle has an opinion: it knows no family it cannot name."""
    wire = bytearray(header)
    for at, octet in mutations:
        wire[at % min(len(wire), 40)] = octet
    assume(wire[12] == LOCAL or wire[13] >> 4 != 3)  # it decodes the paths of Unix sockets, which may be no text
    check_against_oracle(bytes(wire))


@given(st.binary(max_size=64))
def test_any_bytes(wire: bytes) -> None:
    """Nothing but a header, None or NotProxyError ever comes out."""
    for start in (b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21\x11"):
        with contextlib.suppress(NotProxyError):
            found = read_proxy_header(start + wire)
            assert found is None or found.size <= len(start + wire)
