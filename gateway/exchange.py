"""Connection, Exchange and Verdict: what is known about a request, and who may say so.

A field has one writer and later steps only read it (a fault is written by whoever finds out). In the order of the
journey, to which tests/test_exchange.py holds the code:

    step      writer                         fields
    receive   server/http1, server/turn      connection, request, source, now, started
    identify  filters                        client, scheme, trusted, chain, id, trace, country, network, tier
    route     pipeline                       site, route
    admit     pipeline, proxy, maintenance   verdict (a filter's, if it stops here; filters/rewrite edits the request)
    lookup    cache                          key, entry, cache_status
    forward   proxy                          endpoint, attempts, upstream_seconds, received (of a tunnel)
    accept    filters                        response (the origin's, edited)
    deliver   pipeline, server/turn          response, received, sent, ended
    any       pipeline, proxy, server        fault
    log       access_log, metrics            nothing
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.http.message import Request, Response

if TYPE_CHECKING:
    from gateway.errors import Fault
    from gateway.flow import Source


class ClientCertificate(NamedTuple):
    """The verified (or merely presented) certificate of a TLS client."""

    subject: str  # RFC 4514
    issuer: str
    serial: str  # lower-case hexadecimal
    fingerprint: str  # SHA-256 of the DER form, lower-case hexadecimal
    verified: bool
    pem: str


class TlsFacts(NamedTuple):
    """What a TLS handshake told: constant for the life of a connection."""

    version: str  # "TLSv1.3"
    cipher: str
    server_name: str  # SNI, lower-case, "" when absent
    alpn: str
    ja4: str
    certificate: ClientCertificate | None


class Connection:
    """One downstream connection: facts that its requests share. Written by the listener and the layers below HTTP.

    peer          address of whoever speaks to us (after PROXY protocol: the address it names); "" on Unix sockets
    peer_port     0 when unknown
    local         "127.0.0.1:8080" or "unix:/path": the listener's own address
    listener      name of the listener (its bind text)
    unix          the peer came over a Unix socket (after PROXY protocol: False)
    tls           TlsFacts, or None on plain connections
    behind_proxy  the address came from a PROXY protocol header
    opened        loop time, seconds
    requests      how many were received so far
    on_lost       called with the connection by the outermost protocol when the socket is gone; may come twice
    """

    __slots__ = (
        "behind_proxy", "identity", "listener", "local", "on_lost", "opened", "peer", "peer_port", "requests", "tls",
        "unix",
    )  # fmt: skip

    def __init__(
        self, peer: str, peer_port: int, local: str, listener: str, opened: float, *, unix: bool = False
    ) -> None:
        self.peer = peer
        self.peer_port = peer_port
        self.local = local
        self.listener = listener
        self.unix = unix
        self.tls: TlsFacts | None = None
        self.behind_proxy = False
        self.opened = opened
        self.requests = 0
        self.on_lost: Callable[[Connection], None] | None = None
        # Filters that derive a constant from the connection (is the peer trusted?) remember it here: {filter: value}.
        self.identity: dict[str, Any] = {}

    @property
    def scheme(self) -> str:
        return "http" if self.tls is None else "https"


class Verdict(NamedTuple):
    """A filter's decision to answer here: which filter, which rule, and the reply itself."""

    by: str  # the filter's configuration key: "redirects", "firewall", "limits"
    rule: str  # the rule's name, or what it looked at
    reply: Response


class Exchange:
    """One request and its answer (RFC 9110 §3.4 names the pair). See the table above."""

    __slots__ = (
        "attempts", "cache_status", "chain", "client", "connection", "country", "ended", "endpoint", "entry", "fault",
        "id", "key", "network", "now", "received", "request", "response", "route", "scheme", "sent", "site", "source",
        "started", "tier", "trace", "trusted", "upstream_seconds", "verdict",
    )  # fmt: skip

    def __init__(self, connection: Connection, request: Request, now: float) -> None:
        self.connection = connection
        self.request = request
        self.source: Source | None = None  # of the request body, while there is one
        self.now = now  # loop time of the read that completed the head, seconds
        self.started = now  # loop time of the head's first byte
        self.received = 0  # bytes of request body so far
        self.client = connection.peer  # address of the client, text; real_ip may say better
        self.scheme = "http" if connection.tls is None else "https"  # as the client saw it
        self.trusted = False  # the peer may speak for its clients (real_ip.trusted)
        self.chain = b""  # "client, proxy": the verified addresses a trusted peer reported, without the peer itself
        self.id = b""
        self.trace = b""  # value of traceparent to send upstream, b"" for none
        self.country = ""
        self.network = 0  # autonomous system number
        self.tier = ""
        self.site: Any = None
        self.route: Any = None  # a Route (hooks.py); set by pipeline.answer before anything reads it
        self.verdict: Verdict | None = None
        self.key: Any = None
        self.entry: Any = None
        self.cache_status: Any = None
        self.endpoint = ""  # "127.0.0.1:3000", the one that answered or was tried last
        self.attempts = 0
        self.fault: Fault | None = None
        self.upstream_seconds = 0.0  # from the first byte sent to the head received
        self.response: Response | None = None
        self.ended = 0.0  # loop time at which the response had been written whole, or was given up
        self.sent = 0  # bytes of the response body that were written downstream
