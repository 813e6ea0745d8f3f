"""TLS over real sockets on uvloop: curl, OpenSSL's own client, asyncio's, and clients that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.deadlines import Sweep
from gateway.development import make_development_certificates
from gateway.exchange import Connection
from gateway.metrics import Metrics
from gateway.server.certificates import CertificateStore
from gateway.server.tls import HandshakeGate, TlsLayer
from tests.kit.tls import Recorder, client_of, store_of

pytestmark = pytest.mark.e2e

MEBIBYTE = 1 << 20


class Echo(Recorder):
    """Answers GET with a page and closes; echoes anything else and pauses itself like a proxy would."""

    peak = 0  # the most that ever waited unsent, over all connections
    echoed = 0  # bytes

    def data_received(self, data: bytes) -> None:
        if b"GET " in data:
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
            self.transport.close()
        else:
            self.transport.write(data)
            Echo.echoed += len(data)
            Echo.peak = max(Echo.peak, self.transport.get_write_buffer_size())

    def pause_writing(self) -> None:
        super().pause_writing()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.transport.resume_reading()


class Gateway:
    """A TLS port on loopback."""

    def __init__(self, folder: Path) -> None:
        make_development_certificates(folder)
        self.folder = folder
        self.store: CertificateStore = store_of(folder)
        self.metrics = Metrics()
        self.gate = HandshakeGate(self.metrics)
        self.sweep = Sweep()
        self.errors: list[dict[str, Any]] = []
        self.port = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Gateway]:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, error: self.errors.append(error))

        def layer() -> TlsLayer:
            connection = Connection("127.0.0.1", 1, "127.0.0.1:0", "web", loop.time())
            return TlsLayer(self.store, connection, Echo, self.sweep, loop.time, self.gate)

        server = await loop.create_server(layer, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            assert self.errors == []

    def trusted(self) -> ssl.SSLContext:
        return client_of((self.folder / "ca.pem").read_bytes())

    def result(self, word: str) -> Any:
        return self.metrics.value("gateway_tls_handshakes_total", result=word)


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    Echo.peak = Echo.echoed = 0
    return Gateway(tmp_path)


async def run(*command: str, stdin: bytes = b"") -> bytes:
    """Standard output and error of a command, together."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await asyncio.wait_for(process.communicate(stdin), 20)
    return output


async def until(condition: Any) -> None:
    """Turns of the loop until `condition()`; the test's own timeout is the limit."""
    while not condition():  # noqa: ASYNC110  # the conditions are counters
        await asyncio.sleep(0.005)


async def test_curl_trusts_the_development_certificate(gateway: Gateway) -> None:
    """`curl --cacert certs/ca.pem` works by name and by both addresses' family, with 1.2 and 1.3."""
    async with gateway.running():
        for host in ("localhost", "127.0.0.1"):
            for version in (["--tls-max", "1.2"], ["--tlsv1.3"]):
                url = f"https://{host}:{gateway.port}/"
                ca = str(gateway.folder / "ca.pem")
                assert await run("curl", "-4", "-sS", "--cacert", ca, *version, url) == b"hello"
        assert gateway.result("ok") == 4


async def test_curl_without_tls_reads_why(gateway: Gateway) -> None:
    """http:// on the TLS port gives a page that says so, not a broken connection."""
    async with gateway.running():
        answer = await run("curl", "-sS", "-i", f"http://127.0.0.1:{gateway.port}/")
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"https://" in answer
        await until(lambda: len(gateway.sweep) == 0)
        assert gateway.result("plain_http") == 1


async def test_openssl_asks_to_renegotiate(gateway: Gateway) -> None:
    """s_client's R gets no second handshake (RFC 5746 §4.5: the alert no_renegotiation)."""
    async with gateway.running():
        address = f"127.0.0.1:{gateway.port}"
        output = await run("openssl", "s_client", "-tls1_2", "-connect", address, stdin=b"R\n")
        assert b"RENEGOTIATING" in output
        assert b"no renegotiation" in output
        assert gateway.result("ok") == 1


