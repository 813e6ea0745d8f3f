"""An open TLS connection: both ways, in any pieces, with back-pressure, to every kind of end."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest

from gateway.server.certificates import CertificateStore
from gateway.server.tls_transport import MAX_UNREAD_ANSWERS, SLICE
from tests.kit.tls import Served, TlsClient, client_of, issue, put, store_of

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
BIG = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> CertificateStore:
    folder = tmp_path_factory.mktemp("certs")
    put(folder, "localhost", issue("localhost"))
    return store_of(folder)


def opened(store: CertificateStore, version: ssl.TLSVersion = VERSIONS[1]) -> tuple[Served, TlsClient, Any]:
    """A served connection, its client, and the transport that HTTP got; session tickets are out of the way."""
    served = Served(store)
    client = served.shake(TlsClient(client_of(minimum_version=version, maximum_version=version)))
    client.decrypt(served.transport.take())
    return served, client, served.inner.transport


async def turn() -> None:
    """One turn of the event loop."""
    await asyncio.sleep(0)


@pytest.mark.parametrize("version", VERSIONS)
def test_bytes_both_ways_in_every_split(store: CertificateStore, version: ssl.TLSVersion) -> None:
    """What is encrypted is decrypted once, however the network cuts it."""
    served, client, transport = opened(store, version)
    wire_length = len(client.encrypt(b"request"))  # uses up a sequence number on one side only
    served, client, transport = opened(store, version)
    for cut in range(wire_length):
        wire = client.encrypt(b"request")
        pieces = [wire[:cut], wire[cut:]] if cut else [bytes([byte]) for byte in wire]
        served.inner.received.clear()
        served.transport.feed(*pieces)
        assert served.inner.received == [b"request"]
        transport.write(b"answer %d" % cut)
        assert client.decrypt(served.transport.take()) == b"answer %d" % cut


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("size", [1, SLICE - 1, SLICE, SLICE + 1, len(BIG)])
def test_all_sizes_both_ways(store: CertificateStore, version: ssl.TLSVersion, size: int) -> None:
    """One byte, a record, a record and a byte, a mebibyte; large writes leave as one."""
    served, client, transport = opened(store, version)
    content = BIG[:size]
    wire = b"".join(client.encrypt(content[at : at + SLICE]) for at in range(0, size, SLICE))
    served.transport.feed(wire)
    assert served.inner.heard == content
    before = len(served.transport.written)
    transport.write(content)
    assert len(served.transport.written) == before + 1
    assert client.decrypt(served.transport.take()) == content


def test_pieces_leave_as_one_record(store: CertificateStore) -> None:
    """A head and a body written together are one record and one write."""
    served, client, transport = opened(store)
    before = len(served.transport.written)
    transport.writelines([b"head", b"", memoryview(b"body")])
    transport.write(b"")
    transport.writelines([])
    assert len(served.transport.written) == before + 1
    wire = served.transport.take()
    assert len(wire) == 5 + 8 + 17
    assert client.decrypt(wire) == b"headbody"


def test_a_memory_bio_stays_small(store: CertificateStore) -> None:
    """Nothing waits in a MemoryBIO, which keeps the size it once had for good."""
    served, client, transport = opened(store)
    seen = 0

    def look(plain: bytes) -> None:
        nonlocal seen
        seen = max(seen, transport._incoming.pending + transport._outgoing.pending)

    served.inner.on_data = look
    served.transport.feed(b"".join(client.encrypt(BIG[at : at + SLICE]) for at in range(0, len(BIG), SLICE)))
    transport.write(BIG)
    assert seen <= SLICE
    assert transport._incoming.pending == transport._outgoing.pending == 0


async def test_reading_pauses_at_once(store: CertificateStore) -> None:
    """After pause_reading not a byte more is decrypted or read; after resume_reading it goes on where it was."""
    served, client, transport = opened(store)
    served.inner.on_data = lambda plain: transport.pause_reading()
    served.transport.feed(b"".join(client.encrypt(b"%07d" % number) for number in range(5000)))
    assert served.inner.heard == b"0000000"
    assert not served.transport.reading
    assert not transport.is_reading()
    for number in range(1, 4):
        transport.resume_reading()
        assert len(served.inner.received) == number  # never inside resume_reading
        await turn()
        assert served.inner.heard.endswith(b"%07d" % number)
        assert not served.transport.reading
    served.inner.on_data = None
    transport.resume_reading()
    transport.resume_reading()
    await turn()
    assert served.inner.heard == b"".join(b"%07d" % number for number in range(5000))
    assert served.transport.reading
    assert served.inner.events == ["made"]


async def test_a_pause_before_the_first_byte(store: CertificateStore) -> None:
    """HTTP may begin paused; what came with the end of the handshake waits, encrypted, and tickets leave."""
    served = Served(store)
    make = served.layer._inner

    def paused(connection: Any) -> Any:
        recorder = make(connection)
        connect = recorder.connection_made

        def connect_and_pause(transport: Any) -> None:
            connect(transport)
            transport.pause_reading()

        recorder.connection_made = connect_and_pause  # type: ignore[method-assign]
        return recorder

    served.layer._inner = paused
    client = TlsClient(client_of())
    served.transport.feed(client.step())
    flight = client.step(served.transport.take()) + client.encrypt(b"one") + client.encrypt(bytes(SLICE))
    served.transport.feed(flight + client.encrypt(b"two"))
    assert served.inner.received == []
    assert served.transport.take()
    served.inner.transport.resume_reading()
    await turn()
    assert served.inner.heard == b"one" + bytes(SLICE) + b"two"


async def test_a_pause_inside_a_read_that_is_taken_back(store: CertificateStore) -> None:
    """HTTP may pause and resume while it is given data; nothing is lost or doubled."""
    served, client, transport = opened(store)

    def blink(plain: bytes) -> None:
        transport.pause_reading()
        transport.resume_reading()

    served.inner.on_data = blink
    wire = b"".join(client.encrypt(b"%07d" % number) for number in range(2000))
    served.transport.feed(wire[:30_000])
    await turn()
    served.loop.run()
    served.transport.feed(wire[30_000:])
    await turn()
    served.loop.run()
    assert served.inner.heard == b"".join(b"%07d" % number for number in range(2000))
    assert transport.is_reading()
    assert served.transport.reading


@pytest.mark.parametrize("goodbye", [True, False])
async def test_the_end_of_input_comes_after_what_was_held(store: CertificateStore, goodbye: bool) -> None:
    """close_notify or FIN behind paused input: HTTP hears of the end after the input, once."""
    served, client, transport = opened(store)
    served.inner.keep_open = True
    served.inner.on_data = lambda plain: transport.pause_reading()
    wire = client.encrypt(b"first") + client.encrypt(b"second") + (client.goodbye() if goodbye else b"")
    served.transport.feed(wire)
    if not goodbye:
        served.layer._transport.get_protocol().eof_received()
    assert served.inner.received == [b"first"]
    transport.resume_reading()
    await turn()
    assert served.inner.received == [b"first", b"second"]
    assert served.inner.events == ["made"]
    transport.resume_reading()
    await turn()
    assert served.inner.events == ["made", "eof"]
    transport.write(b"answer")
    assert client.decrypt(served.transport.take()) == b"answer"


@pytest.mark.parametrize("version", VERSIONS)
def test_an_answer_after_close_notify(store: CertificateStore, version: ssl.TLSVersion) -> None:
    """A client that has said goodbye still gets its answer; what it sends afterwards is ignored."""
    served, client, transport = opened(store, version)
    served.inner.keep_open = True
    served.transport.feed(client.encrypt(b"request") + client.goodbye(), b"\x17\x03\x03 noise after the end")
    served.transport.end()
    assert served.inner.received == [b"request"]
    assert served.inner.events == ["made", "eof"]
    transport.write(b"answer")
    transport.close()
    assert served.transport.closed
    assert served.transport.late == []
    assert served.breaks() == {}
    if version is ssl.TLSVersion.TLSv1_3:  # OpenSSL's TLS 1.2 client reads nothing after its own close_notify
        assert client.decrypt(served.transport.take()) == b"answer"


def test_goodbye_is_answered(store: CertificateStore) -> None:
    """close_notify is the end of input; HTTP has nothing to say, so ours follows and the connection is closed."""
    served, client, _transport = opened(store)
    served.transport.feed(client.goodbye())
    assert served.inner.events == ["made", "eof"]
    assert client.is_told_goodbye() is False
    client.incoming.write(served.transport.take())
    assert client.is_told_goodbye()
    assert served.transport.closed
    served.loop.run()
    assert served.inner.events == ["made", "eof", "lost"]


def test_fin_without_goodbye(store: CertificateStore) -> None:
    """A FIN is the end of input too: HTTP's own framing tells whether something is missing."""
    served, _client, _transport = opened(store)
    served.transport.end()
    assert served.inner.events == ["made", "eof"]
    assert served.transport.closed


