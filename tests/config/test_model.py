"""SiteConfig as a whole: defaults, order, and the rule that keys are explained."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.config.model import DEFAULT_BIND, RULES_KEYS, References, RulesConfig, SiteConfig
from gateway.config.references import Secret


def test_nothing_is_required() -> None:
    """An empty file is a gateway that answers 404 on the default address."""
    config = SiteConfig()
    assert [str(listener.bind) for listener in config.listeners] == [DEFAULT_BIND]
    assert config.shutdown.drain == 30.0
    assert str(config.admin.bind) == "127.0.0.1:9090"


def test_keys_stand_in_the_order_of_the_journey() -> None:
    """From the listener to the log, then the gateway's own affairs."""
    assert list(SiteConfig.model_fields) == [
        "listeners", "downstream", "real_ip", "request_id", "trace", "upstreams", "routes", "defaults",
        "request_headers", "response_headers", "forwarded", "security_headers", "error_pages", "access_log", "admin",
        "log", "workers", "state_dir", "signing_keys", "shutdown",
    ]  # fmt: skip


def test_rules_files_hold_keys_of_the_whole() -> None:
    """Nothing can be said there that could not stand in config.yaml."""
    assert set(RULES_KEYS) == set(RulesConfig.model_fields) <= set(SiteConfig.model_fields)


def test_unknown_keys_and_empty_listeners_are_refused() -> None:
    """A typo is not ignored, and a gateway that listens nowhere is a mistake."""
    mistakes: list[dict[str, object]] = [{"lisen": []}, {"listeners": []}]
    for values in mistakes:
        with pytest.raises(ValidationError):
            SiteConfig.model_validate(values)


def test_it_remembers_what_must_not_be_shown() -> None:
    """And shows counts alone."""
    secrets = References(frozenset({("log", "level")}), (Secret("x", "${env:X}"),))
    config = SiteConfig().remember(secrets)
    assert config.references is secrets
    assert repr(config) == "SiteConfig(listeners=1, upstreams=0, routes=0)"
