"""Any cut of any bytes: the wire gives the same answers, and one request never becomes two."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.http.head import RequestHeadReader
from gateway.http.message import Malformed
from tests.kit.corpus.requests import CASES
from tests.kit.messages import chunked, get, head, ok, post
from tests.kit.site import Served, serve

_QUICK = settings(max_examples=max(20, settings().max_examples // 2))
_SMALL = [case.raw for case in CASES if len(case.raw) < 1000]
_ODD = [b"\r\n", b"\r\n\r\n", *(bytes([octet]) for octet in b"\r\n \t:,;\x00\x0b05%/\xff")]
_OURS = re.compile(rb"(x-request-id|date): [^\r]*|[0-9A-Z]{26}")

_MESSAGES = st.sampled_from(
    [
        get("/a"),
        get("/b", "Connection: keep-alive", "X-A: b"),
        get("/c", "Expect: 100-continue"),
        b"HEAD /d HTTP/1.1\r\nHost: h\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: h\r\nMax-Forwards: 0\r\n\r\n",
        b"\r\n" + get("/e"),
        post("hello"),
        post(b"\r\n\r\n" * 20),
        post(get("/hidden")),
        post("x", "Expect: 100-continue"),
        chunked(b"hel", b"lo"),
        chunked(get("/hidden"), trailers="X-T: 1\r\n"),
        chunked(),
    ]
)


def _cut(wire: bytes, at: Sequence[int]) -> list[bytes]:
    """`wire` in pieces that end at the fractions `at` of it, in thousandths."""
    places = sorted({0, len(wire), *(len(wire) * each // 1000 for each in at)})
    return [wire[begin:end] for begin, end in pairwise(places)]


_CUTS = st.lists(st.integers(0, 1000), max_size=12)


def _talk(pieces: list[bytes], *, promptly: bool) -> tuple[list[tuple[bytes, bytes, bytes]], bytes]:
    """What the origin read and the client got; the origin answers after each piece, or when all has been said."""
    site = serve(access_log="off")
    requests = []
    for piece in pieces:
        site.client.transport.feed(piece)
        if promptly:
            requests += site.origin.serve(ok("answer"))
    requests += site.origin.serve(ok("answer"))
    site.client.fin()
    requests += site.origin.serve(ok("answer"))
    got = _OURS.sub(b"", site.client.raw()).replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
    site.close()
    return [(request.method, request.target, request.body) for request in requests], got


@_QUICK
@given(st.lists(_MESSAGES, min_size=1, max_size=5), _CUTS, st.booleans())
def test_any_cut_of_a_pipeline(messages: list[bytes], cuts: list[int], promptly: bool) -> None:
    """The same requests reach the origin and the same answers the client, whatever the pieces are and whenever
    the origin answers."""
    wire = b"".join(messages)
    whole = _talk([wire], promptly=False)
    assert len(whole[0]) == len([message for message in messages if b"Max-Forwards" not in message])
    assert _talk(_cut(wire, cuts), promptly=promptly) == whole


@_QUICK
@given(st.sampled_from(_SMALL), st.sampled_from(_SMALL), _CUTS)
def test_any_cut_of_bad_requests(first: bytes, second: bytes, cuts: list[int]) -> None:
    """The same for what must be refused, and what stands behind it."""
    wire = first + second
    assert _talk(_cut(wire, cuts), promptly=False)[0] == _talk([wire], promptly=False)[0]


_EDIT = st.tuples(st.integers(0, 1000), st.sampled_from(_ODD), st.booleans())


def _edited(wire: bytes, edits: list[tuple[int, bytes, bool]]) -> bytes:
    for place, odd, replaces in edits:
        at = len(wire) * place // 1000
        wire = wire[:at] + odd + wire[at + (len(odd) if replaces else 0) :]
    return wire


@_QUICK
@given(st.sampled_from(_SMALL), st.lists(_EDIT, min_size=1, max_size=4))
def test_one_request_never_becomes_two(raw: bytes, edits: list[tuple[int, bytes, bool]]) -> None:
    """Of each exchange the origin reads at most one request, the one that was routed; of each connection at most the
    last one is cut short."""
    site = serve()
    site.client >> _edited(raw, edits)
    requests = site.origin.serve(ok("x"))
    site.client.fin()
    requests += site.origin.serve(ok("x"))
    site.client.reset()
    forwarded = [exchange.request for exchange in site.finished if exchange.attempts]
    assert len(requests) <= len(forwarded)
    for request, routed in zip(requests, forwarded, strict=False):
        target = routed.path if routed.query is None else routed.path + b"?" + routed.query
        assert (request.method, request.target) == (routed.method, target)
    for request in requests:
        _reads_alike(request.raw)
    site.close()


def _reads_alike(raw: bytes) -> None:
    """What we send reads as itself: our own reader finds in it what the origin did."""
    head_end = raw.index(b"\r\n\r\n") + 4
    read = RequestHeadReader().read(raw[:head_end])
    assert raw.startswith(read.method + b" " + read.target + b" HTTP/1.1\r\n")
    assert read.length == (-1 if b"transfer-encoding: chunked" in raw[:head_end] else read.length)
    assert read.path == read.target.partition(b"?")[0]


@_QUICK
@given(st.sampled_from(_SMALL), st.lists(_EDIT, max_size=6), st.binary(max_size=20))
def test_a_head_is_a_request_or_malformed(raw: bytes, edits: list[tuple[int, bytes, bool]], noise: bytes) -> None:
    """The reader has no third outcome, whatever it is given."""
    wire = _edited(raw, edits) + noise + b"\r\n\r\n"
    wire = wire[: wire.index(b"\r\n\r\n") + 4]
    try:
        status = 200 if RequestHeadReader().read(wire).method else 0
    except Malformed as malformed:
        status = malformed.status
    assert status in {200, 400, 414, 417, 431, 501, 505}


_RESPONSES = st.sampled_from(
    [
        ok("hello"),
        ok(b"x" * 3000, "X-A: b"),
        head("Transfer-Encoding: chunked") + b"5\r\nhello\r\n1;a=b\r\n!\r\n0\r\nX-T: 1\r\n\r\n",
        head("X-A: b") + b"until the end",
        head(status="204 No Content"),
        head("Link: </a>", status="103 Early Hints") + ok("hello"),
        head("Content-Length: 100") + b"short",
        head("Transfer-Encoding: chunked") + b"5\r\nhello\r\nzz\r\n",
        b"garbage\r\n\r\n",
    ]
)


def _answered(pieces: list[bytes]) -> tuple[int, bytes, bytes, str]:
    site: Served = serve(access_log="off", app={"retries": {"attempts": 0}})
    site.client >> get()
    site.origin << b"GET /"
    for piece in pieces:
        site.origin.transport.feed(piece)
    site.origin.fin()
    answer = site.client.answer()
    if answer is not None and answer.status == 103:
        answer = site.client.answer()
    outcome = (0, b"", b"") if answer is None else (answer.status, answer.body[:3000], repr(answer.trailers).encode())
    if outcome[0] >= 500:  # its page names the request
        outcome = (outcome[0], b"", b"")
    cause = site.cause
    site.close()
    return (*outcome, cause)


@_QUICK
@given(_RESPONSES, _CUTS)
def test_any_cut_of_a_response(wire: bytes, cuts: list[int]) -> None:
    """A whole answer is the same answer in any pieces; a broken one is never taken for whole."""
    whole, cut = _answered([wire]), _answered(_cut(wire, cuts))
    if whole[3] == "":
        assert cut == whole
    else:  # whether the head had left before the lie was seen depends on the cut
        assert cut[3] != ""
        assert cut[0] in {0, 502}
