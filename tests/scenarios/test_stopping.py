"""How the processes stop: notice, drain, haste, and the exit code; and what systemd is told meanwhile."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kit.process import free_port, until
from tests.kit.supervised import Supervised, ask

pytestmark = pytest.mark.e2e

CUT_SHORT = 4


def test_a_drain(tmp_path: Path) -> None:
    """TERM: control becomes unready, the workers are told their times, control ends last; exit code 0."""
    with Supervised(tmp_path, shutdown={"drain": "7s", "stream_drain": "8s"}) as gateway:
        gateway.signal(signal.SIGTERM)
        gateway.ended()
        told = gateway.event(who="worker", got="drain")["body"]
        assert told == {"tell": "drain", "seconds": 7.0, "streams": 8.0}
        control = [event for event in map(json.loads, gateway.events) if event["who"] == "control"]
        assert [event["got"] for event in control] == ["start", "drain", "gone", "gone", "quit"]


def test_notice_before_the_drain(tmp_path: Path) -> None:
    """With `pre_stop` it is unready at once, and serves on for as long."""
    with Supervised(tmp_path, shutdown={"pre_stop": "700ms"}) as gateway:
        began = time.monotonic()
        gateway.signal(signal.SIGTERM)
        gateway.event(who="control", got="drain")
        assert gateway.ask()["share"] in {0, 1}
        gateway.event(who="worker", got="drain")
        assert time.monotonic() - began >= 0.7


def test_a_worker_that_dies_during_the_notice(tmp_path: Path) -> None:
    """Has a successor: until the drain all is as before."""
    with Supervised(tmp_path, workers=1, shutdown={"pre_stop": "1s"}) as gateway:
        pid = gateway.ask()["pid"]
        gateway.signal(signal.SIGTERM)
        gateway.event(who="control", got="drain")
        os.kill(pid, signal.SIGKILL)
        assert gateway.ask()["pid"] != pid


def test_a_quick_stop(tmp_path: Path) -> None:
    """INT: no notice, and one second for what is under way."""
    with Supervised(tmp_path, shutdown={"pre_stop": "20s"}) as gateway:
        gateway.signal(signal.SIGINT)
        gateway.ended()
        assert gateway.event(who="worker", got="drain")["body"] == {"tell": "drain", "seconds": 1.0, "streams": 1.0}


def test_the_second_signal(tmp_path: Path) -> None:
    """Cuts what is open: exit code 4."""
    with Supervised(tmp_path) as gateway:
        gateway.behave(hang=True)
        gateway.code = CUT_SHORT
        gateway.signal(signal.SIGTERM)
        gateway.event(who="worker", share=0, got="drain")
        gateway.event(who="worker", share=1, got="drain")
        later = time.monotonic() + 0.4
        until(lambda: time.monotonic() > later)  # at once it would be the same wish, told twice
        gateway.signal(signal.SIGTERM)
        gateway.event(who="worker", share=0, got="quit")


def test_the_same_signal_twice_at_once(tmp_path: Path) -> None:
    """As `timeout` and some terminals send it: is one wish, and the drain stays a drain."""
    with Supervised(tmp_path, shutdown={"pre_stop": "600ms"}) as gateway:
        gateway.signal(signal.SIGTERM)
        gateway.event(who="control", got="drain")
        gateway.signal(signal.SIGTERM)
        gateway.ended()


def test_workers_that_do_not_end(tmp_path: Path) -> None:
    """Are killed a moment after their drain time, the control process too: exit code 4."""
    with Supervised(tmp_path, shutdown={"drain": "100ms", "stream_drain": "200ms"}) as gateway:
        gateway.behave(hang=True)
        gateway.code = CUT_SHORT
        gateway.signal(signal.SIGTERM)
        assert "does not end and is killed" in gateway.ended(CUT_SHORT)


def test_another_gateway_may_listen_while_this_one_drains(tmp_path: Path) -> None:
    """The address is free as soon as the drain begins."""
    with Supervised(tmp_path) as gateway:
        gateway.behave(hang=True)
        gateway.code = CUT_SHORT
        gateway.signal(signal.SIGTERM)
        gateway.event(who="worker", share=0, got="drain")
        gateway.event(who="worker", share=1, got="drain")
        other = tmp_path / "other"
        other.mkdir()
        with Supervised(other, listeners=gateway.config["listeners"]) as successor:
            assert ask(gateway.port)["parent"] == successor.pid
        later = time.monotonic() + 0.4
        until(lambda: time.monotonic() > later)
        gateway.signal(signal.SIGTERM)


def test_unix_sockets_are_removed(tmp_path: Path) -> None:
    """Their paths go with the gateway."""
    path = tmp_path / "g.sock"
    gateway = Supervised(tmp_path)
    gateway.configure(listeners=[{"bind": f"unix:{path}"}, *gateway.config["listeners"]])
    with gateway:
        assert path.is_socket()
    assert not path.exists()


# -- systemd


@contextmanager
def notifications(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(path))
        receiver.settimeout(20)
        yield receiver


def until_told(receiver: socket.socket, words: str) -> str:
    while True:
        told = receiver.recv(4096).decode()
        if words in told.split("\n"):
            return told


def test_systemd_is_told(tmp_path: Path) -> None:
    """READY, RELOADING with its time, READY again, WATCHDOG, STOPPING."""
    with notifications(tmp_path / "notify") as receiver:
        gateway = Supervised(tmp_path)
        gateway.start(environ={"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"})
        with gateway.begun():
            assert "STATUS=serving with 2 workers, configuration 1" in until_told(receiver, "READY=1")
            gateway.signal(signal.SIGHUP)
            assert "MONOTONIC_USEC=" in until_told(receiver, "RELOADING=1")
            gateway.tell_supervisor(tell="reloaded", ok=True)
            until_told(receiver, "READY=1")
            until_told(receiver, "WATCHDOG=1")
            gateway.signal(signal.SIGTERM)
            until_told(receiver, "STOPPING=1")


STARTER = """
import os, socket, sys
given = []
for at, (family, address) in enumerate(eval(sys.argv[1])):
    one = socket.socket(family)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind(address)
    one.listen(100)
    given.append(one)
for at, one in enumerate(given):
    os.dup2(one.fileno(), 100 + at)
for at, one in enumerate(given):
    os.dup2(100 + at, 3 + at)
    os.set_inheritable(3 + at, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(given)))
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_sockets_from_systemd(tmp_path: Path) -> None:
    """Are matched to listeners by their address and shared by all workers; one that no listener wants is told."""
    gateway = Supervised(tmp_path)
    stray, path = free_port(), tmp_path / "g.sock"
    gateway.configure(listeners=[*gateway.config["listeners"], {"bind": f"unix:{path}"}])
    addresses = [
        (int(socket.AF_INET), ("127.0.0.1", gateway.port)),
        (int(socket.AF_INET), ("127.0.0.1", stray)),
        (int(socket.AF_UNIX), str(path)),
        (int(socket.AF_INET), ("127.0.0.1", gateway.admin)),
    ]
    gateway.start(sys.executable, "-c", STARTER, repr(addresses))
    with gateway.begun():
        assert gateway.ask()["share"] in {0, 1}
        assert f"127.0.0.1:{stray}" in gateway.logged("that no listener names")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200")
        assert gateway.tell_supervisor(tell="nothing") is None  # the admin listener is served too
    assert path.exists()  # it is systemd's
