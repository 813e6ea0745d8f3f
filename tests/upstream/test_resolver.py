"""Names and their addresses: cached, renewed, kept when the name server fails; never in the way of the loop."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from gateway.upstream.resolver import FAILURE_TTL, TTL, Resolver, system_addresses
from tests.kit.transport import FakeClock


class NameServer:
    """A look-up that tells what the test says: a list of addresses, or an error."""

    def __init__(self, answer: list[str] | Exception) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.threads: set[str] = set()

    def __call__(self, host: str) -> list[str]:
        self.asked.append(host)
        self.threads.add(threading.current_thread().name)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


FAILED = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


async def test_an_answer_holds_for_its_time() -> None:
    """One look-up in TTL seconds, in a thread; then the next one."""
    clock, server = FakeClock(), NameServer(["192.0.2.1", "2001:db8::1", "192.0.2.1"])
    resolver = Resolver(clock, server)
    assert await resolver.resolve("app") == ("192.0.2.1", "2001:db8::1")
    clock.advance(TTL - 0.1)
    await resolver.resolve("app")
    assert server.asked == ["app"]
    assert threading.current_thread().name not in server.threads
    server.answer = ["192.0.2.2"]
    clock.advance(0.1)
    assert await resolver.resolve("app") == ("192.0.2.2",)
    assert server.asked == ["app", "app"]


async def test_many_ask_once() -> None:
    """A thousand connections to a name that is not known yet cost one look-up."""
    server = NameServer(["192.0.2.1"])
    resolver = Resolver(FakeClock(), server)
    answers = await asyncio.gather(*[resolver.resolve("app") for _ in range(1000)])
    assert set(answers) == {("192.0.2.1",)}
    assert server.asked == ["app"]


async def test_a_failing_name_server_does_not_take_the_old_answer() -> None:
    """Stale addresses outlive the failure, and the name is asked for again after a second."""
    clock, server = FakeClock(), NameServer(["192.0.2.1"])
    resolver = Resolver(clock, server)
    await resolver.resolve("app")
    server.answer = FAILED
    clock.advance(TTL)
    assert await resolver.resolve("app") == ("192.0.2.1",)
    assert await resolver.resolve("app") == ("192.0.2.1",)
    assert len(server.asked) == 2
    clock.advance(FAILURE_TTL)
    server.answer = ["192.0.2.9"]
    assert await resolver.resolve("app") == ("192.0.2.9",)


@pytest.mark.parametrize("answer", [FAILED, [], UnicodeError("label too long")])
async def test_a_name_that_is_none(answer: list[str] | Exception) -> None:
    """The failure is told to everyone, held for a second, and then the name may exist."""
    clock, server = FakeClock(), NameServer(answer)
    resolver = Resolver(clock, server)
    for _ in range(3):
        with pytest.raises(socket.gaierror, match="app"):
            await resolver.resolve("app")
    assert server.asked == ["app"]
    clock.advance(FAILURE_TTL)
    server.answer = ["192.0.2.1"]
    assert await resolver.resolve("app") == ("192.0.2.1",)


async def test_a_hanging_name_server_does_not_hold_up_the_old_answer() -> None:
    """A renewal that takes too long goes on in the background, while the known address is used."""
    clock = FakeClock()
    hang = threading.Event()
    answers = iter([["192.0.2.1"], ["192.0.2.2"]])

    def lookup(host: str) -> list[str]:
        answer = next(answers)
        if answer == ["192.0.2.2"]:
            hang.wait(30.0)
        return answer

    resolver = Resolver(clock, lookup, patience=0.01)
    await resolver.resolve("app")
    clock.advance(TTL)
    try:
        assert await resolver.resolve("app") == ("192.0.2.1",)
        renewal = resolver._entries["app"].renewal
        assert renewal is not None
    finally:
        hang.set()
    await renewal
    assert await resolver.resolve("app") == ("192.0.2.2",)


async def test_who_gives_up_does_not_take_the_answer_from_the_others() -> None:
    """Cancelling one of two who wait for the same name leaves the other its answer."""
    hang = threading.Event()

    def lookup(host: str) -> list[str]:
        hang.wait(30.0)
        return ["192.0.2.1"]

    resolver = Resolver(FakeClock(), lookup)
    first = asyncio.ensure_future(resolver.resolve("app"))
    second = asyncio.ensure_future(resolver.resolve("app"))
    await asyncio.wait({first}, timeout=0)
    first.cancel()
    hang.set()
    assert await second == ("192.0.2.1",)
    assert first.cancelled()


def test_the_system_knows_addresses() -> None:
    """getaddrinfo's answers, one for each address."""
    assert system_addresses("127.0.0.1") == ["127.0.0.1"]
