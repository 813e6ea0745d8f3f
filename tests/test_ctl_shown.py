"""Answers as lines for a terminal."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.ctl_shown import length, moment, printable, shown, table

ERROR = {
    "at": 1795210613.0, "request_id": "id-1", "status": 502, "cause": "connect_refused", "route": "all",
    "endpoint": "", "method": "GET", "host": "a.test", "path": "/\x1b[31m\u202e", "detail": "line\nbreak",
}  # fmt: skip


def test_columns_fit() -> None:
    """As wide as what is in them, numbers to the right, no blanks at the end."""
    assert table(("a", "long name"), [("xyz", 5), ("", 1000)]) == ["A    LONG NAME", "xyz          5", "          1000"]
    assert table(("a",), []) == ["A"]


def test_nothing_moves_the_cursor() -> None:
    """What a client has chosen is escaped, in tables too."""
    assert printable("a\x1b[2J\u202e\n") == "a\\x1b[2J\\u202e\\n"
    text = shown("errors", [ERROR])
    assert text.count("\n") == 1
    assert "\x1b" not in text
    assert "\u202e" not in text


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0s"), (59.9, "59s"), (60, "1m"), (3725, "1h 2m"), (90061, "1d 1h"), (86400, "1d")]
)
def test_lengths(seconds: float, said: str) -> None:
    """The two largest units."""
    assert length(seconds) == said


def test_moments() -> None:
    """UTC."""
    assert moment(1795210613.0) == "2026-11-20 21:36:53Z"


def test_status() -> None:
    """One line that says most, then facts, what was wrong with a refused reload, and the workers."""
    value: dict[str, Any] = {
        "version": "1.0", "ready": False, "reasons": ["draining"], "generation": 4,
        "last_reload": {"at": 1795210613.0, "ok": False, "text": "config.yaml:1:1: no"},
        "uptime_seconds": 90.0, "connections": 3, "listeners": [":80", ":443"], "routes": 2,
        "workers": [{"pid": 11, "connections": 1, "more": {}}, {"pid": 12, "connections": 2}],
    }  # fmt: skip
    lines = shown("status", value).splitlines()
    assert lines[0] == "gateway 1.0, configuration 4, not ready: draining"
    assert "  last reload  2026-11-20 21:36:53Z  refused" in lines
    assert "    config.yaml:1:1: no" in lines
    assert "  up for       1m 30s" in lines
    assert lines[-3].split() == ["WORKER", "PID", "CONNECTIONS"]
    assert lines[-1].split() == ["1", "12", "2"]
    bare = {key: value[key] for key in ("version", "ready", "reasons", "generation", "last_reload")}
    assert "up for" not in shown("status", bare)


def test_routes() -> None:
    """What is matched in a few words, and where it leads."""
    value = [
        {"name": "a", "match": {"host": ["a.test"], "path": ["/x", "/y"]}, "upstream": "app", "maintenance": True},
        {"name": "b", "match": {"headers": {"x": ["1"]}}, "redirect": {"to": "/new", "status": 308}},
        {"name": "c", "match": {}, "respond": {"status": 404}},
    ]
    lines = [line.split(maxsplit=1)[1] for line in shown("routes", value).splitlines()[1:]]
    assert [" ".join(line.split()) for line in lines] == [
        "a.test, /x /y app (maintenance)",
        "headers: {'x': ['1']} 308 /new",
        "everything 404",
    ]


def test_upstreams() -> None:
    """A line for each endpoint; how it is, in words."""
    states = {"active": 2, "idle": 1}
    endpoints = [
        {"name": "a:1", "weight": 1, "connections": states},
        {"name": "b:1", "weight": 5, "connections": {}, "drained": True, "healthy": False, "ejected": True},
    ]
    lines = shown("upstreams", [{"name": "app", "endpoints": endpoints}]).splitlines()
    assert lines[1].split() == ["app", "a:1", "in", "use", "1", "2", "1", "0", "0"]
    assert "drained, ejected, unhealthy" in lines[2]


def test_no_errors() -> None:
    """Said in words: an empty table looks like a failure."""
    assert shown("errors", []) == "No request has failed of late."


def test_changes() -> None:
    """What was so and what is so; a reload by its number."""
    assert shown("drain", {"before": {"drained": False}, "after": {"drained": True}}) == "drained: False -> True"
    assert shown("weight", {"before": {"weight": 1}, "after": {"weight": 1}}) == "weight: 1"
    same = {"before": {"generation": 4}, "after": {"generation": 4, "note": "nothing has changed"}}
    assert shown("reload", same) == "Configuration 4 is in force as before (nothing has changed)."
    assert shown("reload", {"before": {"generation": 4}, "after": {"generation": 5}}) == "Configuration 5 is in force."
