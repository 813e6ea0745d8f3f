"""The routing table: host and path of a request to its route, the most specific first, never by scanning.

The pipeline asks it once per request, after `identify` and before `admit`. The rule: the answer depends on what the
routes match and not on the order in which they stand, which decides between equals only (docs/explanation/routing.md).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from gateway.hooks import Route
from gateway.http.message import Request
from gateway.patterns import compile_glob, compile_regex
from gateway.route_conditions import Conditions, RequestTest, read_conditions
from gateway.route_match import ANY_HOST, ANY_PATH, MAX_NAME, MatchConfig, glob_regex, is_exact, take_apart
from gateway.route_settings import RouteConfig, RouteSettings, route_names, settings_for

__all__ = [
    "MatchConfig",
    "RouteConfig",
    "RouteSettings",
    "RouteTable",
    "compile_routes",
    "route_names",
    "settings_for",
]

# A first segment that every match of a regular expression must have: "/word/" and no alternative anywhere.
_FIRST_SEGMENT = re.compile(r"\^*/([A-Za-z0-9_~-]+)/(?![?*+{])[^|]*")


class Row(NamedTuple):
    """One host and one path pattern of one route."""

    host: str
    path: str  # a pattern as read_path spells it, or a regular expression
    is_regex: bool
    conditions: Conditions
    route: Route
    order: int  # of the route in the file

    def __str__(self) -> str:
        parts = [self.host, f"matching {self.path}" if self.is_regex else self.path, *self.conditions.texts]
        return f"{self.route.name!r} ({', '.join(parts)})"


_Match: TypeAlias = Callable[[bytes], Any]
# The rows of one host and one path pattern, in the order in which they are tried: (test or None, route, row).
Rows: TypeAlias = tuple[tuple[RequestTest | None, Route, Row], ...]


class _Node:
    """A segment boundary in a scope's trie of path patterns.

    literal  next segment → node
    partial  (test of the next segment, node), the longest text first
    star     node after any one segment that is not empty
    here     rows of patterns that end exactly here (those without any `*` are in Scope.exact)
    deep     (test of the whole path, rows) of patterns that go on with `**`, the longest text first
    tail     rows of the pattern that ends here in `/*`
    branchy  whether there is more than `literal` and `tail`: then the quick walk is not enough
    """

    __slots__ = ("branchy", "deep", "here", "literal", "partial", "star", "tail")

    def __init__(self) -> None:
        self.literal: dict[bytes, _Node] = {}
        self.partial: list[tuple[_Match, _Node, bytes]] = []
        self.star: _Node | None = None
        self.here: Rows = ()
        self.deep: list[tuple[_Match, Rows, tuple[int, int, bytes, bool]]] = []
        self.tail: Rows = ()
        self.branchy = False


class _Scope:
    """All rows of one host pattern, by path.

    exact        path → rows
    top          the trie; its only child is b"", the text before the first slash
    depth        how often to split a path at its slashes; 0 where there is no trie
    regexes      first segment → (match of the whole path, rows), those without a certain first segment included
    other_regexes  those alone, for any other first segment
    any          rows that take every path
    wider        the scope of the next wider host pattern, tried when nothing here matches
    """

    __slots__ = ("any", "depth", "exact", "host", "other_regexes", "regexes", "top", "wider")

    def __init__(self, host: str) -> None:
        self.host = host
        self.exact: dict[bytes, Rows] = {}
        self.top = _Node()
        self.depth = 0
        self.regexes: dict[bytes, tuple[tuple[_Match, Rows], ...]] = {}
        self.other_regexes: tuple[tuple[_Match, Rows], ...] = ()
        self.any: Rows = ()
        self.wider: _Scope | None = None

    def candidates(self, path: bytes) -> Iterator[Rows]:
        """Rows whose path pattern matches, the most specific first; conditions are not looked at."""
        rows = self.exact.get(path)
        if rows is not None:
            yield rows
        if self.depth:
            yield from _walk(self.top, path.split(b"/", self.depth), 0, path)
        if self.regexes or self.other_regexes:
            first = path.split(b"/", 2)[1] if path.count(b"/") > 1 else b""
            for matches, rows in self.regexes.get(first, self.other_regexes):
                if matches(path):
                    yield rows
        if self.any:
            yield self.any


def _walk(node: _Node, segments: list[bytes], at: int, path: bytes) -> Iterator[Rows]:
    """Depth first: at each boundary text wins over text with `*`, that over `*`, that over `**`, that over `/*`."""
    if at == len(segments):
        if node.here:
            yield node.here
    else:
        segment = segments[at]
        child = node.literal.get(segment)
        if child is not None:
            yield from _walk(child, segments, at + 1, path)
        for test, after, _text in node.partial:
            if test(segment):
                yield from _walk(after, segments, at + 1, path)
        if node.star is not None and segment:
            yield from _walk(node.star, segments, at + 1, path)
    for matches, rows, _key in node.deep:
        if matches(path):
            yield rows
    if node.tail:
        yield node.tail


class RouteTable:
    """The compiled routes of a site. `unreachable`: rows that can never take a request, each with the one that does."""

    __slots__ = ("_any", "_hosts", "_wildcards", "unreachable")

    def __init__(self, scopes: dict[str, _Scope], unreachable: list[tuple[Row, Row]]) -> None:
        self.unreachable = unreachable
        self._hosts = {h.encode(): scope for h, scope in scopes.items() if not h.startswith("*")}
        self._wildcards = {h[1:].encode(): scope for h, scope in scopes.items() if h.startswith("*.")}
        self._any = scopes[ANY_HOST]
        for scope in self._wildcards.values():
            scope.wider = self._nearest(scope.host[2:].encode())
        for scope in self._hosts.values():
            scope.wider = self._nearest(scope.host.encode())

    def _nearest(self, host: bytes) -> _Scope:
        """The scope of the longest wildcard that covers `host`, or of any host."""
        if self._wildcards and len(host) <= MAX_NAME:
            dot = host.find(b".", 1)
            while dot > 0:
                scope = self._wildcards.get(host[dot:])
                if scope is not None:
                    return scope
                dot = host.find(b".", dot + 1)
        return self._any

    def find(self, request: Request) -> Route | None:
        """The route that takes `request`, or None. `OPTIONS *` is for the pipeline to answer before it asks."""
        scope: _Scope | None = self._hosts.get(request.host)
        if scope is None:
            scope = self._nearest(request.host)
        path = request.path
        while scope is not None:
            rows = scope.exact.get(path)
            if rows is None:
                if scope.depth:
                    node: _Node | None = scope.top
                    for segment in path.split(b"/", scope.depth):
                        node = node.literal.get(segment)  # type: ignore[union-attr]
                        if node is None:
                            break
                        if node.branchy:
                            return self._search(scope, request)
                        if node.tail:
                            rows = node.tail
                if rows is None:
                    if scope.other_regexes or scope.regexes:
                        return self._search(scope, request)
                    rows = scope.any
            if rows:
                for test, route, _row in rows:
                    if test is None or test(request):
                        return route
                return self._search(scope, request)
            scope = scope.wider
        return None

    def _candidates(self, scope: _Scope | None, path: bytes) -> Iterator[Rows]:
        while scope is not None:
            yield from scope.candidates(path)
            scope = scope.wider

    def _search(self, scope: _Scope, request: Request) -> Route | None:
        for rows in self._candidates(scope, request.path):
            for test, route, _row in rows:
                if test is None or test(request):
                    return route
        return None

    def _rows(self, request: Request) -> Iterator[Row]:
        scope = self._hosts.get(request.host) or self._nearest(request.host)
        for rows in self._candidates(scope, request.path):
            for _test, _route, row in rows:
                yield row

    def allowed(self, request: Request) -> frozenset[bytes]:
        """Methods with which `request` would have found a route: for the Allow field of a 405 (RFC 9110 §15.5.6).

        Empty where no method would do: that is a 404.
        """
        methods: set[bytes] = set()
        for row in self._rows(request):
            wanted = row.conditions
            if wanted.methods is not None and (wanted.others is None or wanted.others(request)):
                methods |= wanted.methods
        return frozenset(methods)

    def explain(self, request: Request) -> list[str]:
        """What `find` looked at, a line each, in its order; the last line is the outcome."""
        lines: list[str] = []
        for row in self._rows(request):
            failed = row.conditions.failed(request)
            if not failed:
                return [*lines, f"{row}: taken"]
            lines.append(f"{row}: not taken, for {' and '.join(failed)}")
        host, path = request.host.decode("latin-1"), request.path.decode("latin-1")
        allowed = b", ".join(sorted(self.allowed(request))).decode()
        return [*lines, f"no route takes {host}{path}" + (f" by this method: allowed are {allowed}" if allowed else "")]


def compile_routes(rows: Sequence[tuple[MatchConfig, Route]]) -> RouteTable:
    """The table of `rows`, which stand in the file's order. Raises ValueError for a pattern that does not compile."""
    groups: dict[tuple[str, str, bool], list[Row]] = {}
    for order, (match, route) in enumerate(rows):
        conditions = read_conditions(match)
        paths = match.path_regex or match.path or [ANY_PATH]
        for host in dict.fromkeys(match.host or [ANY_HOST]):
            for path in dict.fromkeys(paths):
                row = Row(host, path, match.path_regex is not None, conditions, route, order)
                groups.setdefault((host, path, row.is_regex), []).append(row)
    scopes = {ANY_HOST: _Scope(ANY_HOST)}
    regexes: dict[str, list[tuple[str, Rows]]] = {}
    unreachable: list[tuple[Row, Row]] = []
    for (host, path, is_regex), group in groups.items():
        group.sort(key=lambda row: (-row.conditions.number, row.order))
        unreachable += _unreachable(group)
        scope = scopes.setdefault(host, _Scope(host))
        ready: Rows = tuple((row.conditions.test, row.route, row) for row in group)
        if is_regex:
            regexes.setdefault(host, []).append((path, ready))
        elif path == ANY_PATH:
            scope.any = ready
        elif is_exact(path):
            scope.exact[path.encode()] = ready
        else:
            _plant(scope, path, ready)
    for host, patterns in regexes.items():
        _add_regexes(scopes[host], patterns)
    return RouteTable(scopes, unreachable)


