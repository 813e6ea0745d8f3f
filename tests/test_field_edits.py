"""Field edits: names and values are checked where they are written."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.field_edits import FieldNames, FieldPairs, check_apart, compile_pairs, read_field_name
from gateway.schema import Model
from tests.kit.exchanges import make_exchange


class Edited(Model):
    """The two types under keys of their own."""

    pairs: FieldPairs = {}
    names: FieldNames = []


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("Host", "`host:`"),
        ("Content-Length", "counts the body"),
        ("Transfer-Encoding", "frames the body"),
        ("Upgrade", "`websocket:`"),
        ("Expect", "asks for bodies"),
        ("Connection", "belongs to one connection"),
        ("TE", "belongs to one connection"),
        ("Keep-Alive", "belongs to one connection"),
        ("Proxy-Authorization", "belongs to one connection"),
        ("A B", "is not a field name"),
        ("", "is not a field name"),
        ("A:", "is not a field name"),
        ("Ä", "is not a field name"),
        ("A\r\nB", "is not a field name"),
    ],
)
def test_names_that_are_refused(name: str, advice: str) -> None:
    """Framing and hop-by-hop names are refused with a reason, whatever their case."""
    for spelled in (name, name.lower(), name.upper()):
        with pytest.raises(ValueError, match=re.escape(advice)):
            read_field_name(spelled)


def test_names_are_lowered() -> None:
    """Names travel in lower case."""
    edited = Edited(pairs={"X-A": "1"}, names=["X-B"])
    assert (edited.pairs, edited.names) == ({"x-a": "1"}, ["x-b"])


@pytest.mark.parametrize(
    ("pairs", "where", "advice"),
    [
        ({"A": "1", "a": "2"}, ("pairs",), "'a' stands here twice"),
        ({"A": ""}, ("pairs", "A"), "under `remove`"),
        ({"A": " 1"}, ("pairs", "A"), "write '1'"),
        ({"A": "1\n"}, ("pairs", "A"), "line ends"),
        ({"A": "${hots}"}, ("pairs", "A"), "did you mean"),
        ({"A": 1}, ("pairs", "A"), "valid string"),
        ({"Host": "1"}, ("pairs", "Host", "[key]"), "`host:`"),
    ],
)
def test_pairs_that_are_refused(pairs: dict[str, Any], where: tuple[str, ...], advice: str) -> None:
    """Each slip at its own key."""
    with pytest.raises(ValidationError) as caught:
        Edited(pairs=pairs)
    (error,) = caught.value.errors()
    assert error["loc"] == where
    assert advice in error["msg"]


def test_one_name_in_one_place() -> None:
    """`set` with anything else, or `add` with `remove`, is a contradiction."""
    check_apart({"a": "1"}, {"b": "1"}, ["c"])
    with pytest.raises(ValueError, match="'a' stands under `set` and elsewhere"):
        check_apart({"a": "1"}, {"a": "1"}, [])
    with pytest.raises(ValueError, match="'a' stands under `set` and elsewhere"):
        check_apart({"a": "1"}, {}, ["a"])
    with pytest.raises(ValueError, match="'b' stands under `add` and `remove`"):
        check_apart({}, {"b": "1"}, ["b"])


def test_constants_apart_from_variables() -> None:
    """What never changes is bytes; the rest is rendered per exchange."""
    edits = compile_pairs({"a": "1", "b": "${path}"})
    assert edits.constant == [(b"a", b"1")]
    ((name, render),) = edits.rendered
    assert (name, render(make_exchange("GET /x"))) == (b"b", b"/x")
