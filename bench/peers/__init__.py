"""The proxies of a run, each started with a configuration that does the same work.

The same work: an access log of JSON lines in a file with the same facts, a request id, eight response fields set, five
request fields set (Host as it came, X-Forwarded-For, -Proto and -Host, X-Request-ID), upstream connections kept alive;
`/` proxied to the small origin, `/stream` to the streaming one, `/denied` answered 403, `/moved` answered 308. Each has
one core and one worker. A peer that is not installed is left out, and the table says so.
"""

from __future__ import annotations

import http.client
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.processes import START_SECONDS, Started, StartFailed, free_port
from bench.stage import Stage

# What every peer adds to a response. The last is made per request: $request_id or its like.
RESPONSE_FIELDS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Cross-Origin-Opener-Policy": "same-origin-allow-popups",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Strict-Transport-Security": "max-age=31536000",
    "X-Permitted-Cross-Domain-Policies": "none",
}
DENIAL = "Forbidden: this page is not for you.\n"


class Ports(NamedTuple):
    """Where a peer listens on 127.0.0.1."""

    plain: int
    tls: int


class Peer(NamedTuple):
    """A proxy that can be started: its name in the table and how."""

    name: str
    version: str
    start: Callable[[Stage, Ports], Started]
    path: str = "/"  # answered with 200 once it is ready


class Running(NamedTuple):
    """A started peer."""

    name: str
    pid: int
    ports: Ports


def find_program(name: str) -> str | None:
    """Path of `name`: beside the interpreter, where wheels put theirs, on PATH, or where Debian puts servers."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name) or shutil.which(name, path="/usr/sbin")


def make_folder(stage: Stage, name: str) -> Path:
    """A folder of its own for each start of a peer, for its configuration, log and output."""
    return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=stage.folder))


@contextmanager
def running(peers: list[Peer], stage: Stage) -> Iterator[list[Running]]:
    """All of `peers`, started and listening; ended when the block is left."""
    with ExitStack() as stack:
        field = []
        for peer in peers:
            ports = Ports(free_port(), free_port())
            started = stack.enter_context(peer.start(stage, ports))
            started.wait_for(*ports)
            _wait_ready(started, ports.plain, peer.path)
            field.append(Running(peer.name, started.pid, ports))
        yield field


def answers(port: int, path: str) -> bool:
    """Whether a GET of `path` on 127.0.0.1:`port` brings a 200."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        client.request("GET", path)
        return client.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        client.close()


def _wait_ready(started: Started, port: int, path: str) -> None:
    """Some listen before they know their routes."""
    until = time.monotonic() + START_SECONDS
    while not answers(port, path):
        if time.monotonic() > until:
            raise StartFailed(f"{started.name} does not answer {path}:\n{started.tail()}")
        time.sleep(0.05)
