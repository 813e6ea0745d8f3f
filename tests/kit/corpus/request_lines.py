"""The first line: method, target and version in every form that is not one, and targets of every form that is.

Part of the request corpus. What a reader takes for the target decides which rules match, so whatever can be cut in two
ways is refused.
"""

from __future__ import annotations

from tests.kit.corpus.case import HOST, Case, Received, accept, either, message, refuse

_LINE = "RFC 9112 §3"
_TARGET = "RFC 9112 §3.2"
_VERSION = "RFC 9112 §2.3"

# (name, first line, why)
_LINES: tuple[tuple[str, bytes, str], ...] = (
    ("two spaces before target", b"GET  / HTTP/1.1", "exactly one space"),
    ("two spaces before version", b"GET /  HTTP/1.1", "exactly one space"),
    ("tab before target", b"GET\t/ HTTP/1.1", "a space, not a tab"),
    ("tab before version", b"GET /\tHTTP/1.1", "a space, not a tab"),
    ("vertical tab before version", b"GET /\x0bHTTP/1.1", "a space, not VT"),
    ("form feed before target", b"GET\x0c/ HTTP/1.1", "a space, not FF"),
    ("no-break space", b"GET\xa0/ HTTP/1.1", "a space, not 0xA0"),
    ("leading space", b" GET / HTTP/1.1", "a method comes first"),
    ("leading tab", b"\tGET / HTTP/1.1", "a method comes first"),
    ("trailing space", b"GET / HTTP/1.1 ", "CRLF follows the version"),
    ("trailing tab", b"GET / HTTP/1.1\t", "CRLF follows the version"),
    ("trailing CR", b"GET / HTTP/1.1\r", "CR alone is refused"),
    ("CR between", b"GET /\rHTTP/1.1", "CR alone is refused"),
    ("LF between", b"GET / \nHTTP/1.1", "LF alone does not end a line here"),
    ("NUL in front", b"\x00GET / HTTP/1.1", "a method is a token"),
    ("byte order mark in front", b"\xef\xbb\xbfGET / HTTP/1.1", "a method is a token"),
    ("no target", b"GET HTTP/1.1", "three parts"),
    ("empty target", b"GET  HTTP/1.1", "a target is not empty"),
    ("no method", b"/ HTTP/1.1", "three parts"),
    ("empty method", b" / HTTP/1.1", "a method is not empty"),
    ("method only", b"GET", "three parts"),
    ("four parts", b"GET / HTTP/1.1 HTTP/1.1", "three parts"),
    ("space in target", b"GET /a b HTTP/1.1", "three parts"),
    ("two targets", b"GET / /admin HTTP/1.1", "three parts"),
    ("version in target", b"GET / HTTP/1.1/admin HTTP/1.1", "three parts"),
    ("a status line", b"HTTP/1.1 200 OK", "a response is no request"),
    ("lower-case method", b"get / HTTP/1.1", "methods are case-sensitive, and some origins do not know"),
    ("mixed-case method", b"Get / HTTP/1.1", "methods are case-sensitive, and some origins do not know"),
    ("method with parentheses", b"(GET) / HTTP/1.1", "a method is a token"),
    ("quoted method", b'"GET" / HTTP/1.1', "a method is a token"),
    ("method with NUL", b"GE\x00T / HTTP/1.1", "a method is a token"),
    ("method with a control character", b"GET\x01 / HTTP/1.1", "a method is a token"),
    ("8-bit method", b"G\xc9T / HTTP/1.1", "a method is a token"),
    ("method with a colon", b"GET: / HTTP/1.1", "a method is a token"),
    ("method with a comma", b"GET, / HTTP/1.1", "a method is a token"),
    ("method of 10 KB", b"G" * 10_000 + b" / HTTP/1.1", "methods are bounded"),
    ("method of 100 KB", b"G" * 100_000 + b" / HTTP/1.1", "methods are bounded"),
    ("CONNECT", b"CONNECT a.example:443 HTTP/1.1", "a gateway is no tunnel for its clients"),
    ("CONNECT with a path", b"CONNECT / HTTP/1.1", "CONNECT wants host:port"),
    ("CONNECT without a port", b"CONNECT a.example HTTP/1.1", "CONNECT wants host:port"),
    ("method of 33 letters", b"G" * 33 + b" / HTTP/1.1", "methods are bounded"),
    ("TRACE", b"TRACE / HTTP/1.1", "TRACE shows what was added on the way"),
)

