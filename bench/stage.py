"""The stage of a run: a folder, two cores, the origins and the certificates that every peer is pointed at.

It is built once, before any peer starts, and taken down last. Peers and workloads only read it.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.certificates import Pair, make_pair
from bench.processes import Cores, Started, choose_cores, free_port, raise_descriptors

MIB = 1024 * 1024
_HERE = Path(__file__).resolve().parent


class Stage(NamedTuple):
    """What a peer needs to know to be started."""

    folder: Path
    cores: Cores
    origin_port: int  # answers GET with 1 KB
    stream_port: int  # GET sends, PUT takes a large body
    pair: Pair


@contextmanager
def raised(stream_bytes: int, nginx: str | None) -> Iterator[Stage]:
    """A Stage whose origins listen. `stream_bytes` is the size of a large body."""
    cores = choose_cores()
    raise_descriptors()
    os.sched_setaffinity(0, {cores.others})  # our own clients stay off the proxy's core
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        stage = Stage(folder, cores, free_port(), free_port(), make_pair(folder))
        with _small_origin(stage, nginx) as small, _stream_origin(stage, stream_bytes) as streams:
            small.wait_for(stage.origin_port)
            streams.wait_for(stage.stream_port)
            yield stage


def _small_origin(stage: Stage, nginx: str | None) -> Started:
    """nginx answering 1 KB from memory where there is one, else our own origin does."""
    output = stage.folder / "origin.out"
    if nginx is None:
        return _own_origin(stage, stage.origin_port, MIB, output)
    configuration = stage.folder / "origin.conf"
    configuration.write_text(
        f"daemon off; worker_processes 1; pid {stage.folder}/origin.pid; error_log {stage.folder}/origin.err;\n"
        f"{'user root;' if os.geteuid() == 0 else ''} worker_rlimit_nofile 8192;\n"
        "events { worker_connections 4096; }\n"
        f"http {{ access_log off; client_body_temp_path {stage.folder}/origin.body; default_type text/html;\n"
        "  keepalive_requests 1000000; keepalive_timeout 300s; server_tokens off;\n"
        f"  server {{ listen 127.0.0.1:{stage.origin_port} backlog=4096;\n"
        f'    location / {{ add_header Cache-Control "max-age=60"; return 200 "{"x" * 1023}\\n"; }} }} }}\n'
    )
    command = [nginx, "-p", str(stage.folder), "-c", str(configuration), "-e", str(stage.folder / "origin.err")]
    return Started("origin", command, core=stage.cores.others, output=output)


def _stream_origin(stage: Stage, stream_bytes: int) -> Started:
    return _own_origin(stage, stage.stream_port, stream_bytes, stage.folder / "stream.out")


def _own_origin(stage: Stage, port: int, stream_bytes: int, output: Path) -> Started:
    command = [sys.executable, str(_HERE / "origin.py"), str(port), str(stream_bytes)]
    return Started("stream origin", command, core=stage.cores.others, output=output)
