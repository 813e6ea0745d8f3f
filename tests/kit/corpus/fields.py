"""Host and the field lines: syntax, folding, control characters, counts and sizes.

Part of the request corpus. Host decides the route, so it is one, well-formed, and the same as an absolute target says;
every other line is exactly one field or the request is refused.
"""

from __future__ import annotations

from tests.kit.corpus.case import HOST, Case, Received, accept, either, get, message, refuse

_HOST = "RFC 9112 §3.2"
_FIELD = "RFC 9112 §5"
_GET = b"GET / HTTP/1.1"
_ROOT = Received(b"GET", b"/")

# (name, the Host lines, why)
_HOSTS: tuple[tuple[str, tuple[bytes, ...], str], ...] = (
    ("missing", (), "HTTP/1.1 wants one Host"),
    ("two that differ", (HOST, b"Host: b.example"), "exactly one Host"),
    ("two that agree", (HOST, HOST), "exactly one Host"),
    ("two, the first empty", (b"Host:", HOST), "exactly one Host"),
    ("two in other case", (HOST, b"hOsT: b.example"), "names compare without case"),
    ("list", (b"Host: a.example, b.example",), "not uri-host"),
    ("two names", (b"Host: a.example b.example",), "not uri-host"),
    ("user", (b"Host: user@a.example",), "userinfo is no part of Host"),
    ("user that looks like a host", (b"Host: a.example@b.example",), "userinfo is no part of Host"),
    ("scheme", (b"Host: http://a.example",), "not uri-host"),
    ("path", (b"Host: a.example/x",), "not uri-host"),
    ("query", (b"Host: a.example?x",), "not uri-host"),
    ("fragment", (b"Host: a.example#x",), "not uri-host"),
    ("backslash", (b"Host: a.example\\x",), "not uri-host"),
    ("port with letters", (b"Host: a.example:80x",), "a port is digits"),
    ("port with a sign", (b"Host: a.example:+80",), "a port is digits"),
    ("port too large", (b"Host: a.example:65536",), "a port has 16 bits"),
    ("port of ten digits", (b"Host: a.example:4294967376",), "overflows to 80 in 32 bits"),
    ("two ports", (b"Host: a.example:80:81",), "not uri-host"),
    ("port that smuggles a name", (b"Host: a.example:80@b.example",), "not uri-host"),
    ("port only", (b"Host: :80",), "a host is not empty"),
    ("bracket left open", (b"Host: [::1",), "an IPv6 literal ends with ]"),
    ("bracket never opened", (b"Host: ::1]",), "an IPv6 literal begins with ["),
    ("IPv6 without brackets", (b"Host: ::1",), "an IPv6 literal has brackets"),
    ("text behind brackets", (b"Host: [::1]x",), "only a port may follow"),
    ("name in brackets", (b"Host: [a.example]",), "brackets hold an address"),
    ("dot only", (b"Host: .",), "a host is not empty"),
    ("dot in front", (b"Host: .a.example",), "a label is not empty"),
    ("two dots", (b"Host: a..example",), "a label is not empty"),
    ("address with two gaps", (b"Host: [2001::db8::]",), "not an IPv6 address"),
    ("address of nine groups", (b"Host: [1:2:3:4:5:6:7:8:9]",), "not an IPv6 address"),
    ("address with a zone", (b"Host: [fe80::1%25eth0]",), "a zone means nothing elsewhere"),
    ("IPv6 without brackets, and port", (b"Host: 2001:db8::1:8080",), "an IPv6 literal has brackets"),
    ("NUL", (b"Host: a.example\x00.b.example",), "NUL is never part of a field value"),
    ("tab within", (b"Host: a.\texample",), "not uri-host"),
    ("vertical tab behind", (b"Host: a.example\x0b",), "not uri-host"),
    ("8-bit", (b"Host: \xe4.example",), "to be written as xn--"),
    ("angle brackets", (b"Host: <a.example>",), "not uri-host"),
    ("quotes", (b'Host: "a.example"',), "not uri-host"),
    ("invalid escape", (b"Host: a%zz.example",), "not uri-host"),
    ("CR behind", (b"Host: a.example\r",), "CR alone is refused"),
    ("folded", (b"Host: a.example", b" b.example"), "line folding is refused"),
    ("folded empty", (b"Host:", b" a.example"), "line folding is refused"),
    ("space before colon", (b"Host : a.example",), "no space is allowed before the colon"),
    ("in the second line, LF only", (b"X-Filler: a\nHost: a.example",), "LF alone does not end a line here"),
    ("leading space", (b" Host: a.example",), "white space after the first line"),
)

