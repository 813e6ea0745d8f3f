"""RouteTable: the most specific route wins, wherever it stands, and the table says the same as a plain scan."""

from __future__ import annotations

import itertools
import re
import timeit
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.http.message import Request
from gateway.routing import MatchConfig, RouteConfig, RouteTable, compile_routes, route_names
from tests.kit.exchanges import make_request, make_route


def table(*matches: dict[str, Any]) -> RouteTable:
    """A table of routes named 0, 1, 2 …"""
    return compile_routes([(MatchConfig(**match), make_route(str(at))) for at, match in enumerate(matches)])


def found(routes: RouteTable, line: str, host: str | None = "example.com", *fields: str) -> str | None:
    """The name of the route that takes the request."""
    route = routes.find(make_request(line, host, *fields))
    return route.name if route is not None else None


def winner(line: str, *matches: dict[str, Any]) -> dict[str, Any] | None:
    """The match that wins, in whatever order the matches stand."""
    winners = set()
    for order in itertools.permutations(range(len(matches))):
        name = found(table(*(matches[at] for at in order)), line)
        winners.add(order[int(name)] if name is not None else None)
    assert len(winners) == 1, f"the order of the file decides: {winners}"
    at = winners.pop()
    return None if at is None else matches[at]


def test_exact_host_wins_over_wildcard_over_any() -> None:
    """Hosts rank exact, longest wildcard, any; and a wildcard covers one or more labels but not the bare name."""
    routes = table({}, {"host": "*.example.com"}, {"host": "*.shop.example.com"}, {"host": "a.shop.example.com"})
    hosts = {
        "a.shop.example.com": "3",
        "A.Shop.Example.COM:8080": "3",
        "a.shop.example.com.": "3",
        "b.shop.example.com": "2",
        "x.y.shop.example.com": "2",
        "shop.example.com": "1",
        "deep.er.example.com": "1",
        "example.com": "0",
        "badexample.com": "0",
        "[::1]": "0",
    }
    assert {host: found(routes, "GET /", host) for host in hosts} == hosts
    assert found(routes, "GET /", None) == "0"


def test_ip_address_hosts() -> None:
    """An IPv6 host is matched in brackets, however the operator spelled it."""
    routes = table({"host": "0:0::1"}, {"host": "192.0.2.1"})
    assert found(routes, "GET /", "[::1]:8443") == "0"
    assert found(routes, "GET /", "192.0.2.1") == "1"


def test_host_before_path() -> None:
    """The host decides first; a request that its host's routes do not take falls to the wider ones."""
    routes = table({"path": "/api/users"}, {"host": "example.com", "path": "/api/*"}, {"host": "*.com", "path": "/x"})
    assert found(routes, "GET /api/users") == "1"
    assert found(routes, "GET /api/users", "other.org") == "0"
    assert found(routes, "GET /x") == "2"
    assert found(routes, "GET /y") is None


def test_a_long_host_costs_no_search() -> None:
    """A host name longer than DNS allows is nobody's subdomain."""
    routes = table({"host": "*.com"}, {})
    request = make_request()
    request.host = b"a." * 4000 + b"com"
    route = routes.find(request)
    assert route is not None
    assert route.name == "1"


@pytest.mark.parametrize(
    ("pattern", "takes", "leaves"),
    [
        ("/a", ["/a", "/%61", "/b/../a"], ["/a/", "/a/b", "/A", "/ab", "/"]),
        ("/", ["/", "/."], ["/a", "//"]),
        ("/a/*", ["/a", "/a/", "/a/b", "/a/b/c", "/a//", "/a/b%2Fc"], ["/ab", "/", "/b/a"]),
        ("/a/**", ["/a", "/a/b/c"], ["/ab"]),
        ("/a/*/c", ["/a/b/c", "/a/b%2Fx/c"], ["/a/c", "/a//c", "/a/b/b/c", "/a/b/c/"]),
        ("/a/*/c/*", ["/a/b/c", "/a/b/c/d/e"], ["/a/c/d"]),
        ("/files/*.jpg", ["/files/a.jpg", "/files/.jpg"], ["/files/a.png", "/files/a/b.jpg", "/files/a.jpgx"]),
        ("/a*b*c", ["/abc", "/aXbYc", "/abbc"], ["/ab/c", "/acb"]),
        ("/a/**/z", ["/a/z", "/a/b/z", "/a/b/c/z"], ["/a/bz", "/az", "/a/z/"]),
        ("/**/*.php", ["/x.php", "/a/b/x.php"], ["/x.php/y"]),
        ("/a/**/z/*", ["/a/z", "/a/b/z/y"], ["/a/zz"]),
        ("/~joe/é", ["/%7Ejoe/%C3%A9", "/~joe/%c3%a9"], ["/~joe/e"]),
        ("/*", ["/", "/a/b", "//"], []),
        ("*", ["/", "/a"], []),
    ],
)
def test_what_a_path_pattern_takes(pattern: str, takes: list[str], leaves: list[str]) -> None:
    """Each kind of pattern, by examples on both sides of its edge."""
    routes = table({"path": pattern})
    assert [path for path in takes if found(routes, f"GET {path}") is None] == []
    assert [path for path in leaves if found(routes, f"GET {path}") is not None] == []


