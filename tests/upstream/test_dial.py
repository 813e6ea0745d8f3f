"""Connections over real sockets: TCP, Unix, TLS; refused, hanging, unknown; on both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from gateway.deadlines import Sweep
from gateway.eager import EagerTask
from gateway.errors import UpstreamFault
from gateway.http.head import ResponseHeadReader
from gateway.upstream.address import parse_endpoint
from gateway.upstream.dial import Dialer, connect_fault
from gateway.upstream.http1 import UpstreamConnection
from gateway.upstream.resolver import Resolver
from gateway.upstream.settings import UpstreamTlsConfig
from gateway.upstream.tls import load_tls
from tests.kit.certificates import Authority
from tests.kit.upstream import REQUEST, TIMES

pytestmark = pytest.mark.e2e


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An origin: answers each request with its Host field, until the other side closes."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            body = head.split(b"host: ")[1].split(b"\r\n")[0]
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


@asynccontextmanager
async def origin(tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


class Caller:
    """Dials one endpoint and speaks to it."""

    def __init__(self, lookup: Callable[[str], list[str]] | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.loop = loop
        self.lost: asyncio.Future[None] = loop.create_future()
        self.resolver = Resolver(loop.time, lookup) if lookup is not None else Resolver(loop.time)

    def _make(self) -> UpstreamConnection:
        return UpstreamConnection(ResponseHeadReader(), Sweep(), self.loop.time, self._on_lost)

    def _on_lost(self, connection: UpstreamConnection) -> None:
        if not self.lost.done():
            self.lost.set_result(None)

    async def dial(
        self, url: str, tls: ssl.SSLContext | None = None, name: str = "", seconds: float = 10.0
    ) -> UpstreamConnection:
        address = parse_endpoint(url)
        return await Dialer(address, self.resolver, tls, name or address.host).dial(self._make, seconds)

    async def ask(self, connection: UpstreamConnection) -> bytes:
        """One exchange; the body of the answer."""
        result: asyncio.Future[bytes] = self.loop.create_future()

        async def exchange() -> None:
            try:
                connection.start(b"GET", REQUEST, TIMES)
                await connection.wait_head()
                result.set_result(b"".join(connection.chunks))
            except UpstreamFault as fault:
                result.set_exception(fault)

        EagerTask(exchange(), result.set_exception)
        return await result

    async def hang_up(self, connection: UpstreamConnection) -> None:
        connection.close()
        await asyncio.wait_for(self.lost, 10.0)


async def word(dialing: Coroutine[Any, Any, UpstreamConnection]) -> str:
    """The word of the fault that `dialing` ends with."""
    with pytest.raises(UpstreamFault) as failed:
        await dialing
    assert failed.value.sent is False
    return failed.value.cause.word


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def server_tls(path: Path, ca: Path | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    if ca is not None:
        context.load_verify_locations(ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_tls(folder: Path, **keys: object) -> ssl.SSLContext:
    return load_tls(UpstreamTlsConfig.model_validate(keys), folder, lambda text: None)


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_tcp_and_reuse_on_both_loops(loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Two exchanges over one connection, on asyncio's loop and on uvloop."""

    async def converse() -> None:
        caller = Caller()
        async with origin() as port:
            connection = await caller.dial(f"http://127.0.0.1:{port}")
            for _ in range(2):
                assert await caller.ask(connection) == b"o"
                assert connection.reusable
                connection.park(60.0)
            await caller.hang_up(connection)

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(converse())


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_tls_on_both_loops(loop_factory: Callable[[], asyncio.AbstractEventLoop], authority: Authority) -> None:
    """The origin's certificate is verified against our own authority, for the name in the URL."""

    async def converse() -> None:
        caller = Caller(lambda host: ["127.0.0.1"])
        async with origin(server_tls(authority.issue("origin.test"))) as port:
            tls = client_tls(authority.folder, ca="ca.pem")
            connection = await caller.dial(f"https://origin.test:{port}", tls)
            assert await caller.ask(connection) == b"o"
            connection.park(60.0)
            await caller.hang_up(connection)

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(converse())


async def test_unix_sockets(tmp_path: Path) -> None:
    """An origin on a Unix socket, and the same path when nobody listens there."""
    path = tmp_path / "origin.sock"
    caller = Caller()
    assert await word(caller.dial(f"unix:{path}")) == "connect_refused"
    server = await asyncio.start_unix_server(serve, path)
    connection = await caller.dial(f"unix:{path}")
    assert await caller.ask(connection) == b"o"
    connection.park(60.0)
    await caller.hang_up(connection)
    server.close()
    await server.wait_closed()


async def test_refused_and_gone() -> None:
    """A port on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        assert await word(Caller().dial(f"http://127.0.0.1:{port}")) == "connect_refused"


async def test_a_failure_leaves_no_cycle() -> None:
    """What failed is gone with its fault, without the collector: an endpoint that is down may fail very often."""
    caller = Caller()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for _ in range(10):
                with contextlib.suppress(UpstreamFault):
                    await caller.dial(url)
            gc.collect()
            assert [each for each in gc.garbage if isinstance(each, (OSError, UpstreamFault))] == []
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()


async def test_an_origin_that_does_not_accept_in_time() -> None:
    """A TLS handshake that nobody answers ends with the connect deadline."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        port = silent.getsockname()[1]
        tls = ssl.create_default_context()
        assert await word(Caller().dial(f"https://127.0.0.1:{port}", tls, seconds=0.05)) == "connect_timeout"


async def test_names() -> None:
    """An unknown name, a name server that hangs, and a name that resolves."""

    def unknown(host: str) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    assert await word(Caller(unknown).dial("http://app")) == "name_error"
    async with origin() as port:
        caller = Caller(lambda host: ["127.0.0.1"])
        connection = await caller.dial(f"http://app:{port}")
        assert await caller.ask(connection) == b"o"
        connection.park(60.0)
        await caller.hang_up(connection)


