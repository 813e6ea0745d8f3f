"""Field names and lists: what is hop-by-hop, what may stand in a trailer, how a list is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.fields import FRAMING, HOP_BY_HOP, NOT_IN_TRAILERS, allowed_trailers, is_token, list_tokens, without

TCHAR = "!#$%&'*+-.^_`|~" + "0123456789" + "abcdefghijklmnopqrstuvwxyz" + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def test_the_sets_of_names_are_lower_case() -> None:
    """Names are compared lower-case everywhere, so a capital in a set would never match."""
    for names in (HOP_BY_HOP, FRAMING, NOT_IN_TRAILERS):
        assert all(name == name.lower() for name in names)


@pytest.mark.parametrize(
    "name",
    ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade", "http2-settings"],
)
def test_what_ends_here(name: str) -> None:
    """What RFC 9110 §7.6.1 names, and what browsers and proxies made of it, goes no further."""
    assert name.encode() in HOP_BY_HOP


def test_trailers_are_announced() -> None:
    """Trailer goes with the trailers, and is none itself (RFC 9110 §6.6.2)."""
    assert b"trailer" not in HOP_BY_HOP
    assert allowed_trailers([(b"trailer", b"a"), (b"a", b"b")]) == [(b"a", b"b")]


def test_a_token_is_made_of_tchar() -> None:
    """Every octet is a token or not as RFC 9110 §5.6.2 lists them, and nothing is no token."""
    assert {chr(octet) for octet in range(256) if is_token(bytes([octet]))} == set(TCHAR)
    assert is_token(TCHAR.encode())
    assert not is_token(b"")
    assert not is_token(b"a b")


@pytest.mark.parametrize(
    ("value", "tokens"),
    [
        (b"close", [b"close"]),
        (b" Keep-Alive\t", [b"keep-alive"]),
        (b"a, B ,c", [b"a", b"b", b"c"]),
        (b",,a,\t, ,b,", [b"a", b"b"]),
        (b"", []),
        (b" , ", []),
        (b"  ", []),
        (b"a b", [b"a b"]),  # not a token, and not made one
    ],
)
def test_lists(value: bytes, tokens: list[bytes]) -> None:
    """Elements are lower-cased, the space around them goes, and empty ones are skipped (RFC 9110 §5.6.1)."""
    assert list_tokens(value) == tokens


@given(st.lists(st.text(TCHAR, min_size=1, max_size=8).map(str.encode), max_size=6), st.sampled_from([b",", b" , "]))
def test_a_list_says_what_was_put_in(tokens: list[bytes], comma: bytes) -> None:
    """Joining tokens and reading the list again gives them back, lower-case."""
    assert list_tokens(comma.join(tokens)) == [token.lower() for token in tokens]


def test_without_keeps_order_and_duplicates() -> None:
    """Only what is named goes."""
    fields = [(b"a", b"1"), (b"b", b"2"), (b"a", b"3"), (b"c", b"4"), (b"c", b"5")]
    assert without(fields, {b"b"}) == [(b"a", b"1"), (b"a", b"3"), (b"c", b"4"), (b"c", b"5")]
    assert without(fields, frozenset({b"a", b"c"})) == [(b"b", b"2")]
    assert without(fields, set()) == fields


@pytest.mark.parametrize(
    "name",
    [
        "content-length", "transfer-encoding", "host", "connection", "trailer", "te", "authorization", "cookie",
        "set-cookie", "cache-control", "vary", "content-encoding", "content-type", "location", "expect", "range",
        "if-match", "max-forwards", "via", "forwarded", "x-forwarded-for", "x-forwarded-anything", "x-real-ip",
        "x-request-id", "traceparent", "strict-transport-security", "content-security-policy", "x_real_ip",
    ],
)  # fmt: skip
def test_what_may_not_come_after_the_body(name: str) -> None:
    """Framing, routing, credentials and what says who the client is are not taken from a trailer (RFC 9110 §6.5.1)."""
    assert allowed_trailers([(name.encode(), b"1"), (b"checksum", b"2")]) == [(b"checksum", b"2")]


def test_what_may_come_after_the_body() -> None:
    """Checksums and statuses, which are what trailers are for, pass in order and with their duplicates."""
    trailers = [(b"grpc-status", b"0"), (b"server-timing", b"a"), (b"server-timing", b"b"), (b"digest", b"x")]
    assert allowed_trailers(trailers) == trailers
    assert allowed_trailers([]) == []
