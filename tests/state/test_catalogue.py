"""The list of what stands in which slot: written by many processes, killed ones included, and read by all."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

from gateway.metrics import LATENCY, OTHER, REFUSED, Definition, Metrics
from gateway.state import catalogue as catalogue_module
from gateway.state.catalogue import BASKET, SPARE_BYTES, SPARE_SLOTS, Catalogue, Claimed
from gateway.state.segment import LANE_SLOTS, REGIONS, Segment, Word
from tests.kit.children import KILLED, Gate, fork, forked, kill, run, wait


@pytest.fixture
def segment() -> Iterator[Segment]:
    made = Segment.create()
    yield made
    made.close()


def counter(route: str, name: str = "gateway_x_total") -> Definition:
    return Definition(name, "counter", "X.", (("route", route),))


def histogram(route: str) -> Definition:
    return Definition("gateway_x_seconds", "histogram", "X.", (("route", route), ("kind", "a")), LATENCY)


def is_sound(claimed: list[Claimed]) -> bool:
    """Slots follow each other, and none is given twice."""
    at = BASKET
    for definition, first in claimed:
        if first != at:
            return False
        at += definition.size
    return len({definition for definition, _first in claimed}) == len(claimed)


def test_a_definition_has_one_slot_in_every_process(segment: Segment) -> None:
    """Whoever claims first decides; the others find it, before and after they are forked."""
    parent = Catalogue(segment)
    known = parent.claim(counter("a"))

    def claim() -> None:
        child = Catalogue(segment)
        assert child.claim(histogram("b")) == BASKET + 1
        assert child.claim(counter("a")) == parent.claim(counter("a")) == known
        assert parent.claim(counter("c")) == BASKET + 1 + len(LATENCY) + 2

    assert run(claim) == 0
    assert parent.claim(counter("c")) == BASKET + 1 + len(LATENCY) + 2
    assert parent.claim(histogram("b")) == BASKET + 1
    assert [definition for definition, _first in parent.definitions()] == [counter("a"), histogram("b"), counter("c")]
    assert is_sound(parent.definitions())


def test_the_order_of_labels_is_no_matter(segment: Segment) -> None:
    """Two call sites may name them differently, and which comes first differs from process to process."""
    catalogue = Catalogue(segment)
    backwards = histogram("a")._replace(labels=histogram("a").labels[::-1])
    first = catalogue.claim(histogram("a"))
    assert catalogue.claim(backwards) == Catalogue(segment).claim(backwards) == first


def test_another_meaning_of_a_name_has_slots_of_its_own(segment: Segment) -> None:
    """After an upgrade a metric may have other bounds: two versions must not count into each other's buckets."""
    catalogue = Catalogue(segment)
    firsts = {
        catalogue.claim(histogram("a")),
        catalogue.claim(histogram("a")._replace(bounds=(1.0, 2.0))),
        catalogue.claim(histogram("a")._replace(kind="gauge", bounds=())),
    }
    assert len(firsts) == 3
    assert is_sound(catalogue.definitions())


def test_any_text_is_kept(segment: Segment) -> None:
    """Line ends, quotes and other scripts in a label value do not break the list."""
    texts = ["\n", "\r\n", '"', "\\", "\u2028", "ü\0", ""]
    catalogue = Catalogue(segment)
    firsts = [catalogue.claim(counter(text)) for text in texts]
    assert [Catalogue(segment).claim(counter(text)) for text in texts] == firsts
    assert [definition.labels[0][1] for definition, _first in Catalogue(segment).definitions()] == texts


def test_the_limit_of_series_holds_over_all_processes(segment: Segment) -> None:
    """Two processes that each invent label values fill one limit; the surplus is counted as such."""

    def count(process: str) -> None:
        catalogue = Catalogue(segment, max_series=10)
        metrics = Metrics(segment.lane(0 if process == "a" else 1), catalogue.claim)
        for number in range(20):
            metrics.values[metrics.counter("gateway_x_total", "X.", route=f"{process}{number}")] += 1

    assert run(lambda: count("a")) == run(lambda: count("b")) == 0
    catalogue = Catalogue(segment)
    claimed = dict(catalogue.definitions())
    assert sum(definition.name == "gateway_x_total" for definition in claimed) == 11
    lanes = segment.touched_lanes()
    other = claimed[counter(OTHER)]
    assert (lanes[0][other], lanes[1][other]) == (10, 20)
    refused = next(first for definition, first in claimed.items() if definition.name == REFUSED)
    assert (lanes[0][refused], lanes[1][refused]) == (10, 20)


