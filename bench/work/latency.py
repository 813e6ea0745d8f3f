"""How long a request takes at a modest rate: median, 99th and 99.9th percentile, beside the peers.

wrk sends the next request when the last was answered, so a proxy that stalls is asked less meanwhile and its stall is
counted once. Here requests are due at fixed times, whatever has become of those before, and each is counted from when
it was due. The generator shares a core with the origin: its own delays are in every figure, the same for all.
"""

from __future__ import annotations

import gc
import select
import socket
import statistics
import time
from collections import deque

from bench.effort import Effort
from bench.load import BROWSER, CONNECTIONS
from bench.peers import Peer, Ports, Running, running
from bench.processes import say
from bench.stage import Stage
from bench.table import Row, judge

RATE = 2_000  # requests a second: a tenth of what one core can do
_DIRECT = "no proxy"  # the origin alone, which is what of a figure is not the proxy's
_BODY = 1024  # bytes of every answer
_PATIENCE = 5.0  # seconds of silence after which a peer has failed
_FIELDS = "".join(f"{name}: {value}\r\n" for name, value in BROWSER.items())
_REQUEST = f"GET / HTTP/1.1\r\nHost: localhost\r\n{_FIELDS}\r\n".encode()


def latency(stage: Stage, peers: list[Peer], effort: Effort) -> list[Row]:
    """Rounds in turn; the figures are medians of the rounds' percentiles."""
    with running(peers, stage) as started:
        field = [Running(_DIRECT, 0, Ports(stage.origin_port, 0)), *started]
        found: dict[str, list[list[float]]] = {peer.name: [] for peer in field}
        for peer in field:
            paced(peer, RATE, 1.0)
        for number in range(effort.rounds):
            for peer in field:
                times = paced(peer, RATE, effort.seconds)
                found[peer.name].append([_percentile(times, share) for share in (0.5, 0.99, 0.999)])
                middle, high, highest = (f"{value * 1e6:.0f}" for value in found[peer.name][-1])
                say(f"latency round {number + 1}: {peer.name} p50 {middle}, p99 {high}, p99.9 {highest} us")
    rows: list[Row] = []
    for at, name in enumerate(("p50", "p99", "p99.9")):
        row = [
            Row(f"latency {name}", peer, statistics.median(one[at] for one in rounds) * 1e6, "us", note=f"{RATE:,}/s")
            for peer, rounds in found.items()
        ]
        rows += judge(row, None)
    return rows


def _percentile(times: list[float], share: float) -> float:
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


def paced(peer: Running, rate: int, seconds: float) -> list[float]:
    """Seconds that each of `rate` requests a second took, from when it was due to the last byte of its answer."""
    idle = deque(_connected(peer.ports.plain) for _ in range(CONNECTIONS))
    clients = list(idle)
    gc.disable()
    try:
        return _exchange(idle, rate, round(rate * seconds))
    finally:
        gc.enable()
        for client in clients:
            client.close()


def _connected(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def _exchange(idle: deque[socket.socket], rate: int, total: int) -> list[float]:
    took: list[float] = []
    due: dict[socket.socket, float] = {}
    got: dict[socket.socket, bytes] = {}
    clock, begun, sent = time.perf_counter, time.perf_counter(), 0
    while len(took) < total:
        now = clock()
        while sent < total and idle and begun + sent / rate <= now:
            client = idle.popleft()
            due[client], got[client] = begun + sent / rate, b""
            client.sendall(_REQUEST)
            sent += 1
        next_due = begun + sent / rate - clock() if sent < total and idle else _PATIENCE
        ready = select.select(due, [], [], max(0.0, next_due))[0]
        if not ready and next_due == _PATIENCE:
            raise SystemExit(f"no answer within {_PATIENCE:g} s")
        for client in ready:
            piece = client.recv(65536)
            if not piece:
                raise SystemExit("a connection was closed")
            got[client] += piece
            head_end = got[client].find(b"\r\n\r\n")
            if head_end >= 0 and len(got[client]) - head_end - 4 >= _BODY:
                took.append(clock() - due.pop(client))
                idle.append(client)
    return took