# (name, lines after Host, why)
_LINES: tuple[tuple[str, tuple[bytes, ...], str], ...] = (
    ("space before colon", (b"X-A : b",), "no space is allowed before the colon"),
    ("tab before colon", (b"X-A\t: b",), "no tab is allowed before the colon"),
    ("space within name", (b"X A: b",), "a field name is a token"),
    ("empty name", (b": b",), "a field name is not empty"),
    ("no colon", (b"X-A",), "a field line has a colon"),
    ("only a colon", (b":",), "a field name is not empty"),
    ("parentheses", (b"X(A): b",), "a field name is a token"),
    ("brackets", (b"X[A]: b",), "a field name is a token"),
    ("braces", (b"X{A}: b",), "a field name is a token"),
    ("slash", (b"X/A: b",), "a field name is a token"),
    ("quotes", (b'"X-A": b',), "a field name is a token"),
    ("comma", (b"X,A: b",), "a field name is a token"),
    ("semicolon", (b"X;A: b",), "a field name is a token"),
    ("equals sign", (b"X=A: b",), "a field name is a token"),
    ("at sign", (b"X@A: b",), "a field name is a token"),
    ("backslash", (b"X\\A: b",), "a field name is a token"),
    ("8-bit name", (b"X-\xc4: b",), "a field name is a token"),
    ("NUL in name", (b"X-\x00A: b",), "a field name is a token"),
    ("DEL in name", (b"X-A\x7f: b",), "a field name is a token"),
    ("vertical tab in name", (b"X-A\x0b: b",), "a field name is a token"),
    ("CR in name", (b"X-\rA: b",), "CR alone is refused"),
    ("LF in name", (b"X-\nA: b",), "LF alone does not end a line here"),
    ("NUL in value", (b"X-A: b\x00c",), "NUL is never part of a field value"),
    ("CR in value", (b"X-A: b\rc",), "CR alone is refused"),
    ("CR behind value", (b"X-A: b\r",), "CR alone is refused"),
    ("LF in value", (b"X-A: b\nX-B: c",), "LF alone does not end a line here"),
    ("control character in value", (b"X-A: b\x01c",), "a value holds no control characters but tab"),
    ("escape character in value", (b"X-A: \x1b[2J",), "a value holds no control characters but tab"),
    ("DEL in value", (b"X-A: b\x7fc",), "a value holds no control characters but tab"),
    ("folded with a space", (b"X-A: b", b" c"), "line folding is refused"),
    ("folded with a tab", (b"X-A: b", b"\tc"), "line folding is refused"),
    ("folded with an empty line", (b"X-A: b", b" "), "line folding is refused"),
    ("folded name", (b"X-A", b" : b"), "a field line has a colon"),
    ("folded cookie", (b"Cookie: a=b;", b" c=d"), "line folding is refused"),
    ("request line again", (_GET,), "a field name is a token"),
    ("CR, then a name", (b"\rZGET /evil: HTTP/1.1",), "CR alone is refused"),
    ("two LF in front of the value", (b"X-A:\n\nGET / HTTP/1.1",), "LF alone does not end a line here"),
    ("two Content-Type", (b"Content-Type: text/plain", b"Content-Type: text/html"), "one body has one type"),
    ("two Authorization", (b"Authorization: Basic eA==", b"Authorization: Basic eQ=="), "one request is from one"),
    ("101 fields", tuple(b"X-%d: a" % number for number in range(100)), "at most 100 fields with Host: 431"),
    ("5,000 fields", tuple(b"X-%d: a" % number for number in range(5000)), "at most 100 fields: 431"),
    ("20 KiB in one line", (b"X-A: " + b"a" * 20_000,), "at most 16 KiB a line: 431"),
    ("20 KiB of name", (b"X-" + b"a" * 20_000 + b": b",), "at most 16 KiB a line: 431"),
    ("40 KiB in three lines", tuple(b"X-%d: " % number + b"a" * 14_000 for number in range(3)),
     "at most 32 KiB a head: 431"),
    ("100 KiB in one line", (b"X-A: " + b"a" * 102_400,), "at most 16 KiB a line: 431"),
    ("100 KiB of spaces", (b"X-A:" + b" " * 102_400 + b"b",), "at most 16 KiB a line: 431"),
)  # fmt: skip

