"""Upgrades in place: the supervisor becomes the new code, the old workers drain behind the new ones."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from tests.kit.process import free_port, until
from tests.kit.supervised import Load, Supervised, ask

pytestmark = pytest.mark.e2e


def test_an_upgrade_under_load(tmp_path: Path) -> None:
    """The same process id, new workers and control on free lanes, the same sockets, and not one failed request."""
    with Supervised(tmp_path) as gateway, Load(gateway.port) as load:
        for image in ("2", "3"):
            load.more()
            old = set(gateway.workers().values())
            since = gateway.events.count()
            gateway.behave(image=image)
            gateway.signal(signal.SIGUSR2)
            assert gateway.event(since, who="supervisor", got="started")["pid"] == gateway.pid
            for _ in old:
                gateway.event(since, who="worker", got="drain")
            control = gateway.event(since, who="control", got="start")
            assert control["image"] == image
            answer = gateway.ask()
            assert (answer["image"], answer["parent"]) == (image, gateway.pid)
            assert answer["lane"] in control["crew"]
            assert not old & set(gateway.workers().values())
            load.more()
    assert not load.failed
    assert "upgraded: the new workers serve" in gateway.said.text


def test_code_that_cannot_start(tmp_path: Path) -> None:
    """Is found out by the rehearsal: nothing changes."""
    with Supervised(tmp_path) as gateway:
        before = gateway.workers()
        gateway.behave(template="cannot be made")
        gateway.signal(signal.SIGUSR2)
        gateway.logged("upgrade given up: the new code cannot take over")
        gateway.behave()
        assert gateway.workers() == before
        os.kill(before[0], signal.SIGKILL)
        until(lambda: gateway.workers()[0] != before[0])  # and all goes on as it did
        assert "cannot be made" in gateway.said.text
        gateway.allow_traceback()


@pytest.mark.parametrize("whose", ["listeners", "admin"])
def test_a_configuration_that_is_wrong_by_now(tmp_path: Path, whose: str) -> None:
    """Is found out by the rehearsal too: here an address that another process has taken."""
    with Supervised(tmp_path) as gateway, socket.create_server(("127.0.0.1", 0)) as other:
        before = gateway.workers()
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        listeners = [*gateway.config["listeners"], {"bind": taken}]
        gateway.configure(**({"listeners": listeners} if whose == "listeners" else {"admin": {"bind": taken}}))
        gateway.signal(signal.SIGUSR2)
        gateway.logged("upgrade given up: the new code cannot take over")
        assert "cannot listen" in gateway.said.text
        assert gateway.workers() == before


def test_workers_that_cannot_start(tmp_path: Path) -> None:
    """After the exec: the old workers serve on, the control process stays, and the next upgrade may mend it."""
    with Supervised(tmp_path) as gateway, Load(gateway.port) as load:
        before = gateway.workers()
        control = gateway.event(who="control", got="start")["pid"]
        gateway.behave(fail=[0, 1], image="2")
        gateway.signal(signal.SIGUSR2)
        assert "share" in gateway.logged("the new workers do not serve, and the old ones serve on")
        assert gateway.workers() == before
        assert Path(f"/proc/{control}").exists()
        gateway.behave(image="3")
        gateway.signal(signal.SIGUSR2)
        gateway.logged("upgraded: the new workers serve")
        until(lambda: gateway.ask()["image"] == "3")
    assert not load.failed


def test_old_workers_that_die_behind_a_failed_upgrade(tmp_path: Path) -> None:
    """Are stood in for by those that live."""
    with Supervised(tmp_path) as gateway:
        before = gateway.workers()
        gateway.behave(fail=[0, 1])
        gateway.signal(signal.SIGUSR2)
        gateway.logged("the old ones serve on")
        os.kill(before[0], signal.SIGKILL)
        gateway.event(who="worker", share=1, got="adopt")
        assert {gateway.ask()["pid"] for _ in range(20)} == {before[1]}


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1)])
def test_another_number_of_workers(tmp_path: Path, before: int, after: int) -> None:
    """Takes effect with the upgrade; where there are fewer, one of them serves the sockets of those that are gone."""
    with Supervised(tmp_path, workers=before) as gateway, Load(gateway.port) as load:
        old = set(gateway.workers(before).values())
        gateway.configure(workers=after)
        gateway.signal(signal.SIGUSR2)
        for _ in old:
            gateway.event(who="worker", got="drain")
        if after < before:
            for share in range(after, before):
                gateway.event(who="worker", got="adopt", share=0, body={"tell": "adopt", "of": share,
                              "binds": [f"127.0.0.1:{gateway.port}"]})  # fmt: skip
        assert not old & set(gateway.workers(after).values())
        load.more()
    assert not load.failed


def test_listeners_that_come_and_go(tmp_path: Path) -> None:
    """An upgrade reads the configuration as a restart would: new addresses answer, those that are gone do not."""
    with Supervised(tmp_path) as gateway:
        old, new = gateway.port, free_port()
        gateway.configure(listeners=[{"bind": f"127.0.0.1:{new}"}])
        gateway.port = new
        gateway.signal(signal.SIGUSR2)
        gateway.logged("upgraded")
        assert ask(new)["generation"] == 2

        def refused() -> bool:
            try:
                ask(old)
            except ConnectionError:
                return True
            return False

        until(refused)


def test_a_stop_during_an_upgrade(tmp_path: Path) -> None:
    """Ends old and new workers alike."""
    with Supervised(tmp_path) as gateway:
        gateway.behave(image="2")
        gateway.signal(signal.SIGUSR2)
        gateway.logged("the new code is tried")
        gateway.signal(signal.SIGTERM)
        gateway.ended()


def test_upgrades_take_turns(tmp_path: Path) -> None:
    """A second one is refused while the first is under way."""
    with Supervised(tmp_path) as gateway:
        gateway.signal(signal.SIGUSR2)
        gateway.logged("the new code is tried")
        answer, _ = gateway.tell_supervisor(ask="upgrade", id=1)
        assert answer == {"re": 1, "ok": False, "text": "another upgrade is under way"}
        gateway.logged("upgraded")


def test_signals_around_the_exec(tmp_path: Path) -> None:
    """None is lost, and none ends the process while the new code has not got that far."""
    with Supervised(tmp_path) as gateway:
        gateway.signal(signal.SIGUSR2)
        gateway.logged("the new code is tried")
        answered = gateway.said.count()
        while not any("upgraded" in line for line in list(gateway.said)[answered:]):
            gateway.signal(signal.SIGUSR1)
            gateway.signal(signal.SIGCHLD)
        since = gateway.events.count()
        gateway.signal(signal.SIGUSR1)
        gateway.event(since, who="worker", got="reopen")
