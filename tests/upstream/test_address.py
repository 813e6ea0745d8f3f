"""URLs of endpoints: what they mean, and what is refused with which advice."""

from __future__ import annotations

import re

import pytest

from gateway.upstream.address import EndpointAddress, parse_endpoint


@pytest.mark.parametrize(
    ("url", "address", "name", "authority"),
    [
        ("http://app:3000", ("app", 3000, False, ""), "app:3000", b"app:3000"),
        ("http://app", ("app", 80, False, ""), "app:80", b"app"),
        ("https://App.Example.COM", ("app.example.com", 443, True, ""), "app.example.com:443", b"app.example.com"),
        ("https://app:80", ("app", 80, True, ""), "app:80", b"app:80"),
        ("http://127.0.0.1:3000", ("127.0.0.1", 3000, False, ""), "127.0.0.1:3000", b"127.0.0.1:3000"),
        ("http://[::1]:3000", ("::1", 3000, False, ""), "[::1]:3000", b"[::1]:3000"),
        ("https://[2001:DB8:0::1]", ("2001:db8::1", 443, True, ""), "[2001:db8::1]:443", b"[2001:db8::1]"),
        ("http://my_app:3000", ("my_app", 3000, False, ""), "my_app:3000", b"my_app:3000"),
        ("unix:/run/app.sock", ("", 0, False, "/run/app.sock"), "unix:/run/app.sock", b"localhost"),
        ("unix:///run/app.sock", ("", 0, False, "/run/app.sock"), "unix:/run/app.sock", b"localhost"),
        ("http+unix:/run/app.sock", ("", 0, False, "/run/app.sock"), "unix:/run/app.sock", b"localhost"),
    ],
)  # fmt: skip
def test_addresses(url: str, address: tuple[str, int, bool, str], name: str, authority: bytes) -> None:
    """Host, port and scheme are told apart, names made canonical, default ports left out of the Host field."""
    parsed = parse_endpoint(url)
    assert parsed == EndpointAddress(*address)
    assert (parsed.name, parsed.authority) == (name, authority)


def test_literals() -> None:
    """Addresses need no resolver; names do, and a socket's path is neither."""
    assert parse_endpoint("http://127.0.0.1").literal
    assert parse_endpoint("http://[::1]").literal
    assert not parse_endpoint("http://app").literal
    assert not parse_endpoint("unix:/run/app.sock").literal


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("", "write http://host:port"),
        ("app:3000", "for example http://app:3000"),
        ("app", "for example http://app"),
        ("ftp://app", "ftp is not spoken"),
        ("h2c://app:80", "h2c is not spoken"),
        ("http:/app", "is not an endpoint"),
        ("http://", "names no host"),
        ("http://:3000", "names no host"),
        ("http://app:3000/", "a path"),
        ("http://app:3000/api", "`rewrite`"),
        ("http://app?x=1", "a query"),
        ("http://app#x", "a fragment"),
        ("http://user:secret@app", "`request_headers`"),
        ("http://app:", "is not a port"),
        ("http://app:0", "1 to 65535"),
        ("http://app:65536", "1 to 65535"),
        ("http://app:+80", "is not a port"),
        ("http://app:\u0663", "is not a port"),
        ("http://::1:3000", "in brackets"),
        ("http://[::1", "in brackets"),
        ("http://[::1]3000", "in brackets"),
        ("http://[app]:3000", "for IPv6 addresses only"),
        ("http://[::zz]", "is not an IP address"),
        ("http://127.0.0.256", "is not an IP address"),
        ("http://127.1", "is not an IP address"),
        ("http://-app", "is not a host name"),
        ("http://a..b", "is not a host name"),
        ("http://a b", "is not a host name"),
        ("http://a\r\nb", "is not a host name"),
        ("http://b\u00fccher.example", "xn--bcher-kva.example"),
        ("unix:run/app.sock", "absolute path"),
        ("unix:", "absolute path"),
        ("unix://app", "absolute path"),
        ("unix:/run/", "absolute path"),
        ("unix:/run/app.sock?x", "what follows"),
        ("unix:/" + "a" * 107, "107 bytes"),
    ],
)
def test_what_is_refused(url: str, advice: str) -> None:
    """Every mistake is answered with what to write instead."""
    with pytest.raises(ValueError, match=re.escape(advice)):
        parse_endpoint(url)
