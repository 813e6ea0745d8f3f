"""UpstreamConnection: one HTTP/1.1 connection to an endpoint, one exchange at a time.

The proxy starts a request on it, awaits the response head and lets it relay the body; the pool keeps it between two
exchanges. The origin is not trusted: what is not exactly one well-framed response closes the connection, and whoever
waits is woken as the last act of a callback, because it may start the next exchange in there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.deadlines import NEVER, Sweep
from gateway.eager import Wait
from gateway.errors import Cause, Fault, UpstreamFault
from gateway.flow import Sink, Source
from gateway.http.head import ResponseHeadReader
from gateway.http.message import UNTIL_CLOSE, Fields, Malformed, Response
from gateway.upstream.ends import end_of, last_words
from gateway.upstream.framing import Body, ResponseHeads, UnboundedBody, body_of
from gateway.upstream.keep_alive import idle_hint, keeps_alive
from gateway.upstream.timeouts import Timeouts

HELD_LIMIT = 64 * 1024  # bytes of body kept before relay(), against an origin faster than the decision what to do
CLOSING_SECONDS = 5.0  # until a polite close becomes an abort, against a peer that neither reads nor closes
IDLE, HEAD, BODY, DONE, UPGRADED, CLOSED, DETACHED = range(7)


class UpstreamConnection(asyncio.Protocol):
    """One connection; Sink of the request body and Source of the response body.

    chunks, trailers  body pieces that came before relay(), decoded; trailer fields of a chunked response
    complete          the response was read whole; always before its Wait wakes
    reusable          another exchange may follow (RFC 9112 §9.3): none was begun, or it is complete
    bytes_sent        of the current request, head included; 0 means the origin cannot have seen any of it
    received          some byte of a response arrived: a retry is out of the question
    body_source       whoever writes the request body: paused while the socket takes no more
    on_informational  called with every 1xx but 101
    deadline, expire  for the Sweep: head, between two reads, stalled write, idle, closing
    place             where the pool has put it
    parked            has been without an exchange, so that its origin may have closed it before the next one came
    """

    __slots__ = (
        "_body", "_body_wait", "_early", "_fault", "_full", "_head_wait", "_heads", "_held", "_idle_hint",
        "_keep_alive", "_keep_alive_field", "_now", "_on_lost", "_paused", "_phase", "_request_done", "_response",
        "_sink", "_stalled", "_sweep", "_timeouts", "_transport", "_upgrade", "body_source", "bytes_sent", "chunks",
        "complete", "deadline", "on_informational", "parked", "place", "received", "reusable", "trailers",
    )  # fmt: skip

    _body: Body  # while the phase is BODY
    _transport: asyncio.Transport
    _timeouts: Timeouts

    def __init__(
        self,
        reader: ResponseHeadReader,
        sweep: Sweep,
        now: Callable[[], float],
        on_lost: Callable[[UpstreamConnection], None],
    ) -> None:
        self._heads = ResponseHeads(reader)
        self._sweep = sweep
        self._now = now
        self._on_lost = on_lost
        self._idle_hint = NEVER
        self._keep_alive_field: bytes | None = None
        self._stalled = False
        self.place = 0
        self.parked = False
        self._reset()
        self._phase = CLOSED  # until there is a transport

    def _reset(self) -> None:
        self._phase = IDLE
        self._early = b""  # tunnel bytes that came before detach()
        self._held = 0
        self._full = False  # paused by ourselves, because nobody takes the body yet
        self._paused = self._upgrade = self._keep_alive = False
        self._request_done = True
        self._response: Response | None = None
        self._fault: Fault | None = None
        self._sink: Sink | None = None
        self._head_wait: Wait | None = None
        self._body_wait: Wait | None = None
        self.body_source: Source | None = None
        self.on_informational: Callable[[Response], None] | None = None
        self.chunks: list[bytes] = []
        self.trailers: Fields = []
        self.complete = self.received = False
        self.reusable = True
        self.bytes_sent = 0
        self.deadline = NEVER

    # The pool's side

    @property
    def open(self) -> bool:
        """Idle and fit for `start`, as far as one can know without asking the origin."""
        return self._phase == IDLE and not self._transport.is_closing()

    @property
    def detached(self) -> bool:
        return self._phase == DETACHED

    def park(self, seconds: float) -> None:
        """Between two exchanges: forgets the last one, watches for a close or stray bytes, expires after `seconds`."""
        paused = self._paused
        self._reset()
        self.parked = True
        self.deadline = self._now() + min(seconds, self._idle_hint)
        if paused:
            self._transport.resume_reading()

    def close(self) -> None:
        """No more exchange; what is under way is cut off. Idempotent."""
        if self._phase in (HEAD, BODY) or not self._request_done:
            self._fail(Cause.RESPONSE_INCOMPLETE, "closed by the gateway")
        elif self._phase < CLOSED:
            self._phase = CLOSED
            self.reusable = False
            self.deadline = self._now() + CLOSING_SECONDS
            self._transport.close()

    def expire(self, now: float) -> None:
        phase = self._phase
        self.deadline = NEVER
        if phase == IDLE:
            self.close()
        elif phase == CLOSED:
            self._transport.abort()
        elif phase == BODY:
            self._fail(Cause.READ_TIMEOUT, "the response body stalled")
        elif phase == HEAD and self._stalled:
            self._fail(Cause.WRITE_TIMEOUT, "the origin does not read the request")
        elif phase == HEAD:
            self._fail(Cause.HEAD_TIMEOUT, "no response head in time")

    # The request

    def start(
        self, method: bytes, head: bytes, timeouts: Timeouts, *, body: bool = False, upgrade: bool = False
    ) -> None:
        """Writes a request head (body bytes may be glued on); `body`: write() and finish() follow; `upgrade`: the
        request asks for one, so that a 101 is accepted."""
        self._heads.begin(method)
        self._timeouts = timeouts
        if self._phase != IDLE:
            self._fault = UpstreamFault(Cause.CLOSED_BEFORE_HEAD, "closed while idle", sent=False)
            return
        self._phase = HEAD
        self.reusable = False
        self._upgrade = upgrade
        self.bytes_sent = len(head)
        if body:
            self._request_done = False
        else:
            self.deadline = self._now() + timeouts.head
        self._transport.write(head)

    def write(self, chunk: bytes) -> None:
        # An origin that has answered already wants no more of it: the rest is dropped, the connection is not reused.
        if self._phase in (HEAD, BODY):
            self.bytes_sent += len(chunk)
            self._transport.write(chunk)

    def finish(self, trailers: Fields) -> None:
        self._request_done = True  # the framing, trailers included, was the caller's
        if self._phase == HEAD and not self._stalled:
            self.deadline = self._now() + self._timeouts.head

    def abort(self, fault: Fault) -> None:
        """Cuts the connection off and tells whoever waits: a request that will never be complete, or a failure."""
        if self._phase >= CLOSED:
            return
        self._phase = CLOSED
        self.reusable = False
        self.deadline = self._now() + CLOSING_SECONDS
        self._transport.abort()
        self._tell(fault)

    def pause_writing(self) -> None:
        self._stalled = True
        if self._phase == HEAD:
            self.deadline = self._now() + self._timeouts.read
        if self.body_source is not None:
            self.body_source.pause()

    def resume_writing(self) -> None:
        self._stalled = False
        if self._phase == HEAD:
            self.deadline = self._now() + self._timeouts.head if self._request_done else NEVER
        if self.body_source is not None:
            self.body_source.resume()

    # The response, as its reader sees it

    def wait_head(self) -> Wait:
        """Wakes with the final Response (or 101), its `length` set; fails with a Fault."""
        wait = Wait()
        if self._response is not None:
            wait.wake(self._response)
        elif self._fault is not None:
            wait.fail(self._fault)
        else:
            self._head_wait = wait
        return wait

    def relay(self, sink: Sink) -> Wait:
        """Hands the body to `sink.write`; wakes at its end, or fails with a Fault. Never calls sink.finish."""
        wait = Wait()
        full, self._full = self._full, False
        if full:
            self._paused = False  # as far as the sink is concerned; it may pause again in the loop below
        self._sink = sink
        held, self.chunks = self.chunks, []
        for chunk in held:
            sink.write(chunk)
        if full and not self._paused:
            self._paused = True
            self.resume()
        if self.complete:
            wait.wake()
        elif self._phase == BODY:
            self._body_wait = wait
        else:
            wait.fail(self._fault or UpstreamFault(Cause.RESPONSE_INCOMPLETE, "no response to relay"))
        return wait

    def pause(self) -> None:
        if not self._paused and self._phase == BODY:
            self._paused = True
            self.deadline = NEVER  # the client's slowness is not the origin's fault
            if not self._transport.is_closing():
                self._transport.pause_reading()

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            if self._phase == BODY:
                self.deadline = self._now() + self._timeouts.read
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def detach(self) -> tuple[asyncio.Transport, bytes]:
        """After a 101: the transport, for a protocol of the caller's, and what came behind the head. The caller
        releases this connection to its pool when the tunnel is over."""
        self._phase = DETACHED
        self._sweep.discard(self)
        return self._transport, self._early

    # The response, as the wire brings it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # it is a whole one
        self._phase = IDLE
        self._sweep.add(self)

    def data_received(self, data: bytes) -> None:
        phase = self._phase
        if phase == HEAD:
            self.received = True
            self._take_head(data)
        elif phase == BODY:
            self._take_body(data)
            if self._phase == DONE and self._body_wait is not None:
                self._body_wait.wake()
        elif phase == UPGRADED:
            self._early += data
            if len(self._early) > HELD_LIMIT:
                self._transport.pause_reading()
        else:  # bytes that no request asked for could be taken for the next response: response splitting
            self.close()

    def _take_head(self, data: bytes) -> None:
        heads = self._heads
        try:
            response = heads.read(data)
            while response is not None and response.status < 200 and response.status != 101:
                if self.on_informational is not None:
                    self.on_informational(response)
                    if self._phase != HEAD:
                        return
                response = heads.read(heads.rest)
        except Malformed as error:
            cause = Cause.RESPONSE_HEAD_TOO_LARGE if error.status == 431 else Cause.BAD_RESPONSE
            self._fail(cause, error.why)
            return
        if response is None:
            return
        if response.status != 101:
            self._begin_body(response, heads.rest)
        elif self._upgrade and self._request_done:
            self._phase, self._early, self.deadline = UPGRADED, heads.rest, NEVER
        else:
            self._fail(Cause.BAD_RESPONSE, "101 without a request for it")
        if self._fault is None:  # else its waiter knows: a lie that came together with the head does not get through
            self._response = response
            if self._head_wait is not None:
                self._head_wait.wake(response)

    def _begin_body(self, response: Response, rest: bytes) -> None:
        self._phase = BODY
        length = response.length
        field = response.index.get(b"keep-alive")
        if field != self._keep_alive_field:
            self._keep_alive_field, self._idle_hint = field, idle_hint(field)
        self._keep_alive = length != UNTIL_CLOSE and keeps_alive(response)
        if len(rest) == length:  # nearly all: the body came with its head
            if rest:
                self.chunks.append(rest)
            self._end_body()
            return
        self._body = body_of(length)
        if rest:
            self._take_body(rest)
        else:
            self.deadline = self._now() + self._timeouts.read

    def _take_body(self, data: bytes) -> None:
        """Counts or decodes one read's worth, and passes it on. Wakes nobody: the caller does, as its last act."""
        body = self._body
        try:
            pieces = body.feed(data)
        except Malformed as error:
            self._fail(Cause.BAD_RESPONSE, error.why)
            return
        if pieces:  # as one: an origin that sends a chunk for every byte must not make a system call of each
            self._deliver(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if self._phase != BODY:
            return  # the sink has closed us
        if body.complete:
            self.trailers = body.trailers
            if body.leftover:
                self._keep_alive = False
            self._end_body()
        elif not self._paused:
            self.deadline = self._now() + self._timeouts.read

    def _end_body(self) -> None:
        self._phase = DONE
        self.complete = True
        self.reusable = self._keep_alive and self._request_done and not self._stalled
        self.deadline = NEVER

    def _deliver(self, chunk: bytes) -> None:
        if self._sink is not None:
            if self._phase == BODY:
                self._sink.write(chunk)
            return
        self.chunks.append(chunk)
        self._held += len(chunk)
        if self._held >= HELD_LIMIT and not self._full:
            self._full = True
            self.pause()

    # Ends

    def eof_received(self) -> bool:
        """The origin says that this was all; over TLS by its close_notify, for a bare end completes nothing there."""
        if self._phase == BODY and isinstance(self._body, UnboundedBody):
            self._end_body()
            if self._body_wait is not None:
                self._body_wait.wake()
        elif self._phase in (HEAD, BODY):
            self.abort(self._end_fault(None))
        else:
            self.close()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._sweep.discard(self)
        self._on_lost(self)  # first: what follows may end the exchange, and nobody else may have this connection then
        if self._phase in (HEAD, BODY):
            data, exc, ended = last_words(self._transport, exc)
            if data:
                self.data_received(data)
            if ended:
                self.eof_received()
        fault = self._end_fault(exc) if self._phase in (HEAD, BODY) else None
        self._phase = CLOSED
        self.reusable = False
        if fault is not None:
            self._tell(fault)
        self.body_source = self.on_informational = None  # whoever asked knows us as well: a cycle

    def _end_fault(self, error: Exception | None) -> UpstreamFault:
        cause, detail = end_of(self._transport, error, received=self.received, first=not self.parked)
        return UpstreamFault(cause, detail, sent=self.bytes_sent > 0)

    def _fail(self, cause: Cause, detail: str) -> None:
        self.abort(UpstreamFault(cause, detail, sent=self.bytes_sent > 0))

    def _tell(self, fault: Fault) -> None:
        self._fault = fault
        wait = self._head_wait if self._response is None else self._body_wait
        if wait is not None:
            wait.fail(fault)
