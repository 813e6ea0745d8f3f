"""Five thousand routes beside five: what a large table costs a request.

The judged pair gets the same requests, for the same five routes; 4,995 others are merely there. A third figure asks for
every route in turn, so that no route's plan stays in the processor's caches. The gateway is compared with itself.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from bench.effort import Effort
from bench.load import write_script
from bench.peers import Peer, Running, running
from bench.peers.gateway import start_with
from bench.processes import say
from bench.stage import Stage
from bench.table import Bar, Row
from bench.work.served import Work, measure

_FEW = 5
_AREAS = 50
_STRIDE = 2477  # a prime: walks over all routes in an order that no prefetcher guesses
RATIO = Bar(1.1, 1.0, unit="x five")
_FIRST = "/area0/item0/page"
_WORK = Work("routes", _FIRST, 200, None)


def routes(stage: Stage, peers: list[Peer], effort: Effort) -> list[Row]:
    """CPU per request with few routes, with many, and with many that are all asked for."""
    if not any(peer.name == "gateway" for peer in peers):
        return []
    every = range(effort.routes)
    asked = [number * effort.routes // _FEW for number in range(_FEW)]
    few, many, spread = f"{_FEW} routes", f"{effort.routes:,} routes", f"{effort.routes:,}, all asked"
    same = _script(stage, "same", asked)
    walk = _script(stage, "walk", [number * _STRIDE % effort.routes for number in every])
    micros: dict[str, list[float]] = {few: [], many: [], spread: []}
    with running([_site(few, asked), _site(many, every)], stage) as (small, large):
        for _ in range(effort.rounds):
            for name, site, script in ((few, small, same), (many, large, same), (spread, large, walk)):
                micros[name].append(_cost(site, stage, effort, script))
                say(f"routes: {name} {micros[name][-1]:.1f} us")
    medians = {name: statistics.median(found) for name, found in micros.items()}
    return [_row(name, value, value / medians[few], judged=name == many) for name, value in medians.items()]


def _row(name: str, value: float, ratio: float, *, judged: bool) -> Row:
    row = Row("routes", name, value, "CPU us/request", note=f"{ratio:.2f} x the cost with five")
    if not judged:
        return row
    return row._replace(bar=RATIO, passed=ratio <= RATIO.limit, reaches_aim=ratio <= RATIO.aim)


def _cost(site: Running, stage: Stage, effort: Effort, script: Path) -> float:
    sample = measure(_WORK, site, stage, effort.seconds, script)
    if sample.load.refused:
        raise SystemExit(f"{site.name}: {sample.load.refused} requests found no route")
    return sample.micros


def _path(number: int) -> str:
    return f"/area{number % _AREAS}/item{number // _AREAS}"


def _site(name: str, numbers: Sequence[int]) -> Peer:
    rows = "\n".join(f"  - {{match: {{path: {_path(number)}/*}}, upstream: small}}" for number in numbers)
    return Peer(name, "", lambda stage, ports: start_with(stage, ports, f"routes:\n{rows}\n"), _FIRST)


def _script(stage: Stage, name: str, numbers: Sequence[int]) -> Path:
    """Asks for the routes of `numbers`, one after the other."""
    targets = ", ".join(f'"{_path(number)}/page"' for number in numbers)
    lua = f"""
local targets = {{ {targets} }}
local at = 0
function request()
  at = at % #targets + 1
  return wrk.format(nil, targets[at])
end
"""
    return write_script(stage.folder, f"routes-{name}", lua=lua)
