"""Conditions: methods, fields and query parameters of a request, and how they are told."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.route_conditions import Conditions, query_values, read_conditions
from gateway.route_match import MatchConfig
from tests.kit.exchanges import make_request


def conditions(**match: Any) -> Conditions:
    """The compiled conditions of a match."""
    return read_conditions(MatchConfig(**match))


def holds(match: dict[str, Any], line: str, *fields: str) -> bool:
    """Whether the request fulfils them."""
    test = conditions(**match).test
    assert test is not None
    return test(make_request(line, "h", *fields))


def test_none_is_no_test() -> None:
    """A match without conditions costs no call."""
    assert conditions(host="a.com", path="/x") == (None, None, None, ())


def test_get_implies_head() -> None:
    """HEAD is GET without the body (RFC 9110 §9.3.2)."""
    assert conditions(methods="GET").methods == frozenset({b"GET", b"HEAD"})
    assert conditions(methods=["POST"]).methods == frozenset({b"POST"})
    assert holds({"methods": "GET"}, "HEAD /")
    assert not holds({"methods": "HEAD"}, "GET /")


@pytest.mark.parametrize(
    ("wanted", "fields", "expected"),
    [
        ("1", ["X: 1"], True),
        ("1", ["X: 11"], False),
        ("1", [], False),
        ("1", ["X: 1", "X: 2"], True),
        ("1", ["X: 2", "X: 1"], True),
        ("a*z", ["X: abcz"], True),
        ("a*z", ["X: az"], True),
        ("aba*aba", ["X: aba"], False),
        ("*a*b*", ["X: xxaxxbxx"], True),
        ("present", ["X: "], True),
        ("present", [], False),
        ("absent", [], True),
        ("absent", ["X: 1"], False),
        ({"regex": "[0-9]+"}, ["X: 12"], True),
        ({"regex": "[0-9]+"}, ["X: 12a"], False),
        ({"exact": "a*"}, ["X: ab"], False),
        ({"exact": "a*"}, ["X: a*"], True),
    ],
)
def test_fields(wanted: Any, fields: list[str], expected: bool) -> None:
    """Each form of a field condition; any copy of a repeated field will do."""
    assert holds({"headers": {"x": wanted}}, "GET /", *fields) is expected


@pytest.mark.parametrize(
    ("wanted", "line", "expected"),
    [
        ("1", "GET /?a=1", True),
        ("1", "GET /?b=2&a=1", True),
        ("1", "GET /?a=2&a=1", True),
        ("1", "GET /?aa=1", False),
        ("1", "GET /", False),
        ("b c", "GET /?a=b+c", True),
        ("b&c", "GET /?%61=b%26c", True),
        ("present", "GET /?a", True),
        ("absent", "GET /?b", True),
        ("absent", "GET /?a=", False),
        ({"regex": "[ab]"}, "GET /?a=b", True),
    ],
)
def test_query(wanted: Any, line: str, expected: bool) -> None:
    """Names and values are compared decoded."""
    assert holds({"query": {"a": wanted}}, line) is expected


def test_all_must_hold() -> None:
    """Methods, fields and query together."""
    match = {"methods": "POST", "headers": {"x": "1", "y": "present"}, "query": {"a": "absent"}}
    assert holds(match, "POST /", "X: 1", "Y: 2")
    assert not holds(match, "GET /", "X: 1", "Y: 2")
    assert not holds(match, "POST /", "X: 1")
    assert not holds(match, "POST /?a", "X: 1", "Y: 2")
    compiled = conditions(**match)
    assert compiled.number == 4
    assert compiled.texts == ["POST", "field x: exact '1'", "field y: present", "query a: absent"]
    assert compiled.failed(make_request("GET /?a", "h", "X: 1", "Y: 2")) == [
        "method GET is not one of POST",
        "query a: absent",
    ]


def test_covers() -> None:
    """Fewer methods and more conditions are covered, the reverse is not."""
    wide, narrow = conditions(methods=["GET", "POST"]), conditions(methods="GET", headers={"x": "1"})
    assert wide.covers(narrow)
    assert not narrow.covers(wide)
    assert conditions().covers(wide)
    assert not wide.covers(conditions())


def test_query_values_keep_order() -> None:
    """All values of one parameter, in order; no query, no values."""
    assert query_values(b"a=1&b=2&a=%33&a", b"a") == [b"1", b"3", b""]
    assert query_values(None, b"a") == []
