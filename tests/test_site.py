"""build_site: a configuration becomes routes, plans and upstreams, and what cannot be built is told with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import ConfigError, load
from gateway.development import make_development_certificates
from gateway.exchange import Connection, Exchange
from gateway.log_writer import LogOutputs, LogRehearsal
from gateway.metrics import Metrics
from gateway.pipeline import Site, answer
from gateway.site import FALLBACK, Services, build_site, certificate_stores
from tests.kit.exchanges import make_request

CONFIG = """\
upstreams:
  app: {endpoints: ["http://127.0.0.1:3000", "http://127.0.0.1:3001"]}
routes:
  - {name: app, upstream: app}
  - {name: pong, match: {path: /ping}, respond: {status: 200, body: pong}}
  - {name: old, match: {path: /old/*}, redirect: /new}
  - name: own
    match: {path: /own/*}
    upstream: app
    timeouts: {connect: 1s}
    body_limit: 5 B
    request_headers: {set: {X-A: b}}
    access_log: off
    security_headers: off
defaults: {body_limit: 100 B}
"""


def unheard(_text: str) -> None:
    """Warnings that are not what a test is about."""


def built(folder: Path, text: str = CONFIG, services: Services | None = None) -> Site:
    path = folder / "config.yaml"
    path.write_text(text)
    return build_site(load(path), services)


def ask(site: Site, line: str, *fields: str) -> Exchange:
    """An exchange that has walked down the synchronous steps."""
    exchange = Exchange(Connection("192.0.2.7", 1, "l", "l", 0.0), make_request(line, "example.com", *fields), 0.0)
    exchange.response = answer(site, exchange)
    return exchange


def test_routes_are_compiled(tmp_path: Path) -> None:
    """Each route has its name, plan, settings and upstream, in the order of the file."""
    site = built(tmp_path)
    assert [route.name for route in site.routes] == ["app", "pong", "old", "own"]
    assert [route.upstream for route in site.routes] == ["app", "", "", "app"]
    assert [endpoint.name for endpoint in site.upstreams["app"].endpoints] == ["127.0.0.1:3000", "127.0.0.1:3001"]
    assert ask(site, "GET /x").route.name == "app"


def test_features_answer(tmp_path: Path) -> None:
    """Fixed answers and redirects answer through their hooks; what matches nothing gets the fallback's plan."""
    site = built(tmp_path, CONFIG.replace("{name: app, upstream: app}", "{match: {host: only.test}, upstream: app}"))
    pong = ask(site, "GET /ping").response
    assert pong is not None
    assert (pong.status, pong.body) == (200, b"pong")
    moved = ask(site, "GET /old/x").response
    assert moved is not None
    assert moved.status == 308
    missing = ask(site, "GET /nowhere")
    assert missing.response is not None
    assert (missing.response.status, missing.route.name) == (404, FALLBACK)
    assert b"x-content-type-options: nosniff\r\n" in missing.response.block


def test_a_route_replaces_defaults_and_globals(tmp_path: Path) -> None:
    """A route's own settings and features stand in the place of the global ones; others keep those."""
    site = built(tmp_path)
    app, own = site.routes[0], site.routes[3]
    assert (app.settings.body_limit, own.settings.body_limit) == (100, 5)
    assert (app.settings.timeouts.connect, own.settings.timeouts.connect) == (3.0, 1.0)
    assert "security_headers" in app.plan.features
    assert "security_headers" not in own.plan.features
    assert b"x-frame-options" in app.plan.block
    assert own.plan.block == b""
    assert "request_headers" in own.plan.features


def test_unused_features_cost_nothing(tmp_path: Path) -> None:
    """A feature that says nothing has no hook in the plan."""
    site = built(tmp_path)
    assert not {"redirect", "respond", "rewrite", "request_headers", "https_redirect"} & set(
        site.routes[0].plan.features
    )
    assert site.routes[0].plan.vet == ()


def test_the_order_of_the_journey(tmp_path: Path) -> None:
    """https comes before a route's own answer: the redirect to https leads to the redirect of the route."""
    listener = 'listeners:\n  - {bind: "127.0.0.1:80", redirect_to_https: true}\n'
    site = built(tmp_path, listener + CONFIG)
    exchange = Exchange(
        Connection("192.0.2.7", 1, "127.0.0.1:80", "127.0.0.1:80", 0.0), make_request("GET /old/x"), 0.0
    )
    response = answer(site, exchange)
    assert response is not None
    assert (response.status, dict(response.fields)[b"location"]) == (308, b"https://example.com/old/x")


def test_identity_comes_before_routing(tmp_path: Path) -> None:
    """What real_ip says is known when a route is chosen, for requests that match nothing too."""
    site = built(tmp_path, CONFIG + "real_ip: {trusted: [192.0.2.0/24]}\n")
    exchange = ask(site, "GET /ping", "X-Forwarded-For: 203.0.113.9")
    assert (exchange.client, exchange.trusted) == ("203.0.113.9", True)
    assert exchange.id


def test_services_outlive_sites(tmp_path: Path) -> None:
    """Two generations count in the same registry and write to the same logs."""
    metrics = Metrics()
    logs = LogOutputs(metrics, print)
    services = Services(metrics=metrics, logs=logs)
    first = built(tmp_path, CONFIG + "access_log: {output: access.log}\n", services)
    second = build_site(load(tmp_path / "config.yaml"), services, 2)
    assert (first.generation, second.generation) == (1, 2)
    exchange = ask(second, "GET /ping")
    for log in exchange.route.plan.log:
        log(exchange)
    other = ask(first, "GET /ping")
    for log in other.route.plan.log:
        log(other)
    assert metrics.value("gateway_requests_total", route="pong", method="GET", status="2xx") == 2
    logs.start()
    logs.close()
    assert (tmp_path / "access.log").read_text().count('"route":"pong"') == 2


def test_warnings_are_told_with_their_place(tmp_path: Path) -> None:
    """What works but is surely not meant is told to whoever serves it, as file:line:column and the path."""
    warnings: list[str] = []
    text = CONFIG.replace('"http://127.0.0.1:3001"', '"https://127.0.0.1:3001"')
    text = (
        text.replace("app: {", "app: {tls: {verify: false}, ")
        + "  - {name: hidden, match: {path: /old/*}, respond: 204}\n"
    )
    text = text.replace("defaults: {body_limit: 100 B}\n", "") + "forwarded: {obfuscate: true}\n"
    built(tmp_path, text, Services(warn=warnings.append))
    path = tmp_path / "config.yaml"
    assert sorted(warning.removeprefix(f"{path}:").split(" ")[0:3] for warning in warnings) == [
        ["15:5:", "routes[4]:", "'hidden'"],
        ["16:24:", "forwarded.obfuscate:", "it"],
        ["2:23:", "upstreams.app.tls.verify:", "false"],
    ]


@pytest.mark.parametrize(
    ("more", "place", "said"),
    [
        ("error_pages: {templates: {404: no.html}}\n", "32: error_pages.templates.404", "cannot read"),
        ("error_pages: {templates: {5xx: [a.pdf]}}\n", "32: error_pages.templates.5xx", "'a.pdf' must end in"),
        ("access_log: {output: nowhere/a.log}\n", "22: access_log.output", "cannot open the access log"),
        (
            "  - {respond: 204, match: {path: /x}, access_log: {output: nowhere/a.log}}\n",
            "60: routes[4].access_log.output",
            "",
        ),
    ],
)
def test_what_cannot_be_built_has_a_place(tmp_path: Path, more: str, place: str, said: str) -> None:
    """A file that is missing is an error at its line, like a mistake in the syntax; the path is said once."""
    metrics = Metrics()
    text = CONFIG.replace("defaults: {body_limit: 100 B}\n", "") + more
    with pytest.raises(ConfigError) as wrong:
        built(tmp_path, text, Services(metrics=metrics, logs=LogOutputs(metrics, print)))
    (problem,) = wrong.value.problems
    assert str(problem).startswith(f"{tmp_path}/config.yaml:{text.count(chr(10))}:{place}: {said}")


def test_every_file_that_is_missing_is_told(tmp_path: Path) -> None:
    """Of one feature, of one upstream, of one listener: none hides another."""
    more = (
        "error_pages: {templates: {404: a.html, 5xx: b.html}}\n"
        "listeners: [{bind: ':1', tls: {certificates: no/, client_certificates: {ca: ca.pem}}}, "
        "{bind: ':2', tls: {certificates: no/}}]\n"
    )
    text = (
        CONFIG.replace("app: {", "app: {tls: {ca: a.pem, certificate: b.pem}, ").replace("http://", "https://") + more
    )
    with pytest.raises(ConfigError) as wrong:
        built(tmp_path, text)
    assert [problem.path for problem in wrong.value.problems] == [
        "upstreams.app.tls.ca",
        "upstreams.app.tls.certificate",
        "error_pages.templates.404",
        "error_pages.templates.5xx",
    ]
    with pytest.raises(ConfigError) as missing:
        certificate_stores(load(tmp_path / "config.yaml"), unheard)
    assert [problem.path for problem in missing.value.problems] == [
        "listeners[0].tls.certificates",
        "listeners[0].tls.client_certificates.ca",
        "listeners[1].tls.certificates",
    ]


def test_warnings_of_certificates_have_a_place(tmp_path: Path) -> None:
    """Also those that come with a later reload."""
    make_development_certificates(tmp_path / "certs")
    path = tmp_path / "config.yaml"
    path.write_text("listeners:\n- bind: ':1'\n- {bind: ':2', tls: {default: a.test}}\n")
    warnings: list[str] = []
    plain, served = certificate_stores(load(path), warnings.append)
    assert plain is None
    assert served is not None
    assert [warning.split(": ")[:2] for warning in warnings] == [[f"{path}:3:31", "listeners[1].tls.default"]]


def test_of_a_wrong_configuration_only_what_is_sound_is_built(tmp_path: Path) -> None:
    """A mistake in a mapping that is built as a whole is not followed by another about the same."""
    path = tmp_path / "config.yaml"
    path.write_text(
        "listeners: [{bind: ':1', tls: {certificates: no/, x: 1}}, {bind: ':2', tls: {certificates: no/}}]\n"
        "upstreams: {a: {endpoints: [https://a], tls: {ca: no.pem, x: 1}}}\n"
        "routes: [{upstream: a, access_log: {output: no/a.log, x: 1}}]\n"
        "error_pages: {templates: {404: no.html}, x: 1}\n"
    )
    with pytest.raises(ConfigError) as wrong:
        load(path)
    assert len(wrong.value.problems) == 4
    part = wrong.value.sound
    assert part is not None
    with pytest.raises(ConfigError) as missing:
        certificate_stores(part, unheard)
    assert [problem.path for problem in missing.value.problems] == ["listeners[1].tls.certificates"]
    assert build_site(part, Services(logs=LogRehearsal())).routes[0].upstream == "a"


def test_an_upstream_that_cannot_be_built_has_a_place(tmp_path: Path) -> None:
    """An authority's file that is missing is an error at the upstream that names it."""
    text = CONFIG.replace(
        'endpoints: ["http://127.0.0.1:3000"', 'tls: {ca: gone.pem}, endpoints: ["https://127.0.0.1:3000"'
    )
    with pytest.raises(ConfigError) as wrong:
        built(tmp_path, text)
    assert str(wrong.value.problems[0]).startswith(f"{tmp_path}/config.yaml:2:")
    assert "gone.pem" in str(wrong.value.problems[0])
