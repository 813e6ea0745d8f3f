"""Watching files: certificates that were renewed are served at once, without a dropped connection.

Started when requests are already being answered, it looks at the files once a second. The kernel could say when, but
not of a folder that was swapped, of a network mount or of what happened before it was asked, nor at all where its
watches are used up; so a clock would be needed beside it. The rule: a burst of changes is one reload, and only files
that differ from those that were read are a change.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import structlog

LOOK = 1.0  # seconds between two looks
SHARE = 30  # a look that took long is followed by this many times its length: 20,000 files must not cost a core
QUIET = 0.4  # seconds without a change before files are read: a certificate and its key come one after the other
PATIENCE = 10.0  # seconds after which they are read although they go on changing: against a log in the folder
AGAIN = 10.0  # seconds until `changed` is called again after a failure, and twice as many after each further one
LONGEST = 1800.0  # of these seconds
CALENDAR = 3600.0  # for `every`, where dates count: certificates begin and end by themselves
MOST_FILES = 20_000  # looked at in all, against a file that was named in the wrong folder
MOST_DEPTH = 4  # of folders in folders, against the same

# file -> inode, times of the last change of its bytes and of its inode (ns), bytes
Seen: TypeAlias = dict[str, tuple[int, int, int, int]]


def look(paths: Iterable[Path]) -> Seen:
    """What tells changed files from those that are as they were: of each of `paths`, and where it is a folder, of all
    below it but hidden ones. Links are followed: mounted secrets and config maps are swapped as links."""
    seen: Seen = {}
    for path in paths:
        if not os.path.isdir(path):  # noqa: PTH112  # Path's raises where a folder on the way is closed
            _look_at(str(path), seen)
            continue
        top = len(path.parts)
        for parent, below, names in os.walk(path, followlinks=True):
            deep = len(Path(parent).parts) - top >= MOST_DEPTH
            below[:] = [] if deep else [name for name in below if not name.startswith(".")]
            for name in names:
                if len(seen) >= MOST_FILES:
                    return seen
                _look_at(os.path.join(parent, name), seen)  # noqa: PTH118  # thousands: a Path costs ten times as much
    return seen


def _look_at(path: str, seen: Seen) -> None:
    with suppress(OSError):  # gone, or not for us: a change, if it was there before
        found = os.stat(path)  # noqa: PTH116
        seen[path] = (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)


async def watch(paths: Sequence[Path], changed: Callable[[], bool | None], seen: Seen, every: float = math.inf) -> None:
    """Calls `changed` whenever what `look` sees at `paths` is not `seen`, which is what it saw when they were read.

    `changed` is called on a thread; again after a while where it answers False (a file may not be read for a moment),
    and `every` so many seconds in any case. `paths` may change meanwhile. Ends when cancelled.
    """
    loop = asyncio.get_running_loop()
    rest, pause, due = LOOK, AGAIN, loop.time() + every
    while True:
        await asyncio.sleep(rest)
        now, rest = await loop.run_in_executor(None, _timed_look, paths)
        if now == seen and loop.time() < due:
            continue
        began = loop.time()
        while now != seen and loop.time() < began + PATIENCE:
            await asyncio.sleep(QUIET)
            seen = now
            now, rest = await loop.run_in_executor(None, _timed_look, paths)
        seen = now
        if await loop.run_in_executor(None, _succeeds, changed):
            pause, due = AGAIN, loop.time() + every
        else:
            due = loop.time() + pause
            pause = min(2 * pause, LONGEST)


def _succeeds(changed: Callable[[], bool | None]) -> bool:
    try:
        return changed() is not False
    except Exception:  # noqa: BLE001  # a bug must not end the watch: the next renewal would be missed in silence
        structlog.get_logger("gateway.watch").exception("a bug in the gateway")
        return False


def _timed_look(paths: Sequence[Path]) -> tuple[Seen, float]:
    """What is seen, and the seconds to rest before looking again."""
    began = time.monotonic()
    return look(paths), max(LOOK, SHARE * (time.monotonic() - began))
