"""explain: the parts that write a request as a client would."""

from __future__ import annotations

import pytest

from gateway.explain import NotARequest, Target, choose_listener, read_url, write_head
from gateway.server.settings import ListenerConfig


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("/a?b", Target("http", "", None, "/a?b")),
        ("https://a.example", Target("https", "a.example", None, "/")),
        ("http://a.example:81/b/../c?d#e", Target("http", "a.example:81", 81, "/b/../c?d")),
        ("http://a.example?b", Target("http", "a.example", None, "/?b")),
        ("http://[::1]:8080/", Target("http", "[::1]:8080", 8080, "/")),
    ],
)
def test_urls_are_taken_apart(url: str, target: Target) -> None:
    """The target keeps the spelling of the path, without the fragment."""
    assert read_url(url) == target


def test_the_host_may_be_given() -> None:
    """A Host field of one's own replaces that of the URL, and only line ends are refused."""
    target = read_url("http://a.example/")
    assert write_head("GET", target, []) == b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
    assert write_head("GET", target, ["host:  b.example "]) == b"GET / HTTP/1.1\r\nhost: b.example\r\n\r\n"
    for wrong in ("no colon", ": no name", "X: a\r\nY: b"):
        with pytest.raises(NotARequest):
            write_head("GET", target, [wrong])


def test_the_listener_of_the_port_wins() -> None:
    """Of the listeners of a scheme, the one at the URL's port; else the first."""
    first, second = ListenerConfig(bind="127.0.0.1:8080"), ListenerConfig(bind="127.0.0.1:8081")
    listeners = [first, second]
    assert choose_listener(listeners, read_url("http://a:8081/")) is second
    assert choose_listener(listeners, read_url("http://a/")) is first
    assert choose_listener(listeners, read_url("https://a/")) is None
