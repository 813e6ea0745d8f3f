"""Peer: a Channel on an event loop, with questions and answers.

Worker and control talk to each other and to the supervisor through it. The rule: every question ends, with its answer,
after its time, or with the end of the channel.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from gateway.state.channel import Channel, ChannelClosed, Message


class Peer:
    """Whoever is at the other end of `channel`, which is the peer's from now on. Made in a running loop.

    `on_message` is called with each message that is no answer, and owns its descriptors; what it raises is logged by
    the loop. `on_closed` is called once, when the other end is gone.
    """

    __slots__ = ("_channel", "_fd", "_loop", "_next", "_on_closed", "_on_message", "_questions", "_writing")

    def __init__(
        self, channel: Channel, on_message: Callable[[Message], None], on_closed: Callable[[], None] = lambda: None
    ) -> None:
        self._channel = channel
        self._fd = channel.fileno()
        self._loop = asyncio.get_running_loop()
        self._on_message = on_message
        self._on_closed = on_closed
        self._questions: dict[int, asyncio.Future[Message]] = {}
        # Beyond every number of a process that asked on this channel before, and died: its answers may still come.
        self._next = time.monotonic_ns()
        self._writing = False
        self._loop.add_reader(self._fd, self._readable)
        self._want_write()

    @property
    def closed(self) -> bool:
        return self._fd < 0

    async def ask(self, body: dict[str, Any], fds: Sequence[int] = (), seconds: float | None = 10.0) -> Message:
        """The answer, whose descriptors are the caller's. Raises TimeoutError and ChannelClosed."""
        number, self._next = self._next, self._next + 1
        coming: asyncio.Future[Message] = self._loop.create_future()
        self._questions[number] = coming
        try:
            self.tell({**body, "id": number}, fds)
            async with asyncio.timeout(seconds):
                return await coming
        except BaseException:
            if coming.done() and not coming.cancelled() and coming.exception() is None:
                _close(coming.result().fds)  # it came in the very moment in which nobody waited any more
            raise
        finally:
            del self._questions[number]

    def tell(self, body: dict[str, Any], fds: Sequence[int] = ()) -> None:
        """Sends, and waits for nothing. Raises ChannelClosed."""
        if self.closed:
            raise ChannelClosed("the other end is gone")
        self._channel.send(body, fds)
        self._want_write()

    def answer(self, question: Message, body: dict[str, Any], fds: Sequence[int] = ()) -> None:
        """Answers what came to `on_message`; nothing if whoever asked is gone, or asked for no answer."""
        number = question.body.get("id")
        if number is None or self.closed:
            return
        try:
            self.tell({**body, "re": number}, fds)
        except ChannelClosed:
            return  # the reader will hear of it too

    def close(self) -> None:
        """Ends it from this side; `on_closed` is not called. Idempotent."""
        if self.closed:
            return
        self._loop.remove_reader(self._fd)
        if self._writing:
            self._loop.remove_writer(self._fd)
        self._fd = -1
        self._channel.close()
        for coming in self._questions.values():
            if not coming.done():
                coming.set_exception(ChannelClosed("the other end is gone"))

    def _readable(self) -> None:
        try:
            messages = self._channel.receive()
        except ChannelClosed:
            self._ended()
            return
        for message in messages:
            if self.closed:
                _close(message.fds)
            elif "re" in message.body:
                self._answered(message)
            else:
                self._take(message)

    def _take(self, message: Message) -> None:
        try:
            self._on_message(message)
        except Exception as error:  # noqa: BLE001  # one bad message must not take the others with it
            self._loop.call_exception_handler({"message": "a message could not be dealt with", "exception": error})

    def _answered(self, answer: Message) -> None:
        coming = self._questions.get(answer.body["re"])
        if coming is None or coming.done():
            _close(answer.fds)
        else:
            coming.set_result(answer)

    def _writable(self) -> None:
        try:
            self._channel.flush()
        except ChannelClosed:
            self._ended()
            return
        self._want_write()

    def _want_write(self) -> None:
        wanted = self._channel.wants_write
        if wanted and not self._writing:
            self._loop.add_writer(self._fd, self._writable)
        elif self._writing and not wanted:
            self._loop.remove_writer(self._fd)
        self._writing = wanted

    def _ended(self) -> None:
        self.close()
        self._on_closed()


def _close(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
