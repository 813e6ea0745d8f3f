"""Requests served under load: rounds of wrk against each running peer in turn, CPU per request, medians.

The workloads are one line of difference from each other: proxied, the same with heads that never come again, tls,
answered (denials, redirects) and handshakes. Peers take turns within a round, so that a slow minute is shared by all.
"""

from __future__ import annotations

import http.client
import ssl
import statistics
from pathlib import Path
from typing import NamedTuple

from bench.cpu import cpu_seconds, memory_bytes
from bench.effort import Effort
from bench.load import CONNECTIONS, Load, drive, write_script
from bench.peers import Peer, Running, running
from bench.processes import say
from bench.stage import MIB, Stage
from bench.table import Bar, Row, judge


class Work(NamedTuple):
    """One kind of request."""

    name: str
    path: str
    status: int
    bar: Bar | None
    secure: bool = False
    fields: tuple[tuple[str, str], ...] = ()
    without: frozenset[str] = frozenset()  # peers that cannot do it
    beats: frozenset[str] = frozenset()  # peers that must cost more than the gateway
    or_status: int = 0  # what a peer that cannot say `status` says instead
    lua: str = ""  # wrk's own functions, for requests that differ


class Sample(NamedTuple):
    """One round of one peer."""

    micros: float  # CPU per request
    load: Load


# A client never seen before with each request: what is remembered of heads does not help.
_STRANGERS = """
local asked = 0
function request()
  asked = asked + 1
  wrk.headers["Cookie"] = string.format("session=%08x8f14e45fceea167a; theme=dark; consent=2026-01-01", asked)
  return wrk.format(nil, "/item/" .. asked)
end
"""
_OTHERS = frozenset({"envoy", "traefik", "caddy"})
PROXIED = Work("proxied", "/", 200, Bar(2.2, 1.6, per_nginx=True), beats=_OTHERS)
VARIED = Work("varied", "/", 200, None, lua=_STRANGERS)
TLS = Work("tls", "/", 200, Bar(2.2, 1.6, per_nginx=True), secure=True)
DENIED = Work("denied", "/denied", 403, Bar(1.6, 1.3, per_nginx=True), without=frozenset({"traefik"}))
MOVED = Work("moved", "/moved", 308, Bar(1.6, 1.3, per_nginx=True), or_status=301)
HANDSHAKE = Work("handshake", "/", 200, Bar(3.0, 2.0, per_nginx=True), secure=True, fields=(("Connection", "close"),))


def proxied(stage: Stage, peers: list[Peer], effort: Effort) -> list[Row]:
    """1 KB through keep-alive connections."""
    return serve(PROXIED, stage, peers, effort)


def varied(stage: Stage, peers: list[Peer], effort: Effort) -> list[Row]:
    """The same with a new path and a new cookie in each request."""
    return serve(VARIED, stage, peers, effort)


def tls(stage: Stage, peers: list[Peer], effort: Effort) -> list[Row]:
    """The same over TLS connections that stay open."""
    return serve(TLS, stage, peers, effort)


def answered(stage: Stage, peers: list[Peer], effort: Effort) -> list[Row]:
    """Answers that need no origin: a denial, then a redirect."""
    return serve(DENIED, stage, peers, effort) + serve(MOVED, stage, peers, effort)


def handshake(stage: Stage, peers: list[Peer], effort: Effort) -> list[Row]:
    """A new TLS connection for each proxied request."""
    return serve(HANDSHAKE, stage, peers, effort)


def serve(work: Work, stage: Stage, peers: list[Peer], effort: Effort) -> list[Row]:
    able = [peer for peer in peers if peer.name not in work.without]
    script = write_script(stage.folder, work.name, extra=dict(work.fields), lua=work.lua)
    with running(able, stage) as field:
        for peer in field:
            check_answer(work, peer)
            measure(work, peer, stage, 1, script)  # what is imported, compiled or allocated once is not counted
        samples: dict[str, list[Sample]] = {peer.name: [] for peer in field}
        for number in range(effort.rounds):
            for peer in field:
                sample = measure(work, peer, stage, effort.seconds, script)
                samples[peer.name].append(sample)
                say(f"{work.name} round {number + 1}: {peer.name} {sample.micros:.1f} us/request")
        memory = {peer.name: memory_bytes(peer.pid) for peer in field}
    rows = [_row(work, name, rounds, memory[name]) for name, rounds in samples.items()]
    return _compare(judge(rows, work.bar), work.beats)


def check_answer(work: Work, peer: Running) -> None:
    """One request by hand: whoever answers something else is not doing the same work."""
    said = ask(peer, work.path, secure=work.secure).status
    if said not in (work.status, work.or_status):
        raise SystemExit(f"{peer.name} answered {said} to {work.path}, not {work.status}")


def ask(peer: Running, path: str, *, secure: bool) -> http.client.HTTPResponse:
    """The answer of `peer` to one GET, its body read."""
    client: http.client.HTTPConnection
    if secure:
        trusting = ssl.create_default_context()
        trusting.check_hostname = False
        trusting.verify_mode = ssl.CERT_NONE
        client = http.client.HTTPSConnection("localhost", peer.ports.tls, timeout=5, context=trusting)
    else:
        client = http.client.HTTPConnection("127.0.0.1", peer.ports.plain, timeout=5)
    try:
        client.request("GET", path, headers={"Host": "localhost"})
        answer = client.getresponse()
        answer.read()
        return answer
    finally:
        client.close()


def measure(work: Work, peer: Running, stage: Stage, seconds: float, script: Path) -> Sample:
    """One run of wrk and what it cost `peer`."""
    scheme, port = ("https", peer.ports.tls) if work.secure else ("http", peer.ports.plain)
    before = cpu_seconds(peer.pid)
    load = drive(f"{scheme}://localhost:{port}{work.path}", script, seconds, core=stage.cores.others)
    spent = cpu_seconds(peer.pid) - before
    return Sample(spent / load.requests * 1e6, load)


def _row(work: Work, name: str, rounds: list[Sample], memory: int) -> Row:
    per_second = statistics.median(sample.load.per_second for sample in rounds)
    p99 = statistics.median(sample.load.p99 for sample in rounds)
    broken = sum(sample.load.broken for sample in rounds)
    refused = sum(sample.load.refused for sample in rounds) if work.status < 400 else 0
    note = f"{per_second:,.0f}/s, p99 {p99:.2f} ms at {CONNECTIONS}, {memory / MIB:.0f} MiB"
    note += f", {broken} socket errors" if broken else ""
    note += f", {refused} unexpected answers" if refused else ""
    micros = statistics.median(sample.micros for sample in rounds)
    return Row(work.name, name, micros, "CPU us/request", note=note)


def _compare(rows: list[Row], beats: frozenset[str]) -> list[Row]:
    """The gateway's row also fails when a peer it must beat is cheaper."""
    ours = next((row for row in rows if row.target == "gateway"), None)
    cheaper = [row.target for row in rows if row.target in beats and ours is not None and row.value <= ours.value]
    if ours is None or not cheaper:
        return rows
    worse = ours._replace(passed=False, note=f"{ours.note}, dearer than {', '.join(cheaper)}")
    return [worse if row is ours else row for row in rows]
