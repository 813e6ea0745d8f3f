"""The configuration in force, for the admin API: complete, JSON, and without secrets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.config import load, redacted
from gateway.config.model import SiteConfig
from gateway.config.references import HIDDEN


def shown(folder: Path, text: str, **environ: str) -> dict[str, Any]:
    path = folder / "config.yaml"
    path.write_text(text)
    values = redacted(load(path, environ=environ).config)
    json.dumps(values, allow_nan=False)
    return values


def test_every_key_with_the_value_in_force() -> None:
    """Defaults included, aliases as operators write them, units as numbers."""
    values = redacted(SiteConfig())
    assert list(values) == list(SiteConfig.model_fields)
    assert values["downstream"]["head_timeout"] == 10.0
    assert values["downstream"]["max_head"] == 32 * 1024
    assert HIDDEN not in json.dumps(values["downstream"])


def test_what_came_from_a_reference_is_hidden(tmp_path: Path) -> None:
    """Also a default, also where it is one entry of many, also where it was a number."""
    values = shown(
        tmp_path,
        """
upstreams: {app: {endpoints: [http://127.0.0.1:3000, "http://${env:HOST}:3001"]}}
routes:
  - upstream: app
    match: {host: "${env:HOST}", path: /x}
    request_headers: {set: {X-Auth: "Bearer ${env:TOKEN}", X-Plain: seen}}
    rewrite: {replace_prefix: {from: /x, to: "${env:TO:-/y}"}}
downstream: {max_fields: "${env:N}"}
""",
        HOST="internal", TOKEN="hunter2", N="77",
    )  # fmt: skip
    text = json.dumps(values)
    assert not any(secret in text for secret in ("internal", "hunter2", "77", '"/y"'))
    assert values["downstream"]["max_fields"] == HIDDEN
    assert values["upstreams"]["app"]["endpoints"][0]["url"] == "http://127.0.0.1:3000"
    assert values["routes"][0]["request_headers"]["set"]["x-plain"] == "seen"
    assert values["routes"][0]["rewrite"]["replace_prefix"]["from"] == "/x"


def test_keys_named_like_secrets_are_hidden(tmp_path: Path) -> None:
    """Wherever the value came from."""
    values = shown(
        tmp_path,
        """
listeners: [{bind: ":443", tls: {password: hunter2}}]
routes:
  - upstream: app
    request_headers: {set: {Authorization: Basic abc, X-Api-Key: d3f, X-Other: ghi}}
upstreams: {app: {endpoints: [http://127.0.0.1:3000]}}
""",
    )
    text = json.dumps(values)
    assert not any(secret in text for secret in ("hunter2", "Basic abc", "d3f"))
    assert "ghi" in text


@pytest.mark.parametrize("url", ["https://user:hunter2@example.com/x", "https://hunter2@example.com"])
def test_users_in_urls_are_hidden(tmp_path: Path, url: str) -> None:
    """Whatever key they stand under."""
    values = shown(tmp_path, f"routes: [{{respond: {{body: '{url}'}}}}]\n")
    assert values["routes"][0]["respond"]["body"].startswith(f"https://{HIDDEN}@example.com")


def test_a_value_that_validation_reshaped_is_hidden_all_the_same(tmp_path: Path) -> None:
    """A scalar that became a mapping, or turned up elsewhere."""
    values = shown(tmp_path, "routes:\n  - redirect: ${env:TARGET}\n", TARGET="https://hunter2.example/")
    assert values["routes"][0]["redirect"] == HIDDEN
