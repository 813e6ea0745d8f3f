"""RouteConfig and RouteSettings: defaults, replacement, and what exactly one answer means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.filters import redirect, respond
from gateway.route_settings import SPOOL_AFTER, UNLIMITED, RouteConfig, RouteSettings, route_names, settings_for


def test_defaults_are_those_of_the_product() -> None:
    """3 s, 60 s, 60 s, 1 h; 1 MiB; nothing buffered or intercepted; WebSocket on."""
    settings = RouteSettings()
    assert settings.timeouts.model_dump() == {"connect": 3.0, "head": 60.0, "read": 60.0, "tunnel": 3600.0}
    assert settings.body_limit == 1 << 20
    assert settings.buffering.model_dump() == {"request": 0, "response": 0, "folder": None}
    assert (settings.intercept, settings.upgrades) == (frozenset(), frozenset())
    assert (settings.websocket, settings.on_client_eof, settings.host) == (True, "answer", None)


def test_values_as_operators_write_them() -> None:
    """Units, words and lists become what the proxy works with."""
    settings = RouteSettings(
        body_limit="unlimited",  # type: ignore[arg-type]
        buffering={"request": True, "response": "64 KiB", "folder": "/spool"},  # type: ignore[arg-type]
        intercept=[502, 503],  # type: ignore[arg-type]
        upgrades=["IRC", "foo/1.0".replace("/", "-")],  # type: ignore[arg-type]
        host="app.internal:8080",
    )
    assert settings.body_limit == UNLIMITED
    assert (settings.buffering.request, settings.buffering.response) == (SPOOL_AFTER, 65536)
    assert settings.buffering.folder == Path("/spool")
    assert settings.intercept == {502, 503}
    assert settings.upgrades == {b"irc", b"foo-1.0"}
    assert RouteSettings(body_limit=0).body_limit == 0


def test_every_setting_can_be_given_by_a_route() -> None:
    """A route has each key of the defaults, none of them set."""
    for key in RouteSettings.model_fields:
        assert RouteConfig.model_fields[key].default is None


def test_a_routes_value_replaces() -> None:
    """A route's mapping is not merged with the default's; what it does not name stays the default's."""
    defaults = RouteSettings(timeouts={"head": "5s", "read": "7s"}, intercept=[502])  # type: ignore[arg-type]
    route = RouteConfig(upstream="a", timeouts={"connect": "1s"}, body_limit=0, websocket=False)  # type: ignore[arg-type]
    settings = settings_for(route, defaults)
    assert settings.timeouts.model_dump() == {"connect": 1.0, "head": 60.0, "read": 60.0, "tunnel": 3600.0}
    assert (settings.body_limit, settings.websocket, settings.intercept) == (0, False, frozenset({502}))
    assert settings_for(RouteConfig(upstream="a"), defaults) is defaults


