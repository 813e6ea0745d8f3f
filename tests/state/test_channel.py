"""Messages and descriptors between two processes."""

from __future__ import annotations

import os
import random
import select
import socket
from collections.abc import Iterator
from contextlib import suppress

import orjson
import pytest

from gateway.state import channel as channel_module
from gateway.state.channel import (
    MOST_AT_ONCE,
    MOST_FDS,
    MOST_IN_PACKET,
    MOST_QUEUED,
    Channel,
    ChannelClosed,
    ChannelFull,
)
from tests.kit.children import KILLED, fork, forked, kill, open_descriptors, wait

BIG = "x" * (MOST_IN_PACKET * 30)


@pytest.fixture
def pair() -> Iterator[tuple[Channel, Channel]]:
    before = open_descriptors()
    one, other = Channel.pair()
    yield one, other
    one.close()
    other.close()
    assert open_descriptors() == before, "a descriptor was left open"


@pytest.fixture
def file() -> Iterator[int]:
    made = os.memfd_create("test")
    os.write(made, b"hello")
    yield made
    os.close(made)


def text(fd: int) -> bytes:
    """What is in a file, whose descriptor is closed."""
    content = os.pread(fd, 100, 0)
    os.close(fd)
    return content


def fill(one: Channel) -> int:
    """Sends until something is queued; the number of messages."""
    sent = 0
    while not one.wants_write:
        one.send({"number": sent, "room": "x" * 20_000})
        sent += 1
    return sent


def test_messages_arrive_in_order_and_whole(pair: tuple[Channel, Channel]) -> None:
    """Each as it was sent, both ways; nothing to read is no message."""
    one, other = pair
    bodies = [{}, {"a": 1}, {"text": "ü\n\0", "list": [1, None, 2.5]}, {"x": BIG}, {"last": True}]
    for body in bodies:
        one.send(body)
    assert [message.body for message in other.receive()] == bodies
    assert other.receive() == []
    other.send({"back": 1})
    assert one.receive() == [({"back": 1}, [])]


@pytest.mark.parametrize("size", [MOST_IN_PACKET - 9, MOST_IN_PACKET - 8, MOST_IN_PACKET - 7, 3_000_000])
def test_size_is_no_matter(pair: tuple[Channel, Channel], file: int, size: int) -> None:
    """A message that fits no packet travels in memory of its own; its descriptors stay in order."""
    one, other = pair
    one.send({"x": "y" * size}, [file, file])
    ((body, fds),) = other.receive()
    assert body == {"x": "y" * size}
    assert [text(fd) for fd in fds] == [b"hello", b"hello"]
    assert len(orjson.dumps({"x": ""})) == 8


def test_descriptors_are_copies(pair: tuple[Channel, Channel], file: int) -> None:
    """The sender keeps its own; the receiver's are closed on exec."""
    one, other = pair
    for count in (1, 7, MOST_FDS):
        one.send({"count": count}, [file] * count)
        ((body, fds),) = other.receive()
        assert (body, len(fds)) == ({"count": count}, count)
        assert not os.get_inheritable(fds[0])
        assert {text(fd) for fd in fds} == {b"hello"}
    assert os.pread(file, 5, 0) == b"hello"
    with pytest.raises(ValueError, match="at most 200"):
        one.send({}, [file] * (MOST_FDS + 1))


def test_what_does_not_fit_is_queued(pair: tuple[Channel, Channel], file: int) -> None:
    """Sending never waits; descriptors of queued messages are kept, though their sender closes his."""
    one, other = pair
    sent = fill(one)
    mine = os.dup(file)
    one.send({"number": sent, "x": BIG}, [mine])
    os.close(mine)
    numbers = []
    fds: list[int] = []
    while one.wants_write:
        for message in other.receive():
            numbers.append(message.body["number"])
            fds += message.fds
        one.flush()
    for message in other.receive():
        numbers.append(message.body["number"])
        fds += message.fds
    assert numbers == list(range(sent + 1))
    assert [text(fd) for fd in fds] == [b"hello"]


