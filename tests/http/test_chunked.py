"""The chunked transfer coding: exactly the grammar, in every split."""

from __future__ import annotations

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.chunked import MAX_TRAILER_FIELDS, ChunkedReader, chunk, last_chunk
from gateway.http.message import Malformed

GOOD = [
    (b"0\r\n\r\n", b"", [], b""),
    (b"5\r\nhello\r\n0\r\n\r\n", b"hello", [], b""),
    (b"5\r\nhello\r\n0\r\n\r\nGET /", b"hello", [], b"GET /"),
    (b"A\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n", b"0123456789x", [], b""),
    (b"000a\r\n0123456789\r\n0\r\n\r\n", b"0123456789", [], b""),
    (b'3;a=b;c="d\\"e;"; f\r\nabc\r\n0;last\r\n\r\n', b"abc", [], b""),
    (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n", [], b""),
    (b"1\r\nx\r\n0\r\nX-Sum: 1 \r\nY:\r\n\r\n", b"x", [(b"x-sum", b"1"), (b"y", b"")], b""),
]
BAD = [
    b"\r\n", b"x\r\n", b"-1\r\n", b"+1\r\n", b"0x5\r\nhello\r\n", b" 5\r\nhello\r\n", b"5 \r\nhello\r\n0\r\n\r\n",
    b"5\nhello\r\n0\r\n\r\n", b"5\r\nhello\n0\r\n\r\n", b"5\r\nhello0\r\n\r\n", b"5\r\nhelloo\r\n0\r\n\r\n",
    b"11111111111111111\r\n", b"5;\r\nhello\r\n0\r\n\r\n", b"5;a=\r\nhello\r\n0\r\n\r\n", b"5;a\x00b\r\nhello\r\n0\r\n\r\n",
    b"5;a\nhello\r\n0\r\n\r\n", b"0\r\nbad name: x\r\n\r\n", b"0\r\n: x\r\n\r\n", b"0\r\nno-colon\r\n\r\n",
    b"0\r\na: \x00\r\n\r\n", b"0\r\n folded\r\n\r\n", b"0\r\na: b\n\r\n", b"0\r\n\n", b"5\r\nhello\r\r\n0\r\n\r\n",
    b"_5\r\nhello\r\n0\r\n\r\n", b"1_0\r\n", b"5,5\r\nhello\r\n", b"4000000000000000\r\n", b"FFFFFFFFFFFFFFFF\r\n",
    b"x", b"5\rx", b"5;a\x00", b"5 x", b"5\r\nhello\r\n\n", b"0\r\n[", b"0\r\na: b\rc", b"0\r\n\rx",  # their ends never come
]  # fmt: skip


def read(pieces: list[bytes]) -> tuple[bytes, ChunkedReader]:
    reader, body = ChunkedReader(), b""
    for at, piece in enumerate(pieces):
        body += b"".join(reader.feed(piece))
        if reader.complete:
            reader.leftover += b"".join(pieces[at + 1 :])
            break
    return body, reader


@pytest.mark.parametrize(("raw", "body", "trailers", "leftover"), GOOD)
def test_a_good_body_is_the_same_in_one_piece_and_byte_by_byte(raw, body, trailers, leftover):
    """Every good body decodes to the same bytes, trailers and rest, however it arrives."""
    splits = [[raw], [raw[at : at + 1] for at in range(len(raw))]]
    splits += [[raw[:at], raw[at:]] for at in range(1, len(raw))]
    for pieces in splits:
        decoded, reader = read(pieces)
        assert (decoded, reader.complete, reader.trailers, reader.leftover) == (body, True, trailers, leftover)


@pytest.mark.parametrize("raw", BAD)
def test_a_bad_body_is_refused_however_it_arrives(raw):
    """Nothing outside the grammar is guessed at."""
    with pytest.raises(Malformed):
        read([raw])
    with pytest.raises(Malformed):
        read([raw[at : at + 1] for at in range(len(raw))])


def test_endless_size_lines_are_cut_off():
    """A size line of zeros or of extensions never fills the memory."""
    for endless in (b"0" * 300, b"5;" + b"a" * 300):
        with pytest.raises(Malformed):
            ChunkedReader().feed(endless)


def test_a_body_that_is_mostly_extensions_is_refused():
    """Many short chunks with long extensions are an attack on our time."""
    with pytest.raises(Malformed, match="extensions"):
        ChunkedReader().feed((b"1;" + b"a" * 200 + b"\r\nx\r\n") * 100)


def test_trailers_are_bounded_by_number_and_size():
    """A trailer section is not a second head."""
    with pytest.raises(Malformed) as refused:
        ChunkedReader().feed(b"0\r\n" + b"a: b\r\n" * (MAX_TRAILER_FIELDS + 1))
    assert refused.value.status == 431
    with pytest.raises(Malformed):
        ChunkedReader().feed(b"0\r\na: " + b"x" * 9000)


@given(st.lists(st.binary(min_size=1, max_size=50)), st.lists(st.integers(1, 40)))
def test_what_we_render_we_read(pieces, cuts):
    """Rendering and reading are inverse, in any split."""
    raw = b"".join(map(chunk, pieces)) + last_chunk([(b"x-sum", b"1")])
    parts, at = [], 0
    for cut in cuts:
        parts.append(raw[at : at + cut])
        at += cut
    parts.append(raw[at:])
    body, reader = read([part for part in parts if part])
    assert body == b"".join(pieces)
    assert reader.trailers == [(b"x-sum", b"1")]


class Oracle:
    """What llhttp makes of a chunked body."""

    def __init__(self) -> None:
        self.body = b""
        self.complete = False

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


@given(
    st.lists(
        st.sampled_from([b"5", b"0", b"a", b"\r\n", b"\n", b"\r", b";", b"x", b"=", b'"', b" ", b"hello", b"A: b"]),
        max_size=14,
    )
)
def test_what_we_accept_llhttp_accepts_alike(parts):
    """Our reader is never more lenient than llhttp: what it takes as a whole body, llhttp reads the same."""
    raw = b"".join(parts)
    reader = ChunkedReader()
    try:
        body = b"".join(reader.feed(raw))
    except Malformed:
        return
    if not reader.complete or reader.leftover:
        return
    oracle = Oracle()
    parser = httptools.HttpRequestParser(oracle)
    parser.feed_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + raw)
    assert (oracle.complete, oracle.body) == (True, body)
