"""ClientHellos: what OpenSSL writes is read whole, in pieces and in many records; anything else is refused."""

from __future__ import annotations

import random
import ssl
import struct

import pytest

from gateway.server.client_hello import (
    GREASE,
    MAX_BYTES,
    MAX_HELLO,
    MAX_RECORDS,
    NEED_MORE,
    BadClientHello,
    ClientHello,
    parse_client_hello,
)
from tests.kit.tls import TlsClient, client_of

CHROME_CIPHERS = "1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035"
CHROME_EXTENSIONS = "001b,0000,0033,0010,4469,0017,002d,000d,0005,0023,0012,002b,ff01,000b,000a,0015"
CHROME_ALGORITHMS = "0403,0804,0401,0503,0805,0501,0806,0601"


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word, 16) for word in text.split(","))


def vector(head: int, content: bytes) -> bytes:
    return len(content).to_bytes(head, "big") + content


def extension(kind: int, content: bytes) -> bytes:
    return struct.pack(">H", kind) + vector(2, content)


def server_name(name: bytes) -> bytes:
    return extension(0, vector(2, b"\x00" + vector(2, name)))


def body(extensions: bytes | None = b"", ciphers: bytes = b"\x13\x01", version: int = 0x0303) -> bytes:
    plain = struct.pack(">H", version) + bytes(32) + vector(1, b"") + vector(2, ciphers) + vector(1, b"\x00")
    return plain if extensions is None else plain + vector(2, extensions)


def message(content: bytes) -> bytes:
    return b"\x01" + vector(3, content)


def records(whole: bytes, size: int = MAX_HELLO) -> bytes:
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    return b"".join(b"\x16\x03\x01" + vector(2, piece) for piece in pieces)


def wire(extensions: bytes | None = b"", **more: object) -> bytes:
    return records(message(body(extensions, **more)))  # type: ignore[arg-type]


def read(data: bytes) -> ClientHello:
    found = parse_client_hello(data)
    assert found is not None
    return found


def real(server_name: str | None = "Shop.Example.com") -> bytes:
    settings = client_of()
    settings.set_alpn_protocols(["h2", "http/1.1"])
    return TlsClient(settings, server_name).step()


def test_openssl_is_understood() -> None:
    """Name, protocols, versions and suites of a real ClientHello."""
    hello = read(real())
    assert hello.server_name == "shop.example.com"
    assert hello.alpn == (b"h2", b"http/1.1")
    assert hello.version == 0x0303
    assert set(hello.versions) >= {0x0304, 0x0303}
    assert 0x1301 in hello.ciphers
    assert 0x0403 in hello.signature_algorithms
    assert {0, 10, 13, 16, 43, 51} <= set(hello.extensions)
    assert hello.ja4().startswith("t13d")


def test_no_name_is_no_error() -> None:
    """A client that connects to an address sends no name; JA4 says so."""
    hello = read(real(None))
    assert hello.server_name == ""
    assert hello.ja4()[:4] == "t13i"


def test_every_prefix_needs_more() -> None:
    """Whatever part has come, the rest is waited for, and what follows the message does not matter."""
    whole = real()
    assert all(parse_client_hello(whole[:end]) is NEED_MORE for end in range(len(whole)))
    assert read(whole + b"\x14\x03\x03\x00\x01\x01").server_name == "shop.example.com"


@pytest.mark.parametrize("size", [9, 50, 100, 257])
def test_it_may_span_records(size: int) -> None:
    """Some clients cut it into records of a few bytes, to get past middleboxes."""
    whole = real()
    pieces = records(whole[5:], size)
    assert read(pieces).ja4() == read(whole).ja4()
    assert all(parse_client_hello(pieces[:end]) is NEED_MORE for end in range(len(pieces)))


def test_chrome_has_its_published_fingerprint() -> None:
    """The worked example of the JA4 specification."""
    hello = ClientHello(0x0303, (0x2A2A, *numbers(CHROME_CIPHERS)))
    hello.versions = (0x5A5A, 0x0304, 0x0303)
    hello.alpn = (b"h2", b"http/1.1")
    hello.extensions = [0x1A1A, *numbers(CHROME_EXTENSIONS), 0xFAFA]
    hello.signature_algorithms = numbers(CHROME_ALGORITHMS)
    assert hello.ja4() == "t13d1516h2_8daaf6152771_e5627efa2ab1"


def test_order_and_grease_do_not_change_the_fingerprint() -> None:
    """Chrome shuffles its extensions and invents values; it is the same client all the same."""
    chance = random.Random(7)
    seen = set()
    for _ in range(20):
        kinds = [*numbers(CHROME_EXTENSIONS)[3:], chance.choice(sorted(GREASE))]
        chance.shuffle(kinds)
        hello = ClientHello(0x0303, (chance.choice(sorted(GREASE)), *numbers(CHROME_CIPHERS)))
        hello.extensions = kinds
        seen.add(hello.ja4())
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("protocol", "word"),
    [(b"h2", "h2"), (b"http/1.1", "h1"), (b"x", "xx"), (b"\xab", "ab"), (b"\xab\xcd", "ad"), (b"0\xab", "3b")],
)
def test_fingerprint_of_protocols(protocol: bytes, word: str) -> None:
    """First and last character, of the hexadecimal form where they are no letters or digits (JA4 specification)."""
    hello = ClientHello(0x0303, (0x1301,))
    hello.alpn = (protocol,)
    assert hello.ja4().partition("_")[0] == f"t12i0100{word}"


