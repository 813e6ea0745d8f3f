"""Ten thousand keep-alive connections that wait: resident memory for each, plain and over TLS.

Every connection has made one proxied request before it rests. Clients come from many addresses of 127.0.0.0/8, for a
gateway bounds the connections of one. Over TLS the client's own state is dropped after the exchange; its socket stays.
"""

from __future__ import annotations

import socket
import ssl
import time

from bench.cpu import resident_bytes
from bench.effort import Effort
from bench.peers import Peer, Running, running
from bench.processes import raise_descriptors, say
from bench.stage import Stage
from bench.table import Bar, Row, judge
from bench.work.bodies import read_head

_SPARE = 200  # descriptors for everything that is not one of the connections
_PER_ADDRESS = 50
_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: idle\r\nAccept: */*\r\n\r\n"
PLAIN = Bar(12, 6, unit="KiB")
SECURE = Bar(60, 40, unit="KiB")


def idle(stage: Stage, peers: list[Peer], effort: Effort) -> list[Row]:
    """Plain, then TLS."""
    count = min(effort.idle_connections, raise_descriptors() // 2 - _SPARE)
    rows: list[Row] = []
    for secure, bar in ((False, PLAIN), (True, SECURE)):
        work = "idle tls" if secure else "idle"
        measured = []
        for peer in peers:
            with running([peer], stage) as field:
                kib, failed = _rest(field[0], count, secure=secure)
            say(f"{work}: {peer.name} {kib:.1f} KiB each")
            note = f"{count:,} connections" + (f", {failed} did not stay" if failed else "")
            measured.append(Row(work, peer.name, kib, "KiB/connection", note=note))
        judged = judge(measured, bar)
        rows += [row._replace(passed=False) if row.passed and "not stay" in row.note else row for row in judged]
    return rows


def _rest(peer: Running, count: int, *, secure: bool) -> tuple[float, int]:
    """KiB of resident memory per connection, and how many of them did not live."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    resting: list[socket.socket] = []
    try:
        for number in range(20):  # what is allocated once per process
            _one(peer, number, context if secure else None).close()
        before = resident_bytes(peer.pid)
        resting += [_one(peer, number, context if secure else None) for number in range(count)]
        time.sleep(0.3)  # lets the last answers be accounted for
        grown = resident_bytes(peer.pid) - before
        failed = sum(1 for client in resting if _is_closed(client))
        return grown / count / 1024, failed
    finally:
        for client in resting:
            client.close()


def _one(peer: Running, number: int, context: ssl.SSLContext | None) -> socket.socket:
    """A connection that has made one exchange."""
    block, last = divmod(number // _PER_ADDRESS, 250)
    source = (f"127.{1 + block}.{last}.1", 0)
    port = peer.ports.plain if context is None else peer.ports.tls
    client = socket.create_connection(("127.0.0.1", port), timeout=10, source_address=source)
    if context is None:
        client.sendall(_REQUEST)
        read_head(client)
        return client
    wrapped = context.wrap_socket(client, server_hostname="localhost")
    wrapped.sendall(_REQUEST)
    read_head(wrapped)
    return socket.socket(fileno=wrapped.detach())


def _is_closed(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        while piece := client.recv(65536):
            del piece  # the rest of the answer's body
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
