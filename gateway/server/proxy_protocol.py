"""The PROXY protocol, versions 1 and 2: who is behind the load balancer that connects to us.

The first bytes of a connection from a trusted peer, before TLS and before HTTP. Grammar and numbers from the HAProxy
specification (proxy-protocol.txt, 2020/03/05); what is not exactly that closes the connection, for a guess would be a
spoofed address.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import NamedTuple

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
MAX_V1 = 107  # bytes of a version 1 line (§2.1)
MAX_V2 = 16 + 4096  # bytes of a version 2 header with its TLVs: against endless TLVs (65,535 by the format)
_HEADER = struct.Struct("!12sBBH")


class ProxyHeader(NamedTuple):
    """`address` and `port` of the client; "" and 0 where the sender speaks for itself (LOCAL, UNKNOWN, AF_UNIX)."""

    address: str
    port: int
    size: int  # bytes of the header itself


class NotProxyError(ValueError):
    """The bytes are not a PROXY protocol header."""


def read_proxy_header(data: bytes) -> ProxyHeader | None:
    """The header at the beginning of `data`, None while more is needed. Raises NotProxyError."""
    if data.startswith(SIGNATURE):
        return _read_v2(data)
    if data.startswith(b"PROXY "):
        return _read_v1(data)
    if SIGNATURE.startswith(data) or b"PROXY ".startswith(data):
        return None
    raise NotProxyError("no PROXY protocol header")


def _read_v1(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\r\n", 0, MAX_V1)
    if end < 0:
        if len(data) >= MAX_V1:
            raise NotProxyError("an endless version 1 line")
        return None
    try:
        words = data[:end].decode("ascii").split(" ")
    except UnicodeDecodeError:
        raise NotProxyError("a version 1 line that is not ASCII") from None
    if words[1] == "UNKNOWN":
        return ProxyHeader("", 0, end + 2)
    version = {"TCP4": 4, "TCP6": 6}.get(words[1])
    if version is None or len(words) != 6:
        raise NotProxyError("an invalid version 1 line")
    try:
        source, target = ipaddress.ip_address(words[2]), ipaddress.ip_address(words[3])
    except ValueError:
        raise NotProxyError("an invalid address in a version 1 line") from None
    if source.version != version or target.version != version or b"%" in data[:end]:
        raise NotProxyError("an address of the wrong family, or with a zone")
    for port in words[4:]:
        if not (port.isascii() and port.isdigit()) or (len(port) > 1 and port[0] == "0") or int(port) > 65535:
            raise NotProxyError("an invalid port in a version 1 line")
    return ProxyHeader(_spelled(source), int(words[4]), end + 2)


def _read_v2(data: bytes) -> ProxyHeader | None:
    if len(data) < 16:
        return None
    _signature, version_command, family, length = _HEADER.unpack_from(data)
    size = 16 + length
    if version_command not in (0x20, 0x21) or size > MAX_V2:
        raise NotProxyError("an invalid version 2 header")
    if len(data) < size:
        return None
    if version_command == 0x20:  # LOCAL: the sender's own health check
        return ProxyHeader("", 0, size)
    block = data[16:size]
    if family in (0x11, 0x12) and length >= 12:
        return ProxyHeader(str(ipaddress.IPv4Address(block[:4])), int.from_bytes(block[8:10], "big"), size)
    if family in (0x21, 0x22) and length >= 36:
        return ProxyHeader(_spelled(ipaddress.IPv6Address(block[:16])), int.from_bytes(block[32:34], "big"), size)
    if family in (0x00, 0x31, 0x32):  # unspecified, or Unix sockets: no address to tell
        return ProxyHeader("", 0, size)
    raise NotProxyError("an invalid address block in a version 2 header")


def _spelled(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """An IPv4-mapped address is the IPv4 one, so that caps and trust lists know the client (RFC 4291 §2.5.5.2)."""
    return str(getattr(address, "ipv4_mapped", None) or address)
