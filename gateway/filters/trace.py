"""Trace context: `traceparent` and `tracestate` checked and passed on, or begun (W3C Trace Context, level 2).

Written in `identify`, sent upstream in `prepare`; unless configured both fields pass like any others. The rule: what
goes on is a well-formed `traceparent` as it was received, and no `tracestate` without one (§3.3, §4.3).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Literal

from gateway.exchange import Exchange
from gateway.hooks import Hooks, Shared, UpstreamHead
from gateway.http.message import Request
from gateway.schema import Field, Model

PARENT = b"traceparent"
STATE = b"tracestate"

# §3.2.2: two digits of version, 32 of trace id, 16 of parent id, two of flags.
_LENGTH = 55
_HEX = b"0123456789abcdef"
# A version of the future may be longer; against a field that is carried to every hop and log behind us.
LONGEST_PARENT = 256
# §3.3.1.1 allows 32 members, and asks for at least 512 characters to be passed on.
MOST_MEMBERS = 32
LONGEST_STATE = 4096
_DRAWN = 24 * 128  # bytes of chance a read: one system call for 128 traces


class Config(Model):
    """Distributed tracing by the W3C's fields."""

    check: bool = False
    """Drop a malformed `traceparent`, and a `tracestate` without a valid one. Every other setting here implies it;
    without any, both pass like ordinary fields."""
    begin: bool = False
    """Begin a trace for requests that carry none (or a malformed one)."""
    sampled: bool = False
    """Whether traces begun here ask to be recorded by those who follow."""
    accept: Literal["always", "trusted", "never"] = Field(default="always")
    """Whose trace is continued: everyone's, that of `trusted` peers (see `real_ip`), or nobody's."""


def build(config: Config, shared: Shared) -> Hooks:
    """Two hooks that drop what is malformed and, with `begin`, put a new trace in its place; none by default."""
    if config == Config():
        return Hooks()
    always, never = config.accept == "always", config.accept == "never"
    begin = _beginner(config.sampled) if config.begin else None

    def identify(exchange: Exchange) -> None:
        request = exchange.request
        if PARENT in request.index and (always or (exchange.trusted and not never)):
            exchange.trace = _told(request)
        if begin is not None and not exchange.trace:
            exchange.trace = begin()

    def prepare(exchange: Exchange, head: UpstreamHead) -> None:
        if not exchange.trace:
            return
        head.fields.append((PARENT, exchange.trace))
        index = exchange.request.index
        if STATE in index and index.get(PARENT) == exchange.trace:
            state = _state(exchange.request)
            if state:
                head.fields.append((STATE, state))

    return Hooks(identify=identify, prepare=prepare, drop_request=frozenset({PARENT, STATE}))


def is_traceparent(value: bytes) -> bool:
    """Whether `value` is a traceparent of version 00, or of a later one that begins like it (§3.2.2, §4.1)."""
    if len(value) < _LENGTH or len(value) > LONGEST_PARENT:
        return False
    if value[2:3] != b"-" or value[35:36] != b"-" or value[52:53] != b"-":
        return False
    version, trace, parent = value[:2], value[3:35], value[36:52]
    if (version + trace + parent + value[53:55]).translate(None, _HEX):
        return False
    if version == b"ff" or not trace.strip(b"0") or not parent.strip(b"0"):
        return False
    return len(value) == _LENGTH or (version != b"00" and value[55:56] == b"-")


def _told(request: Request) -> bytes:
    value = request.index[PARENT]
    if not is_traceparent(value):
        return b""
    # §3.2: one field only; two say nothing about which is meant.
    if len(request.fields) != len(request.index) and len(request.values(PARENT)) > 1:
        return b""
    return value


def _state(request: Request) -> bytes:
    value = b",".join(request.values(STATE))
    return value if len(value) <= LONGEST_STATE and value.count(b",") < MOST_MEMBERS else b""


def _beginner(sampled: bool) -> Callable[[], bytes]:
    # Level 2, §3.2.2.5.2: the second bit says that the trace id is random.
    flags = b"-03" if sampled else b"-02"
    stock = b""
    at = 0

    def begin() -> bytes:
        """Chance is drawn at the first call, so that processes forked before it do not share it."""
        nonlocal stock, at
        if at >= len(stock):
            stock = os.urandom(_DRAWN).hex().encode("ascii")
            at = 0
        start, at = at, at + 48
        return b"00-%b-%b%b" % (stock[start : start + 32], stock[start + 32 : at], flags)

    return begin
