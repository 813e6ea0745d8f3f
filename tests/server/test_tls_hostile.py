"""Clients that mean harm, or are broken: whatever they send, wherever they stop, nothing is left and nothing raises."""

from __future__ import annotations

import random
import ssl
from typing import Any

import pytest

from gateway.server.certificates import CertificateStore
from tests.kit.tls import Served, TlsClient, client_of, issue, put, store_of

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
LIMITS: Any = {version: {"minimum_version": version, "maximum_version": version} for version in VERSIONS}
RECORD_OVERFLOW, ILLEGAL_PARAMETER = 22, 47  # alerts


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> CertificateStore:
    folder = tmp_path_factory.mktemp("certs")
    put(folder, "localhost", issue("localhost"))
    return store_of(folder)


def record(kind: int, content: bytes, length: int | None = None) -> bytes:
    return bytes((kind, 3, 3)) + (len(content) if length is None else length).to_bytes(2, "big") + content


def is_over(served: Served, *results: str) -> None:
    """The connection has ended, once, with one of `results`, and nothing of it is left."""
    served.loop.run()
    if not served.transport.lost:
        served.transport.lose()
    assert sum(served.results().values()) == 1
    assert set(served.results()) <= set(results), served.results()
    assert served.lost == [served.connection] or served.inners
    assert len(served.sweep) == 0
    assert served.metrics.value("gateway_tls_handshakes_active") == 0
    assert not served.transport.late


def flights(store: CertificateStore, settings: ssl.SSLContext) -> list[bytes]:
    """What a client sends in a whole handshake, flight by flight."""
    served, client = Served(store), TlsClient(settings)
    sent = [client.step()]
    while not client.done:
        served.transport.feed(sent[-1])
        sent.append(client.step(served.transport.take()))
    return sent


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_that_leaves_anywhere(store: CertificateStore, version: ssl.TLSVersion, reset: bool) -> None:
    """In the first flight as in the second: the handshake is counted once, as what it was."""
    settings = client_of(**LIMITS[version])
    for flight in range(2):
        at, length = 0, 1
        while at < length:
            served, client = Served(store), TlsClient(settings)
            wire = client.step()
            if flight:
                served.transport.feed(wire)
                wire = client.step(served.transport.take())
            length = len(wire)
            if at:
                served.transport.feed(wire[:at])
            served.transport.lose(ConnectionResetError(104, "reset")) if reset else served.transport.end()
            is_over(served, "closed" if at or flight else "silent")
            at += 3 if length < 200 else 31


@pytest.mark.parametrize("version", VERSIONS)
def test_a_broken_byte_anywhere_in_a_handshake(store: CertificateStore, version: ssl.TLSVersion) -> None:
    """A byte changed anywhere in what the client sends ends the handshake or does not matter; it never raises."""
    settings = client_of(**LIMITS[version])
    dice = random.Random(7)
    first = flights(store, settings)[0]
    for at in range(0, len(first), 5):
        served, client = Served(store), TlsClient(settings)
        wire = bytearray(client.step())
        wire[at] ^= dice.randrange(1, 256)
        served.transport.feed(bytes(wire))
        served.transport.end()
        is_over(served, "error", "cipher", "protocol", "version", "not_tls", "plain_http", "unknown_name", "closed")
    for at in range(30):
        served, client = Served(store), TlsClient(settings)
        served.transport.feed(client.step())
        wire = bytearray(client.step(served.transport.take()))
        place = at * len(wire) // 30
        wire[place] ^= dice.randrange(1, 256)
        served.transport.feed(bytes(wire))
        assert served.inners == [] or wire[0] == 0x14  # the type of a ChangeCipherSpec, which TLS 1.3 drops


@pytest.mark.parametrize("after", ["hello", "handshake"])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", [0x14, 0x15, 0x16, 0x17, 0x18, 0x80, 0x00, 0x47])
def test_garbage_records(store: CertificateStore, kind: int, version: ssl.TLSVersion, after: str) -> None:
    """Records of every type with random content, after each stage: an end with an alert, never a traceback."""
    dice = random.Random(kind)
    for size in (0, 1, 2, 60, 16_000):
        served, client = Served(store), TlsClient(client_of(**LIMITS[version]))
        if after == "hello":
            served.transport.feed(client.step())
        else:
            served.shake(client)
        served.transport.feed(*[record(kind, dice.randbytes(size))] * 33)
        served.transport.end()
        is_over(served, "error", "alert", "closed", "ok", "not_tls", "version")


