"""From the command to the first answered request, by the clock on the wall: minimum and median.

The question is asked every few milliseconds from the moment the process exists. Peers are started the same way, for
comparison.
"""

from __future__ import annotations

import statistics
import time

from bench.effort import Effort
from bench.peers import Peer, Ports, answers
from bench.processes import START_SECONDS, StartFailed, free_port, say
from bench.stage import Stage
from bench.table import Bar, Row, judge

_ASK_EVERY = 0.004  # seconds
START = Bar(800, 400, unit="ms")


def start(stage: Stage, peers: list[Peer], effort: Effort) -> list[Row]:
    """Starts each peer several times. The figure is the median; the note has the best."""
    rows = []
    for peer in peers:
        times = sorted(_once(peer, stage) * 1000 for _ in range(effort.starts))
        median = statistics.median(times)
        say(f"start: {peer.name} {median:.0f} ms")
        rows.append(Row("start", peer.name, median, "ms", note=f"best {times[0]:.0f} of {len(times)}"))
    return [row._replace(ratio=None) for row in judge(rows, START)]


def _once(peer: Peer, stage: Stage) -> float:
    ports = Ports(free_port(), free_port())
    begun = time.perf_counter()
    with peer.start(stage, ports) as process:
        while not answers(ports.plain, peer.path):
            if time.perf_counter() - begun > START_SECONDS:
                raise StartFailed(f"{peer.name} does not answer:\n{process.tail()}")
            time.sleep(_ASK_EVERY)
        passed = time.perf_counter() - begun
        process.kill()
    return passed
