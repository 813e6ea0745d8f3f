"""What another configuration would change, as an operator would say it."""

from __future__ import annotations

from pathlib import Path

from gateway.config import load
from gateway.config.difference import differences

OLD = """\
listeners: [{bind: "127.0.0.1:8080"}]
upstreams:
  app: {endpoints: ["http://a:1", "http://b:1"]}
routes:
  - {name: api, match: {path: /api/*}, upstream: app, timeouts: {read: 60s}}
  - {name: rest, upstream: app}
"""


def said(folder: Path, old: str, new: str, **environ: str) -> list[str]:
    for name, text in (("old.yaml", old), ("new.yaml", new)):
        (folder / name).write_text(text)
    pair = [load(folder / name, environ=environ) for name in ("old.yaml", "new.yaml")]
    return [str(one) for one in differences(*pair)]


def test_what_means_the_same(tmp_path: Path) -> None:
    """Comments, order, units and written-out defaults make no difference."""
    same = """\
# another form
routes:
  - {upstream: app, name: rest}
  - {name: api, upstream: app, match: {path: /api/*}, timeouts: {read: 1m, connect: 3s}}
upstreams: {app: {balance: least_requests, endpoints: ["http://b:1", {url: "http://a:1", weight: 1}]}}
listeners: [{bind: "127.0.0.1:8080"}]
"""
    assert said(tmp_path, OLD, same) == []


def test_what_changes_comes_and_goes(tmp_path: Path) -> None:
    """A timeout in a named route, an endpoint that goes, a route and a listener that come."""
    new = (
        OLD.replace("read: 60s", "read: 30s")
        .replace(', "http://b:1"', "")
        .replace('"127.0.0.1:8080"}', '"127.0.0.1:8080"}, {bind: "127.0.0.1:8081"}')
    )
    new += "  - {name: gone, match: {path: /gone}, respond: 410}\n"
    lines = said(tmp_path, OLD, new)
    assert "~ routes.api.timeouts.read: 60.0 -> 30.0" in lines
    assert [line[:33] for line in lines if "endpoints" in line] == ["- upstreams.app.endpoints.http://"]
    assert any(line.startswith("+ routes.gone: ") and '"status":410' in line for line in lines)
    assert any(line.startswith("+ listeners.127.0.0.1:8081: ") for line in lines)
    assert len(lines) == 4


def test_secrets_are_compared_and_not_shown(tmp_path: Path) -> None:
    """That a key differs is said; neither of the two is."""
    with_key = OLD + "request_headers: {set: {X-Key: '${env:%s}'}}\n"
    lines = said(tmp_path, with_key % "ONE", with_key % "TWO", ONE="first-secret", TWO="second-secret")
    assert len(lines) == 1
    assert lines[0] == '~ request_headers.set.x-key: "***" -> "***"'
    assert "secret" not in lines[0]
