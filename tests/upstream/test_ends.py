"""What an origin says last, over real sockets on uvloop, and what an end means.

Each origin is played with blocking sockets while the loop stands still, so that what arrives together in life arrives
together here: the answer, its reset, and a request that is still being written.
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.deadlines import Sweep
from gateway.eager import Wait
from gateway.errors import Cause, UpstreamFault
from gateway.http.head import ResponseHeadReader
from gateway.upstream.ends import MOST, end_of, last_words
from gateway.upstream.http1 import UpstreamConnection
from tests.kit.certificates import Authority
from tests.kit.upstream import REQUEST, TIMES, Collected

pytestmark = pytest.mark.e2e

PATIENCE = 10.0
TOO_LARGE = b"HTTP/1.1 413 No\r\nConnection: close\r\nContent-Length: 5\r\n\r\nlarge"


class Reader:
    """The source of a request body, which nobody has to pause."""

    def pause(self) -> None:
        pass

    resume = pause


class Peer:
    """An origin that plays its part once, and the gateway's connection to it."""

    def __init__(self, play: Callable[[socket.socket], None], tls: ssl.SSLContext | None = None) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._tls = tls
        self._play = play
        self._thread = Thread(target=self._serve, daemon=True)
        loop = asyncio.get_running_loop()
        self._gone: asyncio.Future[None] = loop.create_future()
        self.connection = UpstreamConnection(ResponseHeadReader(), Sweep(), loop.time, self._on_lost)

    def _on_lost(self, _connection: UpstreamConnection) -> None:
        self._gone.set_result(None)  # fails when it is told twice

    def _serve(self) -> None:
        accepted, _ = self._listener.accept()
        with accepted:
            accepted.settimeout(PATIENCE)
            if self._tls is None:
                self._play(accepted)
                return
            with suppress(ssl.SSLError):  # the client has no certificate
                secure = self._tls.wrap_socket(accepted, server_side=True)
                with secure:
                    self._play(secure)

    @asynccontextmanager
    async def connected(self, client: ssl.SSLContext | None = None) -> AsyncIterator[UpstreamConnection]:
        self._thread.start()
        name = "origin.test" if client else None
        address = self._listener.getsockname()
        await asyncio.get_running_loop().create_connection(
            lambda: self.connection, *address, ssl=client, server_hostname=name
        )
        yield self.connection
        self.connection.close()
        async with asyncio.timeout(PATIENCE):
            await self._gone
        self._thread.join(PATIENCE)
        self._listener.close()

    def played(self) -> None:
        """Blocks, the loop too, until the origin has done its part and the kernel has told."""
        self._thread.join(PATIENCE)
        own: Any = self.connection._transport.get_extra_info("socket")
        watch = select.poll()
        watch.register(own.fileno(), select.POLLRDHUP)
        assert watch.poll(PATIENCE * 1000)