def test_the_queue_is_bounded(pair: tuple[Channel, Channel], file: int) -> None:
    """A peer that never reads costs so much and no more; what is refused is not sent later."""
    one, other = pair
    fill(one)
    for _ in range(MOST_QUEUED - 1):
        one.send({}, [file])
    with pytest.raises(ChannelFull):
        one.send({"too": "many"}, [file])
    while one.wants_write or select.select([other], [], [], 0)[0]:
        for message in other.receive():
            assert "too" not in message.body
            for fd in message.fds:
                os.close(fd)
        one.flush()
    one.send({"again": 1})
    assert other.receive() == [({"again": 1}, [])]


def test_one_reading_is_bounded(pair: tuple[Channel, Channel]) -> None:
    """A peer that sends without end does not hold up everything else; the rest is there the next time."""
    one, other = pair
    for number in range(MOST_AT_ONCE + 1):
        one.send({"number": number})
    assert len(other.receive()) == MOST_AT_ONCE
    assert other.receive() == [({"number": MOST_AT_ONCE}, [])]


def test_closing_loses_what_is_queued_and_leaks_nothing(pair: tuple[Channel, Channel], file: int) -> None:
    """Descriptors of messages that nobody will get are closed (the fixture counts)."""
    one, other = pair
    other.send({"never read": 1}, [file])
    fill(one)
    one.send({}, [file, file])
    one.close()
    one.close()
    assert not one.wants_write


def test_the_last_words_are_heard(pair: tuple[Channel, Channel]) -> None:
    """What was sent before the end arrives, even from one that had not read what it was told; then it is over."""
    one, other = pair
    other.send({"unread": 1})
    for number in range(3):
        one.send({"number": number})
    one.close()
    assert [message.body["number"] for message in other.receive()] == [0, 1, 2]
    for _ in range(2):
        with pytest.raises(ChannelClosed):
            other.receive()
    with pytest.raises(ChannelClosed):
        other.send({})


def test_sending_to_the_dead_leaves_their_words_to_be_read(pair: tuple[Channel, Channel]) -> None:
    """That nobody listens any more does not take away what they said."""
    one, other = pair
    one.send({"last": 1})
    one.close()
    with pytest.raises(ChannelClosed):
        other.send({"hello": 1})
    assert other.receive() == [({"last": 1}, [])]


def test_the_queue_of_one_whose_peer_died(pair: tuple[Channel, Channel], file: int) -> None:
    """Flushing says so."""
    one, other = pair
    fill(one)
    one.send({}, [file])
    other.close()
    with pytest.raises(ChannelClosed):
        one.flush()


def packet(kind: int, count: int, payload: bytes) -> bytes:
    return bytes([kind, count]) + payload


@pytest.mark.parametrize(
    ("sent", "count"),
    [
        (b"x", 0),
        (packet(1, 0, b""), 0),
        (packet(1, 0, b"{"), 0),
        (packet(1, 0, b"[1]"), 0),
        (packet(1, 0, b'"text"'), 0),
        (packet(0, 0, b"{}"), 0),
        (packet(3, 1, b"{}"), 1),
        (packet(1, 1, b"{}"), 0),
        (packet(1, 1, b"{}"), 2),
        (packet(1, 0, b"{}"), 1),
        (packet(2, 0, b"{}"), 0),
        (packet(2, 1, b"{}"), 1),
        (packet(2, 3, b""), 3),
        (packet(1, 0, b'{"a":"' + b"x" * MOST_IN_PACKET + b'"}'), 0),
    ],
)
def test_garbage_is_refused(file: int, sent: bytes, count: int) -> None:
    """What no channel sends ends this one; the descriptors that came with it are closed."""
    before = open_descriptors()
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with near, Channel(far) as channel:
        socket.send_fds(near, [sent], [file] * count)
        with pytest.raises(ChannelClosed):
            channel.receive()
    assert open_descriptors() == before