def test_short_forms() -> None:
    """A target stands for a redirect, a status for an answer."""
    assert RouteConfig(redirect="/new").redirect == redirect.Config(to="/new")  # type: ignore[arg-type]
    assert RouteConfig(respond=404).respond == respond.Config(status=404)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("keys", "where", "advice"),
    [
        ({}, (), "add one of `upstream`, `redirect`, `respond`"),
        ({"upstream": "a", "respond": 200}, (), "found upstream and respond"),
        ({"upstream": "a", "respond": 200, "redirect": "/"}, (), "found upstream and redirect and respond"),
        ({"respond": 200, "timeouts": {}}, (), "`timeouts` has no effect here"),
        ({"redirect": "/x", "request_headers": {}}, (), "`request_headers` has no effect here"),
        ({"upstream": "a", "upgrades": ["h2c"]}, ("upgrades",), "never forwarded"),
        ({"upstream": "a", "upgrades": ["websocket"]}, ("upgrades",), "`websocket: true | false`"),
        ({"upstream": "a", "upgrades": ["a b"]}, ("upgrades",), "not a protocol name"),
        ({"upstream": "a", "upgrades": [1]}, ("upgrades",), "not a protocol name"),
        ({"upstream": "a", "intercept": [200]}, ("intercept",), "from 400 to 599"),
        ({"upstream": "a", "intercept": ["502"]}, ("intercept",), "from 400 to 599"),
        ({"upstream": "a", "body_limit": "none"}, ("body_limit",), "is not a size"),
        ({"upstream": "a", "body_limit": -1}, ("body_limit",), "cannot be negative"),
        ({"upstream": "a", "buffering": {"request": "yes"}}, ("buffering", "request"), "is not a size"),
        ({"upstream": "a", "timeouts": {"head": 0}}, ("timeouts",), "`head` must be longer than nothing"),
        ({"upstream": "a", "timeouts": {"head": 5}}, ("timeouts", "head"), "write 5s"),
        ({"upstream": "a", "host": "a b"}, ("host",), "preserve, endpoint, or a literal"),
        ({"upstream": "a", "host": "a\r\nx: y"}, ("host",), "preserve, endpoint, or a literal"),
        ({"upstream": "a", "on_client_eof": "stop"}, ("on_client_eof",), "'answer' or 'cancel'"),
        ({"upstream": "a", "name": ""}, ("name",), "at least 1 character"),
    ],
)
def test_slips(keys: dict[str, Any], where: tuple[Any, ...], advice: str) -> None:
    """One error for one slip, with what to write."""
    with pytest.raises(ValidationError) as caught:
        RouteConfig(**keys)
    (error,) = caught.value.errors()
    assert error["loc"] == where
    assert advice in error["msg"]


def test_names() -> None:
    """A route's own name, or one of its match; made names are kept apart, given ones must be."""
    routes = [
        RouteConfig(name="shop", upstream="a"),
        RouteConfig(upstream="a", match={"host": "a.com", "path": ["/x/*", "/y"], "methods": ["GET", "POST"]}),  # type: ignore[arg-type]
        RouteConfig(upstream="a"),
        RouteConfig(upstream="b"),
        RouteConfig(upstream="c", match={"path_regex": "/v[0-9]"}),  # type: ignore[arg-type]
    ]
    assert route_names(routes) == ["shop", "GET|POST a.com/x/*", "/*", "/* #2", "/v[0-9]"]
    with pytest.raises(ValueError, match="two routes are named 'shop'"):
        route_names([routes[0], routes[0]])


def test_a_made_name_gives_way_to_a_given_one() -> None:
    """A name that the operator gave is kept, even if a route before it would have made the same."""
    assert route_names([RouteConfig(respond=200), RouteConfig(name="/*", respond=200)]) == ["/* #2", "/*"]  # type: ignore[arg-type]


def test_the_json_schema_can_be_written() -> None:
    """Editors get a schema of routes in which every key stands, and nothing that JSON cannot say."""
    schema = json.loads(json.dumps(RouteConfig.model_json_schema(by_alias=True)))
    assert set(schema["properties"]) == set(RouteConfig.model_fields)
    assert all("description" in key for key in schema["properties"].values())
    assert {"type": "string"} in schema["properties"]["redirect"]["anyOf"]


def test_other_features_of_a_route() -> None:
    """`off`, a preset's name and a mapping are what the features themselves understand."""
    route = RouteConfig(respond=200, security_headers="strict", access_log="off")  # type: ignore[arg-type]
    assert route.security_headers is not None
    assert route.security_headers.preset == "strict"
    assert route.access_log == "off"
    route = RouteConfig(respond=200, security_headers={"preset": "off"}, access_log={"sample": 0.5})  # type: ignore[arg-type]
    assert route.access_log is not None
    with pytest.raises(ValidationError):
        RouteConfig(respond=200, access_log={"sampel": 0.5})  # type: ignore[arg-type]
