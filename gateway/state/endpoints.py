"""Endpoints: the few words that all processes share about each endpoint of an upstream.

The control process writes what its checks and the operator say, workers write whom they have ejected, and all of them
read. The rule: a name keeps its words for as long as the segment lives, over reloads, upgrades and anybody's death; who
changes a word counts it in `changes`, so that others need to look at one word only.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b

from gateway.state.segment import ENDPOINT_WORDS, MAX_ENDPOINTS, WORD, Segment

# The first place of the region is the directory's own: how often something was changed, and how many places are taken.
_CHANGES, _TAKEN = range(2)
_KEY = 0  # first word of a place: the name, as a number


class Endpoints:
    """The directory. For any thread.

    changes   one word: how often a word of any endpoint was changed; written to under `locked` only
    """

    __slots__ = ("_lock", "_places", "_private", "_read", "_segment", "_words", "changes")

    def __init__(self, segment: Segment | None = None) -> None:
        self._segment = segment
        self._lock = threading.Lock()
        self._private: dict[int, memoryview] = {}  # without a segment, or without room in it
        self._places: dict[int, int] = {}  # by key
        self._read = 1  # places
        self._words = segment.region("endpoints").cast("q") if segment is not None else _zeros()
        self.changes = self._words[_CHANGES : _CHANGES + 1]

    def claim(self, upstream: str, endpoint: str) -> memoryview:
        """The words of an endpoint but for the first, which is its key: the same ones in every process, all zero when
        it is new. Beyond the room of the segment they are this process's alone."""
        key = _key(upstream, endpoint)
        with self.locked():
            place = self._find(key)
            if place is None:
                return self._private.setdefault(key, _zeros()[1:])
        first = place * ENDPOINT_WORDS
        return self._words[first + 1 : first + ENDPOINT_WORDS]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds every other process and thread off the words. For moments."""
        if self._segment is None:
            with self._lock:
                yield
        else:
            with self._segment.locked("endpoints"):
                yield

    def _find(self, key: int) -> int | None:
        """Its place, a new one where it has none yet; None where there is no room."""
        if self._segment is None:
            return None
        words = self._words
        taken = 1 + words[_TAKEN]
        for place in range(self._read, taken):  # what others have claimed
            self._places[words[place * ENDPOINT_WORDS + _KEY]] = place
        self._read = taken
        found = self._places.get(key)
        if found is not None or taken == MAX_ENDPOINTS:
            return found
        words[taken * ENDPOINT_WORDS + _KEY] = key
        words[_TAKEN] = taken
        return self._find(key)


def _zeros() -> memoryview:
    return memoryview(bytearray(ENDPOINT_WORDS * WORD)).cast("q")


def _key(upstream: str, endpoint: str) -> int:
    """63 bits of a hash: of 4,095 names two are the same once in a million million gateways."""
    digest = blake2b(f"{upstream}\0{endpoint}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
