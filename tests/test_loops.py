"""Redirects that never end, found by following them; and those of which it is not certain."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import load
from gateway.loops import HOPS, endless_redirects
from gateway.site import build_site

PLAIN = "listeners: [{bind: ':80'}]\n"
BOTH = "listeners: [{bind: ':80'}, {bind: ':443', tls: {}}]\n"
SENT_ON = "listeners: [{bind: ':80', redirect_to_https: true}, {bind: ':443', tls: {}}]\n"


def loops(folder: Path, *routes: str, listeners: str = PLAIN) -> dict[int, str]:
    """{index of the route: the walk}."""
    path = folder / "config.yaml"
    path.write_text(f"{listeners}upstreams: {{app: {{endpoints: [http://app]}}}}\nroutes: [{', '.join(routes)}]\n")
    loaded = load(path)
    found: dict[int, str] = {}
    for place, text in endless_redirects(loaded, build_site(loaded)):
        assert (place[0], place[2]) == ("routes", "redirect")
        found[int(place[1])] = text.removeprefix("it never ends: ")
    return found


@pytest.mark.parametrize(
    ("route", "walk"),
    [
        ("{match: {path: /a}, redirect: /a}", "/a -> /a"),
        ("{match: {path: /a/*}, redirect: {to: /a/b, status: 302}}", "/a/any -> /a/b -> /a/b"),
        ("{match: {path: /a/**/b}, redirect: '${path}'}", "/a/any/b -> /a/any/b"),
        ("{redirect: '${uri}'}", "/any -> /any"),
        ("{match: {host: a.test}, redirect: 'http://a.test/x'}", "/any -> /x -> /x"),
        ("{match: {host: '*.a.test'}, redirect: 'http://www.a.test${uri}'}", "/any -> http://www.a.test/any -> "),
        ("{match: {methods: [PUT], path: /a}, redirect: /a}", "/a -> /a"),
        ("{match: {host: a.test}, redirect: 'http://a.test:80/x'}", "/any -> http://a.test:80/x -> "),
    ],
)
def test_a_redirect_to_itself(route: str, walk: str, tmp_path: Path) -> None:
    """The walk is told as far as it repeats."""
    assert loops(tmp_path, route)[0].startswith(walk)


def test_a_redirect_that_grows_has_no_end_either(tmp_path: Path) -> None:
    """Only the begin of such a walk is told."""
    walk = loops(tmp_path, "{match: {path: /a/*}, redirect: '/a${path}'}")[0]
    assert walk == "/a/any -> /a/a/any -> /a/a/a/any -> /a/a/a/a/any -> …"
    assert walk.count("->") < HOPS


def test_redirects_that_send_to_each_other(tmp_path: Path) -> None:
    """Each of them is told."""
    found = loops(tmp_path, "{match: {path: /a}, redirect: /b}", "{match: {path: /b}, redirect: /a}")
    assert found == {0: "/a -> /b -> /a", 1: "/b -> /a -> /b"}


def test_https_on_a_route_loops_where_the_gateway_serves_https(tmp_path: Path) -> None:
    """A route matches both; `redirect_to_https` on the listener is what was meant."""
    route = "{match: {host: a.test}, redirect: 'https://${host}${uri}'}"
    assert loops(tmp_path, route, listeners=BOTH) == {0: "/any -> /any"}
    assert loops(tmp_path, route, listeners=PLAIN) == {}


def test_http_on_a_route_behind_a_listener_that_sends_to_https(tmp_path: Path) -> None:
    """There and back again."""
    route = "{match: {host: a.test}, redirect: 'http://a.test${uri}'}"
    assert loops(tmp_path, route, listeners=SENT_ON) == {0: "/any -> http://a.test/any -> /any"}


@pytest.mark.parametrize(
    "routes",
    [
        ("{match: {path: /a}, redirect: /b}", "{upstream: app}"),
        ("{match: {path: /a/*}, redirect: /a/b}", "{match: {path: /a/b}, upstream: app}"),
        ("{match: {path: /*}, redirect: /login}", "{match: {path: /login}, respond: 200}"),
        ("{match: {path: /a, headers: {x: present}}, redirect: /a}",),
        ("{match: {path: /a, query: {x: absent}}, redirect: '/a?x=1'}",),
        ("{match: {path_regex: '/a.*'}, redirect: /a}",),
        ("{match: {methods: [POST], path: /a}, redirect: {to: /a, status: 303}}",),
        ("{match: {path: /a}, redirect: 'https://elsewhere.test/a'}",),
        ("{match: {path: /a}, redirect: 'http://elsewhere.test/a'}",),
        ("{match: {host: a.test}, redirect: 'http://a.test:8080/'}",),
        ("{match: {host: a.test}, redirect: 'https://b.test${uri}'}", "{match: {host: b.test}, upstream: app}"),
        ("{match: {path: /a/any}, upstream: app}", "{match: {path: /a/*}, redirect: /a/any}"),
    ],
)
def test_what_ends_or_may_end_is_not_told(routes: tuple[str, ...], tmp_path: Path) -> None:
    """Another route answers, something else may serve the target, or fields decide."""
    assert loops(tmp_path, *routes) == {}


def test_thousands_of_hosts_are_sampled(tmp_path: Path) -> None:
    """A check stays quick."""
    hosts = ", ".join(f"h{number}.test" for number in range(2000))
    assert list(loops(tmp_path, f"{{match: {{host: [{hosts}]}}, redirect: /a}}")) == [0]
