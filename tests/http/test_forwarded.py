"""Forwarded and X-Forwarded-For: read from the right, written so that it can be read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.forwarded import (
    LONGEST_ELEMENT,
    MOST_BYTES,
    MOST_ELEMENTS,
    ForwardedElement,
    format_element,
    format_node,
    forwarded_from_right,
    list_from_right,
    parse_element,
    quote,
)


def nodes(*values: bytes) -> list[bytes | None]:
    return [None if element is None else element.node for element in forwarded_from_right(values)]


@pytest.mark.parametrize(
    ("text", "element"),
    [
        (b"for=192.0.2.60;proto=http;by=203.0.113.43", ForwardedElement(b"192.0.2.60", b"203.0.113.43", b"", b"http")),
        (b'For="[2001:db8:cafe::17]:4711"', ForwardedElement(b"[2001:db8:cafe::17]:4711")),
        (b"for=192.0.2.43; proto=https", ForwardedElement(b"192.0.2.43", proto=b"https")),
        (b'for="_gazonk"', ForwardedElement(b"_gazonk")),
        (b"for=1.2.3.4:80", ForwardedElement(b"1.2.3.4:80")),
        (b'for=a;host="a\\"b\\\\c"', ForwardedElement(b"a", host=b'a"b\\c')),
        (b"secret=x;for=a", ForwardedElement(b"a")),
        (b'host=""', ForwardedElement()),
    ],
)
def test_elements(text: bytes, element: ForwardedElement) -> None:
    """The examples of RFC 7239 §4, and what proxies in the field write."""
    assert parse_element(text) == element


@pytest.mark.parametrize(
    "text",
    [
        b"", b" ", b"for", b"for=", b"=a", b"for=a;", b";for=a", b"for=a;for=b", b"for=a;FOR=b", b"for=a b", b'for="a',
        b'for=a"', b'for="a"b', b"for =a", b"for= a=b", b"for=a,for=b", b"for=\xff", b'for="\x00"', b'for="\\\x7f"',
        b"for=a\nb", b"for=(a)",
    ],
)  # fmt: skip
def test_what_is_no_element(text: bytes) -> None:
    """Anything ambiguous is refused as a whole."""
    assert parse_element(text) is None


def test_several_fields_are_one_list_from_the_right() -> None:
    """Order of lines, then order in the line; empty elements count for nothing."""
    assert nodes(b"for=a, for=b", b"for=c,, for=d ,") == [b"d", b"c", b"b", b"a"]
    assert nodes(b"") == []
    assert nodes() == []


@pytest.mark.parametrize(
    "forged",
    [
        b'for="', b'x="', b"for=6.6.6.6, x=\"", b'for="1.1.1.1, for=6.6.6.6;x="', b"for=6.6.6.6;", b"for=", b'"', b"\\",
        b'for="\\', b"=", b'for=6.6.6.6;x="a, b', b",,,", b'x="a\\"',
    ],
)  # fmt: skip
@pytest.mark.parametrize("written", [b"for=9.9.9.9", b'for="[2001:db8::9]"', b'by=x;for="[2001:db8::9]:1";host="a:1"'])
def test_a_client_cannot_swallow_what_a_proxy_appended(forged: bytes, written: bytes) -> None:
    """Whatever bytes stand to the left, the proxy's own element is the first that is read."""
    element = parse_element(written)
    assert next(forwarded_from_right([forged + b", " + written])) == element
    assert next(forwarded_from_right([forged, written])) == element


def test_a_comma_in_quotes_separates_nothing() -> None:
    """The shortest tail that is an element is taken, and a quoted comma leaves none."""
    assert nodes(b'for=a;host="x,y", for=b;host="p,q,r"') == [b"b", b"a"]
    assert nodes(b"for=a, nonsense, for=b") == [b"b", None]


def test_reading_is_bounded() -> None:
    """A field of commas, of elements or of bytes ends the reading, and says so."""
    assert nodes(b"for=a," * 1000)[-1] is None
    assert len(nodes(b"for=a," * 1000)) <= MOST_ELEMENTS + 1
    assert nodes(b"x," * 2000) == [None]
    assert nodes(b"for=a;x=" + b"y" * LONGEST_ELEMENT) == [None]
    long = b"for=a;x=" + b"y" * 400
    assert len(nodes(b", ".join([long] * 20))) <= MOST_BYTES // 400 + 1


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([b"a, b,c"], [b"c", b"b", b"a"]),
        ([b"a", b"b , c"], [b"c", b"b", b"a"]),
        ([b",, a ,\t,"], [b"a"]),
        ([b""], []),
        ([], []),
    ],
)
def test_lists_from_the_right(values: list[bytes], found: list[bytes]) -> None:
    """Lines are joined in order and read backwards; empty elements are skipped."""
    assert list(list_from_right(values)) == found


def test_lists_are_bounded() -> None:
    """No more than so many elements, and never half of one that was cut."""
    assert len(list(list_from_right([b"1.1.1.1," * 1000]))) <= MOST_ELEMENTS
    assert list(list_from_right([b"9" * MOST_BYTES + b"1.1.1.1, 2.2.2.2"])) == [b"2.2.2.2"]
    assert list(list_from_right([b"1" * (MOST_BYTES + 10)])) == []


def test_nodes_and_quotes_are_written_as_the_grammar_asks() -> None:
    """IPv6 in brackets and quotes, tokens bare, quotes and backslashes escaped."""
    assert format_node("192.0.2.1") == b"192.0.2.1"
    assert format_node("") == b"unknown"
    element = ForwardedElement(format_node("2001:db8::1"), b"", b"h:1", b"https")
    assert format_element(element) == b'for="[2001:db8::1]";host="h:1";proto=https'
    assert quote(b'a"\\') == b'"a\\"\\\\"'
    assert quote(b"") == b'""'


_TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20).map(str.encode)
_ELEMENTS = st.builds(ForwardedElement, _TEXT, _TEXT, _TEXT, _TEXT).filter(any)


@given(_ELEMENTS)
def test_an_element_comes_back_as_it_was_written(element: ForwardedElement) -> None:
    """parse(format(x)) is x, whatever printable text its parameters hold."""
    assert parse_element(format_element(element)) == element


# A list is unambiguous from the right when no quoted text looks like the end of another element.
_PLAIN = st.text("abc0123456789.:[]_-", min_size=1, max_size=20).map(str.encode)


@given(st.lists(st.builds(ForwardedElement, _PLAIN, _PLAIN, _PLAIN, _PLAIN), max_size=8), st.booleans())
def test_a_chain_comes_back_as_it_was_written(chain: list[ForwardedElement], joined: bool) -> None:
    """Elements written one after another, in one line or in several, are read in reverse."""
    lines = [format_element(element) for element in chain]
    values = [b", ".join(lines)] if joined else lines
    assert list(forwarded_from_right(values)) == chain[::-1]


@given(st.binary(max_size=300), st.lists(_PLAIN.map(ForwardedElement), min_size=1, max_size=4))
def test_garbage_on_the_left_changes_nothing_on_the_right(garbage: bytes, chain: list[ForwardedElement]) -> None:
    """For every prefix a client may send, the elements that proxies appended are read first and unchanged."""
    written = b", ".join(format_element(element) for element in chain)
    found = list(forwarded_from_right([garbage + b", " + written]))
    assert found[: len(chain)] == chain[::-1]
