"""The sound part of a wrong configuration: what stays, where it stood, and what is not judged any more."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import ConfigError, Loaded, load
from gateway.config.parcel import pack, unpack
from gateway.config.partial import NO_GAPS, Gaps


def wrong(folder: Path, text: str) -> ConfigError:
    path = folder / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path, environ={})
    return caught.value


def sound(folder: Path, text: str) -> Loaded:
    part = wrong(folder, text).sound
    assert part is not None
    return part


def hidden(folder: Path, text: str) -> list[str]:
    """Paths and messages of the mistakes of a text."""
    return [f"{problem.path}: {problem.message}" for problem in wrong(folder, text).problems]


def test_an_unknown_key_is_taken_out_alone(tmp_path: Path) -> None:
    """All beside it stays, and is as the operator wrote it."""
    loaded = sound(tmp_path, "routes: [{respond: 204, nam: x}]\ndownstream: {max_fields: 7, max_lin: 3}\n")
    assert (loaded.config.downstream.max_fields, len(loaded.config.routes)) == (7, 1)
    assert loaded.is_sound(("routes", 0, "respond"))
    assert loaded.is_sound(("listeners",))
    for spoiled in (("routes", 0, "nam"), ("routes", 0), ("routes",), ("downstream",), ()):
        assert not loaded.is_sound(spoiled)


def test_positions_are_those_of_the_whole_file(tmp_path: Path) -> None:
    """Entries after one that went count as in the file."""
    text = (
        "upstreams: {a: {endpoints: [http://a]}}\nroutes:\n- 3\n- {upstream: a}\n- {upstream: a, match: {path: /a}}\n"
    )
    loaded = sound(tmp_path, text)
    assert [route.upstream for route in loaded.config.routes] == ["a", "a"]
    assert loaded.position_of(("routes", 1, "match"))[1:] == (5, 24)
    assert loaded.problem(("routes", 1, "match"), "x").path == "routes[2].match"


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("listeners: [{bind: 80, tls: {certificates: here/}}]", "127.0.0.1:0"),
        ("listeners: [{tls: {certificates: here/}}]", "127.0.0.1:0"),
        ("listeners: [{bind: ':80', proxy_protocol: {}, tls: {certificates: here/}}]", "[::]:80"),
        ("listeners: [{bind: ':80', backlog: many, tls: {certificates: here/, x: 1}}]", "[::]:80"),
    ],
)
def test_a_listener_keeps_its_tls(text: str, bind: str, tmp_path: Path) -> None:
    """Its certificates are read, whatever else is wrong with it."""
    (listener,) = sound(tmp_path, text).config.listeners
    assert str(listener.bind) == bind
    assert listener.tls is not None
    assert listener.tls.certificates == "here/"


def test_an_upstream_keeps_its_tls(tmp_path: Path) -> None:
    """Without endpoints that can be read, and where its keys do not go together."""
    text = "upstreams:\n  a: {endpoints: http://a, tls: {ca: x}}\n  b: {endpoints: [http://b], tls: {ca: y}}\n"
    upstreams = sound(tmp_path, text).config.upstreams
    assert {name: upstream.tls.ca for name, upstream in upstreams.items()} == {"a": "x", "b": "y"}


def test_a_route_without_an_answer_keeps_its_log(tmp_path: Path) -> None:
    """What is built for each route can be built for it."""
    (route,) = sound(tmp_path, "routes: [{access_log: {output: a.log}, timeouts: {connect: 1s}}]").config.routes
    assert route.access_log is not None
    assert route.timeouts is None


def test_what_cannot_stay_goes_with_its_mapping(tmp_path: Path) -> None:
    """A required value that is wrong takes with it what cannot be without it, and no more."""
    text = "routes:\n- {redirect: {to: 3}, match: {path: /a}}\n- {respond: 204}\nlog: 3\nerror_pages: {detail: maybe}\n"
    config = sound(tmp_path, text).config
    assert [(route.upstream, route.redirect) for route in config.routes] == [("-", None), (None, None)]
    assert (config.log.level, config.error_pages.detail) == ("info", False)


def test_repeated_names_do_not_stop_the_building(tmp_path: Path) -> None:
    """The second route has none."""
    loaded = sound(tmp_path, "routes: [{name: a, respond: 204}, {name: a, respond: 204, match: {path: /a}}]")
    assert [route.name for route in loaded.config.routes] == ["a", None]


@pytest.mark.parametrize(
    "text", ["listeners: []\nroutes: 3\nupstreams: [a]\n", "log: {level: '${env:NO}'}", "x: 1", "- a"]
)
def test_something_is_always_left(text: str, tmp_path: Path) -> None:
    """Defaults stand in for what is gone."""
    assert sound(tmp_path, text).config.listeners


def test_mistakes_that_others_hide_are_told_too(tmp_path: Path) -> None:
    """A mapping checks itself only when its keys are right: it does after the wrong ones are out."""
    assert hidden(
        tmp_path, "routes: [{upstream: a, redirect: /x, body_limit: many}]\nupstreams: {a: {endpoints: [http://a]}}"
    ) == [
        "routes[0]: exactly one of `upstream`, `redirect`, `respond`: found upstream and redirect",
        "routes[0].body_limit: 'many' is not a size: write for example 64 KiB, 1 MiB or 10 MB",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "routes: [{upstrem: a}]",
        "routes: [{to: a}]",
        "routes: [{redirect: 3}]",
        "upstreams: {a: {endpoints: [htps://a], tls: {verify: true, ca: x}}}\nroutes: [{upstream: a}]",
        "defaults: {timeouts: {connect: 3}}\nroutes: [{respond: 204}]",
    ],
)
def test_no_mistake_is_made_by_another(text: str, tmp_path: Path) -> None:
    """What is missing because it was misspelt or wrong is not missing a second time."""
    assert len(hidden(tmp_path, text)) == 1


def test_a_configuration_without_mistakes_has_no_gaps(tmp_path: Path) -> None:
    """And can be packed for another process."""
    path = tmp_path / "config.yaml"
    path.write_text("routes: [{respond: 204}]")
    loaded = load(path)
    assert loaded.gaps is NO_GAPS
    assert loaded.is_sound(("routes", 7))
    assert unpack(pack(loaded)).gaps == NO_GAPS


def test_where_a_path_leads_in_the_whole_tree() -> None:
    """Only lists that lost entries count differently."""
    gaps = Gaps(frozenset({()}), {("a",): (1, 3), ("a", 3, "b"): (2,)})
    assert gaps.original(("a", 1, "b", 0, "c")) == ("a", 3, "b", 2, "c")
    assert gaps.original(("x", 1)) == ("x", 1)
