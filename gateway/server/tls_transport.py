"""TlsTransport: an open TLS connection, between the socket's transport and the HTTP protocol.

server/tls.py makes one when a handshake is done: to the socket it is the protocol, to HTTP it is the transport, and one
object is both because ten thousand idle ones are kept. A MemoryBIO never shrinks, so everything passes through it in
slices, and what HTTP does not want to read yet stays encrypted.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from typing import Any

from gateway.server.tls_counters import TlsCounters

# Bytes given to OpenSSL at a time. The largest record; a MemoryBIO keeps a third more than this for good.
SLICE = 16 * 1024
# TLS's own messages (answers to KeyUpdate) that may be written while earlier output still waits to be sent: against a
# client that asks for them without end and reads none. What HTTP writes has its own bound.
MAX_UNREAD_ANSWERS = 256


class TlsTransport(asyncio.Protocol):
    """One TLS connection after its handshake; the transport that `inner` gets in connection_made.

    The peer's close_notify and its FIN are both the end of input (`eof_received`): an answer may still be written.
    `close` sends our close_notify first, `abort` does not.
    """

    __slots__ = (
        "_answers", "_closing", "_counters", "_ended", "_eof", "_fin", "_held", "_incoming", "_inner", "_outgoing",
        "_paused", "_shut", "_ssl", "_transport",
    )  # fmt: skip

    def __init__(
        self,
        transport: Any,
        sslobject: ssl.SSLObject,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        counters: TlsCounters,
    ) -> None:
        self._transport = transport
        self._ssl = sslobject
        self._incoming = incoming
        self._outgoing = outgoing
        self._counters = counters
        self._inner: Any = None
        self._held = b""  # encrypted bytes that OpenSSL has not been given, while reading is paused
        self._paused = False
        self._eof = False  # the peer's close_notify: nothing after it counts
        self._fin = False  # the peer's FIN: what came before it is still held, perhaps
        self._ended = False  # `inner` knows of either
        self._answers = 0
        self._shut = False  # our close_notify was sent: nothing can be written
        self._closing = False

    def start(self, inner: asyncio.Protocol, rest: bytes) -> None:
        """Connect `inner` and give it what came in one read with the end of the handshake."""
        self._inner = inner
        inner.connection_made(self)  # type: ignore[arg-type]  # it has a transport's methods and no need of its class
        if not self.is_reading():
            self._held = rest
        elif rest or self._incoming.pending:
            self._read(rest)
        if self._outgoing.pending and not self._closing:  # session tickets, if no answer has taken them along
            self._flush()

    # -- the socket's protocol ----------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._closing or self._eof:
            return  # RFC 8446 §6.1
        if self._paused or self._held:
            self._held += data
            return
        self._read(data)

    def eof_received(self) -> bool:
        """FIN. The transport stays open for the answer; we close it ourselves."""
        self._fin = True
        self._end_input()
        return True

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        self._closing = self._shut = True
        self._held = b""
        inner, self._inner = self._inner, None
        inner.connection_lost(error)

    # -- reading ------------------------------------------------------------------------------------------------------

    def _read(self, data: bytes) -> None:
        """Decrypt `data` after what OpenSSL holds already; stops when `inner` pauses and keeps the rest encrypted."""
        if len(data) > SLICE:
            at = 0
            while at < len(data) and not self._paused and not self._eof and not self._closing:
                self._incoming.write(data[at : at + SLICE])
                at += SLICE
                self._decrypt()
            # What came after a close_notify is dropped.
            self._held = b"" if self._eof or self._closing else data[at:]
        else:
            self._incoming.write(data)
            self._decrypt()
        if self._outgoing.pending and not self._closing:
            self._flush_answers()
        if self._eof or self._fin:
            self._end_input()

    def _decrypt(self) -> None:
        incoming = self._incoming
        read = self._ssl.read
        try:
            while True:
                # As large as a record can be, so that nothing of one is left inside OpenSSL, where `pending` of the
                # MemoryBIO does not see it; this saves asking once more and being told to wait by an exception.
                plain = read(SLICE)
                if not plain:
                    self._eof = True
                    return
                self._inner.data_received(plain)
                if self._paused or self._closing or not incoming.pending:
                    return
        except ssl.SSLWantReadError:
            return
        except ssl.SSLZeroReturnError:
            self._eof = True
        except ssl.SSLError as error:
            self._fail(error)

    def _end_input(self) -> None:
        """Tell `inner` once, after all that came before; close if it has nothing more to say."""
        if self._ended or self._closing or self._paused:
            return
        if not self._eof and (self._held or self._incoming.pending):
            return
        self._ended = True
        if not self._inner.eof_received():
            self.close()

    def _continue(self) -> None:
        """The rest of what came before or during a pause."""
        if not self.is_reading():
            return
        rest, self._held = self._held, b""
        if self._incoming.pending or rest:
            self._read(rest)
        if not self.is_reading():
            return
        if self._eof or self._fin:
            self._end_input()
        else:
            self._transport.resume_reading()

    def _fail(self, error: ssl.SSLError) -> None:
        """A record that cannot be, or an alert: the connection is over, and no close_notify is owed."""
        if self._closing:
            return
        if not self._shut:  # while lingering after our close_notify nobody cares
            self._counters.broke(error)
        self._flush()
        self._closing = self._shut = True
        self._transport.close()

    # -- inner's transport: reading -----------------------------------------------------------------------------------

    def pause_reading(self) -> None:
        if not self._paused and not self._closing:
            self._paused = True
            if not self._fin:
                self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Go on in the next turn of the loop, like the loop's own transports: never inside the caller."""
        if self._paused and not self._closing:
            self._paused = False
            if self._held or self._incoming.pending or self._eof or self._fin:
                asyncio.get_running_loop().call_soon(self._continue)
            else:
                self._transport.resume_reading()

    def is_reading(self) -> bool:
        return not self._paused and not self._closing

    # -- inner's transport: writing -----------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        if self._shut or not data:
            return
        try:
            if len(data) <= SLICE:
                self._ssl.write(data)
                self._transport.write(self._outgoing.read())
                return
            view = memoryview(data)
            records: list[bytes] = []
            for at in range(0, len(data), SLICE):
                self._ssl.write(view[at : at + SLICE])
                records.append(self._outgoing.read())
        except ssl.SSLError as error:
            self._fail(error)
        else:
            self._transport.writelines(records)

    def writelines(self, pieces: list[bytes]) -> None:
        # Joining costs a copy, a record of its own for each piece would cost ten times that and a packet.
        self.write(b"".join(pieces))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Our close_notify, then FIN; input goes on (RFC 8446 §6.1)."""
        if not self._shut:
            self._shut_down()
            if self._transport.can_write_eof():
                self._transport.write_eof()

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            if not self._shut:
                self._shut_down()
            self._held = b""
            self._transport.close()

    def abort(self) -> None:
        self._closing = self._shut = True
        self._held = b""
        self._transport.abort()

    def _shut_down(self) -> None:
        self._shut = True
        with suppress(ssl.SSLError):  # it wants the peer's close_notify, for which nobody waits
            self._ssl.unwrap()
        self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._transport.write(self._outgoing.read())

    def _flush_answers(self) -> None:
        """Send what OpenSSL wrote by itself while reading."""
        self._flush()
        if not self._transport.get_write_buffer_size():
            self._answers = 0
            return
        self._answers += 1
        if self._answers > MAX_UNREAD_ANSWERS:
            self._counters.broke_by("flood")
            self.abort()

    # -- inner's transport: the rest ----------------------------------------------------------------------------------

    def is_closing(self) -> bool:
        return self._closing or bool(self._transport.is_closing())

    def get_write_buffer_size(self) -> int:
        return int(self._transport.get_write_buffer_size())

    def get_write_buffer_limits(self) -> tuple[int, int]:
        low, high = self._transport.get_write_buffer_limits()
        return low, high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._transport.set_write_buffer_limits(high=high, low=low)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._inner = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        protocol: asyncio.BaseProtocol = self._inner
        return protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "ssl_object":
            return self._ssl
        return self._transport.get_extra_info(name, default)
