"""run: what it does before the first fork. Processes: tests/scenarios/test_processes.py, test_stopping, test_upgrades."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from gateway import supervisor
from gateway.config import Loaded, load
from gateway.supervision import upgrade
from gateway.supervision.roles import Roles
from gateway.supervisor import CANNOT_START, Options, run
from tests.kit.process import free_port, write_config


class NotMade(Exception):
    """What a template says that cannot be made."""


def cannot_be_made(_loaded: Loaded) -> None:
    raise NotMade


def never(_role: object) -> int:
    raise AssertionError("nothing is forked here")


FORKS_NOTHING = Roles(never, never, cannot_be_made)
REHEARSES = Roles(never, never, lambda _loaded: None)


@pytest.fixture(autouse=True)
def _as_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is this test's own, and the log as it was."""
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(supervisor.logs, "set_up", lambda *_: None)


def configuration(folder: Path, *ports: int) -> Loaded:
    write_config(folder, listeners=[{"bind": f"127.0.0.1:{port}"} for port in ports], routes=[])
    return load(folder / "config.yaml")


def offer(*listeners: str, version: int = upgrade.VERSION) -> None:
    os.environ[upgrade.REHEARSAL] = json.dumps({"version": version, "listeners": listeners})


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def test_a_busy_port(tmp_path: Path) -> None:
    """Is an OSError with the address, before anything is built or forked."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OSError, match="in use") as caught:
            run(configuration(tmp_path, port), FORKS_NOTHING, Options(1))
    assert caught.value.filename == f"127.0.0.1:{port}"


def test_what_cannot_be_built(tmp_path: Path) -> None:
    """Is raised before anything is forked, and no socket stays open."""
    port = free_port()
    with pytest.raises(NotMade):
        run(configuration(tmp_path, port), FORKS_NOTHING, Options(2))
    assert is_free(port)


def test_a_rehearsal(tmp_path: Path) -> None:
    """Builds everything and opens what is not open yet, takes nothing and serves nothing: exit code 0."""
    fresh = free_port()
    with socket.create_server(("127.0.0.1", 0)) as running:
        port = running.getsockname()[1]
        offer(f"127.0.0.1:{port}")
        assert run(configuration(tmp_path, port, fresh), REHEARSES, Options(2)) == 0
    assert is_free(fresh)


def test_a_rehearsal_that_fails(tmp_path: Path) -> None:
    """Says what a start would say."""
    offer()
    with pytest.raises(NotMade):
        run(configuration(tmp_path, free_port()), FORKS_NOTHING, Options(1))
    with socket.create_server(("127.0.0.1", 0)) as other:
        offer()
        with pytest.raises(OSError, match="in use"):
            run(configuration(tmp_path, free_port(), other.getsockname()[1]), REHEARSES, Options(1))


def test_a_rehearsal_of_another_form(tmp_path: Path) -> None:
    """Fails: a restart is needed to get to this version."""
    offer(version=99)
    assert run(configuration(tmp_path, free_port()), REHEARSES, Options(1)) == CANNOT_START
