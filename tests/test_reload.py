"""The two phases of a reload, over real channels: all workers take the next configuration up, or none does."""

from __future__ import annotations

import asyncio
import os
import socket
from base64 import b64decode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.config import Loaded, load
from gateway.config.parcel import unpack
from gateway.reload import Crew, Reloader, ReloadError
from gateway.server.certificates import CertificateStore
from gateway.state.channel import Channel, Message
from gateway.state.peer import Peer

FIRST = 'listeners: [{bind: "127.0.0.1:8080"}]\nroutes: [{respond: 204}]\n'
SECOND = FIRST.replace("204", "404")


class Far:
    """The other end of a channel: remembers what it hears, and answers as told."""

    def __init__(self, channel: Channel, answers: dict[str, Callable[[Message], Any]]) -> None:
        self.heard: list[dict[str, Any]] = []
        self.answers = answers
        self.peer = Peer(channel, self._hear)

    def _hear(self, message: Message) -> None:
        self.heard.append(message.body)
        word = message.body.get("ask")
        if word in self.answers:
            answer = self.answers[word](message)
            fds = answer.pop("fds", [])
            self.peer.answer(message, answer, fds)
            for fd in (*fds, *message.fds):
                os.close(fd)

    def words(self) -> list[str]:
        return [body.get("ask") or body["tell"] for body in self.heard]


def a_socket(_message: Message) -> dict[str, Any]:
    """The supervisor's answer to a wish for sockets: one for each of two shares."""
    opened = [socket.socket() for _ in range(2)]
    return {"ok": True, "counts": [2], "fds": [one.detach() for one in opened]}


class Scene:
    """A reloader, its supervisor and two workers."""

    def __init__(self, path: Path, loaded: Loaded) -> None:
        self.path = path
        self.committed: list[Loaded] = []
        near, far = Channel.pair()
        self.supervisor = Far(far, {"sockets": a_socket})
        self._near = Peer(near, lambda _message: None)
        self.workers: list[Far] = []
        self.crew: list[Crew] = []
        for share in range(2):
            near, far = Channel.pair()
            self.workers.append(Far(far, {"prepare": lambda _message: {"ok": True}, "commit": lambda _message: {}}))
            self.serves(share, 2)
            self.crew.append(Crew(Peer(near, lambda _message: None), share, 1000 + share))

        def committed(loaded: Loaded, _stores: dict[str, CertificateStore]) -> None:
            self.committed.append(loaded)

        self.reloader = Reloader((loaded, 1), lambda: load(path), self._near, lambda: self.crew, committed)

    def serves(self, share: int, generation: int) -> None:
        """What a worker says of itself from now on."""
        value = {"generation": generation, "listeners": ["127.0.0.1:8080"]}
        self.workers[share].answers["status"] = lambda _message: {"value": value}

    def close(self) -> None:
        for peer in (self._near, self.supervisor.peer, *(one.peer for one in (*self.crew, *self.workers))):
            peer.close()

    async def heard(self, *words: str) -> None:
        """Both workers have heard just these words."""
        for one in self.workers:
            await heard(one, *words)


async def heard(one: Far, *words: str) -> None:
    """It has heard just these words."""
    async with asyncio.timeout(10):
        while one.words() != list(words):  # noqa: ASYNC110  # nobody announces it
            await asyncio.sleep(0.005)


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    path = folder / "config.yaml"
    path.write_text(FIRST)
    it = Scene(path, await asyncio.to_thread(load, path))
    open_before = set(await asyncio.to_thread(os.listdir, "/proc/self/fd"))
    try:
        yield it
        # What was sent along is closed by whoever it was for; the listing's own descriptor comes and goes.
        assert len(set(await asyncio.to_thread(os.listdir, "/proc/self/fd")) - open_before) <= 1
    finally:
        it.close()


async def test_all_build_it_before_the_first_serves_it(tmp_path: Path) -> None:
    """Every worker prepares, the supervisor learns what later workers begin with, then every worker commits."""
    async with scene(tmp_path) as it:
        it.path.write_text(SECOND)
        outcome = await it.reloader.reload("test")
        assert (outcome.ok, outcome.text, it.reloader.generation) == (True, "", 2)
        await it.heard("prepare", "commit")
        (told,) = it.supervisor.heard
        assert (told["tell"], told["generation"], told["binds"]) == ("commit", 2, ["127.0.0.1:8080"])
        assert unpack(b64decode(told["parcel"])).config == it.reloader.loaded.config == it.committed[0].config
        assert it.workers[0].heard[0]["parcel"] == told["parcel"]


