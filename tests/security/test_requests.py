"""The request corpus against the whole wire: what an origin receives of each case is compared, in every cut.

Whatever a client sends, the origin reads exactly the requests that the corpus allows, no complete one more; and how
the bytes were cut on their way makes no difference.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tests.kit.corpus.case import is_received
from tests.kit.corpus.requests import ACCEPTED, CASES, EITHER, REFUSED, Case, Received
from tests.kit.messages import Request, Response, ok, read_response
from tests.kit.site import serve

DRIPPED = 400  # bytes at either end of a case that come one by one; what is between comes in larger pieces


class Outcome(NamedTuple):
    """What became of a case: requests that the origin read whole, final answers, whether the connection ended."""

    requests: tuple[Request, ...]
    answers: tuple[Response, ...]
    closed: bool


def _pieces(raw: bytes) -> list[bytes]:
    """Byte by byte, as far as that is bearable."""
    if len(raw) <= 2 * DRIPPED:
        return [raw[at : at + 1] for at in range(len(raw))]
    middle = raw[DRIPPED:-DRIPPED]
    return [
        *_pieces(raw[:DRIPPED]),
        *(middle[at : at + 997] for at in range(0, len(middle), 997)),
        *_pieces(raw[-DRIPPED:]),
    ]


def _send(pieces: list[bytes]) -> Outcome:
    site = serve(access_log="off")
    client, origin = site.client, site.origin
    requests: list[Request] = []
    for piece in pieces:
        client.transport.feed(piece)
    requests += origin.serve(ok("x"))
    closed = client.closed
    client.fin()
    requests += origin.serve(ok("x"))
    wire = client.raw()
    answers: list[Response] = []
    methods = [request.method for request in requests]
    while wire:
        method = methods[len(answers)] if len(answers) < len(methods) else b"GET"
        answer = read_response(wire, method, closed=True)
        assert answer is not None, f"half an answer: {wire!r}"
        wire = wire[len(answer.raw) :]
        if answer.status >= 200:
            answers.append(answer)
    return Outcome(tuple(requests), tuple(answers), closed or client.closed)


def _are(requests: tuple[Request, ...], received: tuple[Received, ...]) -> bool:
    return len(requests) == len(received) and all(map(is_received, requests, received))


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_refused(case: Case) -> None:
    """Nothing that must be refused reaches the origin, and the connection ends."""
    outcome = _send([case.raw])
    assert _are(outcome.requests, case.received), f"{case.why} ({case.source}): {outcome.requests!r}"
    assert outcome.closed
    statuses = [answer.status for answer in outcome.answers[len(case.received) :]]
    assert all(status >= 400 for status in statuses), statuses
    if case.status:
        assert statuses == [case.status]


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.name)
def test_accepted(case: Case) -> None:
    """What real clients send arrives, exactly as it should, and is answered."""
    outcome = _send([case.raw])
    assert _are(outcome.requests, case.received), f"{case.why} ({case.source}): {outcome.requests!r}"
    assert [answer.status for answer in outcome.answers] == [200] * len(case.received)


@pytest.mark.parametrize("case", EITHER, ids=lambda case: case.name)
def test_either(case: Case) -> None:
    """Where both are right, what arrives is nothing or the beginning of what it may be."""
    outcome = _send([case.raw])
    assert _are(outcome.requests, case.received[: len(outcome.requests)]), f"{case.why} ({case.source})"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_byte_by_byte(case: Case) -> None:
    """However a request is cut, the origin reads the same and the client is told the same."""
    whole, dripped = _send([case.raw]), _send(_pieces(case.raw))
    substance = [(request.method, request.target, request.body, request.trailers) for request in whole.requests]
    assert [(each.method, each.target, each.body, each.trailers) for each in dripped.requests] == substance
    assert [answer.status for answer in dripped.answers] == [answer.status for answer in whole.answers]
    assert dripped.closed == whole.closed
