"""Reloads under keep-alive clients and WebSockets: nobody notices, nothing is left over.

Each reload changes a route that nobody asks for; every tenth configuration is faulty and must change nothing. Memory
and descriptors of each process are compared with those after the first tenth, when every cache has been filled once.
"""

from __future__ import annotations

import asyncio
import copy
import signal
from typing import NamedTuple

from bench.upkeep.crowd import Account, Crowd, Talkers
from bench.upkeep.subject import Held, Subject, until


class Reloads(NamedTuple):
    """What came of them. `growth`: the most that a process's memory changed, as a share; `descriptors`: in number."""

    account: Account
    closed: int  # WebSockets
    echoes: int
    generations: set[int]
    growth: float
    descriptors: int
    wrong: int  # reloads whose outcome was not the one expected


async def reloads(subject: Subject, count: int, clients: int, sockets: int, pause: float = 1.0) -> Reloads:
    async with Crowd(subject.port, clients, pause) as crowd, Talkers(subject.port, sockets) as talkers:
        before: dict[str, Held] = {}
        wrong = 0
        for turn in range(1, count + 1):
            wrong += not await reload(subject, turn, faulty=turn % 10 == 3)
            if turn == max(1, count // 10):
                before = subject.held()
        await crowd.more(clients)
        after = subject.held()
        generations = await asyncio.to_thread(subject.generations)
    changes = [abs(after[name].memory / held.memory - 1) for name, held in before.items()]
    fds = [after[name].descriptors - held.descriptors for name, held in before.items() if "control" not in name]
    return Reloads(
        crowd.account, len(talkers.closed), talkers.echoes, generations, max(changes), max(fds, key=abs), wrong
    )


async def reload(subject: Subject, turn: int, *, faulty: bool = False) -> bool:
    """One reload by SIGHUP; whether it ended as it should."""
    config = copy.deepcopy(subject.config)
    config["routes"].insert(0, {"match": {"path": f"/turn/{turn}/*"}, "respond": {"status": 200, "body": str(turn)}})
    if faulty:
        config["routes"].append({"match": {"path": "/faulty"}, "upstream": "nobody"})
    said = subject.said
    in_force, refused = said.count("configuration in force"), said.count("configuration refused")
    subject.write(config)
    subject.signal(signal.SIGHUP)

    def ended() -> bool:
        now = subject.said
        return now.count("configuration in force") > in_force or now.count("configuration refused") > refused

    await until(ended)
    return (subject.said.count("configuration refused") > refused) == faulty
