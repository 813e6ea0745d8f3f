"""open_socket and open_sibling: what is opened, and what is refused."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from gateway.server.listener import open_sibling, open_socket
from gateway.server.settings import Bind, parse_bind
from tests.kit.process import free_port

REAL_SOCKET = socket.socket


def has_ipv6() -> bool:
    try:
        open_socket(Bind("::1", 0), 1).close()
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="sysctl -w net.ipv6.conf.all.disable_ipv6=0")


@pytest.fixture
def unix(tmp_path: Path) -> Bind:
    return Bind("", 0, str(tmp_path / "g.sock"))


def test_a_tcp_socket() -> None:
    """Listens, does not block, and its port can be bound again at once after a restart."""
    with closing(open_socket(parse_bind("127.0.0.1:0"), 5)) as opened:
        assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
        assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 1
        assert not opened.getblocking()
        with socket.create_connection(opened.getsockname()):
            pass


def test_a_busy_port() -> None:
    """Is an OSError, and no descriptor is left behind."""
    with closing(open_socket(parse_bind("127.0.0.1:0"), 5)) as opened, pytest.raises(OSError, match="in use"):
        open_socket(Bind("127.0.0.1", opened.getsockname()[1]), 5)


@needs_ipv6
def test_a_dual_stack_socket() -> None:
    """`[::]` and no host at all take clients of both families."""
    for text in ("[::]:0", ":0"):
        with closing(open_socket(parse_bind(text), 5)) as opened:
            port = opened.getsockname()[1]
            assert opened.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 0
            for host in ("127.0.0.1", "::1"):
                with socket.create_connection((host, port)):
                    pass


@needs_ipv6
def test_an_ipv6_address_of_its_own() -> None:
    """Any other IPv6 address is that address only, so that the IPv4 port stays free for another listener."""
    port = free_port()  # one that no other connection of this machine has by chance
    with closing(open_socket(Bind("::1", port), 5)) as opened:
        assert opened.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
        with closing(open_socket(Bind("127.0.0.1", port), 5)):
            pass


def without_ipv6(family: int, *arguments: int) -> socket.socket:
    """socket.socket on a kernel that was built, or started, without IPv6."""
    if family == socket.AF_INET6:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
    return REAL_SOCKET(family, *arguments)


@pytest.mark.parametrize("text", [":0", "[::]:0"])
def test_every_address_of_a_machine_without_ipv6(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is every IPv4 address: the gateway starts."""
    monkeypatch.setattr(socket, "socket", without_ipv6)
    with closing(open_socket(parse_bind(text), 5)) as opened:
        assert opened.family == socket.AF_INET
        assert opened.getsockname()[0] == "0.0.0.0"


def test_a_busy_port_is_not_taken_on_ipv4_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what the machine does not have is passed over."""

    def busy(family: int, *_arguments: int) -> socket.socket:
        raise OSError(errno.EADDRINUSE, "Address already in use")

    monkeypatch.setattr(socket, "socket", busy)
    with pytest.raises(OSError, match="in use"):
        open_socket(parse_bind(":0"), 5)


def test_an_ipv6_address_needs_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else is served in the place of an address that was named."""
    monkeypatch.setattr(socket, "socket", without_ipv6)
    with pytest.raises(OSError, match="not supported"):
        open_socket(parse_bind("[::1]:0"), 5)


def test_a_name_is_the_first_address_that_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """`localhost` in /etc/hosts is often ::1 first."""
    rows = [(socket.AF_INET6, 1, 6, "", ("::1", 0, 0, 0)), (socket.AF_INET, 1, 6, "", ("127.0.0.1", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_flags: rows)
    monkeypatch.setattr(socket, "socket", without_ipv6)
    with closing(open_socket(parse_bind("localhost:0"), 5)) as opened:
        assert opened.getsockname()[0] == "127.0.0.1"


def test_a_unix_socket_is_for_its_group(unix: Bind) -> None:
    """Owner and group may connect, nobody else."""
    with closing(open_socket(unix, 5)):
        assert Path(unix.path).stat().st_mode & 0o777 == 0o660


def test_a_stale_unix_socket(unix: Bind) -> None:
    """What a dead process left behind is replaced."""
    open_socket(unix, 5).close()
    assert Path(unix.path).is_socket()
    with closing(open_socket(unix, 5)), socket.socket(socket.AF_UNIX) as client:
        client.connect(unix.path)


def test_a_unix_socket_in_use(unix: Bind) -> None:
    """A living process keeps its socket, even while its queue is full and a connect would wait."""
    with closing(open_socket(unix, 0)), ExitStack() as clients:
        for _ in range(3):
            client = clients.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            with suppress(BlockingIOError):
                client.connect(unix.path)
            with pytest.raises(OSError, match="in use"):
                open_socket(unix, 5)
        assert Path(unix.path).is_socket()


def test_a_file_that_is_no_socket(unix: Bind) -> None:
    """Is never deleted, whatever its name."""
    Path(unix.path).write_text("precious")
    with pytest.raises(OSError, match="in use"):
        open_socket(unix, 5)
    assert Path(unix.path).read_text() == "precious"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """Is an OSError, too."""
    with pytest.raises(FileNotFoundError):
        open_socket(Bind("", 0, str(tmp_path / "no" / "g.sock")), 5)


# Siblings


def test_siblings() -> None:
    """Listen at one address, where every other process is refused, one that would share it too."""
    with closing(open_socket(parse_bind("127.0.0.1:0"), 5, siblings=True)) as first:
        port = first.getsockname()[1]
        with closing(open_sibling(first, 5)) as second, closing(open_sibling(second, 5)):
            assert second.getsockname() == first.getsockname()
            assert not second.getblocking()
        for siblings in (False, True):
            with pytest.raises(OSError, match="in use"):
                open_socket(Bind("127.0.0.1", port), 5, siblings=siblings)


@needs_ipv6
def test_siblings_of_every_address() -> None:
    """Take clients of both families, as the first one does."""
    with (
        closing(open_socket(parse_bind("[::]:0"), 5, siblings=True)) as first,
        closing(open_sibling(first, 5)) as second,
    ):
        assert second.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 0
        port = first.getsockname()[1]
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port)).close()


def test_no_siblings() -> None:
    """Are let in beside a socket that was opened without any in mind; the one that was refused is closed."""
    with closing(open_socket(parse_bind("127.0.0.1:0"), 5)) as first, pytest.raises(OSError, match="in use"):
        open_sibling(first, 5)
