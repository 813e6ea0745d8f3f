"""What is pinned up is read by every process, whole, whoever dies meanwhile."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from gateway.state.board import LARGEST, Board
from gateway.state.segment import Segment


@pytest.fixture(name="segment")
def _segment() -> Iterator[Segment]:
    segment = Segment.create()
    yield segment
    segment.close()


def test_what_is_written_is_read(segment: Segment) -> None:
    """Nothing at first, then the last document, by whichever reader."""
    board = Board(segment)
    assert board.read() == {}
    for document in ({"maintenance": {"": ["Back at noon.", 60.0]}}, {"a": "b" * 5000}, {}):
        board.write(document)
        assert board.read() == Board(segment).read() == document


def test_too_much_is_refused_and_changes_nothing(segment: Segment) -> None:
    """There is a bound, and the document before stays."""
    board = Board(segment)
    board.write({"kept": True})
    with pytest.raises(ValueError, match="room for"):
        board.write({"large": "x" * LARGEST})
    assert board.read() == {"kept": True}


def test_a_writer_that_is_killed_leaves_one_of_its_documents(segment: Segment) -> None:
    """Killed at any moment, twenty times: what is there is whole, and the next writer is not held up."""
    board = Board(segment)
    for turn in range(20):
        told, tells = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(tells, b".")
            number = 0
            while True:
                number += 1
                board.write({"turn": turn, "text": str(number) * 500})
        os.read(told, 1)
        while board.read().get("turn") != turn:
            pass
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(told)
        os.close(tells)
        document = board.read()
        assert document["turn"] == turn
        number = document["text"][: len(document["text"]) // 500]
        assert document["text"] == number * 500
