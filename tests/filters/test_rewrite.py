"""rewrite: the path that the origin sees."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.errors import ClientFault
from gateway.filters.rewrite import Config, build
from gateway.hooks import Hooks, Shared
from gateway.http.path import PathRules, normalise
from tests.kit.exchanges import make_exchange, make_head


def target(config: dict[str, Any], target: str) -> str:
    """The request target that goes upstream."""
    hooks = build(Config(**config), Shared())
    assert hooks.prepare is not None
    exchange = make_exchange("OPTIONS *" if target == "*" else f"GET {target}")
    head = make_head(exchange)
    hooks.prepare(exchange, head)
    return head.target.decode()


STRIP = {"strip_prefix": "/api"}
REPLACE = {"replace_prefix": {"from": "/old", "to": "/new"}}
REGEX = {"regex": {"pattern": "/v([0-9]+)/(.*)", "to": r"/api/\2/v\1"}}


@pytest.mark.parametrize(
    ("config", "before", "after"),
    [
        (STRIP, "/api/users?x=/api", "/users?x=/api"),
        (STRIP, "/api", "/"),
        (STRIP, "/api?", "/?"),
        (STRIP, "/api/", "/"),
        (STRIP, "/apis/x", "/apis/x"),
        (STRIP, "/x/api", "/x/api"),
        (STRIP, "/API/x", "/API/x"),
        (STRIP, "*", "*"),
        ({"strip_prefix": "/api/"}, "/api/x", "/x"),
        ({"add_prefix": "/app"}, "/x?y", "/app/x?y"),
        ({"add_prefix": "/app/"}, "/", "/app/"),
        ({"strip_prefix": "/api", "add_prefix": "/v2"}, "/api/x", "/v2/x"),
        (REPLACE, "/old/x?q", "/new/x?q"),
        (REPLACE, "/old", "/new"),
        (REPLACE, "/older", "/older"),
        ({"replace_prefix": {"from": "/old", "to": "/"}}, "/old", "/"),
        ({"replace_prefix": {"from": "/", "to": "/new"}}, "/x", "/new/x"),
        (REGEX, "/v2/users?a=1", "/api/users/v2?a=1"),
        (REGEX, "/x/v2/users", "/x/v2/users"),
        ({"regex": {"pattern": "/(a)?(b)?", "to": r"/x\1\2"}}, "/b", "/xb"),
        ({"regex": {"pattern": "/p(.*)", "to": r"/\1"}}, "/p../secret", "/secret"),
    ],
)
def test_rewrites(config: dict[str, Any], before: str, after: str) -> None:
    """Prefixes at segment boundaries, groups, and the query as it was."""
    assert target(config, before) == after


def test_nothing_configured_costs_nothing() -> None:
    """No step, no hook; a prefix of "/" is nothing to strip."""
    assert build(Config(), Shared()) == Hooks()
    assert build(Config(strip_prefix="/"), Shared()) == Hooks()


def test_half_an_escape_is_refused() -> None:
    """A pattern that cuts an escape in two makes a client's fault, not an invalid request upstream."""
    with pytest.raises(ClientFault):
        target({"regex": {"pattern": "/(.*)2F(.*)", "to": r"/\1\2"}}, "/a%2Fb")


@given(
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="#?%\\"), max_size=20),
    st.sampled_from([STRIP, REPLACE, REGEX, {"add_prefix": "/v"}, {"regex": {"pattern": "/.(.*)", "to": r"/\1"}}]),
)
def test_what_comes_out_is_a_normal_path(text: str, config: dict[str, Any]) -> None:
    """Always absolute, always in the form that a second normalisation leaves alone."""
    try:
        before = normalise(b"/" + text.encode(), PathRules())
    except ValueError:
        return
    exchange = make_exchange()
    exchange.request.path = before
    head = make_head(exchange)
    hooks = build(Config(**config), Shared())
    assert hooks.prepare is not None
    try:
        hooks.prepare(exchange, head)
    except ClientFault:
        return
    assert head.target.startswith(b"/")
    assert normalise(head.target, PathRules()) == head.target


@pytest.mark.parametrize(
    ("keys", "advice"),
    [
        ({"strip_prefix": "api"}, "write /api"),
        ({"strip_prefix": "/api/*"}, "leave the * out"),
        ({"strip_prefix": "/a?b"}, "the query is kept"),
        ({"strip_prefix": "/a/../b"}, "write /b"),
        ({"add_prefix": "/%7ea"}, "write /~a"),
        ({"add_prefix": "/a%"}, "an invalid percent-escape"),
        ({"strip_prefix": "/a", "replace_prefix": {"from": "/a", "to": "/b"}}, "only one of"),
        ({"regex": {"pattern": "(?=a)", "to": "/"}}, "look-ahead"),
        ({"regex": {"pattern": "/a", "to": "b"}}, "write /b"),
        ({"regex": {"pattern": "/a", "to": r"/\1"}}, "the pattern has 0 groups"),
        ({"regex": {"pattern": "/(a)", "to": r"/\2"}}, "the pattern has 1 group"),
        ({"regex": {"pattern": "/(a)", "to": r"/\x"}}, r"write \1 to \9"),
        ({"regex": {"pattern": "/(a)", "to": "/a\\"}}, r"write \1 to \9"),
        ({"regex": {"pattern": "/(a)", "to": "/a?b"}}, "the query is kept"),
    ],
)
def test_slips(keys: dict[str, Any], advice: str) -> None:
    """Each message says what to write."""
    with pytest.raises(ValidationError) as caught:
        Config(**keys)
    assert advice in caught.value.errors()[0]["msg"]
