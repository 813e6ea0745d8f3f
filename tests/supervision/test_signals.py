"""Signals: read as numbers, in their order, none lost."""

from __future__ import annotations

import select
import signal
from collections.abc import Iterator

import pytest

from gateway.supervision.signals import HEEDED, Signals


@pytest.fixture
def signals() -> Iterator[Signals]:
    with Signals() as made:
        yield made


def send(number: int) -> None:
    """To this thread: another one of the test run might take what is held back here. The supervisor has one only."""
    signal.raise_signal(number)


def test_each_is_read(signals: Signals) -> None:
    """And makes the descriptor readable."""
    for number in HEEDED:
        send(number)
        assert select.select([signals], [], [], 10)[0] == [signals]
        assert signals.take() == [number]
    assert signals.take() == []


def test_their_order(signals: Signals) -> None:
    """Is kept."""
    send(signal.SIGHUP)
    send(signal.SIGUSR1)
    send(signal.SIGHUP)
    assert signals.take() == [signal.SIGHUP, signal.SIGUSR1, signal.SIGHUP]


def test_held_back(signals: Signals) -> None:
    """They wait for the end of the block, and come then."""
    with signals.held_back():
        send(signal.SIGTERM)
        assert signals.take() == []
    assert signals.take() == [signal.SIGTERM]


def test_held_back_by_the_image_before(signals: Signals) -> None:
    """A mask that was inherited across an exec is lifted when signals are heeded."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HEEDED)
    send(signal.SIGHUP)
    with Signals() as heeding:
        assert heeding.take() == [signal.SIGHUP]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) & set(HEEDED) == set()


def test_what_was_before() -> None:
    """Is restored at the end."""
    before = {number: signal.getsignal(number) for number in HEEDED}
    with Signals():
        assert signal.getsignal(signal.SIGTERM) != before[signal.SIGTERM]
    assert {number: signal.getsignal(number) for number in HEEDED} == before
    assert signal.set_wakeup_fd(-1) == -1