# (name, version, why)
_VERSIONS: tuple[tuple[str, bytes, str], ...] = (
    ("0.9 spelt out", b"HTTP/0.9", "only 1.0 and 1.1 are spoken here"),
    ("0.8", b"HTTP/0.8", "only 1.0 and 1.1 are spoken here"),
    ("10.0", b"HTTP/10.0", "one digit before the point"),
    ("of 10 digits", b"HTTP/4294967297.1", "one digit before the point"),
    ("2.0", b"HTTP/2.0", "HTTP/2 does not begin like this"),
    ("3.0", b"HTTP/3.0", "HTTP/3 does not begin like this"),
    ("9.9", b"HTTP/9.9", "only 1.0 and 1.1 are spoken here"),
    ("lower case", b"http/1.1", "HTTP-name is case-sensitive"),
    ("mixed case", b"Http/1.1", "HTTP-name is case-sensitive"),
    ("one number", b"HTTP/1", "two digits and a point"),
    ("one number and a point", b"HTTP/1.", "two digits and a point"),
    ("three numbers", b"HTTP/1.1.1", "two digits and a point"),
    ("two digits behind", b"HTTP/1.10", "one digit behind the point"),
    ("zero in front", b"HTTP/01.1", "one digit before the point"),
    ("zero behind", b"HTTP/1.01", "one digit behind the point"),
    ("comma", b"HTTP/1,1", "a point"),
    ("no slash", b"HTTP1.1", "a slash"),
    ("space before slash", b"HTTP /1.1", "three parts"),
    ("space behind slash", b"HTTP/ 1.1", "three parts"),
    ("letter", b"HTTP/1.x", "digits"),
    ("sign", b"HTTP/+1.1", "digits"),
    ("text behind", b"HTTP/1.1x", "CRLF follows the version"),
    ("NUL behind", b"HTTP/1.1\x00", "CRLF follows the version"),
    ("full-width digit", "HTTP/1.\uff11".encode(), "ASCII digits"),
    ("RTSP", b"RTSP/1.0", "another protocol"),
    ("ICE", b"ICE/1.0", "another protocol"),
    ("SIP", b"SIP/2.0", "another protocol"),
    ("HTTPS", b"HTTPS/1.1", "another protocol"),
)

