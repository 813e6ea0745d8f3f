"""Standing: what is held for and against one endpoint, by all processes of the gateway.

Workers ask it whom to pick from and write down whom they eject; the control process writes what its checks find and
what the operator wants. The rule: a word is written under the lock that all share, and the change is counted there, so
that whoever reads `changes` knows when to look again. All times are seconds of the machine's monotonic clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from enum import IntEnum
from threading import Lock
from typing import Protocol

from gateway.metrics import Values

_NANO = 1_000_000_000


class Word(IntEnum):
    """Places in an endpoint's words. Zero always means: nothing is known, nothing is wanted."""

    HEALTH = 0
    EJECTED_UNTIL = 1  # nanoseconds
    EJECTIONS = 2  # in a row, each soon after the one before
    DRAINED = 3
    WEIGHT = 4  # that the operator wants, plus one
    WEIGHT_BEFORE = 5  # the configured one that it stands for
    RETURNED_AT = 6  # nanoseconds: when it last became fit to be asked


class Health(IntEnum):
    """What active checks say."""

    UNKNOWN = 0
    UP = 1
    DOWN = 2


class Shared(Protocol):
    """The directory of all endpoints' words (gateway/state/endpoints.py)."""

    @property
    def changes(self) -> Values: ...
    def claim(self, upstream: str, endpoint: str) -> Values: ...
    def locked(self) -> AbstractContextManager[None]: ...


class Alone:
    """A directory for an upstream that shares with nobody."""

    __slots__ = ("_lock", "changes")

    def __init__(self) -> None:
        self._lock = Lock()
        self.changes: Values = [0]

    def claim(self, _upstream: str, _endpoint: str) -> Values:
        return [0] * len(Word)

    @contextmanager
    def locked(self) -> Iterator[None]:
        with self._lock:
            yield


class Standing:
    """The words of one endpoint, read as what they mean."""

    __slots__ = ("_shared", "_words")

    def __init__(self, shared: Shared, upstream: str, endpoint: str) -> None:
        self._shared = shared
        self._words = shared.claim(upstream, endpoint)

    @property
    def health(self) -> Health:
        return Health(self._words[Word.HEALTH])

    @property
    def drained(self) -> bool:
        return self._words[Word.DRAINED] == 1

    @property
    def ejected_until(self) -> float:
        return self._words[Word.EJECTED_UNTIL] / _NANO

    @property
    def ejections(self) -> int:
        return self._words[Word.EJECTIONS]

    @property
    def returned_at(self) -> float:
        """When it became fit to be asked, 0.0 if it always was."""
        return self._words[Word.RETURNED_AT] / _NANO

    def weight(self, configured: int) -> int:
        """The one in force: the operator's, until the configured one that he overrode is another."""
        wanted = self._words[Word.WEIGHT]
        return wanted - 1 if wanted and self._words[Word.WEIGHT_BEFORE] == configured else configured

    def set_health(self, health: Health, now: float) -> None:
        before = self.health
        with self._changed():
            if before is Health.DOWN and health is Health.UP:
                self._words[Word.RETURNED_AT] = int(now * _NANO)
            self._words[Word.HEALTH] = health

    def set_drained(self, now: float, *, drained: bool) -> None:
        with self._changed():
            if self.drained and not drained:
                self._words[Word.RETURNED_AT] = int(now * _NANO)
            self._words[Word.DRAINED] = int(drained)

    def set_weight(self, weight: int, configured: int) -> None:
        with self._changed():
            self._words[Word.WEIGHT_BEFORE] = configured
            self._words[Word.WEIGHT] = weight + 1

    def arrived(self, now: float) -> None:
        """It is new among endpoints that serve already. Nothing if another process has said so."""
        with self._changed():
            if not self._words[Word.RETURNED_AT]:
                self._words[Word.RETURNED_AT] = int(now * _NANO)

    def write_ejection(self, until: float, ejections: int) -> None:
        """Under the lock that the caller holds, and where he counts the change."""
        self._words[Word.EJECTIONS] = ejections
        self._words[Word.EJECTED_UNTIL] = int(until * _NANO)

    @contextmanager
    def _changed(self) -> Iterator[None]:
        shared = self._shared
        with shared.locked():
            yield
            shared.changes[0] += 1
