"""The contract of a feature: its phases, their order, and that what is compiled cannot change."""

from __future__ import annotations

import inspect
import re
from dataclasses import FrozenInstanceError, fields

import pytest

from gateway.hooks import Hooks, Plan, Route, Shared, UpstreamHead
from gateway.pipeline import build_plan


def described(subject: type) -> set[str]:
    """Names that the rows of a docstring begin with: `name  what it is`, or `one, two    what they are`."""
    names: set[str] = set()
    for line in (inspect.getdoc(subject) or "").splitlines():
        row = re.match(r"([a-z_]+(?:, [a-z_]+)*)(?: {2,}| (?=\(|async))", line)
        if row:
            names.update(row[1].split(", "))
    return names


def test_no_hook_is_no_work() -> None:
    """A feature that is not configured adds nothing to a plan."""
    assert set(Hooks()) <= {None, frozenset(), ()}
    assert build_plan([("a", Hooks()), ("b", Hooks())]) == build_plan([])


def test_every_phase_is_in_the_plan() -> None:
    """What a feature may offer is compiled; `identify` alone is the site's, for it comes before the route."""
    edits = {"set_response", "default_response"}
    assert set(Hooks._fields) - edits - {"identify"} <= set(Plan._fields)


def test_phases_stand_in_the_order_of_the_journey() -> None:
    """A reader of Hooks reads the life of a request."""
    phases = [name for name in Hooks._fields if name in Plan._fields and not name.startswith("drop")]
    assert phases == ["admit", "needs", "vet", "prepare", "accept", "deliver", "log"]
    assert [name for name in Plan._fields if name in phases] == phases


@pytest.mark.parametrize("subject", [Hooks, UpstreamHead], ids=lambda subject: subject.__name__)
def test_every_hook_is_described(subject: type) -> None:
    """Whoever writes a feature finds each name in the docstring."""
    names = set(Hooks._fields) if subject is Hooks else {"fields", "host", "target"}
    assert described(subject) >= names


def test_everything_shared_is_described() -> None:
    """What the house hands over, and nothing that it does not hand over any more."""
    assert described(Shared) == {each.name for each in fields(Shared)}


def test_what_is_compiled_cannot_change() -> None:
    """Routes and Shared are frozen: exchanges of many connections read them at once."""
    route = Route("shop", Plan(), None)
    with pytest.raises(FrozenInstanceError):
        route.name = "other"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        Shared().route = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        Plan().lines[b"a"] = b"b"  # type: ignore[index]


def test_a_route_may_answer_by_itself() -> None:
    """Without an upstream there is nothing to forward to."""
    assert Route("health", Plan(), None).upstream == ""


def test_an_upstream_head_is_edited_in_place() -> None:
    """`prepare` hooks work on one object, which has slots only."""
    head = UpstreamHead(b"GET", b"/a?b", b"example.com", [(b"x", b"1")])
    head.fields.append((b"y", b"2"))
    assert (head.method, head.target, head.host) == (b"GET", b"/a?b", b"example.com")
    assert head.fields == [(b"x", b"1"), (b"y", b"2")]
    assert not hasattr(head, "__dict__")