# (name, target, why): for GET
_TARGETS: tuple[tuple[str, bytes, str], ...] = (
    ("fragment", b"/a#b", "a fragment is never sent"),
    ("fragment only", b"#", "a target begins with a slash, a scheme or a star"),
    ("fragment in query", b"/a?b#c", "a fragment is never sent"),
    ("NUL", b"/a\x00b", "control characters are refused"),
    ("control character", b"/a\x01b", "control characters are refused"),
    ("DEL", b"/a\x7fb", "control characters are refused"),
    ("8-bit byte", b"/a\xffb", "not ASCII: to be percent-encoded"),
    ("raw UTF-8", "/größe".encode(), "not ASCII: to be percent-encoded"),
    ("asterisk with GET", b"*", "the asterisk form is for OPTIONS"),
    ("asterisk and a path", b"*/a", "not a target"),
    ("no slash", b"a", "a target begins with a slash, a scheme or a star"),
    ("dot", b".", "a target begins with a slash, a scheme or a star"),
    ("dots in front", b"../a", "a target begins with a slash, a scheme or a star"),
    ("query only", b"?a=b", "a target begins with a slash, a scheme or a star"),
    ("semicolon in front", b";/a", "a target begins with a slash, a scheme or a star"),
    ("backslash in front", b"\\a", "a target begins with a slash, a scheme or a star"),
    ("at sign in front", b"@b.example/", "spliced into a URL it would change the host"),
    ("colon in front", b":80/", "spliced into a URL it would change the port"),
    ("authority form", b"a.example:80", "for CONNECT only"),
    ("host without a scheme", b"a.example/x", "a target begins with a slash, a scheme or a star"),
    ("another host", b"http://b.example/", "Host and target disagree (house §7.1)"),
    ("another port", b"http://a.example:81/", "Host and target disagree (house §7.1)"),
    ("user", b"http://user@a.example/", "userinfo hides the host"),
    ("user that looks like the host", b"http://a.example@b.example/", "userinfo hides the host"),
    ("user and password", b"http://u:p@a.example/", "userinfo hides the host"),
    ("empty host", b"http:///x", "an http URL has a host"),
    ("no host", b"http://", "an http URL has a host"),
    ("one slash", b"http:/a.example/", "an authority follows //"),
    ("no slashes", b"http:a.example", "an authority follows //"),
    ("port only", b"http://:80/", "an http URL has a host"),
    ("port with a letter", b"http://a.example:8o/", "a port is digits"),
    ("backslash in the host", b"http://a.example\\@b.example/", "a host holds no backslash"),
    ("ftp", b"ftp://a.example/x", "another scheme"),
    ("file", b"file:///etc/passwd", "another scheme"),
    ("javascript", b"javascript:alert(1)", "another scheme"),
    ("scheme-relative with a backslash", b"/\\b.example", "a backslash is read as a slash by some"),
    ("invalid escape", b"/a%zz", "an escape is two hexadecimal digits"),
    ("cut escape", b"/a%4", "an escape is two hexadecimal digits"),
    ("percent at the end", b"/a%", "an escape is two hexadecimal digits"),
    ("escaped NUL", b"/a%00b", "ends a string in some readers"),
)


def _first_line(line: bytes) -> bytes:
    return message(line, HOST)