# (name, value of Host, why it is legitimate)
_GOOD_HOSTS: tuple[tuple[str, bytes, str], ...] = (
    ("port", b"a.example:8080", "a port may follow"),
    ("capitals", b"A.Example", "hosts compare without case"),
    ("one label", b"localhost", "a name needs no dot"),
    ("digit in front", b"1.a.example", "allowed since RFC 1123"),
    ("IPv4", b"192.0.2.1", "an address is a host"),
    ("IPv4 and port", b"192.0.2.1:80", "an address is a host"),
    ("IPv6", b"[2001:db8::1]", "an address in brackets is a host"),
    ("IPv6 and port", b"[2001:db8::1]:8443", "an address in brackets is a host"),
    ("punycode", b"xn--4ca.example", "an internationalised name as it is sent"),
    ("trailing dot", b"a.example.", "the absolute form of a name"),
    ("underscore", b"my_app.example", "reg-name allows it, and it is seen"),
    ("63 letters in a label", b"a" * 63 + b".example", "the longest label"),
    ("hyphens", b"a--b.example", "names have them"),
    ("IPv6 with an IPv4 tail", b"[::ffff:192.0.2.1]", "an address in brackets is a host"),
    ("equals sign", b"0.0.0.0=5000", "reg-name allows it"),
    ("empty port", b"a.example:", "*DIGIT may be none"),
)


def _promised(why: str) -> int:
    """The status that `why` promises, else any refusal will do."""
    return 431 if why.endswith("431") else 0


