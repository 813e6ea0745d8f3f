"""Bodies of writes: what is taken, and what is said of the rest."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.admin.actions import ActionRefused, Mistake
from gateway.admin.bodies import LogLevelBody, MaintenanceBody, WeightBody, pointer, read_body
from gateway.schema import Model


def read(value: Any, model: type[Model]) -> Any:
    return read_body(json.dumps(value).encode(), model)


def refused(body: bytes, model: type[Model]) -> ActionRefused:
    with pytest.raises(ActionRefused) as caught:
        read_body(body, model)
    return caught.value


def test_what_is_meant_is_read() -> None:
    """Times as in the configuration; what is left out has its default."""
    assert read({"weight": 0}, WeightBody).weight == 0
    assert read({"level": "debug", "for": "1h30m"}, LogLevelBody).seconds == 5400
    assert read({"level": "info"}, LogLevelBody).seconds == 600
    assert read({}, MaintenanceBody) == MaintenanceBody(on=True, message="", retry_after="0s")  # type: ignore[arg-type]
    assert read({"on": False, "retry_after": "5m"}, MaintenanceBody).retry_after == 300


@pytest.mark.parametrize("body", [b"", b"{", b"nonsense", b'{"a": NaN}', b"\xff", b'{"a": 1} 2', b"[" * 5000])
def test_what_is_no_json(body: bytes) -> None:
    """400."""
    assert refused(body, WeightBody).status == 400


@pytest.mark.parametrize("body", [b"[]", b"1", b"null", b'"x"'])
def test_what_is_no_object(body: bytes) -> None:
    """422: there are no keys to speak of."""
    assert refused(body, WeightBody).status == 422


@pytest.mark.parametrize(
    ("value", "model", "mistakes"),
    [
        ({}, WeightBody, [Mistake("this key is required and missing", "#/weight")]),
        ({"weight": 1, "wieght": 2}, WeightBody, [Mistake("unknown key", "#/wieght")]),
        ({"weight": 1001}, WeightBody, [Mistake("Input should be less than or equal to 1000", "#/weight")]),
        ({"level": "info", "for": "0s"}, LogLevelBody, [Mistake("write a time from 1s to 24h", "#/for")]),
        ({"level": "info", "for": "2d"}, LogLevelBody, [Mistake("write a time from 1s to 24h", "#/for")]),
        ({"retry_after": "31d"}, MaintenanceBody, [Mistake("write at most 30d", "#/retry_after")]),
    ],
)
def test_mistakes_have_their_places(value: Any, model: type[Model], mistakes: list[Mistake]) -> None:
    """422, and for each what is wrong and where."""
    refusal = refused(json.dumps(value).encode(), model)
    assert (refusal.status, list(refusal.mistakes)) == (422, mistakes)


def test_all_mistakes_at_once_but_not_without_end() -> None:
    """A body of many unknown keys gets a bounded answer."""
    refusal = refused(json.dumps({str(number): 1 for number in range(1000)}).encode(), WeightBody)
    assert len(refusal.mistakes) == 20
    both = refused(b'{"level": "loud", "for": 5}', LogLevelBody)
    assert [one.pointer for one in both.mistakes] == ["#/level", "#/for"]


@pytest.mark.parametrize("value", [True, "1", 1.0, 1.5, -1, None, [1], 10**30])
def test_a_weight_is_a_whole_number(value: Any) -> None:
    """Nothing is taken for one that is none."""
    assert refused(json.dumps({"weight": value}).encode(), WeightBody).status in {400, 422}


def test_pointers() -> None:
    """RFC 6901 §6: escaped, then percent-encoded."""
    assert pointer(()) == "#"
    assert pointer(("a/b", 0, "m~n", "c d", "ü")) == "#/a~1b/0/m~0n/c%20d/%C3%BC"