async def test_a_faulty_file_reaches_nobody(tmp_path: Path) -> None:
    """Mistakes are found before any worker is asked, all of them, with their places."""
    async with scene(tmp_path) as it:
        it.path.write_text("listeners: 5\nrouts: []\n")
        outcome = await it.reloader.reload("test")
        assert not outcome.ok
        assert f"{it.path}:1:" in outcome.text
        assert f"{it.path}:2:" in outcome.text
        assert it.reloader.last is outcome
        assert it.reloader.generation == 1
        assert it.supervisor.heard == it.workers[0].heard == it.committed == []


async def test_an_emptied_file_takes_nothing_down(tmp_path: Path) -> None:
    """A file that is just being written, or that was truncated, is no wish to serve nothing."""
    async with scene(tmp_path) as it:
        it.path.write_text("")
        outcome = await it.reloader.reload("test")
        assert not outcome.ok
        assert "no route" in outcome.text
        assert it.reloader.generation == 1
        assert it.workers[0].heard == []


async def test_one_worker_that_cannot_stops_it_for_all(tmp_path: Path) -> None:
    """The others drop what they have prepared, and the supervisor forgets the sockets it opened."""
    async with scene(tmp_path) as it:
        it.workers[1].answers["prepare"] = lambda _message: {"ok": False, "problems": ["no room"]}
        it.path.write_text(SECOND)
        outcome = await it.reloader.reload("test")
        assert (outcome.ok, outcome.text) == (False, "no room")
        await it.heard("prepare", "abort")
        assert it.supervisor.words() == ["keep"]
        assert it.reloader.generation == 1


async def test_a_worker_that_dies_meanwhile_does_not_stop_it(tmp_path: Path) -> None:
    """Whoever follows it begins with what the supervisor was told."""
    async with scene(tmp_path) as it:
        it.workers[1].answers["prepare"] = lambda _message: it.crew[1].peer.close() or {}
        it.path.write_text(SECOND)
        assert (await it.reloader.reload("test")).ok
        assert it.supervisor.words() == ["commit"]


async def test_a_new_listener_gets_its_sockets_first(tmp_path: Path) -> None:
    """The supervisor opens one a share, and each worker gets its own with the configuration."""
    fds: list[int] = []
    async with scene(tmp_path) as it:
        for worker in it.workers:
            worker.answers["prepare"] = lambda message: fds.append(len(message.fds)) or {"ok": True}  # type: ignore[func-returns-value]
        it.path.write_text(FIRST.replace("]", ', {bind: "127.0.0.1:8081"}]', 1))
        assert (await it.reloader.reload("test")).ok
        assert it.supervisor.words() == ["sockets", "commit"]
        assert it.supervisor.heard[0]["binds"] == [["127.0.0.1:8081", 2048]]
        assert fds == [1, 1]


async def test_an_address_that_is_held_for_a_moment(tmp_path: Path) -> None:
    """By a worker that has not heard yet of the end of the reload before: it is asked for again."""
    async with scene(tmp_path) as it:
        answers = iter([{"ok": False, "errors": [["127.0.0.1:8081", "in use"]]}])
        it.supervisor.answers["sockets"] = lambda message: next(answers, None) or a_socket(message)
        it.path.write_text(FIRST.replace("]", ', {bind: "127.0.0.1:8081"}]', 1))
        assert (await it.reloader.reload("test")).ok
        assert it.supervisor.words() == ["sockets", "sockets", "commit"]


async def test_an_address_that_is_taken_stops_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor's words are the outcome, and no worker was bothered."""
    async with scene(tmp_path) as it:
        monkeypatch.setattr("gateway.reload.HELD_SECONDS", 0.0)
        it.supervisor.answers["sockets"] = lambda _message: {"ok": False, "errors": [["127.0.0.1:8081", "in use"]]}
        it.path.write_text(FIRST.replace("]", ', {bind: "127.0.0.1:8081"}]', 1))
        outcome = await it.reloader.reload("test")
        assert (outcome.ok, outcome.text) == (False, "127.0.0.1:8081: in use")
        await heard(it.supervisor, "sockets", "keep")
        assert it.workers[0].heard == []