def _hosts() -> list[Case]:
    absolute = b"GET http://a.example/x HTTP/1.1"
    cases = [
        refuse(f"host: {name}", message(_GET, *lines), why, _HOST, 400 if name == "missing" else 0)
        for name, lines, why in _HOSTS
    ]
    cases += [
        accept(f"host: {name}", message(_GET, b"Host: " + value), why, _HOST, _ROOT) for name, value, why in _GOOD_HOSTS
    ]
    cases += [
        refuse("host: absolute target and no Host", message(absolute), "HTTP/1.1 wants one Host", _HOST),
        refuse("host: absolute target and another Host", message(absolute, b"Host: b.example"),
               "they must agree (house §7.1)", _HOST),
        refuse("host: absolute target and an empty Host", message(absolute, b"Host:"),
               "they must agree (house §7.1)", _HOST),
        refuse("host: absolute target and two Hosts", message(absolute, HOST, b"Host: b.example"),
               "exactly one Host", _HOST),
        refuse("host: HTTP/1.0 and two Hosts", message(b"GET / HTTP/1.0", HOST, b"Host: b.example"),
               "exactly one Host", _HOST),
        accept("host: last of the fields", message(_GET, b"Accept: */*", HOST), "order does not matter", _HOST, _ROOT),
        accept("host: white space around", message(_GET, b"Host: \t a.example \t"), "it is no part of the value",
               "RFC 9112 §5.1", _ROOT),
        accept("host: no white space", message(_GET, b"Host:a.example"), "it is optional", "RFC 9112 §5.1", _ROOT),
        either("host: empty", message(_GET, b"Host:"), "allowed only where a target has no authority", _HOST, _ROOT),
        either("host: port zero", message(_GET, b"Host: a.example:0"), "digits, but no port", _HOST, _ROOT),
        either("host: port with zeros", message(_GET, b"Host: a.example:00080"), "*DIGIT", "RFC 3986 §3.2.3", _ROOT),
        accept("host: empty port is not passed on", message(_GET, b"Host: b.example:"), "*DIGIT may be none",
               "RFC 3986 §3.2.3", Received(b"GET", b"/", fields=((b"host", b"b.example"),))),
        either("host: escape", message(_GET, b"Host: a%2eexample"), "reg-name allows it", "RFC 3986 §3.2.2", _ROOT),
        either("host: sub-delims", message(_GET, b"Host: a!b'c.example"), "reg-name allows it", "RFC 3986 §3.2.2",
               _ROOT),
        either("host: of 300 letters", message(_GET, b"Host: " + b"a." * 150), "longer than any name in DNS",
               "RFC 1035 §2.3.4", _ROOT),
    ]  # fmt: skip
    return cases


def _first_lines() -> list[Case]:
    """White space where a reader might skip a line, and lines others would attach to another."""
    return [
        refuse("field: space after the first line", message(_GET, b" X-A: b", HOST),
               "white space between first line and fields", "RFC 9112 §2.2", 400),
        refuse("field: tab after the first line", message(_GET, b"\tX-A: b", HOST),
               "white space between first line and fields", "RFC 9112 §2.2", 400),
        refuse("field: empty line of spaces after the first line", message(_GET, b"  ", HOST),
               "white space between first line and fields", "RFC 9112 §2.2", 400),
        refuse("field: end of head with LF", b"GET / HTTP/1.1\r\nHost: a.example\n\r\n",
               "LF alone does not end a line here", "RFC 9112 §2.2"),
        refuse("field: end of head with LF LF", b"GET / HTTP/1.1\r\nHost: a.example\r\n\nGET /x HTTP/1.1\r\n\r\n",
               "LF alone does not end a line here", "RFC 9112 §2.2"),
        refuse("field: end of head with CR", b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\r\n", "CR alone is refused",
               "RFC 9112 §2.2"),
        refuse("field: target of 10 KiB", get(target=b"/" + b"a" * 10_240), "at most 8 KiB of target: 414",
               "RFC 9110 §15.5.15", 414),
        refuse("field: query of 10 KiB", get(target=b"/?" + b"a" * 10_240), "at most 8 KiB of target: 414",
               "RFC 9110 §15.5.15", 414),
        refuse("field: target of 100 KiB", get(target=b"/" + b"a" * 102_400), "at most 8 KiB of target",
               "RFC 9110 §15.5.15"),
        accept("field: target of 8 KiB", get(target=b"/" + b"a" * 8191), "RFC 9112 §3 asks for 8000 octets at least",
               "RFC 9112 §3", Received(b"GET", b"/" + b"a" * 8191)),
        accept("field: 100 fields", get(*(b"X-%d: a" % number for number in range(99))), "the limit itself",
               _FIELD, _ROOT),
        accept("field: 15 KiB in one line", get(b"Cookie: " + b"a" * 15_360), "below the limit", _FIELD, _ROOT),
    ]  # fmt: skip


CASES: tuple[Case, ...] = (
    *_hosts(),
    *(refuse(f"field: {name}", get(*lines), why, _FIELD, _promised(why)) for name, lines, why in _LINES),
    *_first_lines(),
)
