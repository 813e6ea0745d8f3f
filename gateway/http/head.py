"""Message heads: bytes to Request and Response, as strictly as HTTP/1.1 can be read (RFC 9112 §2-6).

llhttp (through httptools) reads the field lines; the start line, the framing and what llhttp is known to let through
are checked here. A reader is given one complete head and a fresh parser each time, so nothing that one message said
can reach the next.
"""

from __future__ import annotations

import re
from typing import NamedTuple, TypeAlias

import httptools

from gateway.http.fields import list_tokens
from gateway.http.message import CHUNKED, UNTIL_CLOSE, Fields, Malformed, Request, Response
from gateway.http.path import PathRules, normalise
from gateway.http.status import has_no_body

MAX_START_LINE = 16 * 1024
_REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}) ([\x21\x22\x24-\x7e]+) HTTP/1\.([01])\r\n")
_OTHER_VERSION = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+ [\x21-\x7e]+ HTTP/(?!1\.[01])[0-9]\.[0-9]\r\n")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*))?\r\n")
# Host names as DNS and browsers know them; the sub-delims and escapes that RFC 3986 adds only ever served attacks.
_AUTHORITY = re.compile(rb"([A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?")
_ABSOLUTE = re.compile(rb"https?://([^/?]*)([^?]*)(\?.*)?", re.IGNORECASE | re.DOTALL)
_DIGITS = re.compile(rb"[0-9]{1,18}")  # below 2^63: no reader overflows on it

# RFC 9110 §7.6.1: a connection option never names these; a sender that does wants two readers to disagree.
_NEVER_CONNECTION_OPTION = frozenset({b"content-length", b"host", b"transfer-encoding", b"cache-control"})
# Fields of which two copies make two readers disagree about what the message is.
_SINGLE = frozenset({b"content-length", b"expect", b"host", b"max-forwards", b"transfer-encoding"})
KNOWN_METHODS = frozenset(
    b"ACL BIND CHECKOUT CONNECT COPY DELETE GET HEAD LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR MKCOL MOVE NOTIFY "
    b"OPTIONS PATCH POST PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT SEARCH SUBSCRIBE TRACE UNBIND UNLINK UNLOCK "
    b"UNSUBSCRIBE".split()
)


class HeadRules(NamedTuple):
    """Bounds of a head (`downstream` in the configuration; the upstream wire uses the defaults)."""

    max_line: int = 16 * 1024  # bytes of one field line: against one giant field
    max_fields: int = 100  # against hash and loop costs by number
    max_uri: int = 8 * 1024  # bytes of the request target
    underscores: str = "drop"  # "drop" | "keep" | "reject" field names with "_": WSGI maps X_A onto X-A
    path: PathRules = PathRules()


class _Collector:
    """What llhttp calls back: field lines in order, names lower-cased."""

    __slots__ = ("fields",)

    def __init__(self) -> None:
        self.fields: Fields = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))


_Parser: TypeAlias = httptools.HttpRequestParser | httptools.HttpResponseParser


def _read_fields(parser: _Parser, collector: _Collector, head: bytes, rules: HeadRules) -> Fields:
    """Field lines of `head`. The counts agree only if each line is exactly one field: no folding, no bare CR or LF."""
    try:
        parser.feed_data(head)
    except httptools.HttpParserUpgrade:
        pass  # the head is whole; whether to upgrade is not the parser's decision
    except httptools.HttpParserCallbackError:
        raise  # ours: a bug, answered 500
    except httptools.HttpParserError as error:
        raise Malformed(str(error) or type(error).__name__) from None
    fields = collector.fields
    count = len(fields)
    if count > rules.max_fields:
        raise Malformed("too many fields", 431)
    if head.count(b"\n") != count + 2 or head.count(b"\r") != count + 2:
        raise Malformed("a line that is not one field")
    if len(head) > rules.max_line:
        for name, value in fields:
            if len(name) + len(value) + 4 > rules.max_line:
                raise Malformed("a field line is too long", 431)
    if b" \r\n" in head or b"\t\r\n" in head:  # llhttp strips white space before a value, not after it
        fields = [(name, value.rstrip(b" \t")) for name, value in fields]
    return fields


