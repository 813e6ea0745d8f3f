"""Who the client is: believed are trusted peers only, and only as far as trusted proxies wrote."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.exchange import Exchange
from gateway.filters.real_ip import Config, build
from gateway.hooks import Hooks, Shared
from tests.kit.exchanges import make_exchange, make_head

PEER = "10.0.0.9"


def identify(settings: dict[str, object], *fields: str, peer: str = PEER, unix: bool = False) -> Exchange:
    hooks = build(Config.model_validate(settings), Shared(warn=[].append))
    exchange = make_exchange("GET /", "example.com", *fields)
    exchange.connection.peer = exchange.client = peer
    exchange.connection.unix = unix
    assert hooks.identify is not None
    hooks.identify(exchange)
    return exchange


def test_nobody_is_trusted_by_default() -> None:
    """Without configuration there is no hook at all."""
    assert build(Config(), Shared()) == Hooks()


LIST = {"trusted": ["10.0.0.0/8", "2001:db8::/32"]}


@pytest.mark.parametrize(
    ("fields", "client", "chain"),
    [
        ([], PEER, b""),
        (["X-Forwarded-For: 203.0.113.5"], "203.0.113.5", b"203.0.113.5"),
        (["X-Forwarded-For: 6.6.6.6, 203.0.113.5"], "203.0.113.5", b"203.0.113.5"),
        (["X-Forwarded-For: 6.6.6.6, 203.0.113.5, 10.0.0.8"], "203.0.113.5", b"203.0.113.5, 10.0.0.8"),
        (["X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 203.0.113.5"], "203.0.113.5", b"203.0.113.5"),
        (["X-Forwarded-For: 203.0.113.5", "X-Forwarded-For: 10.1.1.1"], "203.0.113.5", b"203.0.113.5, 10.1.1.1"),
        (["X-Forwarded-For: 203.0.113.5:4711"], "203.0.113.5", b"203.0.113.5"),
        (["X-Forwarded-For: [2001:db9::1]:80"], "2001:db9::1", b"2001:db9::1"),
        (["X-Forwarded-For: 2001:DB9:0::1"], "2001:db9::1", b"2001:db9::1"),
        (["X-Forwarded-For: ::ffff:203.0.113.5"], "203.0.113.5", b"203.0.113.5"),
        (["X-Forwarded-For: 203.0.113.5, ::ffff:10.0.0.8"], "203.0.113.5", b"203.0.113.5, 10.0.0.8"),
        (["X-Forwarded-For: 203.0.113.5,, 2001:db8::7 ,"], "203.0.113.5", b"203.0.113.5, 2001:db8::7"),
        (["X-Forwarded-For: 10.0.0.1, 10.0.0.2"], "10.0.0.1", b"10.0.0.1, 10.0.0.2"),
        (["X-Forwarded-For: 203.0.113.5, unknown, 10.0.0.8"], "10.0.0.8", b"10.0.0.8"),
        (["X-Forwarded-For: 203.0.113.5, 10.0.0.8x"], PEER, b""),
        (["X-Forwarded-For: unknown"], PEER, b""),
        (["X-Forwarded-For:"], PEER, b""),
        (["X-Forwarded-For: 203.0.113.5%eth0"], PEER, b""),
        (["X-Real-IP: 6.6.6.6", "Forwarded: for=6.6.6.6", "CF-Connecting-IP: 6.6.6.6"], PEER, b""),
    ],
)
def test_x_forwarded_for(fields: list[str], client: str, chain: bytes) -> None:
    """Right to left over all lines, past trusted proxies, up to the first stranger or the first nonsense."""
    exchange = identify(LIST, *fields)
    assert (exchange.client, exchange.chain, exchange.trusted) == (client, chain, True)


@pytest.mark.parametrize("peer", ["203.0.113.99", "9.255.255.255", "2001:db9::1", "", "::ffff:11.0.0.1"])
@pytest.mark.parametrize(
    "field", ["X-Forwarded-For: 6.6.6.6", "Forwarded: for=6.6.6.6;proto=https", "X-Forwarded-Proto: https"]
)
def test_strangers_are_not_believed(peer: str, field: str) -> None:
    """Nothing that an untrusted peer says changes anything."""
    exchange = identify(LIST, field, peer=peer)
    assert (exchange.client, exchange.chain, exchange.trusted, exchange.scheme) == (peer, b"", False, "http")


def test_reading_is_bounded() -> None:
    """A chain longer than any real one is read for 32 elements; the client is the furthest that was verified."""
    exchange = identify(LIST, "X-Forwarded-For: 203.0.113.5, " + ", ".join(["10.0.0.1"] * 100))
    assert exchange.client == "10.0.0.1"
    assert exchange.chain.count(b"10.0.0.1") == 32
    exchange = identify(LIST, "X-Forwarded-For: " + "1" * 6000 + ", 203.0.113.5")
    assert exchange.client == "203.0.113.5"


@pytest.mark.parametrize(
    ("fields", "client", "scheme"),
    [
        ([], PEER, "http"),
        (["Forwarded: for=203.0.113.5;proto=https"], "203.0.113.5", "https"),
        (['Forwarded: for="[2001:db9::1]:443";PROTO=HTTPS'], "2001:db9::1", "https"),
        (["Forwarded: for=6.6.6.6;proto=https, for=203.0.113.5;proto=http"], "203.0.113.5", "http"),
        (["Forwarded: for=203.0.113.5;proto=https, for=10.0.0.8;proto=http"], "203.0.113.5", "https"),
        (["Forwarded: for=203.0.113.5;proto=https", "Forwarded: for=10.0.0.8;proto=http"], "203.0.113.5", "https"),
        (["Forwarded: for=203.0.113.5"], "203.0.113.5", "http"),
        (["Forwarded: for=203.0.113.5;proto=ftp"], "203.0.113.5", "http"),
        (['Forwarded: for=", for=203.0.113.5'], "203.0.113.5", "http"),
        (["Forwarded: for=203.0.113.5, for"], PEER, "http"),
        (["Forwarded: for=unknown;proto=https"], PEER, "https"),
        (["Forwarded: for=203.0.113.5, for=_hidden"], PEER, "http"),
        (["Forwarded: by=10.0.0.8;proto=https"], PEER, "https"),
        (["X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https"], PEER, "http"),
    ],
)
def test_forwarded(fields: list[str], client: str, scheme: str) -> None:
    """RFC 7239 gives address and scheme together; the older fields are then not read."""
    exchange = identify({**LIST, "header": "Forwarded"}, *fields)
    assert (exchange.client, exchange.scheme) == (client, scheme)


@pytest.mark.parametrize(
    ("fields", "client"),
    [
        (["CF-Connecting-IP: 203.0.113.5"], "203.0.113.5"),
        (["CF-Connecting-IP: 2001:DB9::5", "X-Forwarded-For: 6.6.6.6"], "2001:db9::5"),
        (["CF-Connecting-IP: 203.0.113.5, 6.6.6.6"], PEER),
        (["CF-Connecting-IP: 6.6.6.6", "CF-Connecting-IP: 203.0.113.5"], PEER),
        (["CF-Connecting-IP: none"], PEER),
        (["X-Forwarded-For: 6.6.6.6"], PEER),
    ],
)
def test_the_single_field_of_a_cdn(fields: list[str], client: str) -> None:
    """One field, one address; two of either mean that one is forged."""
    exchange = identify({**LIST, "header": "CF-Connecting-IP"}, *fields)
    assert exchange.client == client


def test_the_single_field_is_passed_on_verified_only() -> None:
    """The origin may read the same field: it is dropped as received and written with the address that was believed."""
    hooks = build(Config(trusted=["10.0.0.0/8"], header="Client-Addr"), Shared())  # type: ignore[list-item]
    assert hooks.drop_request == {b"client-addr"}
    assert hooks.identify is not None
    assert hooks.prepare is not None
    for peer, sent in (("10.0.0.9", [b"203.0.113.5"]), ("203.0.113.9", [])):
        exchange = make_exchange("GET /", "example.com", "Client-Addr: 203.0.113.5")
        exchange.connection.peer = peer
        hooks.identify(exchange)
        head = make_head(exchange)
        head.fields.clear()
        hooks.prepare(exchange, head)
        assert [value for _name, value in head.fields] == sent


@pytest.mark.parametrize(
    ("fields", "scheme"),
    [
        (["X-Forwarded-Proto: https"], "https"),
        (["X-Forwarded-Proto: HTTPS"], "https"),
        (["X-Forwarded-Proto: http"], "http"),
        (["X-Forwarded-Proto: wss"], "http"),
        (["X-Forwarded-Proto: https://"], "http"),
        (["X-Forwarded-Proto:"], "http"),
        (["X-Forwarded-For: 203.0.113.5", "X-Forwarded-Proto: http, https"], "https"),
        (["X-Forwarded-For: 203.0.113.5", "X-Forwarded-Proto: https, http"], "http"),
        (["X-Forwarded-For: 203.0.113.5, 10.0.0.8", "X-Forwarded-Proto: http, https, http"], "https"),
        (["X-Forwarded-For: 203.0.113.5, 10.0.0.8", "X-Forwarded-Proto: https"], "https"),
        (["X-Forwarded-For: 203.0.113.5", "X-Forwarded-Proto: https", "X-Forwarded-Proto: http"], "http"),
    ],
)
def test_the_scheme(fields: list[str], scheme: str) -> None:
    """Only http and https; where proxies append, the element that stands where the client's address stands."""
    assert identify(LIST, *fields).scheme == scheme


