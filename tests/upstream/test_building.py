"""An upstream as the configuration describes it, and what it takes over from the one before it."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from gateway.deadlines import Sweep
from gateway.http.head import ResponseHeadReader
from gateway.upstream.building import Surroundings, build_upstream
from gateway.upstream.pool import Wires
from gateway.upstream.resolver import Resolver
from gateway.upstream.settings import UpstreamConfig
from gateway.upstream.upstream import Upstream
from tests.kit.transport import FakeClock


def around(folder: Path, warnings: list[str] | None = None) -> Surroundings:
    clock = FakeClock()
    wires = Wires(ResponseHeadReader(), Sweep(), clock)
    warn = (warnings if warnings is not None else []).append
    return Surroundings(wires, Resolver(clock), folder, warn, Random(1))


def config(*urls: str, **keys: object) -> UpstreamConfig:
    return UpstreamConfig.model_validate({"endpoints": list(urls), **keys})


def build(folder: Path, *urls: str, warnings: list[str] | None = None, **keys: object) -> Upstream:
    return build_upstream("app", config(*urls, **keys), around(folder, warnings))


def test_an_upstream_as_built(tmp_path: Path) -> None:
    """Names, Host fields, weights, host policy and retries come from the configuration; nothing connects."""
    upstream = build(tmp_path, "http://app:3000", "unix:/run/app.sock", host="endpoint", retries={"attempts": 2})
    assert [(each.name, each.host_header, each.weight) for each in upstream.endpoints] == [
        ("app:3000", b"app:3000", 1),
        ("unix:/run/app.sock", b"localhost", 1),
    ]
    assert (upstream.name, upstream.host, upstream.retries.attempts) == ("app", "endpoint", 2)
    assert all(each.pool.settled for each in upstream.endpoints)


def test_mistakes_in_tls_files_name_the_upstream(tmp_path: Path) -> None:
    """So does the warning of `verify: false`."""
    with pytest.raises(ValueError, match=r"upstreams\.app: tls\.ca: .*none\.pem cannot be read"):
        build(tmp_path, "https://a", tls={"ca": "none.pem"})
    warnings: list[str] = []
    build(tmp_path, "https://a", tls={"verify": False}, warnings=warnings)
    assert len(warnings) == 1
    assert warnings[0].startswith("upstreams.app: tls.verify: false")


def test_what_is_unchanged_lives_on(tmp_path: Path) -> None:
    """The same configuration gives the same upstream; another one the same pools where they can be the same."""
    places = around(tmp_path)
    first = build_upstream("app", config("http://a", "http://b"), places)
    assert build_upstream("app", config("http://a", "http://b"), places, first) is first
    second = build_upstream("app", config("http://b", "http://c", balance="first"), places, first)
    assert second.endpoints[0].pool is first.endpoints[1].pool
    assert build_upstream("app", config("http://b", pool={"max_idle": 1}), places, first).endpoints[0].pool not in {
        endpoint.pool for endpoint in first.endpoints
    }


def test_one_that_is_new_among_others_has_arrived(tmp_path: Path) -> None:
    """With a slow start its share grows; those of the gateway's start have nothing to catch up with."""
    places = around(tmp_path)
    places.wires.now.advance(50.0)  # type: ignore[attr-defined]
    first = build_upstream("app", config("http://a", slow_start="10s"), places)
    second = build_upstream("app", config("http://a", "http://b", slow_start="10s"), places, first)
    assert [endpoint.standing.returned_at for endpoint in second.endpoints] == [0.0, places.wires.now()]


def test_it_is_swept_until_it_retires(tmp_path: Path) -> None:
    """Nothing keeps an upstream that is served no more."""
    places = around(tmp_path)
    upstream = build_upstream("app", config("http://a", "http://b"), places)
    with_pools = len(places.wires.sweep)
    upstream.retire()
    assert len(places.wires.sweep) == with_pools - 1
