"""Questions and answers on an event loop."""

from __future__ import annotations

import asyncio
import os
import select
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop

from gateway.state.channel import MOST_IN_PACKET, Channel, ChannelClosed, Message
from gateway.state.peer import Peer
from tests.kit.children import KILLED, fork, open_descriptors, wait

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=LOOPS)
def in_loop(request: pytest.FixtureRequest) -> Callable[[Callable[[], Awaitable[None]]], None]:
    """Runs a conversation on each kind of loop, and counts descriptors before and after."""

    LOOPS[request.param]().close()  # libuv keeps a pipe for signals from its first loop on

    def run(conversation: Callable[[], Awaitable[None]]) -> None:
        before = open_descriptors()
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.run(asyncio.wait_for(conversation(), 20))  # type: ignore[arg-type]
        assert open_descriptors() == before, "a descriptor was left open"

    return run


class Talk:
    """Two peers of one channel, and what they heard; each end answers as it is told to."""

    def __init__(self) -> None:
        one, other = Channel.pair()
        self.heard: list[Message] = []
        self.ended: list[str] = []
        self.arrived = asyncio.Event()
        self.reply: Callable[[Message], None] = lambda _message: None
        self.one = Peer(one, self._heard, lambda: self._ended("one"))
        self.other = Peer(other, self._heard, lambda: self._ended("other"))

    def _heard(self, message: Message) -> None:
        self.heard.append(message)
        self.arrived.set()
        self.reply(message)

    def _ended(self, which: str) -> None:
        self.ended.append(which)
        self.arrived.set()

    async def next(self) -> None:
        await self.arrived.wait()
        self.arrived.clear()

    def close(self) -> None:
        self.one.close()
        self.other.close()
        for message in self.heard:
            for fd in message.fds:
                os.close(fd)


def test_a_question_gets_its_answer(in_loop: Any) -> None:
    """Both ways, with descriptors both ways."""

    async def conversation() -> None:
        talk = Talk()
        talk.reply = lambda message: talk.other.answer(message, {"value": message.body["n"] + 1}, message.fds)
        body, fds = await talk.one.ask({"ask": "next", "n": 41}, [0, 1], 5)
        assert (body["value"], len(fds)) == (42, 2)
        for fd in fds:
            os.close(fd)
        talk.reply = lambda message: talk.one.answer(message, {"x": "y" * MOST_IN_PACKET})
        assert len((await talk.other.ask({"ask": "big"})).body["x"]) == MOST_IN_PACKET
        talk.close()

    in_loop(conversation)


def test_answers_may_come_in_any_order(in_loop: Any) -> None:
    """Each finds its question, a hundred of them at a time."""

    async def conversation() -> None:
        talk = Talk()
        for start in range(0, 1000, 100):
            asked = [asyncio.ensure_future(talk.one.ask({"n": start + number})) for number in range(100)]
            while len(talk.heard) < 100:
                await talk.next()
            for message in reversed(talk.heard):
                talk.other.answer(message, {"value": message.body["n"]})
            talk.heard.clear()
            answers = await asyncio.gather(*asked)
            assert [answer.body["value"] for answer in answers] == list(range(start, start + 100))
        talk.close()

    in_loop(conversation)


def test_a_question_ends_after_its_time(in_loop: Any) -> None:
    """The answer that comes too late is dropped, with its descriptors, and disturbs nobody."""

    async def conversation() -> None:
        talk = Talk()
        with pytest.raises(TimeoutError):
            await talk.one.ask({"ask": "slow"}, seconds=0.01)
        talk.other.answer(talk.heard[0], {"value": "late"}, [0, 1])
        talk.reply = lambda message: talk.other.answer(message, {"value": "in time"})
        assert (await talk.one.ask({"ask": "quick"}, seconds=None)).body["value"] == "in time"
        talk.close()

    in_loop(conversation)


def test_whoever_gives_up_asking_leaks_nothing(in_loop: Any) -> None:
    """Cancelled before the answer, and in the very turn of the loop in which it came."""

    async def conversation() -> None:
        talk = Talk()
        asking = asyncio.ensure_future(talk.one.ask({"ask": "a"}))
        await talk.next()
        asking.cancel()
        talk.other.answer(talk.heard[0], {}, [0])
        with pytest.raises(asyncio.CancelledError):
            await asking

        for again in (False, True):
            asking = asyncio.ensure_future(talk.one.ask({"ask": "b"}))
            await talk.next()
            talk.other.answer(talk.heard[-1], {}, [0])
            if again:
                talk.one._readable()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        talk.reply = lambda message: talk.other.answer(message, {"value": 1})
        assert (await talk.one.ask({"ask": "c"})).body["value"] == 1
        talk.close()

    in_loop(conversation)


def test_the_end_of_the_channel_ends_all_questions(in_loop: Any) -> None:
    """Whoever waits is told, whoever asks later too; it is announced once."""

    async def conversation() -> None:
        talk = Talk()
        asked = [asyncio.ensure_future(talk.one.ask({"ask": "x"}, seconds=None)) for _ in range(3)]
        await talk.next()
        talk.other.close()
        for question in asked:
            with pytest.raises(ChannelClosed):
                await question
        assert (talk.ended, talk.one.closed, talk.other.closed) == (["one"], True, True)
        with pytest.raises(ChannelClosed):
            await talk.one.ask({"ask": "y"})
        with pytest.raises(ChannelClosed):
            talk.one.tell({})
        talk.one.answer(Message({"id": 1}, []), {})
        talk.one.close()
        talk.close()
        assert talk.ended == ["one"]

    in_loop(conversation)