async def result(wait: Wait) -> Any:
    """What `wait` brings, for a Task."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    wait.call(lambda: done.set_result(None))
    async with asyncio.timeout(PATIENCE):
        await done
    return wait.result()


def refusing(answer: bytes) -> Callable[[socket.socket], None]:
    """Answers as soon as a request begins, and closes with unread input, which makes a reset of it."""

    def play(accepted: socket.socket) -> None:
        accepted.recv(10)
        accepted.sendall(answer)

    return play


def send(connection: UpstreamConnection) -> None:
    connection.body_source = Reader()
    connection.start(b"POST", REQUEST + b"x" * 1000, TIMES, body=True)


@pytest.mark.parametrize("writes", [1, 2])
async def test_an_answer_before_a_reset_is_an_answer(writes: int) -> None:
    """The write that finds the reset does not cost what the origin said before it (413 to a large body)."""
    peer = Peer(refusing(TOO_LARGE))
    async with peer.connected() as connection:
        send(connection)
        peer.played()
        for _ in range(writes):
            connection.write(b"y" * 1000)
        assert connection._transport.is_closing()
        response = await result(connection.wait_head())
        assert (response.status, connection.chunks, connection.complete) == (413, [b"large"], True)
        assert not connection.reusable


@pytest.mark.parametrize(
    ("answer", "cause", "complete"),
    [
        (b"", Cause.CLOSED_BEFORE_HEAD, False),
        (TOO_LARGE[:20], Cause.RESPONSE_INCOMPLETE, False),
        (b"SSH-2.0-x\r\n", Cause.BAD_RESPONSE, False),
    ],
)
async def test_what_is_no_answer_stays_a_fault(answer: bytes, cause: Cause, complete: bool) -> None:
    """Nothing, a part, or something else: the cause is what it would be without the reset."""
    peer = Peer(refusing(answer))
    async with peer.connected() as connection:
        send(connection)
        peer.played()
        connection.write(b"y" * 1000)
        with pytest.raises(UpstreamFault) as failed:
            await result(connection.wait_head())
        assert (failed.value.cause, connection.complete) == (cause, complete)


@pytest.mark.parametrize("answer", [TOO_LARGE[:-1], TOO_LARGE.replace(b"Content-Length: 5\r\n", b"")])
async def test_a_body_before_a_reset_may_be_a_part(answer: bytes) -> None:
    """One byte less than was announced, or no announcement at all: it is delivered, and marked as broken off."""
    peer = Peer(refusing(answer))
    async with peer.connected() as connection:
        send(connection)
        peer.played()
        connection.write(b"y" * 1000)
        await result(connection.wait_head())
        sink = Collected()
        with pytest.raises(UpstreamFault) as failed:
            await result(connection.relay(sink))
        assert failed.value.cause is Cause.RESPONSE_INCOMPLETE
        assert sink.body == answer.partition(b"\r\n\r\n")[2]


# Over TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ends"))


@pytest.fixture(scope="module")
def server(authority: Authority) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(authority.issue("origin.test"))
    return made


@pytest.fixture(scope="module")
def client(authority: Authority) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(authority.path)
    return made


def answering(head: bytes, body: bytes, *, notify: bool) -> Callable[[socket.socket], None]:
    """Answers a request and closes, with a close_notify or without."""

    def play(accepted: socket.socket) -> None:
        accepted.recv(1000)
        accepted.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + body)
        if notify:
            accepted.setblocking(False)
            with suppress(ssl.SSLWantReadError):  # it does not wait for ours
                accepted.unwrap()  # type: ignore[attr-defined]

    return play


class Slow(Collected):
    """A sink that takes one piece at a time, and asks for the next a turn of the loop later."""

    def __init__(self, connection: UpstreamConnection) -> None:
        super().__init__()
        self._connection = connection

    def write(self, chunk: bytes) -> None:
        super().write(chunk)
        self._connection.pause()
        asyncio.get_running_loop().call_later(0.001, self._connection.resume)


@pytest.mark.parametrize("notify", [True, False])
@pytest.mark.parametrize("size", [0, 100, 300_000, 2_000_000])
async def test_a_slow_client_gets_the_whole_body(
    server: ssl.SSLContext, client: ssl.SSLContext, notify: bool, size: int
) -> None:
    """The end of the connection overtakes, in uvloop, what a paused reader has not taken: it is not lost."""
    body = bytes(range(250)) * (size // 250)
    peer = Peer(answering(b"Connection: close\r\nContent-Length: %d\r\n" % len(body), body, notify=notify), server)
    async with peer.connected(client) as connection:
        connection.start(b"GET", REQUEST, TIMES)
        await result(connection.wait_head())
        sink = Slow(connection)
        await result(connection.relay(sink))
        assert sink.body == body


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("notify", [True, False])
async def test_a_body_without_length_ends_with_a_close_notify(
    server: ssl.SSLContext, client: ssl.SSLContext, notify: bool, slow: bool
) -> None:
    """Anybody on the way can end the connection (RFC 9112 §9.8): without the close_notify the body is a part."""
    body = b"x" * 300_000
    peer = Peer(answering(b"", body, notify=notify), server)
    async with peer.connected(client) as connection:
        connection.start(b"GET", REQUEST, TIMES)
        await result(connection.wait_head())
        sink = Slow(connection) if slow else Collected()
        whole = connection.relay(sink)
        if notify:
            await result(whole)
        else:
            with pytest.raises(UpstreamFault) as failed:
                await result(whole)
            assert failed.value.cause is Cause.RESPONSE_INCOMPLETE
        assert sink.body == body
        assert connection.complete is notify


async def test_an_origin_that_wants_a_certificate_says_so_too_late(
    authority: Authority, client: ssl.SSLContext
) -> None:
    """In TLS 1.3 our handshake is done before the origin has seen that there is none: its alert is a TLS failure."""
    wanting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    wanting.load_cert_chain(authority.issue("origin.test"))
    wanting.load_verify_locations(authority.path)
    wanting.verify_mode = ssl.CERT_REQUIRED
    peer = Peer(lambda _accepted: None, wanting)
    async with peer.connected(client) as connection:
        connection.start(b"GET", REQUEST, TIMES)
        with pytest.raises(UpstreamFault) as failed:
            await result(connection.wait_head())
        assert failed.value.cause is Cause.TLS_FAILED
        assert "CERTIFICATE_REQUIRED" in failed.value.detail


# Without sockets


@pytest.mark.parametrize(
    ("error", "received", "first", "cause", "said"),
    [
        (None, True, True, Cause.RESPONSE_INCOMPLETE, "end of stream"),
        (ssl.SSLError(1, "alert"), True, True, Cause.RESPONSE_INCOMPLETE, "alert"),
        (ssl.SSLError(1, "alert"), False, False, Cause.TLS_FAILED, "alert"),
        (OSError(104, "reset"), False, False, Cause.CLOSED_BEFORE_HEAD, "reset"),
        (None, False, False, Cause.CLOSED_BEFORE_HEAD, "end of stream"),
        (None, False, True, Cause.CLOSED_BEFORE_HEAD, "client certificate"),
    ],
)
def test_what_an_end_means(error: Exception | None, received: bool, first: bool, cause: Cause, said: str) -> None:
    """By what had come, and by what broke it; the first end of all on TLS is asked about its certificate."""
    transport = SimpleNamespace(get_extra_info=lambda name: object() if name == "ssl_object" else None)
    found, detail = end_of(transport, error, received=received, first=first)
    assert found is cause
    assert said in detail
    plain = SimpleNamespace(get_extra_info=lambda _name: None)
    assert "certificate" not in end_of(plain, error, received=received, first=first)[1]


class Decrypted:
    """Stands for an SSLObject: gives its pieces, then raises or ends."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self.pieces = list(pieces)

    def read(self, _size: int) -> bytes:
        piece = self.pieces.pop(0)
        if isinstance(piece, Exception):
            raise piece
        return piece


