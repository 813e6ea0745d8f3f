"""Upkeep that nobody notices: reloads, deaths and upgrades under load, in short forms of what bench/upkeep measures."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.upkeep.kills import control_kills, worker_kills
from bench.upkeep.reloads import reloads
from bench.upkeep.upgrades import copied_tree, upgrades
from bench.upkeep.workers import spread
from tests.kit.upkeep import run, subject

pytestmark = pytest.mark.e2e


def test_reloads_are_not_noticed(tmp_path: Path) -> None:
    """Good and faulty ones: no request fails, no WebSocket ends, and no descriptor is left over."""
    with subject(tmp_path) as it:
        seen = run(it, lambda: reloads(it, 4, 20, 4, 0.1))
    assert seen.account.failures == []
    assert (seen.closed, seen.wrong) == (0, 0)
    assert seen.generations == {4}
    assert abs(seen.descriptors) <= 2


def test_a_killed_worker_takes_nobody_with_it(tmp_path: Path) -> None:
    """Only what it had accepted fails; what waits in its queue is answered within a second, and nothing is uncounted."""
    with subject(tmp_path) as it:
        seen = run(it, lambda: worker_kills(it, 1, 20, 10, 0.1))
    assert seen.unrelated == 0
    assert seen.back < 1.0
    assert seen.lost == 0


def test_a_killed_control_process_is_not_noticed(tmp_path: Path) -> None:
    """No request fails, the admin pages come back, and every request is counted and logged."""
    with subject(tmp_path) as it:
        seen = run(it, lambda: control_kills(it, 1, 20, 0.1))
    assert seen.account.failures == []
    assert (seen.lost, seen.uncounted, seen.unlogged) == (0, 0, 0)


def test_an_upgrade_is_not_noticed(tmp_path: Path) -> None:
    """Two in a row, and one to code that does not work: no request fails, and WebSockets stay until the drain's end."""
    tree = copied_tree(tmp_path)
    with subject(tmp_path / "served", tree=tree, shutdown={"drain": "2s", "stream_drain": "2s"}) as it:
        seen = run(it, lambda: upgrades(it, "gur", 20, 4, 2.0, 0.1))
    assert seen.account.failures == []
    assert seen.outcomes == [True] * 3
    assert seen.closed == 0


def test_connections_are_shared_out(tmp_path: Path) -> None:
    """Of 400 each of two workers has 40 to 60 percent."""
    with subject(tmp_path) as it:
        shares = run(it, lambda: spread(it, 400))
    assert len(shares) == 2
    assert all(0.4 <= share <= 0.6 for share in shares)
