"""What the origin is told of the client and the way here (X-Forwarded-*, Forwarded, Via), and what it must not hear.

Identity fields are dropped from every request; `prepare` writes them anew from what earlier steps verified, and `admit`
answers 508 to a request that has come through here too often. The rule: no byte that an untrusted peer
wrote reaches the origin in a field that says who the client is.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import blake2b
from typing import Annotated, Literal, TypeAlias

from gateway.errors import Cause
from gateway.exchange import Connection, Exchange, Verdict
from gateway.hooks import Hooks, Shared, UpstreamHead
from gateway.http.fields import is_token
from gateway.http.forwarded import ForwardedElement, format_element, format_node
from gateway.http.message import Fields, Request, Response
from gateway.schema import AfterValidator, BeforeValidator, Field, Model

PREFIX = b"x-forwarded-"
# What origins, frameworks and plugins have been seen to read as the client's address, the scheme, the host or the path.
IDENTITY = frozenset(
    {
        b"cf-connecting-ip", b"cf-connecting-ipv6", b"client-ip", b"fastly-client-ip", b"fly-client-ip", b"forwarded",
        b"forwarded-for", b"front-end-https", b"proxy-client-ip", b"true-client-ip", b"wl-proxy-client-ip",
        b"x-azure-clientip", b"x-client-ip", b"x-cluster-client-ip", b"x-envoy-external-address", b"x-forwarded",
        b"x-forwarded-by", b"x-forwarded-client-cert", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-port",
        b"x-forwarded-prefix", b"x-forwarded-proto", b"x-forwarded-protocol", b"x-forwarded-scheme",
        b"x-forwarded-server", b"x-forwarded-ssl", b"x-forwarded-uri", b"x-forwarded-user", b"x-host",
        b"x-original-forwarded-for", b"x-original-host", b"x-original-url", b"x-originating-ip", b"x-proxyuser-ip",
        b"x-real-ip", b"x-remote-addr", b"x-remote-ip", b"x-rewrite-url", b"x-scheme", b"x-url-scheme",
    }
)  # fmt: skip
# Written here; every other x-forwarded-* of a trusted peer (its prefix, its client certificate) is passed on.
_OURS = frozenset({b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-proto"})
_THEIRS = frozenset(name for name in IDENTITY if name.startswith(PREFIX)) - _OURS

# Names seen before that need no look at their prefix. Against a flood of invented names: no more are learnt.
LEARNT = 1024
LONGEST_LEARNT = 64

_HOST = frozenset(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-._~:[]")
_KEY = "forwarded"
_NAME = b"gateway"
_SCHEMES = {"http": (b"http", b"80"), "https": (b"https", b"443")}


def _switch(value: object) -> object:
    """`on` and `off` are texts in YAML 1.2."""
    return {"on": True, "off": False}.get(value, value) if isinstance(value, str) else value


def _pseudonym(value: str) -> str:
    name = value.encode("utf-8")
    if not name or not (is_token(name) or _HOST.issuperset(name)):
        raise ValueError(f"{value!r} is not a name for Via: letters, digits, '-' and '.', for example edge-1")
    return value


Via: TypeAlias = Annotated[Literal[False] | Annotated[str, AfterValidator(_pseudonym)], BeforeValidator(_switch)]


class Config(Model):
    """The fields that tell the origin who asked. What an untrusted peer sent in them never passes."""

    x_forwarded: bool = True
    """Send `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`."""
    port: Literal["listener", "host"] = "listener"
    """What `X-Forwarded-Port` says: the port of the `listener`, which no client can choose; or the one in the client's
    `host` field, else its scheme's, for listeners that are published under another port, as in a container. What a
    trusted peer says counts before either."""
    forwarded: bool = False
    """Send `Forwarded` (RFC 7239)."""
    obfuscate: bool = False
    """Name the client in `Forwarded` by an identifier that stays the same until the next reload, not by its address."""
    x_real_ip: bool = False
    """Send `X-Real-IP`, the client's address alone."""
    via: Via = Field(default="auto")
    """Our name in `Via`, or `off` (then loops are not seen). `auto` is `gateway` and a token of this machine and
    configuration, so that two gateways in a row do not take each other for a loop; a name of your own must be yours
    alone for the same reason."""
    via_response: bool = True
    """Add `Via` to the origin's answers too."""
    loops: int = Field(default=1, ge=0, le=100)
    """How often a request may already have passed here, by its `Via`, before it is answered 508."""


