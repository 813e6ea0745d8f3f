"""Kills: processes of the gateway end as the kernel's memory killer would end them, under load.

A worker is stopped first, so that it is known which connections it had accepted: requests on those may fail, and no
others, also not those that wait in its queue. Then it is killed, and the clock runs.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import NamedTuple

from bench.upkeep.crowd import Account, Crowd
from bench.upkeep.subject import Subject, accepted_by, until

QUEUED = 0.1  # seconds that a worker stands still before it is killed, so that connections wait in its queue
STEADY = 1.2  # seconds of service between two kills: one that dies sooner is started again later, on purpose
REQUESTS = "gateway_requests_total"


class Kills(NamedTuple):
    """What came of them; seconds from the kill on.

    unrelated  requests that failed though the killed process had not accepted their connection
    forked     until there was a successor, of each kill
    back       the longest that a request waited that was sent at a kill or right after it
    lost       requests that had been counted and are not any more
    uncounted  requests answered that were never counted; unlogged: that have no line in the access log
    """

    account: Account
    unrelated: int
    forked: list[float]
    back: float
    lost: int
    uncounted: int
    unlogged: int


async def worker_kills(subject: Subject, count: int, clients: int, passing: int, pause: float) -> Kills:
    async with Crowd(subject.port, clients, pause, passing) as crowd:
        account = crowd.account
        in_flight: set[int] = set()
        forked: list[float] = []
        back, unrelated, lost = 0.0, 0, 0
        for turn in range(count):
            await asyncio.sleep(STEADY)
            name = f"gateway-{turn % 2}"
            pid = subject.child(name)
            counted = await asyncio.to_thread(subject.counted, REQUESTS)
            failed = len(account.failures)
            os.kill(pid, signal.SIGSTOP)
            in_flight = accepted_by(pid)
            await asyncio.sleep(QUEUED)
            began = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            await until(lambda name=name, pid=pid: subject.child(name) not in {0, pid}, every=0.002)
            forked.append(time.monotonic() - began)
            await crowd.more(clients + passing)
            back = max(back, account.slowest(began - QUEUED) - QUEUED)
            unrelated += sum(one.port not in in_flight for one in account.failures[failed:])
            lost += max(0, counted - await asyncio.to_thread(subject.counted, REQUESTS))
    await asyncio.sleep(0.3)  # the log is written ten times a second
    uncounted = account.answered - await asyncio.to_thread(subject.counted, REQUESTS)
    return Kills(account, unrelated, forked, back, lost, uncounted, account.answered - subject.lines)


async def control_kills(subject: Subject, count: int, clients: int, pause: float) -> Kills:
    """The control process; `back` is until the admin pages answer again."""
    async with Crowd(subject.port, clients, pause) as crowd:
        forked: list[float] = []
        back, lost = 0.0, 0
        for _ in range(count):
            await asyncio.sleep(STEADY)
            pid = subject.child("gateway-control")
            counted = await asyncio.to_thread(subject.counted, REQUESTS)
            began = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            await until(lambda pid=pid: subject.child("gateway-control") not in {0, pid}, every=0.002)
            forked.append(time.monotonic() - began)
            await until(lambda: subject.ask("/status"))
            back = max(back, time.monotonic() - began)
            lost += max(0, counted - await asyncio.to_thread(subject.counted, REQUESTS))
    account = crowd.account
    await asyncio.sleep(0.3)
    uncounted = account.answered - await asyncio.to_thread(subject.counted, REQUESTS)
    return Kills(account, len(account.failures), forked, back, lost, uncounted, account.answered - subject.lines)
