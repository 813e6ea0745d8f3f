"""Who may be answered and who may change something."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.admin.access import BURST, MOST_PEERS, REFILL, Access, Asked, Attempts, Unheard, is_allowed_host
from gateway.admin.actions import ActionRefused

TOKEN = "0123456789abcdef0123"
ALLOWED = frozenset({"localhost", "ops.lan"})


class Clock:
    """Stands still until it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def asked(**fields: Any) -> Asked:
    whole = {
        "peer": "127.0.0.1",
        "subject": "",
        "host": "localhost:9090",
        "origin": "",
        "site": "",
        "authorization": "",
    }
    return Asked(**{**whole, **fields})


def bearer(token: str = TOKEN, **fields: Any) -> Asked:
    return asked(authorization=f"Bearer {token}", **fields)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def access(clock: Clock) -> Access:
    return Access(["ops.lan"], TOKEN, clock)


def refused(access: Access, one: Asked) -> ActionRefused:
    with pytest.raises(ActionRefused) as caught:
        access.who(one)
    return caught.value


@pytest.mark.parametrize(
    "host",
    [
        "",
        "localhost",
        "localhost:9090",
        "LocalHost.",
        "ops.lan:9090",
        "127.0.0.1",
        "10.0.0.1:80",
        "[::1]",
        "[fd00::1]:9",
    ],
)
def test_names_that_are_ours(host: str) -> None:
    """Known names, any address, and no name at all."""
    assert is_allowed_host(host, ALLOWED)
    assert Access(["Ops.LAN."], "", float).may_read(host)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "localhost@evil.example",
        "127.0.0.1.nip.io",
        "[evil]",
        "[",
        ":9090",
        "0x7f.1",
    ],
)
def test_names_that_are_not(host: str) -> None:
    """Whatever somebody else may have in DNS, or what is no name."""
    assert not is_allowed_host(host, ALLOWED)


def test_the_token_opens(access: Access) -> None:
    """Whoever has it is named by a fingerprint of it, never by itself; the scheme is written in any case."""
    who = access.who(bearer())
    assert who == access.who(asked(authorization=f"bearer  {TOKEN} "))
    assert who.startswith("token ")
    assert TOKEN[:8] not in who


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer \udcff"],
)
def test_anything_else_does_not(access: Access, authorization: str) -> None:
    """401 and how it would be asked for (RFC 6750 §3)."""
    refusal = refused(access, asked(authorization=authorization))
    assert (refusal.status, refusal.fields["WWW-Authenticate"]) == (401, 'Bearer realm="gateway"')
    assert TOKEN not in refusal.detail


def test_without_a_token_nobody_may(clock: Clock) -> None:
    """403, and what to configure; an empty token opens nothing."""
    access = Access([], "", clock)
    for one in (asked(), asked(authorization="Bearer "), asked(authorization="Bearer")):
        refusal = refused(access, one)
        assert refusal.status == 403
        assert "admin.token" in refusal.detail
        assert "state_dir" in refusal.detail


def test_a_client_certificate_takes_the_place_of_the_token(clock: Clock) -> None:
    """Its subject is who asks; without one, or where certificates were not asked for, it opens nothing."""
    access = Access([], "", clock, by_certificate=True)
    assert access.who(asked(subject="commonName=ops")) == "certificate commonName=ops"
    assert refused(access, asked()).status == 403
    assert refused(Access([], TOKEN, clock), asked(subject="commonName=ops")).status == 401


@pytest.mark.parametrize(
    "fields",
    [
        {"site": "cross-site"},
        {"site": "same-site"},
        {"site": "nonsense"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:9091"},
        {"origin": "http://localhost:9090.evil.example"},
    ],
)
def test_pages_of_other_origins_change_nothing(access: Access, fields: dict[str, str]) -> None:
    """Even with the token: 403."""
    assert refused(access, bearer(**fields)).status == 403


@pytest.mark.parametrize("fields", [{"site": "same-origin", "origin": "http://localhost:9090"}, {"site": "none"}])
def test_our_own_pages_may(access: Access, fields: dict[str, str]) -> None:
    """The same origin, or none (a person who typed it)."""
    assert access.who(bearer(**fields))


def test_guessing_is_slowed_down(access: Access, clock: Clock) -> None:
    """After BURST failures 429, even for the right token, that of the next guess; after REFILL seconds one more try."""
    for _ in range(BURST):
        assert refused(access, bearer("wrong")).status == 401
    refusal = refused(access, bearer())
    assert (refusal.status, refusal.fields["Retry-After"]) == (429, str(int(REFILL)))
    assert isinstance(refusal, Unheard)
    clock.now += REFILL
    assert access.who(bearer())
    assert refused(access, bearer("wrong")).status == 401
    assert refused(access, bearer()).status == 429


def test_one_peer_does_not_lock_out_another(access: Access) -> None:
    """Addresses are counted apart, those of one IPv6 network together."""
    for number in range(BURST):
        assert refused(access, bearer("wrong", peer=f"2001:db8::{number}")).status == 401
    assert refused(access, bearer(peer="2001:db8::99%eth0")).status == 429
    assert access.who(bearer(peer="2001:db8:0:1::1"))
    assert access.who(bearer(peer="::ffff:192.0.2.1"))
    assert access.who(bearer(peer="unix"))
    assert access.who(bearer())


def test_ipv4_clients_of_a_common_socket_are_counted_apart(access: Access) -> None:
    """Though all of them are in ::ffff:0:0/96 there, and each is the same as without it."""
    for _ in range(BURST):
        assert refused(access, bearer("wrong", peer="::ffff:192.0.2.1")).status == 401
    assert refused(access, bearer(peer="192.0.2.1")).status == 429
    assert access.who(bearer(peer="::ffff:192.0.2.2"))


def test_a_page_does_not_lock_out_its_reader(access: Access) -> None:
    """What a browser was made to send is refused and not counted as a guess; the log hears of the first few."""
    heard = [not isinstance(refused(access, asked(site="cross-site")), Unheard) for _ in range(BURST + 5)]
    assert heard == [True] * BURST + [False] * 5
    assert access.who(bearer())


def test_memory_is_bounded() -> None:
    """Many addresses: those that failed longest ago are forgotten."""
    attempts = Attempts(lambda: 0.0)
    for number in range(MOST_PEERS + 10):
        for _ in range(BURST):
            attempts.failed(f"10.0.{number // 256}.{number % 256}")
    assert len(attempts) == MOST_PEERS
    assert attempts.wait("10.0.0.0") == 0.0
    assert attempts.wait("10.0.1.9") == REFILL


def test_nobody_waits_longer_than_the_bound() -> None:
    """However often it failed."""
    attempts = Attempts(lambda: 0.0)
    for _ in range(1000):
        attempts.failed("a")
    assert attempts.wait("a") == REFILL
