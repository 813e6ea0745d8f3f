"""Message heads: bytes to Request and Response, as strictly as HTTP/1.1 can be read (RFC 9112 §2-6).

llhttp (through httptools) reads the field lines; the start line, the framing and what llhttp is known to let through
are checked here. A reader is given one complete head and a fresh parser each time, so nothing that one message said
can reach the next.
"""

from __future__ import annotations

import re
from typing import NamedTuple, TypeAlias, TypeVar

import httptools

from gateway.http.authority import is_tunnel_target, read_host
from gateway.http.fields import list_tokens, without
from gateway.http.message import CHUNKED, UNTIL_CLOSE, Fields, Malformed, Request, Response
from gateway.http.path import PathRules, normalise
from gateway.http.status import has_no_body

MAX_START_LINE = 16 * 1024
LONGEST_METHOD = 32  # bytes; methods have names, and nobody may make up an endless one
REMEMBERED = 512  # lines, and blocks, kept with what they mean: 3 MB at the most, whatever clients send
LONGEST_LINE = 256  # bytes of a start line that is remembered
LONGEST_BLOCK = 2048  # bytes of a block of field lines that is remembered
_T = TypeVar("_T")
TCHAR = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_REQUEST_LINE = re.compile(rb"(%b{1,%d}) ([\x21\x22\x24-\x7e]+) HTTP/1\.([0-9])\r\n" % (TCHAR, LONGEST_METHOD))
_OTHER_VERSION = re.compile(rb"%b+ [\x21-\x7e]+ HTTP/[02-9]\.[0-9]\r\n" % TCHAR)
# A reader of our field lines sees them below this line: what stands in the first is judged here, and only here.
_ANY_LINE = b"POST / HTTP/1.1"
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*))?\r\n")
_ABSOLUTE = re.compile(rb"(https?://[^/?]*)([^?]*)(\?.*)?", re.IGNORECASE | re.DOTALL)
_DIGITS = re.compile(rb"[0-9]{1,18}")  # of a Content-Length: below 2^63, no reader overflows on it

# RFC 9110 §7.6.1: a connection option never names these; a sender that does wants two readers to disagree.
_NEVER_CONNECTION_OPTION = frozenset({b"content-length", b"host", b"transfer-encoding", b"cache-control"})
# Fields of which two copies make two readers disagree about what the message is, or about whom it is from.
_SINGLE = frozenset({b"content-length", b"expect", b"host", b"max-forwards", b"transfer-encoding"})
_SINGLE_IN_REQUESTS = _SINGLE | {b"authorization", b"content-type"}
# The framing fields without hyphens. What has their letters and an underscore is meant for a reader that obeys it.
_FRAMING_LETTERS = frozenset({b"contentlength", b"transferencoding"})
# Methods that a route may name, so that a slip of the pen is found; requests may have any.
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


_Parser: TypeAlias = type[httptools.HttpRequestParser] | type[httptools.HttpResponseParser]


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


def _read_fields(
    parser: _Parser, head: bytes, rules: HeadRules, single: frozenset[bytes] = _SINGLE
) -> tuple[Fields, dict[bytes, bytes]]:
    """The field lines of `head`, in order and by name. A fresh parser each time: no message reaches the next."""
    collector = _Collector()
    try:
        parser(collector).feed_data(head)
    except httptools.HttpParserUpgrade:
        pass  # the head is whole; whether to upgrade is not the parser's decision
    except httptools.HttpParserError as error:
        raise _refusal(error) from None
    fields = collector.fields
    if len(fields) > rules.max_fields or len(head) > rules.max_line:
        _check_sizes(fields, rules)
    index = dict(fields)
    if len(index) != len(fields):
        _check_duplicates(fields, single)
    return fields, index


class _Start(NamedTuple):
    """A request line, read: `authority` is what an absolute target names, with its scheme, else None."""

    method: bytes
    target: bytes
    path: bytes
    query: bytes | None
    minor: int
    authority: bytes | None


class _Block(NamedTuple):
    """The field lines of a request, read; the attributes of Request that depend on them alone."""

    fields: Fields
    by_name: dict[bytes, bytes]
    authority: bytes
    host: bytes
    length: int
    keep_alive: bool
    upgrade: bytes
    expects_continue: bool
    rendered: dict[frozenset[bytes], tuple[Fields, bytes]]


