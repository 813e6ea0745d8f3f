"""usable_processors: how many workers `workers: auto` means.

Asked once, at start. The rule: a container gets as many as it is allowed to use, not as many as the machine has: more
would only take turns within the same quota, each of them late.
"""

from __future__ import annotations

import os
from pathlib import Path

_ROOT = Path("/")


def usable_processors(root: Path = _ROOT) -> int:
    """Processors that this process may run on, or that its cgroup's quota comes to, rounded down; at least 1."""
    allowed = len(os.sched_getaffinity(0))
    quota = _quota(root)
    return max(1, allowed if quota is None else min(allowed, int(quota)))


def _quota(root: Path) -> float | None:
    """The least quota on the way from our cgroup to the top, in processors; None without one."""
    quotas = [quota for folder in _cgroups(root) if (quota := _quota_of(folder)) is not None]
    return min(quotas, default=None)


def _cgroups(root: Path) -> list[Path]:
    """Folders of our cgroups that know about processors, and those above them."""
    mounted = root / "sys/fs/cgroup"
    folders: list[Path] = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if names and "cpu" not in names.split(","):
            continue
        # Version 1 is mounted by its names; in a container the path is often the host's, which is not there: then the
        # top is ours.
        for top in (mounted, mounted / "unified") if not names else (mounted / names, mounted / "cpu"):
            own = top / path.strip("/")
            folders += [folder for folder in (own, *own.parents) if folder == top or top in folder.parents]
    return folders


def _quota_of(folder: Path) -> float | None:
    quota, period = "", ""
    if whole := _read(folder / "cpu.max"):  # version 2: "200000 100000" or "max 100000"
        quota, _, period = whole.strip().partition(" ")
    elif whole := _read(folder / "cpu.cfs_quota_us"):  # version 1: -1 for none
        quota, period = whole.strip(), _read(folder / "cpu.cfs_period_us").strip()
    if not (quota.isdigit() and period.isdigit()) or int(period) == 0:
        return None
    return int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
