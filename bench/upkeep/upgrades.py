"""Upgrades under load: the gateway becomes another version of itself, and nobody is told.

The new version is the same code, or a copy that was spoilt: code that cannot be read fails in the rehearsal, code whose
workers raise fails after the exec, and in both cases what ran before serves on.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import time
from pathlib import Path
from typing import NamedTuple

from bench.upkeep.crowd import Account, Crowd, Talkers
from bench.upkeep.subject import ROOT, Subject, until

DONE = "upgraded: the new workers serve"
GIVEN_UP = "upgrade given up"


class Upgrades(NamedTuple):
    """What came of them.

    closed    WebSockets that ended before the drain of their worker did
    held      seconds that WebSockets of the old workers were held, on the average
    outcomes  of each upgrade, whether it ended as it should
    """

    account: Account
    closed: int
    held: float
    outcomes: list[bool]


def copied_tree(folder: Path) -> Path:
    """The code, to be spoilt."""
    shutil.copytree(ROOT / "gateway", folder / "gateway", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


async def upgrades(
    subject: Subject, plan: str, clients: int, sockets: int, drain: float, pause: float = 1.0
) -> Upgrades:
    """`plan`: a letter for each upgrade: "g" for good code, "u" for unreadable code, "r" for workers that raise.
    `drain`: seconds that WebSockets are kept, as the subject is configured."""
    outcomes: list[bool] = []
    async with Crowd(subject.port, clients, pause) as crowd, Talkers(subject.port, sockets) as talkers:
        handed_over = 0.0
        for kind in plan:
            outcomes.append(await _upgrade(subject, kind))
            handed_over = handed_over or (time.monotonic() if kind == "g" else 0.0)
            await crowd.more(clients)
        if handed_over:
            await asyncio.sleep(max(0.0, handed_over + drain + 1.0 - time.monotonic()))
        await crowd.more(clients)
    ends = [at - handed_over for at in talkers.closed]
    # The drain begins when it is told, a moment before we read of it.
    early = sum(end < drain - 0.7 for end in ends)
    return Upgrades(crowd.account, early, sum(ends) / len(ends) if ends else 0.0, outcomes)


async def _upgrade(subject: Subject, kind: str) -> bool:
    broken = {"u": "cli.py", "r": "worker.py"}.get(kind)
    file = subject.tree / "gateway" / broken if broken else None
    sound = file.read_text() if file is not None else ""
    if file is not None:
        # Workers raise where they begin to serve, which no rehearsal does.
        file.write_text(
            "(" if kind == "u" else sound.replace("def start(self) -> None:", "def start(self, no) -> None:")
        )
    before = subject.said
    done, given_up = before.count(DONE), before.count(GIVEN_UP)
    workers = set(map(subject.child, ("gateway-0", "gateway-1")))
    subject.signal(signal.SIGUSR2)
    await until(lambda: subject.said.count(DONE) > done or subject.said.count(GIVEN_UP) > given_up, seconds=90)
    if file is not None:
        file.write_text(sound)
        return subject.said.count(GIVEN_UP) > given_up and workers <= set(subject.children())
    return subject.said.count(DONE) > done and bool(set(subject.children()) - workers)
