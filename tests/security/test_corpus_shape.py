"""The corpora themselves: that they say what they mean and are as large as the issue asks.

Whether a gateway obeys them is tested elsewhere; here is only what a slip of the pen could spoil.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable

import pytest

from gateway.http.path import PathRules, normalise
from tests.kit.corpus.paths import SPELLINGS
from tests.kit.corpus.requests import ACCEPTED, CASES, EITHER, REFUSED, Case


def _repeated(items: Iterable[Hashable]) -> list[Hashable]:
    return [item for item, count in Counter(items).items() if count > 1]


def test_names_are_unique() -> None:
    """A failing case can be told from every other by its name."""
    assert _repeated([case.name for case in CASES]) == []


def test_raw_requests_are_unique() -> None:
    """No case is counted twice under two names."""
    assert _repeated([case.raw for case in CASES]) == []


def test_there_are_enough() -> None:
    """At least 200 requests to refuse, and 80 unusual ones that must pass."""
    assert len(REFUSED) >= 200
    assert len(ACCEPTED) >= 80
    assert len(REFUSED) + len(ACCEPTED) + len(EITHER) == len(CASES)


def test_accepted_cases_say_what_arrives() -> None:
    """Acceptance without knowing what the origin must receive proves nothing."""
    assert [case.name for case in ACCEPTED if not case.received] == []


def test_refused_cases_say_how() -> None:
    """A status is a refusal or left open; only refusals have one."""
    assert {case.status for case in REFUSED} <= {0, 400, 405, 413, 414, 417, 431, 501, 505}
    assert {case.status for case in (*ACCEPTED, *EITHER)} == {0}


def test_reasons_and_sources_are_given() -> None:
    """Every case says why, and where that is written."""
    assert [case.name for case in CASES if not case.why or not case.source] == []


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.name)
def test_received_is_in_substance_what_was_sent(case: Case) -> None:
    """The method of what arrives was sent, names are in lower case, and nothing forbidden is demanded."""
    for received in case.received:
        assert received.method in case.raw
        assert all(name == name.lower() for name, _value in received.fields)
        assert all(bytes_ == bytes_.lower() for bytes_ in received.never)
        assert not any(bytes_ in name for bytes_ in received.never for name, _value in received.fields)


def test_path_spellings_are_unique() -> None:
    """No spelling is listed twice, perhaps with two meanings."""
    assert _repeated([spelling.raw for spelling in SPELLINGS]) == []


def test_normal_paths_are_fixed_points() -> None:
    """What a spelling means is itself spelt that way: a second reading changes nothing."""
    moved = {
        spelling.normal: normalise(spelling.normal, PathRules())
        for spelling in SPELLINGS
        if spelling.normal is not None and not spelling.also_refused
    }
    assert [(normal, again) for normal, again in moved.items() if normal != again] == []
