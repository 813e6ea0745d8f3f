"""Message heads: bytes to Request and Response, as strictly as HTTP/1.1 can be read (RFC 9112 §2-6).

llhttp (through httptools) reads the field lines; the start line, the framing and what llhttp is known to let through
are checked here. A reader is given one complete head and a fresh parser each time, so nothing that one message said
can reach the next.
"""

from __future__ import annotations

import re
from typing import NamedTuple, TypeAlias, TypeVar

import httptools

from gateway.http.fields import list_tokens
from gateway.http.message import CHUNKED, UNTIL_CLOSE, Fields, Malformed, Request, Response
from gateway.http.path import PathRules, normalise
from gateway.http.status import has_no_body

MAX_START_LINE = 16 * 1024
REMEMBERED = 1024  # targets and hosts kept with what they mean: 0.3 MB at the most
LONGEST_NAME = 32  # bytes of a field name that is remembered
MEMORABLE = 128  # bytes; longer ones are worked out each time
_T = TypeVar("_T")
_REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}) ([\x21\x22\x24-\x7e]+) HTTP/1\.([01])\r\n")
_OTHER_VERSION = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+ [\x21-\x7e]+ HTTP/(?!1\.[01])[0-9]\.[0-9]\r\n")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*))?\r\n")
# Host names as DNS and browsers know them; the sub-delims and escapes that RFC 3986 adds only ever served attacks.
_AUTHORITY = re.compile(rb"([A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?")
_ABSOLUTE = re.compile(rb"https?://([^/?]*)([^?]*)(\?.*)?", re.IGNORECASE | re.DOTALL)
MAX_DIGITS = 18  # of a Content-Length: below 2^63, no reader overflows on it
_DIGITS = re.compile(rb"[0-9]{1,18}")

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
        self.fields.append((name.lower(), value.rstrip()))  # llhttp has stripped the other side only


_Parser: TypeAlias = httptools.HttpRequestParser | httptools.HttpResponseParser


def _refusal(error: httptools.HttpParserError) -> Malformed:
    if isinstance(error, httptools.HttpParserCallbackError):
        raise error  # ours: a bug, answered 500
    return Malformed(str(error) or type(error).__name__)


def _check_sizes(fields: Fields, rules: HeadRules) -> None:
    if len(fields) > rules.max_fields:
        raise Malformed("too many fields", 431)
    for name, value in fields:
        if len(name) + len(value) + 4 > rules.max_line:
            raise Malformed("a field line is too long", 431)


class _Start(NamedTuple):
    """A request line, read: `authority` is what an absolute target names, else None."""

    method: bytes
    target: bytes
    path: bytes
    query: bytes | None
    minor: int
    authority: bytes | None


class RequestHeadReader:
    """Reads request heads under one set of rules.

    What was worked out of a request line, a Host or a field name is remembered a while: it depends on nothing else.
    """

    __slots__ = ("_hosts", "_lines", "_plain", "_rules")

    def __init__(self, rules: HeadRules = HeadRules()) -> None:  # noqa: B008 - an immutable tuple
        self._rules = rules
        self._lines: dict[bytes, _Start] = {}
        self._hosts: dict[bytes, bytes] = {}
        self._plain = {b"host"}  # names that need no second look

    def read(self, head: bytes) -> Request:
        """The Request of `head`, which ends with its empty line. Raises Malformed with the status it deserves."""
        line = head[: head.find(b"\r\n")]
        start = self._lines.get(line) or self._start(head, line)
        collector = _Collector()
        try:
            httptools.HttpRequestParser(collector).feed_data(head)
        except httptools.HttpParserUpgrade:
            pass  # the head is whole; whether to upgrade is not the parser's decision
        except httptools.HttpParserError as error:
            raise _refusal(error) from None
        fields = collector.fields
        rules = self._rules
        if len(fields) > rules.max_fields or len(head) > rules.max_line:
            _check_sizes(fields, rules)
        request = Request(start[0], start[1], start[2], start[3], start[4])
        request.fields = fields
        request.index = index = dict(fields)
        if len(index) != len(fields):
            _check_duplicates(fields)
        host = index.get(b"host")
        name = self._hosts.get(host) if host is not None and start[5] is None else None
        if name is not None and host is not None:
            request.authority, request.host = host, name
        else:
            self._check_host(request, start[5])
        if not self._plain.issuperset(index):
            self._look_closer(request)
        return request

    def _start(self, head: bytes, line: bytes) -> _Start:
        found = _REQUEST_LINE.match(head)
        if found is None:
            raise _request_line_fault(head)
        method, target, minor = found.groups()
        rules = self._rules
        if len(target) > rules.max_uri:
            raise Malformed("the request target is too long", 414)
        if method not in KNOWN_METHODS:
            raise Malformed("an unknown method", 501)
        start = _read_target(method, target, int(minor), rules)
        if len(line) <= MEMORABLE:
            remember(self._lines, line, start)
        return start

    def _check_host(self, request: Request, named: bytes | None) -> None:
        _check_host(request, named)
        if len(request.authority) <= MEMORABLE:
            remember(self._hosts, request.authority, request.host)

    def _look_closer(self, request: Request) -> None:
        """Some field is new, or changes how the message is read."""
        plain = self._plain
        odd = [name for name in request.index if name not in plain]
        if b"_" in b"".join(odd):
            _underscores(request, self._rules.underscores)
        for name in odd:
            if name in _FRAMING:
                _check_framing(request)
                break
        for name in odd:
            if name not in _FRAMING and b"_" not in name and len(plain) < REMEMBERED and len(name) <= LONGEST_NAME:
                plain.add(name)


