"""Trace context: passed on as received when valid, begun where configured."""

from __future__ import annotations

import pytest

from gateway.exchange import Exchange
from gateway.filters.trace import Config, build, is_traceparent
from gateway.hooks import Hooks, Shared
from gateway.http.fields import without
from gateway.http.message import Fields
from tests.kit.exchanges import make_exchange, make_head

ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{ID}-00f067aa0ba902b7-01"


def sent(settings: dict[str, object], *fields: str, trusted: bool = False) -> tuple[Exchange, Fields]:
    hooks = build(Config.model_validate(settings), Shared())
    exchange = make_exchange("GET /", "example.com", *fields)
    exchange.trusted = trusted
    assert hooks.identify is not None
    assert hooks.prepare is not None
    hooks.identify(exchange)
    head = make_head(exchange)
    head.fields = without(head.fields, hooks.drop_request)
    hooks.prepare(exchange, head)
    return exchange, head.fields


@pytest.mark.parametrize(
    ("value", "valid"),
    [
        (PARENT, True),
        (f"00-{ID}-00f067aa0ba902b7-00", True),
        (f"00-{ID}-00f067aa0ba902b7-03", True),
        (f"cc-{ID}-00f067aa0ba902b7-01", True),
        (f"cc-{ID}-00f067aa0ba902b7-01-what-the-future-holds", True),
        (f"cc-{ID}-00f067aa0ba902b7-01what", False),
        (f"cc-{ID}-00f067aa0ba902b7-01-" + "x" * 300, False),
        (f"00-{ID}-00f067aa0ba902b7-01-more", False),
        (f"ff-{ID}-00f067aa0ba902b7-01", False),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", False),
        (f"00-{ID}-0000000000000000-01", False),
        (PARENT.upper(), False),
        (PARENT[:-1], False),
        (PARENT.replace("-", "_"), False),
        (f"00-{ID[:-1]}g-00f067aa0ba902b7-01", False),
        (f"0x-{ID}-00f067aa0ba902b7-01", False),
        (f"00-{ID}-00f067aa0ba902b7-0x", False),
        ("", False),
        ("-" * 55, False),
    ],
)
def test_traceparent(value: str, valid: bool) -> None:
    """The grammar of §3.2, with the room it leaves to later versions."""
    assert is_traceparent(value.encode()) is valid


def test_nothing_by_default() -> None:
    """Unconfigured, both fields are fields like any others and cost nothing."""
    assert build(Config(), Shared()) == Hooks()


def test_a_valid_trace_passes_as_received() -> None:
    """With its state, whose lines are joined in order."""
    exchange, fields = sent({"check": True}, f"traceparent: {PARENT}", "tracestate: a=1", "tracestate: b=2")
    assert exchange.trace == PARENT.encode()
    assert fields == [(b"traceparent", PARENT.encode()), (b"tracestate", b"a=1,b=2")]


@pytest.mark.parametrize(
    "fields",
    [
        [],
        ["tracestate: a=1"],
        [f"traceparent: {PARENT}x", "tracestate: a=1"],
        [f"traceparent: {PARENT}", f"traceparent: {PARENT}", "tracestate: a=1"],
        [f"traceparent: {PARENT}, {PARENT}"],
    ],
)
def test_a_malformed_trace_does_not(fields: list[str]) -> None:
    """Neither it nor its state goes on; one is begun only where that is configured."""
    exchange, checked = sent({"check": True}, *fields)
    assert (exchange.trace, checked) == (b"", [])
    exchange, begun = sent({"begin": True}, *fields)
    assert begun == [(b"traceparent", exchange.trace)]
    assert is_traceparent(exchange.trace)
    assert ID.encode() not in exchange.trace


def test_a_state_beyond_its_limits_is_dropped() -> None:
    """32 members; the trace itself goes on."""
    full = ",".join(f"k{number}=v" for number in range(32))
    assert sent({"check": True}, f"traceparent: {PARENT}", f"tracestate: {full}")[1][1:] == [
        (b"tracestate", full.encode())
    ]
    for state in (full + ",one=more", "a=" + "x" * 5000):
        assert len(sent({"check": True}, f"traceparent: {PARENT}", f"tracestate: {state}")[1]) == 1


@pytest.mark.parametrize(("sampled", "flags"), [(False, b"-02"), (True, b"-03")])
def test_begun_traces(sampled: bool, flags: bytes) -> None:
    """Random and said to be so (level 2), sampled as configured, all different."""
    hooks = build(Config(begin=True, sampled=sampled), Shared())
    traces = set()
    for _ in range(500):
        exchange = make_exchange()
        assert hooks.identify is not None
        hooks.identify(exchange)
        assert is_traceparent(exchange.trace)
        assert exchange.trace.endswith(flags)
        traces.add(exchange.trace)
    assert len(traces) == len({trace[3:35] for trace in traces}) == 500


@pytest.mark.parametrize(
    ("accept", "trusted", "taken"),
    [("always", False, True), ("trusted", False, False), ("trusted", True, True), ("never", True, False)],
)
def test_whose_trace_is_continued(accept: str, trusted: bool, taken: bool) -> None:
    """By option and by trust; a stranger's trace is replaced where one is begun."""
    exchange, _fields = sent({"accept": accept, "begin": True}, f"traceparent: {PARENT}", trusted=trusted)
    assert (exchange.trace == PARENT.encode()) is taken
    assert exchange.trace
