"""Which names the admin application may be asked for; its pages are tested over sockets in test_serve.py."""

from __future__ import annotations

import pytest

from gateway.admin.app import is_allowed_host

ALLOWED = frozenset({"localhost", "ops.lan"})


@pytest.mark.parametrize(
    "host",
    [
        "",
        "localhost",
        "localhost:9090",
        "LocalHost.",
        "ops.lan:9090",
        "127.0.0.1",
        "10.0.0.1:80",
        "[::1]",
        "[fd00::1]:9",
    ],
)
def test_names_that_are_ours(host: str) -> None:
    """Known names, any address, and no name at all."""
    assert is_allowed_host(host, ALLOWED)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "localhost@evil.example",
        "127.0.0.1.nip.io",
        "[evil]",
        "[",
        ":9090",
        "0x7f.1",
    ],
)
def test_names_that_are_not(host: str) -> None:
    """Whatever somebody else may have in DNS, or what is no name."""
    assert not is_allowed_host(host, ALLOWED)
