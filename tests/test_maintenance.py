"""Maintenance: 503 instead of whatever a route would do, told to clients in words, and gone without a trace."""

from __future__ import annotations

from pathlib import Path

from gateway.config import load
from gateway.errors import Cause
from gateway.exchange import Connection, Exchange
from gateway.http.head import RequestHeadReader
from gateway.http.message import Response
from gateway.maintenance import EVERY_ROUTE, Maintenance
from gateway.pipeline import Site, answer
from gateway.site import build_site

TEXT = """\
upstreams: {app: {endpoints: ["http://a:1"]}}
routes:
  - {name: app, upstream: app}
  - {name: word, match: {path: /word}, respond: {status: 200, body: one}}
"""


def a_site(folder: Path) -> Site:
    path = folder / "config.yaml"
    path.write_text(TEXT)
    return build_site(load(path))


def asked(maintenance: Maintenance, site: Site, path: str, more: str = "") -> tuple[Response | None, Exchange]:
    head = f"GET {path} HTTP/1.1\r\nHost: h\r\n{more}\r\n".encode()
    exchange = Exchange(Connection("127.0.0.1", 1, "l", "l", 0.0), RequestHeadReader().read(head), 0.0)
    return maintenance.around(lambda one: answer(site, one))(exchange), exchange


def test_one_route(tmp_path: Path) -> None:
    """Only the route that was named is closed; its clients are told why and when to come again."""
    site, maintenance = a_site(tmp_path), Maintenance()
    maintenance.set({"app": ["Moving house.", 120.0]})
    response, exchange = asked(maintenance, site, "/x", "Accept: text/plain\r\n")
    assert response is not None
    assert response.status == 503
    assert b"Moving house." in (response.body or b"")
    assert (b"retry-after", b"120") in response.fields
    assert exchange.verdict is not None
    assert (exchange.verdict.by, exchange.verdict.rule) == ("maintenance", "app")
    response, exchange = asked(maintenance, site, "/word")
    assert response is not None
    assert (response.status, exchange.verdict.by if exchange.verdict else "") == (200, "respond")


def test_all_routes(tmp_path: Path) -> None:
    """Answers that the gateway gives itself are replaced too; a refusal of the request stays what it is."""
    site, maintenance = a_site(tmp_path), Maintenance()
    maintenance.set({EVERY_ROUTE: ["", 0.0]})
    for path in ("/x", "/word"):
        response, _exchange = asked(maintenance, site, path)
        assert response is not None
        assert response.status == 503
        assert not [name for name, _value in response.fields if name == b"retry-after"]
    response, exchange = asked(maintenance, site, "/x", "Content-Length: 99999999\r\n")
    assert response is not None
    assert exchange.fault is not None
    assert (response.status, exchange.fault.cause) == (413, Cause.BODY_TOO_LARGE)


def test_it_ends(tmp_path: Path) -> None:
    """Without a notice an exchange goes where it went before."""
    site, maintenance = a_site(tmp_path), Maintenance()
    maintenance.set({"app": ["", 0.0]})
    assert maintenance
    maintenance.set({})
    assert not maintenance
    assert asked(maintenance, site, "/x")[0] is None