class RequestHeadReader:
    """Reads request heads under one set of rules."""

    __slots__ = ("_rules",)

    def __init__(self, rules: HeadRules = HeadRules()) -> None:  # noqa: B008 - an immutable tuple
        self._rules = rules

    def read(self, head: bytes) -> Request:
        """The Request of `head`, which ends with its empty line. Raises Malformed with the status it deserves."""
        rules = self._rules
        line = _REQUEST_LINE.match(head)
        if line is None:
            raise _request_line_fault(head)
        method, target, minor = line.groups()
        if len(target) > rules.max_uri:
            raise Malformed("the request target is too long", 414)
        if method not in KNOWN_METHODS:
            raise Malformed("an unknown method", 501)
        collector = _Collector()
        fields = _read_fields(httptools.HttpRequestParser(collector), collector, head, rules)
        if target[0] == 47:  # "/"
            path, mark, query = target.partition(b"?")
            request = Request(method, target, normalise(path, rules.path), query if mark else None, minor[0] - 48)
            authority = None
        else:
            request, authority = _other_form(method, target, minor[0] - 48, rules)
        request.fields = fields
        request.index = index = dict(fields)
        if len(index) != len(fields):
            _check_duplicates(fields)
        if b"_" in b"".join(index):
            _underscores(request, rules.underscores)
        _check_host(request, authority)
        if not _ORDINARY.isdisjoint(index):
            _check_framing(request)
        return request


# Fields that change how the message is read; a request without any of them needs no second look.
_ORDINARY = frozenset({b"connection", b"content-length", b"expect", b"transfer-encoding"})


def _request_line_fault(head: bytes) -> Malformed:
    line = head.partition(b"\n")[0]
    if len(line) > MAX_START_LINE:
        return Malformed("the request line is too long", 414)
    if _OTHER_VERSION.match(head):
        return Malformed("only HTTP/1.0 and HTTP/1.1 are spoken here", 505)
    return Malformed("not an HTTP request line")


def _other_form(method: bytes, target: bytes, minor: int, rules: HeadRules) -> tuple[Request, bytes | None]:
    """Requests whose target does not begin with a slash (RFC 9112 §3.2.2-3.2.4), and the authority they name."""
    if target == b"*":
        if method != b"OPTIONS":
            raise Malformed("the asterisk form is for OPTIONS only")
        return Request(method, target, b"*", None, minor), None
    if method == b"CONNECT":
        if not _AUTHORITY.fullmatch(target):
            raise Malformed("CONNECT wants host:port")
        return Request(method, target, b"/", None, minor), None
    found = _ABSOLUTE.fullmatch(target)
    if found is None:
        raise Malformed("not a request target")
    authority, path, query = found[1], found[2], found[3]
    if method == b"OPTIONS" and not path and query is None:
        path = b"*"
    normal = path if path == b"*" else normalise(path or b"/", rules.path)
    return Request(method, target, normal, query[1:] if query is not None else None, minor), authority


def _check_duplicates(fields: Fields) -> None:
    seen: set[bytes] = set()
    for name, _value in fields:
        if name in _SINGLE and name in seen:
            raise Malformed(f"more than one {name.decode()} field")
        seen.add(name)


def _underscores(request: Request, policy: str) -> None:
    if policy == "keep":
        return
    if policy == "reject":
        raise Malformed("a field name with an underscore")
    request.fields = [field for field in request.fields if b"_" not in field[0]]
    request.index = dict(request.fields)


