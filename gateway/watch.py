"""Watching files: certificates that were renewed are served at once, without a dropped connection.

Started by `app.py` when requests are already being answered. Folders are watched, not files, since mounted secrets and
config maps are swapped as links; a burst of changes is one reload, and what cannot be read changes nothing.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog

QUIET = 400  # milliseconds without a change before files are read: a certificate and its key come one after the other


async def watch(paths: Iterable[Path], changed: Callable[[], None]) -> None:
    """Calls `changed` on a thread after each burst of changes around `paths`. Ends when cancelled."""
    folders = {path if path.is_dir() else path.parent for path in paths}
    folders = {folder for folder in folders if folder.is_dir()}
    if not folders:
        return
    loop = asyncio.get_running_loop()
    watchfiles = await loop.run_in_executor(None, importlib.import_module, "watchfiles")
    log = structlog.get_logger("gateway.watch")
    while True:
        try:
            async for _changes in watchfiles.awatch(
                *folders, debounce=QUIET * 4, step=QUIET, recursive=True, ignore_permission_denied=True
            ):
                await loop.run_in_executor(None, changed)
        except OSError as error:  # a watched folder went away: go on with what there is
            log.warning("cannot watch", folders=[str(folder) for folder in folders], error=str(error))
            await asyncio.sleep(5)
        else:
            return
