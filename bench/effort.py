"""How long a run may take: rounds, seconds, sizes.

Two presets (whole and quick) and the options of the command line; every workload reads its bounds from here.
"""

from __future__ import annotations

from typing import NamedTuple


class Effort(NamedTuple):
    """The bounds of one run."""

    rounds: int = 3
    seconds: float = 3.0  # of load per peer and round
    stream_bytes: int = 1024**3
    idle_connections: int = 10_000
    starts: int = 7
    routes: int = 5_000
    clients: int = 1_000  # keep-alive ones, while the gateway is looked after
    sockets: int = 100
    reloads: int = 100
    kills: int = 20


QUICK = Effort(
    rounds=1,
    seconds=1.0,
    stream_bytes=128 * 1024**2,
    idle_connections=4_000,
    starts=3,
    clients=200,
    sockets=20,
    reloads=20,
    kills=4,
)