def test_a_message_too_large_is_not_sent(pair: tuple[Channel, Channel], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor read: neither end takes memory without bound."""
    one, other = pair
    monkeypatch.setattr(channel_module, "MOST_BYTES", len(BIG))
    with pytest.raises(ValueError, match="bytes; at most"):
        one.send({"x": BIG})
    monkeypatch.undo()
    one.send({"x": BIG})
    monkeypatch.setattr(channel_module, "MOST_BYTES", len(BIG))
    with pytest.raises(ChannelClosed, match="a message of"):
        other.receive()


def test_a_receiver_without_room_for_descriptors(pair: tuple[Channel, Channel], file: int) -> None:
    """Where the limit of open files cuts a message short, the channel ends instead of handing over half of it."""
    import resource  # noqa: PLC0415

    one, other = pair
    one.send({}, [file] * 50)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_descriptors() + 20, limits[1]))
    try:
        with pytest.raises(ChannelClosed, match="too many open files"):
            other.receive()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_an_end_can_be_handed_on(pair: tuple[Channel, Channel]) -> None:
    """The supervisor gives one end of a pair to a third process, which goes on with it."""
    one, other = pair
    near, far = Channel.pair()
    one.send({"yours": 1}, [far.fileno()])
    far.close()
    ((_body, (fd,)),) = other.receive()
    with Channel.of(fd) as handed:
        near.send({"hello": 1})
        assert handed.receive() == [({"hello": 1}, [])]
        handed.send({"back": 1})
        assert near.receive() == [({"back": 1}, [])]
    near.close()


def test_a_peer_killed_in_the_middle(file: int) -> None:
    """Whatever it was doing: every message that arrives is whole, then the channel ends, and nothing leaks."""
    chance = random.Random(3)
    before = open_descriptors()
    for _ in range(30):
        one, other = Channel.pair()

        def talk(other: Channel = other, one: Channel = one) -> None:
            one.close()
            number = 0
            while True:
                with suppress(ChannelFull):
                    other.send({"number": number, "x": "y" * (number % 3 * 30_000)}, [file] * (number % 4))
                    number += 1
                other.flush()
                other.receive()

        with forked(talk) as child:
            other.close()
            expected, last = 0, chance.randrange(1, 60)
            alive = True
            while True:
                select.select([one], [], [])
                try:
                    messages = one.receive()
                except ChannelClosed:
                    break
                for body, fds in messages:
                    assert body == {"number": expected, "x": "y" * (expected % 3 * 30_000)}
                    assert [text(fd) for fd in fds] == [b"hello"] * (expected % 4)
                    expected += 1
                with suppress(ChannelClosed):
                    one.send({"said": expected})
                if alive and expected >= last:
                    assert kill(child) == KILLED
                    alive = False
            one.close()
    assert open_descriptors() == before


def test_a_long_conversation_between_processes() -> None:
    """Thousands of messages of all sizes through full buffers, both ends waiting as a program without a loop does."""
    one, other = Channel.pair()
    count = 2000

    def echo() -> None:
        one.close()
        with suppress(ChannelClosed):
            while True:
                select.select([other], [other] if other.wants_write else [], [])
                other.flush()
                for message in other.receive():
                    other.send(message.body)

    child = fork(echo)
    other.close()
    sizes = [number * 37 % 50_000 for number in range(count)]
    sent, answers = 0, []
    while len(answers) < count:
        while sent < count and sent - len(answers) < 100:
            one.send({"x": "y" * sizes[sent]})
            sent += 1
        select.select([one], [one] if one.wants_write else [], [])
        one.flush()
        answers += [len(message.body["x"]) for message in one.receive()]
    assert answers == sizes
    one.close()
    assert wait(child) == 0