class RequestHeadReader:
    """Reads request heads under one set of rules.

    Clients say the same again and again: what a request line or a whole block of field lines means is remembered a
    while, by its exact bytes (docs/decisions/0005). Nothing else goes into the meaning, so nothing can go stale.
    """

    __slots__ = ("_blocks", "_lines", "_rules")

    def __init__(self, rules: HeadRules = HeadRules()) -> None:  # noqa: B008 - an immutable tuple
        self._rules = rules
        self._lines: dict[bytes, _Start] = {}
        self._blocks: dict[bytes, _Block] = {}

    def read(self, head: bytes) -> Request:
        """The Request of `head`, which ends with its empty line. Raises Malformed with the status it deserves.

        `fields` and `index` may be shared with other requests: they are replaced, never changed.
        """
        end = head.find(b"\r\n")
        line, block = head[:end], head[end:]
        method, target, path, query, minor, authority = self._lines.get(line) or self._start(head, line)
        facts = self._blocks.get(block) if minor and authority is None else None
        if facts is None:
            facts = self._read_block(block, minor, authority)
        request = Request(method, target, path, query, minor)
        (
            request.fields, request.index, request.authority, request.host, request.length, request.keep_alive,
            request.upgrade, request.expects_continue, request.rendered,
        ) = facts  # fmt: skip
        return request

    def _start(self, head: bytes, line: bytes) -> _Start:
        method, target, minor = request_line(head)
        rules = self._rules
        if len(target) > rules.max_uri:
            raise Malformed("the request target is too long", 414)
        if method != method.upper():  # behind some frameworks "post" is POST, but no rule about POST sees it
            raise Malformed("a method in lower case", 501)
        start = _read_target(method, target, minor, rules)
        if len(line) <= LONGEST_LINE:
            remember(self._lines, line, start)
        return start

    def _read_block(self, block: bytes, minor: int, authority: bytes | None) -> _Block:
        rules = self._rules
        fields, index = _read_fields(httptools.HttpRequestParser, _ANY_LINE + block, rules, _SINGLE_IN_REQUESTS)
        if b"_" in b"".join(index):
            fields = _without_underscores(fields, rules.underscores)
            index = dict(fields)
        named, host = read_host(index.get(b"host"), authority, minor)
        facts = _Block(fields, index, named, host, *_read_framing(fields, index, minor), {})
        if minor and authority is None and len(block) <= LONGEST_BLOCK:
            remember(self._blocks, block, facts)
        return facts


def remember(known: dict[bytes, _T], key: bytes, value: _T) -> None:
    """Keeps a result of a pure function; forgets all when there are too many, so that nobody can fill the memory."""
    if len(known) >= REMEMBERED:
        known.clear()
    known[key] = value


def unreadable(head: bytes) -> Request:
    """What stands for a request that could not be read, in the error reply and in the log: its words, unchecked."""
    words = head[:1024].partition(b"\r\n")[0].split(b" ")
    target = words[1] if len(words) > 1 else b""
    path, mark, query = target.partition(b"?")
    request = Request(words[0][:32], target, path, query if mark else None, 1)
    request.keep_alive = False
    return request


def request_line(head: bytes | bytearray) -> tuple[bytes, bytes, int]:
    """(method, target, minor) of the first line of `head`, which has one. Raises Malformed.

    A minor version that is not known yet is spoken as the highest that is (RFC 9110 §2.5).
    """
    found = _REQUEST_LINE.match(head)
    if found is not None:
        method, target, minor = found.groups()
        return method, target, 0 if minor == b"0" else 1
    if head.find(b"\n") > MAX_START_LINE:
        raise Malformed("the request line is too long", 414)
    if _OTHER_VERSION.match(head):
        raise Malformed("only HTTP/1.0 and HTTP/1.1 are spoken here", 505)
    raise Malformed("not an HTTP request line")


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
        if not is_tunnel_target(target):
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


def _check_duplicates(fields: Fields, single: frozenset[bytes]) -> None:
    seen: set[bytes] = set()
    for name, _value in fields:
        if name in single and name in seen:
            raise Malformed(f"more than one {name.decode()} field")
        seen.add(name)


def _without_underscores(fields: Fields, rule: str) -> Fields:
    """What the rule leaves of `fields`, some of which have an underscore in their name. Raises Malformed."""
    suspects = [name for name, _value in fields if b"_" in name]
    if rule == "reject":
        raise Malformed("a field name with an underscore")
    if not _FRAMING_LETTERS.isdisjoint(name.translate(None, b"-_") for name in suspects):
        raise Malformed("a field name that looks like framing")
    return fields if rule == "keep" else without(fields, set(suspects))