def test_close_says_goodbye(store: CertificateStore) -> None:
    """close() sends what was written, then close_notify, then FIN; afterwards nothing is written or heard."""
    served, client, transport = opened(store)
    transport.write(b"last")
    transport.close()
    transport.close()
    transport.write(b"too late")
    transport.write_eof()
    wire = served.transport.take()
    assert client.decrypt(wire) == b"last"
    assert client.is_told_goodbye()
    assert transport.is_closing()
    assert served.transport.late == []
    served.layer._transport.get_protocol().data_received(client.encrypt(b"more"))
    assert served.inner.received == []
    served.loop.run()
    assert served.inner.events == ["made", "lost"]


def test_abort_says_nothing(store: CertificateStore) -> None:
    """abort() resets: no close_notify, and connection_lost follows."""
    served, _client, transport = opened(store)
    before = served.transport.sent
    transport.abort()
    transport.write(b"too late")
    served.loop.run()
    assert served.transport.sent == before
    assert served.transport.late == []
    assert served.transport.aborted
    assert served.inner.events == ["made", "lost"]


def test_half_close_goes_on_reading(store: CertificateStore) -> None:
    """write_eof: close_notify and FIN leave, input is still given to HTTP, which may be lingering."""
    served, client, transport = opened(store)
    transport.write(b"refused")
    assert transport.can_write_eof()
    transport.write_eof()
    assert served.transport.ended
    assert client.decrypt(served.transport.take()) == b"refused"
    assert client.is_told_goodbye()
    served.transport.feed(client.encrypt(b"unread"), client.encrypt(b"input"))
    assert served.inner.received == [b"unread", b"input"]
    transport.write(b"no")
    transport.close()
    assert served.transport.late == []
    assert served.breaks() == {}


