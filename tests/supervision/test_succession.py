"""Succession: a rehearsal, a handover, and who serves behind it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.config import load
from gateway.config.model import MOST_WORKERS
from gateway.deadlines import NEVER
from gateway.state.channel import Channel
from gateway.state.segment import Segment
from gateway.supervision import upgrade
from gateway.supervision.child import Child
from gateway.supervision.crew import Crew, Surroundings
from gateway.supervision.desk import Desk
from gateway.supervision.roles import Roles
from gateway.supervision.sockets import Sockets
from gateway.supervision.succession import Succession
from gateway.supervision.template import Template
from tests.kit.forks import PaperForks
from tests.kit.process import free_port, write_config


class Image:
    """One image of a supervisor, its children on paper."""

    def __init__(self, folder: Path) -> None:
        write_config(folder, listeners=[{"bind": f"127.0.0.1:{free_port()}"}], routes=[])
        loaded = load(folder / "config.yaml")
        self.forks: Any = PaperForks()
        self.template = Template(
            loaded, Roles(lambda _: 0, lambda _: 0, lambda _: None), Segment.create(), Sockets(2), Sockets(1)
        )
        self.template.open(0.0)
        around = Surroundings(
            self.forks, self.template.sockets, lambda *_: (lambda: 0, []), lambda _: None, lambda _: None
        )
        self.crew = Crew(2, around, 0.0)
        self.desk = Desk(self.forks, lambda _end: (lambda: 0, []), 0.0)
        self.succession = Succession(self.template, self.crew, self.desk)

    def serve(self, now: float = 0.0) -> None:
        self.crew.keep_up(now)
        self.desk.keep_up(now)
        for child in list(self.crew.children.values()):
            self.crew.told(child, {"tell": "ready"}, now)

    def __enter__(self) -> Image:
        return self

    def __exit__(self, *_: object) -> None:
        self.template.sockets.close()
        self.template.segment.close()
        self.forks.__exit__()


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Image]:
    with Image(tmp_path) as made:
        yield made


@pytest.fixture
def rehearsals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that last until they are killed."""
    monkeypatch.setattr(sys, "orig_argv", ["python", "-c", "import signal; signal.pause()"])


def begun(image: Image, now: float = 0.0) -> int:
    """The process id of a rehearsal."""
    assert image.succession.begin(now) == ""
    return int(image.succession._rehearsal or 0)


@pytest.mark.usefixtures("rehearsals")
def test_a_rehearsal_that_hangs(image: Image) -> None:
    """Is killed after its time, and the upgrade given up."""
    pid = begun(image, now=10.0)
    assert image.succession.due() == 10.0 + upgrade.REHEARSAL_SECONDS
    assert image.succession.begin(11.0) == "another upgrade is under way"
    assert image.succession.keep_up(20.0) is None
    assert image.succession.keep_up(10.0 + upgrade.REHEARSAL_SECONDS) is None
    status = os.waitpid(pid, 0)[1]
    assert status == signal.SIGKILL
    assert not image.succession.rehearsed(pid, status)
    assert image.succession.due() == NEVER


@pytest.mark.usefixtures("rehearsals")
def test_a_stop_ends_it(image: Image) -> None:
    """Nobody needs to know any more."""
    pid = begun(image)
    image.succession.stop()
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL


@pytest.mark.usefixtures("rehearsals")
def test_whose_end_it_was(image: Image) -> None:
    """Only a rehearsal's counts, and only a good one."""
    pid = begun(image)
    assert not image.succession.rehearsed(pid + 1, 0)
    image.succession._end_rehearsal()
    os.waitpid(pid, 0)
    assert image.succession.rehearsed(pid, 0)
    assert not image.succession.rehearsed(pid, 0)


def test_no_room(image: Image) -> None:
    """While workers of earlier upgrades drain, there may be no lanes for more."""
    for pid in range(MOST_WORKERS + 3):
        image.crew.take_over(Child(pid, image.forks.pair()[0], 0.0, share=0, lane=pid))
    assert "draining still" in image.succession.begin(0.0)


def test_code_that_is_gone(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is said at once."""
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    assert "cannot be started" in image.succession.begin(0.0)


def handed_over(before: Image, after: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets `after` take over from `before`, with descriptors of its own, since both live in one process."""
    left: list[upgrade.Handover] = []

    def replace_image(handover: upgrade.Handover) -> None:
        left.append(handover)
        raise OSError("not really")

    monkeypatch.setattr(upgrade, "replace_image", replace_image)
    before.succession.hand_over()
    handover = left[0]
    workers = [{**told, "fds": [os.dup(fd) for fd in told["fds"]]} for told in handover.workers]
    control = handover.control
    if control is not None:
        control = {**control, "fds": [os.dup(fd) for fd in control["fds"]]}
    after.succession.take_over(handover._replace(workers=workers, control=control), after.forks, 50.0)


@pytest.fixture
def pair(image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Image, Image]]:
    """The image before, and the one that has taken over from it."""
    image.serve()
    folder = tmp_path / "after"
    folder.mkdir()
    with Image(folder) as after:
        handed_over(image, after, monkeypatch)
        yield image, after


def heard(image: Image) -> list[list[dict[str, Any]]]:
    """What each child of an image was told."""
    return [forked.heard() for forked in image.forks.forked]


def test_new_workers_that_serve(pair: tuple[Image, Image]) -> None:
    """The old ones are told to drain, and the control process to end, for the next one knows the new workers."""
    before, after = pair
    assert after.succession.is_open
    assert after.desk.child is not None
    assert after.succession.keep_up(50.0) is None
    after.serve(51.0)
    assert after.succession.keep_up(51.0) is True
    assert not after.succession.is_open
    told = [[body["tell"] for body in bodies] for bodies in heard(before)]
    assert told == [["drain"], ["drain"], ["quit"]]
    assert after.succession.keep_up(52.0) is None


def test_new_workers_that_do_not(pair: tuple[Image, Image]) -> None:
    """After their time the old ones stay, and are told nothing."""
    before, after = pair
    after.crew.keep_up(50.0)
    assert after.succession.keep_up(50.0 + upgrade.SETTLE_SECONDS) is False
    assert heard(before) == [[], [], []]
    assert after.crew.is_complete
    assert all(child.draining for child in after.crew.children.values() if child.lane > 1)


def test_new_workers_that_fail(pair: tuple[Image, Image]) -> None:
    """Three times are enough."""
    before, after = pair
    for now in (60.0, 61.0, 62.0):
        after.crew.keep_up(now)
        child = next(child for child in after.crew.children.values() if child.share == 1 and not child.predecessor)
        after.crew.died(child, 256, now)
    assert after.succession.keep_up(62.0) is False
    assert heard(before) == [[], [], []]


def test_those_that_hung_up(image: Image, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Are not handed over: they are about to die."""
    image.serve()
    first = next(iter(image.crew.children.values()))
    first.channel = None
    assert image.desk.child is not None
    image.desk.child.channel = None
    folder = tmp_path / "after"
    folder.mkdir()
    with Image(folder) as after:
        handed_over(image, after, monkeypatch)
        assert [child.share for child in after.crew.children.values()] == [1]
        assert after.desk.child is None


def test_channels_are_ends() -> None:
    """What is handed over is an end of a channel, whichever process it was made in."""
    one, other = Channel.pair()
    again = Channel.of(os.dup(one.fileno()))
    one.close()
    other.send({"tell": "x"})
    assert again.receive()[0].body == {"tell": "x"}
    again.close()
    other.close()
