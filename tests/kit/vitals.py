"""What a gateway holds, all its processes together: memory, descriptors, connections, lines of its log.

For soaks: a figure is taken at the start, while it works and at the end, and what does not come back is a leak.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from bench.cpu import family, memory_bytes, resident_bytes
from tests.kit.process import Gateway, get

MEBIBYTE = 1 << 20


def memory(gateway: Gateway) -> int:
    """Bytes in all, what the processes share counted once."""
    return memory_bytes(gateway.pid)


def descriptors(gateway: Gateway) -> int:
    """Open ones."""
    count = 0
    for pid in family(gateway.pid):
        with contextlib.suppress(OSError):  # a process that has just ended
            count += len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return count


def begin_peak(gateway: Gateway) -> int:
    """Begins a new measurement of `peak`; resident bytes now, counted in the same way."""
    for pid in family(gateway.pid):
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    return resident_bytes(gateway.pid)


def peak(gateway: Gateway) -> int:
    """The most resident bytes since `begin_peak`: at most, for not all processes need have had theirs at once."""
    total = 0
    for pid in family(gateway.pid):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                total += int(line.split()[1]) * 1024
    return total


class Counts(NamedTuple):
    """All samples of /metrics."""

    samples: list[tuple[str, dict[str, str], float]]

    def total(self, name: str, **labels: str) -> float:
        """Sum of all series of `name` that have these labels."""
        return sum(
            value
            for found, their, value in self.samples
            if found == name and all(their.get(key) == wanted for key, wanted in labels.items())
        )

    def by(self, name: str, label: str) -> dict[str, int]:
        """The series of `name`, by the value of one label."""
        found: dict[str, int] = {}
        for series, their, value in self.samples:
            if series == name:
                found[their[label]] = found.get(their[label], 0) + int(value)
        return found

    def held(self) -> dict[str, float]:
        """What must be nothing when nobody is there."""
        at_work = {
            f"upstream {state}": self.total("gateway_upstream_connections", state=state)
            for state in ("active", "connecting", "queued")
        }
        return {
            "connections": self.total("gateway_connections_open"),
            "handshakes": self.total("gateway_tls_handshakes_active") + self.total("gateway_tls_handshakes_waiting"),
            "log": self.total("gateway_access_log_waiting_bytes"),
            **at_work,
        }


def counts(admin: int) -> Counts:
    """What the admin listener on that port says now."""
    families = text_string_to_metric_families(get(admin, "/metrics").text)
    return Counts([(one.name, one.labels, one.value) for each in families for one in each.samples])


def log_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a JSON access log."""
    with path.open() as lines:
        for line in lines:
            yield json.loads(line)


def assert_clean(said: str) -> None:
    """Nothing in standard error speaks of a leak or a bug, after the end (Gateway looks for tracebacks itself)."""
    for word in ("uncollectable", "ResourceWarning", "never awaited", "never retrieved", "was destroyed"):
        assert word not in said, said