def test_specificity_of_paths() -> None:
    """Exact, then from left to right text, text with a star, a star, stars across, all below; then regex; then any."""
    exact, star, prefix = {"path": "/a/b/c"}, {"path": "/a/*/c"}, {"path": "/a/*"}
    deep, regex, anything = {"path": "/a/**/c"}, {"path_regex": "/a/.*"}, {"path": "/*"}
    partial = {"path": "/a/b*/c"}
    matches = [exact, star, prefix, deep, regex]
    assert winner("GET /a/b/c", *matches) is exact
    assert winner("GET /a/b/c", star, partial, prefix, deep) is partial
    assert winner("GET /a/x/c", *matches) is star
    assert winner("GET /a/x/y/c", *matches) is deep
    assert winner("GET /a/x", *matches) is prefix
    assert winner("GET /a/x", regex, anything, {}) is regex
    assert winner("GET /b", regex, anything) is anything
    assert winner("GET /a/b/x", {"path": "/a/b/*"}, prefix, {"path": "/a/*/x"}) == {"path": "/a/b/*"}
    assert winner("GET /a", prefix, {"path": "/a*"}) is prefix
    assert winner("GET /img.png", {"path": "/*.png"}, {"path": "/img*"}, anything) == {"path": "/img*"}
    assert winner("GET /a/x/c", {"path": "/a/*/c"}, {"path": "/a/*/c/*"}) == {"path": "/a/*/c"}
    assert winner("GET /a/x/c", {"path": "/a/**/c"}, {"path": "/a/**/c/*"}) == {"path": "/a/**/c"}


def test_regexes_stand_in_the_files_order() -> None:
    """Between regular expressions the file's order decides, whether or not they are filed by first segment."""
    routes = table(
        {"path_regex": "/v[0-9]+/.*"},
        {"path_regex": "/v1/users"},
        {"path_regex": "/shop/[a-z]+"},
        {"path_regex": ".*/last"},
        {"path_regex": "/shop/last|/other"},
        {"path_regex": "/shop/.*"},
        {"path_regex": "/deep/+x"},
        {"path_regex": "/deep/?"},
    )
    expected = {
        "/v1/users": "0",
        "/shop/last": "2",
        "/shop/9/last": "3",
        "/other": "4",
        "/shop/9": "5",
        "/deep//x": "6",
        "/deep": "7",
        "/last": "3",
        "/shop": None,
    }
    assert {path: found(routes, f"GET {path}") for path in expected} == expected


def test_regex_is_anchored_at_both_ends() -> None:
    """A regular expression describes the whole path, never a piece of it."""
    routes = table({"path_regex": "/admin"})
    assert [found(routes, f"GET {path}") for path in ("/admin", "/admin/x", "/x/admin")] == ["0", None, None]


def test_more_conditions_win() -> None:
    """Between routes of one pattern, the one that asks more is tried first."""
    plain, posts = {"path": "/a/*"}, {"path": "/a/*", "methods": ["POST"]}
    both = {"path": "/a/*", "methods": "POST", "headers": {"X-Beta": "present"}}
    routes = table(plain, posts, both)
    assert found(routes, "GET /a/1") == "0"
    assert found(routes, "POST /a/1") == "1"
    assert found(routes, "POST /a/1", "h", "X-Beta: 1") == "2"
    assert winner("POST /a/1", plain, posts) is posts


def test_a_failed_condition_falls_to_the_next_pattern() -> None:
    """An exact path whose method differs leaves the request to the prefix around it."""
    routes = table({"path": "/a/b", "methods": "POST"}, {"path": "/a/*", "methods": "PUT"}, {"path": "/*"})
    assert [found(routes, f"{method} /a/b") for method in ("POST", "PUT", "GET")] == ["0", "1", "2"]


def test_equals_go_by_the_files_order() -> None:
    """Only between equals does the order of the file decide."""
    one, two = {"path": "/a", "headers": {"a": "1"}}, {"path": "/a", "headers": {"b": "1"}}
    assert found(table(one, two), "GET /a", "h", "A: 1", "B: 1") == "0"
    assert found(table(two, one), "GET /a", "h", "A: 1", "B: 1") == "0"


def test_lists_are_alternatives() -> None:
    """Each host and each path of a list stands for itself, in its own rank."""
    routes = table({"host": ["a.com", "*.b.com"], "path": ["/x", "/y/*"]}, {"path": "/*"})
    assert found(routes, "GET /x", "a.com") == found(routes, "GET /y/1", "q.b.com") == "0"
    assert found(routes, "GET /z", "a.com") == found(routes, "GET /x", "c.com") == "1"


