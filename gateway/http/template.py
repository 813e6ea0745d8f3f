"""Texts with `${variables}`, compiled once to a function of the exchange that returns bytes.

Field edits and redirects are written with them; they are compiled while the configuration loads and rendered per
request. The rule: what a client sends can fill a variable but never leave its place; no line end, no NUL, and in a
URI nothing that a URI may not hold.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

from gateway.http.fields import is_token

Reader: TypeAlias = Callable[[Any], bytes]  # (exchange) -> value; floor 0 does not know the Exchange
Shape: TypeAlias = Literal["host", "uri", "text"]

_CONTROLS = bytes(range(0x09)) + bytes(range(0x0A, 0x20)) + b"\x7f"  # RFC 9110 §5.5: a field value holds HTAB only
_UNRESERVED = b"-._~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_IN_URI = _UNRESERVED + b"!$&'()*+,;=:@/?"  # RFC 3986 §3.3, §3.4: path and query; "%" is looked at one by one
_NOT_IN_URI = re.compile(rb"%(?![0-9A-Fa-f]{2})|[^%" + re.escape(_IN_URI) + rb"]")
_NOT_IN_CONSTANT = re.compile(rb"%(?![0-9A-Fa-f]{2})|[^%#\[\]" + re.escape(_IN_URI) + rb"]")
_IN_HOST = _UNRESERVED + b":[]"
_NOT_IN_HOST = re.compile(rb"[^" + re.escape(_IN_HOST) + rb"]")
_NOT_IN_TEXT = re.compile(rb"[^" + re.escape(_UNRESERVED) + rb"]")
_PIECE = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")


class Variable(NamedTuple):
    """One `${name}`: what it says (for the reference page), how it is read, and how it is spelled in a URI."""

    help: str
    read: Reader
    shape: Shape = "text"


def _query(exchange: Any) -> bytes:
    return exchange.request.query or b""


def _uri(exchange: Any) -> bytes:
    request = exchange.request
    return request.path if request.query is None else b"%b?%b" % (request.path, request.query)


def _route(exchange: Any) -> bytes:
    return exchange.route.name.encode() if exchange.route is not None else b""


def _upstream(exchange: Any) -> bytes:
    return exchange.route.upstream.encode() if exchange.route is not None else b""


def _tls(attribute: str) -> Reader:
    def read(exchange: Any) -> bytes:
        tls = exchange.connection.tls
        return getattr(tls, attribute).encode() if tls is not None else b""

    return read


def _certificate(attribute: str) -> Reader:
    """Of a certificate that was verified only: what is merely presented proves nothing."""

    def read(exchange: Any) -> bytes:
        tls = exchange.connection.tls
        if tls is None or tls.certificate is None or not tls.certificate.verified:
            return b""
        return getattr(tls.certificate, attribute).encode()  # type: ignore[no-any-return]

    return read


VARIABLES: dict[str, Variable] = {
    "host": Variable("host of the request, lower-case, without port", lambda e: e.request.host, "host"),
    "authority": Variable("Host field as received, port included", lambda e: e.request.authority, "host"),
    "path": Variable("normalised path", lambda e: e.request.path, "uri"),
    "query": Variable("query without its question mark", _query, "uri"),
    "uri": Variable("path and, if there is one, `?query`", _uri, "uri"),
    "method": Variable("method", lambda e: e.request.method),
    "scheme": Variable("http or https, as the client saw it", lambda e: e.scheme.encode()),
    "client": Variable("address of the client (see real_ip)", lambda e: e.client.encode()),
    "peer": Variable("address of whoever is connected to us", lambda e: e.connection.peer.encode()),
    "listener": Variable("name of the listener", lambda e: e.connection.listener.encode()),
    "request_id": Variable("the request's id", lambda e: e.id),
    "route": Variable("name of the route", _route),
    "upstream": Variable("name of the upstream", _upstream),
    "country": Variable("country of the client, two letters, empty when unknown", lambda e: e.country.encode()),
    "tier": Variable("tier of the client", lambda e: e.tier.encode()),
    "tls_version": Variable("TLS version, empty on plain connections", _tls("version")),
    "tls_cipher": Variable("TLS cipher suite", _tls("cipher")),
    "tls_server_name": Variable("name that the TLS client asked for", _tls("server_name")),
    "tls_ja4": Variable("JA4 fingerprint of the TLS client", _tls("ja4")),
    "tls_client_subject": Variable("subject of the verified client certificate", _certificate("subject")),
    "tls_client_issuer": Variable("issuer of the verified client certificate", _certificate("issuer")),
    "tls_client_serial": Variable("serial number of the verified client certificate", _certificate("serial")),
    "tls_client_fingerprint": Variable("SHA-256 of the verified client certificate", _certificate("fingerprint")),
}

PARAMETRIC = {
    "header": "`${header:Name}`: a request field; the values of a repeated one joined by commas",
    "cookie": "`${cookie:name}`: a cookie of the request",
}


class Template(NamedTuple):
    """A compiled text: `constant` where it holds no variable (else None), `render(exchange)`, and what it reads."""

    constant: bytes | None
    render: Reader
    variables: tuple[str, ...]


def compile_field(text: str) -> Template:
    """A field value. Raises ValueError for an unknown variable, or for text that a field value may not hold."""
    return _compile(text, _field_constant, _for_field)


def compile_uri(text: str) -> Template:
    """A URI or a part of one: values are percent-encoded, so that none adds a separator that is not its own."""
    return _compile(text, _uri_constant, _for_uri)


def split_template(text: str) -> list[tuple[str, bool]]:
    """The pieces of `text`: (constant text, False) or (variable name, True), `$${` read as `${`."""
    pieces: list[tuple[str, bool]] = []
    at = 0
    constant = ""
    for found in _PIECE.finditer(text):
        constant += text[at : found.start()]
        at = found.end()
        if found[1] is None:
            constant += "${"
            continue
        if not found[2]:
            raise ValueError(f"{text!r}: a variable has no closing brace (write $${{ for the text ${{ itself)")
        if constant:
            pieces.append((constant, False))
            constant = ""
        pieces.append((found[1], True))
    constant += text[at:]
    if constant:
        pieces.append((constant, False))
    return pieces


def find_variable(name: str) -> Variable:
    """The variable of this name, `header:Name` and `cookie:name` included. Raises ValueError with the nearest name."""
    variable = VARIABLES.get(name)
    if variable is not None:
        return variable
    kind, colon, argument = name.partition(":")
    if colon and kind in PARAMETRIC:
        if not is_token(argument.encode()):
            raise ValueError(f"${{{name}}}: {argument!r} is not a {'field' if kind == 'header' else kind} name")
        read = _header(argument.lower().encode()) if kind == "header" else _cookie(argument.encode())
        return Variable(PARAMETRIC[kind], read)
    known = [*VARIABLES, *(f"{kind}:name" for kind in PARAMETRIC)]
    near = difflib.get_close_matches(name, known, 1, 0.5)
    advice = f"did you mean ${{{near[0]}}}? " if near else ""
    raise ValueError(f"${{{name}}} is not a variable: {advice}Known are {', '.join(known)}")


def _compile(text: str, constant: Callable[[str], bytes], wrap: Callable[[Variable], Reader]) -> Template:
    pieces = split_template(text)
    ready: list[bytes | Reader] = [
        wrap(find_variable(piece)) if is_variable else constant(piece) for piece, is_variable in pieces
    ]
    names = tuple(piece for piece, is_variable in pieces if is_variable)
    if not names:
        whole = constant(pieces[0][0]) if pieces else b""
        return Template(whole, lambda _exchange: whole, ())
    if len(ready) == 1 and callable(ready[0]):
        return Template(None, ready[0], names)
    parts = tuple(ready)

    def render(exchange: Any) -> bytes:
        return b"".join([part(exchange) if callable(part) else part for part in parts])

    return Template(None, render, names)


def _header(name: bytes) -> Reader:
    def read(exchange: Any) -> bytes:
        request = exchange.request
        return b", ".join(request.values(name)) if name in request.index else b""

    return read


def _cookie(name: bytes) -> Reader:
    """RFC 6265 §5.4: `name=value` pairs after semicolons; of two cookies of one name the first is the nearer one."""

    def read(exchange: Any) -> bytes:
        request = exchange.request
        if b"cookie" not in request.index:
            return b""
        for field in request.values(b"cookie"):
            for pair in field.split(b";"):
                key, equals, value = pair.partition(b"=")
                if equals and key.strip() == name:
                    return value.strip()  # type: ignore[no-any-return]
        return b""

    return read


def check_value(text: str) -> bytes:
    """`text` as a constant field value. Raises ValueError for line ends, NUL and other control characters."""
    value = text.encode()
    if value.translate(None, _CONTROLS) != value:
        raise ValueError(f"{text!r}: a field value cannot hold line ends or other control characters")
    return value


def _field_constant(text: str) -> bytes:
    return check_value(text)


def _for_field(variable: Variable) -> Reader:
    read = variable.read
    return lambda exchange: read(exchange).translate(None, _CONTROLS)


def _escape(found: re.Match[bytes]) -> bytes:
    return b"%%%02X" % found[0][0]


def _uri_constant(text: str) -> bytes:
    check_value(text)
    return _NOT_IN_CONSTANT.sub(_escape, text.encode())


def uri_bytes(value: bytes) -> bytes:
    """Path and query bytes with everything escaped that a URI may not hold; whole escapes stay as they are."""
    return _NOT_IN_URI.sub(_escape, value) if value.translate(None, _IN_URI) else value


def _for_uri(variable: Variable) -> Reader:
    read = variable.read
    if variable.shape == "uri":
        return lambda exchange: uri_bytes(read(exchange))
    legal, others = (_IN_HOST, _NOT_IN_HOST) if variable.shape == "host" else (_UNRESERVED, _NOT_IN_TEXT)

    def read_escaped(exchange: Any) -> bytes:
        value = read(exchange)
        return others.sub(_escape, value) if value.translate(None, legal) else value

    return read_escaped
