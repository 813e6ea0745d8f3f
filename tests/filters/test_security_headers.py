"""Fields for the browser: presets, overrides, whose word wins, and HSTS only where it may be said."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.exchange import Exchange
from gateway.filters.security_headers import HSTS, REMEMBERED, Config, build
from gateway.hooks import Hooks, Shared
from gateway.http.message import Response
from tests.kit.exchanges import make_exchange, make_tls


def hooks_of(settings: object, **facts: object) -> Hooks:
    return build(Config.model_validate(settings), Shared(**facts))  # type: ignore[arg-type]


def constant(settings: object) -> dict[str, str]:
    hooks = hooks_of(settings)
    assert not (hooks.set_response and hooks.default_response)
    return {name.decode(): value.decode() for name, value in hooks.set_response + hooks.default_response}


def test_the_default_preset() -> None:
    """What breaks no ordinary site, and no more; the origin's own word wins; banners go."""
    assert constant({}) == {
        "x-content-type-options": "nosniff",
        "x-frame-options": "SAMEORIGIN",
        "referrer-policy": "strict-origin-when-cross-origin",
        "permissions-policy": "bluetooth=(self), hid=(self), midi=(self), serial=(self), usb=(self)",
        "cross-origin-opener-policy": "same-origin-allow-popups",
    }
    hooks = hooks_of({})
    assert hooks.set_response == ()
    assert hooks.drop_response == {b"server", b"x-powered-by"}


def test_the_strict_preset() -> None:
    """Frames refused, resources and windows isolated, hardware off, a policy for the worst holes."""
    found = constant("strict")
    assert found["x-frame-options"] == "DENY"
    assert found["cross-origin-resource-policy"] == found["cross-origin-opener-policy"] == "same-origin"
    assert found["content-security-policy"] == "base-uri 'self'; frame-ancestors 'none'; object-src 'none'"
    assert "camera=()" in found["permissions-policy"]


@pytest.mark.parametrize("settings", ["off", False, {"preset": "off"}, {"preset": False}])
def test_off(settings: object) -> None:
    """No hook, no field, nothing removed."""
    assert hooks_of(settings) == Hooks()


def test_shorthands() -> None:
    """A preset's name stands for the mapping."""
    for name in ("default", "strict", "off"):
        assert Config.model_validate(name) == Config.model_validate({"preset": name})


def test_each_field_can_be_replaced_or_left_out() -> None:
    """Over any preset, `off` included."""
    found = constant(
        {
            "preset": "strict",
            "content_type_options": "off",
            "frame_options": "SAMEORIGIN",
            "referrer_policy": "no-referrer",
            "permissions_policy": {
                "camera": [],
                "usb": ["self", "https://a.example"],
                "fullscreen": "*",
                "hid": "self",
            },
            "coop": "off",
            "corp": "cross-origin",
            "coep": "credentialless",
            "csp": {"default-src": ["'self'"], "upgrade-insecure-requests": None},
            "csp_report_only": "default-src 'none'; report-to x",
        }
    )
    assert found == {
        "x-frame-options": "SAMEORIGIN",
        "referrer-policy": "no-referrer",
        "permissions-policy": 'camera=(), usb=(self "https://a.example"), fullscreen=*, hid=(self)',
        "cross-origin-resource-policy": "cross-origin",
        "cross-origin-embedder-policy": "credentialless",
        "content-security-policy": "default-src 'self'; upgrade-insecure-requests",
        "content-security-policy-report-only": "default-src 'none'; report-to x",
    }
    assert constant({"preset": "off", "frame_options": "DENY"}) == {"x-frame-options": "DENY"}
    assert "content-security-policy" not in constant({"preset": "strict", "csp": False})


def test_whose_word_wins() -> None:
    """`keep` lets the origin's own field win, `replace` puts ours in its place."""
    kept, replaced = hooks_of({"origin": "keep"}), hooks_of({"origin": "replace"})
    assert kept.default_response == replaced.set_response
    assert kept.set_response == replaced.default_response == ()
    assert HSTS in replaced.drop_response
    assert HSTS not in kept.drop_response


def test_removing_banners() -> None:
    """Names of the operator's own, or none."""
    assert hooks_of({"remove": ["X-Generator"]}).drop_response == {b"x-generator"}
    assert hooks_of({"remove": []}).drop_response == frozenset()


def exchange_for(host: str, *, tls: bool = True) -> Exchange:
    exchange = make_exchange("GET /", host)
    if tls:
        exchange.connection.tls = make_tls(verified=None)
        exchange.scheme = "https"
    return exchange


def hsts(hooks: Hooks, exchange: Exchange, response: Response | None = None) -> list[bytes]:
    response = response or Response(200, [(b"content-type", b"text/html")])
    assert hooks.deliver is not None
    hooks.deliver(exchange, response)
    return [value for name, value in response.fields if name == HSTS]


