"""Addresses: one spelling each, and membership in many ranges."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.address import AddressSet, parse_address, parse_node, split_port


@pytest.mark.parametrize(
    ("node", "address"),
    [
        (b"1.2.3.4", "1.2.3.4"),
        (b"1.2.3.4:567", "1.2.3.4"),
        (b"::1", "::1"),
        (b"[::1]", "::1"),
        (b"[::1]:80", "::1"),
        (b"2001:DB8:0:0::1", "2001:db8::1"),
        (b"::ffff:1.2.3.4", "1.2.3.4"),
        (b"[::FFFF:102:304]:9", "1.2.3.4"),
        (b"", ""),
        (b"unknown", ""),
        (b"_hidden", ""),
        (b"1.2.3", ""),
        (b"1.2.3.4.5", ""),
        (b"01.2.3.4", ""),
        (b"1.2.3.4:", ""),
        (b"1.2.3.4:x", ""),
        (b"1.2.3.4:123456", ""),
        (b"[::1", ""),
        (b"[::1]80", ""),
        (b"[1.2.3.4]", ""),
        (b"[1.2.3.4]:80", ""),
        (b"fe80::1%eth0", ""),
        (b"1.2.3.4 5", ""),
        (b"1.2.3.4\x00", ""),
        ("\uff11.2.3.4".encode(), ""),
        (b"\xff", ""),
        (b"1" * 5000, ""),
    ],
)
def test_nodes(node: bytes, address: str) -> None:
    """Ports and brackets are understood, IPv4-mapped addresses are IPv4, and everything else is no address."""
    assert parse_node(node) == address


def test_the_port_is_told() -> None:
    """Whoever needs the port gets its digits."""
    assert split_port(b"[2001:db8::1]:443") == ("2001:db8::1", b"443")
    assert split_port(b"1.2.3.4") == ("1.2.3.4", b"")


def test_an_empty_set_holds_nothing() -> None:
    """No ranges, no members, and the set is false."""
    ranges = AddressSet([])
    assert not ranges
    assert not ranges.holds("127.0.0.1")
    assert not ranges.holds("::1")


def test_ranges_of_both_kinds() -> None:
    """The ends of a range belong to it, what is next to it does not, and IPv6 is kept apart from IPv4."""
    ranges = AddressSet(
        [ip_network(text) for text in ("10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32", "::ffff:203.0.113.0/120")]
    )
    inside = ("10.0.0.0", "10.255.255.255", "192.0.2.7", "2001:db8::", "2001:db8:ffff::1", "203.0.113.9")
    outside = ("9.255.255.255", "11.0.0.0", "192.0.2.6", "192.0.2.8", "2001:db7::1", "::a00:1", "", "x", "10.0.0.1%1")
    assert [text for text in inside if not ranges.holds(text)] == []
    assert [text for text in outside if ranges.holds(text)] == []
    assert ranges.holds("::ffff:10.1.2.3")


@given(
    st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)), max_size=20),
    st.lists(st.integers(0, 2**32 - 1), max_size=20),
)
def test_agrees_with_a_plain_scan(made: list[tuple[int, int]], asked: list[int]) -> None:
    """Merging and bisecting changes no answer."""
    networks = [ip_network((number, length), strict=False) for number, length in made]
    ranges = AddressSet(networks)
    edges = [int(network.network_address) for network in networks] + [int(net.broadcast_address) for net in networks]
    for number in asked + edges:
        address = IPv4Address(number)
        assert (address in ranges) == any(address in network for network in networks)


@given(st.ip_addresses())
def test_every_spelling_has_one_meaning(address: IPv4Address | IPv6Address) -> None:
    """The exploded and the compressed form of an address are the same address."""
    assert parse_address(address.exploded) == parse_address(str(address))
    canonical = parse_node(str(address).encode())
    assert parse_node(canonical.encode()) == canonical
    assert ip_address(canonical) == (getattr(address, "ipv4_mapped", None) or address)
