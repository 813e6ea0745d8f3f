"""The path corpus against the whole wire: one spelling is matched, and the same one is forwarded."""

from __future__ import annotations

import pytest

from tests.kit.corpus.paths import SPELLINGS, Spelling
from tests.kit.messages import ok
from tests.kit.site import serve


@pytest.mark.parametrize("spelling", SPELLINGS, ids=lambda spelling: repr(spelling.raw))
def test_spelling(spelling: Spelling) -> None:
    """What reaches the origin is the normal form, or nothing does."""
    site = serve()
    site.client >> b"GET %b HTTP/1.1\r\nHost: a.example\r\n\r\n" % spelling.raw
    request = site.origin.request()
    if request is None:
        assert spelling.normal is None or spelling.also_refused, spelling.why
        site.client << b"HTTP/1.1 400"
        assert site.client.closed
    else:
        assert request.target == spelling.normal, spelling.why


@pytest.mark.parametrize("spelling", SPELLINGS, ids=lambda spelling: repr(spelling.raw))
def test_no_spelling_walks_past_a_rule(spelling: Spelling) -> None:
    """A rule about /admin holds for every spelling of it, and for no other path."""
    deny = {"match": {"path": ["/admin", "/admin/*"]}, "respond": 403}
    site = serve(routes=[deny, {"upstream": "app"}])
    site.client >> b"GET %b HTTP/1.1\r\nHost: a.example\r\n\r\n" % spelling.raw
    forwarded = site.origin.request()
    if forwarded is not None:
        target = forwarded.target
        assert target != b"/admin"
        assert not target.startswith(b"/admin/")
        site.origin >> ok()
    elif spelling.normal is not None and (spelling.normal + b"/").startswith(b"/admin/"):
        site.client << b"HTTP/1.1 403"


@pytest.mark.parametrize(
    ("option", "path"),
    [("encoded_slash", b"/a%2fb"), ("encoded_slash", b"/a%5Cb"), ("double_slash", b"/a//b"), ("double_slash", b"//a")],
)
def test_refused_by_option(option: str, path: bytes) -> None:
    """What is kept by default may be refused."""
    site = serve(downstream={"path": {option: "reject"}})
    site.client >> b"GET %b HTTP/1.1\r\nHost: a.example\r\n\r\n" % path
    site.client << b"HTTP/1.1 400"
    assert site.origin.connections == 0
