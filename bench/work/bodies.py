"""A large body down and up through one connection: bytes per CPU second, and how much memory grows meanwhile.

The client is a blocking socket in this process and the origin streams; neither is measured. Each peer is started anew
for each direction, for memory that a first transfer took is not given back.
"""

from __future__ import annotations

import socket
import statistics
from collections.abc import Callable

from bench.cpu import cpu_seconds, resident_bytes
from bench.effort import Effort
from bench.peers import Peer, Running, running
from bench.processes import say
from bench.stage import MIB, Stage
from bench.table import Bar, Row, judge

_PIECE = 256 * 1024
_LOOK_EVERY = 32 * MIB  # bytes between two looks at the peer's memory
_SECONDS = 60.0  # for one transfer
SPEED = Bar(0.5, 0.8, per_nginx=True, at_least=True)
GROWTH = Bar(32, 32, unit="MiB")

Look = Callable[[], None]


def bodies(stage: Stage, peers: list[Peer], effort: Effort) -> list[Row]:
    """Down, then up."""
    return _direction("down", receive, stage, peers, effort) + _direction("up", send, stage, peers, effort)


def _direction(
    name: str, move: Callable[[socket.socket, int, Look], None], stage: Stage, peers: list[Peer], effort: Effort
) -> list[Row]:
    speeds, growths = [], []
    for peer in peers:
        with running([peer], stage) as field:
            rates, growth = [], 0.0
            for number in range(min(effort.rounds, 2)):
                rate, grown = _transfer(field[0], move, effort.stream_bytes)
                rates.append(rate)
                growth = grown if number == 0 else growth
        say(f"body {name}: {peer.name} {rates[-1] / MIB:.0f} MiB per CPU second, grew {growth / MIB:.1f} MiB")
        speeds.append(Row(f"body {name}", peer.name, statistics.median(rates) / MIB, "MiB/CPU second"))
        growths.append(Row(f"growth {name}", peer.name, growth / MIB, "MiB resident"))
    return judge(speeds, SPEED) + judge(growths, GROWTH)


def _transfer(peer: Running, move: Callable[[socket.socket, int, Look], None], size: int) -> tuple[float, float]:
    """Bytes per CPU second, and bytes of growth, of one transfer."""
    # A small transfer first, so that what is allocated once per process is not called growth.
    with _connected(peer) as warm:
        exchange_small(warm)
    peak = at_rest = resident_bytes(peer.pid)

    def look() -> None:
        nonlocal peak
        peak = max(peak, resident_bytes(peer.pid))

    before = cpu_seconds(peer.pid)
    with _connected(peer) as client:
        move(client, size, look)
    return size / max(cpu_seconds(peer.pid) - before, 0.01), peak - at_rest


def _connected(peer: Running) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", peer.ports.plain), timeout=_SECONDS)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def exchange_small(client: socket.socket) -> None:
    """One small request and its answer's head."""
    client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    read_head(client)


def read_head(client: socket.socket) -> tuple[bytes, bytes]:
    """The head of an answer, and what came after it in the same read."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = client.recv(65536)
        if not piece:
            raise SystemExit(f"the connection ended within a head: {received[:200]!r}")
        received += piece
    head, _, rest = received.partition(b"\r\n\r\n")
    return head, rest


def receive(client: socket.socket, size: int, look: Look) -> None:
    """Takes `size` bytes of body."""
    client.sendall(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
    head, rest = read_head(client)
    if b" 200 " not in head[:16]:
        raise SystemExit(f"a stream was refused: {head[:200]!r}")
    got, seen = len(rest), 0
    room = bytearray(_PIECE)
    while got < size:
        count = client.recv_into(room)
        if not count:
            raise SystemExit(f"the body ended after {got} of {size} bytes")
        got += count
        if got - seen >= _LOOK_EVERY:
            seen = got
            look()


def send(client: socket.socket, size: int, look: Look) -> None:
    """Sends `size` bytes of body and reads the origin's count of them."""
    client.sendall(b"PUT /stream HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % size)
    piece = bytes(_PIECE)
    for sent in range(0, size, _PIECE):
        client.sendall(piece)
        if sent % _LOOK_EVERY == 0:
            look()
    head, rest = read_head(client)
    if b" 200 " not in head[:16]:
        raise SystemExit(f"an upload was refused: {head[:200]!r}")
    while b"\n" not in rest:
        rest += client.recv(65536)
    if b"%d" % size not in rest:
        raise SystemExit(f"the origin received {rest[:60]!r} bytes of {size}")