def _read_framing(fields: Fields, index: dict[bytes, bytes], minor: int) -> tuple[int, bool, bytes, bool]:
    """(length, keep_alive, upgrade, expects_continue); RFC 9112 §6.3, §9.3, RFC 9110 §7.8, §10.1.1."""
    keep_alive, upgrade = minor == 1, b""
    if b"connection" in index:
        keep_alive, upgrade = _connection_options(fields, minor)
    coding = index.get(b"transfer-encoding")
    length = index.get(b"content-length")
    size = 0
    if coding is not None:
        if minor == 0:
            raise Malformed("Transfer-Encoding on HTTP/1.0")
        if length is not None:
            raise Malformed("both Transfer-Encoding and Content-Length")
        if coding.lower() != b"chunked":
            *others, last = list_tokens(coding) or [b""]
            unknown = bool(others) and last == b"chunked" and b"chunked" not in others
            raise Malformed("a transfer coding other than chunked", 501 if unknown else 400)
        size = CHUNKED
    elif length is not None:
        if not _DIGITS.fullmatch(length):
            raise Malformed("an invalid Content-Length")
        size = int(length)
    expect = index.get(b"expect")
    if expect is None or minor == 0:
        return size, keep_alive, upgrade, False
    if expect.lower() != b"100-continue":
        raise Malformed("an expectation other than 100-continue", 417)
    return size, keep_alive, upgrade, size != 0


def _connection_options(fields: Fields, minor: int) -> tuple[bool, bytes]:
    """(keep_alive, upgrade) as `Connection` says."""
    options = [token for name, value in fields if name == b"connection" for token in list_tokens(value)]
    if not _NEVER_CONNECTION_OPTION.isdisjoint(options):
        raise Malformed("a connection option that is never one")
    keep_alive = b"close" not in options and (minor == 1 or b"keep-alive" in options)
    if b"upgrade" not in options or minor == 0:
        return keep_alive, b""
    tokens = [token for name, value in fields if name == b"upgrade" for token in list_tokens(value)]
    return keep_alive, tokens[0] if tokens else b""


class _Answer(NamedTuple):
    """A response head, read; `length` is that of the body if the request was not HEAD."""

    status: int
    reason: bytes
    minor: int
    fields: Fields
    by_name: dict[bytes, bytes]
    length: int


class ResponseHeadReader:
    """Reads response heads from an origin that is not trusted. Heads that come again are remembered, as of requests."""

    __slots__ = ("_heads", "_rules")

    def __init__(self, rules: HeadRules = HeadRules()) -> None:  # noqa: B008 - an immutable tuple
        self._rules = rules
        self._heads: dict[bytes, _Answer] = {}

    def read(self, head: bytes, method: bytes) -> Response:
        """The Response of `head` to a `method` request; `head` ends with its empty line. Raises Malformed.

        `fields` and `index` may be shared with other responses: they are replaced, never changed.
        """
        status, reason, minor, fields, index, length = self._heads.get(head) or self._read(head)
        response = Response(status, fields, reason=reason, length=length if method != b"HEAD" else 0)
        response.minor = minor
        response.index = index
        return response

    def _read(self, head: bytes) -> _Answer:
        found = _STATUS_LINE.match(head)
        if found is None:
            raise Malformed("not an HTTP/1.x status line")
        fields, index = _read_fields(httptools.HttpResponseParser, head, self._rules)
        status, minor = int(found[2]), int(found[1])
        answer = _Answer(status, found[3] or b"", minor, fields, index, _response_length(status, minor, index))
        if len(head) <= LONGEST_BLOCK:
            remember(self._heads, head, answer)
        return answer


def _response_length(status: int, minor: int, index: dict[bytes, bytes]) -> int:
    """The length of the body of a response to anything but HEAD (RFC 9112 §6.3). Raises Malformed if it says two."""
    coding = index.get(b"transfer-encoding")
    length = index.get(b"content-length")
    if coding is not None:
        if length is not None:
            raise Malformed("both Transfer-Encoding and Content-Length")
        if minor == 0 or coding.lower() != b"chunked":
            raise Malformed("a transfer coding other than chunked")
    elif length is not None and not _DIGITS.fullmatch(length):
        raise Malformed("an invalid Content-Length")
    if has_no_body(b"GET", status):
        return 0
    if coding is not None:
        return CHUNKED
    return UNTIL_CLOSE if length is None else int(length)
