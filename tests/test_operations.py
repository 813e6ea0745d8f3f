"""What the admin side may ask for, told to every worker over real channels, and to those that join later."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from gateway.admin.actions import ActionRefused, Change, Maintenance
from gateway.config import Loaded, load
from gateway.operations import Operations
from gateway.reload import Crew, Reloader
from gateway.state.board import Board
from gateway.state.channel import Channel, Message
from gateway.state.endpoints import Endpoints
from gateway.state.peer import Peer
from gateway.state.segment import Segment

TEXT = "upstreams: {app: {endpoints: [{url: 'http://a:80', weight: 3}]}}\nroutes: [{name: word, respond: {status: 200, body: one}}]\nlog: {level: warning}\n"
ON = {"on": True, "message": "Back soon.", "retry_after": 60.0}
OFF = {"on": False, "message": "", "retry_after": 0.0}


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


class Worker:
    """The far end of a worker's channel, which remembers what it is told."""

    def __init__(self) -> None:
        near, far = Channel.pair()
        self.told: list[dict[str, Any]] = []
        self.far = Peer(far, self._hear)
        self.crew = Crew(Peer(near, lambda _message: None), 0, 1)

    def _hear(self, message: Message) -> None:
        self.told.append(message.body)

    async def last(self, count: int) -> dict[str, Any]:
        """The message number `count`."""
        async with asyncio.timeout(10):
            while len(self.told) < count:  # noqa: ASYNC110  # nobody announces it
                await asyncio.sleep(0.005)
        return self.told[count - 1]

    def close(self) -> None:
        self.far.close()
        self.crew.peer.close()


@asynccontextmanager
async def scene(folder: Path, shared: Segment | None = None) -> AsyncIterator[tuple[Operations, Worker]]:
    path = folder / "config.yaml"
    path.write_text(TEXT)
    loaded: Loaded = await asyncio.to_thread(load, path)
    worker = Worker()
    segment = shared or Segment.create()
    reloader = Reloader((loaded, 1), lambda: loaded, worker.crew.peer, list, lambda _loaded, _stores: None)
    try:
        yield Operations(reloader, lambda: [worker.crew], Endpoints(segment), Board(segment)), worker
    finally:
        worker.close()
        if shared is None:
            segment.close()


async def test_maintenance_reaches_workers_now_and_later(tmp_path: Path) -> None:
    """It says what was and what is; who joins afterwards is told as well; its end is told too."""
    async with scene(tmp_path) as (operations, worker):
        act = operations.actions().maintenance
        assert await act(Maintenance("Back soon.", 60.0), "word") == Change(OFF, ON)
        assert (await worker.last(1))["notices"] == {"word": ["Back soon.", 60.0]}
        operations.welcome(worker.crew)
        assert (await worker.last(2))["notices"] == {"word": ["Back soon.", 60.0]}
        assert await act(None, "word") == Change(ON, OFF)
        assert (await worker.last(3))["notices"] == {}


async def test_maintenance_of_what_is_not_there(tmp_path: Path) -> None:
    """A route that nobody knows is refused with a word where to look."""
    async with scene(tmp_path) as (operations, worker):
        with pytest.raises(ActionRefused) as refused:
            await operations.actions().maintenance(Maintenance("", 0.0), "wrod")
        assert refused.value.status == 404
        assert worker.told == []


async def test_a_new_control_process_learns_of_maintenance(tmp_path: Path) -> None:
    """What its predecessor was asked for holds on: after a death, and after an upgrade."""
    segment = Segment.create()
    async with scene(tmp_path, segment) as (operations, _worker):
        await operations.actions().maintenance(Maintenance("Back soon.", 60.0), "word")
    async with scene(tmp_path, segment) as (operations, worker):
        operations.welcome(worker.crew)
        assert (await worker.last(1))["notices"] == {"word": ["Back soon.", 60.0]}
        assert (await operations.actions().maintenance(None, "word")).before == ON
    segment.close()


async def test_a_log_level_goes_back_by_itself(tmp_path: Path) -> None:
    """Workers are told the level, and at its end that the configuration's holds again."""
    async with scene(tmp_path) as (operations, worker):
        change = await operations.actions().log_level("debug", 0.05)
        assert change.before == {"level": "warning", "seconds": 0.0}
        assert change.after["level"] == "debug"
        assert (await worker.last(1)) == {"tell": "log_level", "level": "debug"}
        assert (await worker.last(2)) == {"tell": "log_level", "level": ""}
        assert (await operations.actions().log_level("info", 0.0)).before["level"] == "warning"


async def test_endpoints(tmp_path: Path) -> None:
    """A drain and a weight stand in the words that every worker reads; each says what was and what is."""
    async with scene(tmp_path) as (operations, _worker):
        act = operations.actions()
        assert await act.drain("app", "a:80") == Change({"drained": False}, {"drained": True})
        assert await act.drain("app", "a:80") == Change({"drained": True}, {"drained": True})
        assert await act.undrain("app", "a:80") == Change({"drained": True}, {"drained": False})
        assert await act.weight("app", "a:80", 0) == Change({"weight": 3}, {"weight": 0})
        assert await act.weight("app", "a:80", 9) == Change({"weight": 0}, {"weight": 9})
        for upstream, endpoint in (("api", "a:80"), ("app", "b:80")):
            with pytest.raises(ActionRefused) as refused:
                await act.drain(upstream, endpoint)
            assert refused.value.status == 404
