"""NOTIFY_SOCKET and LISTEN_FDS, without systemd."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.supervision.systemd import Notifier, given_sockets
from tests.kit.process import ROOT


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "notify"))
        made.settimeout(10)
        yield made


def test_what_is_said(receiver: socket.socket) -> None:
    """One variable a line; a line break in a status would forge another."""
    notifier = Notifier({"NOTIFY_SOCKET": receiver.getsockname()})
    notifier.ready("all\nSTOPPING=1")
    assert receiver.recv(999) == b"READY=1\nSTATUS=all STOPPING=1"
    notifier.reloading("soon")
    ready, monotonic, status = receiver.recv(999).split(b"\n")
    assert (ready, status) == (b"RELOADING=1", b"STATUS=soon")
    assert monotonic.startswith(b"MONOTONIC_USEC=")
    assert int(monotonic.partition(b"=")[2]) > 0
    notifier.stopping("draining")
    assert receiver.recv(999) == b"STOPPING=1\nSTATUS=draining"
    notifier.status("busy")
    assert receiver.recv(999) == b"STATUS=busy"
    notifier.alive()
    assert receiver.recv(999) == b"WATCHDOG=1"


def test_an_abstract_address() -> None:
    """Is written with an @."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(f"\0gateway-test-{os.getpid()}")
        made.settimeout(10)
        Notifier({"NOTIFY_SOCKET": f"@gateway-test-{os.getpid()}"}).alive()
        assert made.recv(99) == b"WATCHDOG=1"


def test_nobody_listens(tmp_path: Path) -> None:
    """Nothing is sent, and nothing fails."""
    Notifier({}).ready("x")
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nothing")}).ready("x")


def test_a_full_queue(receiver: socket.socket) -> None:
    """Is not waited for."""
    notifier = Notifier({"NOTIFY_SOCKET": receiver.getsockname()})
    for _ in range(10_000):
        notifier.alive()


@pytest.mark.parametrize(
    ("environment", "interval"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "10000000"}, 5.0),
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": str(os.getpid())}, 5.0),
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog(environment: dict[str, str], interval: float | None) -> None:
    """Is fed at half of its limit, if it is meant for this process."""
    assert Notifier(environment).interval == interval


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_PID": "1", "LISTEN_FDS": "1"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "none"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "0", "LISTEN_FDNAMES": "a", "LISTEN_PIDFDID": "7"},
    ],
)
def test_no_sockets(environment: dict[str, str]) -> None:
    """Are taken where none were meant for this process; the variables go all the same."""
    assert given_sockets(environment) == []
    assert environment == {}


PROGRAM = """
import os, socket, sys
tcp, udp, stream = socket.create_server(("127.0.0.1", 0)), socket.socket(type=socket.SOCK_DGRAM), socket.socket()
file = os.memfd_create("x")
for at, fd in enumerate([tcp.fileno(), udp.fileno(), stream.fileno(), file]):
    os.dup2(fd, 50 + at)
for at in range(4):
    os.dup2(50 + at, 3 + at, inheritable=True)
from gateway.supervision.systemd import given_sockets
environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "4"}
found = given_sockets(environment)
print([one.fileno() for one in found], found[0].getblocking(), os.get_inheritable(3))
"""


def test_listening_stream_sockets() -> None:
    """Are taken; what else was passed is not. They do not block, and no child inherits them by exec."""
    said = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    assert said.stdout == "[3] False False\n"