def test_answers_to_a_process_that_died(in_loop: Any) -> None:
    """Whoever inherits its end of the channel does not take them for answers to its own questions."""

    async def conversation() -> None:
        one, other = Channel.pair()
        inherited = Channel.of(os.dup(one.fileno()))
        first = Peer(one, lambda _message: None)
        with pytest.raises(TimeoutError):
            await first.ask({"ask": "x"}, seconds=0.01)
        first.close()
        second, answering = Peer(inherited, lambda _message: None), Peer(other, lambda _message: None)
        asked = asyncio.ensure_future(second.ask({"ask": "y"}))
        await asyncio.sleep(0)
        for message in other.receive():
            answering.answer(message, {"of": message.body["ask"]})
        assert (await asked).body["of"] == "y"
        second.close()
        answering.close()

    in_loop(conversation)


def test_a_message_that_fails_does_not_take_others_with_it(in_loop: Any) -> None:
    """The loop is told of the bug, and the next message is heard."""

    async def conversation() -> None:
        talk = Talk()
        bugs: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, bug: bugs.append(bug))

        def fail(message: Message) -> None:
            if message.body["n"] == 1:
                raise KeyError("bug")

        talk.reply = fail
        for number in range(3):
            talk.one.tell({"n": number})
        while len(talk.heard) < 3:
            await talk.next()
        assert [repr(bug["exception"]) for bug in bugs] == ["KeyError('bug')"]
        talk.close()

    in_loop(conversation)


def test_what_follows_after_one_closed_it_is_not_heard(in_loop: Any) -> None:
    """A message may end the conversation: descriptors of those behind it are closed."""

    async def conversation() -> None:
        talk = Talk()
        talk.reply = lambda _message: talk.other.close()
        for number in range(3):
            talk.one.tell({"n": number}, [0])
        while not talk.ended:
            await talk.next()
        assert [message.body["n"] for message in talk.heard] == [0]
        talk.close()

    in_loop(conversation)


def test_more_than_fits_is_sent_when_there_is_room(in_loop: Any) -> None:
    """The loop's writer empties the queue, in order."""

    async def conversation() -> None:
        talk = Talk()
        for number in range(100):
            talk.one.tell({"n": number, "x": "y" * 20_000})
        while len(talk.heard) < 100:
            await talk.next()
        assert [message.body["n"] for message in talk.heard] == list(range(100))
        talk.close()

    in_loop(conversation)


def test_what_was_queued_before_is_sent_too(in_loop: Any) -> None:
    """A channel may have been used without a loop before."""

    async def conversation() -> None:
        near, far = Channel.pair()
        sent = 0
        while not near.wants_write:
            near.send({"n": sent, "x": "y" * 20_000})
            sent += 1
        heard: list[int] = []
        done = asyncio.Event()

        def on_message(message: Message) -> None:
            heard.append(message.body["n"])
            if len(heard) == sent:
                done.set()

        one, other = Peer(near, on_message), Peer(far, on_message)
        await done.wait()
        assert heard == list(range(sent))
        one.close()
        other.close()

    in_loop(conversation)


def test_a_peer_that_is_killed(in_loop: Any) -> None:
    """A question to a process that dies over it ends at once."""

    async def conversation() -> None:
        near, far = Channel.pair()

        def die() -> None:
            near.close()
            while not far.receive():
                select.select([far], [], [])
            os.kill(os.getpid(), signal.SIGKILL)

        child = fork(die)
        far.close()
        ended = asyncio.Event()
        peer = Peer(near, lambda _message: None, ended.set)
        with pytest.raises(ChannelClosed):
            await peer.ask({"ask": "x"}, seconds=None)
        await ended.wait()
        assert wait(child) == KILLED

    in_loop(conversation)


def test_garbage_ends_it(in_loop: Any) -> None:
    """What no gateway sends is treated as the end."""

    async def conversation() -> None:
        near, far = Channel.pair()
        ended = asyncio.Event()
        peer = Peer(near, lambda _message: None, ended.set)
        far._socket.send(b"garbage")
        await ended.wait()
        assert peer.closed
        far.close()

    in_loop(conversation)


def test_an_answer_to_somebody_before(in_loop: Callable[[Callable[[], Awaitable[None]]], None]) -> None:
    """Who inherits a channel may get answers to questions of its last owner, who began to count where it did: they are
    not taken for its own."""

    async def conversation() -> None:
        one, other = Channel.pair()
        questions: list[Message] = []
        far = Peer(other, questions.append)
        before = Peer(Channel.of(os.dup(one.fileno())), lambda _message: None)
        before.tell({"ask": "old", "id": before._next})
        while not questions:  # noqa: ASYNC110  # nobody announces it
            await asyncio.sleep(0)
        before.close()
        after = Peer(one, lambda _message: None)
        far.answer(questions[0], {"value": "old"})
        with pytest.raises(TimeoutError):
            await after.ask({"ask": "new"}, seconds=0.05)
        far.close()
        after.close()

    in_loop(conversation)
