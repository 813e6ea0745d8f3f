"""The host of a request: every spelling of one, and what is none."""

from __future__ import annotations

import pytest

from gateway.http.authority import is_tunnel_target, read_host
from gateway.http.message import Malformed


@pytest.mark.parametrize(
    ("host", "authority", "name"),
    [
        (b"h", b"h", b"h"),
        (b"H.Example.:80", b"H.Example.:80", b"h.example"),
        (b"[::1]", b"[::1]", b"[::1]"),
        (b"[2001:DB8::1]:8080", b"[2001:DB8::1]:8080", b"[2001:db8::1]"),
        (b"[::ffff:192.0.2.1]", b"[::ffff:192.0.2.1]", b"[::ffff:192.0.2.1]"),
        (b"127.0.0.1", b"127.0.0.1", b"127.0.0.1"),
        (b"a_b.c", b"a_b.c", b"a_b.c"),
        (b"0.0.0.0=5000", b"0.0.0.0=5000", b"0.0.0.0=5000"),
        (b"h:", b"h", b"h"),
        (b"h:00080", b"h:00080", b"h"),
    ],
)
def test_good_hosts(host: bytes, authority: bytes, name: bytes) -> None:
    """Case, port and a trailing dot do not matter for routing; what is passed on is what came, but for an empty port."""
    assert read_host(host, None, 1) == (authority, name)


@pytest.mark.parametrize(
    "host",
    [
        b"", b"a b", b"a,b", b"u@h", b"h:x", b"h:0", b"h:65536", b"h:+80", b"h/", b"h?", b"h#", b"h\\x", b".", b"..", b".h", b"a..b", b":80",
        b"::1", b"[::1", b"::1]", b"[::1]x", b"[zz]", b"[1::2::3]", b"[:::]", b"[::1%25a]", b"[]", b"h:1:2", b"\xe9", b"a%2eb", b"a'b", b'a"b',
        b"a;b", b"a(b)", b"a*b", b"h:80 ", b"h\n",
    ],
)  # fmt: skip
def test_what_is_no_host(host: bytes) -> None:
    """What is neither a name as DNS knows it nor an address, with a port that is one."""
    with pytest.raises(Malformed):
        read_host(host, None, 1)


def test_a_missing_host() -> None:
    """Only HTTP/1.1 clients must send one; an absolute target says it in its place."""
    assert read_host(None, None, 0) == (b"", b"")
    assert read_host(None, b"http://H:81", 0) == (b"h:81", b"h")
    for target in (None, b"http://h"):
        with pytest.raises(Malformed, match="no Host"):
            read_host(None, target, 1)


@pytest.mark.parametrize(
    ("host", "target"),
    [
        (b"h", b"http://h"), (b"H", b"HTTP://h"), (b"h", b"http://h:80"), (b"h:80", b"http://h"), (b"h", b"http://h:"), (b"h:", b"http://h"),
        (b"h", b"https://h:443"), (b"h:443", b"https://h"), (b"h:8080", b"http://h:8080"), (b"[::1]", b"http://[::1]:80"),
    ],
)  # fmt: skip
def test_targets_that_agree(host: bytes, target: bytes) -> None:
    """RFC 9110 §4.2.3: without a port it is the scheme's."""
    assert read_host(host, target, 1)[0] == host.removesuffix(b":")


@pytest.mark.parametrize(
    ("host", "target"),
    [
        (b"h", b"http://g"), (b"h", b"http://h:443"), (b"h", b"https://h:80"), (b"h:443", b"http://h"), (b"h", b"http://u@h"),
        (b"h", b"http://"), (b"h:81", b"http://h:80"), (b"h:80", b"http://h:81"), (b"", b"http://h"), (b"::80", b"http://::80"),
    ],
)  # fmt: skip
def test_targets_that_do_not(host: bytes, target: bytes) -> None:
    """A router that looks at one and an origin that looks at the other would not mean the same."""
    with pytest.raises(Malformed):
        read_host(host, target, 1)


def test_targets_of_connect() -> None:
    """Host and port, both (RFC 9112 §3.2.3)."""
    assert is_tunnel_target(b"h.example:443")
    assert is_tunnel_target(b"[::1]:443")
    for target in (b"h.example", b"h.example:", b"/", b"http://h:443", b"u@h:443"):
        assert not is_tunnel_target(target)
