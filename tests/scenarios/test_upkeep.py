"""Upkeep under load, in short forms of what bench/upkeep measures; and that all processes come to one configuration.

Whatever dies in the middle of a reload, in the end every process serves the same, and it is what the file says.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvloop

from bench.upkeep.crowd import Crowd, echo_origin
from bench.upkeep.kills import control_kills, worker_kills
from bench.upkeep.reloads import reload, reloads
from bench.upkeep.subject import Subject, until
from bench.upkeep.upgrades import copied_tree, upgrades
from bench.upkeep.workers import spread
from tests.kit.origin import Origin
from tests.kit.process import free_port

pytestmark = pytest.mark.e2e

T = TypeVar("T")


@contextmanager
def subject(folder: Path, **more: Any) -> Iterator[Subject]:
    """A gateway of two workers in `folder`, in front of an origin of pages; one of WebSockets is raised by `run`."""
    folder.mkdir(exist_ok=True)
    with Origin() as origin:
        pages = int(origin.url.rpartition(":")[2])
        with Subject(folder, pages, free_port(), **more) as it:
            yield it
    assert "a bug in the gateway" not in it.said
    assert it.code == 0, it.said


def run(it: Subject, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    async def whole() -> T:
        async with echo_origin(it.sockets):
            return await work()

    return uvloop.run(whole())


def change(it: Subject, word: str) -> None:
    """Writes a configuration with a route that nobody asks for."""
    route = {"match": {"path": "/other"}, "respond": {"status": 200, "body": word}}
    it.write(it.config | {"routes": [route, *it.config["routes"]]})


def test_reloads_are_not_noticed(tmp_path: Path) -> None:
    """Good and faulty ones: no request fails, no WebSocket ends, and no descriptor is left over."""
    with subject(tmp_path) as it:
        seen = run(it, lambda: reloads(it, 4, 20, 4, 0.1))
    assert seen.account.failures == []
    assert (seen.closed, seen.wrong) == (0, 0)
    assert seen.generations == {4}
    assert abs(seen.descriptors) <= 2


def test_a_killed_worker_takes_nobody_with_it(tmp_path: Path) -> None:
    """Only what it had accepted fails; what waits in its queue is answered within a second, and nothing is uncounted."""
    with subject(tmp_path) as it:
        seen = run(it, lambda: worker_kills(it, 1, 20, 10, 0.1))
    assert seen.unrelated == 0
    assert seen.back < 1.0
    assert seen.lost == 0


def test_a_killed_control_process_is_not_noticed(tmp_path: Path) -> None:
    """No request fails, the admin pages come back, and every request is counted and logged."""
    with subject(tmp_path) as it:
        seen = run(it, lambda: control_kills(it, 1, 20, 0.1))
    assert seen.account.failures == []
    assert (seen.lost, seen.uncounted, seen.unlogged) == (0, 0, 0)


def test_an_upgrade_is_not_noticed(tmp_path: Path) -> None:
    """Two in a row, and one to code that does not work: no request fails, and WebSockets stay until the drain's end."""
    tree = copied_tree(tmp_path)
    with subject(tmp_path / "served", tree=tree, shutdown={"drain": "2s", "stream_drain": "2s"}) as it:
        seen = run(it, lambda: upgrades(it, "gur", 20, 4, 2.0, 0.1))
    assert seen.account.failures == []
    assert seen.outcomes == [True] * 3
    assert seen.closed == 0


def test_connections_are_shared_out(tmp_path: Path) -> None:
    """Of 400 each of two workers has 40 to 60 percent."""
    with subject(tmp_path) as it:
        shares = run(it, lambda: spread(it, 400))
    assert len(shares) == 2
    assert all(0.4 <= share <= 0.6 for share in shares)


@pytest.mark.parametrize("point", ["prepared", "committed", "half"])
def test_the_control_process_dies_over_a_reload(tmp_path: Path, point: str) -> None:
    """Its successor brings all workers to what the file says, also with a listener more; no request fails."""
    port = free_port()
    with subject(tmp_path, program=("-m", "tests.kit.dying_control", point)) as it:
        it.config["listeners"].append({"bind": f"127.0.0.1:{port}"})

        async def work() -> None:
            async with Crowd(it.port, 20, 0.2) as crowd:
                reloading = asyncio.ensure_future(reload(it, 1))
                await until(lambda: it.generations() == {2} and (it.folder / "died").exists())
                reloading.cancel()
                async with Crowd(port, 20, 0.2) as other:
                    await other.more(50)
                await crowd.more(50)
            assert crowd.account.failures == other.account.failures == []

        run(it, work)
        assert "the control process died" in it.said


def test_a_worker_dies_over_a_reload(tmp_path: Path) -> None:
    """One that stands still and is killed while the others are prepared: its successor serves what they do."""
    with subject(tmp_path) as it:

        async def work() -> None:
            pid = it.child("gateway-1")
            os.kill(pid, signal.SIGSTOP)
            reloading = asyncio.ensure_future(reload(it, 1))
            await asyncio.sleep(0.3)
            os.kill(pid, signal.SIGKILL)
            assert await reloading
            await until(lambda: it.generations() == {2} and len(it.ask("/status")["workers"]) == 2)

        run(it, work)


def test_a_flood_of_signals(tmp_path: Path) -> None:
    """Two hundred hang-ups while the file changes: few reloads, and the last state of the file is served."""
    with subject(tmp_path) as it:

        async def work() -> None:
            async with Crowd(it.port, 20, 0.2) as crowd:
                for turn in range(200):
                    change(it, f"turn {turn}")
                    it.signal(signal.SIGHUP)
                    await asyncio.sleep(0.002)
                await until(lambda: "turn 199" in str(it.ask("/config")))
                await until(lambda: len(it.generations()) == 1)
            assert crowd.account.failures == []

        run(it, work)
        assert it.said.count("configuration in force") < 100


def test_what_was_written_while_nobody_looked(tmp_path: Path) -> None:
    """A file that changes as the control process dies is served by its successor."""
    with subject(tmp_path) as it:

        async def work() -> None:
            change(it, "new")
            os.kill(it.child("gateway-control"), signal.SIGKILL)
            await until(lambda: it.generations() == {2})

        run(it, work)
