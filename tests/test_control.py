"""The control process: what it knows of the workers, and what it answers for all of them."""

from __future__ import annotations

import os
import select
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.admin.serve import BACKLOG
from gateway.config import Loaded, load
from gateway.control import control, merged_upstreams
from gateway.server.listener import open_socket
from gateway.server.settings import Bind
from gateway.state.channel import Channel, Message
from gateway.state.segment import Segment
from gateway.supervision.roles import ControlRole, CrewEntry
from tests.kit.http_client import Client

TEXT = 'listeners: [{bind: "127.0.0.1:8080"}]\nadmin: {bind: "127.0.0.1:9090"}\nroutes: [{respond: 204}]\n'
PATIENCE = 20.0


def test_what_workers_see_is_added_up() -> None:
    """Connections of the same endpoint are summed over the workers."""

    def seen(idle: int) -> list[dict[str, Any]]:
        return [{"name": "app", "endpoints": [{"name": "a:1", "weight": 2, "connections": {"idle": idle}}]}]

    assert merged_upstreams([seen(1), seen(3)]) == [
        {"name": "app", "endpoints": [{"name": "a:1", "weight": 2, "connections": {"idle": 4}}]}
    ]
    assert merged_upstreams([]) == []


class Forked:
    """A control process, the supervisor's end of its channel, and the ends of two workers that answer as told."""

    def __init__(self, config: Loaded, path: Path) -> None:
        self.segment = Segment.create()
        opened = open_socket(Bind("127.0.0.1", 0), BACKLOG)
        self.address = ("127.0.0.1", opened.getsockname()[1])
        self.supervisor, near = Channel.pair()
        ends = [Channel.pair() for _ in range(2)]
        self.workers = [far for _near, far in ends]
        crew = [CrewEntry(lane, lane, 1000 + lane, near_end) for lane, (near_end, _far) in enumerate(ends)]
        role = ControlRole(5, 1, config, {}, self.segment, {"127.0.0.1:9090": opened}, near, crew)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                for end in (self.supervisor, *self.workers):
                    end.close()
                os._exit(control(role, lambda: load(path)))
            except BaseException:
                traceback.print_exc()
                raise
            finally:
                os._exit(70)
        for end in (near, *(near_end for near_end, _far in ends), opened):
            end.close()

    def hear(self, channel: Channel, word: str) -> Message:
        """The next message on one of our ends that asks or tells `word`; others are left unanswered."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if select.select([channel], [], [], 0.1)[0]:
                for message in channel.receive():
                    if word in {message.body.get("ask"), message.body.get("tell")}:
                        return message
        raise AssertionError(f"nothing of {word}")

    def answer(self, lane: int, word: str, body: dict[str, Any]) -> Message:
        message = self.hear(self.workers[lane], word)
        self.workers[lane].send({**body, "re": message.body["id"]})
        return message

    def greet(self, generation: int = 1) -> None:
        for lane in range(2):
            self.answer(lane, "status", {"value": {"generation": generation, "connections": 1, "pid": 1000 + lane}})

    def get(self, path: str) -> tuple[int, bytes]:
        with Client(self.address) as client:
            answer = client.ask("GET", path)
            return answer.status, answer.body


@contextmanager
def forked(folder: Path) -> Iterator[Forked]:
    path = folder / "config.yaml"
    path.write_text(TEXT)
    it = Forked(load(path), path)
    try:
        yield it
        it.supervisor.send({"tell": "quit"})
        assert os.waitstatus_to_exitcode(os.waitpid(it.pid, 0)[1]) == 0
    finally:
        for end in (it.supervisor, *it.workers):
            end.close()
        it.segment.close()


def until_ready(it: Forked, status: int) -> bytes:
    end = time.monotonic() + PATIENCE
    while True:
        seen, body = it.get("/readyz")
        if seen == status:
            return body
        assert time.monotonic() < end, body


def test_it_is_ready_when_a_worker_answers_and_not_while_draining(tmp_path: Path) -> None:
    """Before the first greeting there is nobody to serve; a drain takes the readiness away at once."""
    with forked(tmp_path) as it:
        assert b"no worker serves" in until_ready(it, 503)
        it.greet()
        until_ready(it, 200)
        it.supervisor.send({"tell": "drain"})
        assert b"draining" in until_ready(it, 503)


def test_workers_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    """When the last one is gone, it is not ready."""
    with forked(tmp_path) as it:
        it.greet()
        until_ready(it, 200)
        for lane in range(2):
            it.supervisor.send({"tell": "gone", "lane": lane, "pid": 1000 + lane})
        until_ready(it, 503)


@pytest.mark.parametrize("why", ["file", "signal"])
def test_a_changed_file_reaches_the_workers(tmp_path: Path, why: str) -> None:
    """By the watch, or at once when the supervisor was sent SIGHUP: both phases, and the supervisor in between."""
    with forked(tmp_path) as it:
        it.greet()
        until_ready(it, 200)
        (tmp_path / "config.yaml").write_text(TEXT.replace("204", "404"))
        if why == "signal":
            it.supervisor.send({"tell": "reload"})
        for lane in range(2):
            it.answer(lane, "prepare", {"ok": True})
        assert it.hear(it.supervisor, "commit").body["generation"] == 2
        for lane in range(2):
            it.answer(lane, "commit", {})
        if why == "signal":
            it.hear(it.supervisor, "reloaded")


def test_without_its_supervisor_it_ends(tmp_path: Path) -> None:
    """Nobody is there any more to hold the sockets."""
    with forked(tmp_path) as it:
        it.greet()
        until_ready(it, 200)
        it.supervisor.close()
        assert os.waitstatus_to_exitcode(os.waitpid(it.pid, 0)[1]) == 0
        it.supervisor, spare = Channel.pair()
        it.pid = os.fork()
        if it.pid == 0:
            os._exit(0)
        spare.close()
