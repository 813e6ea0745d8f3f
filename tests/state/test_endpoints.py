"""The shared words of endpoints: one name, one place, in every process and for ever."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.state import endpoints as module
from gateway.state.endpoints import Endpoints
from gateway.state.segment import ENDPOINT_WORDS, Segment
from tests.kit.children import run


@pytest.fixture
def segment() -> Iterator[Segment]:
    made = Segment.create()
    yield made
    made.close()


def test_a_name_has_its_own_words(segment: Segment) -> None:
    """The same endpoint of two upstreams has two places; asked for again it is the same one."""
    known = Endpoints(segment)
    known.claim("app", "a:80")[3] = 7
    assert known.claim("app", "a:80")[3] == 7
    assert known.claim("api", "a:80")[3] == 0
    assert known.claim("app", "b:80").tolist() == [0] * (ENDPOINT_WORDS - 1)


def test_every_process_finds_the_same_place(segment: Segment) -> None:
    """What a forked process has claimed and written is there, in the order of whoever came first."""
    Endpoints(segment).claim("app", "a:80")[0] = 1

    def child() -> None:
        known = Endpoints(segment)
        known.claim("app", "b:80")[0] = 2
        known.claim("app", "a:80")[1] = 3

    assert run(child) == 0
    known = Endpoints(segment)
    assert known.claim("app", "b:80")[0] == 2
    assert known.claim("app", "a:80")[:2].tolist() == [1, 3]


def test_places_claimed_by_others_in_between(segment: Segment) -> None:
    """A directory that has been read goes on with what others have added since."""
    one, other = Endpoints(segment), Endpoints(segment)
    one.claim("app", "a:80")[0] = 1
    other.claim("app", "b:80")[0] = 2
    one.claim("app", "c:80")[0] = 3
    assert [other.claim("app", name)[0] for name in ("a:80", "b:80", "c:80")] == [1, 2, 3]
    assert one.claim("app", "b:80")[0] == 2


def test_it_survives_an_exec(segment: Segment) -> None:
    """Another image of the process finds the words where they were."""
    Endpoints(segment).claim("app", "a:80")[5] = 9
    assert Endpoints(Segment.attach(segment.fd)).claim("app", "a:80")[5] == 9


def test_changes_are_counted_in_one_word(segment: Segment) -> None:
    """Whoever has the directory sees the count of changes move."""
    one, other = Endpoints(segment), Endpoints(segment)
    with one.locked():
        one.changes[0] += 1
    assert other.changes[0] == 1


def test_when_it_is_full(segment: Segment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the room there are words too, which are nobody else's; those with a place keep it."""
    monkeypatch.setattr(module, "MAX_ENDPOINTS", 3)
    one, other = Endpoints(segment), Endpoints(segment)
    for name in ("a", "b", "c"):
        one.claim("app", name)[0] = 5
    assert one.claim("app", "c")[0] == 5
    assert [other.claim("app", name)[0] for name in ("a", "b", "c")] == [5, 5, 0]


def test_without_a_segment() -> None:
    """For tests and for `gateway check`: the same, for one process."""
    known = Endpoints()
    known.claim("app", "a:80")[0] = 1
    assert known.claim("app", "a:80")[0] == 1
    assert known.claim("app", "b:80")[0] == 0
    with known.locked():
        known.changes[0] += 1
    assert known.changes[0] == 1
