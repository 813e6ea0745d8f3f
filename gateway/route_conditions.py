"""What a route asks beyond host and path: methods, fields, query parameters, compiled to tests of a Request.

Compiled by routing.py at load; the tests run only for rows whose host and path match already. The rule: a value that
a client repeats counts if any one of its copies matches, and nothing is decoded that no route asks about.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias
from urllib.parse import unquote_to_bytes

from gateway.http.message import Request
from gateway.patterns import compile_glob, compile_regex
from gateway.route_match import FieldMatch, MatchConfig

RequestTest: TypeAlias = Callable[[Request], bool]


class Conditions(NamedTuple):
    """The conditions of one route.

    test     all of them at once; None where there are none
    methods  None for any
    others   the test without the methods; None where there are none
    single   (text, test) of each of the others, for explanations
    """

    test: RequestTest | None
    methods: frozenset[bytes] | None
    others: RequestTest | None
    single: tuple[tuple[str, RequestTest], ...]

    @property
    def number(self) -> int:
        """How many there are: between routes of one pattern, more conditions win."""
        return len(self.single) + (self.methods is not None)

    @property
    def texts(self) -> list[str]:
        """One phrase for each."""
        methods = [] if self.methods is None else [b"|".join(sorted(self.methods)).decode()]
        return methods + [text for text, _test in self.single]

    def covers(self, other: Conditions) -> bool:
        """Whether every request that fulfils `other` fulfils these (as far as their texts tell)."""
        if self.methods is not None and not (other.methods is not None and self.methods >= other.methods):
            return False
        return {text for text, _test in self.single} <= {text for text, _test in other.single}

    def failed(self, request: Request) -> list[str]:
        """The conditions that `request` does not fulfil, in words."""
        lines = [text for text, test in self.single if not test(request)]
        if self.methods is not None and request.method not in self.methods:
            allowed = b", ".join(sorted(self.methods)).decode()
            lines.insert(0, f"method {request.method.decode()} is not one of {allowed}")
        return lines


def read_conditions(match: MatchConfig) -> Conditions:
    """The compiled conditions of `match`. Raises ValueError for a regular expression that does not compile."""
    methods = None
    if match.methods is not None:
        methods = frozenset(method.encode() for method in match.methods)
        if b"GET" in methods:
            methods |= {b"HEAD"}
    single = [
        (f"field {name}: {wanted}", _field_test(name.encode(), wanted))
        for name, wanted in sorted(match.headers.items())
    ]
    single += [
        (f"query {name}: {wanted}", _query_test(name.encode(), wanted)) for name, wanted in sorted(match.query.items())
    ]
    others = _all([test for _text, test in single])
    return Conditions(_with_methods(methods, others), methods, others, tuple(single))


def _all(tests: list[RequestTest]) -> RequestTest | None:
    if len(tests) < 2:
        return tests[0] if tests else None
    return lambda request: all(test(request) for test in tests)


def _with_methods(methods: frozenset[bytes] | None, others: RequestTest | None) -> RequestTest | None:
    if methods is None:
        return others
    if others is None:
        return lambda request: request.method in methods
    return lambda request: request.method in methods and others(request)


def _value_test(wanted: FieldMatch) -> Callable[[bytes], object]:
    if wanted.kind == "regex":
        return compile_regex(wanted.text).fullmatch  # type: ignore[no-any-return]
    if wanted.kind == "glob":
        return compile_glob(wanted.text.encode())
    return wanted.text.encode().__eq__


def _field_test(name: bytes, wanted: FieldMatch) -> RequestTest:
    if wanted.kind == "absent":
        return lambda request: name not in request.index
    if wanted.kind == "present":
        return lambda request: name in request.index
    matches = _value_test(wanted)

    def test(request: Request) -> bool:
        value = request.index.get(name)
        if value is None:
            return False
        return bool(matches(value)) or any(matches(each) for each in request.values(name))

    return test


def query_values(query: bytes | None, name: bytes) -> list[bytes]:
    """The percent-decoded values of the parameter `name` (decoded bytes) in a query string, in order."""
    found: list[bytes] = []
    for part in query.split(b"&") if query else ():
        key, _equals, value = part.partition(b"=")
        if key == name or ((b"%" in key or b"+" in key) and _decoded(key) == name):
            found.append(_decoded(value))
    return found


def _decoded(text: bytes) -> bytes:
    return unquote_to_bytes(text.replace(b"+", b" "))


def _query_test(name: bytes, wanted: FieldMatch) -> RequestTest:
    if wanted.kind == "absent":
        return lambda request: not query_values(request.query, name)
    if wanted.kind == "present":
        return lambda request: bool(query_values(request.query, name))
    matches = _value_test(wanted)
    return lambda request: any(matches(value) for value in query_values(request.query, name))