def build(config: Config, shared: Shared) -> Hooks:
    """Drops, writes and counts; the fields of an ordinary request are rendered once per connection."""
    if config.obfuscate and config.x_forwarded:
        shared.warn("forwarded.obfuscate: it hides nothing while x_forwarded sends the address: set x_forwarded: false")
    via = _request_via(config, shared)
    shown = _NAME if config.via == "auto" else via  # clients need not tell our machines apart
    drop = IDENTITY | ({b"via"} if via else frozenset())
    return Hooks(
        admit=_loop_check(via, config.loops, shared) if via else None,
        prepare=_writer(config, via),
        accept=_response_via(shown) if shown and config.via_response else None,
        drop_request=drop,
    )


def _request_via(config: Config, shared: Shared) -> bytes:
    if not config.via:
        return b""
    if config.via != "auto":
        return config.via.encode()
    # The same in every worker and after every reload, another on the next machine or for another configuration.
    place = f"{os.uname().nodename}\0{shared.folder.absolute()}".encode()
    return b"%b-%b" % (_NAME, blake2b(place, digest_size=4).hexdigest().encode())


def _loop_check(name: bytes, allowed: int, shared: Shared) -> Callable[[Exchange], Verdict | None]:
    cause = Cause.LOOP
    detail = "this request has passed here before: an upstream leads back to the gateway"

    def admit(exchange: Exchange) -> Verdict | None:
        request = exchange.request
        if b"via" not in request.index:
            return None
        hops = b",".join(request.values(b"via"))
        if hops.count(name) <= allowed or _passed(hops, name) <= allowed:
            return None
        if shared.error_reply is None:
            return Verdict(_KEY, cause.word, Response(cause.status, [], body=b""))
        return Verdict(_KEY, cause.word, shared.error_reply(exchange, cause.status, cause.token, detail))

    return admit


def _passed(hops: bytes, name: bytes) -> int:
    """How many elements of Via were received by `name`: protocol, received-by, comment (RFC 9110 §7.6.3)."""
    words = (hop.split(None, 2) for hop in hops.split(b","))
    return sum(1 for word in words if len(word) > 1 and word[1] == name)


def _response_via(name: bytes) -> Callable[[Exchange, Response], None]:
    line = (b"via", b"1.1 " + name)
    old = b"1.0 " + name

    def accept(exchange: Exchange, response: Response) -> None:
        if response.minor == 1 and b"via" not in response.index:
            response.fields.append(line)
            return
        values = [value for key, value in response.fields if key == b"via"]
        values.append(line[1] if response.minor == 1 else old)
        response.fields[:] = [field for field in response.fields if field[0] != b"via"]
        response.fields.append((b"via", b", ".join(values)))

    return accept


def _writer(config: Config, via: bytes) -> Callable[[Exchange, UpstreamHead], None]:
    render = _renderer(config)
    via_line = (b"via", b"1.1 " + via) if via else None
    via_old = b"1.0 " + via
    mine = object()  # connections outlive a reload: what an older site rendered does not count
    ordinary = set(IDENTITY)

    def strip(request: Request, head: UpstreamHead) -> bool:
        """Some name is new: learn the harmless ones, drop what else begins with the prefix. Was there any?"""
        forged = False
        for name in request.index:
            if name.startswith(PREFIX):
                forged = True
            elif len(ordinary) < LEARNT and len(name) <= LONGEST_LEARNT:
                ordinary.add(name)
        if forged:
            head.drop(lambda name: name.startswith(PREFIX))
        return forged

    def prepare(exchange: Exchange, head: UpstreamHead) -> None:
        request = exchange.request
        index = request.index
        stripped = not ordinary.issuperset(index) and strip(request, head)
        if exchange.trusted or request.minor != 1 or b"via" in index:
            if exchange.trusted and (stripped or not _THEIRS.isdisjoint(index)):
                head.fields += [
                    field for field in request.fields if field[0].startswith(PREFIX) and field[0] not in _OURS
                ]
            write_slowly(exchange, head)
            return
        identity = exchange.connection.identity
        known = identity.get(_KEY)
        if known is None or known[0] is not mine or known[1] != request.authority:
            fields = render(exchange, request)
            if via_line is not None:
                fields.append(via_line)
            identity[_KEY] = known = (mine, request.authority, fields)
        head.fields += known[2]

    def write_slowly(exchange: Exchange, head: UpstreamHead) -> None:
        request = exchange.request
        head.fields += render(exchange, request)
        if via_line is not None:
            hops = [*request.values(b"via"), via_line[1] if request.minor == 1 else via_old]
            head.fields.append((b"via", b", ".join(hops)))

    return prepare


