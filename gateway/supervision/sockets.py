"""Sockets: every listening socket of the gateway, held by the supervisor for whoever serves it.

Opened before anything is forked, handed to workers by share, kept across their deaths and across an upgrade, so that a
connection in the kernel's queue survives whoever was to accept it. The rule: a TCP listener has one socket for each
share (the kernel spreads connections evenly over them), anything else one that all workers accept from.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gateway.server.listener import open_sibling, open_socket
from gateway.server.settings import Bind, parse_bind

PATIENCE = 1.0  # seconds for workers whose supervisor was killed to let go of an address
_TRY_AGAIN = 0.02


class Listening(NamedTuple):
    """One listener's sockets. `shared`: the only one is everybody's. `owned`: a Unix socket whose path we remove."""

    sockets: list[socket.socket]
    shared: bool
    owned: bool = False


class Sockets:
    """Of one kind of process: `shares` of them. `given` are sockets that the process was started with."""

    __slots__ = ("_given", "_listening", "_shares")

    def __init__(self, shares: int, given: list[socket.socket] | None = None) -> None:
        self._shares = shares
        self._given = given if given is not None else []
        self._listening: dict[str, Listening] = {}

    @property
    def names(self) -> list[str]:
        return list(self._listening)

    @property
    def shares(self) -> int:
        """More than there are workers where there were more before an upgrade."""
        return max([self._shares, *(len(one.sockets) for one in self._listening.values())])

    def open(self, binds: Iterable[tuple[Bind, int]], patience: float = 0.0) -> None:
        """Opens (address, backlog) as far as they are not open. Raises OSError, `filename` being the address, with
        nothing more open than before. `patience`: seconds for another gateway to let go of one."""
        fresh: list[str] = []
        try:
            for bind, backlog in binds:
                name = str(bind)
                if name not in self._listening:
                    self._listening[name] = self._open(bind, backlog, patience)
                    fresh.append(name)
                else:
                    self._fill_up(name, backlog)
        except OSError as error:
            for name in fresh:
                self._drop(name)
            raise OSError(error.errno, error.strerror, str(bind)) from error

    def keep(self, names: Iterable[str]) -> None:
        """Closes the listeners that are not named."""
        wanted = set(names)
        for name in self.names:
            if name not in wanted:
                self._drop(name)

    def of_listener(self, name: str) -> list[socket.socket]:
        """All sockets of one listener, in the order of the shares. Raises KeyError."""
        return self._listening[name].sockets

    def of(self, share: int) -> dict[str, list[socket.socket]]:
        """What a worker accepts from, by listener."""
        return {name: one.sockets if one.shared else one.sockets[share : share + 1] for name, one in self._items()}

    def of_share_alone(self, share: int) -> dict[str, socket.socket]:
        """What nobody else accepts from, by listener."""
        return {name: one.sockets[share] for name, one in self._items() if not one.shared and share < len(one.sockets)}

    def __iter__(self) -> Iterator[socket.socket]:
        return (opened for _name, one in self._items() for opened in one.sockets)

    def leftover(self) -> list[str]:
        """Addresses of given sockets that no listener wanted; they are closed."""
        left = [_spelled(one) for one in self._given]
        for one in self._given:
            one.close()
        self._given.clear()
        return left

    def close(self) -> None:
        """The end of the gateway: closes all of them and removes the paths of Unix sockets."""
        self.keep(())

    # -- across an upgrade --------------------------------------------------------------------------------------------

    def described(self) -> dict[str, Any]:
        """Descriptors and all, for another image of this process."""
        return {
            name: [[opened.fileno() for opened in one.sockets], one.shared, one.owned] for name, one in self._items()
        }

    def take_over(self, described: dict[str, Any]) -> None:
        """What `described` gave in the image before this one."""
        for name, (fds, shared, owned) in described.items():
            self._listening[name] = Listening([_from_fd(fd) for fd in fds], shared, owned)

    # -- opening ------------------------------------------------------------------------------------------------------

    def _items(self) -> Iterable[tuple[str, Listening]]:
        return self._listening.items()

    def _open(self, bind: Bind, backlog: int, patience: float) -> Listening:
        given = self._take_given(bind)
        if given is not None:
            return Listening([given], shared=True)
        first = _open_first(bind, backlog, patience)
        if bind.path:
            return Listening([first], shared=True, owned=True)
        listening = Listening([first], shared=False)
        try:
            listening.sockets.extend(open_sibling(first, backlog) for _ in range(1, self._shares))
        except OSError:
            _close(listening.sockets)
            raise
        return listening

    def _fill_up(self, name: str, backlog: int) -> None:
        """After an upgrade to more workers than before."""
        one = self._listening[name]
        while not one.shared and len(one.sockets) < self._shares:
            one.sockets.append(open_sibling(one.sockets[0], backlog))

    def _drop(self, name: str) -> None:
        one = self._listening.pop(name)
        if one.owned:
            with contextlib.suppress(OSError):
                Path(parse_bind(name).path).unlink()
        _close(one.sockets)

    def _take_given(self, bind: Bind) -> socket.socket | None:
        for one in self._given:
            if _listens_at(one, bind):
                self._given.remove(one)
                return one
        return None


def _open_first(bind: Bind, backlog: int, patience: float) -> socket.socket:
    end = time.monotonic() + patience
    while True:
        try:
            return open_socket(bind, backlog, siblings=True)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() >= end or not _held_by_a_gateway(bind):
                raise
        time.sleep(_TRY_AGAIN)


def _held_by_a_gateway(bind: Bind) -> bool:
    """Whether it may be workers of a killed supervisor, who are about to let go; Unix sockets do not tell."""
    if bind.path:
        return True
    family = socket.AF_INET6 if ":" in bind.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            probe.bind((bind.host, bind.port))
        except OSError:
            return False
        return True


def _listens_at(one: socket.socket, bind: Bind) -> bool:
    if one.family == socket.AF_UNIX:
        return bool(bind.path) and one.getsockname() == bind.path
    if bind.path:
        return False
    try:
        found = socket.getaddrinfo(bind.host, bind.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        return False
    wanted = {(family, address[:2]) for family, _kind, _protocol, _name, address in found}
    if bind.host == "::":  # as open_socket does without IPv6
        wanted.add((socket.AF_INET, ("0.0.0.0", bind.port)))
    return (one.family, one.getsockname()[:2]) in wanted


def _spelled(one: socket.socket) -> str:
    address = one.getsockname()
    if one.family == socket.AF_UNIX:
        return f"unix:{address}"
    return str(Bind(*address[:2])) if isinstance(address, tuple) else str(address)


def _from_fd(fd: int) -> socket.socket:
    os.set_inheritable(fd, False)
    return socket.socket(fileno=fd)


def _close(sockets: Sequence[socket.socket]) -> None:
    for one in sockets:
        one.close()
