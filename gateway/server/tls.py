"""The TLS handshake: from a connection's first byte to an open TlsTransport.

The listener puts a TlsLayer between the socket and HTTP. It reads the ClientHello before OpenSSL does, picks the
certificate by its server name, keeps what it told (TlsFacts, with the JA4 fingerprint) on the connection, and when the
handshake is done hands the socket to server/tls_transport. It is not the loop's own TLS, so that handshakes have our
deadline, our bound and our counters; a client that misbehaves costs no traceback.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Any

from gateway.deadlines import NEVER, Sweep
from gateway.exchange import ClientCertificate, Connection, TlsFacts
from gateway.metrics import Metrics
from gateway.server.certificates import CertificateStore
from gateway.server.client_hello import BadClientHello, ClientHello, parse_client_hello
from gateway.server.tls_contexts import ALPN
from gateway.server.tls_counters import TlsCounters
from gateway.server.tls_transport import SLICE, TlsTransport

# Handshakes under way at once: 70 KiB each, so 280 MiB at worst, against clients that begin and never finish. Those
# beyond wait for their turn with no more than their ClientHello, and beyond that they are refused.
MAX_HANDSHAKES = 4096
MAX_WAITING = 16 * 1024
LINGER = 2.0  # seconds to take a last alert or the plain 400: against clients that do not read
MAX_DISCARDED = 64 * 1024  # bytes of a plain request read and dropped, so that its sender can read the 400

_PLAIN_TEXT = b"This port speaks HTTPS. Use https:// instead of http://.\n"
_PLAIN_ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"
    b"Cache-Control: no-store\r\nConnection: close\r\n\r\n%s" % (len(_PLAIN_TEXT), _PLAIN_TEXT)
)
_UNRECOGNIZED_NAME, _NO_APPLICATION_PROTOCOL = 112, 120  # alerts, RFC 6066 §3 and RFC 7301 §3.2
_ALPN = frozenset(name.encode() for name in ALPN)
_HANDSHAKE_RECORD = 0x16
_CAPITALS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")


class State(Enum):
    """Where a handshake stands."""

    HELLO = "hello"  # the ClientHello is not all there
    WAITING = "waiting"  # it is, and the gate has no place yet
    HANDSHAKE = "handshake"  # OpenSSL has it
    OPEN = "open"  # TlsTransport has the socket
    ENDED = "ended"  # refused or failed; the transport is flushing


class HandshakeGate:
    """Counts handshakes under way and keeps them below `limit`; the next ones wait in the order they came."""

    __slots__ = ("_active", "_limit", "_max_waiting", "_running", "_waiting", "counters")

    def __init__(self, metrics: Metrics, limit: int = MAX_HANDSHAKES, max_waiting: int = MAX_WAITING) -> None:
        self.counters = TlsCounters(metrics)
        self._limit = limit
        self._max_waiting = max_waiting
        self._active = 0
        self._waiting: deque[TlsLayer] = deque()
        self._running = False

    def enter(self, layer: TlsLayer) -> bool | None:
        """True: go on. False: it will be told (`admitted`). None: refused."""
        if self._active < self._limit:
            self._active += 1
            self.counters.moved(1, 0)
            return True
        if len(self._waiting) >= self._max_waiting:
            return None
        self._waiting.append(layer)
        self.counters.moved(0, 1)
        return False

    def leave(self) -> None:
        """One that was let in is over; whoever waits is next."""
        self._active -= 1
        self.counters.moved(-1, 0)
        if self._running:  # one that was let in has failed at once and comes back here
            return
        self._running = True
        try:
            while self._waiting and self._active < self._limit:
                self._active += 1
                self.counters.moved(1, -1)
                self._waiting.popleft().admitted()
        finally:
            self._running = False

    def give_up(self, layer: TlsLayer) -> None:
        """One that waited is over."""
        self._waiting.remove(layer)
        self.counters.moved(0, -1)


class TlsLayer(asyncio.Protocol):
    """One handshake. `inner` makes the protocol that gets the decrypted bytes, once `connection.tls` is set."""

    __slots__ = (
        "_connection", "_discarded", "_gate", "_hello", "_incoming", "_inner", "_now", "_outgoing", "_parsed", "_ssl",
        "_state", "_store", "_sweep", "_transport", "deadline",
    )  # fmt: skip

    def __init__(  # noqa: PLR0917  # the house's number is six
        self,
        store: CertificateStore,
        connection: Connection,
        inner: Callable[[Connection], asyncio.Protocol],
        sweep: Sweep,
        now: Callable[[], float],
        handshakes: HandshakeGate,
    ) -> None:
        self._store = store
        self._connection = connection
        self._inner = inner
        self._sweep = sweep
        self._now = now
        self._gate = handshakes
        self._state = State.HELLO
        self._transport: Any = None
        self._hello = b""
        self._parsed: ClientHello | None = None
        self._ssl: ssl.SSLObject | None = None
        self._discarded = 0
        self.deadline = NEVER

    # -- the socket's protocol ----------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self.deadline = self._now() + self._store.handshake_timeout
        self._sweep.add(self)

    def data_received(self, data: bytes) -> None:
        state = self._state
        if state is State.HANDSHAKE:
            self._advance(data)
        elif state is State.HELLO:
            self._hello = self._hello + data if self._hello else data
            self._read_hello()
        elif state is State.WAITING:
            # A client has nothing to say before it is answered; what OpenSSL will make of it is bounded by the reader.
            self._hello += data
            if len(self._hello) > 2 * SLICE:
                self._transport.pause_reading()
        elif state is State.ENDED:
            self._discarded += len(data)
            if self._discarded > MAX_DISCARDED:
                self._transport.abort()

    def eof_received(self) -> bool:
        if self._state is not State.ENDED:
            self._end("closed" if self._hello or self._parsed else "silent")
        self._transport.close()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        if self._state is not State.ENDED:
            self._end("closed" if self._hello or self._parsed else "silent")
        self.deadline = NEVER
        self._sweep.discard(self)
        self._ssl = None
        if self._connection.on_lost is not None:
            self._connection.on_lost(self._connection)

    def expire(self, now: float) -> None:
        """The deadline of the handshake, or of taking a last word, has passed."""
        if self._state is not State.ENDED:
            self._end("timeout")
        self.deadline = now + LINGER
        self._transport.abort()

    # -- the ClientHello ----------------------------------------------------------------------------------------------

    def _read_hello(self) -> None:
        if self._hello[0] != _HANDSHAKE_RECORD:
            self._refuse_plain()
            return
        try:
            parsed = parse_client_hello(self._hello)
        except BadClientHello as error:
            self._refuse("unknown_name" if error.alert == _UNRECOGNIZED_NAME else "not_tls", error.alert)
            return
        if parsed is None:
            return
        self._parsed = parsed
        admitted = self._gate.enter(self)
        if admitted:
            self._begin(parsed)
        elif admitted is None:
            self._end("refused")
            self._transport.abort()
        else:
            self._state = State.WAITING

    def admitted(self) -> None:
        """The gate has a place now."""
        if self._parsed is not None:
            self._transport.resume_reading()
            self._begin(self._parsed)

    def _begin(self, parsed: ClientHello) -> None:
        self._state = State.HANDSHAKE
        context = self._store.context_for(parsed.server_name)
        if context is None:
            self._refuse("unknown_name", _UNRECOGNIZED_NAME)
            return
        if parsed.alpn and _ALPN.isdisjoint(parsed.alpn):
            # OpenSSL, as Python sets it up, would go on without a protocol.
            self._refuse("protocol", _NO_APPLICATION_PROTOCOL)
            return
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        hello, self._hello = self._hello, b""
        self._advance(hello)

    # -- the handshake ------------------------------------------------------------------------------------------------

    def _advance(self, data: bytes) -> None:
        """Give OpenSSL what came, a slice at a time, until it is done or wants more."""
        assert self._ssl is not None  # noqa: S101  # state HANDSHAKE
        at = 0
        while True:
            self._incoming.write(data[at : at + SLICE] if len(data) > SLICE else data)
            at += SLICE
            try:
                self._ssl.do_handshake()
            except ssl.SSLWantReadError:
                if at < len(data):
                    continue
                if self._outgoing.pending:
                    self._transport.write(self._outgoing.read())
                return
            except ssl.SSLError as error:
                self._gate.counters.failed(error)
                self._end("")
                if self._outgoing.pending:  # OpenSSL's alert
                    self._transport.write(self._outgoing.read())
                self._transport.close()
                return
            self._open(self._ssl, data[at:])
            return

    def _open(self, sslobject: ssl.SSLObject, rest: bytes) -> None:
        facts = self._facts(sslobject)
        self._end("resumed" if sslobject.session_reused else "ok")
        self._state = State.OPEN
        self._sweep.discard(self)
        self._connection.tls = facts
        inner = self._inner(self._connection)
        opened = TlsTransport(self._transport, sslobject, self._incoming, self._outgoing, self._gate.counters)
        self._transport.set_protocol(opened)
        opened.start(inner, rest)

    def _facts(self, sslobject: ssl.SSLObject) -> TlsFacts:
        assert self._parsed is not None  # noqa: S101  # state HANDSHAKE
        cipher = sslobject.cipher()
        der = sslobject.getpeercert(binary_form=True) if self._store.asks_certificate else None
        # Interned: ten thousand connections share a handful of words. What the client chose is not: there are versions
        # of Python in which an interned text is never freed.
        return TlsFacts(
            version=sys.intern(sslobject.version() or ""),
            cipher=sys.intern(cipher[0] if cipher else ""),
            server_name=self._parsed.server_name,
            alpn=sys.intern(sslobject.selected_alpn_protocol() or ""),
            ja4=self._parsed.ja4(),
            certificate=read_client_certificate(der) if der else None,
        )

    # -- ends ---------------------------------------------------------------------------------------------------------

    def _end(self, result: str) -> None:
        """The handshake is over, well or not: count it, give the place to the next."""
        before, self._state = self._state, State.ENDED
        if result:
            self._gate.counters.ended(result)
        self.deadline = self._now() + LINGER
        self._hello = b""
        if before is State.HANDSHAKE:
            self._gate.leave()
        elif before is State.WAITING:
            self._gate.give_up(self)

    def _refuse(self, result: str, alert: int) -> None:
        """Close with a fatal alert of our own (RFC 8446 §6): no key exists yet, so it is plain."""
        self._end(result)
        self._transport.write(bytes((0x15, 3, 1, 0, 2, 2, alert)))
        self._transport.close()

    def _refuse_plain(self) -> None:
        if self._hello[0] not in _CAPITALS:
            self._end("not_tls")
            self._transport.abort()
            return
        self._discarded = len(self._hello)
        self._end("plain_http")
        self._transport.write(_PLAIN_ANSWER)
        if self._transport.can_write_eof():
            # Closing with unread input resets the connection, and the answer would be lost: wait for the client's FIN.
            self._transport.write_eof()
        else:
            self._transport.close()


def read_client_certificate(der: bytes) -> ClientCertificate:
    """The facts of a client certificate that OpenSSL has verified."""
    from gateway.server.certificate_pairs import describe  # noqa: PLC0415  # cryptography loads when mTLS is used

    return describe(der)
