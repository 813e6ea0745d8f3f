"""A configuration from one process to another: everything it says, its secrets too, and no position in its files."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from gateway.config import load
from gateway.config.parcel import pack, unpack

TEXT = """\
upstreams: {app: {endpoints: ["http://a:1"]}}
routes: [{match: {path: /a}, upstream: app, request_headers: {set: {X-Key: "${env:KEY}"}}}]
"""


def test_what_is_packed_is_unpacked(tmp_path: Path) -> None:
    """The values, the folder and the watched files are the same, and secrets are still known to be secret."""
    path = tmp_path / "config.yaml"
    path.write_text(TEXT)
    loaded = load(path, environ={"KEY": "a-long-secret"})
    again = unpack(pack(loaded))
    assert again.config == loaded.config
    assert (again.folder, again.watched) == (loaded.folder, loaded.watched)
    assert again.scrub("it is a-long-secret") == loaded.scrub("it is a-long-secret") == "it is ${env:KEY}"


def test_more_routes_than_are_unpacked_in_one_go(tmp_path: Path) -> None:
    """They come out in their order, and the original keeps its own."""
    path = tmp_path / "config.yaml"
    path.write_text("routes:\n" + "".join(f"  - {{match: {{path: /{at}}}, respond: 204}}\n" for at in range(250)))
    loaded = load(path)
    again = unpack(pack(loaded))
    assert again.config == loaded.config
    assert len(loaded.config.routes) == 250


def test_positions_stay_behind(tmp_path: Path) -> None:
    """Thousands of routes travel without their lines and columns; a problem still names the file."""
    path = tmp_path / "config.yaml"
    path.write_text("routes:\n" + "".join(f"  - {{match: {{path: /{at}}}, respond: 204}}\n" for at in range(100)))
    loaded = load(path)
    again = unpack(pack(loaded))
    assert loaded.problem(("routes", 3), "wrong").line == 5
    assert str(again.problem(("routes", 3), "wrong")).startswith(str(path))
    assert len(pack(loaded)) < 40_000


def test_nothing_else_is_taken_for_one() -> None:
    """What another program packed is refused."""
    with pytest.raises(TypeError):
        unpack(pickle.dumps({"config": 1}))
