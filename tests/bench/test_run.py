"""`python -m bench` as a whole, in its shortest form: whether it measures, not what."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.run import WORK

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]


def bench(*words: str, seconds: float = 50) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False)


def measured(folder: Path, *words: str, seconds: float = 50) -> set[str]:
    """The works of a run beside nginx, whose figures, ratios and exit status fit together."""
    missing = [name for name in ("wrk", "nginx") if shutil.which(name, path="/usr/bin:/usr/sbin") is None]
    if missing:
        pytest.skip(f"apt-get install {' '.join(missing)}")
    path = folder / "rows.json"
    done = bench(*words, "--peers", "nginx", "gateway", "--json", str(path), seconds=seconds)
    assert done.returncode in {0, 1}, done.stderr
    rows = json.loads(path.read_text())["rows"]
    figures = {(row["work"], row["target"]): row["value"] for row in rows}
    for row in rows:
        assert row["value"] > 0 or row["work"].startswith("growth")
        if row["ratio"] is not None:
            assert row["ratio"] == pytest.approx(row["value"] / figures[row["work"], "nginx"])
    assert "socket errors" not in done.stdout
    assert "unexpected answers" not in done.stdout
    failed = any(row["passed"] is False for row in rows)
    assert done.returncode == failed == ("below the bar" in done.stderr)
    return {row["work"] for row in rows}


def test_a_short_run(tmp_path: Path) -> None:
    """A second at a modest rate gives percentiles beside those of nginx."""
    works = measured(tmp_path, "latency", "--rounds", "1", "--seconds", "1")
    assert works == {"latency p50", "latency p99", "latency p99.9"}


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_run_of_everything(tmp_path: Path) -> None:
    """One quick round of all that is measured beside peers."""
    asked = ["proxied", "varied", "tls", "answered", "handshake", "bodies", "idle", "start", "routes"]
    works = measured(tmp_path, *asked, "--quick", seconds=400)
    told = {"answered": {"denied", "moved"}, "bodies": {"body down", "body up", "growth down", "growth up"}}
    assert works >= set().union(*(told.get(work, {work}) for work in asked))


def test_what_there_is_to_measure() -> None:
    """An unknown workload is refused with the names of those there are."""
    done = bench("proxyed")
    assert done.returncode == 2
    assert all(name in done.stderr for name in WORK)