def test_a_peer_on_a_unix_socket() -> None:
    """`unix` trusts it, addresses do not, and after it the chain goes on as usual."""
    field = "X-Forwarded-For: 203.0.113.5"
    assert identify({"trusted": ["unix"]}, field, peer="", unix=True).client == "203.0.113.5"
    assert identify({"trusted": ["10.0.0.0/8"]}, field, peer="", unix=True).client == ""
    assert identify({"trusted": ["unix"]}, field, peer=PEER).client == PEER


def test_private_names_the_private_ranges() -> None:
    """A short word for one's own networks, and for nothing else."""
    for peer in ("10.1.1.1", "172.31.0.1", "192.168.0.1", "127.0.0.1", "::1", "fd00::1", "::ffff:10.1.1.1"):
        assert identify({"trusted": "private"}, peer=peer).trusted, peer
    for peer in ("11.1.1.1", "172.32.0.1", "169.254.0.1", "100.64.0.1", "2001:db8::1"):
        assert not identify({"trusted": ["private"]}, peer=peer).trusted, peer


def test_the_decision_is_remembered_until_a_reload() -> None:
    """One look-up per connection; another site decides for itself."""
    trusting = build(Config(trusted=["private"]), Shared())
    doubting = build(Config(trusted=["unix"]), Shared())
    exchange = make_exchange("GET /", "example.com")
    exchange.connection.peer = PEER
    for hooks, trusted in ((trusting, True), (doubting, False), (trusting, True)):
        assert hooks.identify is not None
        exchange.trusted = False
        hooks.identify(exchange)
        assert exchange.trusted is trusted
    exchange.connection.peer = "203.0.113.1"
    assert trusting.identify is not None
    trusting.identify(exchange)
    assert exchange.trusted
    assert len(exchange.connection.identity) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trusted": ["10.0.0.1/8"]}, "write 10.0.0.0/8"),
        ({"trusted": ["localhost"]}, "localhost"),
        ({"header": "X Real IP"}, "not a field name"),
        ({"header": "Host"}, "does not carry an address"),
        ({"trustd": []}, "trustd"),
    ],
)
def test_slips_are_refused(settings: dict[str, object], message: str) -> None:
    """Each with what to write instead."""
    with pytest.raises(ValidationError, match=message):
        Config.model_validate(settings)