def test_half_close_with_input_pending(store: CertificateStore) -> None:
    """OpenSSL complains of data it holds when it says goodbye; nothing comes of it."""
    served, client, transport = opened(store)
    served.inner.on_data = lambda plain: transport.write_eof()
    served.transport.feed(client.encrypt(b"one") + client.encrypt(b"two"))
    assert served.inner.received[0] == b"one"
    assert client.decrypt(served.transport.take()) == b""
    assert client.is_told_goodbye()
    assert served.breaks() == {}


@pytest.mark.parametrize(
    ("wire", "reason"),
    [(b"GET / HTTP/1.1\r\n\r\n", "bad_record"), (b"\x17\x03\x03\x00\x20" + bytes(32), "bad_record")],
)
def test_a_bad_record(store: CertificateStore, wire: bytes, reason: str) -> None:
    """Bytes that do not decrypt: alert, close, counted; HTTP is told that the connection is lost."""
    served, client, transport = opened(store)
    served.transport.feed(wire)
    with pytest.raises(ssl.SSLError):
        client.decrypt(served.transport.take())
    transport.write(b"no")
    assert served.transport.closed
    served.loop.run()
    assert served.breaks() == {reason: 1}
    assert served.inner.events == ["made", "lost"]


def test_an_alert(store: CertificateStore) -> None:
    """A client's fatal alert ends the connection and is counted."""
    served, client, _transport = opened(store)
    with pytest.raises(ssl.SSLError):
        client.decrypt(b"\x17\x03\x03\x00\x20" + bytes(32))
    served.transport.feed(client.outgoing.read())
    assert served.transport.closed
    assert served.breaks() == {"alert": 1}