@pytest.mark.parametrize(
    ("settings", "value"),
    [
        ({}, b"max-age=15552000"),
        ("strict", b"max-age=63072000"),
        ({"preset": "strict", "hsts": {"include_subdomains": True}}, b"max-age=63072000; includeSubDomains"),
        ({"preset": "off", "hsts": {}}, b"max-age=15552000"),
        ({"hsts": {"max_age": "0s"}}, b"max-age=0"),
        (
            {"hsts": {"max_age": "2y", "include_subdomains": True, "preload": True}},
            b"max-age=63072000; includeSubDomains; preload",
        ),
    ],
)
def test_hsts(settings: object, value: bytes) -> None:
    """Six months by default, two years in `strict`; subdomains and preload only when asked for."""
    assert hsts(hooks_of(settings), exchange_for("shop.example")) == [value]


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "LOCALHOST:8443", "localhost.", "app.localhost", "127.0.0.1", "127.0.0.1:8443", "192.0.2.1",
        "[::1]", "[::1]:8443", "[2001:db8::1]",
    ],
)  # fmt: skip
def test_no_hsts_for_hosts_that_are_not_sites(host: str) -> None:
    """Localhost and addresses are shared by every project of a developer."""
    hooks = hooks_of("strict")
    assert hsts(hooks, exchange_for(host)) == []
    assert hsts(hooks, exchange_for(host)) == []


@pytest.mark.parametrize("host", ["shop.example:8443", "localhost.example", "notlocalhost", "127.0.0.1.example"])
def test_hsts_for_hosts_that_look_alike(host: str) -> None:
    """The exception is for exactly those names."""
    assert len(hsts(hooks_of({}), exchange_for(host))) == 1


def test_no_hsts_over_http() -> None:
    """RFC 6797 §7.2: browsers would ignore it; what counts is how the client came, behind a trusted proxy too."""
    hooks = hooks_of({})
    assert hsts(hooks, exchange_for("shop.example", tls=False)) == []
    behind = exchange_for("shop.example", tls=False)
    behind.scheme = "https"
    assert len(hsts(hooks, behind)) == 1


def test_no_hsts_with_a_development_certificate() -> None:
    """The store of certificates is asked, once per host."""
    asked: list[str] = []

    def development(name: str) -> bool:
        asked.append(name)
        return name == "dev.example"

    hooks = hooks_of({}, development_host=development)
    for _ in range(3):
        assert hsts(hooks, exchange_for("dev.example")) == []
        assert len(hsts(hooks, exchange_for("real.example"))) == 1
    assert asked == ["dev.example", "real.example"]


def test_an_origins_own_hsts() -> None:
    """One field only (RFC 6797 §7.1): its own where it may keep it."""
    own = Response(200, [(HSTS, b"max-age=1")])
    assert hsts(hooks_of({}), exchange_for("shop.example"), own) == [b"max-age=1"]


def test_hsts_off() -> None:
    """No hook."""
    assert hooks_of({"hsts": "off"}).deliver is None
    assert hooks_of({"preset": "strict", "hsts": False}).deliver is None


def test_invented_hosts_are_not_remembered_for_ever() -> None:
    """The decisions of a flood of hosts take bounded memory and stay right."""
    hooks = hooks_of({})
    for number in range(REMEMBERED * 2 + 10):
        exchange = exchange_for("h")
        exchange.request.host = b"h%d.example" % number
        assert len(hsts(hooks, exchange)) == 1
    assert hsts(hooks, exchange_for("localhost")) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"csp": {"default-src": ["self"]}}, "write 'self' with its quotes"),
        ({"csp": {"defalt-src": ["'self'"]}}, "did you mean default-src"),
        ({"csp": "default-src 'self'; default-src *"}, "given twice"),
        ({"csp": ""}, "the policy is empty"),
        ({"csp": ["default-src"]}, "write a mapping of directives"),
        ({"csp": {"default-src": [1]}}, "write a list of sources"),
        ({"csp_report_only": {"img-src": ["'none'", "*"]}}, "stands alone"),
        ({"permissions_policy": {"camera": ["https://a b"]}}, "is not self"),
        ({"permissions_policy": {"camera": 3}}, "write a feature and its list"),
        ({"permissions_policy": "a\nb"}, "is not a policy"),
        ({"frame_options": "ALLOWALL"}, "frame_options"),
        ({"hsts": {"preload": True}}, "preload needs include_subdomains"),
        ({"hsts": {"preload": True, "include_subdomains": True}}, "at least 1y"),
        ({"remove": ["a b"]}, "is not a field name"),
        ("stric", "preset"),
    ],
)
def test_slips_are_refused(settings: object, message: str) -> None:
    """Each with what to write instead."""
    with pytest.raises(ValidationError, match=message):
        Config.model_validate(settings)