@pytest.mark.parametrize("length", [0x4001 + 0x800, 0xFFFF])
def test_a_record_that_is_too_large(store: CertificateStore, length: int) -> None:
    """Its header alone is answered with record_overflow (RFC 8446 §5.2): its bytes are not waited for."""
    early = Served(store)
    early.transport.feed(record(0x16, b"\x01\x00\x10\x00", length))
    assert early.transport.take() == b"\x15\x03\x01\x00\x02\x02" + bytes((RECORD_OVERFLOW,))
    is_over(early, "not_tls")
    for version in VERSIONS:
        served, client = Served(store), TlsClient(client_of(**LIMITS[version]))
        served.shake(client)
        client.decrypt(served.transport.take())
        served.transport.feed(record(0x17, b"x", length))
        assert served.transport.closed
        assert served.breaks() == {"bad_record": 1}
        is_over(served, "ok")


def offering_compression(settings: ssl.SSLContext) -> bytes:
    """A ClientHello that offers DEFLATE beside no compression (RFC 3749)."""
    hello = TlsClient(settings).step()
    at = 5 + 4 + 34
    at += 1 + hello[at]
    at += 2 + int.from_bytes(hello[at : at + 2], "big")
    assert hello[at : at + 2] == b"\x01\x00"
    body = hello[9:at] + b"\x02\x01\x00" + hello[at + 2 :]
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message


def test_compression_is_never_used(store: CertificateStore) -> None:
    """TLS 1.2 goes on without it (CRIME); in TLS 1.3 to offer it is an illegal parameter (RFC 8446 §4.1.2)."""
    served = Served(store)
    served.transport.feed(offering_compression(client_of(**LIMITS[VERSIONS[0]])))
    hello = served.transport.take()
    assert hello[:1] == b"\x16"
    chosen = 5 + 4 + 34 + 1 + hello[5 + 4 + 34] + 2
    assert hello[chosen] == 0
    newer = Served(store)
    newer.transport.feed(offering_compression(client_of(**LIMITS[VERSIONS[1]])))
    assert newer.transport.take()[:7] == b"\x15\x03\x03\x00\x02\x02" + bytes((ILLEGAL_PARAMETER,))
    is_over(newer, "error")


def test_warnings_without_end(store: CertificateStore) -> None:
    """A client may warn us a few times before its handshake is done; then it is over."""
    served, client = Served(store), TlsClient(client_of(**LIMITS[VERSIONS[0]]))
    served.transport.feed(client.step())
    served.transport.feed(*[record(0x15, b"\x01\x64")] * 100)
    assert served.transport.closed
    is_over(served, "error", "alert")


def test_change_cipher_spec_without_end(store: CertificateStore) -> None:
    """TLS 1.3 drops them during a handshake, for old middleboxes; a flood of them is bounded by time, and then refused."""
    served, client = Served(store), TlsClient(client_of(**LIMITS[VERSIONS[1]]))
    served.transport.feed(client.step())
    served.transport.feed(*[record(0x14, b"\x01")] * 1000)
    served.clock.advance(11)
    served.sweep.run(served.clock())
    is_over(served, "timeout", "error")


@pytest.mark.parametrize(
    "plain", [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"G", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"PROXY TCP4 "]
)
def test_plain_text(store: CertificateStore, plain: bytes) -> None:
    """Whatever begins like a request gets a 400 that says what to do, whole or not; no redirect: nothing was parsed."""
    served = Served(store)
    served.transport.feed(plain)
    assert served.transport.take().startswith(b"HTTP/1.1 400 Bad Request\r\n")
    served.transport.end()
    is_over(served, "plain_http")


@pytest.mark.parametrize("wire", [b"\x80\x2e\x01\x03\x01", b"\x00", b"\r\n\r\n", b"\x03\x00\x00\x2b"])
def test_other_protocols(store: CertificateStore, wire: bytes) -> None:
    """SSL 2, empty lines, RDP: cut without an answer."""
    served = Served(store)
    served.transport.feed(wire)
    assert served.transport.aborted
    assert served.transport.sent == b""
    is_over(served, "not_tls")
