"""The sections of `python -m bench` about upkeep: each raises a gateway, measures, and judges by the bars."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from bench.effort import Effort
from bench.load import write_script
from bench.peers import Peer
from bench.processes import free_port, say
from bench.stage import Stage
from bench.table import Bar, Row, judge
from bench.upkeep import cost as costs
from bench.upkeep.building import building
from bench.upkeep.crowd import Account, echo_origin
from bench.upkeep.kills import Kills, control_kills, worker_kills
from bench.upkeep.reloads import reloads
from bench.upkeep.subject import Subject
from bench.upkeep.upgrades import copied_tree, upgrades
from bench.upkeep.workers import expense, spread

T = TypeVar("T")


def reload(stage: Stage, _peers: list[Peer], effort: Effort) -> list[Row]:
    """100 reloads, ten of them faulty, under 1,000 keep-alive clients and 100 WebSockets."""
    with _subject(stage) as subject:
        seen = _run(subject, lambda: reloads(subject, effort.reloads, effort.clients, effort.sockets))
    note = f"{effort.reloads} reloads, {effort.clients:,} clients, {effort.sockets} WebSockets"
    return [
        _most("reload", len(seen.account.failures), 0, "failed", f"{note}; {_told(seen.account)}"),
        _most("reload", seen.closed, 0, "closed", f"WebSockets; {seen.echoes:,} echoes"),
        _most("reload", seen.wrong + len(seen.generations) - 1, 0, "wrong", "reloads that ended otherwise"),
        _most("reload", seen.growth * 100, 10, "%", "change of a process's memory, the most"),
        _most("reload", abs(seen.descriptors), 4, "more", "descriptors of a process"),
    ]


def kills(stage: Stage, _peers: list[Peer], effort: Effort) -> list[Row]:
    """kill -9: 20 workers, 5 control processes."""
    rows: list[Row] = []
    with _subject(stage) as subject:
        seen = _run(subject, lambda: worker_kills(subject, effort.kills, 100, 20, 0.1))
    rows += _killed("kill a worker", seen, effort.kills)
    with _subject(stage) as subject:
        seen = _run(subject, lambda: control_kills(subject, max(1, effort.kills // 4), 100, 0.1))
    rows += _killed("kill control", seen, max(1, effort.kills // 4))
    return rows


def _killed(work: str, seen: Kills, count: int) -> list[Row]:
    note = f"{count} kills; {_told(seen.account)}"
    return [
        _most(work, seen.unrelated, 0, "failed", f"that it had not accepted; {note}"),
        _most(work, max(seen.forked) * 1000, 100, "ms", "until there is a successor, the most"),
        _most(work, seen.back, 1, "s", "until it serves, the most"),
        _most(work, seen.lost, 0, "lost", "requests that had been counted"),
        Row(work, "gateway", seen.uncounted / count, "a kill", note="requests answered and not counted"),
        Row(work, "gateway", seen.unlogged / count, "a kill", note="lines missing in the access log"),
    ]


def upgrade(stage: Stage, _peers: list[Peer], effort: Effort) -> list[Row]:
    """Two upgrades in a row, one to code that cannot be read, one to code whose workers raise, and one more."""
    drain = 6.0
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as name:
        tree = copied_tree(Path(name))
        more = {"shutdown": {"drain": "5s", "stream_drain": f"{drain:g}s"}}
        with _subject(stage, tree=tree, **more) as subject:
            seen = _run(subject, lambda: upgrades(subject, "ggurg", effort.clients, effort.sockets, drain))
    note = f"two in a row, two broken ones, one more; {_told(seen.account)}"
    return [
        _most("upgrade", len(seen.account.failures), 0, "failed", note),
        _most("upgrade", seen.outcomes.count(False), 0, "wrong", "upgrades that ended otherwise"),
        _most("upgrade", seen.closed, 0, "closed", f"WebSockets before their drain's end ({seen.held:.1f} s)"),
    ]


def workers(stage: Stage, _peers: list[Peer], effort: Effort) -> list[Row]:
    """400 connections over two workers; CPU of a request with two beside one."""
    rows = []
    script = write_script(stage.folder, "upkeep")
    with _subject(stage) as subject:
        shares = _run(subject, lambda: spread(subject, 400))
    note = "from an even share, of 400 connections: " + ", ".join(f"{share:.1%}" for share in shares)
    rows.append(_most("workers", max(abs(share - 1 / len(shares)) for share in shares) * 100, 10, "%", note))
    figures: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(effort.rounds):
        for count, found in figures.items():
            with _subject(stage, workers=count) as subject:
                found.append(expense(subject, script, effort.seconds, stage.cores.others))
            say(f"workers: {count}: {found[-1]:.0f} us a request")
    one, two = (min(found) for found in figures.values())
    rows.append(_most("workers", two / one, 1.15, "x", f"CPU of a request, {two:.0f} us beside {one:.0f} us with one"))
    return rows


def build(stage: Stage, _peers: list[Peer], effort: Effort) -> list[Row]:
    """The 99th percentile while a configuration of 5,000 routes is built."""
    with _subject(stage) as subject:
        seen = _run(subject, lambda: building(subject, effort.routes, 60, max(2.0, effort.seconds), effort.rounds))
    note = f"{effort.routes:,} routes, {seen.took:.1f} s; p99 {seen.busy * 1000:.1f} beside {seen.quiet * 1000:.1f} ms"
    return [
        _most("build", (seen.busy - seen.quiet) * 1000, 20, "ms", f"{note}; slowest {seen.slowest * 1000:.0f} ms"),
        _most("build", seen.failed, 0, "failed", ""),
    ]


def cost(stage: Stage, _peers: list[Peer], effort: Effort) -> list[Row]:
    """A conversation in this process beside what it took when the gateway was one process."""
    figures = costs.cost(stage.folder, effort.rounds)
    if figures is None:
        say(f"cost: commit {costs.BEFORE} is not here")
        return []
    return [
        _most("cost", now - before, 0.7, "us", f"{name}: {now:.2f} beside {before:.2f} us before")
        for name, (before, now) in figures.items()
    ]


# -- the same for all -------------------------------------------------------------------------------------------------


@contextmanager
def _subject(stage: Stage, **more: Any) -> Iterator[Subject]:
    cores = f"{stage.cores.proxy},{stage.cores.others}"
    with (
        tempfile.TemporaryDirectory(prefix="gateway-", dir=stage.folder) as name,
        Subject(Path(name), stage.origin_port, free_port(), cores=cores, **more) as subject,
    ):
        yield subject


def _run(subject: Subject, measure: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """On a loop of its own, with the origin of WebSockets."""

    async def measured() -> T:
        async with echo_origin(subject.sockets):
            return await measure()

    return uvloop.run(measured())


def _most(work: str, value: float, limit: float, unit: str, note: str) -> Row:
    return judge([Row(work, "gateway", value, unit, note=note)], Bar(limit, limit, unit=unit))[0]


def _told(account: Account) -> str:
    reasons: dict[str, int] = {}
    for one in account.failures:
        reasons[one.why] = reasons.get(one.why, 0) + 1
    told = "".join(f", {count} x {why}" for why, count in sorted(reasons.items()))
    return f"{account.answered:,} answered, {len(account.failures)} not{told}; slowest {account.slowest():.2f} s"