def test_a_full_lane_has_room_for_what_counts_the_surplus(segment: Segment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ordinary series are refused first; when even the spare room is gone, numbers go where nobody reads."""
    monkeypatch.setattr(catalogue_module, "LANE_SLOTS", BASKET + SPARE_SLOTS + 3)
    catalogue = Catalogue(segment)
    assert [catalogue.claim(counter(route)) for route in "abcd"] == [BASKET, BASKET + 1, BASKET + 2, None]
    assert catalogue.claim(counter(OTHER)) == BASKET + 3
    assert catalogue.claim(counter("d")._replace(name=REFUSED)) == BASKET + 4
    assert catalogue.claim(counter("a")) == BASKET
    monkeypatch.setattr(catalogue_module, "LANE_SLOTS", BASKET + 5)
    assert catalogue.claim(counter(OTHER, "gateway_y_total")) == 0
    assert is_sound(catalogue.definitions())
    assert LANE_SLOTS > 10 * SPARE_SLOTS


def test_a_full_list_is_a_full_lane(segment: Segment, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same when the text of the definitions finds no more room."""
    region = REGIONS["catalogue"]
    monkeypatch.setitem(REGIONS, "catalogue", region._replace(size=SPARE_BYTES + 100))
    catalogue = Catalogue(segment)
    assert catalogue.claim(counter("a")) == BASKET
    assert catalogue.claim(counter("b" * 100)) is None
    assert catalogue.claim(counter(OTHER)) == BASKET + 1
    monkeypatch.setitem(REGIONS, "catalogue", region._replace(size=100))
    assert catalogue.claim(counter(OTHER, "gateway_y_total")) == 0
    assert is_sound(Catalogue(segment).definitions())


def test_the_basket_takes_every_histogram(segment: Segment) -> None:
    """A histogram wider than the room for what has none would write into slots of others."""
    catalogue = Catalogue(segment)
    widest = tuple(float(bound) for bound in range(BASKET - 2))
    assert catalogue.claim(histogram("a")._replace(bounds=widest)) == BASKET
    with pytest.raises(ValueError, match="at most 62 bounds"):
        catalogue.claim(histogram("a")._replace(bounds=(*widest, 99.0)))


def test_threads_and_processes_claim_at_once(segment: Segment) -> None:
    """Four processes of two threads claim the same and different series; every one has one place."""

    def claim(seed: int) -> None:
        catalogue = Catalogue(segment)
        routes = [f"r{number}" for number in range(150)]

        def work(part: int) -> None:
            mine = routes.copy()
            random.Random(seed * 2 + part).shuffle(mine)
            for route in mine:
                catalogue.claim(histogram(route))
                catalogue.claim(counter(route))

        threads = [threading.Thread(target=work, args=(part,)) for part in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    children = [fork(lambda seed=seed: claim(seed)) for seed in range(4)]  # type: ignore[misc]
    assert [wait(child) for child in children] == [0] * 4
    claimed = Catalogue(segment).definitions()
    assert len(claimed) == 300
    assert is_sound(claimed)


def killed_at(instruction: int, work: Any) -> None:
    """Runs `work`, and is killed before the given instruction of the catalogue's code and of what it calls there."""
    left = instruction

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal left
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys._getframe().f_trace_opcodes = True  # Python 3.12 looks whether anybody wants them when it is told to trace
    sys.settrace(trace)
    work()
    sys.settrace(None)


def check_killed_at_each(segment: Segment, step: int) -> None:
    """Kills one process after the other, each an instruction (or `step`) later, until one survives; then looks."""
    parent = Catalogue(segment)
    instruction, killed, code = 0, 0, KILLED
    while code == KILLED:
        before = parent.definitions()
        wanted = counter(f"r{instruction}")
        code = run(lambda: killed_at(instruction, lambda: parent.claim(wanted)))  # noqa: B023
        after = parent.definitions()
        assert after[: len(before)] == before
        assert [definition for definition, _first in after[len(before) :]] in ([], [wanted])
        assert is_sound(after)
        assert is_sound(Catalogue(segment).definitions())
        mine = parent.claim(counter(f"mine{instruction}"))  # waits for nobody
        assert Catalogue(segment).claim(counter(f"mine{instruction}")) == mine
        killed += code == KILLED
        instruction += step
    assert code == 0
    assert killed > 200 // step


def test_killed_at_any_instruction(segment: Segment) -> None:
    """What a process leaves that dies while it appends is an entry or none, and never a lock. Every 13th instruction."""
    check_killed_at_each(segment, 13)


@pytest.mark.long
def test_killed_at_each_instruction(segment: Segment) -> None:
    """The same at each single one."""
    check_killed_at_each(segment, 1)


def test_killed_at_any_time(segment: Segment) -> None:
    """A hundred processes are killed while they append as fast as they can, two at a time."""
    parent = Catalogue(segment)
    chance = random.Random(7)
    gate = Gate()
    seen = 0

    def append(seed: int) -> None:
        catalogue = Catalogue(segment)
        gate.open()
        for number in range(40):
            catalogue.claim(counter(f"{seed}.{number}"))
        signal.pause()

    for turn in range(50):
        with forked(lambda: append(2 * turn)) as one, forked(lambda: append(2 * turn + 1)) as other:  # noqa: B023
            gate.pass_through()
            gate.pass_through()
            for child in (one, other):
                for _ in range(chance.randrange(20)):
                    parent.definitions()
                assert kill(child) == KILLED
        claimed = parent.definitions()
        assert is_sound(claimed)
        assert len(claimed) >= seen
        seen = len(claimed)
    assert is_sound(Catalogue(segment).definitions())
    assert seen > 50
    gate.close()


def test_what_was_half_written_is_written_over(segment: Segment) -> None:
    """Bytes behind the published length are nobody's."""
    catalogue = Catalogue(segment)
    catalogue.claim(counter("a"))
    at = segment.read(Word.CATALOGUE_LENGTH)
    segment.region("catalogue")[at : at + 9] = b'[0,"half\n'
    assert catalogue.definitions() == Catalogue(segment).definitions()
    assert Catalogue(segment).claim(counter("b")) == BASKET + 1
    assert [definition for definition, _first in catalogue.definitions()] == [counter("a"), counter("b")]