async def test_openssl_updates_its_keys(gateway: Gateway) -> None:
    """s_client's K (KeyUpdate, and asking for ours) is answered, and the connection goes on."""
    async with gateway.running():
        process = await asyncio.create_subprocess_exec(
            "openssl", "s_client", "-tls1_3", "-connect", f"127.0.0.1:{gateway.port}", "-msg",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        await until(lambda: gateway.result("ok") == 1)
        process.stdin.write(b"K\n")
        while Echo.echoed == 0:  # s_client drops a line that it reads together with the K
            process.stdin.write(b"after\n")
            await asyncio.sleep(0.005)
        process.stdin.write(b"GET / HTTP/1.1\r\n\r\n")
        output = await process.stdout.read()
        await process.wait()
        assert b">>> TLS 1.3, Handshake [length 0005], KeyUpdate" in output
        assert b"<<< TLS 1.3, Handshake [length 0005], KeyUpdate" in output
        assert b"\nafter\n" in output


async def test_openssl_resumes(gateway: Gateway) -> None:
    """A session saved by one s_client is resumed by the next, before and after a reload."""
    async with gateway.running():
        saved = str(gateway.folder / "session.txt")
        page = b"GET / HTTP/1.1\r\n\r\n"
        command = ("openssl", "s_client", "-connect", f"127.0.0.1:{gateway.port}", "-ign_eof")
        await run(*command, "-sess_out", saved, stdin=page)
        await run(*command, "-sess_in", saved, "-sess_out", saved, stdin=page)
        assert gateway.result("resumed") == 1
        await asyncio.get_running_loop().run_in_executor(None, gateway.store.reload)
        await run(*command, "-sess_in", saved, stdin=page)
        assert gateway.result("resumed") == 2
        assert gateway.result("ok") == 1


async def test_openssl_sends_early_data(gateway: Gateway) -> None:
    """It could be replayed by anybody (RFC 8446 §8): tickets do not allow it, and none is taken."""
    async with gateway.running():
        saved = str(gateway.folder / "session.txt")
        page = gateway.folder / "page.txt"
        await asyncio.to_thread(page.write_bytes, b"GET / HTTP/1.1\r\n\r\n")
        command = ("openssl", "s_client", "-connect", f"127.0.0.1:{gateway.port}", "-ign_eof")
        output = await run(*command, "-sess_out", saved, stdin=b"GET / HTTP/1.1\r\n\r\n")
        assert b"Max Early Data: 0" in output
        output = await run(*command, "-sess_in", saved, "-early_data", str(page), stdin=b"GET / HTTP/1.1\r\n\r\n")
        assert b"Early data was not sent" in output
        assert gateway.result("resumed") == 1


async def test_openssl_falls_back(gateway: Gateway) -> None:
    """A client that was talked down to TLS 1.2 is told so (RFC 7507: inappropriate_fallback)."""
    async with gateway.running():
        output = await run("openssl", "s_client", "-tls1_2", "-fallback_scsv", "-connect", f"127.0.0.1:{gateway.port}")
        assert b"inappropriate fallback" in output
        assert gateway.result("version") == 1


async def test_twenty_megabytes_both_ways_with_a_slow_reader(gateway: Gateway) -> None:
    """A client that sends without reading stops us from reading; nothing is lost, and little waits in memory."""
    async with gateway.running():
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", gateway.port, ssl=gateway.trusted(), server_hostname="localhost", limit=MEBIBYTE
        )
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        piece = bytes(range(256)) * 256

        async def send() -> None:
            for _ in range(20 * MEBIBYTE // len(piece)):
                writer.write(piece)
                await writer.drain()

        sending = asyncio.create_task(send())
        await until(lambda: Echo.peak > 0)
        for _ in range(50):
            await asyncio.sleep(0)
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        for _ in range(20 * MEBIBYTE // len(piece)):
            assert await reader.readexactly(len(piece)) == piece
        await sending
        assert Echo.peak <= MEBIBYTE
        writer.close()
        await writer.wait_closed()


async def test_many_at_once(gateway: Gateway) -> None:
    """Three hundred handshakes under way together all end well, and the sweep is empty again."""
    async with gateway.running():
        trusted = gateway.trusted()

        async def visit() -> bytes:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", gateway.port, ssl=trusted, server_hostname="localhost"
            )
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            answer = await reader.read()
            writer.close()
            return answer

        answers = await asyncio.gather(*(visit() for _ in range(300)))
        assert all(answer.endswith(b"hello") for answer in answers)
        assert len(gateway.sweep) == 0
        assert gateway.metrics.value("gateway_tls_handshakes_active") == 0


@pytest.mark.parametrize("phase", ["connect", "hello", "answer"])
async def test_reset_in_a_handshake(gateway: Gateway, phase: str) -> None:
    """RST at each phase leaves no trace but a count."""
    async with gateway.running():
        loop = asyncio.get_running_loop()
        raw = socket.create_connection(("127.0.0.1", gateway.port))
        raw.setblocking(False)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        half = client_of().wrap_bio(incoming, outgoing, server_hostname="localhost")
        with contextlib.suppress(ssl.SSLWantReadError):
            half.do_handshake()
        hello = outgoing.read()
        await until(lambda: len(gateway.sweep) == 1)
        if phase == "hello":
            await loop.sock_sendall(raw, hello[:50])
        elif phase == "answer":
            await loop.sock_sendall(raw, hello)
            await loop.sock_recv(raw, 1)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.close()
        await until(lambda: len(gateway.sweep) == 0)
        assert (gateway.result("closed"), gateway.result("silent")) in {(1, 0), (0, 1)}
        assert gateway.metrics.value("gateway_tls_handshakes_active") == 0
