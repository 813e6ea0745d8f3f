"""`python -m tests.security.conformance [nginx]`: the request corpora against a whole process, with a tally.

The verdict is by the bytes that reach the origin, and a refusal must come at once. With `nginx` the same cases are
played against the nginx that is installed, which shows what the figures are worth.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.kit.corpus.case import Case, is_received
from tests.kit.corpus.permutations import PERMUTATIONS
from tests.kit.corpus.requests import SUBJECTS
from tests.kit.probe import Outcome, Recorder, probe
from tests.kit.process import Gateway, free_port, write_config

GROUPS: dict[str, tuple[Case, ...]] = {**SUBJECTS, "permutations": PERMUTATIONS}
EVERYTHING = tuple(case for cases in GROUPS.values() for case in cases)
_MAY_BE_LATE = {"silent", "not forwarded"}  # on a machine that is busy with something else


class Deviation(NamedTuple):
    """A case that did not become what it should have, and what it became."""

    kind: str
    case: Case
    outcome: Outcome

    def __str__(self) -> str:
        case, outcome = self.case, self.outcome
        arrived = [request.raw for request in outcome.requests] or outcome.stray or outcome.begun
        return (
            f"{self.kind}: {case.name}: {case.raw[:200]!r} ({case.why}, {case.source})\n"
            f"    answered {list(outcome.statuses)}{', closed' if outcome.closed else ''} after"
            f" {outcome.seconds * 1000:.0f} ms; the origin got {arrived!r:.600}"
        )


def deviation(case: Case, outcome: Outcome) -> str:
    """What is wrong with the outcome, in a word; "" if nothing is.

    dangerous       the origin got what is no request
    forwarded       it got a request that it should not have
    begun           it got the beginning of one
    not forwarded   it did not get one that it should have
    changed         it got another than it should have
    silent          the refusal did not come, or not in time
    not waited for  what could still become a request was refused
    """
    requests, received = outcome.requests, case.received
    if outcome.stray:
        return "dangerous"
    if len(requests) > len(received):
        return "forwarded"
    if case.verdict == "either":
        received = received[: len(requests)]
    elif len(requests) < len(received):
        return "not forwarded"
    if not all(map(is_received, requests, received)):
        return "changed"
    if case.unfinished:
        return "not waited for" if outcome.closed or len(outcome.statuses) > len(received) else ""
    if case.verdict == "refuse" and not outcome.refused:
        return "silent"
    return "begun" if case.verdict == "refuse" and outcome.begun else ""


def deviations(cases: Iterable[Case], outcomes: Mapping[str, Outcome]) -> list[Deviation]:
    found = (Deviation(deviation(case, outcomes[case.name]), case, outcomes[case.name]) for case in cases)
    return [each for each in found if each.kind]


def _share(cases: Sequence[Case], outcomes: Mapping[str, Outcome]) -> str:
    wrong = len(deviations(cases, outcomes))
    return f"{len(cases) - wrong} of {len(cases)}" if cases else "-"


def tally(groups: Mapping[str, Sequence[Case]], outcomes: Mapping[str, Outcome]) -> str:
    """How many of each group became what they should have, and how the refusals were said."""
    everything = [case for cases in groups.values() for case in cases]
    lines = [f"{'':16}{'refused':>16}{'forwarded':>16}{'either':>12}{'waited for':>12}"]
    for name, cases in {**groups, "all": everything}.items():
        kinds: dict[str, list[Case]] = {"refuse": [], "accept": [], "either": [], "unfinished": []}
        for case in cases:
            kinds["unfinished" if case.unfinished else case.verdict].append(case)
        refused, accepted, either, unfinished = (_share(members, outcomes) for members in kinds.values())
        lines.append(f"{name:16}{refused:>16}{accepted:>16}{either:>12}{unfinished:>12}")
    refusals = [case for case in everything if case.verdict == "refuse" and not case.unfinished]
    said = Counter(str([*outcomes[case.name].statuses[len(case.received) :]] or "closed") for case in refusals)
    lines.append("refused with    " + ", ".join(f"{status} {count}" for status, count in said.most_common()))
    slowest = max((outcomes[case.name].seconds, case.name) for case in refusals)
    lines.append(f"latest refusal  {slowest[0] * 1000:.0f} ms ({slowest[1]})")
    wrong = Counter(found.kind for found in deviations(everything, outcomes))
    lines.append("deviations      " + (", ".join(f"{kind} {count}" for kind, count in wrong.most_common()) or "none"))
    return "\n".join(lines)


@contextlib.asynccontextmanager
async def _gateway(folder: Path, upstream: int) -> AsyncIterator[int]:
    port = free_port()
    write_config(
        folder,
        listeners=[{"bind": f"127.0.0.1:{port}"}],
        upstreams={"app": {"endpoints": [f"http://127.0.0.1:{upstream}"]}},
        routes=[{"upstream": "app"}],
        access_log="off",
        security_headers="off",
    )
    gateway = await asyncio.to_thread(Gateway(folder).__enter__)
    try:
        yield port
    except BaseException:
        await asyncio.to_thread(gateway.kill)
        raise
    await asyncio.to_thread(gateway.__exit__, None, None, None)


@contextlib.asynccontextmanager
async def _nginx(folder: Path, upstream: int) -> AsyncIterator[int]:
    port = free_port()
    folder.joinpath("nginx.conf").write_text(f"""
daemon off; pid nginx.pid; error_log error.log; worker_processes 1;
events {{ worker_connections 1024; }}
http {{
    access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path a; uwsgi_temp_path b;
    scgi_temp_path c;
    upstream app {{ server 127.0.0.1:{upstream}; keepalive 32; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://app; proxy_http_version 1.1;
            proxy_set_header Connection ""; proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
        }}
    }}
}}
""")
    child = await asyncio.create_subprocess_exec(
        "nginx", "-p", str(folder), "-c", "nginx.conf", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        await _accepts(port)
        yield port
    finally:
        child.terminate()
        await child.wait()


async def _accepts(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(OSError):
                _reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.02)


async def play(cases: Sequence[Case], folder: Path, name: str = "gateway") -> dict[str, Outcome]:
    """Starts the proxy `name`, plays `cases` against it, and stops it. What seems late is played once more."""
    origin = Recorder()
    server, upstream = await origin.listen()
    proxies = {"gateway": _gateway, "nginx": _nginx}
    async with server, proxies[name](folder, upstream) as port:
        outcomes = await probe(cases, ("127.0.0.1", port), origin)
        late = [case for case in cases if deviation(case, outcomes[case.name]) in _MAY_BE_LATE]
        return outcomes | await probe(late, ("127.0.0.1", port), origin)


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else "gateway"
    with tempfile.TemporaryDirectory() as folder:
        outcomes = asyncio.run(play(EVERYTHING, Path(folder), name))
    if name == "gateway":
        print(*deviations(EVERYTHING, outcomes), sep="\n")
    print(tally(GROUPS, outcomes))


if __name__ == "__main__":
    main()
