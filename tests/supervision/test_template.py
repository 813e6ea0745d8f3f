"""Template: what children are given, and what changes it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.config import Loaded, load
from gateway.state.segment import CONTROL_LANE, Segment, Word
from gateway.supervision.roles import ControlRole, CrewEntry, Roles, WorkerRole
from gateway.supervision.sockets import Sockets
from gateway.supervision.template import Template
from tests.kit.forks import PaperForks
from tests.kit.process import free_port, write_config


class Runs:
    """Roles that write down what they were given."""

    def __init__(self) -> None:
        self.worker: WorkerRole
        self.control: ControlRole
        self.fails = False
        self.roles = Roles(self._worker, self._control, self._template)

    def _worker(self, role: WorkerRole) -> int:
        self.worker = role
        return 11

    def _control(self, role: ControlRole) -> int:
        self.control = role
        return 12

    def _template(self, loaded: Loaded) -> str:
        if self.fails:
            raise ValueError("cannot be made")
        return f"of {loaded.folder.name}"


def configuration(folder: Path, *ports: int, **more: object) -> Loaded:
    write_config(folder, listeners=[{"bind": f"127.0.0.1:{port}"} for port in ports], routes=[], **more)
    return load(folder / "config.yaml")


@pytest.fixture
def runs() -> Runs:
    return Runs()


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def template(tmp_path: Path, runs: Runs, port: int) -> Iterator[Template]:
    loaded = configuration(
        tmp_path, port, admin={"bind": f"127.0.0.1:{free_port()}", "probe": f"127.0.0.1:{free_port()}"}
    )
    segment = Segment.create()
    made = Template(loaded, runs.roles, segment, Sockets(2), Sockets(1))
    made.open(0.0)
    made.load(loaded, 1)
    yield made
    made.sockets.close()
    made.admin.close()
    segment.close()


def test_a_worker(template: Template, runs: Runs, port: int, tmp_path: Path) -> None:
    """Is given the socket of its share, and keeps nothing else."""
    with PaperForks() as forks:
        supervisor, control = forks.pair()
        role, keep = template.worker(1, 5, supervisor, control)
        assert role() == 11
        given = runs.worker
        assert (given.share, given.lane, given.generation, given.template) == (1, 5, 1, f"of {tmp_path.name}")
        assert given.sockets == {f"127.0.0.1:{port}": [template.sockets.of_listener(f"127.0.0.1:{port}")[1]]}
        assert keep == given.sockets[f"127.0.0.1:{port}"]
        assert (given.supervisor, given.control, given.segment) == (supervisor, control, template.segment)


def test_the_control_process(template: Template, runs: Runs) -> None:
    """Is given the admin sockets and its end of each worker's channel."""
    with PaperForks() as forks:
        end, channel = forks.pair()
        entry = CrewEntry(0, 0, 99, channel)
        role, keep = template.control(end, [entry])
        assert role() == 12
        assert (runs.control.lane, runs.control.crew) == (CONTROL_LANE, [entry])
        assert list(runs.control.sockets) == [str(bind) for bind in template.admin.names]
        assert len(runs.control.sockets) == 2
        assert keep == [*runs.control.sockets.values(), channel]


def test_another_configuration(template: Template, runs: Runs, tmp_path: Path, port: int) -> None:
    """Is what later children get, and others see its number; sockets it does not name are closed when told."""
    other = free_port()
    template.load(configuration(tmp_path, other), 7)
    assert template.segment.read(Word.GENERATION) == 7
    template.open(0.0)
    with PaperForks() as forks:
        role, keep = template.worker(0, 0, *forks.pair())
        role()
        assert list(runs.worker.sockets) == [f"127.0.0.1:{other}"]  # the old one is open still, but no business of its
        assert len(keep) == 1
    template.keep_sockets()
    assert template.sockets.names == [f"127.0.0.1:{other}"]
    assert template.admin.names == []


def test_a_configuration_that_cannot_be_made(template: Template, runs: Runs, tmp_path: Path, port: int) -> None:
    """Changes nothing."""
    runs.fails = True
    with pytest.raises(ValueError, match="cannot be made"):
        template.load(configuration(tmp_path, free_port()), 2)
    assert template.generation == 1
    assert template.segment.read(Word.GENERATION) == 1
    assert [listener.bind.port for listener in template.loaded.config.listeners] == [port]


def test_sockets_for_a_reload(template: Template, tmp_path: Path, port: int) -> None:
    """Those of all shares for each listener, one for a Unix socket, the same again for one that is open already."""
    unix = f"unix:{tmp_path / 'u.sock'}"
    answer, fds = template.answer_sockets([("127.0.0.1:0", 10), (unix, 10), (f"127.0.0.1:{port}", 10)])
    assert answer == {"ok": True, "counts": [2, 1, 2]}
    assert len(fds) == 5
    assert all(socket.socket(fileno=os.dup(fd)).close() is None for fd in fds)


def test_sockets_that_cannot_be_opened(template: Template) -> None:
    """Each has its reason."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        answer, fds = template.answer_sockets([(taken, 10), ("nonsense", 10), ("no-such-host.invalid:80", 10)])
    assert not answer["ok"]
    assert [name for name, _reason in answer["errors"]] == [taken, "nonsense", "no-such-host.invalid:80"]
    assert answer["errors"][0][1] == "Address already in use"
    assert all(reason for _name, reason in answer["errors"])
    assert fds == []


def test_more_sockets_than_fit_into_a_message(template: Template) -> None:
    """Are refused, before the message is."""
    answer, fds = template.answer_sockets([(f"127.0.0.1:{free_port()}", 10) for _ in range(101)])
    assert "ask for fewer" in answer["errors"][0][1]
    assert fds == []
