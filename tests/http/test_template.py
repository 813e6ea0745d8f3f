"""Templates: variables of an exchange in fields and URIs, and nothing that leaves its place."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.template import VARIABLES, compile_field, compile_uri, find_variable, split_template, uri_bytes
from tests.kit.exchanges import make_exchange, make_tls


def field(text: str, line: str = "GET /", *fields: str) -> bytes:
    """`text` rendered as a field value."""
    return compile_field(text).render(make_exchange(line, "Shop.example.com:8080", *fields))


def uri(text: str, line: str = "GET /", *fields: str) -> bytes:
    """`text` rendered as a URI."""
    return compile_uri(text).render(make_exchange(line, "Shop.example.com:8080", *fields))


def test_constants_stay_constants() -> None:
    """A text without variables is known at load."""
    template = compile_field("max-age=60")
    assert (template.constant, template.variables) == (b"max-age=60", ())
    assert template.render(None) == b"max-age=60"
    assert compile_field("").constant == b""
    assert compile_field("$5 {a} $${host}").constant == b"$5 {a} ${host}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${host}", b"shop.example.com"),
        ("${authority}", b"Shop.example.com:8080"),
        ("${path}", b"/a/b"),
        ("${query}", b"x=1&y"),
        ("${uri}", b"/a/b?x=1&y"),
        ("${method}", b"GET"),
        ("${scheme}", b"http"),
        ("${client} via ${peer}", b"192.0.2.7 via 192.0.2.7"),
        ("${listener}", b":80"),
        ("<${request_id}>", b"<id-1>"),
        ("${route}/${upstream}", b"shop/app"),
        ("${country}${tier}", b""),
        ("${header:X-A}", b"1, 2"),
        ("${header:x-none}", b""),
        ("${cookie:b}", b"2"),
        ("${cookie:c}", b"x=y"),
        ("${cookie:d}", b""),
        ("${tls_version}${tls_client_subject}", b""),
    ],
)
def test_variables(text: str, expected: bytes) -> None:
    """Each variable, from a request that has it."""
    fields = ("X-A: 1", "X-A: 2", "Cookie: a=1; b=2", "Cookie: b=3; c=x=y; d")
    assert field(text, "GET /a/b?x=1&y", *fields) == expected


def test_tls_variables() -> None:
    """TLS facts; a client certificate counts only when it was verified."""
    exchange = make_exchange()
    text = "${tls_version} ${tls_cipher} ${tls_server_name} ${tls_ja4} [${tls_client_subject}] ${tls_client_serial}"
    exchange.connection.tls = make_tls()
    expected = b"TLSv1.3 TLS_AES_128_GCM_SHA256 example.com t13d [CN=ann,O=Ex] 0a"
    assert compile_field(text).render(exchange) == expected
    assert compile_field("${tls_client_fingerprint}").render(exchange) == b"ab" * 32
    for certificate in (False, None):
        exchange.connection.tls = make_tls(verified=certificate)
        assert compile_field("[${tls_client_subject}${tls_client_fingerprint}]").render(exchange) == b"[]"


def test_every_variable_renders_on_a_bare_exchange() -> None:
    """Nothing is assumed to be there: no route, no TLS, no fields."""
    exchange = make_exchange("GET /", None)
    exchange.route = None  # type: ignore[assignment]
    for name, variable in VARIABLES.items():
        assert isinstance(compile_field(f"${{{name}}}").render(exchange), bytes)
        assert variable.help


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("${hots}", "did you mean ${host}?"),
        ("${request-id}", "did you mean ${request_id}?"),
        ("${}", "Known are host,"),
        ("${zzzzzz}", "Known are host,"),
        ("${header:a b}", "is not a field name"),
        ("${cookie:}", "is not a cookie name"),
        ("a ${host", "no closing brace"),
        ("a\r\nb", "line ends"),
        ("a\x00b", "line ends"),
        ("a\x7fb", "line ends"),
    ],
)
def test_slips(text: str, advice: str) -> None:
    """Each message names the slip, and the nearest variable."""
    with pytest.raises(ValueError, match=re.escape(advice)):
        compile_field(text)


def test_pieces() -> None:
    """Constants are joined, escapes read, variables kept apart."""
    assert split_template("a$${b}${host}c${path}") == [("a${b}", False), ("host", True), ("c", False), ("path", True)]
    assert find_variable("header:X").read(make_exchange("GET /", "h", "X: 1")) == b"1"


@given(st.binary(max_size=40))
def test_no_value_can_end_a_field(value: bytes) -> None:
    """Whatever bytes a filter or a client put into the exchange, no control character but HTAB comes out."""
    exchange = make_exchange()
    exchange.id = exchange.request.path = exchange.request.query = value
    exchange.request.index[b"x"] = value
    exchange.request.fields.append((b"x", value))
    exchange.connection.tls = make_tls()._replace(server_name=value.decode("latin-1"))
    for name in ("request_id", "path", "query", "uri", "header:x", "tls_server_name"):
        rendered = compile_field(f"a${{{name}}}b").render(exchange)
        assert not set(rendered) & (set(range(9)) | set(range(10, 32)) | {127})


@given(st.binary(max_size=40))
def test_no_value_adds_to_a_uri_what_it_may_not_hold(value: bytes) -> None:
    """RFC 3986 characters and whole escapes only; a field or cookie adds no separator at all."""
    exchange = make_exchange()
    exchange.request.path = exchange.request.query = exchange.request.host = value
    exchange.request.index[b"x"] = value
    exchange.request.fields.append((b"x", value))
    legal = rb"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*"
    for name in ("path", "query", "uri"):
        assert re.fullmatch(legal, compile_uri(f"${{{name}}}").render(exchange))
    assert re.fullmatch(rb"(?:[A-Za-z0-9._~:\[\]-]|%[0-9A-F]{2})*", compile_uri("${host}").render(exchange))
    assert re.fullmatch(rb"(?:[A-Za-z0-9._~-]|%[0-9A-F]{2})*", compile_uri("${header:x}").render(exchange))


def test_uri_constants_and_values() -> None:
    """Constants are escaped once; whole escapes stay, halves do not; text values lose their separators."""
    assert compile_uri("/é [x]#f").constant == b"/%C3%A9%20[x]#f"
    assert uri("https://${host}${path}", "GET /a%20b") == b"https://shop.example.com/a%20b"
    assert uri("/x?next=${header:to}", "GET /", "To: /a&b=c d") == b"/x?next=%2Fa%26b%3Dc%20d"
    assert uri("https://${authority}/") == b"https://Shop.example.com:8080/"
    assert uri_bytes(b"/a%2F%zz\xff[") == b"/a%2F%25zz%FF%5B"
