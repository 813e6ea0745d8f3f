"""Processes under the real supervisor: deaths, crash loops, stand-ins, and the end of the supervisor itself.

The worker and the control process are tests/kit/tiny_gateway.py; what serves HTTP proper has its own tests.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.config import load
from gateway.config.parcel import pack
from gateway.supervision.back_off import STEADY
from tests.kit.process import free_port, until
from tests.kit.supervised import Load, Supervised, ask

pytestmark = pytest.mark.e2e

CANNOT_LISTEN = 3
CUT_SHORT = 4
CANNOT_START = 5
RESTARTED = 0.1  # seconds: the house's promise


def gone(pid: int) -> bool:
    """Whether no such process runs; one that nobody has waited for counts as gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervised]:
    """A gateway for tests that leave it as it is."""
    with Supervised(tmp_path_factory.mktemp("shared")) as gateway:
        yield gateway


def test_a_child_holds_what_is_its_own(shared: Supervised) -> None:
    """A worker has its own listening socket and its two channels; of others it has nothing."""
    names = shared.ask("/descriptors")
    # Listener, supervisor, control, and the connection of this question; and the shared memory with its mapping.
    assert names.count("socket") == 4, names
    assert names.count("/memfd") == 2, names


def test_connections_spread_over_the_workers(shared: Supervised) -> None:
    """Of 400 connections each of two workers gets 40 to 60 percent."""
    shares = [shared.ask()["share"] for _ in range(400)]
    assert 160 <= shares.count(0) <= 240


