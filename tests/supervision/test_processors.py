"""usable_processors: the least of affinity and the quotas of our cgroups."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.supervision.processors import usable_processors

TOP = "sys/fs/cgroup"


def machine(root: Path, own: str, files: dict[str, str]) -> Path:
    for name, text in {"proc/self/cgroup": own, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("own", "files", "processors"),
    [
        ("", {}, 8),
        ("0::/\n", {f"{TOP}/cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {f"{TOP}/cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {f"{TOP}/cpu.max": "290000 100000\n"}, 2),
        ("0::/\n", {f"{TOP}/cpu.max": "50000 100000\n"}, 1),
        ("0::/\n", {f"{TOP}/cpu.max": "nonsense\n"}, 8),
        ("0::/\n", {f"{TOP}/cpu.max": "1600000 100000\n"}, 8),
        ("0::/a/b\n", {f"{TOP}/a/b/cpu.max": "max 100000\n", f"{TOP}/a/cpu.max": "300000 100000\n"}, 3),
        ("0::/a/b\n", {f"{TOP}/a/b/cpu.max": "100000 50000\n", f"{TOP}/a/cpu.max": "300000 100000\n"}, 2),
        # In a container the path may be the host's, which is not mounted: then the top is ours.
        ("0::/host/pod\n", {f"{TOP}/cpu.max": "400000 100000\n"}, 4),
        ("4:memory:/x\n", {f"{TOP}/cpu.max": "200000 100000\n"}, 8),
        ("2:cpu,cpuacct:/a\n", {f"{TOP}/cpu/a/cpu.cfs_quota_us": "250000", f"{TOP}/cpu/a/cpu.cfs_period_us": "50000"}, 5),
        ("2:cpu:/a\n", {f"{TOP}/cpu/cpu.cfs_quota_us": "-1\n", f"{TOP}/cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ("2:cpuset:/a\n", {f"{TOP}/cpu/cpu.cfs_quota_us": "100000", f"{TOP}/cpu/cpu.cfs_period_us": "100000"}, 8),
    ],
)  # fmt: skip
def test_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str, files: dict[str, str], processors: int
) -> None:
    """Rounded down, at least one, and never more than the process may run on."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))
    assert usable_processors(machine(tmp_path, own, files)) == processors


def test_this_machine() -> None:
    """Has at least one."""
    assert 1 <= usable_processors() <= len(os.sched_getaffinity(0))
