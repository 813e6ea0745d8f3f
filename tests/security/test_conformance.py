"""Every case of the corpora against a whole gateway, over sockets: what its origin gets, and how soon it refuses.

`python -m tests.security.conformance` prints the same as a table.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from tests.kit.corpus.case import SMUGGLED, Received, accept, either, get, refuse, unfinished
from tests.kit.corpus.permutations import PERMUTATIONS
from tests.kit.messages import read_request
from tests.kit.probe import SILENCE, Outcome
from tests.security.conformance import EVERYTHING, GROUPS, deviation, deviations, play, tally

ROOT = Received(b"GET", b"/")
FIRST = read_request(get())
SECOND = read_request(SMUGGLED)


def test_every_case(tmp_path: Path) -> None:
    """Nothing that must be refused arrives, not even its beginning; all that must be accepted does; at once."""
    outcomes = asyncio.run(play(EVERYTHING, tmp_path))
    found = deviations(EVERYTHING, outcomes)
    if found:
        pytest.fail("\n".join([*map(str, found), tally(GROUPS, outcomes)]), pytrace=False)
    assert "deviations      none" in tally(GROUPS, outcomes)


def test_permutations_are_what_they_say() -> None:
    """Many, each once, of both verdicts."""
    assert [raw for raw, count in Counter(case.raw for case in PERMUTATIONS).items() if count > 1] == []
    assert [name for name, count in Counter(case.name for case in EVERYTHING).items() if count > 1] == []
    verdicts = Counter(case.verdict for case in PERMUTATIONS)
    assert verdicts["refuse"] > 5000
    assert verdicts["accept"] > 500


def outcome(*requests: object, statuses: tuple[int, ...] = (), closed: bool = False, **more: object) -> Outcome:
    given = {"begun": b"", "stray": b"", "seconds": 0.0 if statuses or closed else SILENCE, **more}
    return Outcome(requests, statuses=statuses, closed=closed, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("case", "became", "kind"),
    [
        (refuse("", b"", "", ""), outcome(statuses=(400,)), ""),
        (refuse("", b"", "", ""), outcome(closed=True), ""),
        (refuse("", b"", "", ""), outcome(), "silent"),
        (refuse("", b"", "", ""), outcome(statuses=(200,)), "silent"),
        (refuse("", b"", "", ""), outcome(statuses=(400,), stray=b"x"), "dangerous"),
        (refuse("", b"", "", ""), outcome(statuses=(400,), begun=b"x"), "begun"),
        (refuse("", b"", "", ""), outcome(FIRST, statuses=(400,)), "forwarded"),
        (accept("", b"", "", "", ROOT), outcome(FIRST, statuses=(200,)), ""),
        (accept("", b"", "", "", ROOT), outcome(SECOND, statuses=(200,)), "changed"),
        (accept("", b"", "", "", ROOT), outcome(FIRST, SECOND, statuses=(200,)), "forwarded"),
        (accept("", b"", "", "", ROOT), outcome(statuses=(400,)), "not forwarded"),
        (either("", b"", "", "", ROOT), outcome(FIRST, statuses=(200,)), ""),
        (either("", b"", "", "", ROOT), outcome(statuses=(400,)), ""),
        (either("", b"", "", "", ROOT), outcome(SECOND, statuses=(400,)), "changed"),
        (unfinished("", b"", "", ""), outcome(), ""),
        (unfinished("", b"", "", ""), outcome(statuses=(400,)), "not waited for"),
    ],
)
def test_the_verdict(case, became, kind) -> None:
    """Each way to go wrong has its word."""
    assert deviation(case, became) == kind
