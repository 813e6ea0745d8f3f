"""Whatever dies over a reload, in the end all processes serve the same, and it is what the file says."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from bench.upkeep.crowd import Crowd
from bench.upkeep.reloads import reload
from bench.upkeep.subject import until
from tests.kit.process import free_port
from tests.kit.upkeep import change, run, subject

pytestmark = pytest.mark.e2e


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
