"""Mutations: valid bytes made wrong by lot, in the ways that have fooled readers of HTTP before.

For fuzzing whole gateways: most of what comes out is nearly right, which goes deeper than noise.
"""

from __future__ import annotations

import contextlib
import random
import ssl
from collections.abc import Callable, Sequence

# What parsers disagree about, put where it does not belong.
TOKENS = (
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\r\n ", b"\x00", b" ", b"\t", b":", b",", b";", b"\"", b"%", b"/../", b"//", b"\xff",
    b"\xc0\xae", b"\x0b", b"0", b"-1", b"+5", b"0x10", b"99999999999999999999", b"chunked", b"identity", b"close",
    b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Connection: close\r\n",
    b"Connection: upgrade\r\nUpgrade: websocket\r\n", b"Expect: 100-continue\r\n", b"Host: b.example\r\n", b"HTTP/1.1", b"HTTP/1.0",
    b"HTTP/2.0", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"0\r\n\r\n", b"5;x=\"y\"\r\nabcde\r\n", b"ffffffffffffffff\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
)  # fmt: skip

Mutation = Callable[[bytes, random.Random], bytes]


def _place(wire: bytes, lot: random.Random) -> int:
    return lot.randrange(len(wire) + 1)


def _span(wire: bytes, lot: random.Random) -> tuple[int, int]:
    start = _place(wire, lot)
    return start, min(len(wire), start + lot.choice((1, 1, 2, 4, 16, 64)))


def flip(wire: bytes, lot: random.Random) -> bytes:
    """One bit of one byte."""
    at = lot.randrange(max(1, len(wire)))
    return wire[:at] + bytes([wire[at] ^ 1 << lot.randrange(8)]) + wire[at + 1 :] if wire else wire


def replace(wire: bytes, lot: random.Random) -> bytes:
    """Any byte for one byte."""
    at = _place(wire, lot)
    return wire[:at] + bytes([lot.randrange(256)]) + wire[at + 1 :]


def drop(wire: bytes, lot: random.Random) -> bytes:
    start, end = _span(wire, lot)
    return wire[:start] + wire[end:]


def double(wire: bytes, lot: random.Random) -> bytes:
    start, end = _span(wire, lot)
    return wire[:end] + wire[start:end] * lot.choice((1, 1, 2, 50)) + wire[end:]


def insert(wire: bytes, lot: random.Random) -> bytes:
    at = _place(wire, lot)
    return wire[:at] + lot.choice(TOKENS) + wire[at:]


def swell(wire: bytes, lot: random.Random) -> bytes:
    """A run that is longer than a limit might be."""
    at = _place(wire, lot)
    return wire[:at] + lot.choice((b"A", b" ", b"0", b"\t", b"a: b\r\n")) * lot.choice((100, 9000, 40_000)) + wire[at:]


def cut(wire: bytes, lot: random.Random) -> bytes:
    return wire[: _place(wire, lot)]


def move(wire: bytes, lot: random.Random) -> bytes:
    """A line to another place."""
    lines = wire.split(b"\r\n")
    lines.insert(lot.randrange(len(lines)), lines.pop(lot.randrange(len(lines))))
    return b"\r\n".join(lines)


MUTATIONS: dict[Mutation, int] = {flip: 20, replace: 15, drop: 15, double: 12, insert: 25, swell: 2, cut: 4, move: 7}


def mutated(models: Sequence[bytes], lot: random.Random) -> bytes:
    """One of `models`, or one spliced onto another, with nought to four mutations."""
    wire = lot.choice(models)
    if lot.random() < 0.15:
        other = lot.choice(models)
        wire = wire[: _place(wire, lot)] + other[_place(other, lot) :]
    for mutation in lot.choices(list(MUTATIONS), list(MUTATIONS.values()), k=lot.choice((0, 1, 1, 1, 2, 2, 3, 4))):
        wire = mutation(wire, lot)
    return wire


def pieces(wire: bytes, lot: random.Random) -> list[bytes]:
    """Cut in one to four."""
    cuts = sorted(_place(wire, lot) for _ in range(lot.choice((0, 0, 1, 1, 3))))
    return [wire[start:end] for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)]


def client_hello(name: str) -> bytes:
    """The first flight of a TLS client that asks for `name`."""
    said = ssl.MemoryBIO()
    speaker = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), said, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        speaker.do_handshake()
    return said.read()
