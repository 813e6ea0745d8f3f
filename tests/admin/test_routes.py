"""/routes from a configuration."""

from __future__ import annotations

from pathlib import Path

from gateway.admin.routes import routes_shown
from gateway.config import load, redacted
from gateway.routing import route_names

CONFIG = """\
upstreams: {app: {endpoints: ["http://127.0.0.1:3000"]}}
routes:
  - {name: old, match: {path: /old, host: a.test}, redirect: /new}
  - {match: {path: /x, headers: {X-Key: "${env:KEY}"}}, respond: {status: 404, body: a long page}}
  - {description: the rest, upstream: app}
"""


def test_each_route_says_what_and_where(tmp_path: Path) -> None:
    """Names, matches and targets as written; no secret, no page, and nothing that was left out."""
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    config = load(path, environ={"KEY": "open-sesame"}).config
    old, keyed, rest = routes_shown(route_names(config.routes), redacted(config))
    assert (old["name"], old["match"]) == ("old", {"host": ["a.test"], "path": ["/old"]})
    assert old["redirect"]["to"] == "/new"
    assert keyed["respond"] == {"status": 404}
    assert "open-sesame" not in str(keyed)
    assert rest["name"]
    assert {key: rest[key] for key in rest if key != "name"} == {
        "match": {},
        "description": "the rest",
        "upstream": "app",
    }
