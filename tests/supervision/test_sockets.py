"""Sockets: one for each share, held whatever happens to those who serve them."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.server.settings import Bind, parse_bind
from gateway.supervision.sockets import Sockets

LOOPBACK = Bind("127.0.0.1", 0)


@contextmanager
def opened(shares: int, *binds: Bind, given: list[socket.socket] | None = None) -> Iterator[Sockets]:
    made = Sockets(shares, given)
    try:
        made.open((bind, 50) for bind in binds)
        yield made
    finally:
        made.close()


def port_of(sockets: Sockets) -> int:
    return int(next(iter(sockets)).getsockname()[1])


def accepted(one: socket.socket) -> int:
    """How many connections are in its queue."""
    count = 0
    while True:
        try:
            one.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


def test_a_listener_of_several_shares() -> None:
    """Has a socket for each at one address, and the kernel spreads connections evenly over them."""
    with opened(2, LOOPBACK) as sockets:
        address = ("127.0.0.1", port_of(sockets))
        assert [one.getsockname() for one in sockets] == [address] * 2
        clients = [socket.create_connection(address) for _ in range(40)]
        first, second = (accepted(sockets.of(share)["127.0.0.1:0"][0]) for share in (0, 1))
        for client in clients:
            client.close()
    assert first + second == 40
    assert 5 < first < 35


def test_a_unix_listener(tmp_path: Path) -> None:
    """Has one, which all share; its path goes with it."""
    path = tmp_path / "g.sock"
    name = f"unix:{path}"
    with opened(3, parse_bind(name)) as sockets:
        assert sockets.of(0)[name] == sockets.of(2)[name]
        assert sockets.of_share_alone(0) == {}
        assert path.is_socket()
    assert not path.exists()


def test_an_address_that_is_taken() -> None:
    """Is an error with the address in it, and what was opened before it is closed again."""
    with opened(2, LOOPBACK) as other:
        taken = Bind("127.0.0.1", port_of(other))
        mine = Sockets(2)
        with pytest.raises(OSError, match="in use") as caught:
            mine.open([(LOOPBACK, 10), (taken, 10)])
        assert caught.value.filename == str(taken)
        assert mine.names == []


def test_another_gateway_that_is_about_to_go() -> None:
    """Is waited for; one that stays is an error."""
    with opened(1, LOOPBACK) as other:
        taken = Bind("127.0.0.1", port_of(other))
        mine = Sockets(1)
        with pytest.raises(OSError, match="in use"):
            mine.open([(taken, 10)], patience=0.05)
        leaving = threading.Timer(0.1, other.close)
        leaving.start()
        mine.open([(taken, 10)], patience=20)
        leaving.join()
        mine.close()


def test_a_program_that_is_no_gateway() -> None:
    """Is not waited for."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        mine = Sockets(1)
        with pytest.raises(OSError, match="in use"):
            mine.open([(Bind(*other.getsockname()), 10)], patience=1000)


def test_keeping_some() -> None:
    """The others are closed; what is open is not opened again."""
    with opened(1, LOOPBACK) as sockets:
        sockets.open([(Bind("127.0.0.1", 0, ""), 10), (Bind("localhost", 0), 10)])
        assert sockets.names == ["127.0.0.1:0", "localhost:0"]
        kept = sockets.of_listener("localhost:0")[0]
        sockets.keep(["localhost:0", "unheard of"])
        assert sockets.names == ["localhost:0"]
        assert kept.fileno() >= 0


@contextmanager
def given(*addresses: tuple[int, object]) -> Iterator[list[socket.socket]]:
    """Listening sockets as a socket unit would pass them."""
    made = []
    for family, address in addresses:
        one = socket.socket(family)
        one.bind(address)  # type: ignore[arg-type]
        one.listen()
        made.append(one)
    yield [*made]
    for one in made:
        one.close()


def test_given_sockets(tmp_path: Path) -> None:
    """Are matched by address and shared by all; what nobody wants is named and closed; a path is not ours to remove."""
    path = tmp_path / "g.sock"
    with given(
        (socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_UNIX, str(path)), (socket.AF_INET, ("127.0.0.1", 0))
    ) as passed:
        tcp, unix, stray = passed
        bind = Bind("localhost", tcp.getsockname()[1])
        with opened(2, bind, parse_bind(f"unix:{path}"), given=passed) as sockets:
            assert sockets.of(1)[str(bind)] == [tcp]
            assert sockets.of(0)[f"unix:{path}"] == [unix]
            assert sockets.of_share_alone(1) == {}
            stray_port = stray.getsockname()[1]
            assert sockets.leftover() == [f"127.0.0.1:{stray_port}"]
            assert stray.fileno() == -1
            assert sockets.leftover() == []
        assert path.exists()


def test_a_given_socket_of_every_address() -> None:
    """`[::]` takes the one of all IPv4 addresses too, as where there is no IPv6; a name that does not resolve, none."""
    with given((socket.AF_INET, ("0.0.0.0", 0))) as passed:
        port = passed[0].getsockname()[1]
        sockets = Sockets(1, passed)
        with pytest.raises(OSError, match=r"."):
            sockets.open([(Bind("no-such-host.invalid", port), 10)])
        sockets.open([(Bind("::", port), 10)])
        assert sockets.of(0)[f"[::]:{port}"][0].getsockname()[0] == "0.0.0.0"
        assert sockets.leftover() == []
        sockets.close()


def handed_over(sockets: Sockets, shares: int) -> Sockets:
    """The same in another image of the process: the descriptors are new ones, for both live in this one."""
    described = json.loads(json.dumps(sockets.described()))
    for one in described.values():
        one[0] = [os.dup(fd) for fd in one[0]]
    after = Sockets(shares)
    after.take_over(described)
    return after


@pytest.mark.parametrize("shares", [1, 2, 3])
def test_an_upgrade(shares: int, tmp_path: Path) -> None:
    """Keeps all sockets, with more or fewer workers; where there are more, each has one of its own."""
    unix = parse_bind(f"unix:{tmp_path / 'g.sock'}")
    with opened(2, LOOPBACK, unix) as sockets:
        after = handed_over(sockets, shares)
        after.open([(LOOPBACK, 10), (unix, 10)])
        assert after.shares == max(2, shares)
        assert {one.getsockname() for one in after.of_listener("127.0.0.1:0")} == {("127.0.0.1", port_of(sockets))}
        assert len(after.of_share_alone(shares - 1)) == 1
        assert not any(map(os.get_inheritable, (one.fileno() for one in after)))
        after.close()
        assert not Path(unix.path).exists()
