"""Lints: what is told of a configuration that works, and what is not where a mistake may be the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.document import parse
from gateway.config.lints import lints
from gateway.config.model import SiteConfig
from gateway.config.partial import NO_GAPS, Gaps
from gateway.config.references import References
from gateway.config.tree import Tree

APP = "upstreams: {app: {}}\nroutes: [{upstream: app}]\n"


def told(text: str, gaps: Gaps = NO_GAPS) -> list[str]:
    root, _, _ = parse(text.encode(), "c", References({"ALL": "0.0.0.0/0"}, Path()))
    assert root is not None
    return [str(problem) for problem in lints(Tree(root), gaps, SiteConfig.model_fields)]


def spoiled(*path: str | int) -> Gaps:
    return Gaps(frozenset(path[:end] for end in range(len(path) + 1)), {})


def test_nothing_is_said_of_what_is_meant() -> None:
    """Routes, upstreams that are used, a redirect to a listener that there is, private addresses."""
    listeners = "listeners: [{bind: ':80', redirect_to_https: true}, {bind: ':443', tls: {}}]\n"
    assert (
        told(APP + listeners + "real_ip: {trusted: [10.0.0.0/8, private, unix]}\nadmin: {bind: '[::1]:9090'}\n") == []
    )


@pytest.mark.parametrize("text", ["{}", "routes:\n", "routes: []\n"])
def test_no_route(text: str) -> None:
    """Everything would be answered with 404."""
    (line,) = told(text)
    assert line.endswith("routes: there is no route: every request will be answered with 404")


def test_upstreams_that_no_route_uses() -> None:
    """At the name of each; none of them while a route names one that there is not, which may be meant for it."""
    text = "upstreams: {app: {}, b: {}, 7: {}}\nroutes: [{upstream: app}, {respond: 204}]"
    assert told(text) == [
        "c:1:22: upstreams.b: no route uses this upstream",
        "c:1:29: upstreams.7: no route uses this upstream",
    ]
    assert told(text.replace("respond: 204", "upstream: bb")) == []


def test_redirects_to_https_that_lead_nowhere() -> None:
    """On a listener that speaks it already, and where none does."""
    (nowhere,) = told(APP + "listeners: [{bind: ':80', redirect_to_https: true}]")
    assert nowhere.startswith("c:3:46: listeners[0].redirect_to_https: no listener has `tls`: clients are sent to port")
    assert told(APP + "listeners: [{bind: ':80', redirect_to_https: 8443}]") == []
    assert told(APP + "listeners: [{bind: ':80', tls: {}, redirect_to_https: 8443}]") == [
        "c:3:55: listeners[0].redirect_to_https: this listener speaks https already: the redirect has no effect"
    ]


def test_trusting_everyone() -> None:
    """At the entry, for real_ip and for the PROXY protocol; 0.0.0.0/0 is allowed, for some networks are closed."""
    text = "real_ip: {trusted: [10.0.0.0/8, '::/0', '${env:ALL}']}\n"
    text += "listeners: [{bind: ':80', proxy_protocol: {trusted: [0.0.0.0/0, unix, 3]}}]\n"
    assert [line.split(",")[0] for line in told(APP + text)] == [
        "c:3:33: real_ip.trusted[1]: `::/0` trusts everyone",
        "c:3:41: real_ip.trusted[2]: `${env:ALL}` trusts everyone",
        "c:4:54: listeners[0].proxy_protocol.trusted[0]: `0.0.0.0/0` trusts everyone",
    ]
    assert told(APP + "real_ip: {trusted: 0.0.0.0/0}")[0].startswith("c:3:20: real_ip.trusted: `0.0.0.0/0` trusts")


@pytest.mark.parametrize("bind", ["0.0.0.0:9090", ":9090", "192.0.2.1:9090", "gateway.internal:9090"])
def test_an_admin_listener_that_others_may_reach(bind: str) -> None:
    """It has no password."""
    (line,) = told(f"{APP}admin: {{bind: '{bind}'}}")
    assert line.startswith("c:3:15: admin.bind: other machines may read all of it without a password")


def test_an_admin_listener_that_asks_for_certificates() -> None:
    """Nobody else reads it; TLS alone is not enough."""
    text = APP + "admin: {bind: ':9090', tls: {certificate: a.pem}}"
    assert len(told(text)) == 1
    assert told(text.replace("a.pem", "a.pem, client_ca: b.pem")) == []


@pytest.mark.parametrize("bind", ["localhost:9090", "unix:/run/admin.sock", "nonsense", "3", ""])
def test_an_admin_listener_of_this_machine(bind: str) -> None:
    """Nothing is said of it, nor of what is no address."""
    assert told(f"{APP}admin: {{bind: '{bind}'}}") == []


def test_nothing_is_said_of_what_a_mistake_may_have_spoiled() -> None:
    """The rest is told; a key that nobody knows may have been meant for any other."""
    text = "upstreams: {app: {}}\nadmin: {bind: ':9090'}"
    assert len(told(text)) == 3
    assert [line.split(": ")[1] for line in told(text, spoiled("routes", 0, "match"))] == ["admin.bind"]
    assert [line.split(": ")[1] for line in told(text, spoiled("admin", "bind"))] == ["routes", "upstreams.app"]
    assert told(text, spoiled("rotues")) == []
