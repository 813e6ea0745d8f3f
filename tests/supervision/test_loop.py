"""The loop's judgement of messages. With real processes: tests/scenarios/test_processes.py and its neighbours."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from gateway.config import load
from gateway.state.channel import Channel
from gateway.state.segment import CONTROL_LANE, Segment, Word
from gateway.supervision.child import Child
from gateway.supervision.loop import Options, Supervisor
from gateway.supervision.roles import Roles
from gateway.supervision.signals import Signals
from gateway.supervision.sockets import Sockets
from gateway.supervision.stopping import Stage
from gateway.supervision.template import Template
from tests.kit.process import free_port, write_config


class Desk:
    """A supervisor that has forked nothing, and the channel of a control process on paper."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        ours, self.theirs = Channel.pair()
        self.child = Child(2**22 + 9, ours, 0.0, share=0, lane=CONTROL_LANE)
        supervisor._desk.child = self.child

    def says(self, *fds: int, **body: Any) -> list[dict[str, Any]]:
        """Has the control process say something; what it is told."""
        self.theirs.send(body, fds)
        self.supervisor._hear(self.child, 0.0)
        return self.heard()

    def heard(self) -> list[dict[str, Any]]:
        messages = self.theirs.receive()
        for fd in (fd for message in messages for fd in message.fds):
            os.close(fd)
        return [message.body for message in messages]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    write_config(tmp_path, listeners=[{"bind": f"127.0.0.1:{free_port()}"}], routes=[])
    loaded = load(tmp_path / "config.yaml")
    template = Template(
        loaded, Roles(lambda _: 0, lambda _: 0, lambda _: None), Segment.create(), Sockets(2), Sockets(1)
    )
    template.open(0.0)
    template.load(loaded, 1)
    with Signals() as signals:
        made = Desk(Supervisor(template, Options(2), signals))
        yield made
    made.theirs.close()
    if made.child.channel is not None:
        made.child.channel.close()
    template.sockets.close()
    template.segment.close()


def test_what_is_not_understood(desk: Desk) -> None:
    """Is logged without what may be secret in it; its descriptors are closed, and the loop goes on."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    with structlog.testing.capture_logs() as logged:
        assert desk.says(0, ask="sockets", binds=3, id=1, secret="xyzzy") == []
    assert [line["message"] for line in logged] == ["sockets"]
    assert "xyzzy" not in repr(logged[0]["message"])
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert desk.says(tell="unheard of") == []


def test_a_commit_that_cannot_be_read(desk: Desk) -> None:
    """The next worker begins with what was in force before, and the addresses are the new ones all the same."""
    with structlog.testing.capture_logs() as logged:
        desk.says(tell="commit", generation=2, parcel="bm9uc2Vuc2U=", binds=[])
    assert "begins with the configuration before this one" in logged[0]["event"]
    assert desk.supervisor._template.generation == 1
    assert desk.supervisor._template.sockets.names == []


def test_an_upgrade_too_early(desk: Desk) -> None:
    """Is refused while it starts."""
    answer = desk.says(ask="upgrade", id=5)
    assert answer == [{"re": 5, "ok": False, "text": "the gateway is starting or stopping"}]


def test_sockets_during_an_upgrade(desk: Desk) -> None:
    """Are refused: the image that asks is about to be replaced. So is a commit, and closing addresses."""
    desk.supervisor._succession.is_open = True
    answer = desk.says(ask="sockets", id=6, binds=[["127.0.0.1:0", 5]])
    assert answer == [{"re": 6, "ok": False, "errors": [["127.0.0.1:0", "an upgrade is under way"]]}]
    desk.says(tell="keep", binds=[])
    desk.says(tell="commit", generation=9, parcel="", binds=[])
    assert len(desk.supervisor._template.sockets.names) == 1


def test_a_stop_asked_for(desk: Desk) -> None:
    """Is as SIGTERM: unready at once, for every process to see."""
    assert desk.says(ask="stop", id=7) == [{"tell": "drain"}, {"re": 7, "ok": True}]
    assert desk.supervisor._stopping.stage is Stage.NOTICE
    assert desk.supervisor._template.segment.read(Word.DRAINING) == 1


def test_the_end_of_a_channel(desk: Desk) -> None:
    """Is noticed once; what was said before it is heard."""
    desk.supervisor._desk.wants_reload = True
    desk.theirs.send({"tell": "reloaded"})
    desk.theirs.close()
    desk.supervisor._hear(desk.child, 0.0, flush=True)
    assert not desk.supervisor._desk.wants_reload
    desk.supervisor._hear(desk.child, 0.0)
    assert desk.child.channel is None
    desk.supervisor._hear(desk.child, 0.0)


def test_waiting(desk: Desk) -> None:
    """Ends with a message, a signal, or the time."""
    desk.theirs.send({"tell": "reloaded"})
    desk.supervisor._desk.wants_reload = True
    desk.supervisor._wait(20.0)
    assert not desk.supervisor._desk.wants_reload
    signal.raise_signal(signal.SIGUSR1)
    desk.supervisor._wait(20.0)
    assert desk.supervisor._signals.take() == [signal.SIGUSR1]
    desk.supervisor._wait(-1.0)
    desk.supervisor._wait(0.01)
