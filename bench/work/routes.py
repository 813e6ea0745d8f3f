"""Five thousand routes beside five: what a large table costs a request.

Both sites get the same requests in the same proportion, spread over every route they have. The gateway is compared
with itself; peers have no part in it.
"""

from __future__ import annotations

import statistics
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
RATIO = Bar(1.1, 1.0, unit="x five")
_WORK = Work("routes", "/area0/item0/page", 200, None)


def routes(stage: Stage, peers: list[Peer], effort: Effort) -> list[Row]:
    """CPU per request with few and with many routes."""
    if not any(peer.name == "gateway" for peer in peers):
        return []
    few, many = f"{_FEW} routes", f"{effort.routes:,} routes"
    scripts = {few: _script(stage, few, _FEW), many: _script(stage, many, effort.routes)}
    sites = [_site(few, _FEW), _site(many, effort.routes)]
    micros: dict[str, list[float]] = {few: [], many: []}
    with running(sites, stage) as field:
        for _ in range(effort.rounds):
            for site in field:
                micros[site.name].append(_cost(site, stage, effort, scripts[site.name]))
                say(f"routes: {site.name} {micros[site.name][-1]:.1f} us")
    base, full = statistics.median(micros[few]), statistics.median(micros[many])
    ratio = full / base
    judged = Row("routes", many, full, "CPU us/request", bar=RATIO, passed=ratio <= RATIO.limit)
    return [
        Row("routes", few, base, "CPU us/request"),
        judged._replace(reaches_aim=ratio <= RATIO.aim, note=f"{ratio:.2f} x the cost with five"),
    ]


def _cost(site: Running, stage: Stage, effort: Effort, script: Path) -> float:
    sample = measure(_WORK, site, stage, effort.seconds, script)
    if sample.load.refused:
        raise SystemExit(f"{site.name}: {sample.load.refused} requests found no route")
    return sample.micros


def _path(number: int) -> str:
    return f"/area{number % _AREAS}/item{number // _AREAS}"


def _site(name: str, count: int) -> Peer:
    rows = "\n".join(f"  - {{match: {{path: {_path(number)}/*}}, upstream: small}}" for number in range(count))
    return Peer(name, "", lambda stage, ports: start_with(stage, ports, f"routes:\n{rows}\n"), _path(0) + "/page")


def _script(stage: Stage, name: str, count: int) -> Path:
    """Walks over all routes in an order that no cache of the machine likes."""
    lua = f"""
local at = 0
function request()
  at = (at + 2477) % {count}
  return wrk.format(nil, "/area" .. (at % {_AREAS}) .. "/item" .. math.floor(at / {_AREAS}) .. "/page")
end
"""
    return write_script(stage.folder, name.replace(" ", "-"), lua=lua)
