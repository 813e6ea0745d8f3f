"""Listeners and limits as operators write them: what is read, what is refused, and with which words."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from pydantic import ValidationError

from gateway.http.head import HeadRules
from gateway.server.settings import Bind, DownstreamConfig, ListenerConfig, ProxyProtocolConfig, parse_bind


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("0.0.0.0:8080", Bind("0.0.0.0", 8080)),
        ("127.0.0.1:0", Bind("127.0.0.1", 0)),
        ("[::]:8080", Bind("::", 8080)),
        ("[::1]:65535", Bind("::1", 65535)),
        ("[2001:db8::7]:80", Bind("2001:db8::7", 80)),
        ("[::ffff:192.0.2.1]:80", Bind("::ffff:192.0.2.1", 80)),
        (":8080", Bind("::", 8080)),
        ("localhost:80", Bind("localhost", 80)),
        ("gateway.internal:80", Bind("gateway.internal", 80)),
        ("unix:/run/gateway.sock", Bind("", 0, "/run/gateway.sock")),
        ("unix:gateway.sock", Bind("", 0, "gateway.sock")),
        ("unix:/run/a:b.sock", Bind("", 0, "/run/a:b.sock")),
    ],
)
def test_addresses_to_listen_on(text: str, bind: Bind) -> None:
    """Host and port, or the path of a Unix socket; no host is all addresses of both families."""
    assert parse_bind(text) == bind
    assert parse_bind(bind) is bind


@pytest.mark.parametrize(
    "text",
    [
        "8080", "", ":", "0.0.0.0", "0.0.0.0:", "0.0.0.0:http", "0.0.0.0:65536", "0.0.0.0:-1", "0.0.0.0:123456",
        "0.0.0.0: 80", "::1:80", "[::1]", "[::1]80", "[::1:80", "::", "[zz::1]:80", "[::g]:80", "[1:2]:80",
        "256.0.0.1:80", "1.2.3:80", "010.0.0.1:80", "1.2.3.4.5:80", "http://0.0.0.0:80", "0.0.0.0:80/", "unix:",
        "a/b:80", "0.0.0.0:٣", "[::1%eth0]:80",
    ],
)  # fmt: skip
def test_what_is_no_address_to_listen_on(text: str) -> None:
    """Refused at load time, before anything is opened, and never read as something else."""
    with pytest.raises(ValueError, match=r"write for example|1 to 107 characters"):
        parse_bind(text)


@pytest.mark.parametrize("value", [8080, None, True, ["0.0.0.0:80"], {"port": 80}])
def test_a_bind_is_text(value: object) -> None:
    """A lone number is the commonest slip: the message says what to write instead."""
    with pytest.raises(ValueError, match=r"write for example 0\.0\.0\.0:8080"):
        parse_bind(value)


def test_the_path_of_a_unix_socket_is_bounded() -> None:
    """The kernel's sun_path has room for 107 characters and their end."""
    assert parse_bind("unix:" + "a" * 107).path == "a" * 107
    with pytest.raises(ValueError, match="found 108"):
        parse_bind("unix:" + "a" * 108)


@pytest.mark.parametrize("text", ["0.0.0.0:8080", "[::1]:80", "localhost:80", "unix:/run/g.sock"])
def test_a_bind_shows_as_it_is_written(text: str) -> None:
    """In logs and metrics a listener is called what the operator calls it, and that can be read again."""
    assert str(parse_bind(text)) == text
    assert parse_bind(str(parse_bind(text))) == parse_bind(text)


def test_a_listener_needs_an_address_only() -> None:
    """All else has a default: plain HTTP, no redirect, no PROXY protocol."""
    listener = ListenerConfig.model_validate({"bind": ":8080"})
    assert (listener.tls, listener.redirect_to_https, listener.proxy_protocol, listener.backlog) == (
        None,
        False,
        None,
        2048,
    )


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"bind": ":80", "port": 80},
        {"bind": ":80", "backlog": 0},
        {"bind": ":80", "redirect_to_https": 0},
        {"bind": ":80", "redirect_to_https": 65536},
        {"bind": ":80", "redirect_to_https": "yes"},
        {"bind": ":80", "proxy_protocol": {"trusted": []}},
        {"bind": ":80", "proxy_protocol": {}},
        {"bind": ":80", "proxy_protocol": {"trusted": ["10.0.0.1/8"]}},
        {"bind": ":80", "proxy_protocol": {"trusted": ["everybody"]}},
    ],
)
def test_listeners_that_are_refused(keys: dict[str, object]) -> None:
    """Unknown keys, a backlog of nothing, and above all a PROXY protocol that would trust nobody or anybody."""
    with pytest.raises(ValidationError):
        ListenerConfig.model_validate(keys)


def test_a_redirect_may_name_its_port() -> None:
    """`true` for 443, a number for any other port."""
    assert ListenerConfig.model_validate({"bind": ":80", "redirect_to_https": True}).redirect_to_https is True
    assert ListenerConfig.model_validate({"bind": ":80", "redirect_to_https": 8443}).redirect_to_https == 8443


def test_who_may_send_a_proxy_header() -> None:
    """Ranges and the word `unix`; headers are required unless it is said otherwise."""
    config = ProxyProtocolConfig.model_validate({"trusted": ["10.0.0.0/8", "2001:db8::/32", "192.0.2.1", "unix"]})
    assert config.required
    assert config.trusted == [ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"), ip_network("192.0.2.1/32"), "unix"]


def test_the_defaults_are_the_documented_ones() -> None:
    """The numbers of the reference; a change here is a change for every operator."""
    settings = DownstreamConfig()
    assert (settings.head_timeout, settings.body_timeout, settings.keepalive_timeout) == (10.0, 30.0, 75.0)
    assert (settings.keepalive_requests, settings.keepalive_time, settings.write_timeout) == (10_000, 3600.0, 60.0)
    assert (settings.linger_timeout, settings.linger_size) == (5.0, 1 << 20)
    assert (settings.max_head, settings.max_line, settings.max_fields, settings.max_uri) == (32768, 16384, 100, 8192)
    assert (settings.min_body_rate, settings.min_body_rate_after) == (500, 10.0)
    assert (settings.max_connections, settings.max_connections_per_client) == (None, 1024)
    assert (settings.underscores, settings.path.encoded_slash, settings.path.double_slash) == ("drop", "keep", "keep")


def test_the_head_reader_has_the_same_defaults() -> None:
    """What is not configured is read under the rules that are documented."""
    settings, rules = DownstreamConfig(), HeadRules()
    for name in ("max_line", "max_fields", "max_uri", "underscores"):
        assert getattr(settings, name) == getattr(rules, name)


def test_limits_cannot_be_nothing() -> None:
    """A limit of zero connections, requests or fields would serve nobody."""
    for key in ("max_connections", "max_connections_per_client", "keepalive_requests", "max_fields"):
        with pytest.raises(ValidationError):
            DownstreamConfig.model_validate({key: 0})
    assert DownstreamConfig.model_validate({"max_connections_per_client": None}).max_connections_per_client is None
