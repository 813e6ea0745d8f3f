"""`upstreams` as the operator writes it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gateway.upstream.ejection import EjectionConfig
from gateway.upstream.settings import PoolConfig, UpstreamConfig, UpstreamTlsConfig


def test_the_shortest_upstream() -> None:
    """A URL is enough; the defaults are those of the product."""
    config = UpstreamConfig.model_validate({"endpoints": ["http://app:3000"]})
    assert [(each.url, each.weight) for each in config.endpoints] == [("http://app:3000", 1)]
    assert (config.balance, config.host, config.hash_on) == ("least_requests", "preserve", None)
    assert config.retries.attempts == 1
    assert config.ejection == EjectionConfig()
    assert (config.health, config.breaker, config.failover) == (None, None, None)
    assert (config.panic, config.slow_start) == (0.5, 0.0)
    assert config.tls.verify
    pool = config.pool
    assert (pool.idle_timeout, pool.max_idle, pool.max_open, pool.queue, pool.queue_timeout) == (
        60.0,
        64,
        256,
        1024,
        5.0,
    )


def test_the_longest_upstream() -> None:
    """Every key at once."""
    config = UpstreamConfig.model_validate(
        {
            "endpoints": ["https://a", {"url": "https://b:8443", "weight": 3}],
            "balance": "hash",
            "hash_on": "header:X-User",
            "host": "app.internal:8080",
            "pool": {"idle_timeout": "5s", "max_idle": 1, "max_open": 2, "queue": 0, "queue_timeout": "250ms"},
            "tls": {"ca": "ca.pem", "server_name": "app", "certificate": "me.pem", "key": "me.key", "minimum": "1.3"},
            "retries": {"attempts": 0},
        }
    )
    assert [each.weight for each in config.endpoints] == [1, 3]
    assert config.endpoints[1].address.name == "b:8443"
    assert config.pool == PoolConfig.model_validate(
        {"idle_timeout": "5s", "max_idle": 1, "max_open": 2, "queue": 0, "queue_timeout": "250ms"}
    )
    assert config.tls.server_name == "app"


def test_equal_texts_are_equal_upstreams() -> None:
    """A reload keeps the pools of what did not change by comparing configurations."""
    text = {"endpoints": ["http://a", {"url": "http://b", "weight": 2}], "pool": {"max_idle": 3}}
    assert UpstreamConfig.model_validate(text) == UpstreamConfig.model_validate(text)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ({}, "required"),
        ({"endpoints": []}, "at least 1"),
        ({"endpoints": ["app:3000"]}, "for example http://app:3000"),
        ({"endpoints": ["http://a/"]}, "a path"),
        ({"endpoints": [{"url": "http://a", "weight": 0}]}, "greater than or equal to 1"),
        ({"endpoints": [{"url": "http://a", "weigth": 1}]}, "Extra inputs"),
        ({"endpoints": ["http://a", "http://A:80"]}, "twice"),
        ({"endpoints": ["http://a"], "balance": "fastest"}, "least_requests"),
        ({"endpoints": ["http://a"], "hash_on": "client"}, "balance: hash"),
        ({"endpoints": ["http://a"], "balance": "hash", "hash_on": "header"}, "header:NAME"),
        ({"endpoints": ["http://a"], "balance": "hash", "hash_on": "header:a b"}, "header:NAME"),
        ({"endpoints": ["http://a"], "balance": "hash", "hash_on": "client:x"}, "header:NAME"),
        ({"endpoints": ["http://a"], "host": "http://a"}, "preserve, endpoint"),
        ({"endpoints": ["http://a"], "host": "a\r\nX: y"}, "preserve, endpoint"),
        ({"endpoints": ["http://a"], "pool": {"max_open": 0}}, "greater than or equal to 1"),
        ({"endpoints": ["http://a"], "pool": {"idle_timeout": 60}}, "60s"),
        ({"endpoints": ["http://a"], "retries": {"attempts": 9}}, "less than or equal to 5"),
        ({"endpoints": ["http://a"], "tls": {"verify": False}}, "no endpoint is https"),
        ({"endpoints": ["http://a"], "ejection": "on"}, "off"),
        ({"endpoints": ["http://a"], "panic": 0.5}, "a percentage"),
        ({"endpoints": ["http://a", "https://b"], "health": {"type": "tls"}}, "write tcp"),
        ({"endpoints": ["https://a"], "tls": {"key": "k.pem"}}, "certificate"),
        ({"endpoints": ["https://a"], "tls": {"verify": False, "ca": "c.pem"}}, "no effect"),
        ({"endpoints": ["https://a"], "tls": {"server_name": "a:443"}}, "without port"),
        ({"endpoints": ["https://a"], "tls": {"server_name": "a/b"}}, "without port"),
    ],
)
def test_mistakes(text: dict[str, Any], advice: str) -> None:
    """Each is refused at load, in words that say what to write."""
    with pytest.raises(ValueError, match=re.escape(advice)):
        UpstreamConfig.model_validate(text)


@pytest.mark.parametrize("host", ["preserve", "endpoint", "app", "app.internal:8080", "[::1]:80", "127.0.0.1"])
def test_hosts(host: str) -> None:
    """Two words and any literal authority."""
    assert UpstreamConfig.model_validate({"endpoints": ["http://a"], "host": host}).host == host


def test_server_names_may_be_addresses() -> None:
    """A certificate may be for an address."""
    assert UpstreamTlsConfig.model_validate({"server_name": "::1"}).server_name == "::1"


def test_the_schema_knows_both_forms_of_an_endpoint() -> None:
    """Editors accept a URL and a mapping."""
    items = UpstreamConfig.model_json_schema()["properties"]["endpoints"]["items"]
    assert {"string", None} == {form.get("type") for form in items["anyOf"]}


def test_every_key_is_documented() -> None:
    """The reference page is generated from the docstrings."""
    for model in (UpstreamConfig, PoolConfig, UpstreamTlsConfig):
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"
