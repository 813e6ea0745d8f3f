"""What a process and its children have cost so far: CPU seconds, resident memory.

Every workload reads these before and after its requests, so a figure holds even where the load generator or the origin
is the bottleneck. Everything comes from /proc; nothing is sampled, and a process that is gone counts as nothing.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_RESIDENT = re.compile(r"VmRSS:\s+(\d+) kB")
_PROPORTIONAL = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)
_PROC = Path("/proc")


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the third on (the second may hold spaces), or None for a process that is gone."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def family(pid: int) -> set[int]:
    """`pid` and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            stat = _stat(int(entry.name))
            if stat is not None:
                children.setdefault(int(stat[1]), []).append(int(entry.name))
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        member = waiting.pop()
        if member not in found:
            found.add(member)
            waiting += children.get(member, [])
    return found


def cpu_seconds(pid: int) -> float:
    """User and system seconds of `pid` and its descendants."""
    return sum(map(own_seconds, family(pid)))


def own_seconds(pid: int) -> float:
    """User and system seconds of `pid` alone."""
    stat = _stat(pid)
    return 0.0 if stat is None else (int(stat[11]) + int(stat[12])) / _TICKS


def resident_bytes(pid: int) -> int:
    """Resident memory of `pid` and its descendants, bytes: for differences, since what they share counts for each."""
    return _sum(pid, "status", _RESIDENT)


def memory_bytes(pid: int) -> int:
    """Memory of `pid` and its descendants, bytes; what they share counts once (proportional set size)."""
    return _sum(pid, "smaps_rollup", _PROPORTIONAL)


def _sum(pid: int, file: str, kib: re.Pattern[str]) -> int:
    total = 0
    for member in family(pid):
        with contextlib.suppress(OSError):  # gone meanwhile
            found = kib.search((_PROC / str(member) / file).read_text())
            total += int(found[1]) * 1024 if found is not None else 0
    return total
