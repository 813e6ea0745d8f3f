"""The id of a request: made well, taken over from those who may, told in three places."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.exchange import Connection, Exchange
from gateway.filters.request_id import Config, build, is_sane, maker
from gateway.hooks import Hooks, Shared
from gateway.http.message import Request, Response
from tests.kit.exchanges import make_exchange, make_head

ALPHABET = set(b"0123456789ABCDEFGHJKMNPQRSTVWXYZ")
SHARED = Shared(wall=lambda: 1_700_000_000.0)


def identified(hooks: Hooks, *fields: str, trusted: bool = False) -> Exchange:
    exchange = make_exchange("GET /", "example.com", *fields)
    exchange.id = b""
    exchange.trusted = trusted
    assert hooks.identify is not None
    hooks.identify(exchange)
    return exchange


def test_ids_are_short_unique_and_sorted_by_time() -> None:
    """26 characters of Crockford's alphabet, of which the first ten are the milliseconds."""
    clock = [0.0]
    make = maker(lambda: clock[0])
    made = []
    for step in range(3000):
        clock[0] = 1_700_000_000.0 + step * 0.0037
        made.append(make())
    assert all(len(name) == 26 and ALPHABET.issuperset(name) for name in made)
    assert len({name[10:] for name in made}) == len(made)
    assert [name[:10] for name in made] == sorted(name[:10] for name in made)
    digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    milliseconds = 0
    for letter in made[-1][:10].decode():
        milliseconds = milliseconds * 32 + digits.index(letter)
    assert milliseconds == int(clock[0] * 1000)


def test_two_makers_share_no_chance() -> None:
    """The random part differs between processes even in the same millisecond."""
    first, second = maker(lambda: 1.0), maker(lambda: 1.0)
    assert {first() for _ in range(600)}.isdisjoint({second() for _ in range(600)})


def test_all_letters_occur() -> None:
    """The random part uses the whole alphabet: 5 bits a letter."""
    make = maker(lambda: 1.0)
    assert set(b"".join(make()[10:] for _ in range(500))) == ALPHABET


TOLD = "X-Request-ID: caller-42"


@pytest.mark.parametrize(
    ("accept", "trusted", "taken"),
    [
        ("trusted", False, False),
        ("trusted", True, True),
        ("always", False, True),
        ("always", True, True),
        ("never", False, False),
        ("never", True, False),
    ],
)
def test_whose_id_is_taken_over(accept: str, trusted: bool, taken: bool) -> None:
    """By option and by trust; otherwise one is made."""
    exchange = identified(build(Config.model_validate({"accept": accept}), SHARED), TOLD, trusted=trusted)
    assert (exchange.id == b"caller-42") is taken
    assert taken or len(exchange.id) == 26


@pytest.mark.parametrize(
    ("value", "sane"),
    [
        (b"a", True), (b"A" * 128, True), (b"7f0c-4a:1/2=3+~._", True), (b"", False), (b"A" * 129, False),
        (b"a b", False), (b"a,b", False), (b"<script>", False), (b'"', False), (b"a\x00", False), (b"\xc3\xa9", False),
        (b"a;b", False), (b"%0d%0a", False), (b"{{x}}", False), (b"${jndi:x}", False),
    ],
)  # fmt: skip
def test_sane_ids(value: bytes, sane: bool) -> None:
    """Nothing that could mean something in a log, a page or a query."""
    assert is_sane(value) is sane
    exchange = identified(
        build(Config(accept="always"), SHARED),
        *([f"X-Request-ID: {value.decode('latin-1')}"] if b"\0" not in value else []),
    )
    assert (exchange.id == value) is sane


def test_where_the_id_goes() -> None:
    """Upstream and downstream in the configured field, and nowhere twice: what others wrote there is dropped."""
    hooks = build(Config(header="X-Correlation-ID"), SHARED)
    assert hooks.drop_request == hooks.drop_response == {b"x-correlation-id"}
    exchange = identified(hooks)
    head, response = make_head(exchange), Response(200, [])
    assert hooks.prepare is not None
    assert hooks.deliver is not None
    hooks.prepare(exchange, head)
    hooks.deliver(exchange, response)
    assert head.fields == response.fields == [(b"x-correlation-id", exchange.id)]


def test_not_on_the_answer() -> None:
    """With `response: false` the origin's own field passes."""
    hooks = build(Config(response=False), SHARED)
    assert (hooks.deliver, hooks.drop_response) == (None, frozenset())


def test_bytes_that_are_no_request_get_an_id_too() -> None:
    """An answer that skipped `identify` is named when it is delivered, and keeps a name it has."""
    hooks = build(Config(), SHARED)
    stub = Exchange(Connection("192.0.2.1", 1, "127.0.0.1:80", ":80", 0.0), Request(b"", b"", b"", None, 1), 0.0)
    response = Response(400, [])
    assert hooks.deliver is not None
    hooks.deliver(stub, response)
    hooks.deliver(stub, response)
    assert len(stub.id) == 26
    assert response.fields == [(b"x-request-id", stub.id)] * 2


def test_without_a_clock() -> None:
    """Ids do not sort, but are as unguessable."""
    hooks = build(Config(), Shared())
    first, second = identified(hooks).id, identified(hooks).id
    assert first[:10] == second[:10] == b"0000000000"
    assert first != second


@pytest.mark.parametrize("header", ["", "X Id", "X-Id:", "é", "Host", "Content-Length"])
def test_names_that_cannot_be_used(header: str) -> None:
    """A field name, and one without a meaning of its own."""
    with pytest.raises(ValidationError, match="write for example X-Request-ID"):
        Config(header=header)
