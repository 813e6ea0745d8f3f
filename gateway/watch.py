"""Watching files: certificates that were renewed are served at once, without a dropped connection.

Started by `app.py` when requests are already being answered. The kernel says when to look, and so does a clock, for it
cannot tell of a folder that was swapped, of a network mount, or of what happened before it was asked. The rule: a burst
of changes is one reload, and only files that differ from those that were read are a change.
"""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any, TypeAlias

import structlog

QUIET = 400  # milliseconds without a change before files are read: a certificate and its key come one after the other
LOOK = 1000  # milliseconds after which is looked without being told
AGAIN = 5.0  # seconds until it is tried again where there is nothing to watch
MOST_FILES = 20_000  # looked at in all, against a file that was named in the wrong folder
MOST_DEPTH = 4  # of folders in folders, against the same

Seen: TypeAlias = dict[str, tuple[int, int, int]]  # file -> inode, time of its last change (ns), bytes


def look(folders: Iterable[Path]) -> Seen:
    """What tells a changed file from one that is as it was, for all files below `folders`, hidden ones left out."""
    seen: Seen = {}
    for folder in folders:
        top = len(folder.parts)
        # Links are followed: mounted secrets and config maps are swapped as links.
        for parent, below, names in os.walk(folder, followlinks=True):
            deep = len(Path(parent).parts) - top >= MOST_DEPTH
            below[:] = [] if deep else [name for name in below if not name.startswith(".")]
            for name in names:
                if len(seen) >= MOST_FILES:
                    return seen
                with suppress(OSError):  # gone meanwhile
                    path = os.path.join(parent, name)  # noqa: PTH118  # thousands of files: a Path costs ten times as much
                    found = os.stat(path)  # noqa: PTH116
                    seen[path] = (found.st_ino, found.st_mtime_ns, found.st_size)
    return seen


async def watch(folders: Sequence[Path], changed: Callable[[], None], seen: Seen) -> None:
    """Calls `changed` on a thread whenever the files below `folders` are not those of `seen`. Ends when cancelled."""
    if not folders:
        return
    loop = asyncio.get_running_loop()
    watchfiles = await loop.run_in_executor(None, importlib.import_module, "watchfiles")
    log = structlog.get_logger("gateway.watch")
    while True:
        try:
            async with aclosing(_events(watchfiles, folders)) as events:
                async for _event in events:
                    now = await loop.run_in_executor(None, look, folders)
                    if now != seen:
                        seen = now
                        await loop.run_in_executor(None, changed)
        except OSError as error:  # a watched folder went away
            log.warning("cannot watch", folders=[str(folder) for folder in folders], error=str(error))
            await asyncio.sleep(AGAIN)


def _events(watchfiles: Any, folders: Sequence[Path]) -> Any:
    return watchfiles.awatch(
        *folders,
        debounce=QUIET * 4,
        step=QUIET,
        rust_timeout=LOOK,
        yield_on_timeout=True,
        ignore_permission_denied=True,
    )
