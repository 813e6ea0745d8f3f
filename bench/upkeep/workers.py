"""Workers: how evenly connections spread over two of them, and what a request costs with two instead of one."""

from __future__ import annotations

from pathlib import Path

from bench.cpu import cpu_seconds
from bench.load import drive
from bench.processes import StartFailed
from bench.upkeep.crowd import Crowd
from bench.upkeep.subject import Subject, until


async def spread(subject: Subject, connections: int) -> list[float]:
    """The share of connections that each worker has, of as many clients."""
    async with Crowd(subject.port, connections, 0.2):
        status = await until(lambda: subject.ask("/status"))
    counts = [worker["connections"] for worker in status["workers"]]
    return [count / sum(counts) for count in counts]


def expense(subject: Subject, script: Path, seconds: float, core: int, connections: int = 64) -> float:
    """Microseconds of CPU of a request, all processes of the gateway together, as fast as wrk can ask."""
    url = f"http://127.0.0.1:{subject.port}/page"
    drive(url, script, 1.0, core=core, connections=connections)
    before = cpu_seconds(subject.pid)
    load = drive(url, script, seconds, core=core, connections=connections)
    if load.refused or load.broken:
        raise StartFailed(f"{load.refused} refused, {load.broken} broken")
    return (cpu_seconds(subject.pid) - before) / load.requests * 1e6
