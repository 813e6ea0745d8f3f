"""Building: how late requests become while every process builds a configuration of thousands of routes."""

from __future__ import annotations

import asyncio
import copy
import signal
import time
from typing import Any, NamedTuple

from bench.cpu import own_seconds
from bench.upkeep.crowd import Crowd
from bench.upkeep.subject import Subject, until


class Building(NamedTuple):
    """Seconds: of the 99th percentile while nothing happens and while it is built, of the slowest request meanwhile,
    and of the reload."""

    quiet: float
    busy: float
    slowest: float
    took: float
    failed: int


async def building(subject: Subject, routes: int, clients: int, seconds: float, turns: int) -> Building:
    """`turns` reloads to one of as many routes, `seconds` of quiet before each. Clients ask at random times, five times
    a second each, so what one of them waits hardly keeps it from asking."""
    async with Crowd(subject.port, clients, 0.2) as crowd:
        quiet: list[tuple[float, float]] = []
        busy: list[tuple[float, float]] = []
        took: list[float] = []
        for turn in range(turns):
            began = time.monotonic()
            await asyncio.sleep(seconds)
            quiet.append((began, time.monotonic()))
            known = subject.said.count("configuration in force")
            subject.write(large(subject.config, routes, turn))
            began = time.monotonic()
            subject.signal(signal.SIGHUP)
            await until(lambda known=known: subject.said.count("configuration in force") > known, seconds=120)
            took.append(time.monotonic() - began)
            await _rests(subject.pid)
            busy.append((began, time.monotonic()))
    account = crowd.account

    def within(spans: list[tuple[float, float]]) -> list[float]:
        return sorted(waited for sent, waited in account.times if any(since <= sent < until for since, until in spans))

    calm, late = within(quiet), within(busy)
    return Building(
        calm[int(len(calm) * 0.99)], late[int(len(late) * 0.99)], late[-1],
        max(took), len(account.failures),
    )  # fmt: skip


async def _rests(pid: int) -> None:
    """Until the supervisor has nothing to do: it builds too, for workers to come, after all others have."""
    same, before = 0, -1.0
    while same < 4:
        await asyncio.sleep(0.1)
        now = own_seconds(pid)
        same, before = (same + 1 if now == before else 0), now


def large(config: dict[str, Any], routes: int, turn: int) -> dict[str, Any]:
    """That configuration with as many routes more."""
    more = copy.deepcopy(config)
    more["routes"][:0] = [
        {"match": {"path": f"/area{number % 50}/{turn}/item{number // 50}/*"}, "upstream": "pages"}
        for number in range(routes)
    ]
    return more