def remember(known: dict[bytes, _T], key: bytes, value: _T) -> None:
    """Keeps a result of a pure function; forgets all when there are too many, so that nobody can fill the memory."""
    if len(known) >= REMEMBERED:
        known.clear()
    known[key] = value


# Fields that change how the message is read.
_FRAMING = frozenset({b"connection", b"content-length", b"expect", b"transfer-encoding"})


def unreadable(head: bytes) -> Request:
    """What stands for a request that could not be read, in the error reply and in the log: its words, unchecked."""
    words = head[:1024].partition(b"\r\n")[0].split(b" ")
    request = Request(words[0][:32], words[1] if len(words) > 1 else b"", b"/", None, 1)
    request.keep_alive = False
    return request


def _request_line_fault(head: bytes) -> Malformed:
    line = head.partition(b"\n")[0]
    if len(line) > MAX_START_LINE:
        return Malformed("the request line is too long", 414)
    if _OTHER_VERSION.match(head):
        return Malformed("only HTTP/1.0 and HTTP/1.1 are spoken here", 505)
    return Malformed("not an HTTP request line")


def _read_target(method: bytes, target: bytes, minor: int, rules: HeadRules) -> _Start:
    """The four forms of a request target (RFC 9112 §3.2)."""
    if target[0] == 47:  # "/"
        path, mark, query = target.partition(b"?")
        return _Start(method, target, normalise(path, rules.path), query if mark else None, minor, None)
    if target == b"*":
        if method != b"OPTIONS":
            raise Malformed("the asterisk form is for OPTIONS only")
        return _Start(method, target, b"*", None, minor, None)
    if method == b"CONNECT":
        if not _AUTHORITY.fullmatch(target):
            raise Malformed("CONNECT wants host:port")
        return _Start(method, target, b"/", None, minor, None)
    found = _ABSOLUTE.fullmatch(target)
    if found is None:
        raise Malformed("not a request target")
    authority, path, query = found.groups()
    if method == b"OPTIONS" and not path and query is None:
        path = b"*"
    normal = path if path == b"*" else normalise(path or b"/", rules.path)
    return _Start(method, target, normal, query[1:] if query is not None else None, minor, authority)


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


_PLAIN_KEEP_ALIVE = frozenset({b"keep-alive", b"Keep-Alive"})


def _check_framing(request: Request) -> None:
    index = request.index
    connection = index.get(b"connection")
    if connection is not None:
        plain = connection in _PLAIN_KEEP_ALIVE and request.minor == 1 and len(index) == len(request.fields)
        if not plain:
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

    __slots__ = ("_lines", "_rules")

    def __init__(self, rules: HeadRules = HeadRules()) -> None:  # noqa: B008 - an immutable tuple
        self._rules = rules
        self._lines: dict[bytes, tuple[int, int, bytes]] = {}

    def read(self, head: bytes, method: bytes) -> Response:
        """The Response of `head` to a `method` request; `head` ends with its empty line. Raises Malformed."""
        line = head[: head.find(b"\r\n")]
        minor, status, reason = self._lines.get(line) or self._start(head, line)
        collector = _Collector()
        try:
            httptools.HttpResponseParser(collector).feed_data(head)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError as error:
            raise _refusal(error) from None
        fields = collector.fields
        rules = self._rules
        if len(fields) > rules.max_fields or len(head) > rules.max_line:
            _check_sizes(fields, rules)
        response = Response(status, fields, reason=reason)
        response.minor = minor
        response.index = index = dict(fields)
        if len(index) != len(fields):
            _check_duplicates(fields)
        length = index.get(b"content-length")
        if length is None or b"transfer-encoding" in index or not length.isdigit() or len(length) > MAX_DIGITS:
            response.length = _response_length(method, response)
        else:
            response.length = 0 if has_no_body(method, status) else int(length)
        return response

    def _start(self, head: bytes, line: bytes) -> tuple[int, int, bytes]:
        found = _STATUS_LINE.match(head)
        if found is None:
            raise Malformed("not an HTTP/1.x status line")
        start = (int(found[1]), int(found[2]), found[3] or b"")
        if len(line) <= MEMORABLE:
            remember(self._lines, line, start)
        return start


def _response_length(method: bytes, response: Response) -> int:
    """The length of the body of `response` to a `method` request (RFC 9112 §6.3). Raises Malformed if it says two."""
    index = response.index
    coding = index.get(b"transfer-encoding")
    length = index.get(b"content-length")
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
