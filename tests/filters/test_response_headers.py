"""response_headers: constants are part of the plan, variables are a deliver hook."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.filters.response_headers import Config, build
from gateway.hooks import Hooks, Shared
from gateway.http.message import Response
from tests.kit.exchanges import make_exchange


def test_nothing_configured_costs_nothing() -> None:
    """An empty configuration is no hook."""
    assert build(Config(), Shared()) == Hooks()


def test_constants_need_no_hook() -> None:
    """`set` and `remove` without variables are handed to the plan."""
    hooks = build(Config(set={"X-A": "1"}, remove=["X-B"]), Shared())
    assert hooks == Hooks(set_response=((b"x-a", b"1"),), drop_response=frozenset({b"x-b"}))


def test_variables_and_additions() -> None:
    """A rendered `set` replaces, `add` appends, an empty value is no field."""
    config = Config(set={"X-Id": "${request_id}", "X-T": "${tier}"}, add={"Vary": "Origin", "X-P": "${path}"})
    hooks = build(config, Shared())
    response = Response(200, [(b"x-id", b"forged"), (b"vary", b"Accept"), (b"x-t", b"old")])
    assert hooks.deliver is not None
    hooks.deliver(make_exchange("GET /p"), response)
    assert response.fields == [(b"vary", b"Accept"), (b"vary", b"Origin"), (b"x-id", b"id-1"), (b"x-p", b"/p")]


def test_a_shared_list_of_fields_is_left_alone() -> None:
    """A prepared reply that shares its fields gains nothing from one exchange to the next."""
    hooks = build(Config(add={"X-A": "1"}), Shared())
    fields = [(b"a", b"b")]
    assert hooks.deliver is not None
    hooks.deliver(make_exchange(), Response(200, fields))
    assert fields == [(b"a", b"b")]


def test_a_client_cannot_split_the_response() -> None:
    """A field of the request that is echoed cannot end the line it stands in."""
    hooks = build(Config(set={"X-Echo": "${header:x}"}), Shared())
    exchange = make_exchange("GET /", "h", "X: 1")
    exchange.request.fields[-1] = (b"x", b"1\r\nset-cookie: a=b")
    response = Response(200, [])
    assert hooks.deliver is not None
    hooks.deliver(exchange, response)
    assert response.fields == [(b"x-echo", b"1set-cookie: a=b")]


def test_contradictions() -> None:
    """One name in two places is refused."""
    with pytest.raises(ValidationError, match="stands under `add` and `remove`"):
        Config(add={"a": "1"}, remove=["A"])
