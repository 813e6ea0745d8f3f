"""The handshake: with OpenSSL's client in every split, refused for every reason, bounded in time and number."""

from __future__ import annotations

import ssl
import warnings
from pathlib import Path
from typing import Any

import pytest

from gateway.metrics import Metrics
from gateway.server.certificates import CertificateStore
from gateway.server.client_hello import MAX_BYTES
from gateway.server.tls import HandshakeGate
from tests.kit.tls import Served, TlsClient, client_of, issue, put, store_of

AUTHORITY = issue(common="Test CA", ca=True)
LEAF = issue("localhost", "*.example.com", by=AUTHORITY)
NOT_CLIENTS = {"plain_http": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "not_tls": b"\x00\x01\x02\x03"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> CertificateStore:
    folder = tmp_path_factory.mktemp("certs")
    put(folder, "localhost", LEAF)
    return store_of(folder)


def trusting(**settings: Any) -> ssl.SSLContext:
    return client_of(AUTHORITY.pem, **settings)


def alert_of(wire: bytes) -> int:
    """The number of the plain alert in `wire`, which is nothing else."""
    assert wire[:1] == b"\x15", wire
    assert len(wire) == 7
    return wire[6]


def test_the_facts_of_a_handshake(store: CertificateStore) -> None:
    """What the client asked for and what was agreed on stand on the connection before HTTP sees it."""
    settings = trusting()
    settings.set_alpn_protocols(["h2", "http/1.1"])
    served = Served(store)
    client = served.shake(TlsClient(settings, "Shop.EXAMPLE.com"))
    facts = served.connection.tls
    assert facts is not None
    assert (facts.version, facts.server_name, facts.alpn) == ("TLSv1.3", "shop.example.com", "http/1.1")
    assert facts.cipher == "TLS_AES_256_GCM_SHA384"
    assert facts.ja4.startswith("t13d")
    assert facts.certificate is None
    assert served.connection.scheme == "https"
    assert client.ssl.selected_alpn_protocol() == "http/1.1"
    assert served.results() == {"ok": 1}
    assert len(served.sweep) == 0
    assert served.inner.events == ["made"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_client_hello_comes_in_any_pieces(store: CertificateStore, version: ssl.TLSVersion) -> None:
    """Cut at every place it is answered as soon as it is whole; byte by byte the handshake is the same."""
    settings = trusting(minimum_version=version, maximum_version=version)
    served, client = Served(store), TlsClient(settings)
    hello = client.step()
    served.transport.feed(*(bytes([byte]) for byte in hello))
    served.shake_on(client)
    assert served.results() == {"ok": 1}
    for cut in range(1, len(hello)):
        served = Served(store)
        served.transport.feed(hello[:cut])
        assert served.transport.sent == b""
        served.transport.feed(hello[cut:])
        assert served.transport.sent[:3] == b"\x16\x03\x03"


def test_the_second_flight_comes_in_any_pieces(store: CertificateStore) -> None:
    """Finished and a request right behind it, in one read, in any two, byte by byte: HTTP gets the request once."""
    request = b"GET / HTTP/1.1\r\n\r\n"
    settings = trusting()
    cut, length = 0, 1
    while cut < length:
        served = Served(store)
        client = TlsClient(settings)
        served.transport.feed(client.step())
        flight = client.step(served.transport.take()) + client.encrypt(request)
        length = len(flight)
        served.transport.feed(*([flight[:cut], flight[cut:]] if cut else [bytes([byte]) for byte in flight]))
        cut += 1
        assert served.inner.heard == request
        served.inner.transport.write(b"answer")
        assert client.decrypt(served.transport.take()) == b"answer"


def test_an_answer_given_at_once_leaves_with_the_tickets(store: CertificateStore) -> None:
    """One write for session ticket and answer when the request came with the end of the handshake."""
    served = Served(store)
    client = TlsClient(trusting())
    served.transport.feed(client.step())
    make = served.layer._inner

    def answering(connection: Any) -> Any:
        recorder: Any = make(connection)
        recorder.on_data = lambda plain: recorder.transport.write(b"hello " + plain)
        return recorder

    served.layer._inner = answering
    before = len(served.transport.written)
    served.transport.feed(client.step(served.transport.take()) + client.encrypt(b"you"))
    assert len(served.transport.written) == before + 1
    assert client.decrypt(served.transport.take()) == b"hello you"


OLD = [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1]


@pytest.mark.parametrize("version", OLD)
def test_old_versions_are_refused(store: CertificateStore, version: ssl.TLSVersion) -> None:
    """TLS 1.0 and 1.1 get the alert protocol_version."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        settings = client_of(minimum_version=version, maximum_version=version)
    settings.set_ciphers("ALL:@SECLEVEL=0")
    served = Served(store)
    served.transport.feed(TlsClient(settings).step())
    assert alert_of(served.transport.take()) == 70
    assert served.transport.closed
    assert served.results() == {"version": 1}


@pytest.mark.parametrize("suites", ["ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA", "AES128-GCM-SHA256", "DHE"])
def test_weak_suites_are_refused(store: CertificateStore, suites: str) -> None:
    """No CBC, no RSA key exchange, no finite-field Diffie-Hellman: handshake_failure."""
    settings = client_of(maximum_version=ssl.TLSVersion.TLSv1_2)
    settings.set_ciphers(f"{suites}:@SECLEVEL=0")
    served = Served(store)
    served.transport.feed(TlsClient(settings).step())
    assert alert_of(served.transport.take()) == 40
    assert served.results() == {"cipher": 1}


def test_the_server_prefers(store: CertificateStore) -> None:
    """Of TLS 1.2 suites that both have, our order decides."""
    settings = trusting(maximum_version=ssl.TLSVersion.TLSv1_2)
    settings.set_ciphers("ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384")
    served = Served(store)
    served.shake(TlsClient(settings))
    assert served.connection.tls is not None
    assert served.connection.tls.cipher == "ECDHE-ECDSA-AES256-GCM-SHA384"


def test_no_protocol_in_common(store: CertificateStore) -> None:
    """A client that speaks HTTP/2 only is told so (RFC 7301 §3.2); one without ALPN is served."""
    settings = trusting()
    settings.set_alpn_protocols(["h2"])
    served = Served(store)
    served.transport.feed(TlsClient(settings).step())
    assert alert_of(served.transport.take()) == 120
    assert served.results() == {"protocol": 1}
    plain = Served(store)
    plain.shake(TlsClient(trusting()))
    assert plain.connection.tls is not None
    assert plain.connection.tls.alpn == ""


def test_plain_http_gets_a_plain_answer(store: CertificateStore) -> None:
    """A person who forgot the s reads why; the connection is half-closed, so that the answer is not lost."""
    served = Served(store)
    served.transport.feed(NOT_CLIENTS["plain_http"])
    answer = served.transport.take()
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"https://" in answer
    head, _, text = answer.partition(b"\r\n\r\n")
    assert b"Content-Length: %d" % len(text) in head
    assert b"Connection: close" in head
    assert served.transport.ended
    assert not served.transport.closed
    served.transport.end()
    assert served.transport.closed
    served.loop.run()
    assert served.results() == {"plain_http": 1}
    assert served.lost == [served.connection]
    assert len(served.sweep) == 0


def test_a_plain_client_that_goes_on_is_cut(store: CertificateStore) -> None:
    """What follows the plain answer is discarded, up to a bound in bytes and one in time."""
    served = Served(store)
    served.transport.feed(b"POST / HTTP/1.1\r\n", *[bytes(16_000)] * 5)
    assert served.transport.aborted
    patient = Served(store)
    patient.transport.feed(b"POST / HTTP/1.1\r\n")
    patient.clock.advance(3)
    patient.sweep.run(patient.clock())
    assert patient.transport.aborted
    assert patient.results() == {"plain_http": 1}


def test_noise_is_cut(store: CertificateStore) -> None:
    """Bytes that are neither TLS nor HTTP get nothing."""
    served = Served(store)
    served.transport.feed(NOT_CLIENTS["not_tls"])
    assert served.transport.aborted
    assert served.transport.sent == b""
    assert served.results() == {"not_tls": 1}


@pytest.mark.parametrize("tail", [b"\x02\x00\x00\x05hello", b"\x01\x00\x00\x03abc"])
def test_a_broken_client_hello_gets_an_alert(store: CertificateStore, tail: bytes) -> None:
    """A record that holds something else than a ClientHello is answered by an alert, and the connection closed."""
    served = Served(store)
    served.transport.feed(b"\x16\x03\x01" + len(tail).to_bytes(2, "big") + tail)
    assert alert_of(served.transport.take()) in {10, 50}
    assert served.transport.closed
    assert served.results() == {"not_tls": 1}


def test_an_endless_client_hello_is_cut(store: CertificateStore) -> None:
    """What a client can make us hold before its handshake is bounded."""
    served = Served(store)
    fed = 0
    served.transport.feed(b"\x16\x03\x01\x40\x00\x01\x00\x40\x00")
    while not served.transport.closed:
        served.transport.feed(bytes(1000))
        fed += 1000
        assert fed <= MAX_BYTES + 1000
    assert served.results() == {"not_tls": 1}


def test_garbage_in_the_middle_of_a_handshake(store: CertificateStore) -> None:
    """OpenSSL's alert is sent, the connection closed, the reason counted."""
    served = Served(store)
    client = TlsClient(trusting())
    served.transport.feed(client.step())
    served.transport.take()
    served.transport.feed(b"\x17\x03\x03\x00\x20" + bytes(32))
    assert served.transport.take()
    assert served.transport.closed
    assert served.results() == {"error": 1}


def test_a_client_that_does_not_trust_us(store: CertificateStore) -> None:
    """Its alert is counted: an operator sees that a chain is incomplete or a certificate expired."""
    served = Served(store)
    client = TlsClient(client_of(issue(common="Other CA", ca=True).pem))
    served.transport.feed(client.step())
    with pytest.raises(ssl.SSLCertVerificationError):
        client.step(served.transport.take())
    served.transport.feed(client.outgoing.read())
    assert served.transport.closed
    assert served.results() == {"alert": 1}


@pytest.mark.parametrize("phase", ["silent", "hello", "handshake"])
def test_a_slow_handshake_is_cut_by_the_sweep(store: CertificateStore, phase: str) -> None:
    """Ten seconds for all of it, however the client spreads its bytes."""
    served = Served(store)
    hello = TlsClient(trusting()).step()
    served.transport.feed(*{"silent": [], "hello": [hello[:100]], "handshake": [hello]}[phase])
    served.clock.advance(9.9)
    served.sweep.run(served.clock())
    assert not served.transport.aborted
    served.clock.advance(0.2)
    served.sweep.run(served.clock())
    assert served.transport.aborted
    served.loop.run()
    assert served.results() == {"timeout": 1}
    assert served.lost == [served.connection]
    assert len(served.sweep) == 0
    assert served.metrics.value("gateway_tls_handshakes_active") == 0


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize(("phase", "result"), [("silent", "silent"), ("hello", "closed"), ("handshake", "closed")])
def test_a_client_that_leaves(store: CertificateStore, phase: str, result: str, reset: bool) -> None:
    """FIN or reset at each phase: counted once, nothing kept, no traceback."""
    served = Served(store)
    hello = TlsClient(trusting()).step()
    served.transport.feed(*{"silent": [], "hello": [hello[:100]], "handshake": [hello]}[phase])
    if reset:
        served.transport.lose(ConnectionResetError(104, "reset by peer"))
    else:
        served.transport.end()
        assert served.transport.closed
        served.loop.run()
    assert served.results() == {result: 1}
    assert served.lost == [served.connection]
    assert len(served.sweep) == 0
    assert served.metrics.value("gateway_tls_handshakes_active") == 0


def test_strict_names(tmp_path: Path) -> None:
    """With strict_sni a client that asks for another name, or none, gets unrecognized_name and no certificate."""
    put(tmp_path, "localhost", LEAF)
    store = store_of(tmp_path, strict_sni=True)
    for name in ("elsewhere.test", None):
        served = Served(store)
        served.transport.feed(TlsClient(client_of(), name).step())
        assert alert_of(served.transport.take()) == 112
        assert served.results() == {"unknown_name": 1}
        assert served.metrics.value("gateway_tls_handshakes_active") == 0
    served = Served(store)
    served.shake(TlsClient(trusting(), "a.example.com"))
    assert served.results() == {"ok": 1}


# -- the gate ---------------------------------------------------------------------------------------------------------


def test_handshakes_wait_their_turn(store: CertificateStore) -> None:
    """Beyond the limit they wait in order with their ClientHello only, and beyond that they are refused."""
    metrics = Metrics()
    gate = HandshakeGate(metrics, limit=1, max_waiting=1)
    first, second, third = (Served(store, gate) for _ in range(3))
    clients = [TlsClient(trusting()) for _ in range(3)]
    for served, client in zip((first, second, third), clients, strict=True):
        served.transport.feed(client.step())
    assert second.transport.sent == b""
    assert third.transport.aborted
    assert metrics.value("gateway_tls_handshakes_total", result="refused") == 1
    assert metrics.value("gateway_tls_handshakes_active") == 1
    assert metrics.value("gateway_tls_handshakes_waiting") == 1
    first.transport.feed(clients[0].step(first.transport.take()))
    assert metrics.value("gateway_tls_handshakes_waiting") == 0
    second.transport.feed(clients[1].step(second.transport.take()))
    assert second.inner.events == ["made"]
    assert metrics.value("gateway_tls_handshakes_total", result="ok") == 2
    assert metrics.value("gateway_tls_handshakes_active") == 0


def test_who_waits_may_leave(store: CertificateStore) -> None:
    """A waiting client that leaves or is too late gives up its turn; one that floods is not read."""
    metrics = Metrics()
    gate = HandshakeGate(metrics, limit=1)
    stalled, leaving, late, flooding = (Served(store, gate) for _ in range(4))
    for served in (stalled, leaving, late, flooding):
        served.transport.feed(TlsClient(trusting()).step())
    leaving.transport.lose()
    late.clock.advance(11)
    late.sweep.run(late.clock())
    flooding.transport.feed(bytes(20_000), bytes(20_000))
    assert not flooding.transport.reading
    assert metrics.value("gateway_tls_handshakes_waiting") == 1
    stalled.transport.lose()
    assert metrics.value("gateway_tls_handshakes_waiting") == 0
    assert flooding.transport.closed  # its turn came, and its garbage with it
    assert metrics.value("gateway_tls_handshakes_active") == 0


def test_the_gate_survives_a_row_of_failures(store: CertificateStore) -> None:
    """A thousand that wait and all fail at once are let in one after the other, not inside each other."""
    gate = HandshakeGate(Metrics(), limit=1)
    settings = trusting()
    settings.set_alpn_protocols(["h2"])
    hello = TlsClient(settings).step()
    first = Served(store, gate)
    first.transport.feed(TlsClient(trusting()).step())
    waiting = [Served(store, gate) for _ in range(1500)]
    for served in waiting:
        served.transport.feed(hello)
    first.transport.lose()
    assert all(served.transport.closed for served in waiting)
