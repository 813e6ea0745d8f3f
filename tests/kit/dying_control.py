"""`python -m tests.kit.dying_control POINT run -c FILE`: the gateway, whose control process is killed once at a point of a reload.

The points: "prepared" (the workers are, nobody knows of it), "committed" (the supervisor was told, no worker was),
"half" (one worker was). Each process is forked from this one, so what is changed here is changed in all.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from gateway.cli import main
from gateway.reload import Reloader

_DIED = Path("died")  # in the working folder, once it has


def _die() -> None:
    if not _DIED.exists():
        _DIED.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def _set_up(point: str) -> None:
    prepare, commit = Reloader._prepare, Reloader._commit

    async def dies_when_prepared(self: Reloader, *arguments: Any) -> None:
        await prepare(self, *arguments)
        _die()

    async def dies_at_the_commit(self: Reloader, crew: Any, number: int) -> None:
        if point == "half":
            await commit(self, crew[:1], number)
        _die()
        await commit(self, crew[1:] if point == "half" else crew, number)

    if point == "prepared":
        Reloader._prepare = dies_when_prepared  # type: ignore[method-assign]
    else:
        Reloader._commit = dies_at_the_commit  # type: ignore[method-assign]


if __name__ == "__main__":
    _set_up(sys.argv.pop(1))
    sys.exit(main())
