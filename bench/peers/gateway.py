"""The gateway itself: everything that is on by default, with the routes of a run.

The configuration is written as an operator would write it, so that what is measured is what a reader gets. The access
log goes to standard output, which is a file here.
"""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

from bench.peers import DENIAL, Peer, Ports, make_folder
from bench.processes import Started, free_port
from bench.stage import Stage

_ROOT = Path(__file__).resolve().parents[2]


def find() -> Peer | None:
    """The gateway of this tree, or None where it cannot be started yet."""
    if not (_ROOT / "gateway" / "cli.py").exists():
        return None
    try:
        version = importlib.metadata.version("edge-gateway")
    except importlib.metadata.PackageNotFoundError:
        version = "this tree"
    return Peer("gateway", version, start)


def start(stage: Stage, ports: Ports) -> Started:
    """The gateway with the routes that every peer has."""
    return start_with(stage, ports, _routes())


def start_with(stage: Stage, ports: Ports, routes: str) -> Started:
    """The gateway with `routes`, YAML of the list under that key."""
    folder = make_folder(stage, "gateway")
    configuration = folder / "config.yaml"
    configuration.write_text(_configuration(stage, ports, free_port()) + routes)
    return Started(
        "gateway",
        [sys.executable, "-m", "gateway", "run", "-c", str(configuration)],
        core=stage.cores.proxy,
        output=folder / "output",
        environment={"PYTHONPATH": str(_ROOT)},
    )


def _configuration(stage: Stage, ports: Ports, admin: int) -> str:
    return f"""
listeners:
  - bind: 127.0.0.1:{ports.plain}
  - bind: 127.0.0.1:{ports.tls}
    tls: {{certificates: {stage.pair.folder}}}
upstreams:
  small: {{endpoints: ["http://127.0.0.1:{stage.origin_port}"]}}
  streams: {{endpoints: ["http://127.0.0.1:{stage.stream_port}"]}}
admin: {{bind: 127.0.0.1:{admin}}}
"""


def _routes() -> str:
    return f"""
routes:
  - match: {{path: /stream*}}
    upstream: streams
    body_limit: 2 GiB
  - match: {{path: /denied}}
    respond: {{status: 403, body: "{DENIAL.strip()}\\n"}}
  - match: {{path: /moved}}
    redirect: {{to: "https://localhost/elsewhere", status: 308}}
  - match: {{path: /*}}
    upstream: small
"""