def test_reset(store: CertificateStore) -> None:
    """A reset is passed on; what HTTP does to its transport afterwards has no effect."""
    served, _client, transport = opened(store)
    served.transport.lose(ConnectionResetError(104, "reset by peer"))
    transport.write(b"no")
    transport.resume_reading()
    transport.pause_reading()
    transport.close()
    assert served.inner.events == ["made", "lost"]
    assert served.transport.late == []


def test_back_pressure_is_passed_on(store: CertificateStore) -> None:
    """What the socket says of its buffer is what HTTP hears, sizes and limits included."""
    served, client, transport = opened(store)
    transport.set_write_buffer_limits(high=100_000, low=1000)
    served.transport.clog()
    transport.write(BIG[:50_000])
    assert served.inner.events == ["made"]
    transport.write(BIG[:60_000])
    assert served.inner.events == ["made", "pause"]
    assert transport.get_write_buffer_size() > 110_000
    served.transport.unclog()
    assert served.inner.events == ["made", "pause", "resume"]
    assert client.decrypt(served.transport.take()) == BIG[:50_000] + BIG[:60_000]


def test_questions_are_passed_on(store: CertificateStore) -> None:
    """get_extra_info asks the socket, but for the TLS object; protocols can be exchanged (tunnels, lingering)."""
    served, client, transport = opened(store)
    assert transport.get_extra_info("peername", "none") == "none"
    assert transport.get_extra_info("ssl_object").version() == "TLSv1.3"
    first, second = served.inner, served._make(served.connection)
    transport.set_protocol(second)
    assert transport.get_protocol() is second
    served.transport.feed(client.encrypt(b"for the second"))
    assert (first.received, second.received) == ([], [b"for the second"])


def test_renegotiation_is_not_possible(store: CertificateStore) -> None:
    """A TLS 1.2 client that asks for it, encrypted as it must be, gets no second handshake; the connection lives on."""
    served, client, transport = opened(store, VERSIONS[0])
    assert client.ssl.version() == "TLSv1.2"
    hello = TlsClient(client_of(maximum_version=VERSIONS[0])).step()
    served.transport.feed(hello)  # a plain ClientHello on an open connection
    assert served.transport.closed
    assert served.breaks() == {"bad_record": 1}
    assert transport._ssl.context.options & ssl.OP_NO_RENEGOTIATION


def test_who_asks_for_keys_without_end(store: CertificateStore) -> None:
    """Answers to KeyUpdate pile up only so far when nobody reads them."""
    served, _client, transport = opened(store)
    served.transport.clog()
    written = 0
    while not served.transport.aborted:
        transport._outgoing.write(b"an answer of OpenSSL's own")
        transport._flush_answers()
        written += 1
        assert written <= MAX_UNREAD_ANSWERS + 1
    assert served.breaks() == {"flood": 1}


def test_who_asks_for_keys_and_reads(store: CertificateStore) -> None:
    """Any number of answers is fine as long as they are read."""
    served, _client, transport = opened(store)
    for _ in range(2 * MAX_UNREAD_ANSWERS):
        transport._outgoing.write(b"an answer of OpenSSL's own")
        transport._flush_answers()
    assert not served.transport.aborted
    assert served.breaks() == {}
