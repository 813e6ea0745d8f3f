"""Request, Response and Malformed as values."""

from __future__ import annotations

import pytest

from gateway.http.message import CHUNKED, UNTIL_CLOSE, Malformed, Request, Response


def test_a_new_request_promises_nothing() -> None:
    """No body, no upgrade, no expectation; HTTP/1.1 persists by default and HTTP/1.0 does not (RFC 9112 §9.3)."""
    request = Request(b"GET", b"/a?b", b"/a", b"b", 1)
    assert (request.length, request.upgrade, request.expects_continue, request.keep_alive) == (0, b"", False, True)
    assert (request.fields, request.index, request.authority, request.host) == ([], {}, b"", b"")
    assert not Request(b"GET", b"/", b"/", None, 0).keep_alive


def test_all_values_of_a_field() -> None:
    """In order, under the lower-case name only."""
    request = Request(b"GET", b"/", b"/", None, 1)
    request.fields = [(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]
    assert request.values(b"a") == [b"1", b"3"]
    assert request.values(b"A") == []


def test_the_length_of_a_response() -> None:
    """A body says its own length, whatever was claimed; without one the claim counts."""
    assert Response(200, [], length=99, body=b"four").length == 4
    assert Response(200, [], body=b"").length == 0
    assert Response(200, [], length=CHUNKED).length == CHUNKED
    assert Response(200, [], length=UNTIL_CLOSE).body is None
    assert CHUNKED < 0
    assert UNTIL_CLOSE < 0
    assert CHUNKED != UNTIL_CLOSE


def test_a_copy_can_be_edited_alone() -> None:
    """Prepared replies are shared: neither fields nor block of a copy reach the original."""
    prepared = Response(403, [(b"a", b"1")], reason=b"No", body=b"body")
    prepared.block = b"x: y\r\n"
    twin = prepared.copy()
    twin.fields.append((b"b", b"2"))
    twin.block += b"z: z\r\n"
    assert (prepared.fields, prepared.block) == ([(b"a", b"1")], b"x: y\r\n")
    assert (twin.status, twin.reason, twin.body, twin.length) == (403, b"No", b"body", 4)
    assert twin.fields == [(b"a", b"1"), (b"b", b"2")]


def test_what_is_made_per_request_has_no_dict() -> None:
    """Slots only: smaller, faster, and a misspelt attribute is an error."""
    for message in (Request(b"GET", b"/", b"/", None, 1), Response(200, [])):
        assert not hasattr(message, "__dict__")
        with pytest.raises(AttributeError):
            message.lenght = 3  # type: ignore[union-attr]


def test_how_they_show_in_a_debugger() -> None:
    """Any bytes can be shown: a representation never raises."""
    assert repr(Request(b"GET", b"/\xff", b"/", None, 1)) == "<Request GET /\xff>"
    assert repr(Response(200, [], body=b"ok")) == "<Response 200 length=2>"


def test_malformed_says_why_and_what_it_deserves() -> None:
    """400 unless a better status is given."""
    assert (Malformed("no").status, Malformed("no").why, str(Malformed("no"))) == (400, "no", "no")
    assert Malformed("big", 431).status == 431