def test_asterisk_form_takes_routes_without_a_path_only() -> None:
    """`*` is no path, so no pattern with a path takes it; the pipeline answers it before it asks."""
    request = make_request("OPTIONS *")
    for match, expected in (({"path": "/a/*"}, None), ({"path_regex": "(?s).+/.*"}, None), ({}, "0")):
        route = table(match).find(request)
        assert (route.name if route is not None else None) == expected


def test_allowed_methods() -> None:
    """What a 405 says in Allow: the methods that would have found a route; nothing where no method would."""
    routes = table(
        {"path": "/a", "methods": "GET"},
        {"path": "/a/*", "methods": ["PUT", "DELETE"]},
        {"path": "/a", "methods": "PATCH", "headers": {"X": "1"}},
    )
    request = make_request("POST /a")
    assert routes.find(request) is None
    assert routes.allowed(request) == {b"GET", b"HEAD", b"PUT", b"DELETE"}
    assert routes.allowed(make_request("POST /a", "h", "X: 1")) == {b"GET", b"HEAD", b"PUT", b"DELETE", b"PATCH"}
    assert routes.allowed(make_request("POST /b")) == frozenset()


def test_unreachable_routes_are_reported() -> None:
    """A route that an equal or wider one hides is named, with the one that hides it; the others are not."""
    routes = table(
        {"path": "/a/*"},
        {"path": ["/a/**", "/b"]},
        {"path": "/b", "methods": ["GET", "POST"]},
        {"path": "/b", "methods": "GET"},
        {"path": "/b", "headers": {"x": "1"}},
        {"path_regex": "/r"},
        {"path_regex": "/r"},
        {},
        {"path": "/*"},
    )
    assert [(str(row), str(by)) for row, by in routes.unreachable] == [
        ("'1' (*, /a/*)", "'0' (*, /a/*)"),
        ("'3' (*, /b, GET|HEAD)", "'2' (*, /b, GET|HEAD|POST)"),
        ("'6' (*, matching /r)", "'5' (*, matching /r)"),
        ("'8' (*, /*)", "'7' (*, /*)"),
    ]


def test_explain_tells_the_walk() -> None:
    """What was tried in which order, why not, and the outcome."""
    routes = table(
        {"path": "/a/b", "methods": "POST"},
        {"host": "example.com", "path": "/a/*", "headers": {"X-Beta": "present"}},
        {"path": "/a/*"},
    )
    assert routes.explain(make_request("GET /a/b")) == [
        "'1' (example.com, /a/*, field x-beta: present): not taken, for field x-beta: present",
        "'0' (*, /a/b, POST): not taken, for method GET is not one of POST",
        "'2' (*, /a/*): taken",
    ]
    assert table({"path": "/a", "methods": "PUT"}).explain(make_request("GET /a"))[-1] == (
        "no route takes example.com/a by this method: allowed are PUT"
    )


def test_empty_table_takes_nothing() -> None:
    """Without routes every request is left."""
    assert found(table(), "GET /") is None


def _large(number: int) -> RouteTable:
    rows: list[dict[str, Any]] = [
        {"path": f"/svc{at}/*"} if at % 2 else {"path": f"/exact/{at}"} for at in range(number)
    ]
    rows += [{"host": f"h{at}.example.com", "path": "/*"} for at in range(number // 10)]
    return table(*rows, {"path": "/*"})


def _cost(routes: RouteTable, request: Request) -> float:
    return min(timeit.repeat(lambda: routes.find(request), number=5000, repeat=9))


def test_five_thousand_routes_cost_as_much_as_five() -> None:
    """Look-ups go by dictionary, not by scan: the cost may differ by the processor's caches only."""
    few, many = _large(5), _large(5000)
    for path in ("/exact/2", "/svc1/a/b.css", "/index.html"):
        request = make_request(f"GET {path}")
        assert _cost(many, request) < 1.6 * _cost(few, request)  # 1.0 to 1.1 when the machine is quiet


def test_the_page_about_routing_is_true() -> None:
    """The example of docs/explanation/routing.md, request by request."""
    page = (Path(__file__).parent.parent / "docs/explanation/routing.md").read_text()
    _keys, example, *_more = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    configs = [RouteConfig(**route) for route in yaml.safe_load(example)["routes"]]
    routes = compile_routes(
        [(route.match, make_route(name)) for route, name in zip(configs, route_names(configs), strict=True)]
    )
    claims = re.findall(r"\| `([A-Z]+) ([a-z.]+)(/\S*)` \| (\w+) \|", page)
    assert len(claims) == 8
    for method, host, path, name in claims:
        assert found(routes, f"{method} {path}", host) == name, f"{method} {host}{path}"
