"""Path normalisation: one spelling for matching and forwarding."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.message import Malformed
from gateway.http.path import PathRules, normalise

SAME = [
    (b"/", b"/"), (b"/a/b", b"/a/b"), (b"/a/b/", b"/a/b/"), (b"//", b"//"), (b"/a//b", b"/a//b"), (b"/a;x=1/b", b"/a;x=1/b"),
    (b"/%61dmin", b"/admin"), (b"/%7euser", b"/~user"), (b"/%2Dx", b"/-x"), (b"/a%2fb", b"/a%2Fb"), (b"/a%5cb", b"/a%5Cb"),
    (b"/%c3%a9", b"/%C3%A9"), (b"/a%20b", b"/a%20b"), (b"/.", b"/"), (b"/..", b"/"), (b"/./a", b"/a"), (b"/a/.", b"/a/"),
    (b"/a/..", b"/"), (b"/a/../b", b"/b"), (b"/../../etc", b"/etc"), (b"/a/%2e%2e/b", b"/b"), (b"/a/%2E./b", b"/b"),
    (b"/a/.%2e/b", b"/b"), (b"/a/%2e/b", b"/a/b"), (b"/.well-known/x", b"/.well-known/x"), (b"/a...b", b"/a...b"),
    (b"/...", b"/..."), (b"/a/..b", b"/a/..b"), (b"/%252e%252e/a", b"/%252e%252e/a"), (b"/a|b", b"/a%7Cb"), (b"/{id}", b"/%7Bid%7D"),
    (b'/a"b', b"/a%22b"), (b"/a^`<>", b"/a%5E%60%3C%3E"), (b"/a[1]", b"/a%5B1%5D"), (b"/a//../b", b"/a/b"), (b"/a/b/../../c", b"/c"),
]  # fmt: skip
REFUSED = [
    b"/a\\b", b"/..\\x", b"/%", b"/%2", b"/%zz", b"/%g0", b"/a%00", b"/%00", b"/..;/a", b"/a/..;x=1/b", b"/.;/a",
    b"/..%2fetc", b"/..%2Fetc", b"/%2e%2e%2fetc", b"/a/..%5cb", b"/a%2f..%2fb", b"/a%2f../b%2f..", b"/%2e%2e%5c", b"/a%5c..",
]  # fmt: skip


@pytest.mark.parametrize(("raw", "normal"), SAME)
def test_one_spelling(raw, normal):
    """Each path has exactly one spelling, and that spelling is stable."""
    assert normalise(raw, PathRules()) == normal
    assert normalise(normal, PathRules()) == normal


@pytest.mark.parametrize("raw", REFUSED)
def test_ambiguous_paths_are_refused(raw):
    """What two readers could take for two paths goes nowhere."""
    with pytest.raises(Malformed):
        normalise(raw, PathRules())


def test_kept_forms_are_refused_on_request():
    """`reject` turns escaped slashes and empty segments into errors."""
    for raw in (b"/a%2fb", b"/a%5Cb"):
        with pytest.raises(Malformed):
            normalise(raw, PathRules(reject_encoded_slash=True))
    with pytest.raises(Malformed):
        normalise(b"/a//b", PathRules(reject_double_slash=True))


@given(
    st.lists(
        st.sampled_from([b"/", b".", b"..", b"%2e", b"%2E", b"%61", b"a", b"%2f", b"%25", b";", b"~", b"|", b"%"]),
        max_size=12,
    )
)
def test_normal_form_is_stable_and_has_no_dot_segments(parts):
    """Whatever is accepted is absolute, normal, and means the same when normalised again."""
    try:
        normal = normalise(b"/" + b"".join(parts), PathRules())
    except Malformed:
        return
    assert normal.startswith(b"/")
    assert normalise(normal, PathRules()) == normal
    assert not {b".", b".."} & set(normal.split(b"/"))
