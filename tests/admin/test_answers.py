"""JSON and problem details."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson

from gateway.admin.actions import Mistake
from gateway.admin.answers import as_json, problem


def test_values_become_json() -> None:
    """Indented, with a newline at the end; what JSON does not know as text."""
    answer = as_json({"when": datetime(2026, 1, 1, tzinfo=UTC), 1: None}, 503)
    assert (answer.status, answer.content_type) == (503, "application/json")
    assert isinstance(answer.body, bytes)
    assert orjson.loads(answer.body) == {"when": "2026-01-01T00:00:00+00:00", "1": None}
    assert answer.body.endswith(b"\n")


def test_problems_say_what_is_known() -> None:
    """RFC 9457: title and status always, detail and mistakes where there are any, pointers where they lead somewhere."""
    bare = problem(404, "")
    assert isinstance(bare.body, bytes)
    assert orjson.loads(bare.body) == {"type": "about:blank", "title": "Not Found", "status": 404}
    whole = problem(422, "no", {"Allow": "GET"}, [Mistake("wrong", "#/a"), Mistake("so is this")])
    assert isinstance(whole.body, bytes)
    assert (whole.content_type, whole.headers["Allow"]) == ("application/problem+json", "GET")
    assert orjson.loads(whole.body)["errors"] == [{"detail": "wrong", "pointer": "#/a"}, {"detail": "so is this"}]
