"""ChunkedReader: takes the chunked transfer coding apart, strictly (RFC 9112 §7.1); and the two renderings of it.

Both wires use it for every chunked body. It accepts exactly the grammar: CRLF line ends, hexadecimal sizes without
padding, extensions it skips but bounds, trailers it hands over apart from the head; anything else is Malformed.
"""

from __future__ import annotations

import re
from enum import Enum

from gateway.http.message import Fields, Malformed
from gateway.http.partial import judge_field_line, judge_size_line

MAX_SIZE = 1 << 62  # of a chunk: no reader's integer overflows below it
MAX_SIZE_LINE = 256  # bytes of a chunk-size line with its extensions: against endless extensions and zeros
MAX_EXTENSIONS = (
    16 * 1024
)  # bytes of size lines a body may spend beyond 16 a chunk: against a body that is all extension
MAX_TRAILERS = 8 * 1024  # bytes of the trailer section: against a second, unbounded head
MAX_TRAILER_FIELDS = 32

# At most 16 digits; extensions are tokens, values tokens or quoted strings (RFC 9112 §7.1.1).
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = rb"\"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*\""
_EXTENSION = rb"[ \t]*;[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|%b))?" % (_TOKEN, _TOKEN, _QUOTED)
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:%b)*" % _EXTENSION)
# A size line as nearly all are. Digits only, so int() reads what the grammar means.
_PLAIN_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})\r\n")
_TRAILER_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*")

LAST_CHUNK = b"0\r\n\r\n"


class _State(Enum):
    SIZE = 0
    DATA = 1
    DATA_END = 2
    TRAILERS = 3
    COMPLETE = 4


class ChunkedReader:
    """Feed it what arrives; it returns the decoded pieces.

    complete   the last chunk and the trailer section have been read
    trailers   lower-case names; valid once complete
    leftover   bytes after the end of the body; valid once complete
    """

    __slots__ = ("_extensions", "_held", "_remaining", "_state", "complete", "leftover", "trailers")

    def __init__(self) -> None:
        self._state = _State.SIZE
        self._held = b""  # an unfinished line
        self._remaining = 0  # bytes left of the chunk under way
        self._extensions = 0
        self.complete = False
        self.trailers: Fields = []
        self.leftover = b""

    @property
    def announced(self) -> int:
        """Bytes of the chunk under way that are still to come."""
        return self._remaining

    def feed(self, data: bytes) -> list[bytes]:
        """Decoded pieces of the body in `data`, none of them empty. Raises Malformed."""
        pieces: list[bytes] = []
        seen = len(self._held)
        if seen:
            data = self._held + data
            self._held = b""
        at = self._whole_chunks(data, pieces) if self._state is _State.SIZE else 0
        while not self.complete:
            if self._state is _State.DATA:
                piece = data[at : at + self._remaining]
                if piece:
                    pieces.append(piece)
                at += len(piece)
                self._remaining -= len(piece)
                if self._remaining:
                    return pieces
                self._state = _State.DATA_END
            elif self._state is _State.DATA_END:
                end = data[at : at + 2]
                if end == b"\r\n":
                    at += 2
                    self._state = _State.SIZE
                elif b"\r\n".startswith(end):
                    self._held = end
                    return pieces
                else:
                    raise Malformed("a chunk longer than its size")
            else:
                end_at = data.find(b"\n", at)
                if end_at < 0:
                    self._hold(data[at:], 0 if at else seen)
                    return pieces
                self._line(data[at : end_at + 1])
                at = end_at + 1
        self.leftover = data[at:]
        return pieces

    def _whole_chunks(self, data: bytes, pieces: list[bytes]) -> int:
        """Takes the chunks at the beginning of `data` that are whole and plain; returns where they end."""
        at, size_of_all = 0, len(data)
        while (line := _PLAIN_SIZE.match(data, at)) is not None:
            size = int(line[1], 16)
            begin = line.end()
            end = begin + size
            if not size or end + 2 > size_of_all or data[end : end + 2] != b"\r\n":
                break
            pieces.append(data[begin:end])
            at = end + 2
        return at

    def _hold(self, unfinished: bytes, seen: int) -> None:
        """Keeps the beginning of a line, if it is one; `seen` bytes of it were kept before."""
        is_size = self._state is _State.SIZE
        if len(unfinished) > (MAX_SIZE_LINE if is_size else MAX_TRAILERS):
            raise Malformed("an endless line in a chunked body")
        (judge_size_line if is_size else judge_field_line)(unfinished, seen)
        self._held = unfinished

    def _line(self, line: bytes) -> None:
        if not line.endswith(b"\r\n"):
            raise Malformed("a line in a chunked body that does not end with CRLF")
        if self._state is _State.SIZE:
            self._size(line[:-2])
        else:
            self._trailer(line[:-2])

    def _size(self, line: bytes) -> None:
        found = _SIZE_LINE.fullmatch(line) if len(line) <= MAX_SIZE_LINE else None
        if found is None:
            raise Malformed("an invalid chunk size")
        self._extensions += max(0, len(line) - 16)
        if self._extensions > MAX_EXTENSIONS:
            raise Malformed("too many chunk extensions")
        self._remaining = int(found[1], 16)
        if self._remaining >= MAX_SIZE:
            raise Malformed("a chunk size that no body has")
        self._state = _State.DATA if self._remaining else _State.TRAILERS

    def _trailer(self, line: bytes) -> None:
        if not line:
            self._state = _State.COMPLETE
            self.complete = True
            return
        found = _TRAILER_LINE.fullmatch(line)
        if found is None:
            raise Malformed("an invalid trailer field")
        self.trailers.append((found[1].lower(), found[2]))
        held = sum(len(name) + len(value) for name, value in self.trailers)
        if len(self.trailers) > MAX_TRAILER_FIELDS or held > MAX_TRAILERS:
            raise Malformed("too many trailer fields", 431)


def chunk(piece: bytes) -> bytes:
    """`piece` (not empty) as one chunk."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def last_chunk(trailers: Fields) -> bytes:
    """The end of a chunked body, with its trailer section."""
    if not trailers:
        return LAST_CHUNK
    return b"0\r\n" + b"".join([b"%b: %b\r\n" % field for field in trailers]) + b"\r\n"