def _renderer(config: Config) -> Callable[[Exchange, Request], Fields]:
    hide = _obfuscator() if config.obfuscate else format_node
    by_host = config.port == "host"

    def render(exchange: Exchange, request: Request) -> Fields:
        """The fields about the client, from verified facts; of the request only what a trusted peer said of its own."""
        fields: Fields = []
        peer, chain = exchange.connection.peer.encode("ascii"), exchange.chain
        host = _told_host(request) if exchange.trusted else request.authority
        if config.x_forwarded:
            scheme, port = _SCHEMES[exchange.scheme]
            if chain or peer:
                fields.append((b"x-forwarded-for", b"%b, %b" % (chain, peer) if chain and peer else chain or peer))
            fields.append((b"x-forwarded-proto", scheme))
            if host:
                fields.append((b"x-forwarded-host", host))
            if exchange.trusted:
                port = _told_port(request) or _port_of(host) or port
            elif by_host:
                port = _port_of(host) or port
            else:
                port = _listening(exchange.connection) or port
            fields.append((b"x-forwarded-port", port))
        if config.x_real_ip and exchange.client:
            fields.append((b"x-real-ip", exchange.client.encode("ascii")))
        if config.forwarded:
            fields.append((b"forwarded", _forwarded(exchange, hide(exchange.client), host)))
        return fields

    return render


def _forwarded(exchange: Exchange, client: bytes, host: bytes) -> bytes:
    """One element per verified hop; what the proxies between said of host and scheme is not kept."""
    first = format_element(ForwardedElement(client, host=host, proto=exchange.scheme.encode()))
    if not exchange.chain:
        return first
    connection = exchange.connection
    between = [
        format_element(ForwardedElement(format_node(hop.decode("ascii")))) for hop in exchange.chain.split(b", ")[1:]
    ]
    last = ForwardedElement(
        format_node(connection.peer), host=exchange.request.authority, proto=connection.scheme.encode()
    )
    return b", ".join([first, *between, format_element(last)])


def _obfuscator() -> Callable[[str], bytes]:
    """RFC 7239 §6.3: an identifier that tells clients apart and cannot be turned back without the key."""
    key = os.urandom(16)

    def hide(address: str) -> bytes:
        return b"_" + blake2b(address.encode("ascii"), key=key, digest_size=8).hexdigest().encode()

    return hide


def _told_host(request: Request) -> bytes:
    told = request.index.get(b"x-forwarded-host", b"")
    return told if 0 < len(told) <= 255 and _HOST.issuperset(told) else request.authority


def _told_port(request: Request) -> bytes:
    told = request.index.get(b"x-forwarded-port", b"")
    return told if told.isdigit() and len(told) <= 5 else b""


def _port_of(authority: bytes) -> bytes:
    """The port in a Host field."""
    _, colon, port = authority.rpartition(b":")
    return port if colon and port.isdigit() else b""


def _listening(connection: Connection) -> bytes:
    """The port of the listener; b"" where it has none, or the system has chosen it."""
    local = connection.local
    port = b"" if local.startswith("unix:") else _port_of(local.encode())
    return b"" if port == b"0" else port