async def test_a_name_server_that_hangs() -> None:
    """The time is over while the name is looked up: the name is named as the cause."""
    caller = Caller()

    async def never(host: str) -> tuple[str, ...]:
        return await caller.loop.create_future()  # type: ignore[no-any-return]

    caller.resolver = type("Hanging", (), {"resolve": staticmethod(never)})()
    assert await word(caller.dial("http://app", seconds=0.01)) == "name_timeout"


async def test_every_address_is_tried() -> None:
    """The first addresses refuse, the last one answers: all within one dial."""
    async with origin() as port:
        caller = Caller(lambda host: ["127.0.0.2", "::1", "127.0.0.1"])
        connection = await caller.dial(f"http://app:{port}")
        assert await caller.ask(connection) == b"o"
        connection.park(60.0)
        await caller.hang_up(connection)


async def test_all_addresses_refuse() -> None:
    """The last failure is told."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        caller = Caller(lambda host: ["127.0.0.1", "127.0.0.2"])
        assert await word(caller.dial(f"http://app:{port}")) == "connect_refused"


async def test_certificates_that_are_refused(authority: Authority, tmp_path: Path) -> None:
    """Unknown authority, wrong name, expired: each is certificate_refused, and no request is written."""
    caller = Caller(lambda host: ["127.0.0.1"])
    tls = client_tls(authority.folder, ca="ca.pem")
    other = Authority(tmp_path, "Other CA")
    for path in (other.issue("origin.test"), authority.issue("else.test"), authority.issue("origin.test", days=-1)):
        async with origin(server_tls(path)) as port:
            assert await word(caller.dial(f"https://origin.test:{port}", tls)) == "certificate_refused"


async def test_server_name_and_addresses(authority: Authority, tmp_path: Path) -> None:
    """server_name replaces the host for SNI and verification; an address is verified as an address."""
    tls = client_tls(authority.folder, ca="ca.pem")
    asked: list[str | None] = []
    server = server_tls(authority.issue("origin.test", "127.0.0.1"))
    server.sni_callback = lambda connection, name, context: asked.append(name)
    async with origin(server) as port:
        for name in ("origin.test", "", "wrong.test"):
            caller = Caller()
            dialing = caller.dial(f"https://127.0.0.1:{port}", tls, name)
            if name == "wrong.test":
                assert await word(dialing) == "certificate_refused"
            else:
                connection = await dialing
                await caller.hang_up(connection)
    assert asked == ["origin.test", None, "wrong.test"]


async def test_without_verification(authority: Authority) -> None:
    """verify: false connects to anyone, as it says."""
    async with origin(server_tls(authority.issue("else.test", days=-1))) as port:
        caller = Caller()
        connection = await caller.dial(f"https://127.0.0.1:{port}", client_tls(authority.folder, verify=False))
        assert await caller.ask(connection) == b"o"
        connection.park(60.0)
        await caller.hang_up(connection)


async def test_client_certificates(authority: Authority) -> None:
    """An origin that demands a certificate gets ours; without one it hangs up, which is a TLS failure."""
    server = server_tls(authority.issue("127.0.0.1"), ca=authority.path)
    me = authority.issue("gateway.test")
    async with origin(server) as port:
        caller = Caller()
        tls = client_tls(authority.folder, ca="ca.pem", certificate=me.name)
        connection = await caller.dial(f"https://127.0.0.1:{port}", tls)
        assert await caller.ask(connection) == b"o"
        connection.park(60.0)
        await caller.hang_up(connection)

        bare = Caller()
        connection = await bare.dial(f"https://127.0.0.1:{port}", client_tls(authority.folder, ca="ca.pem"))
        with pytest.raises(UpstreamFault) as failed:
            await bare.ask(connection)
        assert failed.value.cause.word in {"tls_failed", "closed_before_head"}


async def test_an_origin_that_does_not_speak_tls() -> None:
    """https to a plain port is a TLS failure, not a refused connection."""

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    tls = ssl.create_default_context()
    assert await word(Caller().dial(f"https://127.0.0.1:{port}", tls)) == "tls_failed"
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    ("error", "tls", "expected"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), False, "connect_refused"),
        (FileNotFoundError(errno.ENOENT, "no socket"), False, "connect_refused"),
        (PermissionError(errno.EACCES, "not allowed"), False, "connect_refused"),
        (OSError(errno.EHOSTUNREACH, "no route"), False, "connect_refused"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), False, "connect_refused"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), True, "tls_failed"),
        (TimeoutError(errno.ETIMEDOUT, "timed out"), False, "connect_timeout"),
        (ssl.SSLError(1, "wrong version number"), True, "tls_failed"),
        (ssl.SSLCertVerificationError("expired"), True, "certificate_refused"),
        (socket.gaierror(socket.EAI_NONAME, "unknown"), False, "name_error"),
        (OSError(errno.EMFILE, "too many open files"), False, "pool_exhausted"),
        (OSError(errno.EADDRNOTAVAIL, "no port left"), False, "pool_exhausted"),
        (RuntimeError("?"), False, "connect_refused"),
    ],
)
def test_the_map_of_errors(error: Exception, tls: bool, expected: str) -> None:
    """Every exception of the system has one Cause, and nothing was sent."""
    fault = connect_fault(error, tls=tls)
    assert fault.cause.word == expected
    assert fault.sent is False
    assert fault.detail


def test_a_timeout_while_resolving_is_the_names() -> None:
    """The same exception, told apart by what was under way."""
    assert connect_fault(TimeoutError(), resolving=True).cause.word == "name_timeout"