def _unreachable(group: list[Row]) -> list[tuple[Row, Row]]:
    """Which of the rows of one pattern are hidden by an earlier one: it matches all that they match."""
    found: list[tuple[Row, Row]] = []
    for at, row in enumerate(group):
        by = next((earlier for earlier in group[:at] if earlier.conditions.covers(row.conditions)), None)
        if by is not None:
            found.append((row, by))
    return found


def _plant(scope: _Scope, path: str, rows: Rows) -> None:
    """Puts a glob into the scope's trie."""
    pattern = take_apart(path)
    node = scope.top.literal.setdefault(b"", _Node())
    for segment in pattern.segments:
        if segment == b"*":
            node.branchy = True
            node.star = node.star or _Node()
            node = node.star
        elif b"*" in segment:
            node.branchy = True
            node = _partial(node, segment)
        else:
            node = node.literal.setdefault(segment, _Node())
    scope.depth = max(scope.depth, len(pattern.segments) + 1)
    if pattern.deep:
        node.branchy = True
        key = (*_literal_first(b"/".join(pattern.deep)), pattern.tail)
        node.deep.append((compile_regex(glob_regex(path)).fullmatch, rows, key))
        node.deep.sort(key=lambda entry: entry[2])
    elif pattern.tail:
        node.tail = rows
    else:
        node.branchy = True
        node.here = rows


def _partial(node: _Node, segment: bytes) -> _Node:
    for _test, after, text in node.partial:
        if text == segment:
            return after
    after = _Node()
    node.partial.append((compile_glob(segment), after, segment))
    node.partial.sort(key=lambda entry: _literal_first(entry[2]))
    return after


def _literal_first(text: bytes) -> tuple[int, int, bytes]:
    """Sorts globs by the text before their first `*`, then by all their text, the longest first; then by name."""
    return -text.index(b"*"), text.count(b"*") - len(text), text


def _add_regexes(scope: _Scope, patterns: list[tuple[str, Rows]]) -> None:
    """Regular expressions in the file's order, by the first segment that they must have."""
    compiled = [(_first_segment(path), compile_regex(path).fullmatch, rows) for path, rows in patterns]
    scope.other_regexes = tuple((matches, rows) for first, matches, rows in compiled if first is None)
    for wanted in {first for first, _matches, _rows in compiled if first is not None}:
        scope.regexes[wanted] = tuple((matches, rows) for first, matches, rows in compiled if first in {None, wanted})


def _first_segment(pattern: str) -> bytes | None:
    found = _FIRST_SEGMENT.fullmatch(pattern)
    return found[1].encode() if found else None