async def test_the_same_again_is_not_served_anew(tmp_path: Path) -> None:
    """A file that says what is served already changes nothing, and what needs an upgrade says so."""
    async with scene(tmp_path) as it:
        it.path.write_text("# a comment\n" + FIRST)
        assert (await it.reloader.reload("test")).text == "nothing has changed"
        assert it.workers[0].heard == []
        it.path.write_text(FIRST + 'admin: {bind: "127.0.0.1:9999"}\n')
        outcome = await it.reloader.reload("test")
        assert outcome.ok
        assert outcome.text.startswith("admin: ")


async def test_a_late_worker_is_brought_up_to_date(tmp_path: Path) -> None:
    """One that was forked with an older configuration gets the present one; one that has it is left alone."""
    async with scene(tmp_path) as it:
        it.path.write_text(SECOND)
        await it.reloader.reload("test")
        await it.reloader.catch_up(it.crew[0], {"generation": 2})
        assert it.workers[0].words() == ["prepare", "commit"]
        it.serves(1, 1)
        it.workers[1].answers["commit"] = lambda _message: it.serves(1, 2) or {}  # type: ignore[func-returns-value]
        await it.reloader.catch_up(it.crew[1], {"generation": 1})
        assert it.workers[1].words() == ["prepare", "commit", "status", "prepare", "commit", "status"]


async def test_a_worker_that_stays_behind(tmp_path: Path) -> None:
    """Is told of as such: whoever called tries again."""
    async with scene(tmp_path) as it:
        it.path.write_text(SECOND)
        await it.reloader.reload("test")
        it.serves(0, 1)
        it.workers[0].answers["commit"] = lambda _message: {"ok": False, "text": "it was not prepared"}
        with pytest.raises(ReloadError, match="generation 1"):
            await it.reloader.catch_up(it.crew[0], {"generation": 1})


async def test_a_late_worker_gets_the_sockets_it_lacks(tmp_path: Path) -> None:
    """Also those of listeners that were new with the configuration it has missed."""
    async with scene(tmp_path) as it:
        it.path.write_text(SECOND.replace("]", ', {bind: "127.0.0.1:8081"}]', 1))
        await it.reloader.reload("test")
        it.serves(1, 1)
        it.workers[1].answers["commit"] = lambda _message: it.serves(1, 2) or {}  # type: ignore[func-returns-value]
        await it.reloader.catch_up(it.crew[1], {"generation": 1})
        assert it.supervisor.words() == ["sockets", "commit", "sockets"]
        assert it.supervisor.heard[2]["binds"] == [["127.0.0.1:8081", 2048]]
        assert [body.get("binds") for body in it.workers[1].heard if body.get("ask") == "prepare"] == [
            ["127.0.0.1:8081"]
        ] * 2


async def test_a_flood_of_reloads(tmp_path: Path) -> None:
    """A hundred at once are two: the one that has begun, and one that reads what was written since."""
    async with scene(tmp_path) as it:
        readings: list[str] = []
        read = it.reloader._read
        it.reloader._read = lambda: readings.append("") or read()  # type: ignore[func-returns-value]
        outcomes = await asyncio.gather(*(it.reloader.reload("test") for _ in range(100)))
        assert {outcome.text for outcome in outcomes} == {"nothing has changed"}
        assert len(readings) == 2


async def test_a_bug_is_an_outcome(tmp_path: Path) -> None:
    """Whoever waits for a reload gets an answer, whatever happens."""
    async with scene(tmp_path) as it:
        it.reloader._read = lambda: 1 // 0  # type: ignore[assignment,return-value]
        with capture_logs() as told:
            outcome = await it.reloader.reload("test")
        assert not outcome.ok
        assert "ZeroDivisionError" in outcome.text
        assert told[0]["event"] == "a bug in the gateway"


async def test_a_control_process_that_follows_another(tmp_path: Path) -> None:
    """Takes back the sockets of a reload that died, and serves what the files say now; no change is no reload."""
    async with scene(tmp_path) as it:
        await it.reloader.resume()
        assert it.reloader.generation == 1
        it.path.write_text(SECOND)
        await it.reloader.resume()
        assert it.reloader.generation == 2
        await it.heard("abort", "abort", "prepare", "commit")
        await heard(it.supervisor, "keep", "keep", "commit")
        it.path.write_text("nonsense: 1")
        await it.reloader.resume()
        assert (it.reloader.last.ok, it.reloader.generation) == (False, 2)
