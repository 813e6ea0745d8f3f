"""`python bench/run.py [WORK...] [--rounds N] [--seconds S] [--quick] [--json FILE]`: the bars, measured.

It raises the stage, finds the peers, runs the chosen workloads and prints one table; the exit status says whether the
gateway met every bar that was measured. Only the loopback interface is used, and only processes started here are ended.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

if __package__ in (None, ""):  # run as a file: this folder's parent holds the package
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench import stage as stages
from bench.effort import QUICK, Effort
from bench.peers import Peer, caddy, envoy, find_program, gateway, haproxy, nginx, traefik
from bench.processes import StartFailed, say
from bench.table import Row, render
from bench.upkeep import sections as upkeep
from bench.work import bodies, idle, latency, routes, served, start

Workload: TypeAlias = Callable[[stages.Stage, list[Peer], Effort], list[Row]]

WORK: dict[str, Workload] = {
    "proxied": served.proxied,
    "varied": served.varied,
    "tls": served.tls,
    "answered": served.answered,
    "handshake": served.handshake,
    "latency": latency.latency,
    "bodies": bodies.bodies,
    "idle": idle.idle,
    "start": start.start,
    "routes": routes.routes,
    "reload": upkeep.reload,
    "kills": upkeep.kills,
    "upgrade": upkeep.upgrade,
    "workers": upkeep.workers,
    "build": upkeep.build,
    "cost": upkeep.cost,
}
PEERS = {
    "nginx": nginx.find,
    "gateway": gateway.find,
    "haproxy": haproxy.find,
    "envoy": envoy.find,
    "traefik": traefik.find,
    "caddy": caddy.find,
}
_QUIET = 0.5  # load average below which a machine is left to us
# Which peers stand beside the gateway unless --peers says: the bars name all of them for one workload only.
_BESIDE = {
    "proxied": set(PEERS),
    "varied": {"nginx", "gateway", "haproxy"},
    "tls": {"nginx", "gateway", "haproxy"},
    "answered": {"nginx", "gateway", "haproxy"},
    "handshake": {"nginx", "gateway", "haproxy"},
    "latency": {"nginx", "gateway", "haproxy", "envoy"},
}


def main() -> None:
    options = _options()
    found = {name: find() for name, find in PEERS.items() if not options.peers or name in options.peers}
    peers = [peer for peer in found.values() if peer is not None]
    say("peers: " + ", ".join(f"{peer.name} {peer.version}" for peer in peers))
    missing = [name for name, peer in found.items() if peer is None]
    if missing:
        say(f"not found, left out: {', '.join(missing)}")
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is needed: apt-get install wrk")
    effort = _effort(options)
    busy = os.getloadavg()[0]
    if busy > _QUIET:
        say(f"load average {busy:.1f}: others use this machine, figures will scatter")
    begun = time.monotonic()
    rows: list[Row] = []
    with stages.raised(effort.stream_bytes, find_program("nginx")) as stage:
        for name in options.work or WORK:
            beside = set(PEERS) if options.peers else _BESIDE.get(name, {"nginx", "gateway"})
            chosen = [peer for peer in peers if peer.name in beside]
            try:
                rows += WORK[name](stage, chosen, effort)
            except StartFailed as failure:
                raise SystemExit(str(failure)) from None
    print(f"{_machine()}; {', '.join(f'{peer.name} {peer.version}' for peer in peers)}")
    print(f"{effort.rounds} rounds of {effort.seconds:g} s, medians; {time.monotonic() - begun:.0f} s in all; ", end="")
    print(f"load average before: {busy:.1f}\n")
    print(render(rows))
    if options.json:
        _write(Path(options.json), rows, peers, effort)
    failed = [f"{row.work} ({row.target})" for row in rows if row.passed is False]
    if failed:
        raise SystemExit(f"\nbelow the bar: {', '.join(failed)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="The gateway beside its peers, for the same work.")
    parser.add_argument("work", nargs="*", metavar="WORK", help=f"any of {', '.join(WORK)} (default: all)")
    parser.add_argument("--rounds", type=int, help="rounds per peer (3)")
    parser.add_argument("--seconds", type=float, help="seconds of load per peer and round (3)")
    parser.add_argument("--peers", nargs="+", choices=PEERS, metavar="PEER", help=f"only these of {', '.join(PEERS)}")
    parser.add_argument("--quick", action="store_true", help="one short round of everything, under a minute")
    parser.add_argument("--json", metavar="FILE", help="write the rows as JSON too")
    options = parser.parse_args()
    unknown = sorted(set(options.work) - WORK.keys())
    if unknown:
        parser.error(f"no such work: {', '.join(unknown)} (one of {', '.join(WORK)})")
    return options


def _effort(options: argparse.Namespace) -> Effort:
    effort = QUICK if options.quick else Effort()
    if options.rounds:
        effort = effort._replace(rounds=options.rounds)
    if options.seconds:
        effort = effort._replace(seconds=options.seconds)
    return effort


def _machine() -> str:
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"


def _write(path: Path, rows: list[Row], peers: list[Peer], effort: Effort) -> None:
    """The rows as JSON. A folder, or a name without a suffix, gets a file named by the time."""
    if not path.suffix:
        path = path / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    said: dict[str, Any] = {
        "machine": _machine(),
        "peers": {peer.name: peer.version for peer in peers},
        "effort": effort._asdict(),
        "rows": [row._asdict() | {"bar": row.bar.text() if row.bar else None} for row in rows],
    }
    path.write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n")
    say(f"written: {path}")


if __name__ == "__main__":
    main()