ALERT = ssl.SSLError(1, "tlsv13 alert")
LOST = ConnectionResetError(104, "reset")


@pytest.mark.parametrize(
    ("pieces", "error", "expected"),
    [
        ((b"a", b"b", b""), None, (b"ab", None, True)),
        ((b"a", ssl.SSLWantReadError()), None, (b"a", None, False)),
        ((b"a", ssl.SSLWantReadError()), LOST, (b"a", LOST, False)),
        ((b"a", ALERT), None, (b"a", ALERT, False)),
        ((b"",), ALERT, (b"", ALERT, False)),  # OpenSSL takes an alert for an end like any other
    ],
)
def test_what_was_decrypted_and_not_read(
    pieces: tuple[bytes | Exception, ...], error: Exception | None, expected: tuple[bytes, Exception | None, bool]
) -> None:
    """All of it, and whether a close_notify or an alert came behind it."""
    decrypted = Decrypted(*pieces)
    transport = SimpleNamespace(get_extra_info=lambda name: decrypted if name == "ssl_object" else None)
    assert tuple(last_words(transport, error)) == expected


def test_last_words_are_bounded() -> None:
    """An origin that never ends fills no memory."""
    decrypted = Decrypted(*[b"x" * 16_384] * 1000)
    transport = SimpleNamespace(get_extra_info=lambda name: decrypted if name == "ssl_object" else None)
    found = last_words(transport, None)
    assert (len(found.data), found.ended) == (MOST, False)


def test_a_transport_without_a_socket_has_nothing_to_say() -> None:
    """Nor has one whose descriptor is closed, nor one that ended by itself."""
    bare = SimpleNamespace(get_extra_info=lambda _name: None)
    assert tuple(last_words(bare, LOST)) == (b"", LOST, False)
    with socket.socket() as own:
        pass
    closed = SimpleNamespace(get_extra_info=lambda name: own if name == "socket" else None)
    for error in (None, LOST):
        assert tuple(last_words(closed, error)) == (b"", error, False)
