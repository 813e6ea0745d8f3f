"""MatchConfig: what operators write is brought into one spelling, and each slip is named with what to write."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.route_match import FieldMatch, MatchConfig, glob_regex, read_host, read_path, take_apart


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("Example.COM.", "example.com"),
        ("*.Example.com", "*.example.com"),
        ("*", "*"),
        ("::1", "[::1]"),
        ("[2001:DB8:0::1]", "[2001:db8::1]"),
        ("192.0.2.1", "192.0.2.1"),
        ("_dmarc.example.com", "_dmarc.example.com"),
    ],
)
def test_hosts_in_one_spelling(text: str, spelled: str) -> None:
    """Case, a final dot and the spelling of an address do not matter."""
    assert read_host(text) == spelled


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("https://a.example/x", "write the name alone, for example a.example"),
        ("a.example:8080", "write a.example"),
        ("bücher.example", "write xn--bcher-kva.example"),
        ("*example.com", "*.example.com"),
        ("a.*.com", "the only wildcard is a leading"),
        ("exa mple.com", "is not a host name"),
        ("", "is not a host name"),
        ("a..b", "is not a host name"),
    ],
)
def test_host_slips(text: str, advice: str) -> None:
    """Each message says what to write instead."""
    with pytest.raises(ValueError, match=re.escape(advice)):
        read_host(text)


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("/a", "/a"),
        ("*", "/*"),
        ("/**", "/*"),
        ("/**/**", "/*"),
        ("/a/**", "/a/*"),
        ("/a/**/*", "/a/*"),
        ("/a/*/**", "/a/*/*"),
        ("/a/**/b", "/a/**/b"),
        ("/%7ejoe/%2f/é x", "/~joe/%2F/%C3%A9%20x"),
        ("/a//b/", "/a//b/"),
    ],
)
def test_paths_in_one_spelling(text: str, spelled: str) -> None:
    """Patterns are normalised like the paths of requests."""
    assert read_path(text) == spelled
    assert read_path(spelled) == spelled


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("api", "write /api"),
        ("/a?b=1", "matched by `query`"),
        ("/a#b", "a fragment is never sent"),
        ("/users/{id}", "write *"),
        ("/[ab]", "path_regex"),
        ("/a/../b", "dot segments are removed"),
        ("/a**", "write it between slashes"),
        ("/a%zz", "an invalid percent-escape"),
        ("/a\\b", "a backslash"),
        ("", "begins with a slash"),
    ],
)
def test_path_slips(text: str, advice: str) -> None:
    """Each message says what to write instead."""
    with pytest.raises(ValueError, match=re.escape(advice)):
        read_path(text)


def test_take_apart_and_regex() -> None:
    """A glob's pieces, and the regular expression that defines it."""
    pattern = take_apart("/a/*/**/b*/*")
    assert pattern == ((b"a", b"*"), (b"**", b"b*"), True)
    assert glob_regex("/a/*/**/b*/*") == "(?s:/a/[^/]+(?:/.*)?/b[^/]*(?:/.*)?)"


def test_field_forms() -> None:
    """A value, a glob, present, absent, and the long forms for values that look like those."""
    match = MatchConfig(
        headers={"X-A": "1", "x-b": "v*", "x-c": "present", "x-d": "absent", "x-e": {"regex": "[0-9]+"}},  # type: ignore[dict-item]
        query={"q": {"exact": "present"}, "r": {"glob": "a*"}},  # type: ignore[dict-item]
    )
    assert match.headers == {
        "x-a": FieldMatch("exact", "1"),
        "x-b": FieldMatch("glob", "v*"),
        "x-c": FieldMatch("present"),
        "x-d": FieldMatch("absent"),
        "x-e": FieldMatch("regex", "[0-9]+"),
    }
    assert match.query == {"q": FieldMatch("exact", "present"), "r": FieldMatch("glob", "a*")}


@pytest.mark.parametrize(
    ("keys", "where", "advice"),
    [
        ({"methods": "get"}, ("methods", 0), "write GET"),
        ({"methods": ["GET", "FETCH"]}, ("methods", 1), "is not a method"),
        ({"methods": "TRACE"}, ("methods", 0), "refused before routing"),
        ({"methods": []}, ("methods",), "an empty list matches nothing"),
        ({"host": []}, ("host",), "an empty list matches nothing"),
        ({"path_regex": "(?!x)/a"}, ("path_regex", 0), "look-ahead"),
        ({"path_regex": "users"}, ("path_regex", 0), "write /users"),
        ({"path": "/a", "path_regex": "/b"}, (), "both `path` and `path_regex`"),
        ({"headers": {"Host": "x"}}, ("headers", "Host", "[key]"), "matched by `host`"),
        ({"headers": {"A": "x", "a": "y"}}, ("headers",), "'a' stands here twice"),
        ({"headers": {"a b": "x"}}, ("headers", "a b", "[key]"), "not a field name"),
        ({"headers": {"a": 1}}, ("headers", "a"), "put it in quotes"),
        ({"headers": {"a": {"regex": "("}}}, ("headers", "a"), "is not a usable pattern"),
        ({"query": {"a": {"is": "x"}}}, ("query", "a"), "expected a value"),
    ],
)
def test_match_slips(keys: dict[str, Any], where: tuple[Any, ...], advice: str) -> None:
    """One error, at the place where the slip is."""
    with pytest.raises(ValidationError) as caught:
        MatchConfig(**keys)
    (error,) = caught.value.errors()
    assert error["loc"] == where
    assert advice in error["msg"]


def test_schema_lets_editors_write_one_or_many() -> None:
    """The JSON Schema allows a text or a list where the model does."""
    host = MatchConfig.model_json_schema()["properties"]["host"]
    assert {"type": "string"} in host["anyOf"][0]["anyOf"]
