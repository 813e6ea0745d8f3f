"""redirect: targets with variables, and no way for a client to choose the host."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.filters.redirect import Config, build
from gateway.hooks import Shared
from gateway.http.message import Response
from tests.kit.exchanges import make_exchange


def reply(config: dict[str, Any], line: str = "GET /", host: str | None = "example.com", *fields: str) -> Response:
    """The answer to one request."""
    hooks = build(Config(**config), Shared())
    assert hooks.admit is not None
    verdict = hooks.admit(make_exchange(line, host, *fields))
    assert verdict is not None
    assert (verdict.by, verdict.rule) == ("redirect", config["to"])
    return verdict.reply


def location(config: dict[str, Any] | str, line: str = "GET /", *fields: str) -> bytes:
    """Where one request is sent."""
    keys = {"to": config} if isinstance(config, str) else config
    found = reply(keys, line, "example.com", *fields)
    ((name, value),) = found.fields
    assert name == b"location"
    return value


def test_status_and_body() -> None:
    """308 unless told otherwise; an empty body, so that the connection lives on."""
    assert (reply({"to": "/x"}).status, reply({"to": "/x"}).body) == (308, b"")
    assert reply({"to": "/x", "status": 302}).status == 302


@pytest.mark.parametrize(
    ("to", "line", "expected"),
    [
        ("/x", "GET /", b"/x"),
        ("/x", "GET /?a=1", b"/x?a=1"),
        ("/x?b=2", "GET /?a=1", b"/x?b=2&a=1"),
        ("/x#f", "GET /?a=1", b"/x?a=1#f"),
        ("https://${host}${uri}", "GET /p?a=1", b"https://example.com/p?a=1"),
        ("${scheme}://new.example${path}", "GET /p", b"http://new.example/p"),
        ("https://new.example/?from=${path}", "GET /p?a", b"https://new.example/?from=/p&a"),
        ("https://new.example/x?${query}", "GET /?a=1", b"https://new.example/x?a=1"),
        ("${path}/", "GET /dir", b"/dir/"),
        ("/${header:x}", "GET /", b"/a%2Fb%3F"),
    ],
)
def test_targets(to: str, line: str, expected: bytes) -> None:
    """Variables, the query that goes on, and the fragment that stays last."""
    assert location(to, line, "X: a/b?") == expected


def test_the_query_can_be_left_behind() -> None:
    """`keep_query: false` drops it."""
    assert location({"to": "/x", "keep_query": False}, "GET /?a=1") == b"/x"


@pytest.mark.parametrize("path", ["//evil.example/", "///evil.example", "//evil.example/%2f/...", "/%5Cevil.example"])
@pytest.mark.parametrize("to", ["${path}", "${uri}", "${path}/", "/${query}", "/${header:x}"])
def test_no_open_redirect_by_a_double_slash(to: str, path: str) -> None:
    """A path that begins with two slashes does not become the name of another host."""
    sent = location(to, f"GET {path}?/evil.example/", f"X: {path}")
    assert urlsplit(sent).netloc == b""
    assert not sent.startswith((b"//", b"/\\"))


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="#\\"), max_size=30))
def test_no_request_chooses_the_host(text: str) -> None:
    """Whatever path and query are sent, the host of the target is the operator's."""
    exchange = make_exchange()
    exchange.request.path, exchange.request.query = b"/" + text.encode(), text.encode()
    for to, host in (("${uri}", b""), ("/${query}", b""), ("https://safe.example${uri}", b"safe.example")):
        hooks = build(Config(to=to), Shared())
        assert hooks.admit is not None
        verdict = hooks.admit(exchange)
        assert verdict is not None
        assert urlsplit(verdict.reply.fields[0][1]).netloc == host


@pytest.mark.parametrize(
    ("to", "advice"),
    [
        ("x", "it begins with https://"),
        ("", "it begins with https://"),
        ("${query}", "it begins with https://"),
        ("${header:to}", "it begins with https://"),
        ("javascript:alert(1)", "it begins with https://"),
        ("//cdn.example/x", "write the scheme too"),
        ("https://${header:x}", "would let a client choose the host"),
        ("https://example.com${query}", "would let a client choose the host"),
        ("https://example.com${cookie:a}.net/", "would let a client choose the host"),
        ("${scheme}://${path}", "names no host"),
        ("https:///x", "names no host"),
        ("/${hots}", "did you mean ${host}?"),
        ("/a\r\nb", "line ends"),
    ],
)
def test_targets_that_are_refused(to: str, advice: str) -> None:
    """What would be an open redirect, or none at all, does not load."""
    with pytest.raises(ValidationError) as caught:
        Config(to=to)
    assert advice in caught.value.errors()[0]["msg"]


def test_words_of_ours_may_be_in_the_host() -> None:
    """The country is looked up and not sent by the client."""
    exchange = make_exchange("GET /a")
    exchange.country = "DE"
    hooks = build(Config(to="https://${country}.example.com${path}"), Shared())
    assert hooks.admit is not None
    verdict = hooks.admit(exchange)
    assert verdict is not None
    assert verdict.reply.fields == [(b"location", b"https://DE.example.com/a")]


def test_no_host_to_name() -> None:
    """An HTTP/1.0 request without Host is not sent to a target without one, which would mean another host."""
    assert reply({"to": "https://${host}${path}"}, "GET /evil.example/", None).status == 400
    assert reply({"to": "/x"}, "GET /", None).status == 308
