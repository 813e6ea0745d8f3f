"""request_headers: set, add and remove on the way upstream."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.filters.request_headers import Config, build
from gateway.hooks import Hooks, Shared
from tests.kit.exchanges import make_exchange, make_head


def sent(config: dict[str, Any], *fields: str) -> list[tuple[bytes, bytes]]:
    """The fields that go upstream: dropped names first, as the proxy does, then the hook."""
    hooks = build(Config(**config), Shared())
    exchange = make_exchange("GET /a?b", "h", *fields)
    head = make_head(exchange)
    head.fields = [field for field in head.fields if field[0] not in hooks.drop_request]
    if hooks.prepare is not None:
        hooks.prepare(exchange, head)
    return head.fields


def test_nothing_configured_costs_nothing() -> None:
    """An empty configuration is no hook."""
    assert build(Config(), Shared()) == Hooks()


def test_set_replaces_what_the_client_sent() -> None:
    """Every copy of the name goes, one comes."""
    assert sent({"set": {"X-A": "new"}}, "X-A: 1", "X-B: 2", "X-A: 3") == [(b"x-b", b"2"), (b"x-a", b"new")]


def test_set_replaces_what_another_feature_added() -> None:
    """A field that an earlier prepare hook appended is replaced too, not doubled."""
    hooks = build(Config(set={"X-Forwarded-For": "${client}"}), Shared())
    head = make_head(exchange := make_exchange())
    head.fields.append((b"x-forwarded-for", b"203.0.113.1"))
    assert hooks.prepare is not None
    hooks.prepare(exchange, head)
    assert head.fields == [(b"x-forwarded-for", b"192.0.2.7")]


def test_add_keeps_what_is_there() -> None:
    """`add` appends beside the client's own."""
    assert sent({"add": {"X-A": "2", "X-P": "${path}"}}, "X-A: 1") == [
        (b"x-a", b"1"),
        (b"x-a", b"2"),
        (b"x-p", b"/a"),
    ]


def test_remove() -> None:
    """Names that go, whoever sent them."""
    assert sent({"remove": ["X-A", "x-c"]}, "X-A: 1", "X-B: 2") == [(b"x-b", b"2")]


def test_an_empty_value_is_no_field() -> None:
    """A variable without a value leaves no empty field behind, and not the client's copy either."""
    assert sent({"set": {"X-A": "${header:x-none}"}, "add": {"X-B": "${tier}"}}, "X-A: forged") == []


def test_the_request_of_the_client_is_not_changed() -> None:
    """Logs and rules see what came in."""
    exchange = make_exchange("GET /", "h", "X-A: 1")
    hooks = build(Config(set={"X-A": "2"}), Shared())
    assert hooks.prepare is not None
    before = list(exchange.request.fields)
    hooks.prepare(exchange, make_head(exchange))
    assert exchange.request.fields == before


def test_constants_are_not_shared_between_requests() -> None:
    """Two requests through one hook get a field each, not the sum."""
    hooks = build(Config(add={"X-A": "1", "X-B": "${path}"}), Shared())
    assert hooks.prepare is not None
    for _ in range(2):
        exchange = make_exchange()
        head = make_head(exchange)
        hooks.prepare(exchange, head)
        assert head.fields == [(b"x-a", b"1"), (b"x-b", b"/")]


def test_contradictions() -> None:
    """One name in two places is refused."""
    with pytest.raises(ValidationError, match="stands under `set` and elsewhere"):
        Config(set={"a": "1"}, remove=["A"])
