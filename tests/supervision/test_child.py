"""Child: what is known of a process, and what is told it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from gateway.deadlines import NEVER
from gateway.state.channel import Channel
from gateway.supervision.child import Child, cause_of_death
from tests.kit.forks import PaperForks


@pytest.fixture
def forks() -> Iterator[PaperForks]:
    with PaperForks() as made:
        yield made


def make(forks: PaperForks, pid: int = 1) -> tuple[Child, Channel]:
    ours, theirs = forks.pair()
    return Child(pid, ours, 5.0, share=1, lane=3, pair=forks.pair()), theirs


def test_serving(forks: PaperForks) -> None:
    """Begins when it says so and ends with the drain."""
    child, _theirs = make(forks)
    assert not child.serves
    child.ready = 6.0
    assert child.serves
    child.draining = True
    assert not child.serves


def test_telling_never_fails(forks: PaperForks) -> None:
    """Neither to one that has hung up nor to one whose channel is closed."""
    child, theirs = make(forks)
    child.tell({"tell": "reopen"})
    assert theirs.receive()[0].body == {"tell": "reopen"}
    theirs.close()
    child.tell({"tell": "reopen"})
    child.channel = None
    child.tell({"tell": "reopen"})
    assert len(child.ends) == 2


def test_killing(forks: PaperForks) -> None:
    """Is at once, and no error if it is gone already."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    child, _theirs = make(forks, process.pid)
    child.kill_at = 7.0
    child.kill()
    assert process.wait() == -signal.SIGKILL
    assert child.kill_at == NEVER
    child.kill()


def test_the_next_image(forks: PaperForks) -> None:
    """Knows all that this one knew, from what fits into JSON."""
    child, _theirs = make(forks, 77)
    child.ready, child.draining, child.adopts, child.kill_at = 6.0, True, {0, 2}, 9.0
    told = json.loads(json.dumps(child.described()))
    ends = [forks.take_over(os.dup(fd)) for fd in told["fds"]]
    after = Child.taken_over(told, ends[0], tuple(ends[1:]))
    for name in ("pid", "share", "lane", "started", "ready", "draining", "adopts", "kill_at"):
        assert getattr(after, name) == getattr(child, name), name
    child.kill_at = NEVER
    assert Child.taken_over(json.loads(json.dumps(child.described())), ends[0], ()).kill_at == NEVER
    child.channel = None
    with pytest.raises(ValueError, match="closed its channel"):
        child.described()


@pytest.mark.parametrize(
    ("status", "said"),
    [(0, "exit code 0"), (5 << 8, "exit code 5"), (9, "SIGKILL"), (64, "SIGRTMAX"), (50, "signal 50")],
)
def test_causes_of_death(status: int, said: str) -> None:
    """Are told in words."""
    assert cause_of_death(status) == said