@pytest.mark.parametrize("kills", [6, pytest.param(20, marks=pytest.mark.long)])
def test_a_killed_worker_is_back_at_once(tmp_path: Path, kills: int) -> None:
    """Under load, again and again: only what that worker had accepted fails, and all is served within a second."""
    with Supervised(tmp_path) as gateway, Load(gateway.port) as load:
        delays = []
        for turn in range(kills):
            share, pid = list(gateway.workers().items())[turn % 2]
            load.more(20)
            began = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            until(lambda share=share, pid=pid: gateway.workers()[share] != pid)
            delays.append(time.monotonic() - began)
        load.more()
    assert len(load.failed) <= kills, load.failed  # the one that it was answering
    assert load.slowest < 1.0
    assert sorted(delays)[kills // 2] < 1.0, delays


def test_the_time_to_a_new_worker(tmp_path: Path) -> None:
    """From the kill to the successor's first answer: less than 100 ms, in the median of three."""
    with Supervised(tmp_path, workers=1) as gateway:
        delays = []
        for _ in range(3):
            pid = gateway.ask()["pid"]
            steady = time.monotonic() + STEADY + 0.1
            until(lambda steady=steady: time.monotonic() > steady)
            began = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            answer = gateway.ask()  # waits in the queue of the socket, which outlives the worker
            delays.append(time.monotonic() - began)
            assert answer["pid"] != pid
    assert sorted(delays)[1] < RESTARTED, delays


def test_queued_connections_survive(tmp_path: Path) -> None:
    """Connections that a stopped worker has not accepted are answered by its successor, when it is killed."""
    with Supervised(tmp_path, workers=1) as gateway:
        pid = gateway.ask()["pid"]
        os.kill(pid, signal.SIGSTOP)
        clients = [socket.create_connection(("127.0.0.1", gateway.port), 10) for _ in range(50)]
        for client in clients:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        os.kill(pid, signal.SIGKILL)
        for client in clients:
            with client:
                assert client.recv(20).startswith(b"HTTP/1.1 200")


def test_the_control_process_is_not_missed(tmp_path: Path) -> None:
    """Killed five times under load: nothing fails, and each time there is a new one that knows all workers."""
    with Supervised(tmp_path) as gateway, Load(gateway.port) as load:
        pid = gateway.event(who="control", got="start")["pid"]
        for _ in range(5):
            since = gateway.events.count()
            os.kill(pid, signal.SIGKILL)
            started = gateway.event(since, who="control", got="start")
            pid = started["pid"]
            assert started["crew"] == [0, 1]
            load.more(20)
    assert not load.failed
    assert gateway.said.text.count("the control process died") == 5


def test_control_is_told_who_comes_and_goes(tmp_path: Path) -> None:
    """A death and the successor, with the successor's end of their channel."""
    with Supervised(tmp_path) as gateway:
        pid = gateway.workers()[0]
        os.kill(pid, signal.SIGKILL)
        assert gateway.event(who="control", got="gone")["body"] == {"tell": "gone", "lane": 0, "pid": pid}
        joined = gateway.event(who="control", got="worker")["body"]
        assert (joined["lane"], joined["share"]) == (0, 0)
        assert joined["pid"] == gateway.workers()[0]


def test_a_crash_loop_is_stood_in_for(tmp_path: Path) -> None:
    """While one worker dies again and again, the other serves its connections too; when it is back, each has its own."""
    with Supervised(tmp_path) as gateway:
        pid = gateway.workers()[0]
        gateway.behave(crash=[0])
        os.kill(pid, signal.SIGKILL)
        adopted = gateway.event(got="adopt")
        assert adopted["body"] == {"tell": "adopt", "of": 0, "binds": [f"127.0.0.1:{gateway.port}"]}
        assert {gateway.ask()["share"] for _ in range(40)} == {1}
        gateway.behave()
        gateway.event(got="unadopt")
        assert set(gateway.workers()) == {0, 1}
        assert "a worker stands in for another" in gateway.said.text


def test_a_crash_loop_slows_down(tmp_path: Path) -> None:
    """The first start follows at once, then each pause is twice the one before it."""
    with Supervised(tmp_path) as gateway:
        gateway.behave(crash=[0])
        os.kill(gateway.workers()[0], signal.SIGKILL)
        gateway.logged('"again_in":0.4')
        pauses = [json.loads(line)["again_in"] for line in gateway.said if "a worker died" in line]
        assert pauses[-4:] == [0.0, 0.1, 0.2, 0.4]


def test_workers_that_cannot_start(tmp_path: Path) -> None:
    """End it with exit code 5 and the reason."""
    gateway = Supervised(tmp_path)
    gateway.behave(fail=[0, 1])
    said = gateway.start().ended(CANNOT_START)
    assert "the workers cannot start" in said
    assert "fails" in said


def test_one_of_two_workers_that_cannot_start(tmp_path: Path) -> None:
    """The gateway serves all the same, and says so."""
    gateway = Supervised(tmp_path)
    gateway.behave(fail=[1])
    with gateway:
        assert {gateway.ask()["share"] for _ in range(20)} == {0}


def test_a_busy_port(tmp_path: Path) -> None:
    """Is an error at the start, even where the other process would let others listen beside it."""
    gateway = Supervised(tmp_path)
    with socket.socket() as other:
        other.bind(("127.0.0.1", gateway.port))
        other.listen()
        said = gateway.start().ended(CANNOT_LISTEN)
    assert f"127.0.0.1:{gateway.port}" in said


def test_a_second_gateway(tmp_path: Path) -> None:
    """Cannot listen where the first one does, though both are the same program."""
    with Supervised(tmp_path) as gateway:
        second = tmp_path / "second"
        second.mkdir()
        other = Supervised(second, listeners=gateway.config["listeners"])
        assert f"127.0.0.1:{gateway.port}" in other.start().ended(CANNOT_LISTEN)


def test_workers_whose_supervisor_is_killed(tmp_path: Path) -> None:
    """Drain and end, the control process too, and another gateway can listen at once."""
    with Supervised(tmp_path) as gateway:
        pids = [*gateway.workers().values(), gateway.event(who="control")["pid"]]
        gateway.child.send_signal(signal.SIGKILL)
        other = tmp_path / "other"
        other.mkdir()
        with Supervised(other, listeners=gateway.config["listeners"]) as successor:
            assert successor.ask(port=gateway.port)["parent"] == successor.pid
        until(lambda: all(map(gone, pids)))
        gateway.ended(-signal.SIGKILL)
        gateway.code = -signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_what_a_terminal_sends_to_all(shared: Supervised, number: int) -> None:
    """A signal that reaches workers and control beside the supervisor changes nothing in them."""
    pids = [*shared.workers().values(), shared.event(who="control")["pid"]]
    for pid in pids:
        os.kill(pid, number)
    assert list(shared.workers().values()) == pids[:2]
    assert not gone(pids[2])


def test_as_process_one(tmp_path: Path) -> None:
    """Where the kernel gives no default to any signal: it reaps orphans, and TERM ends it cleanly."""
    if os.geteuid() != 0:
        pytest.skip("run as root, or allow it: sysctl -w kernel.unprivileged_userns_clone=1")
    gateway = Supervised(tmp_path)
    gateway.start("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
    try:
        assert gateway.event(got="started")["pid"] == 1
        inside = int(Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children").read_text())
        orphan = "import os; os.fork() and os._exit(0)"  # its child ends when nobody but process 1 can wait for it
        os.system(f"nsenter --pid --target {inside} {sys.executable} -c '{orphan}'")
        until(lambda: len(Path(f"/proc/{inside}/task/{inside}/children").read_text().split()) == 3)
        assert set(gateway.workers()) == {0, 1}
        os.kill(inside, signal.SIGTERM)
        gateway.ended()
    finally:
        gateway.kill()


def test_signals_in_a_row(tmp_path: Path) -> None:
    """Hang-ups that fall into restarts are all passed on: a signal that strikes during a fork is not lost."""
    with Supervised(tmp_path) as gateway:
        for _ in range(5):
            pids = gateway.workers()
            since = gateway.events.count()
            os.kill(pids[0], signal.SIGKILL)
            os.kill(gateway.pid, signal.SIGHUP)
            gateway.event(since, who="control", got="reload")
        gateway.workers()  # a worker that dies while it stops would be a drain cut short


def test_log_rotation(shared: Supervised) -> None:
    """USR1 reaches every worker and the control process."""
    shared.signal(signal.SIGUSR1)
    for share in (0, 1):
        shared.event(who="worker", share=share, got="reopen")
    shared.event(who="control", got="reopen")


def test_another_address(shared: Supervised) -> None:
    """The control process is given its sockets, one for each share; it is closed again where they are not kept."""
    port = free_port()
    answer, addresses = shared.tell_supervisor(ask="sockets", id=7, binds=[[f"127.0.0.1:{port}", 10]])
    assert answer == {"re": 7, "ok": True, "counts": [2]}
    assert addresses == [["127.0.0.1", port]] * 2
    shared.tell_supervisor(tell="keep", binds=[f"127.0.0.1:{shared.port}"])
    until(lambda: _refused(port))


def test_an_address_that_cannot_be_opened(shared: Supervised) -> None:
    """Is told to the control process with the reason."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        bind = f"127.0.0.1:{other.getsockname()[1]}"
        answer, addresses = shared.tell_supervisor(ask="sockets", id=8, binds=[[bind, 10], ["nonsense", 1]])
    assert not answer["ok"]
    assert answer["errors"][0] == [bind, "Address already in use"]
    assert answer["errors"][1][0] == "nonsense"
    assert addresses == []


def test_a_commit(tmp_path: Path) -> None:
    """Later workers are forked with the configuration that was agreed on, and with its sockets only."""
    with Supervised(tmp_path) as gateway:
        old, new = gateway.port, free_port()
        bind = f"127.0.0.1:{new}"
        gateway.tell_supervisor(ask="sockets", id=1, binds=[[bind, 10]])
        gateway.configure(listeners=[{"bind": bind}])
        parcel = b64encode(pack(load(tmp_path / "config.yaml"))).decode()
        pids = gateway.workers().values()
        gateway.tell_supervisor(tell="commit", generation=9, binds=[bind], parcel=parcel)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        gateway.port = new
        gateway.workers()
        assert gateway.ask()["generation"] == 9
        until(lambda: _refused(old))


def _refused(port: int) -> bool:
    try:
        ask(port)
    except ConnectionRefusedError:
        return True
    except ConnectionError:  # it was in the queue
        return False
    return False
