"""RouteTable against its specification: over random tables it finds what a scan of all routes finds."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.http.message import Request
from gateway.routing import MatchConfig, compile_routes
from tests.kit.exchanges import make_request, make_route

SEGMENTS = st.sampled_from(["a", "b", "ab", "a.x", ""])
PATTERN_SEGMENTS = st.sampled_from(["a", "b", "ab", "a*", "*b", "*", "**", "*.x", "a*b*"])
HOSTS = ["a.com", "b.a.com", "c.b.a.com", "x.org", "*.com", "*.a.com", "*.b.a.com", "*"]


@st.composite
def path_patterns(draw: st.DrawFn) -> str:
    """`/a/*/b`, `/**/a*/*` and the like."""
    return "/" + "/".join(draw(st.lists(PATTERN_SEGMENTS, min_size=1, max_size=4)))


@st.composite
def match_rows(draw: st.DrawFn) -> dict[str, Any]:
    """A `match` with any of its keys."""
    match: dict[str, Any] = {}
    if draw(st.booleans()):
        match["host"] = draw(st.lists(st.sampled_from(HOSTS), min_size=1, max_size=2))
    kind = draw(st.integers(0, 5))
    if kind == 1:
        match["path_regex"] = draw(st.sampled_from(["/a/.*", "/.*b", "/[ab]+", "/ab/(a|b)", ".*"]))
    elif kind > 1:
        match["path"] = draw(st.lists(path_patterns(), min_size=1, max_size=2))
    if draw(st.integers(0, 3)) == 0:
        match["methods"] = draw(st.lists(st.sampled_from(["GET", "POST", "HEAD"]), min_size=1, max_size=2))
    if draw(st.integers(0, 3)) == 0:
        match["headers"] = {"x": "1"}
    return match


def _segments(pattern: str) -> list[str]:
    segments = pattern.split("/")[1:]
    if segments[-1] in ("*", "**"):
        segments = segments[:-1]
        while segments and segments[-1] == "**":
            segments = segments[:-1]
        segments.append("/below/")
    return segments


def naive_path(pattern: str) -> tuple[str, tuple[Any, ...]]:
    """(Python regular expression, rank) of a path glob, written independently of the tables."""
    expression = ""
    rank: list[tuple[Any, ...]] = []
    segments = _segments(pattern)
    if segments == ["/below/"]:
        return ".*", (3,)
    if "*" not in pattern:
        return re.escape(pattern), (0,)
    for at, segment in enumerate(segments):
        if segment == "**":
            rest = [part for part in segments[at:] if part != "/below/"]
            text = "/".join(rest)
            rank.append((3, 0, text.count("*") - len(text), text, segments[-1] == "/below/"))
            break
        if segment == "/below/":
            rank.append((4,))
        elif segment == "*":
            rank.append((2,))
        elif "*" in segment:
            rank.append((1, -segment.index("*"), segment.count("*") - len(segment), segment))
        else:
            rank.append((0, 1, segment))
    else:
        if segments[-1] != "/below/":
            rank.append((0, 0))
    for segment in segments:
        if segment in ("**", "/below/"):
            expression += "(/.*)?"
        elif segment == "*":
            expression += "/[^/]+"
        else:
            expression += "/" + re.escape(segment).replace(r"\*", "[^/]*")
    return expression, (1, tuple(rank))


def hosts(match: dict[str, Any]) -> list[str]:
    found: list[str] = match.get("host", ["*"])
    return found


def naive_find(matches: list[dict[str, Any]], request: Request) -> int | None:
    """The specification: of all that match, the least by host, path, number of conditions, order."""
    host, path = request.host.decode(), request.path.decode()
    best: list[tuple[Any, ...]] = []
    for order, match in enumerate(matches):
        methods = match.get("methods")
        if methods and request.method.decode() not in [*methods, *(["HEAD"] if "GET" in methods else [])]:
            continue
        if "headers" in match and request.index.get(b"x") != b"1":
            continue
        conditions = ("methods" in match) + ("headers" in match)
        for pattern in hosts(match):
            if "path_regex" in match:  # in the order of the file, among those of the same host
                same = [other["path_regex"] for other in matches if "path_regex" in other and pattern in hosts(other)]
                paths = [(match["path_regex"], (2, same.index(match["path_regex"])))]
            else:
                paths = [naive_path(one) for one in match.get("path", ["/*"])]
            if pattern not in ("*", host) and not (pattern.startswith("*.") and host.endswith(pattern[1:])):
                continue
            host_rank = (2, 0) if pattern == "*" else (1, -len(pattern)) if pattern.startswith("*") else (0, 0)
            for expression, path_rank in paths:
                if re.fullmatch(expression, path, re.DOTALL):
                    best.append((host_rank, path_rank, -conditions, order))
    return min(best)[-1] if best else None


@settings(max_examples=4 * settings().max_examples)
@given(
    matches=st.lists(match_rows(), max_size=8),
    segments=st.lists(SEGMENTS, min_size=1, max_size=4),
    host=st.sampled_from(HOSTS[:4]),
    method=st.sampled_from(["GET", "HEAD", "POST"]),
    field=st.booleans(),
)
def test_the_table_equals_a_scan(
    matches: list[dict[str, Any]], segments: list[str], host: str, method: str, field: bool
) -> None:
    """Over random tables and requests, dictionaries and tries find what the specification finds by looking at all."""
    request = make_request(f"{method} /{'/'.join(segments)}", host, *(["X: 1"] if field else []))
    routes = compile_routes([(MatchConfig(**match), make_route(str(at))) for at, match in enumerate(matches)])
    route = routes.find(request)
    expected = naive_find(matches, request)
    assert (route.name if route is not None else None) == (None if expected is None else str(expected))
    taken = routes.explain(request)[-1]
    assert taken.endswith(": taken") is (route is not None)
    assert route is None or taken.startswith(f"'{route.name}' ")