def _check_host(request: Request, authority: bytes | None) -> None:
    """RFC 9112 §3.2: exactly one Host on HTTP/1.1, well-formed, and the same as an absolute target names."""
    host = request.index.get(b"host")
    if host is None:
        if request.minor == 1:
            raise Malformed("no Host field")
        if authority is None:
            return
        host = authority
    elif authority is not None and authority.lower() != host.lower():
        raise Malformed("Host and request target disagree")
    found = _AUTHORITY.fullmatch(host)
    if found is None or (found[2] is not None and not 0 < int(found[2]) < 65536):
        raise Malformed("an invalid Host field")
    request.authority = host
    name = found[1].lower()
    request.host = name[:-1] if name[-1] == 46 else name  # "example.com." is example.com
    if not request.host:
        raise Malformed("an invalid Host field")


def _check_framing(request: Request) -> None:
    index = request.index
    connection = index.get(b"connection")
    if connection is not None:
        _connection_options(request)
    coding = index.get(b"transfer-encoding")
    length = index.get(b"content-length")
    if coding is not None:
        if request.minor == 0:
            raise Malformed("Transfer-Encoding on HTTP/1.0")
        if length is not None:
            raise Malformed("both Transfer-Encoding and Content-Length")
        if coding.lower() != b"chunked":
            known = list_tokens(coding)
            raise Malformed("a transfer coding other than chunked", 501 if known[-1:] == [b"chunked"] else 400)
        request.length = CHUNKED
    elif length is not None:
        if not _DIGITS.fullmatch(length):
            raise Malformed("an invalid Content-Length")
        request.length = int(length)
    expect = index.get(b"expect")
    if expect is not None and request.minor == 1:
        if expect.lower() != b"100-continue":
            raise Malformed("an expectation other than 100-continue", 417)
        request.expects_continue = request.length != 0


def _connection_options(request: Request) -> None:
    """`Connection`: persistence (RFC 9112 §9.3) and upgrade (RFC 9110 §7.8)."""
    options: list[bytes] = []
    for value in request.values(b"connection"):
        options += list_tokens(value)
    if not _NEVER_CONNECTION_OPTION.isdisjoint(options):
        raise Malformed("a connection option that is never one")
    if b"close" in options:
        request.keep_alive = False
    elif request.minor == 0:
        request.keep_alive = b"keep-alive" in options
    if b"upgrade" in options and request.minor == 1:
        tokens = [token for value in request.values(b"upgrade") for token in list_tokens(value)]
        if tokens:
            request.upgrade = tokens[0]


class ResponseHeadReader:
    """Reads response heads from an origin that is not trusted."""

    __slots__ = ("_rules",)

    def __init__(self, rules: HeadRules = HeadRules()) -> None:  # noqa: B008 - an immutable tuple
        self._rules = rules

    def read(self, head: bytes) -> Response:
        """The Response of `head`, which ends with its empty line; its `length` is not yet known. Raises Malformed."""
        line = _STATUS_LINE.match(head)
        if line is None:
            raise Malformed("not an HTTP/1.x status line")
        collector = _Collector()
        fields = _read_fields(httptools.HttpResponseParser(collector), collector, head, self._rules)
        response = Response(int(line[2]), fields, reason=line[3] or b"")
        response.index = dict(fields)
        response.minor = line[1][0] - 48
        return response


def response_length(method: bytes, response: Response) -> int:
    """The length of the body of `response` to a `method` request (RFC 9112 §6.3). Raises Malformed if it says two."""
    index = response.index
    coding = index.get(b"transfer-encoding")
    length = index.get(b"content-length")
    if len(index) != len(response.fields):
        _check_duplicates(response.fields)
    if coding is not None:
        if length is not None:
            raise Malformed("both Transfer-Encoding and Content-Length")
        if response.minor == 0 or coding.lower() != b"chunked":
            raise Malformed("a transfer coding other than chunked")
    elif length is not None and not _DIGITS.fullmatch(length):
        raise Malformed("an invalid Content-Length")
    if has_no_body(method, response.status):
        return 0
    if coding is not None:
        return CHUNKED
    return UNTIL_CLOSE if length is None else int(length)
