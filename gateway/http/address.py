"""Address and AddressSet: IP addresses as text and as members of ranges.

Trust lists ask whether an address lies in a configured range, and `filters/real_ip.py` normalises what peers write in
forwarding fields. The rule: one address has one spelling (an IPv4-mapped IPv6 address is the IPv4 one,
RFC 4291 §2.5.5.2), and a look-up costs one bisection however many ranges there are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, collapse_addresses, ip_address, ip_network

# "[ffff:…]:65535" has at most 53 characters: against long garbage given to the parser.
LONGEST = 64

_MAPPED = IPv6Network("::ffff:0:0/96")


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """The address that `text` spells, IPv4-mapped ones as IPv4; None if it is none or carries a zone."""
    if len(text) > LONGEST or "%" in text:
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def split_port(node: bytes) -> tuple[str, bytes]:
    """Host and port of `1.2.3.4`, `1.2.3.4:567`, `::1`, `[::1]` or `[::1]:80`; the port is b"" when absent.

    Raises ValueError on anything else that has brackets, or a port that is not 1 to 5 digits.
    """
    text = node.decode("ascii")
    port = ""
    if text.startswith("["):
        text, bracket, rest = text[1:].partition("]")
        if not bracket or ":" not in text or (rest and not rest.startswith(":")):
            raise ValueError("unbalanced brackets")
        if not rest:
            return text, b""
        port = rest[1:]
    elif text.count(":") == 1:
        text, _, port = text.partition(":")
    else:
        return text, b""
    if not (port.isdigit() and len(port) <= 5):
        raise ValueError("not a port")
    return text, port.encode()


def parse_node(node: bytes) -> str:
    """The canonical address in an element of X-Forwarded-For or a `for` parameter; "" if it holds no address."""
    if len(node) > LONGEST:
        return ""
    try:
        text, _port = split_port(node)
    except ValueError:
        return ""
    address = parse_address(text)
    return "" if address is None else str(address)


class AddressSet:
    """Ranges of addresses, merged into sorted intervals: `text in ranges`."""

    __slots__ = ("_ends4", "_ends6", "_starts4", "_starts6")

    def __init__(self, networks: Iterable[IPv4Network | IPv6Network]) -> None:
        narrow: list[IPv4Network] = []
        wide: list[IPv6Network] = []
        for network in networks:
            if isinstance(network, IPv4Network):
                narrow.append(network)
            elif network.subnet_of(_MAPPED):
                start = IPv4Address(int(network.network_address) & 0xFFFFFFFF)
                narrow.append(ip_network((start, network.prefixlen - 96)))  # type: ignore[arg-type]
            else:
                wide.append(network)
        merged4 = list(collapse_addresses(narrow))
        merged6 = list(collapse_addresses(wide))
        self._starts4 = [int(network.network_address) for network in merged4]
        self._ends4 = [int(network.broadcast_address) for network in merged4]
        self._starts6 = [int(network.network_address) for network in merged6]
        self._ends6 = [int(network.broadcast_address) for network in merged6]

    def __bool__(self) -> bool:
        return bool(self._starts4 or self._starts6)

    def __contains__(self, address: IPv4Address | IPv6Address) -> bool:
        number = int(address)
        starts, ends = (self._starts4, self._ends4) if address.version == 4 else (self._starts6, self._ends6)
        at = bisect_right(starts, number)
        return at > 0 and number <= ends[at - 1]

    def holds(self, text: str) -> bool:
        """Whether `text` spells an address in one of the ranges; False for what is no address."""
        address = parse_address(text)
        return address is not None and address in self