def test_fingerprint_of_the_barest_client() -> None:
    """No extensions at all: zeros stand for the hashes of nothing."""
    assert read(wire(None, version=0x0301)).ja4() == "t10i010000_0f2cb44170f4_000000000000"
    assert ClientHello(0x0303, (0x0A0A,)).ja4() == "t12i000000_000000000000_000000000000"


@pytest.mark.parametrize("name", [b"a b", b"a\x00.com", b"[::1]", b"../etc", b"\xc3\xa4.de", b'"', b"%00"])
def test_names_that_no_host_has_are_refused(name: bytes) -> None:
    """A server name reaches logs and rules: only letters, digits, dots, hyphens and underscores."""
    with pytest.raises(BadClientHello) as caught:
        parse_client_hello(wire(server_name(name)))
    assert caught.value.alert == 112


def test_names_are_normalised() -> None:
    """Lower-case and without the root's dot, as certificates name hosts."""
    assert read(wire(server_name(b"WWW.Example.COM."))).server_name == "www.example.com"


BROKEN = {
    "http": b"GET / HTTP/1.1\r\n\r\n",
    "alert record": b"\x15\x03\x01\x00\x02\x02\x28",
    "SSL 2": b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10",
    "version 4 record": b"\x16\x04\x01\x00\x05\x01\x00\x00\x01\x00",
    "empty record": b"\x16\x03\x01\x00\x00",
    "huge record": b"\x16\x03\x01\x40\x01",
    "server hello": records(b"\x02" + vector(3, body())),
    "huge message": b"\x16\x03\x01\x00\x04\x01\x01\x00\x00",
    "empty message": records(message(b"")),
    "cut in the random": records(message(body()[:20])),
    "cut in the suites": records(message(body()[:38])),
    "cut in the compression": records(message(body(None)[:-1])),
    "odd suites": records(message(body(ciphers=b"\x13\x01\x13"))),
    "no suites": records(message(body(ciphers=b""))),
    "extensions too short": records(message(body(None) + b"\x00\x00\x01")),
    "extensions too long": records(message(body(None) + b"\x00\x09\x00\x17\x00\x00")),
    "extension past the end": wire(b"\x00\x17\x00\x05\x00"),
    "half an extension": wire(b"\x00\x17\x00"),
    "the same extension twice": wire(extension(23, b"") + extension(23, b"")),
    "two names": wire(extension(0, vector(2, b"\x00\x00\x01a\x00\x00\x01b"))),
    "no name in the name": wire(extension(0, b"")),
    "empty name": wire(server_name(b"")),
    "long name": wire(server_name(b"a" * 300)),
    "name of another type": wire(extension(0, vector(2, b"\x01\x00\x01a"))),
    "name list length": wire(extension(0, b"\x00\x09\x00\x00\x01a")),
    "empty protocols": wire(extension(16, vector(2, b""))),
    "empty protocol": wire(extension(16, vector(2, b"\x00"))),
    "protocol past the end": wire(extension(16, vector(2, b"\x09h2"))),
    "protocols length": wire(extension(16, b"\x00\x01\x02h2")),
    "odd algorithms": wire(extension(13, vector(2, b"\x04\x03\x05"))),
    "no algorithms": wire(extension(13, vector(2, b""))),
    "versions length": wire(extension(43, b"\x04\x03\x04")),
}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_what_is_broken_is_refused(name: str) -> None:
    """Every wrong length and type is a refusal with an alert, never a guess and never another exception."""
    with pytest.raises(BadClientHello) as caught:
        parse_client_hello(BROKEN[name])
    assert caught.value.alert in {10, 22, 47, 50}


def test_its_size_is_bounded() -> None:
    """What a client can make us keep before it is refused: 16 KiB, in at most 64 records."""
    endless = records(b"\x01" + vector(3, bytes(MAX_HELLO)), MAX_HELLO)[:-1]
    assert parse_client_hello(endless) is NEED_MORE
    drops = b"\x16\x03\x01\x00\x01\x01" + b"\x16\x03\x01\x00\x01\x00" * MAX_RECORDS
    with pytest.raises(BadClientHello):
        parse_client_hello(drops)
    assert len(drops) < MAX_BYTES


def test_noise_is_refused_or_waited_for() -> None:
    """No mutation of a real ClientHello raises anything but BadClientHello."""
    chance = random.Random(11)
    whole = real()
    for _ in range(5000):
        noisy = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            noisy[chance.randrange(len(noisy))] = chance.randrange(256)
        try:
            found = parse_client_hello(bytes(noisy))
        except BadClientHello:
            continue
        if found is not None:
            found.ja4()


def test_old_clients_are_named_by_their_version() -> None:
    """Without supported_versions the legacy version counts."""
    settings = client_of(maximum_version=ssl.TLSVersion.TLSv1_2)
    assert read(TlsClient(settings).step()).ja4().startswith("t12d")
