"""Board: a small document that all processes can read, and that outlives whoever has written it.

The control process pins up what an operator has asked for while the gateway runs (gateway/operations.py); its successor
after a death or an upgrade, and every new worker, finds it there. The rule: two places take turns and one word says
which of them holds, so that a reader sees the old document or the new one and nothing in between.
"""

from __future__ import annotations

from typing import Any

import orjson

from gateway.state.segment import PAGE, REGIONS, WORD, Segment

LARGEST = (REGIONS["board"].size - PAGE) // 2  # bytes of a document


class Board:
    """For any process; writers take turns by the segment's lock."""

    __slots__ = ("_bytes", "_segment", "_state")

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._bytes = segment.region("board")
        self._state = self._bytes[:WORD].cast("q")  # length * 2 + the place; 0 for nothing yet

    def read(self) -> dict[str, Any]:
        """What is there, {} for nothing. Under the lock: a writer that is two documents ahead may be in our place."""
        with self._segment.locked("board"):
            length, place = divmod(self._state[0], 2)
            first = PAGE + place * LARGEST
            document = bytes(self._bytes[first : first + length])
        return dict(orjson.loads(document)) if document else {}

    def write(self, document: dict[str, Any]) -> None:
        """Replaces what is there. Raises ValueError beyond LARGEST."""
        content = orjson.dumps(document)
        if len(content) > LARGEST:
            raise ValueError(f"{len(content)} bytes; there is room for {LARGEST}")
        with self._segment.locked("board"):
            place = 1 - self._state[0] % 2
            first = PAGE + place * LARGEST
            self._bytes[first : first + len(content)] = content
            self._state[0] = len(content) * 2 + place