def _accepted() -> list[Case]:
    root, found = Received(b"GET", b"/"), Received(b"GET", b"/x?y=z")
    same = "RFC 9112 §3.2.2"
    return [
        accept("line: absolute form", _first_line(b"GET http://a.example/x?y=z HTTP/1.1"), "a server takes it", same,
               found),
        accept("line: absolute form without a path", _first_line(b"GET http://a.example HTTP/1.1"), "path is /", same,
               root),
        accept("line: absolute form, scheme and host in capitals", _first_line(b"GET HTTP://A.EXAMPLE/x?y=z HTTP/1.1"),
               "both compare without case", same, found),
        accept("line: absolute form, query without a path", _first_line(b"GET http://a.example?y=z HTTP/1.1"),
               "path is /", same, Received(b"GET", b"/?y=z")),
        accept("line: OPTIONS *", _first_line(b"OPTIONS * HTTP/1.1"), "the asterisk form", "RFC 9112 §3.2.4",
               Received(b"OPTIONS", b"*")),
        accept("line: OPTIONS of an authority", _first_line(b"OPTIONS http://a.example HTTP/1.1"),
               "the last proxy sends *", "RFC 9112 §3.2.4", Received(b"OPTIONS", b"*")),
        accept("line: HTTP/1.0 with Host", message(b"GET / HTTP/1.0", HOST), "1.0 is still spoken", _VERSION, root),
        accept("line: HTTP/1.0 without Host", message(b"GET / HTTP/1.0"), "1.0 did not know Host", _VERSION, root),
        accept("line: one empty line in front", b"\r\n" + _first_line(b"GET / HTTP/1.1"), "forgiven", "RFC 9112 §2.2",
               root),
        accept("line: four empty lines in front", b"\r\n" * 4 + _first_line(b"GET / HTTP/1.1"), "forgiven",
               "RFC 9112 §2.2", root),
        accept("line: HTTP/1.2", _first_line(b"GET / HTTP/1.2"), "spoken as the highest minor version that is known",
               "RFC 9110 §2.5", root),
        accept("line: HTTP/1.9", _first_line(b"GET / HTTP/1.9"), "spoken as the highest minor version that is known",
               "RFC 9110 §2.5", root),
        accept("line: absolute form, default port", _first_line(b"GET http://a.example:80/x?y=z HTTP/1.1"),
               "the same authority", "RFC 9110 §4.2.3", found),
        accept("line: absolute form, default port in Host", message(
            b"GET http://a.example/x?y=z HTTP/1.1", b"Host: a.example:80"), "the same authority", "RFC 9110 §4.2.3",
            found),
        accept("line: absolute form, empty port", _first_line(b"GET http://a.example:/x?y=z HTTP/1.1"),
               "the same authority", "RFC 9110 §4.2.3", found),
        accept("line: absolute form, IPv6", message(
            b"GET http://[2001:db8::1]:8080/x?y=z HTTP/1.1", b"Host: [2001:db8::1]:8080"), "a server takes it", same,
            found),
        accept("line: absolute form on HTTP/1.0, no Host", message(b"GET http://a.example/x?y=z HTTP/1.0"),
               "the target says it", same, Received(b"GET", b"/x?y=z", fields=((b"host", b"a.example"),))),
        refuse("line: absolute form, default port of the other scheme", _first_line(b"GET http://a.example:443/ HTTP/1.1"),
               "they must agree (house §7.1)", same),
        either("line: https target on a plain connection", _first_line(b"GET https://a.example/ HTTP/1.1"),
               "another scheme than the connection's", "RFC 9110 §7.4", root),
        refuse("line: nine empty lines in front", b"\r\n" * 9 + _first_line(b"GET / HTTP/1.1"), "a few are forgiven",
               "RFC 9112 §2.2"),
        refuse("line: LF in front", b"\n" + _first_line(b"GET / HTTP/1.1"), "CRLF is forgiven, LF is not",
               "RFC 9112 §2.2"),
        refuse("line: ten thousand empty lines in front", b"\r\n" * 10_000 + _first_line(b"GET / HTTP/1.1"),
               "a flood that never becomes a request", "RFC 9112 §2.2"),
        refuse("line: CR in front", b"\r" + _first_line(b"GET / HTTP/1.1"), "CR alone is refused", "RFC 9112 §2.2"),
        refuse("line: HTTP/0.9", b"GET /\r\n", "only 1.0 and 1.1 are spoken here", _VERSION),
        refuse("line: HTTP/0.9 with a space", b"GET / \r\n\r\n", "only 1.0 and 1.1 are spoken here", _VERSION),
        refuse("line: LF ends every line", b"GET / HTTP/1.1\nHost: a.example\n\n", "CRLF ends a line here",
               "RFC 9112 §2.2"),
        refuse("line: LF ends the first line", b"GET / HTTP/1.1\nHost: a.example\r\n\r\n", "CRLF ends a line here",
               "RFC 9112 §2.2"),
        refuse("line: CR ends every line", b"GET / HTTP/1.1\rHost: a.example\r\r", "CR alone is refused",
               "RFC 9112 §2.2"),
        refuse("line: HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
               "no HTTP/2 without ALPN", "RFC 9113 §3.4"),
        refuse("line: TLS on a plain port", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + bytes(154),
               "a ClientHello is no request", _LINE),
        refuse("line: PROXY header nobody asked for", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"
               + _first_line(b"GET / HTTP/1.1"), "only configured peers may send one", _LINE),
        refuse("line: CONNECT with a body", message(
            b"CONNECT a.example:443 HTTP/1.1", HOST, b"Content-Length: 5", body=b"hello"),
            "the body would become tunnel bytes", "RFC 9110 §9.3.6", 405),
    ]  # fmt: skip


CASES: tuple[Case, ...] = (
    *(refuse(f"line: {name}", _first_line(line), why, _LINE) for name, line, why in _LINES),
    *(refuse(f"version: {name}", _first_line(b"GET / " + version), why, _VERSION) for name, version, why in _VERSIONS),
    *(refuse(f"target: {name}", _first_line(b"GET " + target + b" HTTP/1.1"), why, _TARGET)
      for name, target, why in _TARGETS),
    *_accepted(),
)  # fmt: skip
