"""The watcher: what is a change, when it is told, and what cannot make it miss one."""

from __future__ import annotations

import asyncio
import math
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway import watch as module
from gateway.watch import Seen, look, watch


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, sooner."""
    monkeypatch.setattr(module, "LOOK", 0.01)
    monkeypatch.setattr(module, "QUIET", 0.01)
    monkeypatch.setattr(module, "AGAIN", 0.01)


def test_what_is_a_change(tmp_path: Path) -> None:
    """A file that is written, replaced, made or removed, at any depth a certificate may have, is a change."""
    deep = tmp_path / "live" / "shop"
    deep.mkdir(parents=True)
    path = deep / "chain.pem"
    changes: list[Callable[[], object]] = [
        lambda: path.write_text("one"),
        lambda: path.write_text("other"),
        lambda: os.utime(path, ns=(1, 1)),
        lambda: path.chmod(0o600),
        lambda: (deep / "beside").write_text("other"),
        lambda: (deep / "beside").rename(path),
        path.unlink,
    ]
    before = look([tmp_path])
    assert before == {}
    for change in changes:
        change()
        after = look([tmp_path])
        assert after != before
        assert look([tmp_path]) == after
        before = after


def test_a_mount_that_swaps_its_links(tmp_path: Path) -> None:
    """Kubernetes swaps a hidden link; the visible ones point through it, and are a change."""
    for version in ("..1", "..2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "tls.key").write_text(version)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "tls.key").symlink_to("..data/tls.key")
    before = look([tmp_path])
    assert list(before) == [str(tmp_path / "tls.key")]
    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").rename(tmp_path / "..data")
    assert look([tmp_path]) != before


def test_looking_has_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many files, folders too deep, links in a circle and folders that are not there end the look, no more."""
    for number in range(20):
        (tmp_path / str(number)).write_text("")
    (tmp_path / "circle").symlink_to(tmp_path)
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    assert 20 <= len(look([tmp_path])) <= 20 * (module.MOST_DEPTH + 1)
    assert look([tmp_path / "nowhere"]) == {}
    monkeypatch.setattr(module, "MOST_FILES", 7)
    assert len(look([tmp_path])) == 7


def test_of_a_single_file_only_itself_is_seen(tmp_path: Path) -> None:
    """What lies beside it and below its folder is not looked at; it may come, go, and be swapped as a link."""
    path = tmp_path / "a.pem"
    (tmp_path / "beside.pem").write_text("")
    (tmp_path / "node_modules").mkdir()
    assert look([path, tmp_path / "other.pem"]) == {}
    path.write_text("one")
    before = look([path])
    assert list(before) == [str(path)]
    path.unlink()
    path.symlink_to("beside.pem")
    assert look([path]) != before


class Reloads:
    """Counts calls of `changed`, which come from another thread; `answers` are given one after the other, then True."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self.answers: list[bool | None] = []
        self.count = 0

    def __call__(self) -> bool | None:
        def tell() -> None:
            self.count += 1
            self._news.set()

        self._loop.call_soon_threadsafe(tell)
        return self.answers.pop(0) if self.answers else True

    async def reach(self, count: int) -> None:
        async with asyncio.timeout(20):
            while self.count < count:
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def watching(folder: Path, seen: Seen, every: float = math.inf) -> AsyncIterator[Reloads]:
    reloads = Reloads()
    task = asyncio.ensure_future(watch([folder], reloads, seen, every))
    try:
        yield reloads
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()


async def test_a_change_is_told(tmp_path: Path) -> None:
    """Each burst of changes is told, on a thread that may block."""
    path = tmp_path / "a.pem"
    path.write_text("one")
    async with watching(tmp_path, await asyncio.to_thread(look, [tmp_path])) as reloads:
        for number in range(1, 4):
            path.write_text("x" * number)
            await reloads.reach(number)


async def test_a_change_before_the_watch_began_is_told(tmp_path: Path) -> None:
    """What happened between the reading of the files and the begin of the watch is not missed."""
    path = tmp_path / "a.pem"
    path.write_text("one")
    seen = await asyncio.to_thread(look, [tmp_path])
    path.write_text("renewed")
    async with watching(tmp_path, seen) as reloads:
        await reloads.reach(1)


async def test_a_swapped_folder_is_told(tmp_path: Path) -> None:
    """A folder that takes the place of another is looked at, though the kernel still watches the old one."""
    folder, fresh = tmp_path / "certs", tmp_path / "fresh"
    for one in (folder, fresh):
        one.mkdir()
        (one / "a.pem").write_text(one.name)
    async with watching(folder, await asyncio.to_thread(look, [folder])) as reloads:
        folder.rename(tmp_path / "old")
        fresh.rename(folder)
        await reloads.reach(1)
        (folder / "a.pem").write_text("once more")
        await reloads.reach(reloads.count + 1)


async def test_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    """It is tried again until it is there."""
    folder, beside = tmp_path / "certs", tmp_path / "beside"
    beside.mkdir()
    (beside / "a.pem").write_text("one")
    async with watching(folder, {}) as reloads:
        shutil.copytree(beside, folder)
        await reloads.reach(1)


async def test_a_failure_is_tried_again(tmp_path: Path) -> None:
    """Without a change of files, for what cannot be read now may be read later."""
    (tmp_path / "a.pem").write_text("one")
    async with watching(tmp_path, {}) as reloads:
        reloads.answers = [False, False]
        await reloads.reach(3)


async def test_a_bug_does_not_end_the_watch(tmp_path: Path) -> None:
    """It is said, and tried again like any failure."""
    (tmp_path / "a.pem").write_text("one")
    reloads = Reloads()
    faults: list[Exception] = [ValueError("a bug")]

    def changed() -> bool | None:
        if faults:
            raise faults.pop()
        return reloads()

    with capture_logs() as said:
        task = asyncio.ensure_future(watch([tmp_path], changed, {}))
        await reloads.reach(1)
        task.cancel()
    assert [line["event"] for line in said] == ["a bug in the gateway"]


async def test_the_calendar(tmp_path: Path) -> None:
    """It is called now and then although no file has changed."""
    async with watching(tmp_path, {}, every=0.02) as reloads:
        await reloads.reach(2)


async def test_what_is_watched_may_change(tmp_path: Path) -> None:
    """Nothing at first, then what another configuration names."""
    paths: list[Path] = []
    path = tmp_path / "a.pem"
    reloads = Reloads()
    task = asyncio.ensure_future(watch(paths, reloads, {}))
    path.write_text("one")
    paths.append(path)
    await reloads.reach(1)
    task.cancel()


async def test_files_that_never_come_to_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log in the folder puts a renewal off for a while only."""
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    numbers = iter(range(10**6))
    monkeypatch.setattr(module, "look", lambda paths: {"log": (next(numbers), 0, 0, 0)})
    async with watching(tmp_path, {}) as reloads:
        await reloads.reach(1)
