"""RequestSender: puts a request body onto an upstream connection, and can do it again while that is safe.

It frames the body (Content-Length, or chunks), glues what is already here to the head, and keeps a copy of at most
REPLAY bytes: a retry needs the body whole, and memory per exchange stays bounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.errors import Cause, Fault, UpstreamFault
from gateway.exchange import Exchange
from gateway.http.chunked import chunk, last_chunk
from gateway.http.fields import without
from gateway.http.message import CHUNKED, Fields
from gateway.pipeline import nominated
from gateway.spool import Disk, Spool

if TYPE_CHECKING:
    from gateway.server.turn import Turn
    from gateway.upstream.http1 import UpstreamConnection

REPLAY = 64 * 1024  # bytes of a body kept for another attempt


class RequestSender:
    """A Sink between the source of the body and the connection of the current attempt.

    framing      the head line that announces the body
    replayable   all that was read of the body is still here, so another attempt can send the same
    """

    __slots__ = (
        "_chunked", "_connection", "_copy", "_downstream", "_drop", "_finished", "_limit", "_pending", "_reading",
        "_size", "_spool", "framing", "replayable",
    )  # fmt: skip

    def __init__(
        self,
        length: int,
        downstream: Turn | None,
        limit: int | None,
        spool: Spool | None = None,
        drop: frozenset[bytes] = frozenset(),
    ) -> None:
        self._chunked = length == CHUNKED
        self.framing = b"transfer-encoding: chunked\r\n" if self._chunked else b"content-length: %d\r\n" % length
        self._downstream = downstream
        self._limit = limit
        self._drop = drop  # names that may not reach the origin, as trailers neither
        self._spool = spool
        self._connection: UpstreamConnection | None = None
        self._copy: list[bytes] = []  # as framed
        self._size = 0
        self._pending: list[bytes] | None = None  # collects what the source gives at once, to be sent with the head
        self._reading = False
        self._finished = False
        self.replayable = True

    def send(self, connection: UpstreamConnection, method: bytes, head: bytes, timeouts: Any) -> None:
        """Starts the request on `connection`: the head, what there is of the body, then the rest as it comes.

        Raises UpstreamFault for another attempt with a body of which not all is here: it would arrive with a hole.
        """
        if self._reading and not self.replayable:
            raise UpstreamFault(Cause.CLOSED_BEFORE_HEAD, "the body is not held any more")
        spool = self._spool
        connection.body_source = spool or self._downstream
        self._pending = [head, *self._copy]
        self._connection = connection
        begin = not self._reading
        self._reading = True
        if begin and spool is None and self._downstream is not None:
            self._downstream.read_body(self, self._limit)
        elif begin and spool is not None and spool.size <= REPLAY:
            spool.drain_to(self)
        elif connection.body_source is not None:  # hold() has paused it, or the connection that failed
            connection.body_source.resume()
        pending, self._pending = self._pending, None
        connection.start(method, b"".join(pending), timeouts, body=not self._finished)
        if begin and spool is not None and not self._finished:
            spool.drain_to(self)

    def hold(self) -> None:
        """Between two attempts nothing is read: it would outgrow the copy."""
        source = self._spool or self._downstream
        if source is not None:
            source.pause()

    def write(self, piece: bytes) -> None:
        framed = chunk(piece) if self._chunked else piece
        self._keep(framed)
        if self._pending is not None:
            self._pending.append(framed)
        elif self._connection is not None:
            self._connection.write(framed)

    def finish(self, trailers: Fields) -> None:
        self._finished = True
        end = last_chunk(without(trailers, self._drop)) if self._chunked else b""
        if end:
            self._keep(end)
        if self._pending is not None:
            if end:
                self._pending.append(end)
        elif self._connection is not None:
            if end:
                self._connection.write(end)
            self._connection.finish([])

    def abort(self, fault: Fault) -> None:
        if self._connection is not None:
            self._connection.abort(fault)

    def close(self) -> None:
        """Nothing more is sent: lets go of the spool, and of its file."""
        if self._spool is not None:
            self._spool.close()

    def _keep(self, framed: bytes) -> None:
        self._size += len(framed)
        if self._size > REPLAY:
            self.replayable = False
            self._copy.clear()
        elif self.replayable:
            self._copy.append(framed)


async def body_sender(exchange: Exchange, downstream: Turn, disk: Disk) -> RequestSender:
    """What sends the request body: as it comes, or, buffered, once it is here as a whole. Raises ClientFault."""
    settings, length = exchange.route.settings, exchange.request.length
    buffering, limit = settings.buffering, settings.body_limit
    if not buffering.request:
        drop = exchange.route.plan.drop_request
        if length == CHUNKED:  # what Connection names is no trailer either (RFC 9110 §7.6.1)
            drop = drop.union(nominated(exchange.request.fields))
        return RequestSender(length, downstream, limit, drop=drop)
    spool = Spool(disk, buffering.folder, buffering.request, downstream)
    try:
        downstream.read_body(spool, limit)
        await spool.whole
    except BaseException:
        spool.close()
        raise
    return RequestSender(spool.size, None, limit, spool)
